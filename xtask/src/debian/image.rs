// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel image taken out of its compressed shell, where it has one.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};

/// Places in the x86 boot header, from Linux' `Documentation/arch/x86/boot.rst`.
const SETUP_SECTORS: usize = 0x1f1;
const PAYLOAD_OFFSET: Range<usize> = 0x248..0x24c;
const PAYLOAD_LENGTH: Range<usize> = 0x24c..0x250;

/// What an arm64 image has in its header, from Linux' `Documentation/arch/arm64/booting.rst`.
const ARM64_MAGIC: &[u8] = b"ARM\x64";
const ARM64_MAGIC_PLACE: Range<usize> = 0x38..0x3c;

/// Writes the kernel inside an image to `destination`: out of a bzImage, or an arm64 image as it
/// is.
pub(crate) fn decompress(image: &Path, destination: &Path) -> Result<()> {
    let bytes = fs::read(image).with_context(|| format!("reading {}", image.display()))?;
    if let Some(parent) = destination.parent() {
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    }
    if bytes.get(ARM64_MAGIC_PLACE) == Some(ARM64_MAGIC) {
        return fs::write(destination, &bytes)
            .with_context(|| format!("writing {}", destination.display()));
    }
    let payload = payload(&bytes).with_context(|| {
        format!("{} is no image of an x86 kernel, nor of an arm64 one", image.display())
    })?;
    let program = match payload {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "xz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0x1f, 0x8b, ..] => "gzip",
        _ => bail!("{} is compressed in a way xtask does not know", image.display()),
    };
    let output =
        File::create(destination).with_context(|| format!("creating {}", destination.display()))?;
    let mut child = Command::new(program)
        .args(["-d", "-c", "-q"])
        .stdin(Stdio::piped())
        .stdout(output)
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    let fed = child.stdin.take().context("the decompressor has no stdin")?.write_all(payload);
    let status = child.wait().with_context(|| format!("waiting for {program}"))?;
    if !status.success() {
        bail!("{program} could not decompress {}: {status}", image.display());
    }
    fed.with_context(|| format!("feeding {program}"))
}

/// The compressed kernel, without the size the build appends to it.
fn payload(image: &[u8]) -> Option<&[u8]> {
    const SECTOR: usize = 512;
    const SIZE_AT_END: usize = 4;
    let number = |place: Range<usize>| {
        let bytes = image.get(place)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let sectors = match usize::from(*image.get(SETUP_SECTORS)?) {
        0 => 4,
        sectors => sectors,
    };
    let start = (sectors + 1) * SECTOR + number(PAYLOAD_OFFSET)?;
    let length = number(PAYLOAD_LENGTH)?.checked_sub(SIZE_AT_END)?;
    image.get(start..start.checked_add(length)?)
}
