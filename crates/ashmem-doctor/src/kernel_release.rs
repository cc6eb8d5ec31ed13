// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel's release, such as `6.1.0-53-amd64`.

use std::cmp::Ordering;

use crate::Host;

/// The version that a release begins with: its first two numbers. `None` if it begins with none.
pub fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|sign: char| !sign.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The releases of the kernels that are installed, the oldest first.
pub fn installed(host: &Host) -> Vec<String> {
    // A folder may stay behind when its kernel is removed, or come with the headers alone, and not
    // every distribution names the kernel's file after its release.
    const NAMED: &str = "/boot/vmlinuz-{}";
    const AMONG_MODULES: &str = "/lib/modules/{}/vmlinuz";
    const MODULES: &str = "/lib/modules/{}/modules.builtin";
    // Debian's kernels from 7 on leave even their image there, and its own tools ask /boot. Others
    // may boot from elsewhere, and have old files in /boot.
    let signs: &[&[&str]] = if host.has("/var/lib/dpkg/status") {
        &[&[NAMED], &[AMONG_MODULES], &[MODULES]]
    } else {
        &[&[NAMED, AMONG_MODULES], &[MODULES]]
    };
    let has = |signs: &[&str], release: &str| {
        signs.iter().any(|sign| host.has(&sign.replace("{}", release)))
    };
    let folders = host.names("/lib/modules");
    let signs = signs.iter().find(|signs| folders.iter().any(|release| has(signs, release)));
    let Some(signs) = signs else { return Vec::new() };
    // The running one counts until the next boot.
    let running = host.kernel();
    let mut installed: Vec<_> = folders
        .into_iter()
        .filter(|release| has(signs, release) || (*release == running && has(&[MODULES], release)))
        .collect();
    installed.sort_by(|one, other| compare(one, other));
    installed
}

/// Which release is the newer one: numbers as numbers, the rest letter by letter.
pub fn compare(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (parts(one).into_iter(), parts(other).into_iter());
    loop {
        match (one.next(), other.next()) {
            (None, None) => return Ordering::Equal,
            // 6.1 comes before 6.1.2, and after 6.1-rc3 or 6.1~1.
            (None, Some(more)) => {
                return if is_before_release(&more) { Ordering::Greater } else { Ordering::Less };
            }
            (Some(more), None) => {
                return if is_before_release(&more) { Ordering::Less } else { Ordering::Greater };
            }
            (Some(one), Some(other)) => {
                let order = match (one.parse::<u64>(), other.parse::<u64>()) {
                    (Ok(one), Ok(other)) => one.cmp(&other),
                    _ => one.cmp(&other),
                };
                if order != Ordering::Equal {
                    return order;
                }
            }
        }
    }
}

fn is_before_release(part: &str) -> bool {
    part.starts_with('~') || part.starts_with("-rc")
}

/// Runs of digits, and runs of what is no digit.
fn parts(release: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for sign in release.chars() {
        match parts.last_mut() {
            Some(part)
                if part.ends_with(|last: char| last.is_ascii_digit()) == sign.is_ascii_digit() =>
            {
                part.push(sign)
            }
            _ => parts.push(sign.to_string()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::{compare, installed, version};
    use crate::Host;

    #[test]
    fn modules_without_their_kernel_are_no_kernel() {
        let root = tempfile::tempdir().expect("a folder");
        let file = |path: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            std::fs::write(path, "").expect("a file");
        };
        let found = || installed(&Host::at(root.path()).expect("the root"));
        file("lib/modules/7.3.4+deb13-amd64/modules.builtin");
        file("lib/modules/6.12.1/build/Makefile");
        assert_eq!(found(), ["7.3.4+deb13-amd64"], "kernels have other names here");
        file("lib/modules/6.11.2/vmlinuz");
        assert_eq!(found(), ["6.11.2"], "kernels lie with their modules here");
        file("boot/vmlinuz-6.12.1");
        assert_eq!(found(), ["6.11.2", "6.12.1"], "each has its kernel, and one has gone");
        file("var/lib/dpkg/status");
        assert_eq!(found(), ["6.12.1"], "Debian's are named in /boot");
        file("proc/sys/kernel/osrelease");
        std::fs::write(root.path().join("proc/sys/kernel/osrelease"), "7.3.4+deb13-amd64\n")
            .expect("the running one");
        assert_eq!(found(), ["6.12.1", "7.3.4+deb13-amd64"], "it runs until the next boot");
    }

    #[test]
    fn releases_are_in_the_order_of_their_making() {
        let order = [
            "5.10.0-9-amd64",
            "5.10.0-30-amd64",
            "6.1-rc3",
            "6.1",
            "6.1.2",
            "6.12.38+deb13-amd64",
            "7.3.4",
        ];
        assert!(order.is_sorted_by(|one, other| compare(one, other).is_lt()));
        assert!(compare("6.1.0-53-amd64", "6.1.0-53-amd64").is_eq());
    }

    #[test]
    fn a_version_is_two_numbers() {
        assert_eq!(version("6.18.44-fc-v595"), Some((6, 18)));
        assert_eq!(version("5.14"), Some((5, 14)));
        assert_eq!(version("next"), None);
    }
}
