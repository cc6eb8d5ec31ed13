// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a holder of regions is known by, at one moment and at the next.

use std::fmt;

use serde::Serialize;

use ashmem_trace::text::Text;

use crate::container::Container;
use crate::process::Process;
use crate::region::CensusRegion;

/// Holders that are named one by one.
const FEW: usize = 3;

/// Which holders are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolderIdentity {
    /// Those of one number and name: within one boot.
    Process,
    /// Those of one name in one container, however many processes and however often it was started.
    Program,
}

/// A process, or a program, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct HolderName {
    /// Its number where the census was taken; `None` for a program.
    pub pid: Option<i32>,
    /// Its name as a list of processes shows it; of an Android application, its package.
    pub command: Text,
    /// `None` for the host's own.
    pub container: Option<Container>,
}

impl HolderName {
    /// Of a process.
    pub fn of(process: &Process, identity: HolderIdentity) -> Self {
        Self {
            pid: (identity == HolderIdentity::Process).then_some(process.pid),
            command: process.command.clone(),
            container: process.container.clone(),
        }
    }

    /// Of all that hold or map a region, each once, in order.
    pub fn all_of(region: &CensusRegion, identity: HolderIdentity) -> Vec<Self> {
        let mut names: Vec<Self> =
            region.holders.iter().map(|holder| Self::of(&holder.process, identity)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Several in one line: the first ones, and how many there are besides. A container that they
    /// all are in is told once.
    pub fn line(names: &[Self]) -> String {
        let shared = names.first().and_then(|first| first.container.as_ref());
        let shared = shared.filter(|_| names.iter().all(|name| name.container.as_ref() == shared));
        let word = |name: &Self| match shared {
            Some(_) => Self { container: None, ..name.clone() }.to_string(),
            None => name.to_string(),
        };
        let mut words: Vec<String> = names.iter().take(FEW).map(word).collect();
        if names.len() > FEW {
            words.push(format!("{} more", names.len() - FEW));
        }
        let container = match (shared, names.len()) {
            (None, _) => String::new(),
            (Some(container), 1) => format!(" in {container}"),
            (Some(container), _) => format!(", all in {container}"),
        };
        words.join(", ") + &container
    }
}

impl fmt::Display for HolderName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pid) = self.pid {
            write!(formatter, "{pid} ")?;
        }
        write!(formatter, "{}", self.command)?;
        match &self.container {
            Some(container) => write!(formatter, " in {container}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HolderName;
    use crate::container::Container;
    use ashmem_trace::text::Text;

    #[test]
    fn a_shared_container_is_told_once_and_many_are_counted() {
        let of = |pid, id: Option<&str>| HolderName {
            pid: Some(pid),
            command: Text::from("app"),
            container: id.map(|id| Container { runtime: "lxc", id: id.to_owned(), pod: None }),
        };
        let line = |names: &[HolderName]| HolderName::line(names);
        assert_eq!(line(&[of(1, Some("w"))]), "1 app in lxc:w");
        assert_eq!(line(&[of(1, Some("w")), of(2, Some("w"))]), "1 app, 2 app, all in lxc:w");
        assert_eq!(line(&[of(1, None), of(2, Some("w"))]), "1 app, 2 app in lxc:w");
        let several = [of(1, Some("v")), of(2, Some("w"))];
        assert_eq!(line(&several), "1 app in lxc:v, 2 app in lxc:w");
        let many: Vec<_> = (1..=5).map(|pid| of(pid, None)).collect();
        assert_eq!(line(&many), "1 app, 2 app, 3 app, 2 more");
        assert_eq!(line(&[]), "");
    }
}
