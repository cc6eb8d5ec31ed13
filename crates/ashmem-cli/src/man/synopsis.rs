// SPDX-License-Identifier: MIT OR Apache-2.0
//! A page's synopsis: each option with what it takes. clap_mangen's own leaves the values out.

use clap::{Arg, ArgAction, Command};
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

/// The section of a command, a line for it and, where it has verbs, one for each.
pub(super) fn synopsis(command: &Command) -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["SYNOPSIS"]);
    let verbs: Vec<_> = command.get_subcommands().filter(|verb| !verb.is_hide_set()).collect();
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    if !command.is_subcommand_required_set() {
        page.text(line(command, name));
    }
    for (place, verb) in verbs.iter().enumerate() {
        if place != 0 || !command.is_subcommand_required_set() {
            page.control("br", []);
        }
        // Their own pages say the rest.
        page.text([bold(name), roman(" "), bold(verb.get_name()), roman(" ...")]);
    }
    page
}

fn line(command: &Command, name: &str) -> Vec<Inline> {
    let mut line = vec![bold(name)];
    let shown = |arg: &&Arg| {
        let is_of_every_verb = matches!(
            arg.get_action(),
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
        );
        !arg.is_hide_set() && !is_of_every_verb
    };
    for option in command.get_opts().chain(flags(command)).filter(shown) {
        line.push(roman(if option.is_required_set() { " " } else { " [" }));
        let names = [
            option.get_short().map(|short| format!("-{short}")),
            option.get_long().map(|long| format!("--{long}")),
        ];
        for (place, name) in names.into_iter().flatten().enumerate() {
            line.extend((place != 0).then(|| roman("|")));
            line.push(bold(name));
        }
        line.extend(values(option));
        line.extend((!option.is_required_set()).then(|| roman("]")));
        line.extend(matches!(option.get_action(), ArgAction::Append).then(|| roman("...")));
    }
    for positional in command.get_positionals().filter(shown) {
        let (open, close) = if positional.is_required_set() { (" ", "") } else { (" [", "]") };
        line.extend([roman(open), italic(names(positional)), roman(close)]);
        if positional.is_trailing_var_arg_set() {
            line.extend([roman(" ["), italic("ARGUMENT"), roman("]...")]);
        }
    }
    line
}

/// Options that take nothing.
fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_positional() && !arg.get_action().takes_values())
}

fn values(option: &Arg) -> Vec<Inline> {
    if !option.get_action().takes_values() {
        return Vec::new();
    }
    let may_lack = option.get_num_args().is_some_and(|number| number.min_values() == 0);
    let equals = if option.is_require_equals_set() { "=" } else { " " };
    if may_lack && equals == "=" {
        return vec![roman("[="), italic(names(option)), roman("]")];
    }
    let mut line = vec![roman(equals)];
    line.extend(may_lack.then(|| roman("[")));
    line.push(italic(names(option)));
    line.extend(may_lack.then(|| roman("]")));
    line
}

fn names(arg: &Arg) -> String {
    arg.get_value_names()
        .map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        .unwrap_or_else(|| arg.get_id().as_str().to_uppercase())
}

#[cfg(test)]
mod tests {
    use clap_mangen::roff::Roff;

    /// The synopsis of a verb without its type faces.
    fn of(path: &[&str]) -> String {
        let mut command = crate::command();
        command.build();
        let verb = path.iter().fold(&command, |command, name| {
            command.find_subcommand(name).expect("there is such a verb")
        });
        let page: Roff = super::synopsis(verb);
        page.render().replace("\\fB", "").replace("\\fI", "").replace("\\fR", "").replace('\\', "")
    }

    #[test]
    fn options_have_their_values() {
        let run = of(&["run"]);
        for part in ["ashmem run [--fidelity LEVEL]", "[--root DIR]", " PROGRAM [ARGUMENT]..."] {
            assert!(run.contains(part), "{part} is not in\n{run}");
        }
        assert!(!run.contains("--tap"), "{run}");
        let list = of(&["list"]);
        for part in ["[--pid PID|CONTAINER:PID]...", "[--watch [DURATION]]", "[--json]"] {
            assert!(list.contains(part), "{part} is not in\n{list}");
        }
        assert!(of(&["trace"]).contains("[-o|--output FILE]"), "{}", of(&["trace"]));
    }

    #[test]
    fn verbs_have_lines_of_their_own() {
        let agent = of(&["agent"]);
        assert!(agent.contains("ashmem agent [--oci unix:PATH]..."), "{agent}");
        assert!(agent.contains("\n.br\nashmem agent profile ..."), "{agent}");
        assert!(!of(&["module"]).contains("ashmem module\n"), "{}", of(&["module"]));
    }
}
