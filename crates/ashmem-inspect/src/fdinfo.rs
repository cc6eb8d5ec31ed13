//! `/proc/PID/fdinfo/N` of the device: what the driver says of a region.

use crate::region::{Mask, Pages};
use ashmem_proc::number;
use ashmem_trace::text::Text;

/// What stands there, as far as it does.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fdinfo {
    /// The backing file's inode; none before the first mmap.
    pub(crate) inode: Option<u64>,
    pub(crate) name: Text,
    /// The rest is this project's module's own.
    pub(crate) size: Option<u64>,
    pub(crate) mask: Option<Mask>,
    pub(crate) pages: Option<Pages>,
    /// Pages in memory or swapped out.
    pub(crate) resident: Option<u64>,
}

/// The last lines, in the order in which they stand.
const MORE: [&str; 6] = ["size:\t", "prot_mask:\t", "pinned:\t", "unpinned:\t", "purged:\t", "resident:\t"];

/// Reads the text. Older builds of our module do not escape the name, which may hold line feeds: what they add is
/// therefore looked for from the end, where it stands whatever the name pretends.
pub(crate) fn parse(text: &[u8]) -> Fdinfo {
    let (text, [size, mask, pinned, unpinned, purged, resident]) = split_more(text);
    let (inode, name) = split_name(text);
    let pages = pinned.zip(unpinned).zip(purged);
    Fdinfo {
        inode,
        name: Text::from_proc(name),
        size,
        mask: mask.map(|mask| Mask::from_bits(mask as u32)),
        pages: pages.map(|((pinned, unpinned), purged)| Pages { pinned, unpinned, purged }),
        resident,
    }
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
    use super::parse;
    use crate::region::{Mask, Pages};
    use ashmem_trace::text::Text;

    const KERNEL: &str = "pos:\t0\nflags:\t0100002\nmnt_id:\t5\nino:\t12\n";

    #[test]
    fn our_module_says_all() {
        let info = parse(
            format!("{KERNEL}inode:\t77\nname:\tCursorWindow: /x\nsize:\t20479\nprot_mask:\t3\npinned:\t2\nunpinned:\t1\npurged:\t2\nresident:\t3\n")
                .as_bytes(),
        );
        assert_eq!((info.inode, info.size, info.resident), (Some(77), Some(20479), Some(3)));
        assert_eq!(info.name, Text::from("CursorWindow: /x"));
        assert_eq!(info.mask, Some(Mask::from_bits(3)));
        assert_eq!(info.pages, Some(Pages { pinned: 2, unpinned: 1, purged: 2 }));
    }

    #[test]
    fn a_name_cannot_pretend_to_be_the_lines_after_it() {
        let name = "x\nsize:\t1\nprot_mask:\t0\npinned:\t9\nunpinned:\t9\npurged:\t9\nresident:\t9\ny";
        let more = "size:\t4096\nprot_mask:\t7\npinned:\t1\nunpinned:\t0\npurged:\t0\n";
        let info = parse(format!("{KERNEL}inode:\t7\nname:\t{name}\n{more}").as_bytes());
        assert_eq!((info.name, info.size, info.resident), (Text::from(name), Some(4096), None));
        let info = parse(format!("{KERNEL}inode:\t7\nname:\tx\\012size:\t1\n{more}").as_bytes());
        assert_eq!((info.name, info.size), (Text::from("x\nsize:\t1"), Some(4096)), "as the module writes it");
        let fooled = parse(format!("{KERNEL}name:\tinode:\t1\n{more}").as_bytes());
        assert_eq!((fooled.inode, fooled.name), (None, Text::from("inode:\t1")));
    }

    #[test]
    fn the_original_driver_says_two_lines_or_none() {
        let info = parse(format!("{KERNEL}inode:\t7\nname:\tx\n").as_bytes());
        assert_eq!((info.inode, info.name, info.size), (Some(7), Text::from("x"), None));
        let info = parse(KERNEL.as_bytes());
        assert_eq!((info.inode, info.name, info.pages), (None, Text::default(), None));
    }
}
