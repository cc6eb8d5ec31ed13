// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which message a line is: all tables, and how they are asked.

use std::sync::{LazyLock, OnceLock};

use aho_corasick::AhoCorasick;
use regex::{Regex, RegexBuilder};

use super::needed_words::NeededWords;
use super::{
    anbox, android, binder, binderfs, build, cdi, compiler, container, driver, frameworks,
    kubernetes, load, lxc, module_files, neighbours, network, nodes, old_modules, own, packages,
    region, removal, security, session, traceback, waydroid,
};
use crate::ascii_pattern::ascii_only;
use crate::log_line::LogLine;
use crate::log_source::LogSource;
use crate::message::Message;
use crate::subject::Subject;

/// The tables, in the order in which they are asked.
static TABLES: [&[Message]; 27] = [
    own::MESSAGES,
    security::MESSAGES,
    kubernetes::MESSAGES,
    packages::MESSAGES,
    driver::MESSAGES,
    compiler::MESSAGES,
    old_modules::MESSAGES,
    build::MESSAGES,
    module_files::MESSAGES,
    removal::MESSAGES,
    load::MESSAGES,
    build::FAILED,
    nodes::MESSAGES,
    session::MESSAGES,
    network::MESSAGES,
    waydroid::MESSAGES,
    traceback::MESSAGES,
    lxc::MESSAGES,
    anbox::MESSAGES,
    cdi::MESSAGES,
    container::MESSAGES,
    binderfs::MESSAGES,
    binder::MESSAGES,
    android::MESSAGES,
    frameworks::MESSAGES,
    region::MESSAGES,
    neighbours::MESSAGES,
];

/// A message's patterns, compiled when they are first asked.
struct AskedMessage {
    message: &'static Message,
    /// Whether it is said on the host alone, and so never in logcat.
    is_of_host: bool,
    says: OnceLock<Option<Regex>>,
    unless: OnceLock<Option<Regex>>,
}

/// All messages in their order, and the words that their patterns need.
struct AskedMessages {
    messages: Vec<AskedMessage>,
    words: NeededWords,
}

static ASKED: LazyLock<AskedMessages> = LazyLock::new(|| {
    let hosts = [
        kubernetes::MESSAGES,
        packages::MESSAGES,
        compiler::MESSAGES,
        old_modules::MESSAGES,
        build::MESSAGES,
        build::FAILED,
        lxc::MESSAGES,
    ];
    let asked = |table: &'static [Message]| {
        let is_of_host = hosts.iter().any(|host| std::ptr::eq(*host, table));
        table.iter().map(move |message| AskedMessage {
            message,
            is_of_host,
            says: OnceLock::new(),
            unless: OnceLock::new(),
        })
    };
    AskedMessages {
        messages: TABLES.iter().flat_map(|table| asked(table)).collect(),
        words: NeededWords::of(messages().map(|message| message.says)),
    }
});

