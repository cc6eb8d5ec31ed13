// SPDX-License-Identifier: MIT OR Apache-2.0
//! An OCI image of the agent: the static program `ashmem` and nothing else, as `podman load` and
//! registries take it. Written here, with no engine and no root, and the same to the byte for the
//! same program.

use crate::util::arch::Arch;
use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// What the image is called where it is loaded, before the colon.
pub(crate) const NAME: &str = "localhost/ashmem";
/// Where the program lies in it.
const PROGRAM: &str = "usr/bin/ashmem";
/// A moment that depends on nothing.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Writes the image of a program for an architecture as an archive of an OCI layout.
pub(crate) fn write(arch: Arch, program: &Path, version: &str, archive: &Path) -> Result<()> {
    let bytes = fs::read(program).with_context(|| format!("reading {}", program.display()))?;
    let layer = layer(&bytes)?;
    // The program's folders and bytes, before they are compressed.
    let difference = digest(&layer);
    let layer = Blob::new("application/vnd.oci.image.layer.v1.tar+gzip", compressed(&layer)?);
    let config = Blob::json(
        "application/vnd.oci.image.config.v1+json",
        &json!({
            "architecture": arch.debian(),
            "os": "linux",
            "created": CREATED,
            "config": {
                "Entrypoint": [format!("/{PROGRAM}")],
                "Labels": {
                    "org.opencontainers.image.title": "ashmem",
                    "org.opencontainers.image.version": version,
                    "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
                },
            },
            "rootfs": { "type": "layers", "diff_ids": [difference] },
            "history": [{ "created": CREATED, "created_by": "cargo xtask release" }],
        }),
    );
    let manifest = Blob::json(
        "application/vnd.oci.image.manifest.v1+json",
        &json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
        }),
    );
    let mut found = manifest.descriptor();
    found["annotations"] =
        json!({ "org.opencontainers.image.ref.name": format!("{NAME}:{version}") });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [found],
    });
    let mut blobs = [layer, config, manifest];
    blobs.sort_by(|one, other| one.digest.cmp(&other.digest));
    let mut tar = Builder::new(Vec::new());
    folder(&mut tar, "blobs/")?;
    folder(&mut tar, "blobs/sha256/")?;
    for blob in &blobs {
        let name = blob.digest.replacen(':', "/", 1);
        file(&mut tar, &format!("blobs/{name}"), 0o644, &blob.bytes)?;
    }
    file(&mut tar, "index.json", 0o644, index.to_string().as_bytes())?;
    file(&mut tar, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    fs::write(archive, tar.into_inner().context("ending the archive")?)
        .with_context(|| format!("writing {}", archive.display()))
}

/// Something that the image names by its sum.
struct Blob {
    kind: &'static str,
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(kind: &'static str, bytes: Vec<u8>) -> Self {
        Self { kind, digest: digest(&bytes), bytes }
    }

    fn json(kind: &'static str, value: &Value) -> Self {
        Self::new(kind, value.to_string().into_bytes())
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.kind, "digest": self.digest, "size": self.bytes.len() })
    }
}

fn digest(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    let letters: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{letters}")
}

/// The file system of the image.
fn layer(program: &[u8]) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    folder(&mut tar, "usr/")?;
    folder(&mut tar, "usr/bin/")?;
    file(&mut tar, PROGRAM, 0o755, program)?;
    tar.into_inner().context("ending the layer")
}

fn compressed(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(bytes).context("compressing the layer")?;
    gzip.finish().context("compressing the layer")
}

fn folder(tar: &mut Builder<Vec<u8>>, name: &str) -> Result<()> {
    put(tar, name, EntryType::Directory, 0o755, &[])
}

fn file(tar: &mut Builder<Vec<u8>>, name: &str, mode: u32, bytes: &[u8]) -> Result<()> {
    put(tar, name, EntryType::Regular, mode, bytes)
}

/// An entry of root's, of no time.
fn put(
    tar: &mut Builder<Vec<u8>>,
    name: &str,
    kind: EntryType,
    mode: u32,
    bytes: &[u8],
) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len().try_into().context("an entry's size")?);
    tar.append_data(&mut header, name, bytes).with_context(|| format!("packing {name}"))
}
