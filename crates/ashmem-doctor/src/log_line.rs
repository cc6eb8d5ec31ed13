// SPDX-License-Identifier: MIT OR Apache-2.0
//! One line of a log, taken apart: who wrote it, where, and what it says.
//!
//! A line may be wrapped more than once, as a container's output in Docker's log is: the wrappings
//! are taken off one after another, and the innermost tells the source.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::errno_word;
use crate::log_record::LogRecord;
use crate::log_source::{LogLevel, LogSource};
use crate::plain_text::{ascii, clean, plain, quoted};
use crate::subject::{Subject, Subjects};
use crate::translation;

/// A line, taken apart.
#[derive(Debug)]
pub struct LogLine<'a> {
    /// What wrote it.
    pub source: LogSource,
    /// The tag, the program or the unit that speaks; empty if the line does not say.
    pub speaker: Cow<'a, str>,
    /// What it says, without time, host and tag, with straight quotation marks, and with `_` and
    /// `?` for letters and signs that are not ASCII.
    pub text: Cow<'a, str>,
    /// How serious it says that it is.
    pub level: LogLevel,
    /// Whether it says that in another language than English. What is sure of it is in English in
    /// `text`.
    pub is_foreign: bool,
    /// Whether its logger keeps an error beside what it says.
    pub has_error: bool,
    /// The error that it names.
    pub errno: Option<i32>,
    /// What it is about.
    pub subjects: Subjects,
}

/// Wrappings are taken off this often at most.
const WRAPPINGS: usize = 4;

/// Drivers that begin their lines with their name, and that no program of Android's is called.
const KERNELS: [&str; 4] = ["binder", "binder_alloc", "binder_linux", "rust_binder"];

struct Form {
    pattern: Regex,
    source: LogSource,
}

