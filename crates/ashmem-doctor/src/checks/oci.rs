// SPDX-License-Identifier: MIT OR Apache-2.0
//! OCI runtimes and the engines above them.

use crate::check::Check;
use crate::finding::Finding;
use crate::way::Way;
use crate::{Host, kernel_release};

/// Runtimes, and the first version of each that hands listeners over (`listenerPath`).
const RUNTIMES: [(&str, &str); 3] = [("runc", "1.1.0"), ("crun", "0.19"), ("youki", "0.0.1")];
const ENGINES: [&str; 5] = ["docker", "podman", "containerd", "crio", "kubelet"];

/// Which are there, and whether they are new enough for the agent.
pub(super) struct OciCheck;

impl Check for OciCheck {
    fn name(&self) -> &'static str {
        "OCI runtimes"
    }

    fn looks_at(&self) -> &'static str {
        "runc, crun and youki: whether their versions can hand seccomp listeners to the agent; \
         docker, podman, containerd"
    }

    fn ways(&self) -> &'static [Way] {
        &[]
    }

    fn examine(&self, host: &Host) -> Finding {
        let mut found = Vec::new();
        let mut old = Vec::new();
        for (runtime, needed) in RUNTIMES {
            let Some(path) = host.program(runtime) else { continue };
            let version = host.ask(&path, &["--version"]).and_then(|text| number(&text));
            if version
                .as_deref()
                .is_some_and(|version| kernel_release::compare(version, needed).is_lt())
            {
                old.push(format!("{runtime} is older than {needed}"));
            }
            found.push(
                version
                    .map_or_else(|| runtime.to_owned(), |version| format!("{runtime} {version}")),
            );
        }
        found.extend(
            ENGINES
                .iter()
                .filter(|engine| host.program(engine).is_some())
                .map(|engine| (*engine).to_owned()),
        );
        if found.is_empty() {
            return Finding::absent("none");
        }
        if old.is_empty() {
            return Finding::ok(found.join(", "));
        }
        Finding::warning(found.join(", "))
            .why(format!(
                "{}: it ignores or refuses a profile's listenerPath, so the agent cannot serve its \
                 containers",
                old.join(", ")
            ))
            .next(
                "# install a newer one, or give containers the module's device: ashmem doctor \
                 --mode module",
            )
    }
}

/// The first word that is a version.
pub(super) fn number(text: &str) -> Option<String> {
    let word = text
        .split_whitespace()
        .find(|word| word.contains('.') && word.starts_with(|sign: char| sign.is_ascii_digit()))?;
    Some(word.chars().take_while(|sign| sign.is_ascii_digit() || *sign == '.').collect())
}
