// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sandboxes around a command, as container engines put them: one system call is refused, or kills.

use std::os::unix::process::CommandExt;
use std::process::Command;

use ashmem_agent::seccomp::bpf::{Assembler, Field};

/// What a sandbox does to a call.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    Refuse(i32),
    Kill,
}

/// A system call of 64-bit x86; where a second argument is given, only with this one (its low 32
/// bits).
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

#[derive(PartialEq)]
enum Label {
    /// Of the call's number.
    Number,
    /// Of the call.
    Call,
}

/// A command in a sandbox that does this to the call. Several may lie around each other.
pub(crate) fn sandboxed(mut command: Command, call: impl Into<Call>, verdict: Verdict) -> Command {
    let call = call.into();
    let action = match verdict {
        Verdict::Refuse(errno) => libc::SECCOMP_RET_ERRNO | errno as u32,
        Verdict::Kill => libc::SECCOMP_RET_KILL_PROCESS,
    };
    let mut program = Assembler::default();
    program.load(Field::Number);
    program.jump_if_equal(call.number as u32, Label::Number);
    program.end(libc::SECCOMP_RET_ALLOW);
    program.place(Label::Number);
    if let Some(second) = call.second {
        program.load(Field::LowArgument(1));
        program.jump_if_equal(second, Label::Call);
        program.end(libc::SECCOMP_RET_ALLOW);
    }
    program.place(Label::Call);
    program.end(action);
    let program = program.assemble();
    // SAFETY: the closure makes two system calls and nothing else.
    unsafe {
        command.pre_exec(move || {
            let program =
                libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
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