/// The forms, the particular before the general. `tag` names the speaker, `text` what it says.
static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    use LogSource::{Journal, Kernel, Kubernetes, Logcat, Lxc, Plain, Waydroid};
    let form = |source, pattern: &str| Form {
        pattern: Regex::new(pattern).expect("the forms are tested"),
        source,
    };
    vec![
        // logcat: threadtime, with year, zone, uid or epoch.
        form(
            Logcat,
            concat!(
                r"^(?:(?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d\.\d{3,9}|\d{6,}\.\d{3,9})(?: [+-]\d{4})?",
                r"\s+(?:[\w.]+\s+)?\d+\s+\d+ (?<level>[VDIWEFAS]) (?<tag>.*?)\s*:",
                r"(?:\s(?<text>.*))?$"
            ),
        ),
        // Android Studio's, old and new.
        form(
            Logcat,
            concat!(
                r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\s+\d+-\d+/\S+ (?<level>[VDIWEFA])/",
                r"(?<tag>.*?): (?<text>.*)$"
            ),
        ),
        form(
            Logcat,
            concat!(
                r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\s+\d+-\d+\s+(?<tag>\S+)\s+\S+\s+",
                r"(?<level>[VDIWEFA])\s+(?<text>.*)$"
            ),
        ),
        // time, brief, tag.
        form(
            Logcat,
            concat!(
                r"^(?:\d\d-\d\d \d\d:\d\d:\d\d\.\d+\s+)?(?<level>[VDIWEFA])/(?<tag>.*?)\s*",
                r"(?:\(\s*\d+(?::\s*\S+)?\))?:(?:\s(?<text>.*))?$"
            ),
        ),
        // process and thread: the tag, if any, stands last.
        form(
            Logcat,
            concat!(
                r"^(?<level>[VDIWEFA])\(\s*\d+(?::\s*\d+)?\)\s(?<text>.*?)",
                r"(?:\s+\((?<tag>[^()\s]+)\))?$"
            ),
        ),
        // long: the text follows on lines of its own.
        form(
            Logcat,
            concat!(
                r"^\[ (?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d\.\d+\s+\d+:\s*\d+ ",
                r"(?<level>[VDIWEFA])/(?<tag>.*?)\s*\]\s*(?<text>.*)$"
            ),
        ),
        form(Logcat, r"^(?<level>[VDIWEF]) (?<tag>[\w@.:/-]{1,60}?)\s*: (?<text>.*)$"),
        // Kubernetes' klog.
        form(
            Kubernetes,
            r"^(?<level>[IWEF])\d{4} \d\d:\d\d:\d\d\.\d+\s+\d+ (?<tag>[\w.-]+):\d+\] (?<text>.*)$",
        ),
        form(
            Kubernetes,
            concat!(
                r"^\s*(?:\S+\s+)?(?<level>Warning|Normal)\s+(?<tag>[A-Z]\w+)\s+(?:\d|<)\S*",
                r"(?: \(.*?\))?\s+(?<text>.*)$"
            ),
        ),
        // The kernel.
        form(
            Kernel,
            concat!(
                r"^(?:\w+\s*:\w+\s*: )?(?:<\d+>)?\[\s*\d+\.\d+\](?:\[\s*[TC]\d+\])?:?\s?",
                r"(?<text>.*)$"
            ),
        ),
        form(Kernel, r"^kernel:\s(?<text>.*)$"),
        form(Kernel, r"^\[\w{1,6}\.?,? \w{1,9}\.? [ \d:]+ \d{4}\]\s(?<text>.*)$"),
        // LXC's two forms.
        form(
            Lxc,
            concat!(
                r"^lxc(?:-\w+)?:? (?:\S+ )?\d{8,}\.\d+ (?<level>[A-Z]+)\s+(?<tag>\w+) - ",
                r"\S+:\w+:\d+ - (?<text>.*)$"
            ),
        ),
        form(Lxc, r"^(?<tag>lxc-\w+): (?:\S+: )?\S+\.c: \w+: \d+ (?<text>.*)$"),
        // A container's output as it is kept, and docker logs -t: the journal writes no `Z`.
        form(Plain, r"^\d{4}-\d\d-\d\dT\S+ (?:stdout|stderr) [FP] (?<text>.*)$"),
        form(Plain, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,9}Z\s+(?<text>\S.*)$"),
        // kubectl logs --prefix.
        form(Plain, r"^\[pod/\S+\]\s+(?<text>\S.*)$"),
        // Loggers of many languages: a time and a level, by Rust's env_logger both in brackets.
        form(
            Plain,
            r"^\[\d{4}-\d\d-\d\dT[\d:.]+Z (?<level>[A-Z]+)\s+(?<tag>[\w:-]+)\]\s+(?<text>\S.*)$",
        ),
        form(
            Plain,
            concat!(
                r"^\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?",
                r"\]?\s+\[?(?<level>ERROR|WARN(?:ING)?|INFO|DEBUG|TRACE|FATAL|NOTICE|error|warn|",
                r"info|notice)\]?\s+(?<text>\S.*)$"
            ),
        ),
        // Syslog's newer form.
        form(Journal, r"^<\d{1,3}>1 \S+ \S+ (?<tag>\S+) \S+ \S+ (?:-|\[.*?\]) (?<text>.*)$"),
        // The journal and syslog: short (months are those of the writer's language), ISO, full
        // (with the day and the zone), and by the clock.
        form(
            Journal,
            concat!(
                r"^(?:<\d{1,3}>)?(?:\w{1,9}\.?\s+\d{1,2} \d\d:\d\d:\d\d(?:\.\d+)?|",
                r"(?:\w{1,6}\.?,? )?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*",
                r"(?: [A-Z]{2,5}| [+-]\d\d)?|\d{9,}\.\d{6}) ",
                // A program by its path, but no device's.
                r"[\w.-]+ (?<tag>[\w.@(][\w.@/()-]*?|",
                r"/(?:usr|s?bin|opt|lib)/[\w.@/()-]+?)(?:\[[\w/]+\])?: (?<text>.*)$"
            ),
        ),
        // docker compose's.
        form(Plain, r"^[\w.-]+\s+\| (?<text>.*)$"),
        // Waydroid.
        form(
            Waydroid,
            concat!(
                r"^(?:\([\d.]+\) )?\[ ?(?:\w{3}, \d\d \w{3} \d{4} )?\d\d:\d\d:\d\d ?\] ?",
                r"(?<text>.*)$"
            ),
        ),
        // The first line of its script of the network, whose tools' words follow.
        form(Waydroid, r"^(?<text>vnic is waydroid\d*)$"),
        form(Waydroid, r"^\(\d{3,}[\d.]*\) (?<text>.*)$"),
        // A time before what another program said, as ts(1) writes it.
        form(
            Plain,
            concat!(
                r"^\[?(?:\d{4}[-/]\d\d[-/]\d\d[T ])?\d\d:\d\d:\d\d(?:[.,]\d+)?",
                r"(?:Z|[+-]\d\d:?\d\d)?\]?\s+(?<text>\S.*)$"
            ),
        ),
        // As people quote: a mark of Markdown, a shell's trace, a number of grep's.
        form(Plain, r"^(?:[>*+-]{1,3} |`{3})\s*(?<text>\S.*)$"),
        form(Plain, r"^\d{1,6}:\s?(?<text>(?:[^\d\s:]|\d\d-\d\d |\d{4}-\d\d-).*)$"),
    ]
});

