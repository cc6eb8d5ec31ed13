// SPDX-License-Identifier: MIT OR Apache-2.0
//! The blob itself, run in the test's process: called as a patched site calls it.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use std::ffi::CStr;

use ashmem_core::abi;

use crate::layout::{BlobHeader, ENTRY, HEADER, JUMP_PAGES, LIMIT, MAGIC, STAT};
use crate::{BLOB, state};

unsafe extern "C" {
    fn ashmem_test_site(call: &mut [u64; 7], entry: usize) -> u32;
}

/// The blob, mapped.
struct MappedBlob {
    entry: usize,
    memfd_dev: u64,
}

const NODE: &CStr = c"/dev/null";

impl MappedBlob {
    fn new() -> Self {
        // SAFETY: the memory is new, and as long as what is copied into it.
        let at = unsafe {
            let (prot, flags) =
                (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let at = libc::mmap(std::ptr::null_mut(), LIMIT, prot, flags, -1, 0);
            assert_ne!(at, libc::MAP_FAILED);
            at.cast::<u8>()
        };
        let (node, shown) = (stat(&path(NODE)), stat(&path(NODE)));
        let memfd = memfd();
        let memfd_dev = stat(&memfd).st_dev;
        let mut words = [0; STAT / 8];
        // SAFETY: both are as long.
        unsafe { words.as_mut_ptr().cast::<libc::stat>().write(shown) };
        let header = BlobHeader {
            magic: MAGIC,
            jump_pages: [0; JUMP_PAGES],
            node_dev: node.st_dev,
            node_ino: node.st_ino,
            node_mounts: [mount_of(&path(NODE)), 0],
            plain_mount: 0,
            memfd_dev,
            memfd_flags: (libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING).into(),
            stat: words,
            is_full: 1,
            tells_threads: 1,
            page_shift: 12,
        };
        // SAFETY: the memory is long enough, and nothing runs in it yet.
        unsafe {
            at.copy_from_nonoverlapping(BLOB.as_ptr(), BLOB.len());
            at.copy_from_nonoverlapping(header.as_bytes().as_ptr(), header.as_bytes().len());
            let prot = libc::PROT_READ | libc::PROT_EXEC;
            assert_eq!(libc::mprotect(at.cast(), LIMIT, prot), 0);
        }
        Self { entry: at as usize + ENTRY, memfd_dev }
    }

    /// A call through the blob.
    fn call(&self, number: i64, args: [i64; 6]) -> i64 {
        let [a, b, c, d, e, f] = args.map(|arg| arg as u64);
        let mut call = [number as u64, a, b, c, d, e, f];
        // SAFETY: the arguments are those of calls whose memory lives and is long enough.
        let kept = unsafe { ashmem_test_site(&mut call, self.entry) };
        assert_eq!(kept, 0, "call {number} has changed what it must keep");
        call[0] as i64
    }

    fn ioctl(&self, fd: i64, cmd: u32, arg: i64) -> i64 {
        self.call(libc::SYS_ioctl, [fd, cmd.into(), arg, 0, 0, 0])
    }

    fn open(&self, flags: i32) -> i64 {
        let name = NODE.as_ptr() as i64;
        self.call(libc::SYS_openat, [libc::AT_FDCWD.into(), name, flags.into(), 0, 0, 0])
    }

    fn region(&self) -> Fd {
        let fd = self.open(libc::O_RDWR | libc::O_CLOEXEC);
        assert!(fd > 2, "{fd}");
        Fd(fd as i32)
    }

    fn map(&self, fd: &Fd, len: i64, prot: i32, flags: i32) -> i64 {
        self.call(libc::SYS_mmap, [0, len, prot.into(), flags.into(), fd.0.into(), 0])
    }
}

struct Fd(i32);

impl Fd {
    fn number(&self) -> i64 {
        self.0.into()
    }

    fn link(&self) -> String {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", self.0)).expect("it is open");
        link.to_string_lossy().into_owned()
    }

    fn seals(&self) -> i32 {
        // SAFETY: the command takes no pointer.
        unsafe { libc::fcntl(self.0, libc::F_GET_SEALS) }
    }

