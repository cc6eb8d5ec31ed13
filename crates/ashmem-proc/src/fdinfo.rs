// SPDX-License-Identifier: MIT OR Apache-2.0
//! `/proc/PID/fdinfo/N`: a descriptor's flags, and what the driver says of a region.

use crate::{lines, number, unescape_name, value_of};

/// What the driver says of a region. The original driver says inode and name alone, or nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The backing file's inode; none before the first mmap.
    pub inode: Option<u64>,
    /// The region's name.
    pub name: Vec<u8>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Its protection mask, `PROT_*`.
    pub mask: Option<u32>,
    /// Pages that are never purged.
    pub pinned: Option<u64>,
    /// Pages that are purged when memory runs short.
    pub unpinned: Option<u64>,
    /// Pages that were purged, and not pinned since.
    pub purged: Option<u64>,
    /// Pages in memory or swapped out.
    pub resident: Option<u64>,
}

/// The last lines, in the order in which they stand.
const MORE: [&str; 6] =
    ["size:\t", "prot_mask:\t", "pinned:\t", "unpinned:\t", "purged:\t", "resident:\t"];

/// Reads the text. Older builds of our module do not escape the name, which may hold line feeds:
/// what they add is therefore looked for from the end, where it stands whatever the name pretends.
pub fn of_device(text: &[u8]) -> DeviceInfo {
    let (text, [size, mask, pinned, unpinned, purged, resident]) = split_more(text);
    let (inode, name) = split_name(text);
    let (mask, name) = (mask.map(|mask| mask as u32), unescape_name(name));
    DeviceInfo { inode, name, size, mask, pinned, unpinned, purged, resident }
}

/// The flags of any descriptor, `O_CLOEXEC` among them.
pub fn flags(text: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(value_of(text, "flags")?).ok()?, 8).ok()
}

/// The watches of an inotify instance that are left.
pub fn inotify_watches(text: &[u8]) -> impl Iterator<Item = i32> {
    let hexadecimal = |text| i32::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok();
    let watches = lines(text)
        .filter_map(|line| line.strip_prefix(b"inotify wd:")?.split(|byte| *byte == b' ').next());
    watches.filter_map(hexadecimal)
}

/// Takes the module's own lines off the end; older builds of it lack the last.
fn split_more(text: &[u8]) -> (&[u8], [Option<u64>; MORE.len()]) {
    let mut values = [None; MORE.len()];
    let mut rest = text;
    for (key, value) in MORE.iter().zip(&mut values).rev() {
        let whole = rest.strip_suffix(b"\n").unwrap_or(rest);
        let start = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |feed| feed + 1);
        match whole[start..].strip_prefix(key.as_bytes()).and_then(number) {
            Some(found) => {
                *value = Some(found);
                rest = &text[..start];
            }
            None if *key == MORE[MORE.len() - 1] => {}
            None => return (text, [None; MORE.len()]),
        }
    }
    (rest, values)
}

/// The driver's two lines, `inode:` and `name:`, after the kernel's.
fn split_name(text: &[u8]) -> (Option<u64>, &[u8]) {
    let mut inode = None;
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(name) = rest.strip_prefix(b"name:\t") {
            return (inode, name.strip_suffix(b"\n").unwrap_or(name));
        }
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |feed| feed + 1);
        if let Some(value) = rest[..end].strip_prefix(b"inode:\t") {
            inode = number(value);
        }
        rest = &rest[end..];
    }
    (inode, b"")
}

#[cfg(test)]
mod tests {
    use super::{flags, inotify_watches, of_device};

    const KERNEL: &str = "pos:\t0\nflags:\t0100002\nmnt_id:\t5\nino:\t12\n";

    #[test]
    fn our_module_says_all() {
        let info = of_device(
            format!(
                "{KERNEL}inode:\t77\n\
                 name:\tCursorWindow: /x\n\
                 size:\t20479\n\
                 prot_mask:\t3\n\
                 pinned:\t2\n\
                 unpinned:\t1\n\
                 purged:\t2\n\
                 resident:\t3\n"
            )
            .as_bytes(),
        );
        assert_eq!((info.inode, info.size, info.resident), (Some(77), Some(20479), Some(3)));
        assert_eq!(info.name, b"CursorWindow: /x");
        assert_eq!(info.mask, Some(3));
        assert_eq!((info.pinned, info.unpinned, info.purged), (Some(2), Some(1), Some(2)));
    }

    #[test]
    fn a_name_cannot_pretend_to_be_the_lines_after_it() {
        let name =
            "x\nsize:\t1\nprot_mask:\t0\npinned:\t9\nunpinned:\t9\npurged:\t9\nresident:\t9\ny";
        let more = "size:\t4096\nprot_mask:\t7\npinned:\t1\nunpinned:\t0\npurged:\t0\n";
        let info = of_device(format!("{KERNEL}inode:\t7\nname:\t{name}\n{more}").as_bytes());
        assert_eq!((info.name, info.size, info.resident), (name.into(), Some(4096), None));
        let info =
            of_device(format!("{KERNEL}inode:\t7\nname:\tx\\012size:\t1\n{more}").as_bytes());
        assert_eq!(
            (info.name, info.size),
            (b"x\nsize:\t1".to_vec(), Some(4096)),
            "as the module writes it"
        );
        let fooled = of_device(format!("{KERNEL}name:\tinode:\t1\n{more}").as_bytes());
        assert_eq!((fooled.inode, fooled.name), (None, b"inode:\t1".to_vec()));
    }

    #[test]
    fn the_original_driver_says_two_lines_or_none() {
        let info = of_device(format!("{KERNEL}inode:\t7\nname:\tx\n").as_bytes());
        assert_eq!((info.inode, info.name, info.size), (Some(7), b"x".to_vec(), None));
        let info = of_device(KERNEL.as_bytes());
        assert_eq!((info.inode, info.name, info.pinned), (None, Vec::new(), None));
    }

    #[test]
    fn the_kernels_own_lines_are_read_too() {
        assert_eq!(flags(KERNEL.as_bytes()), Some(0o100_002));
        assert_eq!(flags(b""), None);
        let inotify = format!(
            "{KERNEL}inotify wd:1f ino:4 sdev:1 mask:800\ninotify wd:2 ino:5 sdev:1 mask:800\n"
        );
        assert_eq!(inotify_watches(inotify.as_bytes()).collect::<Vec<_>>(), [31, 2]);
    }
}
