// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which container a process belongs to, by its control groups.

use std::fmt;

use serde::Serialize;

use crate::text::Text;

/// A container as its runtime calls it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Container {
    /// `docker`, `podman`, `containerd`, `cri-o`, `lxc`, `nspawn`; or `pidns`, where only the PID
    /// namespace gives it away.
    pub runtime: &'static str,
    /// The runtime's id or name of it.
    pub id: String,
    /// The Kubernetes pod's UID, if it is in one.
    pub pod: Option<String>,
}

/// How many digits of an id are shown, as container tools do.
const SHOWN: usize = 12;

/// What stands before a container's id in the name of a control group.
const PREFIXES: &[(&str, &str)] = &[
    ("docker-", "docker"),
    ("libpod-", "podman"),
    ("crio-", "cri-o"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("lxc.payload.", "lxc"),
    ("machine-", "nspawn"),
];

/// Folders whose children are named as containers are.
const FOLDERS: &[(&str, &str)] =
    &[("docker", "docker"), ("lxc", "lxc"), ("lxc.payload", "lxc"), ("libpod", "podman")];

impl Container {
    /// From a process's `/proc/PID/cgroup`; `None` for one of the host's own.
    pub fn of_cgroups(text: &[u8]) -> Option<Self> {
        let mut pod = None;
        let mut found = None;
        for path in lines(text).filter_map(path_of) {
            pod = pod.or_else(|| path.split('/').find_map(pod_of));
            found = found.or_else(|| of_path(&path));
        }
        match (found, pod) {
            (Some((runtime, id)), pod) => Some(Self { runtime, id, pod }),
            // Within a pod, the last folder is the container, named by its id alone where cgroupfs
            // is the driver.
            (None, Some(pod)) => {
                let id = lines(text).filter_map(path_of).find_map(|path| {
                    path.rsplit('/').next().filter(|name| is_id(name)).map(str::to_owned)
                })?;
                Some(Self { runtime: "containerd", id, pod: Some(pod) })
            }
            (None, None) => None,
        }
    }

    /// One that no control group names: the process has a number of its own in another PID
    /// namespace. The folder of its control group is the best name there is, as with a bare `runc
    /// run NAME`.
    pub fn of_namespace(cgroups: &[u8]) -> Self {
        let name = lines(cgroups).filter_map(path_of).find_map(|path| {
            let last = path.rsplit('/').next().unwrap_or_default();
            let is_telling =
                !last.is_empty() && !last.ends_with(".scope") && !last.ends_with(".service");
            is_telling.then(|| last.to_owned())
        });
        Self { runtime: "pidns", id: name.unwrap_or_else(|| "?".to_owned()), pod: None }
    }

    /// Whether this text means it: its name, the beginning of its id or of its pod's, or the way it
    /// is shown.
    pub fn is_meant_by(&self, text: &str) -> bool {
        let begins = |whole: &str, least: usize| text.len() >= least && whole.starts_with(text);
        self.id == text
            || (is_id(&self.id) && begins(&self.id, 4))
            || self.pod.as_deref().is_some_and(|pod| begins(pod, 4))
            || self.to_string() == text
            || text
                .split_once(':')
                .is_some_and(|(runtime, id)| runtime == self.runtime && self.is_meant_by(id))
    }
}

impl fmt::Display for Container {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = if is_id(&self.id) { &self.id[..SHOWN] } else { &self.id };
        if let Some(pod) = &self.pod {
            write!(formatter, "pod:{}/", pod.get(..8).unwrap_or(pod))?;
        }
        write!(formatter, "{}:{short}", self.runtime)
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

/// The path in a line `number:controllers:path`, escaped as names are.
fn path_of(line: &[u8]) -> Option<String> {
    let mut fields = line.splitn(3, |byte| *byte == b':');
    std::str::from_utf8(fields.next()?).ok()?.parse::<u32>().ok()?;
    let path = fields.nth(1)?;
    Some(Text::from(path).to_string())
}

/// The container that a control group's path names, the innermost where they are nested.
fn of_path(path: &str) -> Option<(&'static str, String)> {
    let folders: Vec<&str> = path.split('/').collect();
    for (place, folder) in folders.iter().enumerate().rev() {
        let scope = folder.strip_suffix(".scope");
        for (prefix, runtime) in PREFIXES {
            if let Some(id) = scope.unwrap_or(folder).strip_prefix(prefix)
                && !id.is_empty()
                // Only nspawn's names are anything; the others' scopes are ids, or podman's own
                // helpers.
                && (*runtime == "lxc" || (*runtime == "nspawn" && scope.is_some()) || is_id(id))
            {
                return Some((runtime, id.replace("\\\\x2d", "-")));
            }
        }
        let parent = place.checked_sub(1).and_then(|parent| folders.get(parent));
        if let Some((_, runtime)) = FOLDERS.iter().find(|(name, _)| parent == Some(name))
            && !folder.is_empty()
        {
            return Some((runtime, (*folder).to_owned()));
        }
    }
    None
}

/// A pod's UID in a folder such as `kubepods-burstable-pod1234_5678.slice` or `pod1234-5678`.
fn pod_of(folder: &str) -> Option<String> {
    let name = folder.strip_suffix(".slice").unwrap_or(folder);
    let uid = match name.rsplit_once("-pod") {
        Some((before, uid)) if before.starts_with("kubepods") => uid,
        _ => name.strip_prefix("pod")?,
    };
    let is_uid = uid.len() >= 32
        && uid.chars().all(|digit| digit.is_ascii_hexdigit() || matches!(digit, '-' | '_'));
    is_uid.then(|| uid.replace('_', "-"))
}

/// Whether it is an id of 64 hexadecimal digits.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::Container;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn shown(path: &str) -> String {
        let text = format!("12:pids:{path}\n0::{path}\n");
        Container::of_cgroups(text.as_bytes())
            .map_or_else(|| "host".to_owned(), |container| container.to_string())
    }

    #[test]
    fn runtimes_are_known_by_their_groups() {
        for (path, wanted) in [
            ("/", "host"),
            ("/system.slice/ssh.service", "host"),
            ("/user.slice/user-1000.slice/session-3.scope", "host"),
            (&format!("/docker/{ID}"), "docker:0123456789ab"),
            (&format!("/system.slice/docker-{ID}.scope/init"), "docker:0123456789ab"),
            (&format!("/machine.slice/libpod-{ID}.scope/container"), "podman:0123456789ab"),
            (&format!("/system.slice/libpod-conmon-{ID}.scope"), "host"),
            ("/lxc/waydroid", "lxc:waydroid"),
            ("/lxc.payload.waydroid/init.scope", "lxc:waydroid"),
            ("/machine.slice/machine-a\\x2db.scope/payload", "nspawn:a-b"),
            (
                &format!(
                    "/kubepods.slice/kubepods-burstable.slice/\
                     kubepods-burstable-pod11112222_3333_4444_5555_666677778888.slice/\
                     cri-containerd-{ID}.scope"
                ),
                "pod:11112222/containerd:0123456789ab",
            ),
            (
                &format!("/kubepods/besteffort/pod11112222-3333-4444-5555-666677778888/{ID}"),
                "pod:11112222/containerd:0123456789ab",
            ),
        ] {
            assert_eq!(shown(path), wanted, "{path}");
        }
    }

    #[test]
    fn a_container_is_meant_by_its_name_or_the_beginning_of_its_id() {
        let docker = Container { runtime: "docker", id: ID.to_owned(), pod: None };
        for text in [ID, "0123", "docker:0123456789ab", "docker:01234"] {
            assert!(docker.is_meant_by(text), "{text}");
        }
        for text in ["", "012", "1234", "lxc:0123456789ab"] {
            assert!(!docker.is_meant_by(text), "{text}");
        }
        let lxc = Container { runtime: "lxc", id: "waydroid".to_owned(), pod: None };
        assert!(
            lxc.is_meant_by("waydroid")
                && lxc.is_meant_by("lxc:waydroid")
                && !lxc.is_meant_by("wayd")
        );
    }

    #[test]
    fn without_a_known_runtime_the_group_names_it() {
        assert_eq!(Container::of_namespace(b"1:pids:/\n0::/test7\n").to_string(), "pidns:test7");
        assert_eq!(Container::of_namespace(b"0::/user.slice/a.scope\n").to_string(), "pidns:?");
    }
}