    fn copy(&self) -> Self {
        // SAFETY: the call touches no memory.
        Self(unsafe { libc::dup(self.0) })
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: the number is this object's own.
        unsafe { libc::close(self.0) };
    }
}

fn path(name: &CStr) -> Fd {
    // SAFETY: the path is a string.
    Fd(unsafe { libc::open(name.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) })
}

fn memfd() -> Fd {
    // SAFETY: the name is a string.
    Fd(unsafe { libc::memfd_create(c"own".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) })
}

fn stat(fd: &Fd) -> libc::stat {
    // SAFETY: all zeros are a valid structure, which the call fills.
    unsafe {
        let mut stat = std::mem::zeroed();
        assert_eq!(libc::fstat(fd.0, &mut stat), 0);
        stat
    }
}

/// The mode in what fstat(2) has filled.
fn mode_in(seen: &[u64; STAT / 8]) -> libc::mode_t {
    let stat = seen.as_ptr().cast::<libc::stat>();
    // SAFETY: the structure is as long and no stricter aligned, and any numbers are valid in it.
    unsafe { stat.read().st_mode }
}

fn mount_of(fd: &Fd) -> u64 {
    // SAFETY: all zeros are a valid structure, which the call fills.
    unsafe {
        let mut statx: libc::statx = std::mem::zeroed();
        let flags = libc::AT_EMPTY_PATH;
        assert_eq!(libc::statx(fd.0, c"".as_ptr(), flags, libc::STATX_MNT_ID, &mut statx), 0);
        statx.stx_mnt_id
    }
}

/// Runs this in a process of one thread.
fn alone(work: impl FnOnce()) {
    // SAFETY: the child is a copy of this process, in which no other thread holds what it needs:
    // the C library's allocator is made for that.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            libc::_exit(i32::from(done.is_err()));
        }
        let mut status = 0;
        libc::waitpid(child, &mut status, 0);
        assert_eq!(status, 0);
    }
}

const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
const ENOTTY: i64 = -(libc::ENOTTY as i64);
const EINVAL: i64 = -(libc::EINVAL as i64);
const EPERM: i64 = -(libc::EPERM as i64);
const EFAULT: i64 = -(libc::EFAULT as i64);

#[test]
fn the_header_has_room() {
    assert!(size_of::<BlobHeader>() <= HEADER && BLOB.len() <= LIMIT);
}

#[test]
fn a_region_is_opened_sized_and_mapped() {
    let inside = MappedBlob::new();
    let fd = inside.region();
    assert_eq!(fd.link(), "/memfd:dev/ashmem (deleted)");
    assert_eq!(stat(&fd).st_mode & 0o7777, state::NEW_MODE);
    // SAFETY: the command takes no pointer.
    assert_eq!(unsafe { libc::fcntl(fd.0, libc::F_GETFD) }, libc::FD_CLOEXEC);
    assert_eq!(inside.ioctl(fd.number(), abi::GET_SIZE, 0), 0);
    assert_eq!(inside.map(&fd, 4096, RW, libc::MAP_SHARED), EINVAL, "it has no size");
    assert_eq!(inside.ioctl(fd.number(), abi::SET_SIZE, 5000), 0);
    assert_eq!(inside.ioctl(fd.number(), abi::GET_SIZE, 0), 5000);
    assert_eq!(inside.map(&fd, 8193, RW, libc::MAP_SHARED), EINVAL, "longer than the region");
    assert_eq!(fd.seals() as u32, state::SEAL_OF_SIZED, "no refused mapping counts");
    let at = inside.map(&fd, 8192, RW, libc::MAP_SHARED);
    assert!(at > 0, "{at}");
    assert_eq!(fd.seals() as u32, state::SEAL_OF_SIZED | state::SEAL_OF_MAPPED);
    assert_eq!(inside.ioctl(fd.number(), abi::SET_SIZE, 4096), EINVAL, "it is mapped");
    assert_eq!(inside.ioctl(fd.number(), abi::SET_NAME, c"late".as_ptr() as i64), EINVAL);
    // SAFETY: the page was just mapped.
    unsafe { (at as *mut u8).write_volatile(7) };
    let private = inside.map(&fd, 4096, RW, libc::MAP_PRIVATE);
    // SAFETY: the page was just mapped.
    assert_eq!(unsafe { (private as *const u8).read_volatile() }, 0, "private memory is zeros");
}

