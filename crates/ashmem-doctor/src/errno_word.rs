// SPDX-License-Identifier: MIT OR Apache-2.0
//! The error that a line of a log names: in words, by its symbol or as a number.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::Regex;

/// How the C libraries word errors (glibc, musl, bionic; and kmod's own words for modules).
const WORDS: &[(&str, i32)] = &[
    ("no such file or directory", libc::ENOENT),
    // dash's, of what it opens and makes.
    ("no such file", libc::ENOENT),
    ("directory nonexistent", libc::ENOENT),
    ("operation not permitted", libc::EPERM),
    ("permission denied", libc::EACCES),
    ("no such device or address", libc::ENXIO),
    ("no such device", libc::ENODEV),
    ("too many open files in system", libc::ENFILE),
    ("too many open files", libc::EMFILE),
    ("no file descriptors available", libc::EMFILE),
    ("cannot allocate memory", libc::ENOMEM),
    ("out of memory", libc::ENOMEM),
    ("no space left on device", libc::ENOSPC),
    ("disk quota exceeded", libc::EDQUOT),
    ("device or resource busy", libc::EBUSY),
    ("resource busy", libc::EBUSY),
    ("function not implemented", libc::ENOSYS),
    ("inappropriate ioctl for device", libc::ENOTTY),
    ("not a typewriter", libc::ENOTTY),
    ("not a tty", libc::ENOTTY),
    ("exec format error", libc::ENOEXEC),
    ("invalid module format", libc::ENOEXEC),
    ("invalid argument", libc::EINVAL),
    ("file exists", libc::EEXIST),
    ("module already in kernel", libc::EEXIST),
    ("required key not available", libc::ENOKEY),
    ("key was rejected by service", libc::EKEYREJECTED),
    ("key has been rejected", libc::EKEYREJECTED),
    ("key has been revoked", libc::EKEYREVOKED),
    ("key has expired", libc::EKEYEXPIRED),
    ("resource temporarily unavailable", libc::EAGAIN),
    ("bad file descriptor", libc::EBADF),
    ("bad file number", libc::EBADF),
    ("bad message", libc::EBADMSG),
    ("package not installed", libc::ENOPKG),
    ("read-only file system", libc::EROFS),
    ("connection refused", libc::ECONNREFUSED),
    ("operation not supported", libc::EOPNOTSUPP),
    ("bad address", libc::EFAULT),
    ("no such process", libc::ESRCH),
    ("bad system call", libc::ENOSYS),
    ("not a directory", libc::ENOTDIR),
    ("is a directory", libc::EISDIR),
    // Java's, Rust's and Go's words.
    ("access denied", libc::EACCES),
    ("accessdenied", libc::EACCES),
    ("permissiondenied", libc::EACCES),
    ("kind: notfound", libc::ENOENT),
    ("nosuchfileexception", libc::ENOENT),
];

/// The symbols of the same errors.
const SYMBOLS: &[(&str, i32)] = &[
    ("ENOENT", libc::ENOENT),
    ("EPERM", libc::EPERM),
    ("EACCES", libc::EACCES),
    ("ENXIO", libc::ENXIO),
    ("ENODEV", libc::ENODEV),
    ("ENFILE", libc::ENFILE),
    ("EMFILE", libc::EMFILE),
    ("ENOMEM", libc::ENOMEM),
    ("ENOSPC", libc::ENOSPC),
    ("EBUSY", libc::EBUSY),
    ("ENOSYS", libc::ENOSYS),
    ("ENOTTY", libc::ENOTTY),
    ("ENOEXEC", libc::ENOEXEC),
    ("EINVAL", libc::EINVAL),
    ("EEXIST", libc::EEXIST),
    ("ENOKEY", libc::ENOKEY),
    ("EKEYREJECTED", libc::EKEYREJECTED),
    ("EAGAIN", libc::EAGAIN),
    ("EBADF", libc::EBADF),
    ("EBADMSG", libc::EBADMSG),
    ("EROFS", libc::EROFS),
    ("ECONNREFUSED", libc::ECONNREFUSED),
    ("EOPNOTSUPP", libc::EOPNOTSUPP),
    ("EFAULT", libc::EFAULT),
];

static FINDER: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .build(WORDS.iter().map(|(word, _)| word))
        .expect("the words are few")
});

static SYMBOL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\bE[A-Z]{3,11}\b").expect("the pattern is tested"));

