// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waydroid's two images, with a small program in place of Android.

use crate::util::process;
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Waydroid and its configuration mount something.
const FOLDERS: [&str; 14] = [
    "apex",
    "data",
    "dev",
    "mnt_extra",
    "odm_extra",
    "proc",
    "product",
    "run",
    "sys",
    "system/bin",
    "tmp",
    "var",
    "vendor",
    "vendor_extra",
];

/// Makes `system.img` and `vendor.img` in a folder; the program is `/init` and
/// `/system/bin/client`.
pub(super) fn make(folder: &Path, program: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let (system, vendor) = (folder.join("system"), folder.join("vendor"));
    for name in FOLDERS {
        fs::create_dir_all(system.join(name)).context("making the image's folders")?;
    }
    for place in ["init", "system/bin/client"] {
        let place = system.join(place);
        fs::copy(program, &place).with_context(|| format!("copying {}", program.display()))?;
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755))
            .context("making it executable")?;
    }
    // Waydroid asks which Android this is: 11.
    fs::write(system.join("system/build.prop"), "ro.build.version.sdk=30\n")
        .context("writing build.prop")?;
    fs::create_dir_all(vendor.join("etc/host-permissions"))
        .context("making the image's folders")?;
    fs::write(vendor.join("waydroid.prop"), "").context("making the properties' place")?;
    for (tree, mebibytes) in [(&system, 32), (&vendor, 4)] {
        make_one(&tree.with_extension("img"), mebibytes, Some(tree))?;
        fs::remove_dir_all(tree).context("removing what went into an image")?;
    }
    Ok(())
}

/// Makes an empty file system in a file.
pub(super) fn empty(image: &Path, mebibytes: u64) -> Result<()> {
    make_one(image, mebibytes, None)
}

fn make_one(image: &Path, mebibytes: u64, tree: Option<&PathBuf>) -> Result<()> {
    let file = fs::File::create(image).with_context(|| format!("making {}", image.display()))?;
    file.set_len(mebibytes << 20).context("sizing an image")?;
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").args(["-q", "-F"]);
    if let Some(tree) = tree {
        mkfs.arg("-d").arg(tree);
    }
    process::capture(mkfs.arg(image)).map(drop)
}