/// Programs that begin their lines with their name.
static PROGRAM: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(?:sudo: )?(?<tag>(?:/\S+/)?[\w+.-]+?)(?:-\d+)?(?:\[\d+\])?:(?:line \d+: |\d+:|\s)",
        r"|^(?<error>Error!|ERROR \(dkms|E:|W:)\s"
    ))
    .expect("the pattern is tested")
});

/// strace's lines.
static CALL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:\[pid\s+\d+\] |\d+ )?(?:[\d:.]+ )?\w+\(.*\)\s+= -?\d").expect("it is tested")
});

impl<'a> LogLine<'a> {
    /// Takes a line apart.
    pub fn parse(line: &'a str) -> Self {
        Self::parse_part(line, false)
    }

    /// Takes a line apart whose logger keeps an error beside what it says: the error alone.
    pub fn parse_error(&self, line: &'a str) -> Option<Self> {
        self.has_error.then(|| Self::parse_part(line, true))
    }

    fn parse_part(line: &'a str, is_error_wanted: bool) -> Self {
        let mut text = Cow::Borrowed(line.trim());
        let (mut source, mut speaker) = (LogSource::Plain, String::new());
        let (mut level, mut is_escaped) = (LogLevel::Unsaid, false);
        let mut has_error = false;
        for _ in 0..WRAPPINGS {
            if let Some(inner) = quoted(&text) {
                text = Cow::Owned(inner.to_owned());
            }
            // Before anything is made plain: an escape must still be one.
            let unwrapped = match LogRecord::read(&text) {
                Some(mut record) => {
                    if let Some(error) = record.error.take() {
                        has_error = true;
                        record.text = if is_error_wanted { error } else { record.text };
                    }
                    Some(recorded(record))
                }
                None => unwrap(&text).or_else(|| match clean(&text) {
                    Cow::Owned(clean) => unwrap(&clean),
                    Cow::Borrowed(_) => None,
                }),
            };
            let Some((of, said, tag, inner)) = unwrapped else { break };
            is_escaped |= matches!(of, LogSource::Kubernetes | LogSource::Plain);
            level = said.unwrap_or(level);
            if of != LogSource::Plain {
                source = of;
            }
            if !tag.is_empty() {
                speaker = tag;
            }
            text = Cow::Owned(inner);
            // logcat's texts may look like anything, and are nothing but text.
            if of == LogSource::Logcat {
                break;
            }
        }
        if let Cow::Owned(changed) = plain(&text) {
            text = Cow::Owned(changed);
        }
        if is_escaped {
            text = Cow::Owned(text.replace("\\\"", "\"").replace("\\t", " "));
        }
        if let Some((of, tag)) = program(&text) {
            if matches!(
                source,
                LogSource::Plain | LogSource::Journal | LogSource::Engine | LogSource::Kubernetes
            ) {
                source = of.unwrap_or(source);
            }
            if speaker.is_empty() || source == LogSource::Kernel || of.is_some() {
                speaker = tag;
            }
        }
        if source == LogSource::Plain || source == LogSource::Journal {
            source = LogSource::by_speaker(&speaker).unwrap_or(source);
        }
        if source == LogSource::Plain && CALL.is_match(&text) {
            source = LogSource::Strace;
        }
        // Neither Android nor the kernel speaks other languages.
        let mut is_foreign = false;
        if !matches!(source, LogSource::Logcat | LogSource::Kernel) {
            is_foreign = translation::is_foreign(&text);
            if let Some(english) = translation::english(&text) {
                text = Cow::Owned(english);
            }
        }
        if !text.is_ascii() {
            text = Cow::Owned(ascii(&text).into_owned());
            speaker = ascii(&speaker).into_owned();
        }
        Self { is_foreign, has_error, ..Self::of(source, level, Cow::Owned(speaker), text) }
    }