/// `error -24`, `errno=13`, `(err -2)`, `error: 2 (...)`, `due to error -24`, `failed (-12)`.
static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)\b(?:errno|error|err)\b(?: code)?\s*[=:(]?\s*\(?-?(\d{1,3})\b|",
        r"\bfail(?:ed|ure|s)?\b:?\s*\(?(?:with )?-(\d{1,3})\b|",
        r"\bfail\w*\b.*: -(\d{1,3})\.?$|\breturn(?:ed|s)? -(\d{1,3})\b|",
        r"(?:\b(?:mmap|ioctl|open|dup|fcntl)|_region)(?:\(\))? failed: (\d{1,3})\b|",
        r"\b(?:rc|ret|res|result|status|code)\s*[=:]?\s*-(\d{1,3})\b|\bcode=(\d{1,3})$|",
        r"\bOs \{ code: (\d{1,3})\b"
    ))
    .expect("the pattern is tested")
});

/// The error that a text names: the first of words and symbols, or else a number. libcutils names
/// two where it tried the device's both names: the last try decides, unless nothing was there.
pub(crate) fn find(text: &str) -> Option<i32> {
    if let Some((first, second)) = text.split_once(" and /dev/ashmem")
        && let (Some(first), Some(second)) = (find_one(first), find_one(second))
    {
        return Some(if second == libc::ENOENT { first } else { second });
    }
    find_one(text)
}

fn find_one(text: &str) -> Option<i32> {
    let word = FINDER.find(text).and_then(|found| {
        let (_, errno) = WORDS.get(found.pattern().as_usize())?;
        Some((found.start(), *errno))
    });
    let symbol = SYMBOL.find_iter(text).find_map(|found| {
        let (_, errno) = SYMBOLS.iter().find(|(symbol, _)| *symbol == found.as_str())?;
        Some((found.start(), *errno))
    });
    let named = word.into_iter().chain(symbol).min_by_key(|(place, _)| *place);
    named.map(|(_, errno)| errno).or_else(|| {
        // make's last word, `] Error 1`, is a program's status.
        let is_status = |found: &regex::Captures<'_>| {
            let before = found.get(0).and_then(|whole| text.get(..whole.start()));
            before.is_some_and(|before| before.ends_with("] ")) && text.contains("] Error ")
        };
        let numbers = NUMBER.captures(text).filter(|found| !is_status(found))?;
        let number = numbers.iter().skip(1).flatten().next()?.as_str().parse().ok()?;
        // What calls return that keep the error elsewhere.
        let is_no_errno = number == 1 && numbers.get(1).is_none();
        // 0 is no error, and no C library has one of 134 or more.
        (!is_no_errno && (1..134).contains(&number)).then_some(number)
    })
}

/// The symbol of an error, where it is one that logs of ours name.
pub(crate) fn symbol(errno: i32) -> Option<&'static str> {
    SYMBOLS.iter().find(|(_, number)| *number == errno).map(|(symbol, _)| *symbol)
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn errors_are_found_in_words_symbols_and_numbers() {
        for (text, errno) in [
            ("open: Permission denied", Some(libc::EACCES)),
            ("open: No such device or address", Some(libc::ENXIO)),
            ("= -1 ENOTTY (Inappropriate ioctl for device)", Some(libc::ENOTTY)),
            ("SharedMemory_create failed: EMFILE", Some(libc::EMFILE)),
            ("due to error -24, process fd count=1012", Some(libc::EMFILE)),
            ("Unknown symbol x (err -2)", Some(libc::ENOENT)),
            ("avc: errno=13", Some(libc::EACCES)),
            ("could not be opened. Error: 2", Some(libc::ENOENT)),
            ("/dev/ashmem0a (error = ENOENT) and /dev/ashmem(error = EACCES)", Some(libc::EACCES)),
            ("/dev/ashmem0a (error = EPERM) and /dev/ashmem(error = ENOENT)", Some(libc::EPERM)),
            ("make: *** [Makefile:8: /tmp/ashmem/ashmem.o] Error 1", None),
            ("[gbinder] ERROR: 2", Some(libc::ENOENT)),
            ("mmap failed: 22 (fd 9)", Some(libc::EINVAL)),
            ("mmap failed -1", None),
            ("ret = -13", Some(libc::EACCES)),
            ("Os { code: 2, kind: NotFound }", Some(libc::ENOENT)),
            ("error 0", None),
            ("error -2147483648", None),
            ("ERROR conf - nothing", None),
        ] {
            assert_eq!(find(text), errno, "{text}");
        }
    }
}
