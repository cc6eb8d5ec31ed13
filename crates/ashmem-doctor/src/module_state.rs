// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each installed kernel, and whether the module is there for a boot of it.

use std::fmt;

use serde::Serialize;

use crate::checks::module;
use crate::distribution::Distribution;
use crate::module_file::{self, ModuleFile, NAME};
use crate::screen::clean;
use crate::version::VERSION;
use crate::{Host, kernel_release};

/// Where lists of modules that a boot loads lie; a file hides those of its name further on.
const BOOT_LISTS: [&str; 5] = [
    "/etc/modules-load.d",
    "/run/modules-load.d",
    "/usr/local/lib/modules-load.d",
    "/usr/lib/modules-load.d",
    "/lib/modules-load.d",
];

/// What `ashmem module status` has to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModuleState {
    /// The version of this structure: it grows when a field changes its meaning or goes, not when
    /// one comes.
    pub version: u32,
    /// The root that was looked at.
    pub root: String,
    /// Whether the running kernel has the module loaded.
    pub is_loaded: bool,
    /// The loaded module's own version; `None` if none is loaded, or one of another origin.
    pub loaded_version: Option<String>,
    /// The file that has a boot load the module; `None` if none has.
    pub boot_list: Option<String>,
    /// The file of modprobe's configuration that keeps the module out, if one does.
    pub forbidden_by: Option<String>,
    /// Whether `ashmem module install` was interrupted, and left what its next call tidies up.
    pub is_interrupted: bool,
    /// Whether each installed kernel would have the module after a boot.
    pub is_ready: bool,
    /// Each installed kernel, the oldest first.
    pub kernels: Vec<KernelModule>,
}

/// A kernel and the module for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KernelModule {
    /// Its release, as uname(1) prints it.
    pub release: String,
    /// Whether it is the one that runs.
    pub is_running: bool,
    /// Whether it could load the module that lies there.
    pub module: ModulePresence,
    /// The module's file, as modprobe finds it.
    pub path: Option<String>,
    /// The kernel that this file was built for; `None` if it does not say.
    pub built_for: Option<String>,
    /// The file's own version; `None` for a module of another origin.
    pub module_version: Option<String>,
    /// Whether a signature is appended to the file. Whose, the kernel finds out.
    pub is_signed: bool,
    /// Who put it there: DKMS's name and version of the source; `ashmem` for this program, without
    /// DKMS; `kernel` for the kernel's own.
    pub by: Option<String>,
    /// The package whose source DKMS built it from, where dpkg knows it.
    pub package: Option<String>,
    /// Whether what modules are built with is installed for it.
    pub has_headers: bool,
    /// What to type for it to have the module; nothing if it has.
    pub next: Vec<String>,
}

/// Whether a kernel could load the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModulePresence {
    /// It is there, and built for this kernel.
    Ready,
    /// It is there, and built for another kernel: this one refuses it.
    OtherKernel,
    /// Its file cannot be read as a module.
    Damaged,
    /// It is not there.
    Missing,
}

impl ModuleState {
    /// Looks at a root directory. Nothing in it is changed.
    pub fn read(host: &Host) -> Self {
        let is_loaded = module::is_loaded(host);
        let kernels: Vec<_> = kernel_release::installed(host)
            .into_iter()
            .map(|release| KernelModule::read(host, release))
            .collect();
        let boot_list = boot_list(host);
        let forbidden_by = module::forbidden_by(host);
        Self {
            version: VERSION,
            root: host.root().display().to_string(),
            is_loaded,
            loaded_version: host.text("/sys/module/ashmem_linux/version").filter(|_| is_loaded),
            is_interrupted: host.has("/var/lib/ashmem/module/journal"),
            is_ready: !kernels.is_empty()
                && kernels.iter().all(|kernel| kernel.module == ModulePresence::Ready)
                && boot_list.is_some()
                && forbidden_by.is_none(),
            boot_list,
            forbidden_by,
            kernels,
        }
    }
}

impl KernelModule {
    fn read(host: &Host, release: String) -> Self {
        let path = module_file::find(host, &release, NAME);
        let file = path.as_ref().map(|path| ModuleFile::read(host, path));
        let module = match &file {
            None => ModulePresence::Missing,
            Some(Err(_)) => ModulePresence::Damaged,
            Some(Ok(file)) if file.built_for.as_deref() == Some(release.as_str()) => {
                ModulePresence::Ready
            }
            Some(Ok(_)) => ModulePresence::OtherKernel,
        };
        let file = file.and_then(Result::ok);
        let version = file.as_ref().and_then(|file| file.version.clone());
        let source =
            path.as_ref().and_then(|path| dkms_source(host, &release, path, version.as_deref()));
        let by = source.as_ref().map(|(name, version)| format!("{name}/{version}"));
        let is_kernels = |path: &String| path.contains(&format!("/{release}/kernel/"));
        let has_headers = host.has(&format!("/lib/modules/{release}/build"));
        let mut next = Vec::new();
        if module != ModulePresence::Ready {
            if !has_headers {
                next.push(Distribution::of(host).install_headers(&release));
            }
            next.push(module::rebuild(host, &release));
        }
        Self {
            is_running: release == host.kernel(),
            module,
            built_for: file.as_ref().and_then(|file| file.built_for.clone()),
            module_version: version,
            is_signed: file.is_some_and(|file| file.is_signed),
            by: by
                .or_else(|| path.as_ref().filter(|path| is_kernels(path)).map(|_| "kernel".into()))
                .or_else(|| {
                    let path = format!("\"{}\"", path.as_ref()?);
                    let manifest = host.text("/var/lib/ashmem/module/manifest.json")?;
                    manifest.contains(&path).then(|| "ashmem".to_owned())
                }),
            package: source.and_then(|(name, version)| package_of(host, &name, &version)),
            path,
            has_headers,
            next,
            release,
        }
    }
}

