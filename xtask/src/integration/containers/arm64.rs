// SPDX-License-Identifier: MIT OR Apache-2.0
//! Containers of arm64: the agent, Debian's runc and LXC, and what runs in their containers, in a
//! machine of that architecture.

use super::world::configuration;
use crate::build::static_program;
use crate::debian::archive::{Archive, DEBIAN, megabytes};
use crate::debian::host;
use crate::debian::kernel::{Line, Platform};
use crate::machine::{self, Options, Provider, VmRequest};
use crate::util::arch::Arch;
use crate::util::steps::{Step, StepResult};
use crate::util::{process, workspace};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the machine's shell does: it leaves the kernel's first root, which no container can be made
/// in, and then runs the trial.
const LEAVE_ROOT: &str = include_str!("leave_root.sh");
const TRIAL: &str = include_str!("arm64.sh");

/// Changes whenever the unpacked runtimes would come out differently.
const RECIPE: u32 = 1;
/// Debian 12's runc and LXC with what they are linked against, a shell, and getconf.
const PACKAGES: [&str; 13] = [
    "busybox-static",
    "libapparmor1",
    "libc-bin",
    "libc6",
    "libcap2",
    "libgcc-s1",
    "liblxc-common",
    "liblxc1",
    "libpcre2-8-0",
    "libseccomp2",
    "libselinux1",
    "lxc",
    "runc",
];

/// The containers of runc, by the words of what runs in them.
const BUNDLES: [(&str, &[&str]); 4] = [
    ("share", &["/bin/client", "share"]),
    ("owner", &["/bin/client", "offer", "/tmp/offer"]),
    ("other", &["/bin/client", "stranger", "/tmp/offer"]),
    ("suite", &["/bin/conformance", "--provider", "run", "--limit", "600", "--filter", "size.*"]),
];

/// Processes of a container share a region, one that is executed later joins them, another
/// container cannot: under runc and LXC. A part of the suite in a container of runc's.
pub(crate) fn step(line: Line) -> Step {
    let kernel = Platform { arch: Arch::Arm64, line };
    Step::new(format!("runc and LXC containers, kernel {kernel}"), move || {
        host::ensure(&[kernel])?;
        attempt(kernel)
    })
}

fn attempt(kernel: Platform) -> Result<StepResult> {
    let runtimes = runtimes(kernel.arch)?;
    let folder = workspace::cache("containers")?.join(format!("booted-{}", kernel.key()));
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let mut file = Vec::new();
    let mut put = |source: &Path, place: &str| {
        file.push(format!("{}:/{place}", source.display()));
    };
    for (name, words) in BUNDLES {
        let path = folder.join(format!("{name}.json"));
        let config = configuration(&folder, Path::new("/rootfs"), words)?;
        fs::write(&path, config.to_string()).context("writing a bundle")?;
        put(&path, &format!("bundles/{name}/config.json"));
    }
    let root = folder.join("root.tar");
    let mut tar = Command::new("tar");
    tar.args(["--exclude=./usr/share/doc", "--exclude=./usr/share/man", "-cf"]).arg(&root);
    process::capture(tar.arg("-C").arg(&runtimes).arg("."))?;
    put(&root, "root.tar");
    for (name, text) in [("leave_root.sh", LEAVE_ROOT), ("trial.sh", TRIAL)] {
        fs::write(folder.join(name), text).context("writing the machine's script")?;
        put(&folder.join(name), name);
    }
    let programs = [
        ("ashmem-cli", "ashmem", "ashmem"),
        ("ashmem-container-client", "ashmem-container-client", "client"),
        ("ashmem-conformance", "ashmem-conformance", "conformance"),
    ];
    for (package, program, name) in programs {
        put(&static_program::build_for(kernel.arch, package, program)?, name);
    }
    let options = Options {
        provider: Provider::None,
        smp: 2,
        memory: 1024,
        timeout: 1200,
        file,
        ..Options::default()
    };
    let arguments = vec!["sh".to_owned(), "/leave_root.sh".to_owned()];
    let program = runtimes.join("bin/busybox");
    let request = VmRequest { kernel, options, program, arguments, live: false };
    machine::run(&request).map(|outcome| outcome.step_result())
}

/// Where the runtimes lie unpacked, as a root directory.
fn runtimes(arch: Arch) -> Result<PathBuf> {
    let root = workspace::cache("containers")?.join(format!("{}runtimes-{RECIPE}", arch.prefix()));
    let _lock = workspace::lock(&format!("runtimes-{arch}"))?;
    if !root.exists() {
        let archive =
            Archive::update(&format!("{}runtimes", arch.prefix()), &[(DEBIAN, "bookworm")], arch)?;
        let packages: Vec<_> = PACKAGES
            .iter()
            .map(|name| archive.look_up(&format!("{name}:{}", arch.debian())))
            .collect::<Result<_>>()?;
        eprintln!("fetching runc and LXC for {arch}, {} MB ...", megabytes(&packages));
        workspace::make_whole(&root, |part| archive.unpack(&packages, part))?;
    }
    Ok(root)
}
