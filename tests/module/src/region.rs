//! A client of the device, as small as can be.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use ashmem_core::abi;

/// A page, in bytes.
pub(crate) const PAGE: usize = 4096;

/// An open descriptor.
pub(crate) struct Region(File);

impl Region {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self(File::options().read(true).write(true).open("/dev/ashmem")?))
    }

    /// A new region with a name and a size in pages.
    pub(crate) fn create(pages: usize) -> io::Result<Self> {
        let region = Self::open()?;
        region.set_name(c"trial")?;
        region.set_size(pages * PAGE)?;
        Ok(region)
    }

    pub(crate) fn set_name(&self, name: &std::ffi::CStr) -> io::Result<i64> {
        self.ioctl(abi::SET_NAME, name.as_ptr() as u64)
    }

    pub(crate) fn name(&self) -> io::Result<Vec<u8>> {
        let mut name = [0_u8; abi::NAME_LEN];
        self.ioctl(abi::GET_NAME, name.as_mut_ptr() as u64)?;
        Ok(name.split(|&byte| byte == 0).next().unwrap_or_default().to_vec())
    }

    pub(crate) fn set_size(&self, bytes: usize) -> io::Result<i64> {
        self.ioctl(abi::SET_SIZE, bytes as u64)
    }

    pub(crate) fn size(&self) -> io::Result<i64> {
        self.ioctl(abi::GET_SIZE, 0)
    }

    pub(crate) fn set_prot_mask(&self, mask: u64) -> io::Result<i64> {
        self.ioctl(abi::SET_PROT_MASK, mask)
    }

    pub(crate) fn prot_mask(&self) -> io::Result<i64> {
        self.ioctl(abi::GET_PROT_MASK, 0)
    }

    pub(crate) fn file_id(&self) -> io::Result<u64> {
        let mut id = 0_u64;
        self.ioctl(abi::GET_FILE_ID, (&raw mut id) as u64)?;
        Ok(id)
    }

    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, bytes, offset)
    }

    /// The path of its fdinfo.
    pub(crate) fn fdinfo(&self) -> String {
        format!("/proc/self/fdinfo/{}", self.0.as_raw_fd())
    }

    /// PIN, UNPIN or GET_PIN_STATUS of whole pages.
    pub(crate) fn pinning(&self, command: u32, first: usize, pages: usize) -> io::Result<i64> {
        let pin = abi::Pin { offset: (first * PAGE) as u32, len: (pages * PAGE) as u32 };
        self.ioctl(command, (&raw const pin) as u64)
    }

    pub(crate) fn purge(&self) -> io::Result<i64> {
        self.ioctl(abi::PURGE_ALL_CACHES, 0)
    }

    pub(crate) fn map(&self, pages: usize, flags: i32) -> io::Result<Mapping> {
        self.map_at(std::ptr::null_mut(), pages, flags)
    }

    /// As [`Self::map`], near an address or, with MAP_FIXED, at it; then it must lie in memory that the caller reserved.
    pub(crate) fn map_at(&self, address: *mut u8, pages: usize, flags: i32) -> io::Result<Mapping> {
        let length = pages * PAGE;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, where nothing else is or where the caller allows it.
        let start = unsafe { libc::mmap(address.cast(), length, protection, flags, self.0.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Mapping { start, length }) }
    }

    fn ioctl(&self, command: u32, argument: u64) -> io::Result<i64> {
        // SAFETY: arguments that are pointers point at live values of the size the command is defined with.
        let answer = unsafe { libc::syscall(libc::SYS_ioctl, self.0.as_raw_fd(), u64::from(command), argument) };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
    }
}

/// A mapping that unmaps itself.
pub(crate) struct Mapping {
    start: *mut libc::c_void,
    length: usize,
}

impl Mapping {
    /// Writes a byte that tells its page into each page.
    pub(crate) fn fill(&self) {
        for page in 0..self.length / PAGE {
            // SAFETY: inside the mapping, which is readable and writable.
            unsafe { self.start.cast::<u8>().add(page * PAGE).write_volatile(page as u8 | 1) }
        }
    }

    /// Whether each page still holds what `fill` wrote.
    pub(crate) fn is_filled(&self) -> bool {
        // SAFETY: as above.
        (0..self.length / PAGE)
            .all(|page| unsafe { self.start.cast::<u8>().add(page * PAGE).read_volatile() == page as u8 | 1 })
    }

    /// Where it begins.
    pub(crate) fn start(&self) -> *const u8 {
        self.start.cast()
    }

    /// What it holds.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: inside the mapping, which is readable; nobody writes to it while a case looks.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.length) }
    }

    /// Takes every right from the pages from `page` on.
    pub(crate) fn protect_from(&self, page: usize) -> io::Result<()> {
        // SAFETY: inside the mapping, and nobody holds a reference into it.
        let done =
            unsafe { libc::mprotect(self.start.byte_add(page * PAGE), self.length - page * PAGE, libc::PROT_NONE) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Its entry in /proc/self/map_files.
    pub(crate) fn map_file(&self) -> String {
        let start = self.start as usize;
        format!("/proc/self/map_files/{start:x}-{:x}", start + self.length)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `Region::map`, and nobody uses it after this.
        unsafe { libc::munmap(self.start, self.length) };
    }
}
