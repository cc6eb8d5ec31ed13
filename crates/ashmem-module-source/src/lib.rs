// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel module's source tree as a machine gets it that builds the module: which files of this
//! repository it is made of, under which names, and what is filled in.
//!
//! The Debian package `ashmem-dkms` and the program `ashmem` both carry the tree, and take it from
//! here. The objects of the Rust half are no files of the repository: whoever has built them lays
//! them beside, as [`OBJECTS`] are called.

use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};

/// What lies in the tree's folder `rust` once the Rust half was built: an object for each
/// architecture, their hashes, and the compiler's version.
pub const OBJECTS: [&str; 4] =
    ["ashmem-x86.o_shipped", "ashmem-arm64.o_shipped", "sha256sums", "compiler"];

/// A file of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name in the tree, with slashes.
    pub name: String,
    /// Where the repository has it.
    pub path: PathBuf,
    /// Whether it is run.
    pub is_program: bool,
}

/// What is filled in: each tree is somebody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filling<'a> {
    /// What DKMS calls it.
    pub name: &'a str,
    /// The version that DKMS and the module tell.
    pub version: &'a str,
    /// Whether the objects of the Rust half lie in the tree; they are built on the spot otherwise.
    pub has_objects: bool,
}

impl Filling<'_> {
    /// A file's content with what belongs there filled in.
    pub fn fill(&self, name: &str, content: Vec<u8>) -> Vec<u8> {
        if name == "VERSION" {
            return format!("{}\n", self.version).into_bytes();
        }
        if name != "dkms.conf" {
            return content;
        }
        let rust = if self.has_objects { "shipped" } else { "source" };
        String::from_utf8_lossy(&content)
            .replace("@NAME@", self.name)
            .replace("@VERSION@", self.version)
            .replace("@RUST@", rust)
            .into_bytes()
    }
}

/// Every file of the tree, by name.
///
/// # Errors
/// A folder of the repository cannot be listed.
pub fn files(repository: &Path) -> Result<Vec<SourceFile>> {
    let module = repository.join("module");
    let mut found = Vec::new();
    for part in ["glue", "probes", "rust", "src"] {
        add(&module.join(part), part, &mut found)?;
    }
    // What the tests expect of each kernel is nothing that a build reads.
    found.retain(|file| file.name != "probes/expected.json");
    add(&repository.join("crates/ashmem-core/src"), "ashmem-core", &mut found)?;
    for (name, path) in [
        ("Kbuild", module.join("Kbuild")),
        ("VERSION", module.join("VERSION")),
        ("dkms.conf", repository.join("packaging/dkms/dkms.conf")),
        ("prepare", repository.join("packaging/dkms/prepare")),
    ] {
        found.push(SourceFile { name: name.to_owned(), path, is_program: name == "prepare" });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn add(folder: &Path, name: &str, found: &mut Vec<SourceFile>) -> Result<()> {
    let failed = |error: Error| Error::new(error.kind(), format!("{}: {error}", folder.display()));
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().map_err(failed)?.is_dir() {
            add(&entry.path(), &name, found)?;
        // Objects that a build left there are none of the repository.
        } else if !name.ends_with(".o_shipped") {
            let is_program = name == "rust/build.sh";
            found.push(SourceFile { name, path: entry.path(), is_program });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Filling, files};
    use std::path::Path;

    #[test]
    fn the_tree_is_what_kbuild_and_dkms_read() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let found = files(&repository).expect("the tree");
        let names: Vec<_> = found.iter().map(|file| file.name.as_str()).collect();
        for name in [
            "Kbuild",
            "VERSION",
            "dkms.conf",
            "prepare",
            "glue/module.c",
            "probes/alloc_lru.c",
            "rust/build.sh",
            "src/lib.rs",
            "ashmem-core/lib.rs",
        ] {
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
        assert!(names.is_sorted() && !names.contains(&"probes/expected.json"));
        assert!(found.iter().all(|file| file.path.is_file()));
    }

    #[test]
    fn each_tree_is_somebodys() {
        let filling = Filling { name: "ashmem-linux", version: "1.2", has_objects: false };
        let conf = filling.fill("dkms.conf", b"\"@NAME@\" @VERSION@ @RUST@".to_vec());
        assert_eq!(conf, b"\"ashmem-linux\" 1.2 source");
        assert_eq!(filling.fill("VERSION", Vec::new()), b"1.2\n");
        assert_eq!(filling.fill("glue/x.c", b"@NAME@".to_vec()), b"@NAME@");
    }
}
