// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian 13's container engines in a machine of their own, with the module: what
//! `--device android.dev/ashmem=all` gives a container, and a container that joins the agent.
//!
//! Their programs are unpacked into the cache with the libraries that they load, and never
//! installed. Debian has no CRI-O and no nerdctl.

use crate::build::static_program;
use crate::debian::archive::{Archive, DEBIAN};
use crate::debian::host;
use crate::debian::kernel::Line;
use crate::debian::unpacked_root::UnpackedRoot;
use crate::machine::{self, Options, Provider, VmRequest};
use crate::util::arch::Arch;
use crate::util::steps::{Step, StepResult};
use crate::util::{tools, workspace};
use anyhow::{Context, Result, ensure};
use std::fs;

/// The engines, then what they load.
const ROOT: UnpackedRoot = UnpackedRoot {
    name: "engines",
    release: "trixie",
    packages: &[
        "conmon",
        "containerd",
        "crun",
        "docker-cli",
        "docker.io",
        "golang-github-containers-common",
        "golang-github-containers-image",
        "netavark",
        "podman",
        "runc",
        "libacl1",
        "libassuan9",
        "libatomic1",
        "libattr1",
        "libaudit1",
        "libbsd0",
        "libbz2-1.0",
        "libc6",
        "libcap-ng0",
        "libcap2",
        "libcrypt1",
        "libffi8",
        "libgcc-s1",
        "libglib2.0-0t64",
        "libgpg-error0",
        "libgpgme11t64",
        "liblz4-1",
        "liblzma5",
        "libmd0",
        "libpam0g",
        "libpcre2-8-0",
        "libseccomp2",
        "libselinux1",
        "libsemanage2",
        "libsepol2",
        "libsqlite3-0",
        "libsubid5",
        "libsystemd0",
        "libyajl2",
        "libzstd1",
        "zlib1g",
    ],
    recipe: 1,
};
/// The programs lie in memory.
const MEMORY: u32 = 2048;
const KERNEL: Line = Line::V6_12;

/// An engine, the programs that it is, and the files that it reads.
struct Engine {
    name: &'static str,
    programs: &'static [&'static str],
    files: &'static [&'static str],
}

const ENGINES: [Engine; 3] = [
    Engine {
        name: "containerd",
        programs: &["containerd", "containerd-shim-runc-v2", "ctr", "runc"],
        files: &[],
    },
    Engine {
        name: "docker",
        programs: &["containerd", "containerd-shim-runc-v2", "docker", "dockerd", "runc"],
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
    steps.push(Step::new("CRI-O with the module", || {
        // It is to be tried as soon as there is one.
        let archive = Archive::update("engines", &[(DEBIAN, ROOT.release)], Arch::X86_64)?;
        ensure!(
            !archive.names("cri-o")?.iter().any(|name| name == "cri-o"),
            "Debian's {} has CRI-O now, which no step tries",
            ROOT.release
        );
        Ok(StepResult::Skipped(format!("Debian's {} has no package of CRI-O", ROOT.release)))
    }));
    steps
}

fn attempt(engine: &Engine) -> Result<StepResult> {
    let script = workspace::cache("engines")?.join("trial.sh");
    fs::write(&script, include_str!("engines.sh")).context("writing the machine's script")?;
    let root = ROOT.ensure(|_| Ok(()))?;
    let mut file =
        tools::programs_of(&root.root, engine.programs, |program| root.command(program, &[]))?;
    let under_root = |path: &str| format!("{}{path}:{path}", root.root.display());
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
