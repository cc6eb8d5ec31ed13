// SPDX-License-Identifier: MIT OR Apache-2.0
//! An image's files: a directory's, or those of the ext4 in a file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use ext4_view::{Ext4, Ext4Error};

use super::sparse::Sparse;
use crate::Host;

/// No file that is looked at is longer, in bytes.
const LIMIT: u64 = 32 << 20;
/// A directory with more names is none of Android's.
const NAMES: usize = 10_000;

/// Why an image cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// Where it lies.
        path: String,
        /// What open(2) or read(2) said.
        error: io::Error,
    },
    /// It is of a form that is known and not read here.
    #[error(
        "{path} holds {form}, which is not read here. Mount it, and name the directory: sudo mount \
         -o loop,ro {path} /mnt && ashmem doctor --image /mnt"
    )]
    Form {
        /// Where it lies.
        path: String,
        /// What it is.
        form: &'static str,
    },
    /// It is of no form that is known.
    #[error(
        "{path} is no directory, and holds no ext4: --image wants a root directory of Android or \
         its system.img"
    )]
    Unknown {
        /// Where it lies.
        path: String,
    },
    /// Its ext4 is damaged.
    #[error("the ext4 in {path} cannot be read: {error}")]
    Ext4 {
        /// Where it lies.
        path: String,
        /// What is wrong with it.
        error: Ext4Error,
    },
}

enum Files {
    Directory(Host),
    Ext4(Box<Ext4>),
}

/// The files of an image; where the vendor partition is a file of its own, it stands at `/vendor`.
pub struct ImageTree {
    files: Files,
    form: &'static str,
    vendor: Option<Box<ImageTree>>,
}

impl ImageTree {
    /// Opens an image.
    ///
    /// # Errors
    /// If it cannot be read, or is of no form that is known here.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut tree = Self::open_one(path)?;
        // Waydroid keeps the two as files beside each other.
        let is_system = path.file_name().is_some_and(|name| name == "system.img");
        let vendor = path.with_file_name("vendor.img");
        if is_system && vendor.is_file() {
            tree.vendor = Some(Box::new(Self::open_one(&vendor)?));
        }
        Ok(tree)
    }

    fn open_one(path: &Path) -> Result<Self, Error> {
        let shown = || path.display().to_string();
        let failed = |error| Error::Read { path: shown(), error };
        if path.is_dir() {
            let host = Host::at(path).map_err(|error| failed(error.into()))?;
            return Ok(Self { files: Files::Directory(host), form: "directory", vendor: None });
        }
        // Before it is opened: opening a pipe waits.
        if !path.metadata().map_err(failed)?.is_file() {
            return Err(Error::Unknown { path: shown() });
        }
        let mut file = File::open(path).map_err(failed)?;
        let mut head = vec![0; 4096];
        let length = read_up_to(&mut file, &mut head).map_err(failed)?;
        head.truncate(length);
        let ext4 = |error| Error::Ext4 { path: shown(), error };
        let (files, form) = match ImageForm::of(&head) {
            ImageForm::Sparse => {
                let sparse = Sparse::open(file).map_err(failed)?;
                (Ext4::load(Box::new(sparse)).map_err(ext4)?, "sparse")
            }
            ImageForm::Ext4 => {
                file.seek(SeekFrom::Start(0)).map_err(failed)?;
                (Ext4::load(Box::new(file)).map_err(ext4)?, "ext4")
            }
            ImageForm::Other(form) => return Err(Error::Form { path: shown(), form }),
            ImageForm::Unknown => return Err(Error::Unknown { path: shown() }),
        };
        Ok(Self { files: Files::Ext4(Box::new(files)), form, vendor: None })
    }

    /// What it is on the disk.
    pub fn form(&self) -> &'static str {
        self.form
    }

    /// A file's bytes; `None` where there is none, or one that is too long.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        if let Some((vendor, inner)) = self.in_vendor(path) {
            return vendor.bytes(inner);
        }
        match &self.files {
            Files::Directory(host) => host.bytes(path),
            Files::Ext4(ext4) => {
                let metadata = ext4.metadata(path).ok()?;
                if !metadata.file_type().is_regular_file() || metadata.len() > LIMIT {
                    return None;
                }
                ext4.read(path).ok()
            }
        }
    }

    /// A file's text.
    pub fn text(&self, path: &str) -> Option<String> {
        self.bytes(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The names in a directory, in order.
    pub fn names(&self, directory: &str) -> Vec<String> {
        if let Some((vendor, inner)) = self.in_vendor(directory) {
            return vendor.names(inner);
        }
        match &self.files {
            Files::Directory(host) => host.names(directory),
            Files::Ext4(ext4) => {
                let Ok(entries) = ext4.read_dir(directory) else { return Vec::new() };
                let names = entries
                    .filter_map(Result::ok)
                    .map(|entry| entry.file_name().display().to_string())
                    .filter(|name| name != "." && name != "..");
                let mut names: Vec<_> = names.take(NAMES).collect();
                names.sort_unstable();
                names
            }
        }
    }

    /// Whether a file is there.
    pub fn has(&self, path: &str) -> bool {
        match &self.files {
            Files::Directory(host) => host.has(path),
            Files::Ext4(ext4) => ext4.exists(path).unwrap_or(false),
        }
    }

    fn in_vendor<'a>(&self, path: &'a str) -> Option<(&ImageTree, &'a str)> {
        let inner = path.strip_prefix("/vendor")?;
        let inner = if inner.is_empty() { "/" } else { inner };
        Some((self.vendor.as_deref()?, inner))
    }
}

/// What a file holds, by its first bytes.
enum ImageForm {
    Ext4,
    Sparse,
    Other(&'static str),
    Unknown,
}

impl ImageForm {
    fn of(head: &[u8]) -> Self {
        let at = |place: usize, magic: &[u8]| {
            head.get(place..).is_some_and(|rest| rest.starts_with(magic))
        };
        if at(0, &[0x3a, 0xff, 0x26, 0xed]) {
            Self::Sparse
        } else if at(1080, &[0x53, 0xef]) {
            Self::Ext4
        } else if at(1024, &[0xe2, 0xe1, 0xf5, 0xe0]) {
            Self::Other("erofs")
        } else if at(1024, &[0x10, 0x20, 0xf5, 0xf2]) {
            Self::Other("f2fs")
        } else if at(0, b"hsqs") {
            Self::Other("squashfs")
        } else {
            Self::Unknown
        }
    }
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
