// SPDX-License-Identifier: MIT OR Apache-2.0
//! SELinux' policy of the device and of the agent: linked with Debian 13's own policy by its own
//! tools, and in force on Debian's kernel.
//!
//! Debian 12's policy knows no containers yet, and its tools do not read the newer one's modules.
//! So policy and tools of Debian 13 are unpacked into the cache, with the C library that they want,
//! and run there. Nothing of it is installed on this host.

use crate::build::static_program;
use crate::debian::archive::{Archive, DEBIAN, megabytes};
use crate::debian::host;
use crate::debian::kernel::Line;
use crate::machine::{self, Options, Provider, VmRequest};
use crate::util::arch::Arch;
use crate::util::steps::{Step, StepResult};
use crate::util::{process, tools, workspace};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is unpacked.
const PACKAGES: [&str; 11] = [
    "libaudit1",
    "libbz2-1.0",
    "libc6",
    "libcap-ng0",
    "libpcre2-8-0",
    "libselinux1",
    "libsemanage2",
    "libsepol2",
    "policycoreutils",
    "selinux-policy-default",
    "selinux-utils",
];
/// Changes whenever the folder would come out differently.
const RECIPE: u32 = 1;
const KERNEL: Line = Line::V6_1;
/// The newest form of a policy that this kernel reads.
const FORM: u32 = 33;
const POLICY: &str = "packaging/selinux/ashmem.cil";
/// The modules of Debian's policy that know containers.
const CONTAINERS: [&str; 4] = ["container", "docker", "kubernetes", "podman"];

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

/// Debian 13's policy with modules of ours, in a layer above the cached root.
struct Linked {
    root: PathBuf,
    layers: PathBuf,
}

impl Linked {
    /// Installs modules by their names and texts, with modules of the policy's own left out.
    fn new(folder: &Path, modules: &[(&str, &str)], without: &[&str]) -> Result<Self> {
        let root = root()?;
        let layers = folder.join("layers");
        let _ = fs::remove_dir_all(&layers);
        for layer in ["upper/tmp", "work", "place"] {
            fs::create_dir_all(layers.join(layer))
                .with_context(|| format!("making {}", layers.display()))?;
        }
        let linked = Self { root, layers };
        let mut words = vec!["semodule".to_owned(), "--noreload".to_owned()];
        for (name, text) in modules {
            let file = format!("/tmp/{name}.cil");
            fs::write(linked.layers.join(format!("upper{file}")), text)
                .with_context(|| format!("writing {name}.cil"))?;
            words.push(format!("--install={file}"));
        }
        words.extend(without.iter().map(|name| format!("--disable={name}")));
        linked.run(&words)?;
        Ok(linked)
    }

    /// The policy as a kernel loads it.
    fn policy(&self) -> PathBuf {
        self.layers.join(format!("upper/etc/selinux/default/policy/policy.{FORM}"))
    }

    /// The label that a path gets.
    fn label(&self, path: &str, kind: &str) -> Result<String> {
        let contexts = "/etc/selinux/default/contexts/files/file_contexts";
        let words = ["selabel_lookup", "-b", "file", "-f", contexts, "-k", path, "-t", kind];
        self.run(&words.map(str::to_owned))
    }

    fn run(&self, words: &[String]) -> Result<String> {
        const JOIN: &str = r#"set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/place"
place=$2/place; shift 2
mount -t proc proc "$place/proc"
exec chroot "$place" "$@""#;
        let mut command = inside(JOIN);
        process::capture(command.arg(&self.root).arg(&self.layers).args(words))
    }
}

/// A shell's script in a mount namespace of its own.
fn inside(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "inside"]);
    command
}

/// Tools and policy in the cache, with every module that Debian ships installed.
fn root() -> Result<PathBuf> {
    let root = workspace::cache("tools")?.join(format!("selinux{RECIPE}"));
    let _lock = workspace::lock("selinux")?;
    if root.exists() {
        return Ok(root);
    }
    let archive = Archive::update("selinux", &[(DEBIAN, "trixie")], Arch::X86_64)?;
    let packages: Vec<_> =
        PACKAGES.iter().map(|name| archive.look_up(name)).collect::<Result<_>>()?;
    eprintln!("fetching SELinux' policy and tools, {} MB ...", megabytes(&packages));
    workspace::make_whole(&root, |part| {
        archive.unpack(&packages, part)?;
        for folder in ["bin", "lib", "lib64", "sbin"] {
            symlink(format!("usr/{folder}"), part.join(folder)).context("making a link")?;
        }
        for folder in ["proc", "tmp", "etc/selinux", "var/lib/selinux"] {
            fs::create_dir_all(part.join(folder)).context("making a folder")?;
        }
        let etc = part.join("etc/selinux");
        fs::write(etc.join("config"), "SELINUX=enforcing\nSELINUXTYPE=default\n")
            .context("naming the policy")?;
        let semanage = etc.join("semanage.conf");
        let mut text = fs::read_to_string(&semanage).context("reading semanage.conf")?;
        text.push_str(&format!("\npolicy-version = {FORM}\n"));
        fs::write(&semanage, text).context("writing semanage.conf")?;
        let shipped = "usr/share/selinux/default";
        let mut words = vec!["semodule".to_owned(), "--noreload".to_owned()];
        words.extend(["--priority".to_owned(), "100".to_owned(), "--install".to_owned()]);
        words.push(format!("/{shipped}/base.pp.bz2"));
        for entry in fs::read_dir(part.join(shipped)).context("listing the policy")? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".pp.bz2") && name != "base.pp.bz2" {
                words.push(format!("/{shipped}/{name}"));
            }
        }
        let chroot = r#"mount -t proc proc "$1/proc" && exec chroot "$@""#;
        process::capture(inside(chroot).arg(part).args(words)).map(drop)
    })?;
    Ok(root)
}
