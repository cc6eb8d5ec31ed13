// SPDX-License-Identifier: MIT OR Apache-2.0
//! `/proc/PID`: one process's directory, held open so that every answer is of the same process, and
//! what can be asked of a process by its number alone.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, Statx, StatxFlags};
use rustix::io::{Errno, Result};

use crate::memory;

/// A process's directory. Once the process is gone, everything in it answers ESRCH or ENOENT, were
/// its number given out again.
#[derive(Debug)]
pub struct ProcessDir(OwnedFd);

/// The numbers of all processes.
pub fn processes() -> Vec<i32> {
    numbers_in("/proc")
}

/// The numbers of a process's threads.
pub fn threads(pid: i32) -> Vec<i32> {
    numbers_in(&format!("/proc/{pid}/task"))
}

/// The numbers of a thread's descriptors, the lowest first.
pub fn descriptors(tid: i32) -> Vec<RawFd> {
    let mut numbers = numbers_in(&format!("/proc/{tid}/fd"));
    numbers.sort_unstable();
    numbers
}

/// What one of a thread's descriptors refers to, as its link shows it.
pub fn descriptor_link(tid: i32, number: RawFd) -> Option<Vec<u8>> {
    Some(rustix::fs::readlink(format!("/proc/{tid}/fd/{number}"), Vec::new()).ok()?.into_bytes())
}

/// The status of what one of a thread's descriptors refers to. A file's server is not asked.
pub fn descriptor_status(tid: i32, number: RawFd) -> Option<Statx> {
    status_at(CWD, &format!("/proc/{tid}/fd/{number}")).ok()
}

/// A process's name, as a list of processes shows it: the kernel's own, whole where the kernel has
/// cut it.
pub fn name(pid: i32) -> Option<Vec<u8>> {
    ProcessDir::open(pid).ok()?.name().ok()
}

/// The name of a process that the kernel calls so, and that has these arguments. The kernel keeps
/// 15 bytes: the first ones of a program's or a script's name, or as Android asks for it the last
/// ones of a package's. A process that has chosen another name keeps it.
fn whole_name<'a>(name: &'a [u8], arguments: &'a [u8]) -> &'a [u8] {
    if name.len() < KEPT {
        return name;
    }
    // The second one names the script where the first names what runs it.
    let mut files = arguments
        .split(|byte| *byte == 0)
        .take(2)
        .filter_map(|argument| argument.rsplit(|byte| *byte == b'/').next());
    let is_of = |file: &&[u8]| {
        file.len() <= LONGEST_NAME && (file.starts_with(name) || file.ends_with(name))
    };
    files.find(is_of).unwrap_or(name)
}

/// A process's control groups, as its `cgroup` lists them.
pub fn control_groups(pid: i32) -> Option<Vec<u8>> {
    crate::read(format!("/proc/{pid}/cgroup")).ok()
}

/// Bytes of a name that the kernel keeps.
const KEPT: usize = 15;
/// The longest name, in bytes, that is taken from an argument: that of a file.
const LONGEST_NAME: usize = 255;
/// Bytes of the arguments that are read.
const LONGEST_ARGUMENT: usize = 4096;

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Whether it runs, or would if a processor were free.
    pub is_runnable: bool,
    /// The time it ran so far, in clock ticks (`sysconf(_SC_CLK_TCK)`).
    pub ticks: u64,
}

/// What a thread is doing, as its `stat` tells; `None`: it has ended.
pub fn activity(tid: i32) -> Option<Activity> {
    let text = crate::read(format!("/proc/{tid}/stat")).ok()?;
    let mut fields = behind_name(&text)?;
    let is_runnable = fields.next()? == b"R";
    // utime and stime: the 14th and the 15th field.
    let mut times = fields.skip(10).map(crate::number::<u64>);
    Some(Activity { is_runnable, ticks: times.next()?? + times.next()?? })
}

/// The number of a process's parent.
pub fn parent(pid: i32) -> Option<i32> {
    let text = crate::read(format!("/proc/{pid}/stat")).ok()?;
    behind_name(&text)?.nth(1).and_then(crate::number)
}

/// The fields of a `stat` behind the name, which stands in parentheses and may hold anything.
fn behind_name(text: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let name_end = text.iter().rposition(|byte| *byte == b')')?;
    Some(crate::words(&text[name_end + 1..]))
}

