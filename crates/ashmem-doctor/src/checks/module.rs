// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel module.

use crate::board::Board;
use crate::check::Check;
use crate::distribution::Distribution;
use crate::finding::Finding;
use crate::module_file::{self, ModuleFile, NAME};
use crate::way::Way;
use crate::{Host, kernel_release};

/// The oldest kernel that the module is made for.
const OLDEST: (u32, u32) = (5, 10);

/// Loaded or not; if not, why not.
pub(super) struct ModuleCheck;

impl Check for ModuleCheck {
    fn name(&self) -> &'static str {
        "module"
    }

    fn looks_at(&self) -> &'static str {
        "whether a driver is loaded or built in; if not: whether a module was built, for this \
         kernel, and what DKMS said"
    }

    fn ways(&self) -> &'static [Way] {
        &[Way::Module]
    }

    fn examine(&self, host: &Host) -> Finding {
        let is_listed = is_registered(host);
        if is_loaded(host) {
            let version =
                host.text("/sys/module/ashmem_linux/version").map(|version| format!(" {version}"));
            let version =
                version.unwrap_or_else(|| ", of another origin (it has no version)".to_owned());
            if !is_listed {
                return Finding::fault(format!("{NAME}{version} is loaded, but has no device"))
                    .why(
                        "/proc/misc does not list ashmem: the module is on its way out, or its \
                         start failed",
                    )
                    .next(format!("sudo rmmod {NAME}"))
                    .next(format!("sudo modprobe {NAME}"));
            }
            return Finding::ok(format!("{NAME}{version} is loaded"));
        }
        if is_listed {
            let whose = Board::of(&host.kernel()).map_or("the kernel", Board::kernels);
            return Finding::ok(format!("{whose} has a driver of its own: ours stays away"));
        }
        not_loaded(host)
    }
}

/// Whether the module is there as a module.
pub(crate) fn is_loaded(host: &Host) -> bool {
    // A driver that is built in may have a folder there too, but never a state.
    host.has("/sys/module/ashmem_linux/initstate")
        || host
            .text("/proc/modules")
            .is_some_and(|list| list.lines().any(|line| line.starts_with("ashmem_linux ")))
}

/// Whether a driver has registered the device.
pub(super) fn is_registered(host: &Host) -> bool {
    misc_minor(host).is_some()
}

