// SPDX-License-Identifier: MIT OR Apache-2.0
//! SELinux' policy of the device and of the agent: linked with Debian 13's own policy by its own
//! tools, and in force on Debian's kernel.
//!
//! Debian 12's policy knows no containers yet, and its tools do not read the newer one's modules.
//! So policy and tools of Debian 13 are unpacked into the cache, with the C library that they want,
//! and run there. Nothing of it is installed on this host.

use crate::build::static_program;
use crate::debian::chroot::Chroot;
use crate::debian::host;
use crate::debian::kernel::Line;
use crate::debian::unpacked_root::UnpackedRoot;
use crate::machine::{self, Options, Provider, VmRequest};
use crate::util::arch::Arch;
use crate::util::steps::{Step, StepResult};
use crate::util::{process, tools, workspace};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: UnpackedRoot = UnpackedRoot {
    name: "selinux",
    release: "trixie",
    packages: &[
        "libaudit1",
        "libbz2-1.0",
        "libc6",
        "libcap-ng0",
        "libpcre2-8-0",
        "libselinux1",
        "libsemanage-common",
        "libsemanage2",
        "libsepol2",
        "policycoreutils",
        "selinux-policy-default",
        "selinux-utils",
    ],
    recipe: 1,
};
const KERNEL: Line = Line::V6_1;
/// The newest form of a policy that this kernel reads.
const FORM: u32 = 33;
const POLICY: &str = "packaging/selinux/ashmem.cil";
/// The modules of Debian's policy that know containers.
const CONTAINERS: [&str; 5] = ["container", "crio", "docker", "kubernetes", "podman"];

/// The policy links, and files get the labels that it says; a slip in it is refused.
pub(super) fn linked() -> Step {
    step("SELinux policy", |folder| {
        let policy = text()?;
        let linked = Linked::new(folder, &[("ashmem", &policy)], &[])?;
        let places = [
            ("/dev/ashmem", "char", "ashmem_device_t"),
            ("/dev/ashmem0d7a2f9e-6a3c-4b7d-93d0-6f4e0c1f2c3b", "char", "ashmem_device_t"),
            ("/dev/ashmemory", "char", "device_t"),
            ("/run/ashmem/join.sock", "socket", "ashmem_agent_runtime_t"),
            ("/usr/lib/ashmem/selinux/ashmem-agent", "file", "ashmem_agent_exec_t"),
            ("/usr/bin/ashmem", "file", "bin_t"),
        ];
        for (path, kind, label) in places {
            let said = linked.label(path, kind)?;
            ensure!(said.contains(&format!(":{label}:")), "{path} is not {label} but {said}");
        }
        let slip = policy.replacen("(type ashmem_region_t)", "", 1);
        ensure!(slip != policy, "{POLICY} has no ashmem_region_t");
        ensure!(
            Linked::new(folder, &[("ashmem", &slip)], &[]).is_err(),
            "semodule accepts a policy without one of its types"
        );
        Ok(StepResult::Passed("with Debian 13's, which has container_t".to_owned()))
    })
}

