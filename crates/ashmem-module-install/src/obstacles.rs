// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can stand in the way of an installation, found before anything is changed, and what takes
//! it out of the way in the distribution's words.

use ashmem_doctor::distribution::Distribution;
use ashmem_doctor::keys::{self, SecureBoot, SigningKey};
use ashmem_doctor::module_file::{self, ModuleFile};
use ashmem_doctor::module_state::{ModuleState, package_of};
use ashmem_doctor::{Host, advice};
use rustix::fs::StatVfsMountFlags;

use crate::dkms;
use crate::kernel::TargetKernel;
use crate::machine::TargetMachine;
use crate::manifest::{BuildWay, InstallManifest};
use crate::refusal::InstallRefusal;
use crate::source::NAME;

/// What shows that the package `ashmem-dkms` is installed, whoever's package it is.
pub(crate) const PACKAGE: &str = "/usr/lib/ashmem-dkms/modules";

/// What a build and its result take, in bytes.
const SPACE: u64 = 20 << 20;

/// The sort of system: some take no module from a program.
pub(crate) fn system(machine: &TargetMachine, may_load: bool) -> Result<(), InstallRefusal> {
    let host = &machine.host;
    let without = "ashmem run -- PROGRAM   # or `ashmem agent`, for containers: neither needs it";
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return Err(InstallRefusal::new("the module is for x86-64 and arm64 only").next(without));
    }
    let distribution = Distribution::of(host);
    if distribution == Distribution::NixOs || host.has("/etc/NIXOS") {
        return Err(InstallRefusal::new(
            "NixOS builds its modules from its configuration, and /usr and /lib are not its own",
        )
        .next(distribution.install_headers(&host.kernel()))
        .next("sudo nixos-rebuild switch"));
    }
    if host.has("/run/ostree-booted") {
        return Err(InstallRefusal::new(
            "/usr belongs to this system's image (ostree): what is written there is gone with the \
             next one",
        )
        .next("# in the Containerfile of an image of your own (bootc), with kernel-devel in it:")
        .next("# RUN ashmem module install --no-load")
        .next(without));
    }
    if machine.is_live && distribution == Distribution::Wsl {
        return Err(InstallRefusal::new("WSL's kernel is Windows' and takes no module of others")
            .next(without));
    }
    if machine.is_live && may_load {
        if let Some(kind) = host.container() {
            return Err(InstallRefusal::new(format!(
                "this is a container ({kind}): its kernel is the host's"
            ))
            .next("# on the host: sudo ashmem module install")
            .next("# to make an image that has kernels: ashmem module install --no-load"));
        }
        if !host.has("/proc/modules") {
            return Err(InstallRefusal::new("this kernel loads no modules").next(without));
        }
    }
    Ok(())
}

/// Others that have the module already.
pub(crate) fn owners(host: &Host, old: Option<&InstallManifest>) -> Result<(), InstallRefusal> {
    if host.has(PACKAGE) {
        let uninstall = Distribution::of(host).uninstall("ashmem-dkms");
        return Err(InstallRefusal::new("the package ashmem-dkms has the module here")
            .next("# to keep it: a newer package brings newer ones")
            .next(format!("{uninstall} && sudo ashmem module install")));
    }
    for name in host.names(dkms::TREE).into_iter().filter(|name| name.contains("ashmem")) {
        let folder = format!("{}/{name}", dkms::TREE);
        let versions = host.names(&folder).into_iter();
        for version in versions.filter(|version| host.has(&format!("{folder}/{version}/source"))) {
            let is_ours = name == NAME && old.is_some_and(|old| old.version == version);
            if is_ours {
                continue;
            }
            let refusal = InstallRefusal::new(format!(
                "DKMS has {name}/{version}, which `ashmem module install` did not put there"
            ));
            return Err(match package_of(host, &name, &version) {
                Some(package) => refusal.next(format!("sudo apt purge {package}")),
                None => refusal.next(format!("sudo dkms remove {name}/{version} --all")),
            });
        }
    }
    Ok(())
}

/// A file where this kernel's module would go, or be hidden by, that this program did not write.
pub(crate) fn other_module(
    host: &Host,
    kernel: &str,
    old: Option<&InstallManifest>,
) -> Result<(), InstallRefusal> {
    let is_ours = old.is_some_and(|old| old.kernels.iter().any(|known| known == kernel));
    match module_file::find(host, kernel, module_file::NAME) {
        // DKMS builds for kernels that come, and tells nobody.
        Some(path)
            if path.contains("/updates/dkms/")
                && old.is_some_and(|old| old.way == BuildWay::Dkms) =>
        {
            Ok(())
        }
        Some(path) if !is_ours => {
            let version = ModuleFile::read(host, &path).ok().and_then(|file| file.version);
            let version = version.map(|version| format!(", version {version}")).unwrap_or_default();
            Err(InstallRefusal::new(format!(
                "{path}{version} is there already, and `ashmem module install` did not put it there"
            ))
            .next("# remove the package or program that brought it, or if there is none:")
            .next(format!("sudo rm {path} && sudo depmod -a {kernel}")))
        }
        _ => Ok(()),
    }
}