/// The device's minor number, which differs from boot to boot; the major number of all such devices
/// is 10.
pub(super) fn misc_minor(host: &Host) -> Option<u32> {
    let list = host.text("/proc/misc")?;
    let line = list.lines().find(|line| line.split_whitespace().nth(1) == Some("ashmem"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The version of our sources that DKMS knows, if it knows them.
pub(super) fn dkms_version(host: &Host) -> Option<(String, String)> {
    let is_ours = |name: &String| {
        name == "ashmem" || name.starts_with("ashmem-") || name.starts_with("ashmem_")
    };
    let name = host.names("/var/lib/dkms").into_iter().find(is_ours)?;
    let folder = format!("/var/lib/dkms/{name}");
    let mut versions: Vec<_> = host
        .names(&folder)
        .into_iter()
        .filter(|version| {
            version.starts_with(|sign: char| sign.is_ascii_digit())
                && host.has(&format!("{folder}/{version}/source"))
        })
        .collect();
    versions.sort_by(|one, other| kernel_release::compare(one, other));
    Some((name, versions.pop()?))
}

fn not_loaded(host: &Host) -> Finding {
    let release = host.kernel();
    if host.container().is_some() {
        return Finding::fault("not loaded, and this is a container")
            .why("a module is loaded on the host, and the container then given the device")
            .next(format!("# on the host: sudo modprobe {NAME}"))
            .next(
                "# then give the container /dev/ashmem: docker run --device android.dev/ashmem=all \
                 …",
            );
    }
    if !host.has("/proc/modules") {
        return Finding::fault("this kernel loads no modules")
            .why("it was built without CONFIG_MODULES; `ashmem run` and `ashmem agent` need none")
            .next("ashmem run -- PROGRAM");
    }
    if kernel_release::version(&release).is_some_and(|version| version < OLDEST) {
        return Finding::fault(format!(
            "Linux {release} is older than 5.10, which the module is made for"
        ))
        .why("kernels of that age have a driver of their own, if their maker switched it on")
        .next(format!("sudo modprobe {NAME}"));
    }
    if host.text("/proc/sys/kernel/modules_disabled").as_deref() == Some("1") {
        return Finding::fault("the kernel takes no more modules until it is started anew")
            .why("kernel.modules_disabled is 1, which cannot be taken back")
            .next(
                "# find who sets it: grep -r modules_disabled /etc/sysctl.conf /etc/sysctl.d \
                 /usr/lib/sysctl.d",
            )
            .next("sudo systemctl reboot");
    }
    match module_file::find(host, &release, NAME) {
        Some(path) => not_loaded_though_built(host, &release, &path),
        None => not_built(host, &release),
    }
}

fn not_loaded_though_built(host: &Host, release: &str, path: &str) -> Finding {
    let file = match ModuleFile::read(host, path) {
        Ok(file) => file,
        Err(error) => {
            return Finding::fault(format!("the module's file is damaged: {error}"))
                .why("it must be built anew")
                .next(rebuild(host, release));
        }
    };
    if let Some(other) = file.built_for.as_deref().filter(|other| *other != release) {
        return Finding::fault(format!("the module was built for {other}"))
            .why(format!(
                "this kernel is {release} and refuses it (\"Exec format error\", \"version magic\")"
            ))
            .next(rebuild(host, release));
    }
    if let Some(file) = forbidden_by(host) {
        return Finding::fault(format!("built, but {file} forbids to load it"))
            .why("a line `blacklist ashmem_linux` or `install ashmem_linux …` stands there")
            .next(format!("sudo sed -i '/ashmem_linux/d' {file}"))
            .next(format!("sudo modprobe {NAME}"));
    }
    Finding::fault("built for this kernel, but not loaded")
        .why(format!("{path} is there; it is loaded at boot if /usr/lib/modules-load.d names it"))
        .next(format!("sudo modprobe {NAME}"))
}

fn not_built(host: &Host, release: &str) -> Finding {
    let distribution = Distribution::of(host);
    let Some((name, version)) = dkms_version(host) else {
        return Finding::fault("not installed")
            .why(format!("no {NAME} for {release}, and DKMS has no sources to build it from"))
            .next(distribution.install_module());
    };
    if !host.has(&format!("/lib/modules/{release}/build")) {
        return Finding::fault(format!("not built: there are no headers for {release}"))
            .why("DKMS builds the module with the headers of the kernel it is for")
            .next(distribution.install_headers(release))
            .next(format!("sudo dkms autoinstall -k {release}"))
            .next(format!("sudo modprobe {NAME}"));
    }
    let log = format!("/var/lib/dkms/{name}/{version}/build/make.log");
    let complaint = host.text(&log).and_then(|log| first_error(&log));
    match complaint {
        Some(complaint) => Finding::fault(format!("the build for {release} failed"))
            .why(format!("{log}: {complaint}"))
            .next(format!("ashmem doctor explain < {log}"))
            .next(format!("sudo dkms install --force {name}/{version} -k {release}")),
        None => Finding::fault(format!("not built for {release}"))
            .why(format!("DKMS has {name}/{version} and the headers are there"))
            .next(format!("sudo dkms install {name}/{version} -k {release}"))
            .next(format!("sudo modprobe {NAME}")),
    }
}

/// How the module is built for a kernel.
pub(crate) fn rebuild(host: &Host, release: &str) -> String {
    match dkms_version(host) {
        Some((name, version)) => format!("sudo dkms install --force {name}/{version} -k {release}"),
        None => Distribution::of(host).install_module(),
    }
}

fn first_error(log: &str) -> Option<String> {
    let is_error =
        |line: &&str| line.contains("error:") || line.contains("ERROR:") || line.contains("*** ");
    log.lines().find(is_error).map(|line| line.trim().chars().take(160).collect())
}

/// The file of modprobe's configuration that keeps the module out.
pub(crate) fn forbidden_by(host: &Host) -> Option<String> {
    let folders = ["/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"];
    let files = folders.iter().flat_map(|folder| {
        host.names(folder).into_iter().map(move |name| format!("{folder}/{name}"))
    });
    files.filter(|file| file.ends_with(".conf")).find(|file| {
        host.text(file).is_some_and(|text| {
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|words| {
                matches!(
                    words.as_slice(),
                    ["blacklist" | "install", module, ..] if module.replace('-', "_") == NAME
                )
            })
        })
    })
}
