// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian 13's container engines in a machine of their own, with the module: what
//! `--device android.dev/ashmem=all` gives a container, and a container that joins the agent.
//!
//! Their programs are unpacked into the cache with the libraries that they load, and never
//! installed. Debian has no CRI-O and no nerdctl.

use crate::build::static_program;
use crate::debian::archive::{Archive, DEBIAN, megabytes};
use crate::debian::chroot::Chroot;
use crate::debian::host;
use crate::debian::kernel::Line;
use crate::machine::{self, Options, Provider, VmRequest};
use crate::util::arch::Arch;
use crate::util::steps::{Step, StepResult};
use crate::util::{process, tools, workspace};
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

/// What is unpacked: the engines, then what they load.
const PACKAGES: [&str; 27] = [
    "conmon",
    "containerd",
    "crun",
    "golang-github-containers-common",
    "golang-github-containers-image",
    "netavark",
    "podman",
    "runc",
    "libassuan9",
    "libatomic1",
    "libc6",
    "libcap2",
    "libffi8",
    "libgcc-s1",
    "libglib2.0-0t64",
    "libgpg-error0",
    "libgpgme11t64",
    "liblz4-1",
    "liblzma5",
    "libpcre2-8-0",
    "libseccomp2",
    "libsqlite3-0",
    "libsubid5",
    "libsystemd0",
    "libyajl2",
    "libzstd1",
    "zlib1g",
];
/// What the programs of one that reads users load besides.
const OF_USERS: [&str; 12] = [
    "libacl1",
    "libattr1",
    "libaudit1",
    "libbz2-1.0",
    "libbsd0",
    "libcap-ng0",
    "libcrypt1",
    "libmd0",
    "libpam0g",
    "libselinux1",
    "libsemanage2",
    "libsepol2",
];
/// Changes whenever the folder would come out differently.
const RECIPE: u32 = 1;
/// The programs lie in memory.
const MEMORY: u32 = 2048;
const KERNEL: Line = Line::V6_12;

/// An engine, the programs that it is, and the files that it reads.
struct Engine {
    name: &'static str,
    programs: &'static [&'static str],
    files: &'static [&'static str],
}

const ENGINES: [Engine; 2] = [
    Engine {
        name: "containerd",
        programs: &["containerd", "containerd-shim-runc-v2", "ctr", "runc"],
        files: &[],
    },
    Engine {
        name: "podman",
        programs: &["conmon", "crun", "podman"],
        files: &[
            "/etc/containers/policy.json",
            "/usr/lib/podman/netavark",
            "/usr/share/containers/seccomp.json",
        ],
    },
];

/// A step for each engine.
pub(crate) fn steps() -> Vec<Step> {
    let mut steps: Vec<_> = ENGINES
        .into_iter()
        .map(|engine| {
            Step::new(format!("{} with the module, kernel {KERNEL}", engine.name), move || {
                host::ensure(&[KERNEL.into()])?;
                attempt(&engine)
            })
        })
        .collect();
    steps.push(Step::new("docker with the module", || {
        Ok(StepResult::Skipped(
            "Docker 26's daemon did not answer in the test machine within three minutes".to_owned(),
        ))
    }));
    steps.push(Step::new("CRI-O with the module", || {
        Ok(StepResult::Skipped("Debian has no package of CRI-O".to_owned()))
    }));
    steps
}

fn attempt(engine: &Engine) -> Result<StepResult> {
    let script = workspace::cache("engines")?.join("trial.sh");
    fs::write(&script, include_str!("engines.sh")).context("writing the machine's script")?;
    let root = root()?;
    let mut file = programs(&root, engine.programs)?;
    let under_root = |path: &str| format!("{}{path}:{path}", root.display());
    file.extend(engine.files.iter().map(|path| under_root(path)));
    let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
    let client = static_program::build("ashmem-container-client")?;
    let join = static_program::build_small(Arch::X86_64, "ashmem-join")?;
    file.extend([
        format!("{}:/usr/bin/ashmem", ashmem.display()),
        format!("{}:/trial.sh", script.display()),
        format!("{}:/rootfs/bin/client", client.display()),
        format!("{}:/rootfs/bin/ashmem-join", join.display()),
    ]);
    file.extend(["sh", "ls", "grep"].map(|name| format!("/bin/busybox:/rootfs/bin/{name}")));
    let options =
        Options { provider: Provider::Module, smp: 2, memory: MEMORY, file, ..Options::default() };
    let request = VmRequest {
        kernel: KERNEL.into(),
        options,
        program: "/bin/busybox".into(),
        arguments: ["sh", "/trial.sh", engine.name].map(str::to_owned).to_vec(),
        live: false,
    };
    machine::run(&request).map(|outcome| outcome.step_result())
}

/// The programs of the root and what they load, as files for a machine.
fn programs(root: &PathBuf, names: &[&str]) -> Result<Vec<String>> {
    let chroot = Chroot::at(root.clone());
    let mut found = BTreeSet::new();
    for name in names {
        let place = ["usr/bin", "usr/sbin"].map(|folder| root.join(folder).join(name));
        let place = place.iter().find_map(|place| place.canonicalize().ok());
        let place = place.with_context(|| format!("{} holds no {name}", root.display()))?;
        let inside = place.strip_prefix(root).context("a program lies in its root")?;
        found.insert(format!("{}:/usr/bin/{name}", place.display()));
        let mut list = chroot.command("/lib64/ld-linux-x86-64.so.2", &[]);
        list.arg("--list").arg(PathBuf::from("/").join(inside));
        let (said, status) = process::capture_both(&mut list)?;
        // The loader refuses a program that loads nothing.
        if status.success() {
            let libraries = said.lines().filter_map(tools::library);
            found.extend(libraries.map(|path| format!("{}{path}:{path}", root.display())));
        }
    }
    Ok(found.into_iter().collect())
}

/// The engines in the cache.
fn root() -> Result<PathBuf> {
    let root = workspace::cache("tools")?.join(format!("engines{RECIPE}"));
    let _lock = workspace::lock("engines")?;
    if root.exists() {
        return root.canonicalize().context("finding the engines");
    }
    let archive = Archive::update("engines", &[(DEBIAN, "trixie")], Arch::X86_64)?;
    let packages: Vec<_> = PACKAGES
        .iter()
        .chain(&OF_USERS)
        .map(|name| archive.look_up(name))
        .collect::<Result<_>>()?;
    eprintln!("fetching the engines of Debian 13, {} MB ...", megabytes(&packages));
    workspace::make_whole(&root, |part| {
        archive.unpack(&packages, part)?;
        for folder in ["bin", "lib", "lib64", "sbin"] {
            symlink(format!("usr/{folder}"), part.join(folder)).context("making a link")?;
        }
        fs::create_dir_all(part.join("proc")).context("making a folder")
    })?;
    root.canonicalize().context("finding the engines")
}
