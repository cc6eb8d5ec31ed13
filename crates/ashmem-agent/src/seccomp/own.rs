// SPDX-License-Identifier: MIT OR Apache-2.0
//! This processor's calls as its own programs make them, which answers inside a program are about;
//! other widths' are always notified.

use crate::seccomp::syscalls::{AARCH64, X86_64};

/// `AUDIT_ARCH_*`; 0, which is none, for a processor without answers inside.
pub(crate) const ARCH: u32 = if cfg!(target_arch = "x86_64") {
    X86_64
} else if cfg!(target_arch = "aarch64") {
    AARCH64
} else {
    0
};
/// fstat(2).
pub(crate) const FSTAT: u32 = libc::SYS_fstat as u32;
/// ioctl(2).
pub(crate) const IOCTL: u32 = libc::SYS_ioctl as u32;
/// mmap(2).
pub(crate) const MMAP: u32 = libc::SYS_mmap as u32;
/// mremap(2).
pub(crate) const MREMAP: u32 = libc::SYS_mremap as u32;
/// fstatat(2).
pub(crate) const NEWFSTATAT: u32 = libc::SYS_newfstatat as u32;
/// prctl(2).
pub(crate) const PRCTL: u32 = libc::SYS_prctl as u32;
/// seccomp(2).
pub(crate) const SECCOMP: u32 = libc::SYS_seccomp as u32;
/// shmat(2).
pub(crate) const SHMAT: u32 = libc::SYS_shmat as u32;
/// unshare(2).
pub(crate) const UNSHARE: u32 = libc::SYS_unshare as u32;
/// open(2) and openat(2) where a site of theirs can be told that cannot be cancelled.
#[cfg(target_arch = "x86_64")]
pub(crate) const OPENS: &[u32] = &[libc::SYS_open as u32, libc::SYS_openat as u32];
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const OPENS: &[u32] = &[];
