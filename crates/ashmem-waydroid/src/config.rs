// SPDX-License-Identifier: MIT OR Apache-2.0
//! LXC's configuration files: `key = value` lines, with files included where they are named.

use std::fs;

use crate::host::{FileError, HostFiles};

/// A configuration with all that it includes, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config(Vec<(String, String)>);

/// Why a configuration is not one that LXC would take.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of it is not there.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line says nothing.
    #[error("{path}, line {line}: {text:?} is neither `key = value` nor a comment")]
    Line {
        /// The file.
        path: String,
        /// The line's number, from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// It includes itself.
    #[error("{path} is included within itself, or deeper than {DEPTH} files")]
    Deep {
        /// The file.
        path: String,
    },
}

/// Files may include files; Waydroid's do so once.
const DEPTH: usize = 8;

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// A file of it is missing or damaged.
    pub fn read(host: &HostFiles, path: &str) -> Result<Self, Error> {
        let mut pairs = Vec::new();
        read_into(&mut pairs, host, path, 0)?;
        Ok(Self(pairs))
    }

    /// The value that holds: the last one given.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// What is mounted at a place in the container, last of all: the source.
    pub fn mounted_at(&self, place: &str) -> Option<&str> {
        self.0.iter().rev().filter(|(key, _)| key == "lxc.mount.entry").find_map(|(_, entry)| {
            let mut words = entry.split_whitespace();
            let (source, target) = (words.next()?, words.next()?);
            (target.trim_start_matches('/') == place).then_some(source)
        })
    }
}

fn read_into(
    pairs: &mut Vec<(String, String)>,
    host: &HostFiles,
    path: &str,
    depth: usize,
) -> Result<(), Error> {
    if depth == DEPTH {
        return Err(Error::Deep { path: path.to_owned() });
    }
    let text = host.read(path)?;
    for (number, text) in (1..).zip(text.lines()) {
        let line = text.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let pair = line.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
        let Some((key, value)) = pair.filter(|(key, _)| key.starts_with("lxc.")) else {
            return Err(Error::Line { path: path.to_owned(), line: number, text: text.to_owned() });
        };
        if key != "lxc.include" {
            pairs.push((key.to_owned(), value.to_owned()));
            continue;
        }
        for file in files_of(host, value)? {
            read_into(pairs, host, &file, depth + 1)?;
        }
    }
    Ok(())
}

/// What an include names: a file, or the `*.conf` of a directory.
fn files_of(host: &HostFiles, place: &str) -> Result<Vec<String>, FileError> {
    let path = host.at(place);
    if !path.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let entries =
        fs::read_dir(&path).map_err(|error| FileError { what: "listing", path, error })?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| name.ends_with(".conf")).map(|name| format!("{place}/{name}")).collect())
}