#[test]
fn what_was_written_to_it_before_gives_a_region_no_size() {
    let inside = MappedBlob::new();
    let fd = inside.region();
    let write = |fd: &Fd| {
        // SAFETY: the buffer is as long as the call is told.
        unsafe { libc::write(fd.0, c"abc".as_ptr().cast(), 3) }
    };
    assert_eq!(write(&fd), 3);
    assert_eq!(inside.ioctl(fd.number(), abi::GET_SIZE, 0), 0);
    // Emptying it is the supervisor's: here that is the kernel, which knows nothing.
    assert_eq!(inside.ioctl(fd.number(), abi::SET_SIZE, 4096), ENOTTY);
    let fd = inside.region();
    assert_eq!(inside.ioctl(fd.number(), abi::SET_SIZE, 2), 0);
    assert_eq!(write(&fd), -1, "it does not grow");
    assert_eq!(inside.ioctl(fd.number(), abi::SET_SIZE, 1), ENOTTY, "it has another size");
    alone(|| {
        let fd = inside.region();
        assert_eq!(inside.ioctl(fd.number(), abi::SET_SIZE, 2), 0);
        assert_eq!(write(&fd), -1, "it does not grow");
        assert_eq!(inside.ioctl(fd.number(), abi::SET_NAME, c"short".as_ptr() as i64), 0);
        assert_eq!(inside.ioctl(fd.number(), abi::GET_SIZE, 0), 2);
    });
}

#[test]
fn rights_that_the_mask_has_not_are_refused() {
    let inside = MappedBlob::new();
    let fd = inside.region();
    assert_eq!(inside.ioctl(fd.number(), abi::SET_SIZE, 4096), 0);
    let mask = ashmem_core::region::Prot::READ;
    // SAFETY: the call touches no memory.
    assert_eq!(unsafe { libc::fchmod(fd.0, state::mode(mask, true)) }, 0);
    assert_eq!(inside.ioctl(fd.number(), abi::GET_PROT_MASK, 0), libc::PROT_READ.into());
    for (flags, prot) in [(libc::MAP_SHARED, RW), (libc::MAP_PRIVATE, RW), (libc::MAP_SHARED, 4)] {
        assert_eq!(inside.map(&fd, 4096, prot, flags), EPERM);
    }
    // Without EXEC it is left to the supervisor, which answers mprotect.
    assert!(inside.map(&fd, 4096, libc::PROT_READ, libc::MAP_SHARED) > 0);
    assert_eq!(fd.seals() as u32 & state::SEAL_OF_MAPPED, 0, "the kernel's own mapping");
    // What only the supervisor knows is left to it: here that is the kernel, which knows nothing.
    // SAFETY: the call touches no memory.
    assert_eq!(unsafe { libc::fchmod(fd.0, state::mode(mask, false)) }, 0);
    assert_eq!(inside.ioctl(fd.number(), abi::GET_PROT_MASK, 0), ENOTTY);
    assert_eq!(inside.ioctl(fd.number(), abi::GET_SIZE, 0), ENOTTY);
}

#[test]
fn what_is_no_region_is_left_alone() {
    let inside = MappedBlob::new();
    let own = memfd();
    assert_eq!(inside.ioctl(own.number(), abi::GET_SIZE, 0), ENOTTY);
    assert_eq!(inside.ioctl(own.number(), abi::SET_SIZE, 4096), ENOTTY);
    assert_eq!(inside.ioctl(-1, abi::GET_SIZE, 0), -i64::from(libc::EBADF));
    assert_eq!(stat(&own).st_size, 0);
    // SAFETY: the call touches no memory.
    assert_eq!(unsafe { libc::ftruncate(own.0, 4096) }, 0);
    assert!(inside.map(&own, 4096, RW, libc::MAP_SHARED) > 0);
    assert_eq!(own.seals(), 0);
    let mut seen = [0_u64; STAT / 8];
    let fstat = |fd: &Fd, seen: &mut [u64; STAT / 8]| {
        inside.call(libc::SYS_fstat, [fd.number(), seen.as_mut_ptr() as i64, 0, 0, 0, 0])
    };
    assert_eq!(fstat(&own, &mut seen), 0);
    assert_eq!((seen[0], seen[1]), (inside.memfd_dev, stat(&own).st_ino));
    let (first, second) = (inside.region(), inside.region());
    for fd in [&first, &second] {
        assert_eq!(fstat(fd, &mut seen), 0);
        assert_eq!(mode_in(&seen) & libc::S_IFMT, libc::S_IFCHR, "a region looks like the device");
    }
    let path = c"".as_ptr() as i64;
    let at = [first.number(), path, seen.as_mut_ptr() as i64, libc::AT_EMPTY_PATH.into(), 0, 0];
    assert_eq!(inside.call(libc::SYS_newfstatat, at), 0);
    assert_eq!(mode_in(&seen) & libc::S_IFMT, libc::S_IFCHR);
    // A region that is opened again is left to the supervisor: here that is the kernel, which opens
    // the same one, and no number is lost.
    let path = std::ffi::CString::new(format!("/proc/self/fd/{}", first.0)).expect("no NUL");
    let again = [libc::AT_FDCWD.into(), path.as_ptr() as i64, libc::O_RDWR.into(), 0, 0, 0];
    let again = Fd(inside.call(libc::SYS_openat, again) as i32);
    assert_eq!(stat(&again).st_ino, stat(&first).st_ino);
    // Read-only opens end at the node, as without the blob.
    let node = Fd(inside.open(libc::O_RDONLY) as i32);
    assert_eq!(node.link(), "/dev/null");
    assert_eq!(
        inside.call(libc::SYS_getppid, [0; 6]),
        i64::from(std::os::unix::process::parent_id())
    );
}

