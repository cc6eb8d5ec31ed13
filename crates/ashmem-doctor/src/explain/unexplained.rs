// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which lines tell of trouble near shared memory that no message is for: a log with one of them is
//! not said to be healthy.

use std::sync::LazyLock;

use regex::{Regex, RegexBuilder};

use crate::log_line::LogLine;
use crate::log_source::{LogLevel, LogSource};

fn pattern(pattern: &str) -> Regex {
    let mut regex = RegexBuilder::new(pattern);
    regex.case_insensitive(true).build().expect("the patterns are tested")
}

/// What shared memory is called. Whoever has trouble with it, has trouble with us.
static MEMORY: LazyLock<Regex> = LazyLock::new(|| pattern(r"ashmem|memfd|shared memory"));

/// What an Android container stands on: binder, what starts it, its graphics' memory.
static NEIGHBOUR: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"\b(hw|vnd|g)?binder|binderfs|service ?manager|waydro|\blxc-\w+|redroid|anbox|gralloc|",
        r"GraphicBufferAllocator|initfatalreboot|starting first stage|patchoat|",
        r"\b(modprobe|insmod): command not found|container failed to start|",
        r"\] \[\w+\.cpp:\d+@|cannot link executable .?/(system|vendor|apex)/"
    ))
});

/// Words of trouble.
static TROUBLE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"fail|error|unable|cannot|could ?n.t|could not|can't|denied|refus|invalid|illegal|abort|",
        r"fatal|crash|segfault|bad |missing|unmet|dead\b|dying|never appeared|no such |timed out|",
        r"\boops\b|\bpanic|= -1|does(n't| not) exist|",
        r"not (found|present|supported|permitted|loaded|initiali[sz]ed|listening|available|",
        r"running)|",
        r"exited with (code|status) [1-9]|status=[1-9]\d*\b"
    ))
});

/// What healthy starts say of binder and its neighbours in such words.
static ORDINARY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        // A process ended while another called it.
        r"FAILED BINDER TRANSACTION|transaction (call |reply )?.*\b29189/-\d+, .*size [1-9]|",
        r"undelivered (transaction|death)|send failed reply|\binvalid ref\b|",
        // An app asked for what it may not.
        r"Permission failure: |",
        // A busy one, and what an image has not.
        r"thread pool .*starved|VINTF manifest|(mapper|allocator) \d\.x is not supported|",
        // Waydroid's own services, on hosts without their Python packages.
        r"pyclip|failed to (add service waydroid\w*: -\d+$|start clipboard manager)|",
        r"skipping (notification|clipboard) manager|kill: \(\d+\) - no such process|",
        r"couldn't get LXC status|the failed command's output is above|",
        // The first line of a trace; its last says what went wrong.
        r"Transaction pipe polling error: Interrupted|failed to add presence handler|",
        r"Traceback \(most recent call last\):$|",
        r"module already in kernel|, ignor(ing|ed)\b|module verification failed|",
        // A unit that is for hosts without it.
        r"condition\w+=!|",
        // LXC's, of what it can do without.
        r"Continuing\.\.\.$"
    ))
});

/// A compiler's warning.
static WARNING: LazyLock<Regex> = LazyLock::new(|| pattern(r":\d+: warning: "));

/// PostgreSQL's words for segments, which are System V's or POSIX'.
static OTHERS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"could not (create|open|resize|map|attach to|unmap|remove|stat|delete) shared memory ",
        r"segment|\bshm(get|at|ctl|_open)\(|SHM(MNI|MAX|ALL)\b|/PostgreSQL\.\d|",
        r"could not map anonymous shared memory|platform_shared_memory_region_posix"
    ))
});

/// An access that SELinux refused, and binder's part in it: threads are called after binder too.
static ACCESS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"(name|path)="(/dev/)?\w*(binder|ashmem)|tclass=binder|binder\w*_device|ashmem"#)
});

/// A file as `ls -l` shows it.
static LISTED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^\s*[bcdlps-][rwxst-]{9}[.+@]?\s+\d+ "));

/// A command as a shell shows it behind its prompt.
static COMMAND: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^(\S*[\w~/\])])?\$ \S|^\S*[\w~/\])][#$] (sudo |doas )?[a-z/]\S* "));

/// Where ART died.
static ART: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\bart/runtime/|\bruntime(/\w+)?\.cc:|Runtime aborting|\blibart\.so")
});

/// Whether a line is a command, behind a shell's prompt.
pub(super) fn is_command(text: &str) -> bool {
    (text.contains("$ ") || text.contains("# ")) && COMMAND.is_match(text)
}

/// Whether a line that no message fits tells of trouble near shared memory.
pub(super) fn is_trouble(line: &LogLine<'_>) -> bool {
    let text = &*line.text;
    let is_named = |names: &Regex| names.is_match(text) || names.is_match(&line.speaker);
    // The kernel notes each call that it refuses, with its error.
    let names_error = line.errno.is_some() && line.source != LogSource::Kernel;
    let says_trouble = names_error || TROUBLE.is_match(text);
    if WARNING.is_match(text) || (OTHERS.is_match(text) && !text.contains("ashmem")) {
        return false;
    }
    if says_trouble && is_named(&MEMORY) {
        return true;
    }
    // A list of files has the months' names in the reader's language, and no trouble.
    if LISTED.is_match(text) || is_command(text) {
        return false;
    }
    // What another language says is trouble or is not; its reader shall know that it was not read.
    let is_told = !matches!(line.source, LogSource::Journal | LogSource::Waydroid);
    if line.is_foreign && is_told && (is_named(&MEMORY) || is_named(&NEIGHBOUR)) {
        return true;
    }
    if line.source == LogSource::Logcat && line.level == LogLevel::Error && ART.is_match(text) {
        return true;
    }
    let is_serious = match line.level {
        LogLevel::Note => false,
        LogLevel::Unsaid | LogLevel::Warning => says_trouble,
        LogLevel::Error => says_trouble || line.source == LogSource::Logcat,
    };
    // A command that Waydroid runs stands in its log behind a `%`.
    if !is_serious || text.starts_with('%') || ORDINARY.is_match(text) {
        return false;
    }
    if text.contains("avc:") {
        return ACCESS.is_match(text);
    }
    // Whom an app called has ended; it says so in passing.
    if line.level != LogLevel::Error && text.contains("DeadObjectException") {
        return false;
    }
    // A thread of binder's pool does other work too.
    let is_thread = line.speaker.starts_with("Binder:");
    matches!(line.source, LogSource::Waydroid | LogSource::Lxc)
        || NEIGHBOUR.is_match(text)
        || (!is_thread && NEIGHBOUR.is_match(&line.speaker))
}

#[cfg(test)]
mod tests {
    use super::is_trouble;
    use crate::log_line::LogLine;

    #[test]
    fn what_an_android_container_stands_on_is_near() {
        let is = |line| is_trouble(&LogLine::parse(line));
        assert!(is("[03:46:29] Service Manager never appeared"));
        assert!(is("E/hwservicemanager: gone"));
        assert!(!is("crw-rw-rw- 1 root root 10, 123 Jul 10 06:28 /dev/ashmem"));
        assert!(!is("I/hwservicemanager: Cannot find it"));
        assert!(!is("W Binder:88_3: type=1400 audit(0.0:5): avc: denied { read } for name=\"x\""));
        assert!(!is("usb 1-1: device not found"));
        assert!(!is("[03:46:29] % rm -f /dev/missing"));
    }
}