/// Words of which a line has at least one, if any message fits it.
const NEAR: &[&str] = &[
    "ashmem",
    "memfd",
    "binder",
    "sharedmemory",
    "shared memory",
    "the ttys",
    "memoryfile",
    "cursorwindow",
    "cursor window",
    "memoryheap",
    "imemory",
    "too many open",
    "illegal fd",
    "set_name",
    "get_name",
    "set_size",
    "get_size",
    "prot_mask",
    "received signal",
    "fatal signal",
    "exited with status",
    "exited 4",
    " times",
    "has terminated",
    ">>>",
    "system process",
    "context manager",
    "sigbus",
    "bus_adrerr",
    "bus error",
    "sigsys",
    "seccomp",
    "type=1326",
    "syscall=",
    "page size",
    "pagesize",
    "16kb",
    "16 kb",
    "dma_heap",
    "dma-heap",
    "dmabuf",
    "dma-buf",
    "dma heap",
    "/dev/ion",
    "/dev/fuse",
    "fuse:",
    "loop-control",
    "loop device",
    "/dev/loop",
    "/dev/kmsg",
    "gathering device",
    "custom device",
    "rejected",
    "lockdown",
    "locked down",
    "cdi",
    "android.dev",
    "devices/",
    "/dev_",
    "exec format",
    "requested image",
    "podsecurity",
    "security context constraint",
    "apparmor",
    "hostpath",
    "linux-headers",
    "-headers",
    "kernel-devel",
    "-devel",
    "linux-modules",
    "linux-lts",
    "linux-virt",
    "linux-edge",
    "kernel headers",
    "kernel source",
    "kernelsourcedir",
    "/build",
    "/usr/src",
    "dkms",
    "build_exclusive",
    "compiler",
    "gcc",
    "clang",
    "cc1",
    "ld.lld",
    "llvm",
    "emulation mode",
    "bitcode",
    "sh: ",
    "command not found",
    "modpost",
    "undefined!",
    "objtool",
    "fixdep",
    "recordmcount",
    "resolve_btfids",
    "libelf",
    "orc metadata",
    "rule to make",
    "make[",
    "make:",
    "autoconf",
    "modules_prepare",
    "kernel configuration",
    "include/generated",
    "no space",
    "quota",
    "endbr",
    "cfi failure",
    "cr0",
    "control protection",
    "qemu",
    "box64",
    "config_android",
    "kobject_add",
    "jit",
    "code cache",
    "redroid",
    "anbox",
    "bad exit",
    "bad return status",
    "build of",
    "skipping btf",
    "listenerpath",
    "new_listener",
    "notify proxy",
    "supervisor",
    "the c glue",
    "waydro",
    "insufficient",
    "no packages found",
    "no ebuilds",
    "repositories providing",
    "not started",
    "mmap",
    "modprobe",
    "insmod",
    "service manager",
    "iplatform",
    "start container",
    "failed to start",
    "lxc",
    "wayland",
    "ota channel",
    "vendor ota",
    "root access",
    "session_bus",
    "cannot exec",
    "waited one second",
    "processgroup",
    "/acct/",
    "set_sched_policy",
    "jumping to kernel",
    "exited with code 129",
    "exited (129)",
    "failed to create bo",
    "not gpu writeable",
    "mok",
    "mmx64.efi",
    "mmaa64.efi",
    "devices.allow",
    "building module",
    "cc: ",
    "command-line option",
    "command line option",
    "gralloc",
    "graphicbufferallocator",
    "servicemanager",
    "h.cpp:",
    "n.cpp:",
    "r.cpp:",
    "t.cpp:",
    "blob fd",
    "parcel blob",
    "pressure_level",
    "memory pressure",
    "system_bus_socket",
    "dbus-launch",
    "dnsmasq",
    "iptables table",
    "base context",
    "eglconfig",
    "first stage",
    "initfatalreboot",
    "patchoat",
    "art/runtime",
    "runtime.cc:",
    "runtime aborting",
    "libart.so",
    "already tracking",
    "xdg_runtime_dir",
    "xdg session",
    "sudo'!",
    "dbus.error",
    "unknown device type",
    "rtnetlink",
    "create directory",
    "cannot link executable",
    "mixing copies",
    "be signed",
    "efi variables",
    "[session_manager.cpp",
    "[daemon.cpp",
    "cannot execv",
    "cannot find '/",
    "read-only file system",
    "retrieve information on",
    "nosectionerror",
    "section: '",
    "sectionheader",
    "configparser",
    "keyerror",
    "error: '",
    "urlopen",
    "http error",
    "hash doesn't",
    "zip file",
    "zipfile",
    "certificate_verify",
    "name resolution",
    "incompleteread",
    "command failed",
    "process rule",
    "initialize nft",
    ": command not",
    ": not found",
    "gbinder",
    "libglibutil",
    "secrets/kubernetes",
    "ahardwarebuffer",
    "memobj",
    "jni env",
    "transactiontoolarge",
    "memory for audio",
    "/init",
    "apply apparmor",
    "write file descriptors",
    "depmod: ",
    "unable to find kernel source",
    "waited for ",
    "window is full",
    "bitmap blob",
    "ld_preload",
    "aidl",
    "control block",
    "sign-file",
    "ssl error:",
    "pkcs#7",
    "makefile:",
    "system.map",
    "0x77",
    "08770",
    "04770",
    "00770",
    "fatal error: ",
    "gcc-plugins",
    "find crate",
    "gcc/plugin",
    "moddep file",
    "change directory to",
    "compile modules",
    "application of patch",
    "shared_memory_region_android",
    "scripts/",
    "killed signal",
    "act_notify",
    "eglquerystring",
    "panic: rebooting",
    "manager.cpp",
    "pressure/memory",
    "psi monitor",
    "any drm device",
    "/dev/dri/",
    "/dev/mali",
    "opengl es impl",
    "load_driver(",
    "device controller",
    "bpf",
    "apparmor/exec",
    "attr/exec",
];