#[test]
fn a_name_is_shown_if_nobody_else_holds_the_region() {
    alone(name_alone);
}

fn name_alone() {
    let inside = MappedBlob::new();
    let set = |fd: &Fd, name: &CStr| inside.ioctl(fd.number(), abi::SET_NAME, name.as_ptr() as i64);
    let fd = inside.region();
    assert_eq!(inside.ioctl(fd.number(), abi::SET_SIZE, 12_345), 0);
    assert_eq!(set(&fd, c"alone"), 0);
    assert_eq!(fd.link(), "/memfd:dev/ashmem/alone (deleted)");
    assert_eq!(inside.ioctl(fd.number(), abi::GET_SIZE, 0), 12_345);
    // SAFETY: the command takes no pointer.
    assert_eq!(unsafe { libc::fcntl(fd.0, libc::F_GETFD) }, libc::FD_CLOEXEC);
    assert_eq!(set(&fd, c""), 0);
    assert_eq!(fd.link(), "/memfd:dev/ashmem (deleted)");
    assert_eq!(inside.ioctl(fd.number(), abi::SET_NAME, 8), EFAULT);
    let copy = fd.copy();
    let inode = stat(&fd).st_ino;
    assert_eq!(set(&fd, c"copied"), ENOTTY, "left to the supervisor");
    assert_eq!((stat(&fd).st_ino, stat(&copy).st_ino), (inode, inode), "still one region");
    drop(copy);
    assert_eq!(set(&fd, c"alone again"), 0);
    assert_eq!(fd.link(), "/memfd:dev/ashmem/alone again (deleted)");
    // Signals are held back meanwhile, and no longer.
    // SAFETY: all zeros are a valid set, which the call fills.
    let held_back = unsafe {
        let mut set = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set);
        libc::sigismember(&set, libc::SIGUSR1)
    };
    assert_eq!(held_back, 0);
}

#[test]
fn beside_other_threads_a_name_is_the_supervisors() {
    let inside = MappedBlob::new();
    let fd = inside.region();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || ended.recv());
    // Here that is the kernel, which knows nothing.
    assert_eq!(inside.ioctl(fd.number(), abi::SET_NAME, c"two".as_ptr() as i64), ENOTTY);
    drop(end);
    assert!(other.join().is_ok());
}

#[test]
fn no_answer_takes_a_second_number() {
    alone(|| {
        let inside = MappedBlob::new();
        // SAFETY: the call touches no memory.
        let next = unsafe { libc::dup(0) };
        let limit = libc::rlimit { rlim_cur: next as u64 + 1, rlim_max: next as u64 + 1 };
        // SAFETY: the call reads a structure.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        drop(Fd(next));
        let fd = Fd(inside.open(libc::O_RDWR) as i32);
        assert_eq!(fd.0, next);
        // SAFETY: the command takes no pointer.
        assert_eq!(unsafe { libc::fcntl(fd.0, libc::F_GETFD) }, 0, "it stays open on exec");
        assert_eq!(stat(&fd).st_mode & 0o7777, state::NEW_MODE);
        assert_eq!(inside.ioctl(fd.number(), abi::SET_SIZE, 4096), 0);
        assert!(inside.map(&fd, 4096, RW, libc::MAP_SHARED) > 0);
    });
}

#[test]
fn what_lies_at_a_fixed_address_is_left_to_the_call() {
    let inside = MappedBlob::new();
    let fd = inside.region();
    assert_eq!(inside.ioctl(fd.number(), abi::SET_SIZE, 4096), 0);
    let at = inside.map(&fd, 4096, RW, libc::MAP_SHARED);
    // SAFETY: the page was just mapped.
    unsafe { (at as *mut u8).write_volatile(7) };
    let flags = (libc::MAP_PRIVATE | libc::MAP_FIXED).into();
    let args = [at, 4096, RW.into(), flags, fd.number(), 0];
    assert_eq!(inside.call(libc::SYS_mmap, args), at);
    // SAFETY: the page was just mapped.
    assert_eq!(unsafe { (at as *const u8).read_volatile() }, 7, "the kernel's own mapping");
}
