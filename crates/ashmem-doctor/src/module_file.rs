// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel module's file: where it lies, for which kernel it was built, whether it is signed.

use std::io::Read;

use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection};

use crate::Host;

/// The module's name.
pub const NAME: &str = "ashmem_linux";

/// What the kernel looks for at a module's end.
const SIGNATURE: &[u8] = b"~Module signature appended~\n";

/// Beyond this a file is not a module but an attack on memory, in bytes.
const LIMIT: u64 = 64 << 20;

/// What a module's file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleFile {
    /// Where it lies.
    pub path: String,
    /// The kernel release it was built for.
    pub built_for: Option<String>,
    /// Its own version.
    pub version: Option<String>,
    /// Whether a signature is appended. Whose, the kernel finds out.
    pub is_signed: bool,
}

/// Why nothing can be said of a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("{0} cannot be read")]
    Unreadable(String),
    /// It is compressed, and not well.
    #[error("{path} cannot be decompressed: {reason}")]
    Compression {
        /// Where it lies.
        path: String,
        /// What the decompressor said.
        reason: String,
    },
    /// It is no module.
    #[error("{path} is no kernel module: {reason}")]
    Format {
        /// Where it lies.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Where a module lies that was built for a kernel; where `modprobe` would look for it first.
pub fn find(host: &Host, release: &str, module: &str) -> Option<String> {
    let names = ["", ".xz", ".zst", ".gz"].map(|ending| format!("{module}.ko{ending}"));
    let names = names.each_ref().map(String::as_str);
    let top = format!("/lib/modules/{release}");
    [
        "updates",
        "extra",
        "weak-updates",
        "kernel/drivers/staging/android",
        "kernel/drivers/android",
        "kernel/ubuntu",
    ]
    .iter()
    .find_map(|folder| host.find(&format!("{top}/{folder}"), &names))
    .or_else(|| names.iter().map(|name| format!("{top}/{name}")).find(|path| host.has(path)))
}

impl ModuleFile {
    /// Reads a file.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn read(host: &Host, path: &str) -> Result<Self, Error> {
        let bytes = host.bytes(path).ok_or_else(|| Error::Unreadable(path.to_owned()))?;
        let bytes = decompress(path, bytes)?;
        let format = |reason: String| Error::Format { path: path.to_owned(), reason };
        let elf = ElfFile64::<Endianness>::parse(bytes.as_slice())
            .map_err(|error| format(error.to_string()))?;
        let section = elf
            .section_by_name(".modinfo")
            .ok_or_else(|| format("it has no .modinfo".to_owned()))?;
        let info = section.data().map_err(|error| format(error.to_string()))?;
        let field = |key: &str| {
            let value = info
                .split(|byte| *byte == 0)
                .find_map(|entry| entry.strip_prefix(key.as_bytes()))?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        Ok(Self {
            path: path.to_owned(),
            built_for: field("vermagic=")
                .map(|magic| magic.split(' ').next().unwrap_or_default().to_owned()),
            version: field("version="),
            is_signed: bytes.ends_with(SIGNATURE),
        })
    }
}

fn decompress(path: &str, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    let failed = |reason: String| Error::Compression { path: path.to_owned(), reason };
    let mut plain = Vec::new();
    if path.ends_with(".gz") {
        let decoder = flate2::read::GzDecoder::new(bytes.as_slice());
        decoder.take(LIMIT).read_to_end(&mut plain).map_err(|error| failed(error.to_string()))?;
    } else if path.ends_with(".zst") {
        let decoder = ruzstd::decoding::StreamingDecoder::new(bytes.as_slice());
        let decoder = decoder.map_err(|error| failed(error.to_string()))?;
        decoder.take(LIMIT).read_to_end(&mut plain).map_err(|error| failed(error.to_string()))?;
    } else if path.ends_with(".xz") {
        lzma_rs::xz_decompress(&mut bytes.as_slice(), &mut Bounded(&mut plain))
            .map_err(|error| failed(format!("{error:?}")))?;
    } else {
        return Ok(bytes);
    }
    Ok(plain)
}

/// A buffer that refuses to grow beyond [`LIMIT`].
struct Bounded<'a>(&'a mut Vec<u8>);

impl std::io::Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if (self.0.len() + bytes.len()) as u64 > LIMIT {
            return Err(std::io::Error::other("it is longer than any module"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
