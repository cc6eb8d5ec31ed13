// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where things are mounted, by a `mountinfo`.

/// A mount.
#[derive(Debug, PartialEq, Eq)]
pub struct Mount<'a> {
    /// Where.
    pub point: &'a str,
    /// Its own options, such as `rw,nosuid,nodev`.
    pub options: &'a str,
    /// The file system's name.
    pub kind: &'a str,
}

impl Mount<'_> {
    /// Whether device nodes on it cannot be opened.
    pub fn is_nodev(&self) -> bool {
        self.options.split(',').any(|option| option == "nodev")
    }
}

/// The mount that a path lies on; the last of those that cover it equally.
pub fn covering<'a>(mountinfo: &'a str, path: &str) -> Option<Mount<'a>> {
    let covers = |mount: &Mount<'_>| {
        let rest = path.strip_prefix(mount.point);
        mount.point == "/" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    mountinfo.lines().filter_map(parse).filter(covers).max_by_key(|mount| mount.point.len())
}

fn parse(line: &str) -> Option<Mount<'_>> {
    let (mount, system) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(4);
    Some(Mount { point: fields.next()?, options: fields.next()?, kind: system.split(' ').next()? })
}

#[cfg(test)]
mod tests {
    use super::covering;

    const INFO: &str = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
        24 22 0:6 / /dev rw,nosuid shared:2 - devtmpfs udev rw\n\
        31 24 0:9 / /dev/ashmem rw,nodev - tmpfs t rw\n";

    #[test]
    fn the_deepest_mount_counts() {
        assert_eq!(covering(INFO, "/dev/null").map(|mount| mount.kind), Some("devtmpfs"));
        assert!(covering(INFO, "/dev/ashmem").is_some_and(|mount| mount.is_nodev()));
        assert_eq!(covering(INFO, "/dev/ashmem2").map(|mount| mount.kind), Some("devtmpfs"));
        assert_eq!(covering(INFO, "/devices").map(|mount| mount.kind), Some("ext4"));
    }
}
