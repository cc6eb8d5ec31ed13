// SPDX-License-Identifier: MIT OR Apache-2.0
//! What runs in the container: uses regions without pause, and notices whatever is not as it should
//! be.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use ashmem_core::abi;

const PAGE: usize = 4096;
const SIZE: usize = 8 * PAGE;
const NAME: &str = "kept over restarts";

struct Region(OwnedFd);

impl Region {
    fn open() -> Self {
        // SAFETY: the path is NUL terminated; what is returned is nobody else's.
        unsafe {
            let fd = libc::open(c"/dev/ashmem".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
            assert!(fd >= 0, "open: {}", std::io::Error::last_os_error());
            Self(OwnedFd::from_raw_fd(fd))
        }
    }

    fn ioctl(&self, what: &str, command: u32, argument: usize) -> i32 {
        // SAFETY: every caller passes a number, or the address of a buffer as long as the command
        // says.
        let got = unsafe { libc::ioctl(self.0.as_raw_fd(), command.into(), argument) };
        assert!(got >= 0, "{what}: {}", std::io::Error::last_os_error());
        got
    }

    fn make(name: &str) -> Self {
        let region = Self::open();
        let mut bytes = [0_u8; abi::NAME_LEN];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        region.ioctl("SET_NAME", abi::SET_NAME, bytes.as_ptr() as usize);
        region.ioctl("SET_SIZE", abi::SET_SIZE, SIZE);
        region
    }

    fn check(&self, name: &str, mask: i32) {
        let mut bytes = [0_u8; abi::NAME_LEN];
        self.ioctl("GET_NAME", abi::GET_NAME, bytes.as_mut_ptr() as usize);
        assert_eq!(&bytes[..name.len() + 1], [name.as_bytes(), &[0]].concat());
        assert_eq!(self.ioctl("GET_SIZE", abi::GET_SIZE, 0), SIZE as i32);
        assert_eq!(self.ioctl("GET_PROT_MASK", abi::GET_PROT_MASK, 0), mask);
    }

    fn map(&self) -> *mut u8 {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        let fd = self.0.as_raw_fd();
        // SAFETY: a new mapping, where the kernel finds room.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), SIZE, prot, flags, fd, 0) };
        assert!(address != libc::MAP_FAILED, "mmap: {}", std::io::Error::last_os_error());
        address.cast()
    }

    fn pins(&self, command: u32, page: usize) -> i64 {
        let span = [(page * PAGE) as u32, PAGE as u32];
        self.ioctl("a pin request", command, span.as_ptr() as usize).into()
    }
}

/// Works for so long; panics at the first wrong answer.
pub(crate) fn work(time: Duration) {
    let kept = Region::make(NAME);
    kept.ioctl("SET_PROT_MASK", abi::SET_PROT_MASK, 3);
    let memory = kept.map();
    // SAFETY: within the mapping.
    unsafe { memory.write(42) };
    kept.pins(abi::UNPIN, 5);
    println!("ready");
    let end = Instant::now() + time;
    let mut rounds = 0_u64;
    while Instant::now() < end {
        rounds += 1;
        kept.check(NAME, 3);
        assert_eq!(kept.pins(abi::GET_PIN_STATUS, 5), abi::IS_UNPINNED);
        assert_eq!(kept.pins(abi::GET_PIN_STATUS, 4), abi::IS_PINNED);
        let name = format!("round {rounds}");
        let region = Region::make(&name);
        region.check(&name, 7);
        let mapping = region.map();
        // SAFETY: within the mapping.
        unsafe { mapping.write(7) };
        region.pins(abi::UNPIN, 1);
        assert_eq!(region.pins(abi::GET_PIN_STATUS, 1), abi::IS_UNPINNED);
        assert_eq!(region.pins(abi::PIN, 1), abi::NOT_PURGED);
        assert_eq!(region.pins(abi::GET_PIN_STATUS, 1), abi::IS_PINNED);
        region.ioctl("SET_PROT_MASK", abi::SET_PROT_MASK, 1);
        region.check(&name, 1);
        // SAFETY: the mapping is this round's own.
        unsafe { libc::munmap(mapping.cast(), SIZE) };
    }
    // SAFETY: within the mapping.
    assert_eq!(unsafe { memory.read() }, 42);
    assert_eq!(kept.pins(abi::PIN, 5), abi::NOT_PURGED);
    println!("{rounds} rounds");
}
