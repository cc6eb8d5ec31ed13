// SPDX-License-Identifier: MIT OR Apache-2.0
//! The map of the verbs that `ashmem --help` shows: grouped by what a person came for.

use std::fmt::Write;

use ashmem_help::wrap::row;
use clap::{Command, builder::Styles};

/// Every verb, under what it is for; a test holds this complete.
const MAP: &[(&str, &[&str])] = &[
    ("Give a program the device", &["run"]),
    ("Give containers the device", &["agent", "cdi", "join", "waydroid"]),
    ("Give the whole machine the device", &["module"]),
    ("Find out what is wrong", &["doctor"]),
    ("See what is there", &["list", "report", "top", "trace"]),
    ("Try what programs do", &["purge"]),
    ("This program", &["completions", "man"]),
];

/// Between a verb and what it does.
const GAP: usize = 4;

/// The command with its help laid out for lines of `width` columns, the map first.
pub(crate) fn draw(command: Command, width: usize) -> Command {
    let template = template(&command, width);
    ashmem_help::lay_out_at(command, width).help_template(template)
}

fn template(command: &Command, width: usize) -> String {
    let styles = Styles::styled();
    let (heading, literal) = (styles.get_header(), styles.get_literal());
    let column = 2
        + command.get_subcommands().map(|verb| verb.get_name().len()).max().unwrap_or_default()
        + GAP;
    let mut text = "{about-with-newline}\n{usage-heading} {usage}\n".to_owned();
    for (purpose, verbs) in MAP {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{heading}{purpose}:{heading:#}\n");
        for verb in verbs.iter().filter_map(|name| command.find_subcommand(name)) {
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            let name = verb.get_name();
            let term = format!("{literal}{name}{literal:#}");
            let _ = writeln!(text, "{}", row(&term, name.len(), column, &about, width));
        }
    }
    let _ = write!(
        text,
        "\n{heading}Options:{heading:#}\n{{options}}{}",
        ashmem_help::after_options(command, width)
    );
    text
}

#[cfg(test)]
mod tests {
    use super::MAP;

    #[test]
    fn every_verb_is_on_the_map_once() {
        let mut drawn: Vec<_> = MAP.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        drawn.sort_unstable();
        let command = crate::command();
        let mut verbs: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
        verbs.sort_unstable();
        assert_eq!(drawn, verbs, "MAP in map.rs and the verbs of the program");
    }

    #[test]
    fn help_shows_what_each_verb_does() {
        let help = crate::command_at(ashmem_help::WIDEST).render_help().to_string();
        for verb in crate::command().get_subcommands() {
            let about = verb.get_about().expect("a verb says what it does").to_string();
            assert!(help.contains(&about), "{about} is not in\n{help}");
            assert!(about.len() <= 80 && !about.ends_with('.'), "`{about}` is no short line");
        }
    }
}
