// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel that the module is built for: its configuration, and the compiler that its headers
//! want.

use ashmem_doctor::distribution::Distribution;
use ashmem_doctor::{Host, advice, module_file};

use crate::machine::TargetMachine;
use crate::refusal::InstallRefusal;

/// A kernel and what modules for it are built with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetKernel {
    /// Its release.
    pub release: String,
    /// Whether clang built it.
    pub is_clangs: bool,
    /// The compiler's name.
    pub compiler: String,
    /// What the kernel was built with, in that compiler's own words, where it tells.
    pub built_with: Option<String>,
    /// The hash in the signatures of its modules.
    pub signature_hash: String,
}

/// Why nothing is built for a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelLack {
    /// It has Android's driver, which stays.
    HasOwnDriver,
    /// There are no headers.
    NoHeaders,
    /// It is older than the module is made for.
    TooOld,
}

/// The oldest kernel that the module is made for.
const OLDEST: (u32, u32) = (5, 10);

/// What clang's build of a module runs.
const LLVM: [&str; 6] = ["clang", "ld.lld", "llvm-ar", "llvm-nm", "llvm-objcopy", "llvm-strip"];

impl TargetKernel {
    /// A kernel that is installed here.
    ///
    /// # Errors
    /// Why nothing is built for it.
    pub fn read(host: &Host, release: &str) -> Result<Self, KernelLack> {
        let folder = format!("/lib/modules/{release}");
        let build = format!("{folder}/build");
        let configuration = [
            format!("{build}/.config"),
            format!("{build}/include/config/auto.conf"),
            format!("/boot/config-{release}"),
            format!("{folder}/config"),
        ]
        .iter()
        .find_map(|path| host.text(path))
        .unwrap_or_default();
        let field = |key: &str| {
            let line = configuration.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|rest| rest.strip_prefix('=')).map(|value| value.trim_matches('"'))
        };
        if has_own_driver(host, release, field("CONFIG_ASHMEM")) {
            return Err(KernelLack::HasOwnDriver);
        }
        if ashmem_doctor::kernel_release::version(release).is_some_and(|found| found < OLDEST) {
            return Err(KernelLack::TooOld);
        }
        // Headers without the makefile are what a removed package leaves.
        if !host.has(&format!("{build}/Makefile")) {
            return Err(KernelLack::NoHeaders);
        }
        let is_clangs = field("CONFIG_CC_IS_CLANG") == Some("y");
        let compiler = if is_clangs {
            "clang".to_owned()
        } else {
            let variables = host.text(&format!("{build}/.kernelvariables")).unwrap_or_default();
            named_gcc(&variables).unwrap_or_else(|| "gcc".to_owned())
        };
        Ok(Self {
            release: release.to_owned(),
            is_clangs,
            compiler,
            built_with: field("CONFIG_CC_VERSION_TEXT").map(str::to_owned),
            signature_hash: field("CONFIG_MODULE_SIG_HASH").unwrap_or("sha256").to_owned(),
        })
    }

    /// What is told to make beside the folders.
    pub fn make_variables(&self) -> &'static [&'static str] {
        if self.is_clangs { &["LLVM=1"] } else { &[] }
    }

    /// Whether the compiler is here and compiles.
    ///
    /// # Errors
    /// The package that brings it.
    pub fn need_compiler(&self, machine: &TargetMachine) -> Result<(), InstallRefusal> {
        let distribution = Distribution::of(&machine.host);
        let compiler = self.compiler.as_str();
        let install = if self.is_clangs {
            advice::clang(&distribution)
        } else if compiler == "gcc" {
            advice::compiler(&distribution)
        } else {
            distribution.install(compiler)
        };
        let wanted: &[&str] = if self.is_clangs { &LLVM } else { &[compiler] };
        if let Some(lack) = wanted.iter().find(|name| machine.host.program(name).is_none()) {
            return Err(InstallRefusal::new(format!(
                "{lack} is not here, and the headers of {} want it",
                self.release
            ))
            .next(install));
        }
        if !machine.host.is_here() {
            return Ok(());
        }
        let words = ["-x", "c", "-c", "-o", "/dev/null", "/dev/null"];
        match machine.run(compiler, &words) {
            Ok(printed) if printed.status.success() => Ok(()),
            Ok(printed) => {
                let line = printed.text.lines().next().unwrap_or("it says nothing").to_owned();
                Err(InstallRefusal::new(format!("{compiler} is here and compiles nothing: {line}"))
                    .next(install))
            }
            Err(error) => Err(InstallRefusal::new(error.to_string()).next(install)),
        }
    }
}

