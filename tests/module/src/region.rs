// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client, by whole pages.

use std::ops::Deref;

use ashmem_test_client::errno::{Answer, answer};
use ashmem_test_client::map::{Map, NONE, RW};
use ashmem_test_client::region::{Region as Client, open_path};

pub(crate) use ashmem_test_client::map::{PAGE, page_size};

/// An open descriptor.
pub(crate) struct Region(Client);

impl Deref for Region {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl Region {
    pub(crate) fn open() -> Answer<Self> {
        open_path(b"/dev/ashmem", libc::O_RDWR | libc::O_CLOEXEC).map(Self)
    }

    /// A new region with a name and a size in pages.
    pub(crate) fn create(pages: usize) -> Answer<Self> {
        let region = Self::open()?;
        region.set_name(c"trial")?;
        region.set_size(pages * page_size())?;
        Ok(region)
    }

    pub(crate) fn set_size(&self, bytes: usize) -> Answer {
        self.0.set_size(bytes as u64)
    }

    /// pread(2), into memory that is there already.
    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: i64) -> Answer {
        // SAFETY: the buffer is as long as said.
        let got = unsafe { libc::pread(self.fd(), bytes.as_mut_ptr().cast(), bytes.len(), offset) };
        answer("pread", got as i64)
    }

    /// The path of its fdinfo.
    pub(crate) fn fdinfo(&self) -> String {
        format!("/proc/self/fdinfo/{}", self.fd())
    }

    /// PIN, UNPIN or GET_PIN_STATUS of whole pages.
    pub(crate) fn pinning(&self, command: u32, first: usize, pages: usize) -> Answer {
        self.pin_call(
            "pinning",
            command,
            (first * page_size()) as u32,
            (pages * page_size()) as u32,
        )
    }

    pub(crate) fn map(&self, pages: usize, flags: i32) -> Answer<Mapping> {
        self.map_at(std::ptr::null_mut(), pages, flags)
    }

    /// As [`Self::map`], near an address or, with MAP_FIXED, at it; then it must lie in memory that
    /// the caller reserved.
    pub(crate) fn map_at(&self, address: *mut u8, pages: usize, flags: i32) -> Answer<Mapping> {
        Map::at(address as usize, self.fd(), pages * page_size(), RW, flags, 0).map(Mapping)
    }
}

/// A mapping of whole pages.
pub(crate) struct Mapping(Map);

impl Mapping {
    /// Writes a byte that tells its page into each page.
    pub(crate) fn fill(&self) {
        for page in 0..self.0.len() / page_size() {
            // SAFETY: inside the mapping, which is readable and writable.
            unsafe {
                self.start().cast_mut().add(page * page_size()).write_volatile(page as u8 | 1)
            }
        }
    }

    /// Whether each page still holds what `fill` wrote.
    pub(crate) fn is_filled(&self) -> bool {
        // SAFETY: as above.
        (0..self.0.len() / page_size()).all(|page| unsafe {
            self.start().add(page * page_size()).read_volatile() == page as u8 | 1
        })
    }

    /// Where it begins.
    pub(crate) fn start(&self) -> *const u8 {
        std::ptr::with_exposed_provenance(self.0.address())
    }

    /// What it holds.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: inside the mapping, which is readable; nobody writes to it while a case looks.
        unsafe { std::slice::from_raw_parts(self.start(), self.0.len()) }
    }

    /// Takes every right from the pages from `page` on.
    pub(crate) fn protect_from(&self, page: usize) -> Answer {
        self.0.protect_part(page * page_size(), self.0.len() - page * page_size(), NONE)
    }

    /// Its entry in /proc/self/map_files.
    pub(crate) fn map_file(&self) -> String {
        let start = self.0.address();
        format!("/proc/self/map_files/{start:x}-{:x}", start + self.0.len())
    }
}