static NEARBY: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let words = AhoCorasick::builder().ascii_case_insensitive(true).build(NEAR);
    words.expect("the words are few")
});

/// Every message that is known.
pub fn messages() -> impl Iterator<Item = &'static Message> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// Whether a line may be worth a closer look. Most lines of a log are not.
pub(super) fn is_near(line: &str) -> bool {
    NEARBY.is_match(line)
}

/// The message that a line is.
pub(super) fn find(line: &LogLine<'_>) -> Option<&'static Message> {
    let held = ASKED.words.held(&line.text);
    let mut asked = ASKED.messages.iter().enumerate();
    asked
        .find(|(number, asked)| ASKED.words.may_match(*number, &held) && asked.fits(line))
        .map(|(_, asked)| asked.message)
}

impl AskedMessage {
    fn fits(&self, line: &LogLine<'_>) -> bool {
        let message = self.message;
        if self.is_of_host && line.source == LogSource::Logcat {
            return false;
        }
        let is_about = message.about.is_empty()
            || message.about.iter().any(|subject| line.subjects.has(*subject));
        if !is_about {
            return false;
        }
        // 0 in a message stands for a line that names no error.
        let errno = line.errno.unwrap_or(0);
        if !message.errno.is_empty() && !message.errno.contains(&errno) {
            return false;
        }
        if !message.from.is_empty() && !message.from.contains(&line.source) {
            return false;
        }
        let says = compiled(&self.says, message.says);
        if says.is_some_and(|pattern| !pattern.is_match(&line.text)) {
            return false;
        }
        !compiled(&self.unless, message.unless).is_some_and(|pattern| pattern.is_match(&line.text))
    }
}

/// A pattern; `None` where there is none.
fn compiled<'a>(cell: &'a OnceLock<Option<Regex>>, pattern: &str) -> Option<&'a Regex> {
    let compile = || {
        let regex = RegexBuilder::new(&ascii_only(pattern)).case_insensitive(true).build();
        (!pattern.is_empty()).then(|| regex.expect("the tables' patterns are tested"))
    };
    cell.get_or_init(compile).as_ref()
}

/// Whether a message is said of any module's build alike.
pub(super) fn is_any_build(message: &Message) -> bool {
    message.about.contains(&Subject::Build)
        || [
            "build-exclusive",
            "build-of-two-machines",
            "compiler-differs",
            "compiler-too-old",
            "dkms-build-failed",
            "kernel-built-by-clang",
        ]
        .contains(&message.id)
}

#[cfg(test)]
mod tests {
    use super::{ASKED, compiled, messages};

    #[test]
    fn every_pattern_compiles() {
        for asked in &ASKED.messages {
            compiled(&asked.says, asked.message.says);
            compiled(&asked.unless, asked.message.unless);
        }
    }

    #[test]
    fn messages_of_one_name_say_one_thing_of_harm() {
        for message in messages() {
            let same = messages().filter(|other| other.id == message.id);
            assert!(same.into_iter().all(|other| other.is_harmless == message.is_harmless));
            assert!(!message.id.is_empty() && !message.cause.is_empty());
        }
    }
}