/// The compiler that Debian's headers name.
fn named_gcc(variables: &str) -> Option<String> {
    let words = variables.split(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '-'));
    words
        .filter(|word| {
            word.strip_prefix("gcc-").is_some_and(|number| number.parse::<u32>().is_ok())
        })
        .map(str::to_owned)
        .next()
}

/// Whether a kernel has Android's own driver: as a module of its own, or built in.
fn has_own_driver(host: &Host, release: &str, configured: Option<&str>) -> bool {
    let folder = format!("/lib/modules/{release}");
    matches!(configured, Some("y" | "m"))
        || host.text(&format!("{folder}/modules.builtin")).is_some_and(|list| {
            list.lines()
                .any(|line| line.ends_with("/ashmem.ko") || line.ends_with("ashmem_linux.ko"))
        })
        || module_file::find(host, release, module_file::NAME)
            .is_some_and(|path| path.starts_with(&format!("{folder}/kernel/")))
}

#[cfg(test)]
mod tests {
    use super::{KernelLack, TargetKernel, named_gcc};
    use ashmem_doctor::Host;
    use std::fs;

    #[test]
    fn debians_headers_name_their_compiler() {
        let text = "CC = $(if $(X),$(CCACHE)) $(CROSS_COMPILE)gcc-12\nifneq ($(DEB_BUILD_ARCH),)";
        assert_eq!(named_gcc(text).as_deref(), Some("gcc-12"));
        assert_eq!(named_gcc("CC = gcc"), None);
    }

    #[test]
    fn a_kernel_tells_what_it_wants() {
        let root = tempfile::tempdir().expect("a folder");
        let file = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder above")).expect("folders");
            fs::write(path, text).expect("a file");
        };
        let read = || TargetKernel::read(&Host::at(root.path()).expect("the root"), "6.9.1");
        file("lib/modules/6.9.1/modules.builtin", "kernel/fs/ext4.ko\n");
        assert_eq!(read(), Err(KernelLack::NoHeaders));
        file("lib/modules/6.9.1/build/Makefile", "");
        assert_eq!(read().expect("a kernel").compiler, "gcc");
        file(
            "lib/modules/6.9.1/build/.config",
            "CONFIG_CC_VERSION_TEXT=\"clang version 19.1.7\"\nCONFIG_CC_IS_CLANG=y\n\
             CONFIG_MODULE_SIG_HASH=\"sha512\"\n# CONFIG_ASHMEM is not set\n",
        );
        let kernel = read().expect("a kernel");
        assert_eq!((kernel.compiler.as_str(), kernel.signature_hash.as_str()), ("clang", "sha512"));
        assert_eq!(kernel.make_variables(), ["LLVM=1"]);
        file("lib/modules/6.9.1/modules.builtin", "kernel/drivers/staging/android/ashmem.ko\n");
        assert_eq!(read(), Err(KernelLack::HasOwnDriver));
    }

    #[test]
    fn what_is_too_old_or_has_the_driver_as_a_module_is_left_alone() {
        let root = tempfile::tempdir().expect("a folder");
        let host = Host::at(root.path()).expect("the root");
        assert_eq!(TargetKernel::read(&host, "5.4.0-1"), Err(KernelLack::TooOld));
        let folder = root.path().join("lib/modules/5.15.0/kernel/drivers/staging/android");
        fs::create_dir_all(&folder).expect("folders");
        fs::write(folder.join("ashmem_linux.ko.xz"), "").expect("a file");
        assert_eq!(TargetKernel::read(&host, "5.15.0"), Err(KernelLack::HasOwnDriver));
    }
}
