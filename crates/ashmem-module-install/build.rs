// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packs the module's source tree for the program: a tar archive, the same to the byte wherever and
//! whenever it is made, compressed.
//!
//! `ASHMEM_MODULE_OBJECTS` names a folder with the Rust half's objects, as a release has them
//! built. Without it the tree has none, and builds them where it is installed.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ashmem_module_source::{Filling, OBJECTS, files};

/// What DKMS calls the tree.
const NAME: &str = "ashmem-linux";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=ASHMEM_MODULE_OBJECTS");
    // As it is now: this program may have been built before the checkout was moved.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets CARGO_MANIFEST_DIR")?;
    let repository = Path::new(&package).join("../..");
    let objects = std::env::var_os("ASHMEM_MODULE_OBJECTS").map(PathBuf::from);
    let version = env!("CARGO_PKG_VERSION");
    let filling = Filling { name: NAME, version, has_objects: objects.is_some() };

    let mut entries = Vec::new();
    for file in files(&repository)? {
        let content = read(&file.path)?;
        entries.push((file.name.clone(), filling.fill(&file.name, content), file.is_program));
    }
    if let Some(folder) = &objects {
        for name in OBJECTS {
            entries.push((format!("rust/{name}"), read(&folder.join(name))?, false));
        }
    }
    // A file that comes or goes shows by its folder.
    for folder in ["module", "crates/ashmem-core/src", "packaging/dkms"] {
        println!("cargo:rerun-if-changed={}", repository.join(folder).display());
    }
    entries.sort();

    let mut archive = tar::Builder::new(Vec::new());
    for (name, content, is_program) in &entries {
        let mut header = tar::Header::new_ustar();
        header.set_mode(if *is_program { 0o755 } else { 0o644 });
        header.set_size(content.len().try_into()?);
        archive.append_data(&mut header, name, content.as_slice())?;
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let file = fs::File::create(out.join("source.tar.gz"))?;
    // Its header holds no time.
    let mut packed = flate2::GzBuilder::new().write(file, flate2::Compression::best());
    packed.write_all(&archive.into_inner()?)?;
    packed.finish()?;
    println!("cargo:rustc-env=ASHMEM_MODULE_NAME={NAME}");
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    println!("cargo:rerun-if-changed={}", path.display());
    fs::read(path).map_err(|error| format!("reading {}: {error}", path.display()).into())
}
