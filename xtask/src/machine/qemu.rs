// SPDX-License-Identifier: MIT OR Apache-2.0
//! One QEMU: a machine started, its four serial ports read, its end or its silence noticed.
//!
//! No file is shared with it and nothing is left behind: the initramfs is an anonymous file, the
//! ports are pipes, and the process dies with the thread that started it.

use crate::util::arch::Arch;
use anyhow::{Context, Result};
use ashmem_guest::Word;
use rustix::fs::MemfdFlags;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The machine to start.
pub(crate) struct Machine<'a> {
    /// What its processors are.
    pub(crate) arch: Arch,
    /// The kernel's image.
    pub(crate) image: &'a Path,
    /// The initramfs.
    pub(crate) initramfs: &'a [u8],
    /// What the kernel is told, beside what every kernel is told.
    pub(crate) words: &'a str,
    /// Memory in MiB.
    pub(crate) memory: u32,
    /// Processors; each is a host thread of its own.
    pub(crate) processors: u32,
    /// NUMA nodes.
    pub(crate) nodes: u32,
    /// One instruction is one nanosecond: figures repeat, no load of the host's shows, and one
    /// processor is all there can be.
    pub(crate) counted: bool,
    /// Whether one thread of the host emulates all processors, in turn.
    pub(crate) round_robin: bool,
    /// After this long the machine counts as hung; what its threads waited for a processor of the
    /// host is not counted.
    pub(crate) patience: Duration,
    /// The same until init's first word.
    pub(crate) boot_patience: Duration,
    /// Whether the program's output also goes to our own stdout and stderr as it comes.
    pub(crate) live: bool,
}

/// What a machine said in its life.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) console: String,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// Init's words, in order.
    pub(crate) words: Vec<Word>,
    /// Whether it had to be ended because its time was over.
    pub(crate) timed_out: bool,
    /// What QEMU itself complained of.
    pub(crate) complaints: String,
    /// From start to init's `ready`.
    pub(crate) boot: Option<Duration>,
}

