// SPDX-License-Identifier: MIT OR Apache-2.0
//! What completes the program that a verb starts (`ashmem run PROGRAM ...`) and its arguments, as
//! they complete by themselves. clap_complete does that for zsh alone.

use std::fmt::Write;

use clap::Command;
use clap_complete::Shell;

/// The script of `shell` with the verbs' programs completed.
pub(super) fn with_programs(shell: Shell, program: &Command, script: String) -> String {
    let verbs: Vec<_> = program.get_subcommands().filter_map(Starting::of).collect();
    match shell {
        Shell::Bash => {
            script.replace("complete -F _ashmem ", "complete -F _ashmem_or_program ")
                + &bash(&verbs)
        }
        Shell::Fish => script + &fish(&verbs),
        _ => script,
    }
}

/// A verb that starts a program.
struct Starting<'a> {
    verb: &'a str,
    /// Its options that are followed by a value, with their dashes.
    with_value: Vec<String>,
}

impl<'a> Starting<'a> {
    fn of(verb: &'a Command) -> Option<Self> {
        verb.get_positionals().find(|positional| positional.is_trailing_var_arg_set())?;
        let with_value =
            verb.get_opts().filter(|option| !option.is_hide_set()).flat_map(|option| {
                let long = option.get_long().map(|long| format!("--{long}"));
                long.into_iter().chain(option.get_short().map(|short| format!("-{short}")))
            });
        Some(Self { verb: verb.get_name(), with_value: with_value.collect() })
    }
}

/// The function that bash calls first. It looks for the word that is no option of the verb: from
/// there on, what is written completes as if it stood alone.
fn bash(verbs: &[Starting<'_>]) -> String {
    let mut text = "
_ashmem_or_program() {
    local with_value place=2 ended=
    case \"${COMP_WORDS[1]}\" in
"
    .to_owned();
    for Starting { verb, with_value } in verbs {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "        {verb}) with_value=\" {} \" ;;", with_value.join(" "));
    }
    text.push_str(
        r#"        *) _ashmem "$@"; return ;;
    esac
    while ((place < COMP_CWORD)) && [[ -z $ended ]]; do
        case "${COMP_WORDS[place]}" in
            --) ended=1 ;;
            -*)
                if [[ ${COMP_WORDS[place + 1]-} == = ]]; then
                    ((place += 2))
                elif [[ $with_value == *" ${COMP_WORDS[place]} "* ]]; then
                    ((place++))
                fi
                ;;
            *) break ;;
        esac
        ((place++))
    done
    if ((place > COMP_CWORD)) || [[ -z $ended && ${COMP_WORDS[place]} == -* ]]; then
        _ashmem "$@"
    elif declare -F _comp_command_offset > /dev/null; then
        _comp_command_offset "$place"
    elif declare -F _command_offset > /dev/null; then
        _command_offset "$place"
    elif ((place == COMP_CWORD)); then
        COMPREPLY=($(compgen -c -- "${COMP_WORDS[place]}"))
    else
        # Files: what bash offers where nothing is offered.
        COMPREPLY=()
    fi
}
"#,
    );
    text
}

fn fish(verbs: &[Starting<'_>]) -> String {
    let line = |Starting { verb, with_value }: &Starting<'_>| {
        format!(
            "complete -c ashmem -n \"__fish_ashmem_using_subcommand {verb}\" -x -a \
             \"(__fish_complete_subcommand --fcs-skip=2 -- {})\"\n",
            with_value.join(" ")
        )
    };
    verbs.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use clap_complete::Shell;

    /// What bash offers for these words, the last of which is being written.
    fn offered(words: &[&str]) -> Vec<String> {
        let script = crate::completions::script(Shell::Bash, crate::command());
        let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
        let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
        let question = format!(
            "{script}\nCOMP_WORDS=({}) COMP_CWORD={}\n\
             read -ra registered <<< \"$(complete -p ashmem)\"\n\
             for ((i = 0; i < ${{#registered[@]}}; i++)); do\n\
             [[ ${{registered[i]}} == -F ]] && function=${{registered[i + 1]}}\ndone\n\
             $function ashmem '{last}' '{before}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            quoted.join(" "),
            words.len() - 1
        );
        let output = Command::new("bash")
            .args(["--norc", "-c", &question])
            .output()
            .expect("bash, which Debian cannot be without");
        let text = String::from_utf8(output.stdout).expect("names of commands are text");
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn a_verb_that_starts_a_program_offers_commands() {
        for words in [
            ["ashmem", "run", "mkd"].as_slice(),
            &["ashmem", "run", "--", "mkd"],
            &["ashmem", "run", "--fidelity", "fast", "mkd"],
            &["ashmem", "run", "--fidelity", "=", "fast", "--", "mkd"],
            &["ashmem", "trace", "-c", "-o", "file", "mkd"],
            &["ashmem", "join", "--or-without", "mkd"],
        ] {
            let offered = offered(words);
            assert!(offered.iter().any(|word| word == "mkdir"), "{words:?}: {offered:?}");
        }
    }

    #[test]
    fn options_and_their_values_are_offered_before_the_program_and_none_after_it() {
        let offers = |words: &[&str], word: &str| offered(words).iter().any(|one| one == word);
        assert!(offers(&["ashmem", "run", "--fid"], "--fidelity"));
        assert!(offers(&["ashmem", "run", "--fidelity", "fa"], "fast"));
        assert!(offers(&["ashmem", "wayd"], "waydroid"));
        assert!(offers(&["ashmem", "list", "--le"], "--leaks"));
        for words in
            [["ashmem", "run", "ls", "--fid"].as_slice(), &["ashmem", "run", "--", "--fid"]]
        {
            assert_eq!(offered(words), [""; 0], "{words:?}");
        }
    }
}