/// A container's domain uses the device, and joins the agent in its own, with everything else
/// refused. Where a distribution's policy has no containers, ours links too.
pub(super) fn enforced() -> Step {
    step("device and agent under SELinux, enforcing", |folder| {
        host::ensure(&[KERNEL.into()])?;
        let policy = text()?;
        Linked::new(folder, &[("ashmem", &policy)], &CONTAINERS)?;
        let trial = ("trial", include_str!("trial.cil"));
        let linked = Linked::new(folder, &[("ashmem", &policy), trial], &[])?;
        let script = folder.join("trial.sh");
        fs::write(&script, include_str!("selinux.sh")).context("writing the machine's script")?;
        let source = workspace::root().join("packaging/selinux/ashmem-agent");
        let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
        let client = static_program::build("ashmem-container-client")?;
        let join = static_program::build_small(Arch::X86_64, "ashmem-join")?;
        let programs = [
            (linked.policy(), "/policy"),
            (script, "/trial.sh"),
            (source, "/bin/ashmem-agent"),
            (ashmem, "/usr/bin/ashmem"),
            (client, "/bin/client"),
            (join, "/bin/ashmem-join"),
            ("/bin/busybox".into(), "/bin/sh"),
        ];
        let mut file = tools::programs(&["chcon"])?;
        file.extend(programs.iter().map(|(from, to)| format!("{}:{to}", from.display())));
        let options = Options {
            provider: Provider::Module,
            smp: 2,
            memory: 1024,
            file,
            kernel_word: vec!["security=selinux".to_owned()],
            ..Options::default()
        };
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

/// RPM's package of the policy, put by Debian's rpm into Debian 13's root and taken out again: its
/// own scripts link the policy by semodule, whose verdict shows in the labels of paths. What was
/// seen.
pub(crate) fn packaged(package: &Path) -> Result<String> {
    const NODE: (&str, &str) = ("/dev/ashmem", "char");
    let linked = Linked::new(&workspace::cache("confined/selinux")?, &[], &[])?;
    // The scripts' shell.
    let shell = linked.root.join("bin/sh");
    fs::create_dir_all(linked.root.join("bin")).context("making a folder")?;
    fs::copy("/bin/busybox", &shell).context("copying a shell")?;
    let rpm = |words: &[&str]| {
        let mut command = process::plain("rpm");
        command
            .args(["--force-debian", "--nodeps"])
            .arg(format!("--root={}", linked.root.display()));
        process::capture(command.args(words))
    };
    let before = linked.label(NODE.0, NODE.1)?;
    let file = package.display().to_string();
    rpm(&["--install", &file])?;
    let label = linked.label(NODE.0, NODE.1)?;
    ensure!(label.contains(":ashmem_device_t:"), "with the package the device is {label}");
    let modules = process::capture(linked.command("semodule").arg("--list-modules=full"))?;
    let is_listed = modules.lines().any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.starts_with(&["200", "ashmem"])
    });
    ensure!(is_listed, "semodule does not list the module at priority 200:\n{modules}");
    rpm(&["--install", "--replacepkgs", &file])?;
    rpm(&["--erase", "ashmem-selinux"])?;
    let after = linked.label(NODE.0, NODE.1)?;
    ensure!(after == before, "without the package the device is {after}, it was {before}");
    let left = ["usr/lib/ashmem/selinux", "usr/share/selinux/packages/ashmem.cil"];
    for path in left {
        ensure!(!linked.root.join(path).exists(), "the removed package leaves /{path}");
    }
    Ok("its SELinux policy linked with Debian 13's, and taken out".to_owned())
}

fn step(name: &'static str, attempt: fn(&Path) -> Result<StepResult>) -> Step {
    Step::new(name, move || {
        if !rustix::process::geteuid().is_root() {
            return Ok(StepResult::Skipped(
                "policy and tools of Debian 13 lie in a root of their own, which root alone enters"
                    .to_owned(),
            ));
        }
        attempt(&workspace::cache("confined/selinux")?)
    })
}

fn text() -> Result<String> {
    fs::read_to_string(workspace::root().join(POLICY)).with_context(|| format!("reading {POLICY}"))
}

/// A copy of Debian 13's root, its policy with modules of ours.
struct Linked {
    root: PathBuf,
}

impl Linked {
    /// Installs modules by their names and texts, with modules of the policy's own left out.
    fn new(folder: &Path, modules: &[(&str, &str)], without: &[&str]) -> Result<Self> {
        let linked = Self { root: folder.join("root") };
        let _ = fs::remove_dir_all(&linked.root);
        let from = ROOT.ensure(install_all)?.root;
        process::capture(Command::new("cp").arg("-a").arg(from).arg(&linked.root))?;
        if modules.is_empty() && without.is_empty() {
            return Ok(linked);
        }
        let mut semodule = linked.command("semodule");
        semodule.arg("--noreload");
        for (name, text) in modules {
            let file = format!("tmp/{name}.cil");
            fs::write(linked.root.join(&file), text)
                .with_context(|| format!("writing {name}.cil"))?;
            semodule.arg(format!("--install=/{file}"));
        }
        semodule.args(without.iter().map(|name| format!("--disable={name}")));
        process::capture(&mut semodule)?;
        Ok(linked)
    }

    /// The policy as a kernel loads it.
    fn policy(&self) -> PathBuf {
        self.root.join(format!("etc/selinux/default/policy/policy.{FORM}"))
    }

    /// The label that a path gets.
    fn label(&self, path: &str, kind: &str) -> Result<String> {
        let contexts = "/etc/selinux/default/contexts/files/file_contexts";
        let mut look_up = self.command("selabel_lookup");
        process::capture(look_up.args(["-b", "file", "-f", contexts, "-k", path, "-t", kind]))
    }

    fn command(&self, program: &str) -> Command {
        Chroot::at(self.root.clone()).command(program, &[])
    }
}

/// Installs every module of the policy that Debian ships.
fn install_all(root: &Chroot) -> Result<()> {
    let at = |path: &str| root.root.join(path);
    for folder in ["etc/selinux", "var/lib/selinux"] {
        fs::create_dir_all(at(folder)).context("making a folder")?;
    }
    fs::write(at("etc/selinux/config"), "SELINUX=enforcing\nSELINUXTYPE=default\n")
        .context("naming the policy")?;
    let semanage = at("etc/selinux/semanage.conf");
    let mut text = fs::read_to_string(&semanage).context("reading semanage.conf")?;
    text.push_str(&format!("\npolicy-version = {FORM}\n"));
    fs::write(&semanage, text).context("writing semanage.conf")?;
    let shipped = "usr/share/selinux/default";
    let mut semodule = root.command("semodule", &[]);
    semodule.args(["--noreload", "--priority", "100", "--install"]);
    semodule.arg(format!("/{shipped}/base.pp.bz2"));
    for entry in fs::read_dir(at(shipped)).context("listing the policy")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".pp.bz2") && name != "base.pp.bz2" {
            semodule.arg(format!("/{shipped}/{name}"));
        }
    }
    process::capture(&mut semodule).map(drop)
}
