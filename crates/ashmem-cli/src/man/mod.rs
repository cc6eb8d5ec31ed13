// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem man`: the manual pages, made from the same text as `--help`.

mod synopsis;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use ashmem_help::notes::{NotePart, sections};
use clap::{Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::ending::ending;

/// When this version's pages were last changed.
const DATE: &str = "2026-11-29";

/// Write the manual pages into a folder: ashmem(1) and one for each verb
///
/// Debian's package brings them; this is for other installations.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ashmem man ~/.local/share/man/man1
  ashmem man /tmp/pages && man -l /tmp/pages/ashmem-run.1")]
pub(crate) struct Arguments {
    /// The folder; made if it is not there
    folder: PathBuf,
}

impl Arguments {
    /// Writes the pages of `program`, the whole command line.
    pub(crate) fn run(self, program: Command) -> ExitCode {
        ending(write_all(&self.folder, program))
    }
}

fn write_all(folder: &Path, program: Command) -> Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("making the folder {}", folder.display()))?;
    for (name, page) in pages(&named(program))? {
        let file = folder.join(name);
        fs::write(&file, page).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

/// The command line, with the verbs' full names worked out.
fn named(program: Command) -> Command {
    let mut command = program.disable_help_subcommand(true);
    command.build();
    command
}

/// A page for the command and for each below it: the name of its file, its text.
fn pages(command: &Command) -> Result<Vec<(String, Vec<u8>)>> {
    let below: Vec<_> = command.get_subcommands().filter(|verb| !verb.is_hide_set()).collect();
    let source = format!("ashmem {}", command.get_version().unwrap_or_default());
    let man = Man::new(command.clone()).date(DATE).source(source).manual("Android's shared memory");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    synopsis::synopsis(command).to_writer(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if !below.is_empty() {
        man.render_subcommands_section(&mut text)?;
    }
    notes(command).to_writer(&mut text)?;
    see_also(command).to_writer(&mut text)?;
    // Between an argument and its values clap_mangen breaks a line twice around an empty one: two
    // of the three are nothing.
    let text = String::from_utf8(text)
        .context("a page is text")?
        .replace("\n.br\n\n.br\n", "\n.sp\n")
        .into_bytes();
    let mut found = vec![(man.get_filename(), text)];
    for verb in below {
        found.extend(pages(verb)?);
    }
    Ok(found)
}

/// What the help says after the options: a section for each heading, and for what has none.
fn notes(command: &Command) -> Roff {
    let mut page = Roff::new();
    let text =
        command.get_after_long_help().or_else(|| command.get_after_help()).map(ToString::to_string);
    let mut in_notes = false;
    for section in sections(&text.unwrap_or_default()) {
        match &section.heading {
            Some(heading) => page.control("SH", [heading.to_uppercase().as_str()]),
            None if in_notes => page.control("PP", None),
            None => page.control("SH", ["NOTES"]),
        };
        in_notes = section.heading.is_none();
        section.parts.iter().for_each(|part| write_part(&mut page, part));
    }
    page
}

fn write_part(page: &mut Roff, part: &NotePart) {
    match part {
        NotePart::Prose(text) => {
            page.text([roman(text)]);
        }
        NotePart::Verbatim(lines) => {
            page.control("EX", []);
            lines.iter().for_each(|line| {
                page.text([roman(line)]);
            });
            page.control("EE", []);
        }
        NotePart::Rows(rows) => {
            for row in rows {
                page.control("TP", []).text([bold(&row.term)]).text([roman(&row.text)]);
            }
        }
    }
}

fn see_also(command: &Command) -> Roff {
    let mut page = Roff::new();
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    if let Some((parent, _)) = name.rsplit_once('-') {
        page.control("SH", ["SEE ALSO"]).text([bold(parent), roman("(1)")]);
    }
    page
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_verb_has_a_page_with_its_examples_as_they_stand() {
        let command = super::named(crate::command());
        let pages = super::pages(&command).expect("pages are written to memory");
        for verb in command.get_subcommands() {
            let name = format!("ashmem-{}.1", verb.get_name());
            assert!(pages.iter().any(|(page, _)| *page == name), "{name} is not among the pages");
        }
        let run = pages.iter().find(|(name, _)| name == "ashmem-run.1").expect("run has a page");
        let text = String::from_utf8_lossy(&run.1);
        assert!(text.contains(".SH EXAMPLES\n.EX\n  ashmem run"), "{text}");
        assert!(text.contains(".SH \"EXIT STATUS\"\n"), "{text}");
    }
}