/// QEMU as a child that never outlives this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a child that is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Machine<'_> {
    /// Starts the machine and stays with it until it is off.
    pub(crate) fn run(&self) -> Result<Life> {
        let started = Instant::now();
        let initramfs = self.initramfs_file()?;
        let (console, stdout, stderr, control) = (port()?, port()?, port()?, port()?);
        let mut command = self.command(&initramfs, [&console.1, &stdout.1, &stderr.1, &control.1]);
        let mut qemu = Running(command.spawn().with_context(|| {
            format!("starting {} (`cargo xtask setup` installs it)", self.arch.emulator())
        })?);
        let mut complaints = qemu.0.stderr.take().context("QEMU has no stderr")?;
        // QEMU holds its own copies of the writing ends; with ours open no port would ever end.
        drop((initramfs, console.1, stdout.1, stderr.1, control.1));
        let (live_out, live_err): (Box<dyn Write + Send>, Box<dyn Write + Send>) = if self.live {
            (Box::new(std::io::stdout()), Box::new(std::io::stderr()))
        } else {
            (Box::new(std::io::sink()), Box::new(std::io::sink()))
        };
        let console = collect(console.0, std::io::sink());
        let stdout = collect(stdout.0, live_out);
        let stderr = collect(stderr.0, live_err);
        let complaints = thread::spawn(move || {
            let mut text = String::new();
            // What cannot be read is a complaint less; the machine's fate is told by its ports.
            let _ = complaints.read_to_string(&mut text);
            text
        });
        let (mut words, mut boot) = (Vec::new(), None);
        let control = listen(control.0);
        let timed_out = loop {
            let patience = if words.is_empty() {
                self.boot_patience.min(self.patience)
            } else {
                self.patience
            };
            let left = (patience + host_waits(qemu.0.id())).saturating_sub(started.elapsed());
            match control.recv_timeout(left.min(LOOK)) {
                Ok(word) => {
                    if word == Word::Ready {
                        boot = Some(started.elapsed());
                    }
                    words.push(word);
                }
                Err(RecvTimeoutError::Timeout) if left > LOOK => {}
                Err(RecvTimeoutError::Timeout) => break true,
                // The port's end is QEMU's end.
                Err(RecvTimeoutError::Disconnected) => break false,
            }
        };
        drop(qemu);
        Ok(Life {
            console: String::from_utf8_lossy(&gather(console)?).into_owned(),
            stdout: gather(stdout)?,
            stderr: gather(stderr)?,
            words,
            timed_out,
            complaints: complaints.join().unwrap_or_default(),
            boot,
        })
    }

    /// What QEMU is told of the nodes: nothing of a single one. Processors are dealt out in turn,
    /// and the last node has what memory is left over.
    fn node_words(&self) -> Vec<String> {
        if self.nodes == 1 {
            return Vec::new();
        }
        let share = self.memory / self.nodes;
        let words = (0..self.nodes).flat_map(|node| {
            let memory = if node + 1 < self.nodes { share } else { self.memory - share * node };
            let processors = (node..self.processors)
                .step_by(self.nodes as usize)
                .map(|cpu| format!(",cpus={cpu}"));
            let processors: String = processors.collect();
            [
                "-object".to_owned(),
                format!("memory-backend-ram,id=node{node},size={memory}M"),
                "-numa".to_owned(),
                format!("node,nodeid={node},memdev=node{node}{processors}"),
            ]
        });
        words.collect()
    }

    fn initramfs_file(&self) -> Result<OwnedFd> {
        let file = rustix::fs::memfd_create("initramfs", MemfdFlags::CLOEXEC)
            .context("making an anonymous file")?;
        let mut file = File::from(file);
        file.write_all(self.initramfs).context("writing the initramfs")?;
        Ok(file.into())
    }

    fn command(&self, initramfs: &OwnedFd, ports: [&OwnedFd; 4]) -> Command {
        let inherited = |descriptor: &OwnedFd| format!("/proc/self/fd/{}", descriptor.as_raw_fd());
        let board = Board::of(self.arch);
        let mut command = Command::new(self.arch.emulator());
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        let (name, processor) = if self.counted {
            (board.counted_name, board.counted_processor)
        } else {
            (board.name, board.processor)
        };
        command.args(["-machine", name]);
        command.args(["-cpu", processor, "-m", &self.memory.to_string()]);
        if self.counted {
            command.args(["-accel", "tcg", "-icount", "shift=0,sleep=off", "-smp", "1"]);
        } else {
            // Processors of one socket share a cache, and the kernel warns of a cache that two
            // nodes share.
            let sockets = if self.nodes == 1 {
                String::new()
            } else {
                format!(",sockets={}", self.processors)
            };
            command.args([
                "-accel",
                if self.round_robin { "tcg,thread=single" } else { "tcg,thread=multi" },
                "-smp",
                &format!("{}{sockets}", self.processors),
            ]);
        }
        command.args(self.node_words());
        command.arg("-kernel").arg(self.image).arg("-initrd").arg(inherited(initramfs));
        // Quiet until init opens the console's level; a panic ends the machine at once (-1) and so
        // does an oops, for what a kernel does after one proves nothing.
        let words = "loglevel=5 oops=panic panic=-1 8250.nr_uarts=4 hung_task_panic=1";
        // Several processors go by the host's clock, and one that the host keeps from running for a
        // while is not stuck.
        let watchdogs = if self.counted { "" } else { PATIENT };
        command.arg("-append").arg(format!("{} {words} {watchdogs} {}", board.console, self.words));
        for (number, port) in ports.into_iter().enumerate() {
            command.arg("-chardev").arg(format!("file,id=port{number},path={}", inherited(port)));
        }
        command.args(board.ports);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let kept = [initramfs, ports[0], ports[1], ports[2], ports[3]].map(AsRawFd::as_raw_fd);
        let prepare = move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            for descriptor in kept {
                // SAFETY: the parent keeps these descriptors open until the child has started.
                let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
                // Kept in this child alone: a copy in a machine that another thread starts would
                // hold the port open.
                fcntl_setfd(descriptor, FdFlags::empty())?;
            }
            Ok(())
        };
        // SAFETY: the closure makes system calls only, no allocation and no lock, so it may run
        // between fork and exec.
        unsafe {
            command.pre_exec(prepare);
        }
        command
    }
}

/// What a machine of an architecture is made of.
pub(crate) struct Board {
    /// QEMU's name of it, and what it has.
    pub(crate) name: &'static str,
    /// The same where instructions are counted.
    counted_name: &'static str,
    /// The processor where the host's clock is the machine's.
    pub(crate) processor: &'static str,
    /// The kernel's name of the first serial port.
    pub(crate) port: &'static str,
    /// The processor whose instructions are counted.
    counted_processor: &'static str,
    /// The kernel's words for the port that is its console.
    console: &'static str,
    /// How `port0`, the console, and `port1` to `port3`, the guest's ttyS1 to ttyS3, are plugged
    /// in.
    ports: &'static [&'static str],
}