fn numbers_in(path: &str) -> Vec<i32> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Every process there is now: its number, and its directory's inode, by which a later process of
/// that number is told apart.
///
/// # Errors
/// There is no `/proc`.
pub fn processes_with_inodes() -> Result<Vec<(i32, u64)>> {
    let directory = rustix::fs::open(
        "/proc",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut found = Vec::new();
    numbers(&directory, |number, inode| found.push((number, inode)))?;
    Ok(found)
}

/// Every entry whose name is a number.
fn numbers(directory: impl AsFd, mut each: impl FnMut(i32, u64)) -> Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 8192];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if let Some(number) = crate::number(entry.file_name().to_bytes()) {
            each(number, entry.ino());
        }
    }
    Ok(())
}

impl ProcessDir {
    /// The directory of this process.
    ///
    /// # Errors
    /// ENOENT: there is no such process.
    pub fn open(pid: i32) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(format!("/proc/{pid}"), flags, Mode::empty()).map(Self)
    }

    /// A file's content. What is longer than a read comes in several, as big as `buffer`, which is
    /// reused.
    ///
    /// # Errors
    /// ESRCH, ENOENT: it is gone. EACCES, EPERM: it may not be looked at.
    pub fn read<'a>(&self, path: &str, buffer: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        const STEP: usize = 64 << 10;
        let file =
            rustix::fs::openat(&self.0, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        buffer.clear();
        loop {
            buffer.reserve(STEP);
            match rustix::io::read(&file, rustix::buffer::spare_capacity(buffer)) {
                Ok(0) => return Ok(buffer),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The process's name, as [`name`] has it. Its arguments, which lie in its own memory, are read
    /// only where the kernel has cut the name.
    ///
    /// # Errors
    /// ESRCH, ENOENT: it is gone.
    pub fn name(&self) -> Result<Vec<u8>> {
        let comm = self.beginning("comm", KEPT + 1)?;
        let name = comm.strip_suffix(b"\n").unwrap_or(&comm);
        if name.len() < KEPT {
            return Ok(name.to_vec());
        }
        let arguments = self.beginning("cmdline", LONGEST_ARGUMENT).unwrap_or_default();
        Ok(whole_name(name, &arguments).to_vec())
    }

    /// The first bytes of a file, at most so many.
    fn beginning(&self, path: &str, most: usize) -> Result<Vec<u8>> {
        let file =
            rustix::fs::openat(&self.0, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut bytes = vec![0; most];
        let len = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut bytes))?;
        bytes.truncate(len);
        Ok(bytes)
    }

    /// What a link says.
    ///
    /// # Errors
    /// ESRCH, ENOENT: it is gone. EACCES, EPERM: it may not be looked at.
    pub fn link(&self, path: &str, buffer: Vec<u8>) -> Result<Vec<u8>> {
        rustix::fs::readlinkat(&self.0, path, buffer).map(std::ffi::CString::into_bytes)
    }

    /// The status of what a link leads to, with the time at which that was made where the kernel
    /// keeps it ([`StatxFlags::BTIME`]; of memfds since Linux 5.18). A file's server is not asked:
    /// it might never answer.
    ///
    /// # Errors
    /// ESRCH, ENOENT: it is gone. EACCES, EPERM: it may not be looked at.
    pub fn status(&self, path: &str) -> Result<Statx> {
        status_at(&self.0, path)
    }

    /// Opens the memory that a link leads to: a memfd or a region, for reading.
    ///
    /// The link may lead elsewhere by the time it is followed, and to open a device or a file that
    /// a server answers for does something, with our rights. So it is looked at before it is
    /// opened.
    ///
    /// # Errors
    /// ESRCH, ENOENT: it is gone, or leads to something else. EACCES, EPERM: it may not be looked
    /// at.
    pub fn open_memory(&self, path: &str) -> Result<OwnedFd> {
        let place =
            rustix::fs::openat(&self.0, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        if !memory::holds(&status_at(&place, "")?) {
            return Err(Errno::NOENT);
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        rustix::fs::open(format!("/proc/self/fd/{}", place.as_raw_fd()), flags, Mode::empty())
    }

    /// The numbers of the open descriptors.
    ///
    /// # Errors
    /// ESRCH, ENOENT: it is gone. EACCES, EPERM: it may not be looked at.
    pub fn descriptors(&self) -> Result<Vec<i32>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&self.0, "fd", flags, Mode::empty())?;
        let mut found = Vec::new();
        numbers(&directory, |number, _| found.push(number))?;
        Ok(found)
    }

    /// Figures that change when descriptors or mappings come and go, mostly, and are cheap: the
    /// number of descriptors (since Linux 6.2; 0 before) and the pages of address space.
    ///
    /// # Errors
    /// ESRCH, ENOENT: it is gone. EACCES, EPERM: it may not be looked at.
    pub fn hint(&self, buffer: &mut Vec<u8>) -> Result<(u64, u64)> {
        let descriptors = self.status("fd")?.stx_size;
        let size =
            self.read("statm", buffer)?.split(|byte| *byte == b' ').next().and_then(crate::number);
        Ok((descriptors, size.unwrap_or(0)))
    }
}

/// The status of what lies at a path, which may be empty for the directory's own descriptor.
fn status_at(directory: impl AsFd, path: &str) -> Result<Statx> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    rustix::fs::statx(directory, path, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::inotify;

    #[test]
    fn memory_is_opened_and_no_other_file_even_for_a_moment() {
        let pid = std::process::id() as i32;
        let folder = ProcessDir::open(pid).expect("ourselves");
        let memfd = rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).expect("memory");
        let opened = folder.open_memory(&format!("fd/{}", memfd.as_raw_fd())).expect("it is ours");
        let inode = |fd: &OwnedFd| rustix::fs::fstat(fd).expect("a status").st_ino;
        assert_eq!(inode(&opened), inode(&memfd));

        let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .expect("a watch");
        let program = std::env::current_exe().expect("this program");
        inotify::add_watch(&events, &program, inotify::WatchFlags::OPEN).expect("a watch");
        let other = rustix::fs::open(&program, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .expect("it is there");
        let link = format!("fd/{}", other.as_raw_fd());
        assert_eq!(folder.open_memory(&link).map(drop), Err(Errno::NOENT));
        let mut event = [0; 512];
        assert_eq!(rustix::io::read(&events, &mut event), Err(Errno::AGAIN));
        // The watch tells of an open that happens.
        drop(std::fs::File::open(&program).expect("it may be read"));
        assert!(rustix::io::read(&events, &mut event).is_ok());
    }

    #[test]
    fn this_process_is_found_with_all_that_is_asked_of_it() {
        let pid = std::process::id() as i32;
        let parent_pid = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
        assert!(processes().contains(&pid) && threads(pid).contains(&pid));
        assert_eq!(parent(pid), parent_pid);
        assert!(name(pid).is_some_and(|name| !name.is_empty() && !name.ends_with(b"\n")));
        let (file, _) = rustix::pipe::pipe().expect("a pipe");
        let number = std::os::fd::AsRawFd::as_raw_fd(&file);
        assert!(descriptors(pid).contains(&number));
        assert!(descriptor_link(pid, number).is_some_and(|link| link.starts_with(b"pipe:")));
        let inode = rustix::fs::fstat(&file).expect("a status").st_ino;
        assert_eq!(descriptor_status(pid, number).map(|status| status.stx_ino), Some(inode));
    }

    #[test]
    fn a_name_is_whole_where_the_kernel_has_cut_it() {
        for (kernel, arguments, wanted) in [
            ("python3", "python3", "python3"),
            ("script.py", "/usr/bin/python3", "script.py"),
            (
                "long-name-of-a-",
                "/usr/bin/python3\0./long-name-of-a-script.py\0x",
                "long-name-of-a-script.py",
            ),
            ("systemd-journal", "/lib/systemd/systemd-journald", "systemd-journald"),
            ("ndroid.systemui", "com.android.systemui", "com.android.systemui"),
            ("Chrome_ChildIOT", "/opt/chrome/chrome", "Chrome_ChildIOT"),
            ("exactly15bytes_", "exactly15bytes_", "exactly15bytes_"),
            ("a name it chose", "", "a name it chose"),
        ] {
            let found = whole_name(kernel.as_bytes(), arguments.as_bytes());
            assert_eq!(String::from_utf8_lossy(found), wanted);
        }
        let long = format!("{}{}", "exactly15bytes_", "x".repeat(4096));
        assert_eq!(whole_name(b"exactly15bytes_", long.as_bytes()), b"exactly15bytes_");
    }

    #[test]
    fn of_a_process_that_is_not_there_nothing_is_known() {
        assert_eq!(
            (parent(i32::MAX), name(i32::MAX), control_groups(i32::MAX)),
            (None, None, None)
        );
        assert!(threads(i32::MAX).is_empty() && descriptors(i32::MAX).is_empty());
    }
}
