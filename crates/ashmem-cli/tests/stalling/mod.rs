// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file server that stalls: a FUSE file system, served by hand, that never answers some of what
//! it is asked.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

pub(crate) const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
pub(crate) const GETATTR: u32 = 3;
const OPEN: u32 = 14;
pub(crate) const FLUSH: u32 = 25;
const INIT: u32 = 26;
const INTERRUPT: u32 = 36;
const DESTROY: u32 = 38;

/// The root directory's node; the only file's is the next.
pub(crate) const ROOT: u64 = 1;

/// Whether this is never answered: an operation, about a node, with this behind its header.
pub(crate) type IsUnanswered = fn(operation: u32, node: u64, argument: &[u8]) -> bool;

/// A file system in which every name is that of one file, in a directory of its own.
pub(crate) struct Stalling {
    directory: PathBuf,
    /// How often what is never answered was asked.
    asked: Arc<AtomicUsize>,
    /// Kept open until the end: who waits for the server waits until then.
    _device: File,
    server: Option<JoinHandle<()>>,
}

impl Stalling {
    /// `None` where this user may not mount one.
    pub(crate) fn mount(is_unanswered: IsUnanswered) -> Option<Self> {
        let device = File::options().read(true).write(true).open("/dev/fuse").ok()?;
        static MOUNTS: AtomicUsize = AtomicUsize::new(0);
        let number = MOUNTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("ashmem-stalls-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("a directory");
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let target = std::ffi::CString::new(directory.to_str()?).ok()?;
        let data = std::ffi::CString::new(options).ok()?;
        // SAFETY: every string ends with a NUL.
        let mounted = unsafe {
            libc::mount(
                c"stalls".as_ptr(),
                target.as_ptr(),
                c"fuse".as_ptr(),
                0,
                data.as_ptr().cast(),
            )
        };
        if mounted != 0 {
            let _ = std::fs::remove_dir(&directory);
            return None;
        }
        let mut server = device.try_clone().expect("a descriptor");
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let server = std::thread::spawn(move || serve(&mut server, is_unanswered, &count));
        Some(Self { directory, asked, _device: device, server: Some(server) })
    }

    /// A file of it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// How often what is never answered was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Stalling {
    fn drop(&mut self) {
        let path = std::ffi::CString::new(self.directory.to_str().unwrap_or_default());
        // Forced: who waits for an answer gets an error.
        // SAFETY: the string ends with a NUL.
        path.iter().for_each(|path| unsafe {
            libc::umount2(path.as_ptr(), libc::MNT_FORCE | libc::MNT_DETACH);
        });
        drop(self.server.take().map(JoinHandle::join));
        let _ = std::fs::remove_dir(&self.directory);
    }
}

/// Answers until the file system is unmounted.
fn serve(device: &mut File, is_unanswered: IsUnanswered, asked: &AtomicUsize) {
    let mut request = vec![0; 1 << 20];
    loop {
        let got = match device.read(&mut request) {
            Ok(got) if got >= 40 => got,
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => continue,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
            _ => return,
        };
        let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().expect("four"));
        let long = |at: usize| u64::from_ne_bytes(request[at..at + 8].try_into().expect("eight"));
        let (operation, unique, node) = (word(4), long(8), long(16));
        if is_unanswered(operation, node, &request[40..got]) {
            asked.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let (error, body) = match operation {
            FORGET | INTERRUPT => continue,
            FLUSH => (0, Vec::new()),
            DESTROY => return,
            // Version 7.31, and nothing that is optional.
            INIT => (0, [&7_u32.to_ne_bytes(), &31_u32.to_ne_bytes(), [0; 56].as_slice()].concat()),
            // Valid for ever, but for the attributes, which are asked for each time.
            LOOKUP => {
                let entry = [2, 0, u64::MAX >> 1, 0, 0].map(u64::to_ne_bytes).concat();
                (0, [entry, attributes(2, libc::S_IFREG | 0o666)].concat())
            }
            GETATTR if node == ROOT => {
                (0, [vec![0; 16], attributes(ROOT, libc::S_IFDIR | 0o755)].concat())
            }
            GETATTR => (0, [vec![0; 16], attributes(node, libc::S_IFREG | 0o666)].concat()),
            OPEN => (0, vec![0; 16]),
            _ => (-libc::ENOSYS, Vec::new()),
        };
        let len = (16 + body.len()) as u32;
        let header = [&len.to_ne_bytes()[..], &error.to_ne_bytes(), &unique.to_ne_bytes()].concat();
        let _ = device.write(&[header, body].concat());
    }
}

/// `struct fuse_attr`.
fn attributes(node: u64, mode: u32) -> Vec<u8> {
    let mut bytes = [node, 4096, 8, 0, 0, 0].map(u64::to_ne_bytes).concat();
    bytes.extend([0, 0, 0, mode, 1, 0, 0, 0, 4096, 0].map(u32::to_ne_bytes).concat());
    bytes
}
