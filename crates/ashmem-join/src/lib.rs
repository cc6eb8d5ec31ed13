// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line of `ashmem join`, and of the program `ashmem-join`: the same by itself, small
//! and static, for containers that hold nothing else of this project.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use ashmem_agent::join::Join;
use ashmem_agent::seccomp::filter::Fidelity;
use clap::{Args, ValueEnum, ValueHint};

/// Join an agent, and become a container's first program
///
/// Any engine's container gets /dev/ashmem so, without a profile, a proxy or seccomp notifications
/// of the engine's own: it starts this program, which filters itself, hands the listener to the
/// agent, and executes PROGRAM in its own place: pid 1 stays pid 1. `ashmem-join` is this verb as a
/// program of its own: static, so that it runs in containers without a C library.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ashmem agent --join unix:/run/ashmem/join.sock      # on the host, or by ashmem-join.socket
  docker run -v /usr/lib/ashmem/ashmem-join:/ashmem-join:ro \\
    -v /run/ashmem/join.sock:/ashmem.sock --device /dev/full:/dev/ashmem \\
    --entrypoint /ashmem-join IMAGE --agent /ashmem.sock -- PROGRAM
  lxc.init.cmd = /ashmem-join --agent /ashmem.sock -- /sbin/init      # in LXC's configuration

What is started in the container later (docker exec, lxc-attach) joins in the same way, and shares
its regions. Where PROGRAM lacks CAP_SYS_ADMIN in its user namespace, no_new_privs is set for it:
set-user-ID programs gain no rights then.

Exit status: the program's own; 127 if there is no such program, 126 if it cannot be executed, 125
if no agent serves it, so that it was not started.")]
pub struct JoinArguments {
    /// The agent's socket, as the container sees it
    #[arg(long, value_name = "PATH", default_value = "/run/ashmem/join.sock")]
    agent: PathBuf,
    /// How much of the device to emulate
    #[arg(long, value_name = "LEVEL", default_value = "full")]
    fidelity: JoinLevel,
    /// Start the program without the device if no agent serves it
    #[arg(long)]
    or_without: bool,
    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        value_name = "PROGRAM",
        value_hint = ValueHint::CommandWithArguments
    )]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
enum JoinLevel {
    /// A region looks like the character device in stat and fstat too
    Full,
    /// Only open, the ioctls and mmap: nothing else is slowed. Not for libcutils of Android 7.1.2
    /// and newer, nor ASharedMemory
    Fast,
}

impl JoinArguments {
    /// Joins, and becomes the program; the exit code to end with if that failed. Call it while the
    /// process has one thread.
    #[must_use]
    pub fn run(self) -> u8 {
        let path = self.agent.as_os_str().as_bytes();
        let path = OsStr::from_bytes(path.strip_prefix(b"unix:").unwrap_or(path));
        let join = Join {
            agent: path.into(),
            command: self.command,
            fidelity: match self.fidelity {
                JoinLevel::Full => Fidelity::Full,
                JoinLevel::Fast => Fidelity::Fast,
            },
            or_without: self.or_without,
        };
        join.run()
    }
}
