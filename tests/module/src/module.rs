// SPDX-License-Identifier: MIT OR Apache-2.0
//! Loading and unloading, by the system calls themselves.

use std::ffi::CString;
use std::fmt::Display;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The module's name, which Waydroid and redroid ask for.
pub(crate) const NAME: &str = "ashmem_linux";

/// The two builds of the module, and the program `ashmem` that asks it.
pub(crate) struct Modules {
    pub(crate) plain: PathBuf,
    pub(crate) faults: PathBuf,
    pub(crate) ashmem: PathBuf,
}

/// Loads the module for the life of a case's `work`, and unloads it.
pub(crate) fn with_module(modules: &Modules, work: impl FnOnce() -> Result<()>) -> Result<()> {
    load(&modules.plain, "").context("loading the module")?;
    work()?;
    unload_soon(NAME)?;
    ensure!(!fs::exists("/dev/ashmem")?, "/dev/ashmem is still there after unloading");
    Ok(())
}

/// Loads a module file.
pub(crate) fn load(path: &Path, parameters: &str) -> io::Result<()> {
    let file = File::open(path)?;
    let parameters = CString::new(parameters)?;
    // SAFETY: a descriptor, a NUL-terminated string and flags.
    result(unsafe {
        libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), parameters.as_ptr(), 0)
    })
}

/// Loads a module from memory.
pub(crate) fn load_bytes(module: &[u8]) -> io::Result<()> {
    // SAFETY: a buffer with its length, and a NUL-terminated string.
    result(unsafe {
        libc::syscall(libc::SYS_init_module, module.as_ptr(), module.len(), c"".as_ptr())
    })
}

/// Unloads a module, or says at once why not: EAGAIN while it is in use (rmmod turns that into
/// EBUSY).
pub(crate) fn unload(name: &str) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: a NUL-terminated string and flags.
    result(unsafe { libc::syscall(libc::SYS_delete_module, name.as_ptr(), libc::O_NONBLOCK) })
}

/// Unloads a module whose last user may still be on its way out: a mapping's file is put after
/// munmap has returned.
pub(crate) fn unload_soon(name: &str) -> Result<()> {
    for _ in 0..200 {
        match unload(name) {
            Err(busy) if busy.raw_os_error() == Some(libc::EAGAIN) => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            other => return other.with_context(|| format!("unloading {name}")),
        }
    }
    anyhow::bail!("{name} is still in use two seconds after its last user went")
}

/// A parameter of the module, changed while this lives.
pub(crate) struct Parameter {
    path: String,
    before: String,
}

impl Parameter {
    /// `None` where the module has no such parameter.
    pub(crate) fn set(parameter: &str, value: impl Display) -> Result<Option<Self>> {
        let path = format!("/sys/module/{NAME}/parameters/{parameter}");
        if !fs::exists(&path)? {
            return Ok(None);
        }
        let before = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        fs::write(&path, value.to_string()).with_context(|| format!("writing {path}"))?;
        Ok(Some(Self { path, before }))
    }
}

impl Drop for Parameter {
    fn drop(&mut self) {
        // The machine lasts for these trials alone; one that follows with another value says so
        // itself.
        let _ = fs::write(&self.path, self.before.trim());
    }
}

/// Whether the kernel lists a module of this name.
pub(crate) fn is_loaded(name: &str) -> Result<bool> {
    let modules = fs::read_to_string("/proc/modules").context("reading /proc/modules")?;
    Ok(modules.lines().any(|line| line.split(' ').next() == Some(name)))
}

fn result(returned: libc::c_long) -> io::Result<()> {
    if returned == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
