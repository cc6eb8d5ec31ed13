// SPDX-License-Identifier: MIT OR Apache-2.0
//! README's commands for installing, as each kind of reader types them.

use crate::util::workspace;
use anyhow::{Context, Result, ensure};
use std::fs;

/// Somebody README speaks to, by how the line above their commands begins.
pub(super) const WAYDROID: &str = "**You run Waydroid:**";
pub(super) const DEVELOPER: &str = "**You build Android's native code for Linux:**";
#[cfg(test)]
const OPERATOR: &str = "**You run containers:**";

/// The commands for a reader.
pub(super) fn commands(reader: &str) -> Result<Vec<String>> {
    let file = workspace::root().join("README.md");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let (_, rest) =
        text.split_once(reader).with_context(|| format!("README.md has no line {reader}"))?;
    let lines = rest.lines().skip(1).skip_while(|line| line.is_empty());
    let commands: Vec<_> =
        lines.map_while(|line| line.strip_prefix("    ")).map(str::to_owned).collect();
    ensure!(!commands.is_empty(), "README.md has no commands under {reader}");
    Ok(commands)
}

/// A script that runs the commands in a checkout as root, who needs no sudo. The packages were
/// built before, and apt asks nobody.
pub(super) fn script(checkout: &str, commands: &[String]) -> String {
    format!(
        "cat >{checkout}/apt.conf <<'APT'
APT::Get::Assume-Yes \"true\";
APT::Install-Recommends \"false\";
Dpkg::Use-Pty \"false\";
APT
bash -ec \"$(cat <<'README'
sudo() {{ \"$@\"; }}
cargo() {{ [ \"$*\" = 'xtask package' ] && ls target/packages; }}
export APT_CONFIG={checkout}/apt.conf
cd {checkout}
{}
README
)\"
",
        commands.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::{DEVELOPER, OPERATOR, WAYDROID, commands};

    #[test]
    fn each_reader_has_a_working_state_in_three_commands() {
        for reader in [WAYDROID, DEVELOPER, OPERATOR] {
            let commands = commands(reader).expect("README has them");
            assert!(commands.len() <= 3, "{reader} {commands:?}");
            assert!(
                commands
                    .iter()
                    .any(|command| command.starts_with("sudo apt install ./target/packages/{"))
            );
            assert_eq!(
                commands.first().map(String::as_str),
                Some("cargo xtask package"),
                "{reader}"
            );
        }
    }
}