impl Board {
    pub(crate) const fn of(arch: Arch) -> &'static Self {
        match arch {
            Arch::X86_64 => &PC,
            Arch::Arm64 => &VIRT,
        }
    }
}

const PC: Board = Board {
    name: "pc",
    counted_name: "pc",
    // All that QEMU can do (the kernel's own guards against stray user accesses among it) but a
    // fifth level of page tables, which costs each walk a step that today's machines do not take.
    processor: "max,la57=off",
    port: "ttyS0",
    // Counted, `rep stosb` weighs one instruction a byte, and a page cleared outweighs all else
    // that is done with it. No real processor clears memory that slowly: without the feature the
    // kernel clears by words.
    counted_processor: "max,la57=off,erms=off,fsrm=off",
    console: "console=ttyS0,115200 earlyprintk=ttyS0,115200",
    ports: &[
        "-serial",
        "chardev:port0",
        "-serial",
        "chardev:port1",
        "-serial",
        "chardev:port2",
        "-serial",
        "chardev:port3",
    ],
};

/// The board has one port of its own, which is the console; the program's are on a card with four,
/// of which the first stays unused.
const VIRT: Board = Board {
    // Memory has tags (MTE), as newer phones' has.
    name: "virt,mte=on",
    counted_name: "virt",
    // Pointers are signed by a hash of QEMU's own: the architecture's costs half of all time.
    processor: "max,pauth-impdef=on",
    port: "ttyAMA0",
    counted_processor: "max,pauth-impdef=on",
    console: "console=ttyAMA0 earlycon",
    ports: &[
        "-serial",
        "chardev:port0",
        "-chardev",
        "null,id=unused",
        "-device",
        "pci-serial-4x,chardev1=unused,chardev2=port1,chardev3=port2,chardev4=port3",
    ],
};

/// The kernel's watchdogs, for a machine that is kept waiting: two minutes for a processor, four
/// for a task.
const PATIENT: &str = "watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120 \
                       rcupdate.rcu_exp_cpu_stall_timeout=0 workqueue.watchdog_thresh=120 \
                       sysctl.kernel.hung_task_timeout_secs=240";

/// How often it is looked at whether a machine's time is over.
const LOOK: Duration = Duration::from_secs(5);

/// How long a process has waited for a processor that others had: the most that one of its threads
/// did. Nothing where the kernel does not tell.
fn host_waits(process: u32) -> Duration {
    let waited = |thread: std::fs::DirEntry| -> Option<u64> {
        std::fs::read_to_string(thread.path().join("schedstat"))
            .ok()?
            .split_whitespace()
            .nth(1)?
            .parse()
            .ok()
    };
    let threads =
        std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    Duration::from_nanos(threads.filter_map(waited).max().unwrap_or_default())
}

/// A pipe QEMU inherits: our reading end, its writing end.
fn port() -> Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).context("making a pipe")?;
    Ok((reader, writer))
}

/// Reads a port to its end on a thread of its own, passing on each piece as it comes.
fn collect(
    port: OwnedFd,
    mut live: impl Write + Send + 'static,
) -> JoinHandle<std::io::Result<Vec<u8>>> {
    thread::spawn(move || {
        let (mut port, mut all, mut buffer) = (File::from(port), Vec::new(), [0_u8; 8192]);
        loop {
            let length = port.read(&mut buffer)?;
            let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else {
                return Ok(all);
            };
            all.extend_from_slice(piece);
            live.write_all(piece)?;
            live.flush()?;
        }
    })
}

fn gather(collector: JoinHandle<std::io::Result<Vec<u8>>>) -> Result<Vec<u8>> {
    match collector.join() {
        Ok(bytes) => bytes.context("reading a port of the guest"),
        Err(_) => anyhow::bail!("a thread that read a port of the guest died"),
    }
}

/// Hands on init's words as they come; what is none is skipped, for the machine's firmware may
/// speak there too.
fn listen(port: OwnedFd) -> Receiver<Word> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(File::from(port)).lines().map_while(Result::ok) {
            if let Ok(word) = serde_json::from_str(&line)
                && sender.send(word).is_err()
            {
                break;
            }
        }
    });
    receiver
}
