// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether two descriptors, of whatever processes, are of one open file.
//!
//! A region of the device has no inode before its first mmap: it *is* its open file. The kernel
//! tells open files apart by kcmp(2), which also puts them in an order.

use std::cmp::Ordering;

/// A process and one of its descriptors.
pub(crate) type DescriptorPlace = (i32, i32);

/// `KCMP_FILE`.
const FILE: libc::c_long = 0;

/// `None` where the kernel cannot compare (no kcmp), where this process may not, and where one of
/// the two is gone.
pub(crate) fn compare(one: DescriptorPlace, other: DescriptorPlace) -> Option<Ordering> {
    let [pid, fd, other_pid, other_fd] = [one.0, one.1, other.0, other.1].map(libc::c_long::from);
    // SAFETY: kcmp takes five integers and touches no memory.
    match unsafe { libc::syscall(libc::SYS_kcmp, pid, other_pid, FILE, fd, other_fd) } {
        0 => Some(Ordering::Equal),
        1 => Some(Ordering::Less),
        2 => Some(Ordering::Greater),
        _ => None,
    }
}

/// Gathers places of one open file. Each group has at least one; where nothing can be compared,
/// each exactly one.
pub(crate) fn gather(places: Vec<DescriptorPlace>) -> Vec<Vec<DescriptorPlace>> {
    let mut groups: Vec<Vec<DescriptorPlace>> = Vec::new();
    for place in places {
        // Kept in the kernel's order: the search is logarithmic.
        match groups.binary_search_by(|group| compare(group[0], place).unwrap_or(Ordering::Less)) {
            Ok(group) => groups[group].push(place),
            Err(at) => groups.insert(at, vec![place]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::gather;
    use std::os::fd::AsRawFd;

    #[test]
    fn copies_of_a_descriptor_are_one_file() {
        let open = || std::fs::File::open("/dev/null").expect("it is there");
        let (one, two) = (open(), open());
        let copies = [one.try_clone().expect("a copy"), two.try_clone().expect("a copy")];
        let pid = std::process::id() as i32;
        let places = [&one, &two, &copies[1], &copies[0]].map(|file| (pid, file.as_raw_fd()));
        let mut groups = gather(places.to_vec());
        if super::compare(places[0], places[3]).is_none() {
            eprintln!("skipped: this kernel cannot compare files (kcmp)");
            assert_eq!(groups.len(), 4);
            return;
        }
        groups.sort();
        let mut wanted = vec![vec![places[0], places[3]], vec![places[1], places[2]]];
        wanted.sort();
        assert_eq!(groups, wanted);
    }
}
