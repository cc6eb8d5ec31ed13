// SPDX-License-Identifier: MIT OR Apache-2.0
//! What this program logs of itself, on standard error: as much as `ASHMEM_LOG` asks for.

use std::ffi::{OsStr, OsString};
use std::io;

use anstream::{AutoStream, ColorChoice};
use ashmem_agent::notice;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The variable that says how much.
const VARIABLE: &str = "ASHMEM_LOG";

/// What is logged unless the variable says otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DefaultLog {
    /// What went wrong.
    Warnings,
    /// That, and which sockets and containers are served: a service is judged by its log.
    Service,
}

impl DefaultLog {
    fn filter(self) -> &'static str {
        match self {
            Self::Warnings => "warn",
            Self::Service => "warn,ashmem_agent::agent=info",
        }
    }
}

/// Logs from here on. A value that cannot be meant is told, and nothing of it is used.
pub(crate) fn begin(default: DefaultLog) {
    let value = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
    let filter = value.map_or(Ok(default.filter().to_owned()), |value| read(&value));
    let filter = filter.unwrap_or_else(|why| {
        notice!(
            "{VARIABLE} is not used, for {why}: it takes off, error, warn, info, debug or \
             trace, or some of MODULE=LEVEL with commas between them, such as \
             {VARIABLE}=warn,ashmem_agent=debug"
        );
        default.filter().to_owned()
    });
    let in_colour = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_ansi(in_colour)
        .with_writer(io::stderr)
        // It would panic over a line that cannot be written: the disk is full, the reader has gone.
        .log_internal_errors(false)
        .init();
}

/// The filter that a value asks for. `EnvFilter` itself takes a misspelt level for the name of a
/// module, of which it then logs everything: nothing.
fn read(value: &OsStr) -> Result<String, String> {
    let text = value.to_owned().into_string().map_err(|value: OsString| {
        format!("`{}` is not text", value.to_string_lossy().escape_default())
    })?;
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (module, level) =
            part.rsplit_once('=').map_or((None, part), |(module, level)| (Some(module), level));
        if level.parse::<LevelFilter>().is_err() || module == Some("") {
            return Err(format!("`{part}` is no level"));
        }
    }
    EnvFilter::try_new(&text).map_err(|error| format!("`{text}` is no filter ({error})"))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::{DefaultLog, read};

    #[test]
    fn levels_and_modules_are_taken() {
        for text in ["trace", "off", "WARN", "warn,ashmem_agent=debug", "ashmem_agent::run=info"] {
            assert_eq!(read(text.as_ref()), Ok(text.to_owned()));
        }
        for default in [DefaultLog::Warnings, DefaultLog::Service] {
            assert!(read(default.filter().as_ref()).is_ok(), "{default:?}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_part_that_is_wrong() {
        for (text, part) in [
            ("verbose", "`verbose` is no level"),
            ("warn,ashmem_agent=loud", "`ashmem_agent=loud` is no level"),
            ("ashmem_agent", "`ashmem_agent` is no level"),
            ("=debug", "`=debug` is no level"),
        ] {
            assert_eq!(read(text.as_ref()), Err(part.to_owned()));
        }
        assert!(read(OsStr::from_bytes(b"warn\xff")).is_err());
    }
}
