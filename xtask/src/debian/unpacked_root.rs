// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs of a Debian release in a folder of the cache that is laid out like a root: unpacked
//! from its packages, and never installed, so that nothing of this host changes.

use crate::debian::archive::{Archive, DEBIAN, megabytes};
use crate::debian::chroot::Chroot;
use crate::util::arch::Arch;
use crate::util::workspace;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::symlink;

/// What is unpacked, and from which release.
pub(crate) struct UnpackedRoot {
    /// Its name in the cache.
    pub(crate) name: &'static str,
    pub(crate) release: &'static str,
    pub(crate) packages: &'static [&'static str],
    /// Rises when what is done with the packages comes out differently.
    pub(crate) recipe: u32,
}

impl UnpackedRoot {
    /// The root, from the cache if it is there; else its packages are fetched, and what is in them
    /// arranged by `arrange` before anybody sees it.
    pub(crate) fn ensure(&self, arrange: impl FnOnce(&Chroot) -> Result<()>) -> Result<Chroot> {
        let root = workspace::cache("tools")?.join(self.folder());
        let _lock = workspace::lock(self.name)?;
        if !root.exists() {
            let archive = Archive::update(self.name, &[(DEBIAN, self.release)], Arch::X86_64)?;
            let packages: Vec<_> =
                self.packages.iter().map(|name| archive.look_up(name)).collect::<Result<_>>()?;
            let size = megabytes(&packages);
            eprintln!("fetching {} of Debian's {}, {size} MB ...", self.name, self.release);
            workspace::make_whole(&root, |part| {
                archive.unpack(&packages, part)?;
                // As base-files and the system's own folders have it.
                for folder in ["bin", "lib", "lib64", "sbin"] {
                    if !part.join(folder).exists() {
                        symlink(format!("usr/{folder}"), part.join(folder))
                            .context("making a link")?;
                    }
                }
                for folder in ["proc", "tmp"] {
                    fs::create_dir_all(part.join(folder)).context("making a folder")?;
                }
                arrange(&Chroot::at(part.to_owned()))
            })?;
        }
        Ok(Chroot::at(root.canonicalize().with_context(|| format!("finding {}", root.display()))?))
    }

    /// Another list of packages, another release and another recipe are another folder.
    fn folder(&self) -> String {
        let mut sum = Sha256::new();
        for word in std::iter::once(&self.release).chain(self.packages) {
            sum.update(word);
            sum.update("\n");
        }
        let sum = sum.finalize();
        let sum: String = sum.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-{sum}", self.name, self.recipe)
    }
}

#[cfg(test)]
mod tests {
    use super::UnpackedRoot;

    #[test]
    fn another_list_is_another_folder() {
        const ONE: UnpackedRoot =
            UnpackedRoot { name: "a", release: "trixie", packages: &["b", "c"], recipe: 1 };
        let others = [
            UnpackedRoot { packages: &["b"], ..ONE },
            UnpackedRoot { packages: &["bc"], ..ONE },
            UnpackedRoot { release: "bookworm", ..ONE },
            UnpackedRoot { recipe: 2, ..ONE },
        ];
        for other in others {
            assert_ne!(other.folder(), ONE.folder());
        }
    }
}