    /// What a line says without the outermost of its wrappings, if that is a record's.
    pub fn kept(line: &str) -> Cow<'_, str> {
        let line = quoted(line).unwrap_or(line);
        LogRecord::read(line).map_or(Cow::Borrowed(line), |record| Cow::Owned(record.text))
    }

    /// A text of a speaker that is known already, as logcat's long format puts them on two lines.
    pub fn of(
        source: LogSource,
        level: LogLevel,
        speaker: Cow<'a, str>,
        mut text: Cow<'a, str>,
    ) -> Self {
        // logcat shows the kernel's lines too, with their first word as the tag.
        if source == LogSource::Logcat && KERNELS.contains(&&*speaker) {
            text = Cow::Owned(format!("{speaker}: {text}"));
        }
        // modprobe takes both names alike.
        if text.contains("binder-linux") {
            text = Cow::Owned(text.replace("binder-linux", "binder_linux"));
        }
        let mut subjects = Subjects::of(&text);
        // libcutils' tag says what the text leaves out.
        if source == LogSource::Logcat && speaker.eq_ignore_ascii_case("ashmem") {
            subjects = subjects.and(Subject::Ashmem).and(Subject::Region);
        }
        let tagged = Subjects::of(&speaker);
        for subject in [Subject::Region, Subject::Binder, Subject::CoreService, Subject::Neighbour]
        {
            if tagged.has(subject) {
                subjects = subjects.and(subject);
            }
        }
        if matches!(source, LogSource::Build) {
            subjects = subjects.and(Subject::Build);
        }
        let errno = errno_word::find(&text);
        Self { source, speaker, text, level, is_foreign: false, has_error: false, errno, subjects }
    }
}

/// What a logger's record holds.
fn recorded(record: LogRecord) -> (LogSource, Option<LogLevel>, String, String) {
    let LogRecord { level, speaker, text, is_engines, .. } = record;
    let (source, speaker) = match &*speaker {
        "kernel" => (LogSource::Kernel, String::new()),
        "" if is_engines => (LogSource::Engine, speaker),
        "" => (LogSource::Plain, speaker),
        _ => (LogSource::Journal, speaker),
    };
    (source, (!level.is_empty()).then(|| LogLevel::of(&level)), speaker, text)
}

/// What stands in one wrapping.
fn unwrap(text: &str) -> Option<(LogSource, Option<LogLevel>, String, String)> {
    let named = |captures: &Captures<'_>, name| {
        captures.name(name).map(|found| found.as_str().to_owned()).unwrap_or_default()
    };
    let (source, captures) =
        FORMS.iter().find_map(|form| Some((form.source, form.pattern.captures(text)?)))?;
    let (tag, inner) = (named(&captures, "tag"), named(&captures, "text"));
    let source = if tag == "kernel" { LogSource::Kernel } else { source };
    let tag = if tag == "kernel" { String::new() } else { tag };
    Some((source, captures.name("level").map(|level| LogLevel::of(level.as_str())), tag, inner))
}

