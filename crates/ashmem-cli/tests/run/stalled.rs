// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file server that stalls holds up only who asks it: a FUSE file system, served by hand, that
//! never answers what fstat(2) and close(2) of its file ask, nor what another name leads to.

use super::{ASHMEM, builds, is_ok, output, wait_for_line};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const INTERRUPT: u32 = 36;
const DESTROY: u32 = 38;

/// The root directory's node; the only file's is the next.
const ROOT: u64 = 1;

/// A file system with one file, `file`, in a directory of its own.
struct Stalling {
    directory: PathBuf,
    /// Kept open until the end: who waits for the server waits until then.
    _device: File,
    server: Option<JoinHandle<()>>,
}

impl Stalling {
    /// `None` where this user may not mount one.
    fn mount() -> Option<Self> {
        let device = File::options().read(true).write(true).open("/dev/fuse").ok()?;
        let directory = std::env::temp_dir().join(format!("ashmem-stalls-{}", std::process::id()));
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
            return None;
        }
        let mut server = device.try_clone().expect("a descriptor");
        let server = std::thread::spawn(move || serve(&mut server));
        Some(Self { directory, _device: device, server: Some(server) })
    }

    fn file(&self) -> PathBuf {
        self.directory.join("file")
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

/// Answers until the file system is unmounted; but for what the file's status and its flush ask,
/// and other names.
fn serve(device: &mut File) {
    let mut request = vec![0; 1 << 20];
    loop {
        match device.read(&mut request) {
            Ok(got) if got >= 40 => {}
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => continue,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
            _ => return,
        }
        let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().expect("four"));
        let long = |at: usize| u64::from_ne_bytes(request[at..at + 8].try_into().expect("eight"));
        let (operation, unique, node) = (word(4), long(8), long(16));
        let (error, body) = match operation {
            FORGET | INTERRUPT | FLUSH => continue,
            GETATTR if node != ROOT => continue,
            DESTROY => return,
            // Version 7.31, and nothing that is optional.
            INIT => (0, [&7_u32.to_ne_bytes(), &31_u32.to_ne_bytes(), [0; 56].as_slice()].concat()),
            LOOKUP if !request[40..].starts_with(b"file\0") => continue,
            // Valid for ever, but for the attributes, which are asked for each time.
            LOOKUP => {
                let entry = [2, 0, u64::MAX >> 1, 0, 0].map(u64::to_ne_bytes).concat();
                (0, [entry, attributes(2, libc::S_IFREG | 0o666)].concat())
            }
            GETATTR => (0, [vec![0; 16], attributes(ROOT, libc::S_IFDIR | 0o755)].concat()),
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

/// The client's verb with that file, at a level, traced or not.
fn client(client: &Path, level: &str, trace: bool, file: &Path) -> Command {
    let mut command = Command::new(ASHMEM);
    if trace {
        command.args(["trace", "-o", "/dev/null", "--"]);
    } else {
        command.args(["run", "--fidelity", level, "--"]);
    }
    command.arg(client).arg("stalled").arg(file);
    if level == "fast" {
        command.env("ASHMEM_TEST_FAST", "1");
    }
    command
}

#[test]
fn a_file_server_that_stalls_holds_up_nobody_else() {
    let Some(program) = &builds()[0].program else { return };
    for (level, trace) in [("full", false), ("fast", false), ("full", true)] {
        let Some(stalling) = Stalling::mount() else {
            return eprintln!("skipped: only root may mount a file system that stalls");
        };
        let output = output(client(program, level, trace, &stalling.file()));
        is_ok(&format!("stalled, {level}, traced: {trace}"), &output);
    }
}

/// Root's `list` looks at every descriptor of everybody.
#[test]
fn a_file_server_that_stalls_holds_up_no_list() {
    let Some(stalling) = Stalling::mount() else {
        return eprintln!("skipped: only root may mount a file system that stalls");
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let held = rustix::fs::open(stalling.file(), flags, Mode::empty()).expect("it is there");
    let mut command = Command::new(ASHMEM);
    command.arg("list");
    assert!(output(command).status.success());
    drop(held);
}

/// A container's root directory that stalls is told of, and does not hold the doctor up.
#[test]
fn a_container_on_a_file_server_that_stalls_holds_up_no_doctor() {
    let Some(stalling) = Stalling::mount() else {
        return eprintln!("skipped: only root may mount a file system that stalls");
    };
    const CONTAINER: &str = "import os, sys, time; os.chroot(sys.argv[1]); \
                             print('up', flush=True); time.sleep(1000)";
    let mut container = Command::new("unshare")
        .args(["--pid", "--mount", "--fork", "--kill-child", "python3", "-c", CONTAINER])
        .arg(&stalling.directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("util-linux' unshare");
    wait_for_line(&mut container);
    let mut command = Command::new(ASHMEM);
    command.args(["doctor", "--json"]);
    let said = String::from_utf8_lossy(&output(command).stdout).into_owned();
    assert!(said.contains("its file system does not answer"), "{said}");
    container.kill().expect("it runs");
    container.wait().expect("its end");
}
