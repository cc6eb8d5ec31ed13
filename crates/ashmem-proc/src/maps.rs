// SPDX-License-Identifier: MIT OR Apache-2.0
//! `/proc/PID/maps` and `smaps`, which is the same with a mapping's pages below each line.

use crate::{hexadecimal, lines, number};

/// One mapping: a line of maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapsEntry<'a> {
    /// The first address.
    pub start: u64,
    /// The first address behind it.
    pub end: u64,
    /// `rw-s` and the like.
    pub rights: [u8; 4],
    /// Where in the file it starts, in bytes.
    pub offset: u64,
    /// As `st_dev` has it.
    pub device: u64,
    /// The inode of the file; 0: there is none.
    pub inode: u64,
    /// With line feeds as `\012`, and ` (deleted)`.
    pub path: &'a [u8],
}

/// A mapping's pages, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In memory.
    pub rss: u64,
    /// In memory, each page divided by the number of its mappings.
    pub pss: u64,
    /// Of these the mapping's own copies, which are no longer the file's.
    pub anonymous: u64,
}

/// The mappings of a maps file.
pub fn mappings(text: &[u8]) -> impl Iterator<Item = MapsEntry<'_>> {
    lines(text).filter_map(parse)
}

/// The mappings of a smaps file for which `wanted`, with their pages.
pub fn usages<'a>(
    text: &'a [u8],
    wanted: impl Fn(&MapsEntry<'_>) -> bool,
) -> Vec<(MapsEntry<'a>, Usage)> {
    let mut found: Vec<(MapsEntry<'a>, Usage)> = Vec::new();
    let mut in_wanted = false;
    for line in lines(text) {
        // Keys begin with a capital, addresses have small digits.
        if !line.first().is_some_and(u8::is_ascii_uppercase) {
            let mapping = parse(line).filter(|mapping| wanted(mapping));
            in_wanted = mapping.is_some();
            found.extend(mapping.map(|mapping| (mapping, Usage::default())));
            continue;
        }
        let Some((_, usage)) = found.last_mut().filter(|_| in_wanted) else { continue };
        for (key, place) in [
            ("Rss:", &mut usage.rss),
            ("Pss:", &mut usage.pss),
            ("Anonymous:", &mut usage.anonymous),
        ] {
            if let Some(value) =
                line.strip_prefix(key.as_bytes()).and_then(|value| value.strip_suffix(b"kB"))
            {
                *place = number::<u64>(value).unwrap_or(0) * 1024;
            }
        }
    }
    found
}

/// Takes the next word, and what is behind the white space after it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (!word.is_empty()).then(|| (word, rest.trim_ascii_start()))
}

fn halves(text: &[u8], between: u8) -> Option<(u64, u64)> {
    let middle = text.iter().position(|byte| *byte == between)?;
    Some((hexadecimal(&text[..middle])?, hexadecimal(&text[middle + 1..])?))
}

/// Reads one line of maps.
pub fn parse(line: &[u8]) -> Option<MapsEntry<'_>> {
    let (range, rest) = word(line)?;
    let (rights, rest) = word(rest)?;
    let (offset, rest) = word(rest)?;
    let (device, rest) = word(rest)?;
    let (inode, path) = word(rest)?;
    let (start, end) = halves(range, b'-')?;
    let (major, minor) = halves(device, b':')?;
    Some(MapsEntry {
        start,
        end,
        rights: rights.try_into().ok()?,
        offset: hexadecimal(offset)?,
        device: rustix::fs::makedev(major as u32, minor as u32),
        inode: number(inode)?,
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::{MapsEntry, Usage, mappings, usages};

    const TEXT: &[u8] = b"\
7f775e046000-7f775e04b000 rw-s 00001000 00:01 5422909 /memfd:dev/ashmem/a\\012b \xff (deleted)
Size:                 20 kB
Rss:                   8 kB
Pss:                   4 kB
Pss_Dirty:             3 kB
Anonymous:             0 kB
VmFlags: rd wr mr mw me ac
7f775e050000-7f775e183000 rw-p 00000000 00:00 0 
Rss:                 100 kB
";

    #[test]
    fn a_line_is_read_with_any_path() {
        let found: Vec<MapsEntry<'_>> = mappings(TEXT).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].start, found[0].end, found[0].offset),
            (0x7f77_5e04_6000, 0x7f77_5e04_b000, 0x1000)
        );
        assert_eq!((found[0].device, found[0].inode, &found[0].rights), (1, 5_422_909, b"rw-s"));
        assert_eq!(found[0].path, b"/memfd:dev/ashmem/a\\012b \xff (deleted)");
        assert_eq!(found[1].path, b"");
    }

    #[test]
    fn only_what_is_wanted_is_counted() {
        let found = usages(TEXT, |line| line.inode != 0);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1, Usage { rss: 8192, pss: 4096, anonymous: 0 });
    }
}
