// SPDX-License-Identifier: MIT OR Apache-2.0
//! AppArmor's profile of the agent: compiled for the features that Debian 12 pins, and in force on
//! Debian's kernel, where AppArmor is on by default.

use crate::build::static_program;
use crate::debian::host;
use crate::debian::kernel::Line;
use crate::debian::unpacked_root::UnpackedRoot;
use crate::integration::containers::booted;
use crate::machine::{self, Options, Provider, VmRequest};
use crate::util::arch::Arch;
use crate::util::process;
use crate::util::steps::{Step, StepResult};
use crate::util::workspace;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROFILE: &str = "packaging/apparmor/ashmem-agent";
/// What an engine's own profile lets its containers do, as far as it concerns the agent.
const ENGINE: &str = include_str!("engine-default");
/// What docs/containers.md adds to it.
const ADDED: &str = "ptrace (readby, tracedby) peer=ashmem-agent,";
/// The parser and what profiles include. Were it installed here, the engines of this host would
/// give their containers profiles.
const ROOT: UnpackedRoot =
    UnpackedRoot { name: "apparmor", release: "bookworm", packages: &["apparmor"], recipe: 1 };
/// The kernel's features that the profiles are written for. This host's kernel may have none.
const FEATURES: &str = "etc/apparmor.d/abi/3.0";
const PARSER: &str = "sbin/apparmor_parser";
const KERNEL: Line = Line::V6_1;

/// The profile compiles, for enforcing and for complaining, and a slip in it does not.
pub(super) fn compiled() -> Step {
    Step::new("AppArmor profile of the agent", || {
        let (folder, profile) = (folder()?, text()?);
        compile(&folder, "ashmem-agent", &profile, &[])?;
        compile(&folder, "ashmem-agent-complain", &profile, &["--Complain"])?;
        let slip = profile.replacen("capability sys_ptrace", "capability sys_ptrance", 1);
        ensure!(slip != profile, "{PROFILE} gives no sys_ptrace");
        ensure!(
            compile(&folder, "slip", &slip, &[]).is_err(),
            "apparmor_parser accepts a capability that there is not"
        );
        let page = workspace::root().join("docs/containers.md");
        let said =
            fs::read_to_string(&page).with_context(|| format!("reading {}", page.display()))?;
        ensure!(said.contains(ADDED), "{} does not say {ADDED}", page.display());
        let version = process::capture(Command::new(root()?.join(PARSER)).arg("--version"))?;
        Ok(StepResult::Passed(version.lines().next().unwrap_or_default().to_owned()))
    })
}

/// The agent serves containers under it, and what it does not name is refused.
pub(super) fn enforced() -> Step {
    Step::new("agent under AppArmor, enforcing", || {
        host::ensure(&[KERNEL.into()])?;
        let (folder, profile) = (folder()?, text()?);
        // The same under another name, for two of one name cannot be loaded.
        let complaining =
            profile.replacen("profile ashmem-agent ", "profile ashmem-agent-complain ", 1);
        let end = ENGINE.rfind('}').context("the engine's profile has no end")?;
        let willing = format!("{}  {ADDED}\n}}\n", &ENGINE[..end])
            .replace("engine-default", "engine-for-ashmem");
        let profiles = [
            compile(&folder, "ashmem-agent", &profile, &[])?,
            compile(&folder, "ashmem-agent-complain", &complaining, &["--Complain"])?,
            compile(&folder, "engine-default", ENGINE, &[])?,
            compile(&folder, "engine-for-ashmem", &willing, &[])?,
        ];
        let script = folder.join("trial.sh");
        fs::write(&script, include_str!("apparmor.sh")).context("writing the machine's script")?;
        let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
        let join = static_program::build_small(Arch::X86_64, "ashmem-join")?;
        let mut file = booted::container(&folder, &ashmem, "unix:/run/ashmem/agent.sock")?;
        file.extend([
            format!("{}:/usr/bin/ashmem", ashmem.display()),
            format!("{}:/bin/ashmem-join", join.display()),
            format!("{}:/trial.sh", script.display()),
        ]);
        file.extend(
            profiles
                .iter()
                .zip(0..)
                .map(|(profile, number)| format!("{}:/profiles/{number}", profile.display())),
        );
        let options =
            Options { provider: Provider::None, smp: 2, memory: 1024, file, ..Options::default() };
        let request = VmRequest {
            kernel: KERNEL.into(),
            options,
            program: "/bin/busybox".into(),
            arguments: ["sh", "/trial.sh"].map(str::to_owned).to_vec(),
            live: false,
        };
        machine::run(&request).map(|outcome| outcome.step_result())
    })
}

fn root() -> Result<PathBuf> {
    Ok(ROOT.ensure(|_| Ok(()))?.root)
}

fn folder() -> Result<PathBuf> {
    workspace::cache("confined/apparmor")
}

fn text() -> Result<String> {
    fs::read_to_string(workspace::root().join(PROFILE))
        .with_context(|| format!("reading {PROFILE}"))
}

/// Compiles a profile as the kernel takes it. Nothing is loaded here.
fn compile(folder: &Path, name: &str, profile: &str, options: &[&str]) -> Result<PathBuf> {
    let (source, compiled) = (folder.join(name), folder.join(format!("{name}.bin")));
    fs::write(&source, profile).with_context(|| format!("writing {}", source.display()))?;
    let root = root()?;
    let mut parser = Command::new(root.join(PARSER));
    parser.args(["--skip-kernel-load", "--skip-cache", "--kernel-features"]);
    parser.arg(root.join(FEATURES)).arg("--base").arg(root.join("etc/apparmor.d"));
    parser.arg("--config-file").arg(root.join("etc/apparmor/parser.conf"));
    parser.args(options).arg("--ofile").arg(&compiled);
    process::capture(parser.arg(&source))?;
    Ok(compiled)
}
