// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tries what the conformance suite cannot: the module's coming and going, and what it does without
//! memory.
//!
//! Runs as root in a virtual machine whose kernel has no ashmem. Arguments: the module built for
//! use, the one built for tests (`cargo xtask module --faults`), and the program `ashmem`. The last
//! line is `N passed, N failed`.
//!
//! With `--failslab` alone, on a kernel with the module and with fault injection, it makes each
//! request fail at each of its allocations instead. With `--neighbours` in their place, and a
//! module that is loaded already, it tries what the module does to a machine with hostile users
//! (see `neighbours`).

mod failslab;
mod faults;
mod kernel_log;
mod lifecycle;
mod module;
mod neighbours;
mod region;
mod trace;
mod unpinning;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use module::Modules;

type Case = (&'static str, fn(&Modules) -> Result<()>);

const CASES: &[Case] = &[
    ("200 times loaded, used and unloaded leave no object and no module behind", lifecycle::cycles),
    (
        "an open descriptor holds the module, and its region stays whole",
        lifecycle::descriptor_holds,
    ),
    (
        "a shared mapping alone holds the module, and its memory stays whole",
        lifecycle::mapping_holds,
    ),
    ("a private mapping alone holds the module", lifecycle::private_mapping_holds),
    (
        "a file opened through /proc/PID/map_files outlives the module, within the mask",
        lifecycle::reopened_file_outlives,
    ),
    (
        "a path to a backing file, held by O_PATH, outlives the module and can still be used",
        lifecycle::path_survives,
    ),
    (
        "a region without write in its mask cannot be truncated or written through map_files, \
         whatever its mode",
        lifecycle::no_truncate,
    ),
    (
        "a mapping opened again is written as far as the caller's memory reaches",
        lifecycle::written_again,
    ),
    ("a sparse region does not keep the kernel busy when it drops caches", lifecycle::sparse),
    (
        "a mapping that outlives the descriptor cannot be purged, and frees the module when it \
         goes",
        lifecycle::unpinned,
    ),
    ("loading twice is EEXIST, and the first stays", lifecycle::twice),
    (
        "a kernel that has an ashmem device is left as it is, with one line in the log",
        lifecycle::other_driver,
    ),
    ("every tracepoint tells what was done, once, and none tells anything when off", trace::events),
    (
        "with unpinning_at_once UNPIN purges, whatever was unpinned before; without, pages stay",
        unpinning::at_once,
    ),
    (
        "PIN and UNPIN race with unpinning_at_once: no page is lost without WAS_PURGED",
        unpinning::raced,
    ),
    (
        "without unpinning_enable want of memory purges nothing, and PURGE_ALL_CACHES does",
        unpinning::never,
    ),
    (
        "PURGE_REGION purges one region, beside its users too, and is ENOTTY without CAP_SYS_ADMIN",
        unpinning::one_region,
    ),
    (
        "ashmem purge purges what it is asked for and nothing else, for root alone",
        unpinning::by_command,
    ),
    ("without memory every call says ENOMEM or succeeds, and nothing is lost", faults::every_call),
    ("without memory UNPIN and PIN change nothing", faults::pins_are_untouched),
];

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == lifecycle::DROP_CACHES) {
        return lifecycle::drop_caches();
    }
    if std::env::args_os().nth(1).is_some_and(|argument| argument == failslab::FAILSLAB) {
        return failslab::run();
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, names)) = words.split_first()
        && first == neighbours::ARGUMENT
    {
        return neighbours::run(names);
    }
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ashmem-module-test: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let usage = "usage: ashmem-module-test ASHMEM_LINUX.KO ASHMEM_LINUX_FAULTS.KO ASHMEM | \
                 --neighbours [TRIAL...|all]";
    let modules = Modules {
        plain: arguments.next().context(usage)?,
        faults: arguments.next().context(usage)?,
        ashmem: arguments.next().context(usage)?,
    };

    let mut failed = 0;
    for (sentence, case) in CASES {
        match case(&modules) {
            Ok(()) => println!("✓ {sentence}"),
            Err(error) => {
                failed += 1;
                println!("✗ {sentence}\n      {error:#}");
                // The next case starts from a kernel without the module, as far as that can be had.
                let _ = module::unload(module::NAME);
            }
        }
    }
    println!("{} passed, {failed} failed", CASES.len() - failed);
    Ok(failed == 0)
}