/// The source, by DKMS's name and version, that DKMS installed for a kernel: DKMS leaves a link
/// `kernel-RELEASE-MACHINE` to the version's folder of this kernel.
fn dkms_source(
    host: &Host,
    release: &str,
    path: &str,
    module_version: Option<&str>,
) -> Option<(String, String)> {
    // The kernel's own module may lie beside a source that is built for other kernels.
    if path.contains(&format!("/{release}/kernel/")) {
        return None;
    }
    let prefix = format!("kernel-{release}-");
    // Another project's too, such as anbox-ashmem.
    let names = host.names("/var/lib/dkms").into_iter().filter(|name| name.contains("ashmem"));
    let sources: Vec<_> = names
        .filter_map(|name| {
            let folder = format!("/var/lib/dkms/{name}");
            let link = host.names(&folder).into_iter().find(|entry| {
                // A machine's name has no dash: what has one is a longer release.
                entry.strip_prefix(&prefix).is_some_and(|machine| !machine.contains('-'))
            })?;
            let target = host.link(&format!("{folder}/{link}"))?;
            let version = target.split('/').next().filter(|version| !version.is_empty())?;
            Some((name, version.to_owned()))
        })
        .collect();
    // Two projects' sources may both be installed, and the later one's file is there.
    let is_same = |source: &&(String, String)| Some(source.1.as_str()) == module_version;
    sources.iter().find(is_same).or(sources.first()).cloned()
}

/// The package that brought a source of DKMS's, where dpkg knows it.
pub fn package_of(host: &Host, name: &str, version: &str) -> Option<String> {
    let source = format!("/usr/src/{name}-{version}");
    host.names("/var/lib/dpkg/info")
        .into_iter()
        .filter(|file| file.contains("ashmem"))
        .filter_map(|file| file.strip_suffix(".list").map(str::to_owned))
        .find(|package| {
            host.text(&format!("/var/lib/dpkg/info/{package}.list"))
                .is_some_and(|list| list.lines().any(|line| line == source))
        })
}

/// The file that has a boot load the module.
fn boot_list(host: &Host) -> Option<String> {
    let mut seen = Vec::new();
    for folder in BOOT_LISTS {
        for name in host.names(folder).into_iter().filter(|name| name.ends_with(".conf")) {
            if seen.contains(&name) {
                continue;
            }
            let path = format!("{folder}/{name}");
            if names_module(host, &path) {
                return Some(path);
            }
            seen.push(name);
        }
    }
    // Debian's older list, and Alpine's.
    Some("/etc/modules".to_owned()).filter(|path| names_module(host, path))
}

fn names_module(host: &Host, path: &str) -> bool {
    host.text(path).is_some_and(|text| {
        text.lines()
            .filter_map(|line| line.split_whitespace().next())
            .any(|word| word.replace('-', "_") == NAME)
    })
}

/// The state as a person reads it.
pub struct ModuleScreen<'a>(pub &'a ModuleState);

impl fmt::Display for ModuleScreen<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ModuleScreen(state) = self;
        if state.kernels.is_empty() {
            writeln!(out, "No kernel is installed here (looked into /lib/modules).")?;
        }
        for kernel in &state.kernels {
            let running = if kernel.is_running { " (running)" } else { "" };
            let what = match kernel.module {
                ModulePresence::Ready => "the module is there, built for it".to_owned(),
                ModulePresence::OtherKernel => format!(
                    "the module there was built for {}",
                    kernel.built_for.as_deref().unwrap_or("no kernel")
                ),
                ModulePresence::Damaged => "the module's file is damaged".to_owned(),
                ModulePresence::Missing => "no module".to_owned(),
            };
            writeln!(out, "{}{running}: {}", clean(&kernel.release), clean(&what))?;
            if let Some(path) = &kernel.path {
                let version = kernel.module_version.as_deref().unwrap_or("unknown: not this one");
                let signed = if kernel.is_signed { "signed" } else { "not signed" };
                writeln!(out, "    {}, version {}, {signed}", clean(path), clean(version))?;
                let by =
                    kernel.by.as_deref().map_or("by hand, or unknown".to_owned(), |by| match by {
                        "kernel" => "with the kernel".to_owned(),
                        "ashmem" => "`ashmem module install`".to_owned(),
                        by => format!("DKMS, {by}"),
                    });
                let package = kernel.package.as_ref().map(|name| format!(", package {name}"));
                writeln!(out, "    installed: {}", clean(&(by + &package.unwrap_or_default())))?;
            }
            for command in &kernel.next {
                writeln!(out, "    > {}", clean(command))?;
            }
        }
        if state.is_interrupted {
            writeln!(out, "An installation was interrupted:\n    > sudo ashmem module install")?;
        }
        let version = state.loaded_version.as_ref().map(|version| format!(", version {version}"));
        let loaded = if state.is_loaded { "yes" } else { "no" };
        writeln!(out, "Loaded now: {loaded}{}", clean(&version.unwrap_or_default()))?;
        match (&state.forbidden_by, &state.boot_list) {
            (Some(file), _) => writeln!(out, "Loaded at boot: no, {} forbids it", clean(file)),
            (None, Some(file)) => writeln!(out, "Loaded at boot: yes, by {}", clean(file)),
            (None, None) => writeln!(out, "Loaded at boot: no, no modules-load.d names {NAME}"),
        }
    }
}
