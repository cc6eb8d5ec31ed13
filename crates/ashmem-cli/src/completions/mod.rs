// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem completions`: what a shell reads to complete this program's words.

mod programs;

use crate::ending::ending;
use crate::output::print;
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

/// Print the completions of a shell: bash, zsh, fish
///
/// Debian's package brings them; this is for other installations.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ashmem completions bash > ~/.local/share/bash-completion/completions/ashmem
  ashmem completions zsh > ~/.zfunc/_ashmem      # with ~/.zfunc in fpath, before compinit
  ashmem completions fish > ~/.config/fish/completions/ashmem.fish")]
pub(crate) struct Arguments {
    /// The shell they are for
    shell: Shell,
}

impl Arguments {
    /// Prints the completions of `program`, the whole command line.
    pub(crate) fn run(self, program: Command) -> ExitCode {
        ending(print(&script(self.shell, program)))
    }
}

/// What `shell` is to read.
fn script(shell: Shell, mut program: Command) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut program, "ashmem", &mut text);
    programs::with_programs(shell, &program, String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use clap_complete::Shell;

    #[test]
    fn every_shell_gets_every_verb() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = super::script(shell, crate::command());
            for verb in crate::command().get_subcommands() {
                assert!(text.contains(verb.get_name()), "{shell} lacks {}", verb.get_name());
            }
        }
    }
}