/// The program that a text names first, and the source that it makes of the line.
fn program(text: &str) -> Option<(Option<LogSource>, String)> {
    let captures = PROGRAM.captures(text)?;
    let name = captures.name("tag").or_else(|| captures.name("error"))?.as_str();
    let name = name.rsplit('/').next().unwrap_or(name);
    Some((LogSource::by_speaker(name), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::LogLine;
    use crate::log_source::LogSource;

    #[track_caller]
    fn is(line: &str, source: LogSource, speaker: &str, text: &str) {
        let parsed = LogLine::parse(line);
        assert_eq!((parsed.source, &*parsed.speaker, &*parsed.text), (source, speaker, text));
    }

    #[test]
    fn logcat_in_each_of_its_formats() {
        for line in [
            "11-27 10:11:12.345   171   188 E ashmem  : Unable to open",
            "2026-11-27 10:11:12.345678   171   188 E ashmem  : Unable to open",
            "11-27 10:11:12.345 +0000   171   188 E ashmem: Unable to open",
            "11-27 10:11:12.345  1000   171   188 E ashmem  : Unable to open",
            "11-27 10:11:12.345 u0_a12   171   188 E ashmem  : Unable to open",
            "1764238272.345   171   188 E ashmem  : Unable to open",
            "2026-11-27 10:11:12.345 171-188/com.example E/ashmem: Unable to open",
            "2026-11-27 10:11:12.345   171-188   ashmem    com.example    E  Unable to open",
            "11-27 10:11:12.345 E/ashmem  (  171): Unable to open",
            "E/ashmem  (  171): Unable to open",
            "E/ashmem: Unable to open",
            "E/ashmem  (  171:  188): Unable to open",
            "E(  171) Unable to open  (ashmem)",
            "[ 11-27 10:11:12.345   171:  188 E/ashmem   ] Unable to open",
            "E ashmem  : Unable to open",
            "redroid-1  | 11-27 10:11:12.345   171   188 E ashmem  : Unable to open",
            "2026-11-27T10:11:12.3Z stderr F E/ashmem  (  171): Unable to open",
            "{\"log\":\"E/ashmem  (  171): Unable to open\\n\",\"stream\":\"stdout\",\"time\":0}",
        ] {
            is(line, LogSource::Logcat, "ashmem", "Unable to open");
        }
    }

    #[test]
    fn the_kernel_the_journal_and_the_tools() {
        use LogSource::{Build, Engine, Journal, Kernel, Kmod, Lxc, Packages, Strace, Waydroid};
        for line in [
            "[   12.345678] binder_linux: x",
            "<4>[   12.345678] binder_linux: x",
            "kern  :warn  : [   12.345678] binder_linux: x",
            "[   12.345678][  T123] binder_linux: x",
            "[Fri Nov 27 10:11:12 2026] binder_linux: x",
            "Nov 27 10:11:12 host kernel: binder_linux: x",
            "Nov 27 10:11:12 host kernel: [   12.345678] binder_linux: x",
            "2026-11-27T10:11:12.345678+00:00 host kernel: binder_linux: x",
        ] {
            is(line, Kernel, "binder_linux", "binder_linux: x");
        }
        is("Nov 27 10:11:12 host foo[12]: bar", Journal, "foo", "bar");
        is("modprobe: FATAL: x", Kmod, "modprobe", "modprobe: FATAL: x");
        is("(012345) [10:11:12] Failed", Waydroid, "", "Failed");
        is("[10:11:12] Failed", Waydroid, "", "Failed");
        is(
            "lxc-start waydroid 20261127101112.345 ERROR    conf - ../src/lxc/conf.c:f:12 - x",
            Lxc,
            "conf",
            "x",
        );
        is("lxc-start: waydroid: ../src/lxc/conf.c: f: 12 No such", Lxc, "lxc-start", "No such");
        is("make[1]: *** x", Build, "make", "make[1]: *** x");
        is("E: Unable to locate", Packages, "E", "E: Unable to locate");
        is("docker: Error", Engine, "docker", "docker: Error");
        is("time=\"2026-11-27T10:11:12Z\" level=error msg=\"a \\\"b\\\"\"", Engine, "", "a \"b\"");
        let call = "openat(AT_FDCWD, \"/dev/ashmem\", O_RDWR) = -1 ENOENT (No such file)";
        assert_eq!(LogLine::parse(call).source, Strace);
        assert_eq!(LogLine::parse(call).errno, Some(libc::ENOENT));
    }
}
