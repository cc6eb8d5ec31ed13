// SPDX-License-Identifier: MIT OR Apache-2.0
//! What may be done with a region's memory.

bitflags::bitflags! {
    /// Rights to a region's memory: of one mapping, or as the region's mask, the most any new
    /// mapping gets.
    ///
    /// # References
    /// - [mmap(2)](https://man7.org/linux/man-pages/man2/mmap.2.html)
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct Protection: u32 {
        /// `PROT_READ`
        const READ = libc::PROT_READ as u32;
        /// `PROT_WRITE`
        const WRITE = libc::PROT_WRITE as u32;
        /// `PROT_EXEC`
        const EXEC = libc::PROT_EXEC as u32;
    }
}
