// SPDX-License-Identifier: MIT OR Apache-2.0
//! The seccomp policies that an image's init puts its services under, in minijail's form.

use serde::Serialize;

use super::properties::plain;
use super::tree::ImageTree;

const FOLDERS: [&str; 4] = [
    "/system/etc/seccomp_policy",
    "/vendor/etc/seccomp_policy",
    "/etc/seccomp_policy",
    "/apex/com.android.media.swcodec/etc/seccomp_policy",
];

/// A policy.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct SeccompPolicy {
    /// The file.
    pub path: String,
    /// Whether its service may call memfd_create(2).
    pub allows_memfd: bool,
    /// Whether it is one of the media services', which make shared memory.
    pub is_for_media: bool,
}

/// An image's policies.
pub(super) fn all(tree: &ImageTree) -> Vec<SeccompPolicy> {
    let mut policies = Vec::new();
    for folder in FOLDERS {
        for name in tree.names(folder).iter().filter(|name| name.ends_with(".policy")) {
            let path = format!("{folder}/{name}");
            let Some(text) = tree.text(&path) else { continue };
            // Parts that others include, and additions of a device, are no service's by themselves.
            if name.contains("crash_dump") || name.contains("code_coverage") {
                continue;
            }
            let included = text.lines().filter_map(|line| line.trim().strip_prefix("@include "));
            let allows_memfd = allows(&text)
                || included.filter_map(|path| tree.text(path.trim())).any(|text| allows(&text));
            policies.push(SeccompPolicy {
                path: plain(&path),
                allows_memfd,
                is_for_media: name.contains("media") || name.contains("codec"),
            });
        }
    }
    policies
}

/// Whether a policy's own lines allow memfd_create: `memfd_create: 1`, or with conditions.
fn allows(text: &str) -> bool {
    text.lines().any(|line| {
        let rule = line.split('#').next().unwrap_or_default().trim();
        rule.split_once(':').is_some_and(|(call, rule)| {
            call.trim() == "memfd_create" && !rule.trim().starts_with("return")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::allows;

    #[test]
    fn a_policy_allows_what_it_names() {
        assert!(allows("futex: 1\nmemfd_create: 1\n"));
        assert!(!allows("futex: 1\n# memfd_create: 1\n"));
        assert!(!allows("memfd_create: return 1\n"));
        assert!(!allows("memfd_create2: 1\n"));
    }
}
