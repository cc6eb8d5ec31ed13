// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the whole system has, and what is set for it.

use crate::{number, value_of, words};

/// A line of `/proc/meminfo`, in bytes.
pub fn memory(meminfo: &[u8], key: &str) -> Option<u64> {
    words(value_of(meminfo, key)?).next().and_then(number::<u64>).map(|kib| kib * 1024)
}

/// The soft limit of open files in `/proc/PID/limits`; `u64::MAX`: there is none.
pub fn open_files(limits: &[u8]) -> Option<u64> {
    let line = crate::lines(limits).find_map(|line| line.strip_prefix(b"Max open files"))?;
    match words(line).next()? {
        b"unlimited" => Some(u64::MAX),
        soft => number(soft),
    }
}

/// Looks a user or group up in a namespace's `uid_map` or `gid_map`, whose lines are `inside
/// outside count`.
pub fn inside_id(map: &str, outside: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut fields = line.split_whitespace().map_while(|field| field.parse::<u32>().ok());
        let (inside, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        let distance = outside.checked_sub(first)?;
        if distance < count { inside.checked_add(distance) } else { None }
    })
}

/// This boot's id.
pub fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_their_names() {
        let meminfo = b"MemTotal:       16000 kB\nMemFree: 1 kB\nMemAvailable: 4000 kB\n";
        assert_eq!(
            (memory(meminfo, "MemTotal"), memory(meminfo, "MemAvailable")),
            (Some(16_384_000), Some(4_096_000))
        );
        assert_eq!(memory(meminfo, "Mem"), None);
        for (soft, limit) in [("1024", Some(1024)), ("unlimited", Some(u64::MAX)), ("x", None)] {
            let limits = format!(
                "Max processes  96365  96365  processes\n\
                 Max open files            {soft}   4096   files\n"
            );
            assert_eq!(open_files(limits.as_bytes()), limit);
        }
        assert_eq!(open_files(b""), None);
    }

    #[test]
    fn numbers_are_translated_as_the_kernel_does() {
        assert_eq!(inside_id("         0          0 4294967295\n", 7), Some(7));
        let map = "0 100000 1000\n1000 1000 1\n1001 101001 64535\n";
        for (outside, inside) in
            [(100_000, Some(0)), (100_999, Some(999)), (1000, Some(1000)), (0, None)]
        {
            assert_eq!(inside_id(map, outside), inside, "{outside}");
        }
    }
}
