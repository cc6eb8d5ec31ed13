// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem completions`: what a shell reads to complete this program's words.

use std::io::Write;
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
    pub(crate) fn run(self, mut program: Command) -> ExitCode {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut program, "ashmem", &mut text);
        match std::io::stdout().write_all(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!(
                    "ashmem: the completions could not be written to standard output: {error}"
                );
                ExitCode::FAILURE
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap_complete::Shell;

    #[test]
    fn every_shell_gets_every_verb() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut crate::command(), "ashmem", &mut text);
            let text = String::from_utf8(text).expect("completions are text");
            for verb in crate::command().get_subcommands() {
                assert!(text.contains(verb.get_name()), "{shell} lacks {}", verb.get_name());
            }
        }
    }
}
