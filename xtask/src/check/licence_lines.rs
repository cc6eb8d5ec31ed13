// SPDX-License-Identifier: MIT OR Apache-2.0
//! The licence that each source file names, as SPDX has it.

use crate::util::workspace;
use anyhow::{Context, Result};
use std::fs;

/// Files that have a line of their own for it; `#!` may stand before.
const SOURCES: &[&str] = &[
    "*.rs",
    "*.cil",
    "*.c",
    "*.h",
    "*.S",
    "*.sh",
    "*.py",
    "*.go",
    "*.js",
    "*.css",
    "*Kbuild",
    "*CMakeLists.txt",
    "*.cmake.in",
    "*meson.build",
    ".ci/run",
    "packaging/apparmor/*",
    "packaging/openrc/*",
    "packaging/runit/*",
    "packaging/selinux/ashmem*",
    "packaging/services/*",
];
/// What the line holds.
const MARK: &str = "SPDX-License-Identifier: ";

/// The files that name no licence or another than their place asks for, and how many were looked
/// at.
pub(super) fn wrong() -> Result<(Vec<String>, usize)> {
    let (mut wrong, files) = (Vec::new(), workspace::tracked(SOURCES)?);
    for file in &files {
        let text = fs::read_to_string(workspace::root().join(file))
            .with_context(|| format!("reading {file}"))?;
        let (wanted, named) = (licence(file), named(&text));
        if named != Some(wanted) {
            let says = named.map_or_else(|| "no licence".to_owned(), |named| format!("`{named}`"));
            wrong.push(format!(
                "{file}: names {says}, its place asks for `{wanted}` (`check --write-licences`)"
            ));
        }
    }
    Ok((wrong, files.len()))
}

/// Writes the line into each file that has none; how many.
pub(super) fn write() -> Result<usize> {
    let mut written = 0;
    for file in workspace::tracked(SOURCES)? {
        let path = workspace::root().join(&file);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {file}"))?;
        if named(&text).is_none() {
            fs::write(&path, with_licence(&file, &text))
                .with_context(|| format!("writing {file}"))?;
            written += 1;
        }
    }
    Ok(written)
}

/// What a file's place asks for: what is linked into the kernel is the kernel's.
fn licence(file: &str) -> &'static str {
    if file.starts_with("module/") {
        "GPL-2.0"
    } else if file.starts_with("crates/ashmem-core/") {
        "GPL-2.0 OR MIT OR Apache-2.0"
    } else {
        "MIT OR Apache-2.0"
    }
}

/// What the first lines name.
fn named(text: &str) -> Option<&str> {
    let line = text.lines().take(2).find_map(|line| line.split_once(MARK))?;
    Some(line.1.trim_end_matches("*/").trim())
}

fn with_licence(file: &str, text: &str) -> String {
    let licence = licence(file);
    let line = match file.rsplit('.').next() {
        Some("rs" | "go" | "js") => format!("// {MARK}{licence}\n"),
        Some("c" | "h" | "S" | "css") => format!("/* {MARK}{licence} */\n"),
        Some("cil") => format!("; {MARK}{licence}\n"),
        _ => format!("# {MARK}{licence}\n"),
    };
    match text.split_once('\n') {
        Some((first, rest)) if first.starts_with("#!/") => format!("{first}\n{line}{rest}"),
        _ => line + text,
    }
}

#[cfg(test)]
mod tests {
    use super::{licence, named, with_licence};

    #[test]
    fn what_is_written_is_read_back() {
        for (file, text) in [
            ("crates/a/src/lib.rs", "//! What.\n"),
            ("crates/ashmem-core/src/lib.rs", "#![no_std]\n"),
            ("module/src/lib.rs", "//! What.\n"),
            ("a/b.c", "int a;\n"),
            ("a/b.cil", "(type a)\n"),
            (".ci/run", "#!/usr/bin/env bash\nset -e\n"),
        ] {
            let written = with_licence(file, text);
            assert_eq!(named(&written), Some(licence(file)), "{written}");
            assert_eq!(written.lines().count(), text.lines().count() + 1);
            assert_eq!(written.starts_with("#!/"), text.starts_with("#!/"));
        }
    }
}
