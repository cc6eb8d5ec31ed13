// SPDX-License-Identifier: MIT OR Apache-2.0
//! A release's signature: minisign's, over SHA256SUMS.

use crate::build::stage::Version;
use crate::util::process;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether this can be a key, before a release is made for it.
pub(crate) fn look_at_key(key: &Path) -> Result<()> {
    let hint = "docs/release.md says how one is made";
    let looked = fs::metadata(key);
    let looked = looked.with_context(|| format!("looking for {} ({hint})", key.display()))?;
    if !looked.is_file() {
        bail!("{} is no regular file, and so no key ({hint})", key.display());
    }
    fs::File::open(key).with_context(|| format!("opening the key {}", key.display())).map(drop)
}

/// Signs a release's hashes with a secret key, whose password minisign asks for and reads from
/// standard input. The signature's path.
pub(crate) fn sign(sums: &Path, key: &Path, version: &Version) -> Result<PathBuf> {
    let signature = of(sums)?;
    let mut minisign = Command::new("minisign");
    minisign.args(["-S", "-s"]).arg(key).arg("-m").arg(sums).arg("-x").arg(&signature);
    // Without one it writes the time.
    minisign.arg("-t").arg(format!("ashmem-linux {version}"));
    let status = process::ask(&mut minisign)?;
    if !status.success() {
        // A part of one is none.
        let _ = fs::remove_file(&signature);
        bail!(
            "signing with {} ended with {} (docs/release.md says how a key is made)",
            key.display(),
            process::describe(status)
        );
    }
    Ok(signature)
}

/// Holds the hashes against their signature and a public key, and every file beside against the
/// hashes.
pub(crate) fn verify(sums: &Path, public: &Path) -> Result<()> {
    let mut minisign = Command::new("minisign");
    minisign.args(["-V", "-q", "-p"]).arg(public).arg("-m").arg(sums).arg("-x").arg(of(sums)?);
    process::capture(&mut minisign)
        .with_context(|| format!("{} is not what the owner of the key signed", sums.display()))?;
    let folder = sums.parent().context("it lies in a folder")?;
    let mut sha256sum = Command::new("sha256sum");
    sha256sum.args(["--check", "--strict", "--quiet"]).arg(sums).current_dir(folder);
    process::capture(&mut sha256sum).map(drop)
}

/// Makes a pair of keys without a password: for a trial, and nothing else.
pub(crate) fn throw_away_key(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let (secret, public) = (folder.join("secret.key"), folder.join("public.key"));
    let mut minisign = Command::new("minisign");
    minisign.args(["-G", "-W", "-f", "-p"]).arg(&public).arg("-s").arg(&secret);
    process::capture(&mut minisign)?;
    Ok((secret, public))
}

/// Where the signature of these hashes lies.
fn of(sums: &Path) -> Result<PathBuf> {
    let name = sums.file_name().context("a file has a name")?.to_string_lossy();
    Ok(sums.with_file_name(format!("{name}.minisig")))
}

/// What must be refused: another file under the hashes, other hashes under the signature, another's
/// key. Each is tried on a copy in `work`; what was seen, in one line.
pub(crate) fn attempt(dist: &Path, version: &Version, work: &Path) -> Result<String> {
    let copy = |name: &str| {
        fs::copy(dist.join(name), work.join(name)).with_context(|| format!("copying {name}"))
    };
    // A small file stands for all, so that the copy is small.
    copy("CHANGES.md")?;
    let listed = process::capture(Command::new("sha256sum").arg("CHANGES.md").current_dir(work))?;
    let sums = work.join("SHA256SUMS");
    let write = |file: &Path, text: &str| {
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    };
    write(&sums, &listed)?;
    let (secret, public) = throw_away_key(work)?;
    sign(&sums, &secret, version)?;
    verify(&sums, &public)?;

    let refused = |what: &str| match verify(&sums, &public) {
        Ok(()) => bail!("{what} passed for the release"),
        Err(_) => Ok(()),
    };
    write(&work.join("CHANGES.md"), "changed\n")?;
    refused("a changed file")?;
    // Its right hash: the signature alone can refuse it.
    let changed = process::capture(Command::new("sha256sum").arg("CHANGES.md").current_dir(work))?;
    write(&sums, &changed)?;
    refused("changed hashes")?;
    copy("CHANGES.md")?;
    write(&sums, &listed)?;
    verify(&sums, &public)?;
    throw_away_key(work)?;
    refused("a signature of another key")?;
    Ok("signed and verified; a changed file, changed hashes and another key were refused".into())
}
