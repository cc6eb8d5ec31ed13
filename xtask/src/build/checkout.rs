// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commit that a release is made of.

use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The checkout as it was when a release was begun. It is asked once: whoever commits or edits in
/// the meantime mixes nothing into the release.
#[derive(Debug, Clone)]
pub(crate) struct Checkout {
    commit: String,
    time: String,
    changed: String,
}

impl Checkout {
    /// As it is now.
    pub(crate) fn read() -> Result<Self> {
        let commit = git(&["rev-parse", "--verify", "HEAD^{commit}"])?;
        let time = git(&["log", "-1", "--format=%ct", &commit])?;
        // With what git knows nothing of, and with what it is told to leave out: a folder is packed
        // with all that lies in it.
        let changed = git(&["status", "--porcelain", "--untracked-files=all"])?;
        let ignored = [
            "ls-files",
            "--others",
            "--ignored",
            "--exclude-standard",
            "--",
            "packaging",
            "module",
            "crates",
        ];
        let ignored = git(&ignored)?;
        let ignored = ignored.lines().map(|file| format!("!! {file}"));
        let changed: Vec<_> = changed.lines().map(ToOwned::to_owned).chain(ignored).collect();
        Ok(Self { commit, time, changed: changed.join("\n") })
    }

    /// The time that every file of a release has: the commit's, in seconds since 1970.
    pub(crate) fn time(&self) -> &str {
        &self.time
    }

    /// What differs from the commit, in git's words; empty where nothing does.
    pub(crate) fn changed(&self) -> &str {
        &self.changed
    }

    /// The commit's name.
    pub(crate) fn commit(&self) -> &str {
        &self.commit
    }

    /// Fails where the checkout is another by now.
    pub(crate) fn confirm(&self) -> Result<()> {
        let now = Self::read()?;
        if now.commit != self.commit {
            bail!(
                "the checkout went on from {} to {} while the release was made: make it again",
                self.commit,
                now.commit
            );
        }
        if now.changed != self.changed {
            bail!(
                "files of the checkout changed while the release was made: make it again. Before:\n\
                 {}\nNow:\n{}",
                self.changed,
                now.changed
            );
        }
        Ok(())
    }

    /// Lays the committed source into a folder.
    pub(crate) fn unpack(&self, folder: &Path) -> Result<()> {
        let packed = folder.join("source.tar");
        let mut archive = Command::new("git");
        archive.args(["archive", "--format=tar", "--output"]).arg(&packed).arg(&self.commit);
        process::capture(archive.current_dir(workspace::root()))?;
        process::capture(process::plain("tar").arg("-xf").arg(&packed).arg("-C").arg(folder))?;
        fs::remove_file(&packed).context("removing the packed source")
    }
}

fn git(words: &[&str]) -> Result<String> {
    // A person's setting would put what gpg says among what is asked.
    let mut git = Command::new("git");
    git.args(["-c", "log.showSignature=false"]).args(words).current_dir(workspace::root());
    process::capture(&mut git).map(|text| text.trim_end().to_owned())
}
