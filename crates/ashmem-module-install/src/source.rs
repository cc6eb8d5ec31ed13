// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module's source tree that this program carries.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// What DKMS calls it.
pub const NAME: &str = env!("ASHMEM_MODULE_NAME");

/// Its version, which is the program's.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/source.tar.gz"));

/// Where DKMS looks for it.
pub fn folder(version: &str) -> String {
    format!("/usr/src/{NAME}-{version}")
}

/// Tells this build's tree from another's of the same version.
pub fn digest() -> String {
    Sha256::digest(PACKED).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the Rust half for this architecture lies in it; it is built where it is installed
/// otherwise.
///
/// # Errors
/// The packed tree is damaged.
pub fn has_objects() -> io::Result<bool> {
    let mut has = false;
    each(|name, _, _| {
        has |= name.ends_with(".o_shipped");
        Ok(())
    })?;
    Ok(has)
}

/// Lays it out in a folder, which is made. Every file is on the disk when this returns.
///
/// # Errors
/// What could not be written, by its path.
pub fn lay_out(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
    each(|name, mode, content| {
        let place = folder.join(name);
        let written = (|| {
            if let Some(above) = place.parent() {
                fs::create_dir_all(above)?;
            }
            let mut file = fs::File::create(&place)?;
            io::copy(content, &mut file)?;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.sync_all()
        })();
        written.map_err(|error| at(&place, &error))
    })
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("writing {}: {error}", path.display()))
}

fn each(mut take: impl FnMut(&str, u32, &mut dyn Read) -> io::Result<()>) -> io::Result<()> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(PACKED));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let mode = entry.header().mode()?;
        take(&name, mode, &mut entry)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{NAME, VERSION, lay_out};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_tree_is_laid_out_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let tree = folder.path().join("tree");
        lay_out(&tree).expect("the tree");
        let conf = fs::read_to_string(tree.join("dkms.conf")).expect("its configuration");
        assert!(conf.contains(&format!("PACKAGE_NAME=\"{NAME}\"")), "{conf}");
        assert!(conf.contains(&format!("PACKAGE_VERSION=\"{VERSION}\"")), "{conf}");
        assert!(!conf.contains('@'), "{conf}");
        for name in ["prepare", "rust/build.sh"] {
            let mode = fs::metadata(tree.join(name)).expect("a program").permissions().mode();
            assert_eq!(mode & 0o777, 0o755, "{name}");
        }
        assert!(tree.join("ashmem-core/lib.rs").is_file() && tree.join("Kbuild").is_file());
    }

    #[test]
    fn a_disk_without_space_is_told_by_the_path() {
        let error = lay_out(std::path::Path::new("/dev/full/tree")).expect_err("no folder");
        assert!(error.to_string().contains("/dev/full/tree"), "{error}");
    }
}