/// Folders that cannot be written to, or have no room.
pub(crate) fn places(machine: &TargetMachine, way: BuildWay) -> Result<(), InstallRefusal> {
    let mut places = vec!["/lib/modules", "/var/lib", "/etc"];
    if way == BuildWay::Dkms {
        places.push("/usr/src");
    }
    for place in places {
        // One that is not there yet is made in the one above.
        let there = if machine.host.has(place) { place } else { "/usr" };
        let Ok(stat) = rustix::fs::statvfs(machine.at(there)) else { continue };
        if stat.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Err(InstallRefusal::new(format!("{place} is read-only"))
                .next(
                    "sudo mount -o remount,rw /   # or as this distribution has its system changed",
                )
                .next("ashmem run -- PROGRAM   # or `ashmem agent`: neither needs a module"));
        }
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if place != "/etc" && free < SPACE {
            return Err(InstallRefusal::new(format!(
                "{} MB are free in {place}, and a build wants {}",
                free >> 20,
                SPACE >> 20
            ))
            .next(format!("df -h {place}")));
        }
    }
    Ok(())
}

/// What a build runs.
pub(crate) fn tools(
    machine: &TargetMachine,
    way: BuildWay,
    has_objects: bool,
    kernels: &[TargetKernel],
) -> Result<(), InstallRefusal> {
    let host = &machine.host;
    let distribution = Distribution::of(host);
    let lacks = |name: &str| host.program(name).is_none();
    if lacks("make") {
        return Err(InstallRefusal::new("make is not here, which builds the module")
            .next(advice::compiler(&distribution)));
    }
    if let Some(lack) = ["depmod", "modprobe"].into_iter().find(|name| lacks(name)) {
        return Err(
            InstallRefusal::new(format!("{lack} is not here")).next(distribution.install("kmod"))
        );
    }
    if way == BuildWay::Dkms && lacks("dkms") {
        return Err(InstallRefusal::new(
            "the module is here by DKMS, and DKMS is not here any more",
        )
        .next(distribution.install("dkms"))
        .next("# or without it: ashmem module remove, then ashmem module install"));
    }
    if !has_objects && lacks("rustc") {
        return Err(InstallRefusal::new(
            "this program was built without the module's Rust half, and there is no rustc to build \
             it here",
        )
        .next("# take the program of a release, which has it, or install Rust with its sources:")
        .next(distribution.install("rustc rust-src")));
    }
    for kernel in kernels {
        kernel.need_compiler(machine)?;
    }
    Ok(())
}

/// A kernel that will not take what is built, or has another's loaded.
pub(crate) fn loading(host: &Host, way: BuildWay) -> Result<(), InstallRefusal> {
    let state = ModuleState::read(host);
    if state.is_loaded && state.loaded_version.is_none() {
        return Err(InstallRefusal::new("a module ashmem_linux of another origin is loaded")
            .next("sudo modprobe -r ashmem_linux || sudo rmmod ashmem_linux"));
    }
    if let Some(file) = &state.forbidden_by {
        return Err(InstallRefusal::new(format!("{file} forbids to load the module"))
            .next(format!("sudo sed -i '/ashmem_linux/d' {file}")));
    }
    if keys::secure_boot(host) != SecureBoot::On {
        return Ok(());
    }
    let key = keys::key(host);
    // A system that signs its whole boot by keys of its own has them in the firmware itself.
    let has_own = key == SigningKey::None && crate::signing::pair(host).is_some();
    if matches!(key, SigningKey::Enrolled(_)) || has_own {
        return Ok(());
    }
    let mut refusal = InstallRefusal::new(
        "Secure Boot is on, and the kernel takes a module only if the key that signs it is \
         enrolled",
    );
    if way == BuildWay::Kbuild && key == SigningKey::None {
        refusal = refusal.next(Distribution::of(host).install("dkms"));
    }
    for step in keys::steps(host, &key) {
        refusal = refusal.next(step);
    }
    Err(refusal
        .next("# or, to have it there when the key is: sudo ashmem module install --no-load"))
}
