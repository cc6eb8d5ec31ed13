//! Sandboxes around a command, as container engines put them: one system call is refused, or kills.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// What a sandbox does to a call.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    Refuse(i32),
    Kill,
}

/// A system call of 64-bit x86; where a second argument is given, only with this one (its low 32 bits).
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) number: libc::c_long,
    pub(crate) second: Option<u32>,
}

impl From<libc::c_long> for Call {
    fn from(number: libc::c_long) -> Self {
        Self { number, second: None }
    }
}

/// A command in a sandbox that does this to the call. Several may lie around each other.
pub(crate) fn sandboxed(mut command: Command, call: impl Into<Call>, verdict: Verdict) -> Command {
    /// Where the number and the second argument stand in `struct seccomp_data`.
    const NUMBER: u32 = 0;
    const SECOND: u32 = 24;
    let call = call.into();
    let action = match verdict {
        Verdict::Refuse(errno) => libc::SECCOMP_RET_ERRNO | errno as u32,
        Verdict::Kill => libc::SECCOMP_RET_KILL_PROCESS,
    };
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = |at| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
    let equal = |value, otherwise| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, otherwise, value);
    let end = |action| step(libc::BPF_RET | libc::BPF_K, 0, 0, action);
    let mut program = vec![load(NUMBER)];
    match call.second {
        Some(second) => program.extend([equal(call.number as u32, 3), load(SECOND), equal(second, 1)]),
        None => program.push(equal(call.number as u32, 1)),
    }
    program.extend([end(action), end(libc::SECCOMP_RET_ALLOW)]);
    // SAFETY: the closure makes two system calls and nothing else.
    unsafe {
        command.pre_exec(move || {
            let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) != 0
            {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    command
}
