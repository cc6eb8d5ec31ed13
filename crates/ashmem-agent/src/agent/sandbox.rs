// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent's own seccomp filter. After its start the agent opens no socket, executes nothing and
//! gains no privilege, so it gives up the ability. It limits what a container could make of a
//! mistake of ours.
//!
//! A call that is not on the list fails with EPERM, so that an omission shows as an error and does
//! not kill the agent. The calls by which one process accesses another (`process_vm_readv`,
//! `pidfd_getfd`, `ptrace`) are on the list: without them there is no agent. The service's unit
//! takes more away: capabilities, devices, the file system.

use rustix::io::Result;

use crate::seccomp::bpf::{self, Assembler, Field, Instruction};
use crate::sys::check;

/// The calls of a serving agent: of its loops, and of the C library when threads start and end.
const ALLOWED: &[libc::c_long] = &[
    // The containers' side.
    libc::SYS_ioctl,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_wait4,
    libc::SYS_memfd_create,
    libc::SYS_fallocate,
    libc::SYS_ftruncate,
    libc::SYS_fcntl,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    libc::SYS_sysinfo,
    libc::SYS_prlimit64,
    // Files, all of them in /proc and /dev.
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_dup,
    libc::SYS_dup3,
    // Existing sockets, and what arrives there.
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_getsockopt,
    libc::SYS_getsockname,
    libc::SYS_shutdown,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    // Threads, memory, time.
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_prctl,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_futex,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_geteuid,
    libc::SYS_tgkill,
    libc::SYS_mmap,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_getrandom,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // For each new listener: the sizes of the kernel's structures, and its release.
    libc::SYS_seccomp,
    libc::SYS_uname,
    // Calls that newer architectures lack.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_dup2,
];

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = crate::seccomp::syscalls::X86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = crate::seccomp::syscalls::AARCH64;

/// seccomp(2): puts the calling thread, and all threads that it starts later, into the sandbox.
///
/// # Errors
/// What the kernel said; nothing has changed then, but that no privilege can be gained any more.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub fn confine() -> Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    bpf::install(&program(), 0).map(drop)
}

/// Only gives up gaining privileges: the numbers of this architecture are not known here.
///
/// # Errors
/// What the kernel said.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn confine() -> Result<()> {
    rustix::thread::set_no_new_privs(true)
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn program() -> Vec<Instruction> {
    #[derive(PartialEq)]
    enum SandboxLabel {
        Known,
        Allow,
    }
    let mut code = Assembler::default();
    // Calls of another architecture have other numbers, and this program makes none.
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    code.load(Field::Arch);
    code.jump_if_equal(ARCH, SandboxLabel::Known);
    code.end(refuse);
    code.place(SandboxLabel::Known);
    code.load(Field::Number);
    for number in ALLOWED {
        code.jump_if_equal(*number as u32, SandboxLabel::Allow);
    }
    code.end(refuse);
    code.place(SandboxLabel::Allow);
    code.end(libc::SECCOMP_RET_ALLOW);
    code.assemble()
}

/// Whether this thread is under a filter of its own.
pub fn is_confined() -> bool {
    // SAFETY: the command takes no pointer.
    check(unsafe { libc::prctl(libc::PR_GET_SECCOMP, 0, 0, 0, 0) }) == Ok(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_on_the_list_pass_and_others_fail() {
        let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
        let run = |arch, number: libc::c_long| bpf::run(&program(), arch, number as u32, [0; 6]);
        for number in ALLOWED {
            assert_eq!(run(ARCH, *number), libc::SECCOMP_RET_ALLOW, "call {number}");
            assert_eq!(run(ARCH + 1, *number), refused, "another architecture's call {number}");
        }
        for number in [libc::SYS_execve, libc::SYS_socket, libc::SYS_unlinkat, libc::SYS_kill] {
            assert_eq!(run(ARCH, number), refused, "call {number}");
        }
    }

    #[test]
    fn a_confined_thread_can_work_and_cannot_leave() {
        // A filter applies to its thread: the test program continues without it.
        let confined = std::thread::spawn(|| {
            assert!(!is_confined());
            confine().expect("a filter");
            assert!(is_confined());
            let memory = crate::regions::memfd::create(b"allowed").expect("memfd_create");
            crate::regions::memfd::set_size(&memory, 4096, false).expect("ftruncate");
            std::fs::read_to_string("/proc/self/status").expect("open and read");
            // Of the system call itself: rustix takes its word for it that uname(2) never fails.
            // SAFETY: an all-zero structure is a valid one, and the call fills it.
            let named = unsafe { libc::uname(&mut std::mem::zeroed()) };
            assert_eq!(named, 0, "uname");
            let thread = std::thread::spawn(|| {
                std::process::Command::new("/bin/true").status().map_err(|e| e.kind())
            });
            let executed = thread.join().expect("a thread can be started");
            assert_eq!(
                executed.map(drop),
                Err(std::io::ErrorKind::PermissionDenied),
                "nothing is executed"
            );
            let socket =
                std::os::unix::net::UnixStream::connect("/run/none").map_err(|error| error.kind());
            assert_eq!(
                socket.map(drop),
                Err(std::io::ErrorKind::PermissionDenied),
                "no socket is made"
            );
            assert!(
                std::fs::remove_file("/tmp/none")
                    .is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
            );
        });
        confined.join().expect("it held");
    }
}
