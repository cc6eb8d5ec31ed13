// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask vm`: one program, as root, on a stock kernel.

use crate::debian::host;
use crate::debian::kernel::Line;
use crate::machine::{self, Options, Status, VmRequest};
use anyhow::{Context, Result};
use clap::Args;
use std::process::ExitCode;

/// Boot a stock Debian kernel, or a debug kernel, under QEMU and run one program on it
///
/// The program runs as root in a guest whose whole user space is one initramfs: our init, the
/// program, and the files named by --file. Its stdout and stderr come out here byte for byte and
/// alone; everything xtask has to say goes to stderr. The exit status is the program's (128 + N
/// when signal N killed it), except:
///
///   70  the kernel reported a bug, a warning, a stall or a lock held wrong (its text is shown)
///   71  the guest did not finish in time (the end of its console is shown)
///   72  the guest could not run the program
///    2  xtask itself failed
///
/// A debug kernel (kasan, kcsan, cfi, rt) is built when it is first asked for, which takes the time
/// that --kernel tells; an interrupted build goes on where it stopped. Where the kernel has
/// kmemleak, a leak is a report as well.
///
/// The program finds in its environment: ASHMEM_KERNEL, ASHMEM_PROVIDER, ASHMEM_BINDER (yes|no)
/// and, where a provider's module is in the guest, ASHMEM_MODULE (its file).
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Example: cargo xtask vm --kernel 5.10 --provider reference --file \
                  /bin/busybox:/bin/sh -- /bin/busybox ls -l /dev/ashmem"
)]
pub(crate) struct Vm {
    /// The line of kernels; the latest the archive held at the last `setup --refresh`
    #[arg(long, default_value = "6.1")]
    kernel: Line,
    #[command(flatten)]
    options: Options,
    /// Show the kernel's console and the time it took to boot on stderr when the run is over
    #[arg(long)]
    console: bool,
    /// Static program of the host, put at /bin/NAME in the guest, and its arguments
    #[arg(required = true, last = true, value_name = "PROGRAM [ARGS]")]
    command: Vec<String>,
}

impl Vm {
    /// Runs the program; the status is its own.
    pub(crate) fn run(self) -> Result<ExitCode> {
        host::ensure(&[self.kernel])?;
        let mut words = self.command.into_iter();
        let program = words.next().context("no program was named")?.into();
        let request = VmRequest {
            kernel: self.kernel,
            options: self.options,
            program,
            arguments: words.collect(),
            live: true,
        };
        let outcome = machine::run(&request)?;
        if self.console {
            eprintln!("{}", outcome.console.trim_end());
            if let Some(boot) = outcome.boot {
                eprintln!("vm: from QEMU's start to the program's: {:.1} s", boot.as_secs_f64());
            }
        }
        match &outcome.status {
            Status::Exit(_) => {}
            other => eprintln!("vm: {other}"),
        }
        Ok(outcome.status.code().into())
    }
}
