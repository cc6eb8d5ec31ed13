// SPDX-License-Identifier: MIT OR Apache-2.0
//! A moment that `ashmem list --json` wrote into a file.

use std::io::{self, Read};
use std::sync::Arc;

use ashmem_inspect::census::VERSION;
use ashmem_inspect::container::Container;
use ashmem_inspect::process::Process;
use ashmem_inspect::region::{CensusRegion, Holder, RegionKind, RegionMapping};
use ashmem_trace::text::Text;
use serde::Deserialize;

/// A moment that was written down.
#[derive(Debug)]
pub struct SavedCensus {
    /// Seconds since 1970.
    pub taken: f64,
    /// The regions that it was asked for.
    pub regions: Vec<CensusRegion>,
    /// What could not be seen, a sentence each.
    pub limits: Vec<String>,
}

/// It is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read at all.
    #[error("reading it: {0}")]
    Read(#[from] io::Error),
    /// It is something else.
    #[error("it is no census ({0}): `ashmem list --json > FILE` writes one")]
    NoCensus(String),
    /// A later program wrote it.
    #[error("its form is of version {0}, and this program knows {VERSION}: take a newer one")]
    Later(u32),
}

/// The version, whatever else there is.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// As it stands in the file. What came to the form later may be missing.
#[derive(Deserialize)]
struct CensusDocument {
    taken: f64,
    regions: Vec<SavedRegion>,
    #[serde(default)]
    limits: Vec<String>,
}

#[derive(Deserialize)]
struct SavedRegion {
    id: Option<u64>,
    kind: SavedKind,
    name: Text,
    size: Option<u64>,
    resident: Option<u64>,
    #[serde(default)]
    created: Option<f64>,
    holders: Vec<SavedHolder>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum SavedKind {
    Device,
    Agent,
    #[serde(other)]
    Memfd,
}

#[derive(Deserialize)]
struct SavedHolder {
    process: SavedProcess,
    #[serde(default)]
    descriptors: Vec<i32>,
    mappings: Vec<SavedMapping>,
    #[serde(default)]
    share: u64,
}

#[derive(Deserialize)]
struct SavedProcess {
    pid: i32,
    inner_pid: i32,
    #[serde(default)]
    user: Option<u32>,
    command: Text,
    container: Option<SavedContainer>,
}

#[derive(Deserialize)]
struct SavedContainer {
    runtime: String,
    id: String,
    pod: Option<String>,
}

#[derive(Deserialize)]
struct SavedMapping {
    start: u64,
    end: u64,
    offset: u64,
    rights: String,
}

/// Reads a moment. Of several, as `--watch` writes them, it is the last one that is whole.
///
/// # Errors
/// See [`Error`].
pub fn read(mut from: impl Read) -> Result<SavedCensus, Error> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    let mut last = None;
    let mut wrong = "it is empty".to_owned();
    let documents = serde_json::Deserializer::from_slice(&bytes);
    for document in documents.into_iter::<serde_json::Value>() {
        match document {
            Ok(document) => last = Some(document),
            Err(error) => wrong = error.to_string(),
        }
    }
    let last = last.ok_or(Error::NoCensus(wrong))?;
    let no_census = |error: serde_json::Error| Error::NoCensus(error.to_string());
    let Versioned { version } = Versioned::deserialize(&last).map_err(no_census)?;
    if version > VERSION {
        return Err(Error::Later(version));
    }
    let document: CensusDocument = serde_json::from_value(last).map_err(no_census)?;
    let regions = document.regions.into_iter().map(region).collect();
    Ok(SavedCensus { taken: document.taken, regions, limits: document.limits })
}

fn region(saved: SavedRegion) -> CensusRegion {
    CensusRegion {
        id: saved.id,
        kind: match saved.kind {
            SavedKind::Device => RegionKind::Device,
            SavedKind::Agent => RegionKind::Agent,
            SavedKind::Memfd => RegionKind::Memfd,
        },
        name: Arc::new(saved.name),
        size: saved.size,
        resident: saved.resident,
        mask: None,
        pages: None,
        created: saved.created,
        supervisor: None,
        holders: saved.holders.into_iter().map(holder).collect(),
    }
}

fn holder(saved: SavedHolder) -> Holder {
    let SavedProcess { pid, inner_pid, user, command, container } = saved.process;
    let container = container.map(|SavedContainer { runtime, id, pod }| Container {
        runtime: known(&runtime),
        id,
        pod,
    });
    let mapping = |SavedMapping { start, end, offset, rights }: SavedMapping| RegionMapping {
        start,
        end,
        offset,
        rights: rights.as_bytes().try_into().unwrap_or(*b"????"),
    };
    Holder {
        process: Arc::new(Process { pid, inner_pid, user, command, container }),
        descriptors: saved.descriptors,
        mappings: saved.mappings.into_iter().map(mapping).collect(),
        share: saved.share,
    }
}

/// The runtime of this name; of a later version's, that it is one.
fn known(runtime: &str) -> &'static str {
    const ALL: [&str; 7] = ["docker", "podman", "containerd", "cri-o", "lxc", "nspawn", "pidns"];
    ALL.into_iter().find(|known| *known == runtime).unwrap_or("container")
}

#[cfg(test)]
mod tests {
    use super::{Error, read};

    const ONE: &str = r#"{"version": 1, "taken": 5.5, "page_size": 4096, "regions": [
        {"id": null, "kind": "of a later version", "name": "a\\n", "size": null, "resident": 4096,
         "new": 1, "holders": [{"mappings": [], "process": {"pid": 7, "inner_pid": 1,
         "command": "app", "container": {"runtime": "lxc", "id": "w", "pod": null}}}]}]}"#;

    #[test]
    fn what_an_earlier_or_a_later_program_wrote_is_read() {
        let census = read(ONE.as_bytes()).expect("a census");
        let region = &census.regions[0];
        assert_eq!((census.taken, region.size, region.resident), (5.5, None, Some(4096)));
        assert_eq!((region.name.as_bytes(), region.created), (&b"a\n"[..], None));
        assert!(region.is_unmapped());
        let holder = &region.holders[0].process;
        assert_eq!((holder.pid, holder.user), (7, None));
        assert_eq!(holder.container.as_ref().map(ToString::to_string).as_deref(), Some("lxc:w"));
    }

    #[test]
    fn of_many_documents_the_last_whole_one_counts() {
        let later = ONE.replace("5.5", "9.5");
        let cut = &ONE[..ONE.len() / 2];
        let census = read(format!("{ONE}\n{later}\n{cut}").as_bytes()).expect("a census");
        assert_eq!(census.taken, 9.5);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "\n", "{}", "[1]", "ID KIND", "\u{0}", &ONE[..90]] {
            let error = read(text.as_bytes()).map(|_| ()).expect_err(text);
            assert!(error.to_string().contains("ashmem list --json > FILE"), "{text:?}: {error}");
        }
        let later = ONE.replace("\"version\": 1", "\"version\": 2");
        assert!(matches!(read(later.as_bytes()), Err(Error::Later(2))));
    }
}
