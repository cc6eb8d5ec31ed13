// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where things lie: the workspace and the cache under its `target` folder.
//!
//! The cache is found from this crate's own place, not from `CARGO_TARGET_DIR`, so that builds with
//! different target folders share the kernels, chroots and apt indexes. Whatever enters it is made
//! under a temporary name and renamed when whole: what is there can be used.

use crate::util::process;
use anyhow::{Context, Result};
use rustix::fs::FlockOperation;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's top folder.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// The command that does with root's rights what setup does.
pub(crate) fn with_root() -> Result<String> {
    let program = std::env::current_exe().context("finding this program's own path")?;
    Ok(format!("sudo {} setup", program.display()))
}

/// Where cargo leaves what it builds for this host.
pub(crate) fn built() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A folder of the cache, made if it is not there yet. Its path has no symbolic link, as builds in
/// a chroot want it.
pub(crate) fn cache(name: &str) -> Result<PathBuf> {
    let folder = root().join("target/ashmem").join(name);
    fs::create_dir_all(&folder)
        .with_context(|| format!("making the cache folder {}", folder.display()))?;
    folder
        .canonicalize()
        .with_context(|| format!("looking for the cache folder {}", folder.display()))
}

/// The repository's files, all or those that match.
pub(crate) fn tracked(patterns: &[&str]) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--"]).args(patterns).current_dir(root());
    let list = process::capture(&mut git).context("listing the repository's files")?;
    let exists = |file: &&str| root().join(file).is_file();
    Ok(list.split('\0').filter(|file| !file.is_empty()).filter(exists).map(str::to_owned).collect())
}

/// Holds a name in the cache against other runs of xtask until dropped.
#[must_use]
pub(crate) struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Waits until no other run works on `name`.
pub(crate) fn lock(name: &str) -> Result<Lock> {
    let path = cache("locks")?.join(name);
    let file =
        File::create(&path).with_context(|| format!("opening the lock {}", path.display()))?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        eprintln!("waiting for another run of xtask that works on {name} ...");
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .with_context(|| format!("waiting for the lock {}", path.display()))?;
    }
    Ok(Lock(file))
}

/// Makes the folder `destination` by way of a temporary neighbour: `fill` works in the neighbour,
/// which takes the final name only when `fill` has succeeded. What stood there before is replaced.
pub(crate) fn make_whole(destination: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let temporary = sibling(destination, "part")?;
    remove(&temporary)?;
    fs::create_dir_all(&temporary).with_context(|| format!("making {}", temporary.display()))?;
    fill(&temporary)?;
    let old = sibling(destination, "old")?;
    remove(&old)?;
    if destination.exists() {
        fs::rename(destination, &old)
            .with_context(|| format!("moving {} aside", destination.display()))?;
    }
    fs::rename(&temporary, destination).with_context(|| {
        format!("giving {} its final name {}", temporary.display(), destination.display())
    })?;
    remove(&old)
}

/// Writes a file so that a reader sees the old text or the new, never a part.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<()> {
    let temporary = sibling(path, "part")?;
    fs::write(&temporary, text).with_context(|| format!("writing {}", temporary.display()))?;
    fs::rename(&temporary, path)
        .with_context(|| format!("renaming {} to {}", temporary.display(), path.display()))
}

fn sibling(path: &Path, ending: &str) -> Result<PathBuf> {
    let name = path.file_name().with_context(|| format!("{} has no name", path.display()))?;
    Ok(path.with_file_name(format!("{}.{ending}", name.to_string_lossy())))
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    Ok(())
}
