// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must be true after each input: the kernel has not complained, and nothing is left of the
//! input.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::input::Input;
use crate::knob;
use crate::machine::{self, CGROUP, NAME, TRACEPOINTS};

/// What the kernel's complaints hold.
const COMPLAINTS: &[&str] = &[
    "BUG: ",
    "WARNING: ",
    "UBSAN: ",
    "possible circular locking",
    "possible recursive locking",
    "inconsistent lock state",
    "bad unlock balance",
    "held lock freed",
    "suspicious RCU usage",
    "sleeping function called",
    "scheduling while atomic",
    "refcount_t: ",
    "corruption",
    "Bad page",
    "Bad rss-counter",
    "blocked for more than",
    "soft lockup",
    "detected stalls",
    "self-detected stall",
    "Objects remaining",
];

/// How long what an input left may take to go: a file is closed, and io_uring ends, after the
/// process.
const PATIENCE: Duration = Duration::from_secs(20);

/// The watch over a machine.
pub(crate) struct Health {
    log: File,
    parameters: Vec<(String, String)>,
}

impl Health {
    /// Prepares the machine, and begins to listen to the kernel from here on.
    pub(crate) fn begin() -> Result<Self> {
        prepare();
        let mut log = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .context("opening /dev/kmsg")?;
        complaint(&mut log)?;
        let read = |path: String| fs::read_to_string(&path).ok().map(|value| (path, value));
        Ok(Self { log, parameters: machine::parameters().into_iter().filter_map(read).collect() })
    }

    /// Takes back what an input changed of the machine.
    pub(crate) fn restore(&self, input: &Input) -> Result<(), String> {
        if input.does(&["tracepoints"]) {
            knob::put(&format!("{TRACEPOINTS}/enable"), "0");
        }
        if input.does(&["limit memory"]) {
            for file in ["memory.max", "memory.high", "memory.swap.max"] {
                knob::put(&format!("{CGROUP}/{file}"), "max");
            }
        }
        if input.does(&["module parameter"]) {
            for (path, value) in &self.parameters {
                knob::put(path, value.trim());
            }
        }
        if input.does(&["unload the module"])
            && !soon(|| machine::load_module() == 0 || is_loaded())
        {
            return Err("the module cannot be loaded again".to_owned());
        }
        Ok(())
    }

    /// Looks whether all is well; else what is not. With `ended` no process of an input is left,
    /// and nothing else may be.
    pub(crate) fn check(&mut self, ended: bool) -> Result<(), String> {
        if let Some(line) = complaint(&mut self.log).map_err(|error| format!("{error:#}"))? {
            return Err(format!("the kernel said: {line}"));
        }
        if ended && !soon(|| users() == 0) {
            return Err(format!("{} users hold the module though no process is left", users()));
        }
        if ended && !soon(|| purgeable().is_empty()) {
            return Err(format!("there are no regions, and the shrinker counts {}", purgeable()));
        }
        Ok(())
    }
}

/// Sets up what inputs use. What a kernel does not have, they go without.
fn prepare() {
    // Made failures are told of by what comes of them; each one's stack on the console would take
    // longer than the input.
    for fault in ["failslab", "fail_page_alloc", "fail_usercopy", "fail_futex"] {
        knob::put(&format!("/sys/kernel/debug/{fault}/verbose"), "0");
        for (file, value) in
            [("ignore-gfp-wait", "N"), ("ignore-gfp-highmem", "N"), ("min-order", "0")]
        {
            knob::put(&format!("/sys/kernel/debug/{fault}/{file}"), value);
        }
    }
    knob::put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
    // There already, if this is the second run in a machine.
    let _ = fs::create_dir(CGROUP);
    knob::put("/proc/sys/vm/overcommit_memory", "1");
    // The victim's name is enough; its neighbours' table is as long as a hundred inputs.
    knob::put("/proc/sys/vm/oom_dump_tasks", "0");
    knob::put("/proc/sys/vm/unprivileged_userfaultfd", "1");
    knob::put("/proc/sys/kernel/printk_ratelimit", "0");
    knob::put("/proc/self/oom_score_adj", "-1000");
}

fn is_loaded() -> bool {
    Path::new(&format!("/sys/module/{NAME}/refcnt")).exists()
}

/// How often the module is in use; not at all while it is not there.
fn users() -> u64 {
    let count = fs::read_to_string(format!("/sys/module/{NAME}/refcnt"));
    count.ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

/// What the shrinker counts, which is nothing where it counts nothing or cannot be asked.
fn purgeable() -> String {
    machine::shrinker(0)
        .and_then(|path| fs::read_to_string(format!("{path}/count")).ok())
        .unwrap_or_default()
}

/// Whether something becomes true in time.
fn soon(mut holds: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if holds() {
            return true;
        }
        if began.elapsed() > PATIENCE {
            return false;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Reads the log to its end; answers the first complaint.
fn complaint(log: &mut File) -> Result<Option<String>> {
    let mut found = None;
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(length) => {
                let text = String::from_utf8_lossy(record.get(..length).unwrap_or_default());
                let message = text.split_once(';').map_or(&*text, |(_, message)| message);
                let line = message.lines().next().unwrap_or_default();
                if COMPLAINTS.iter().any(|words| line.contains(words)) {
                    found.get_or_insert_with(|| line.to_owned());
                }
            }
            Err(end) if end.kind() == ErrorKind::WouldBlock => return Ok(found),
            // Records were overwritten before we came.
            Err(lost) if lost.raw_os_error() == Some(libc::EPIPE) => {}
            Err(error) => return Err(error).context("reading /dev/kmsg"),
        }
    }
}
