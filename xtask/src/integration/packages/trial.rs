// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packages' life in a release: installed by README's own commands, upgraded, downgraded,
//! booted, booted with a second kernel, removed, purged. A program compiled on the way is run with
//! the module, and without it.

use super::machine::{Life, Machine};
use super::readme;
use super::release::Release;
use crate::build::stage::Version;
use crate::build::static_program;
use crate::util::arch::Arch;
use crate::util::workspace;
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What is true of a booted machine that has the packages.
pub(crate) const DEVICE: &str = include_str!("device.sh");
/// What a program that was compiled there does with the module and after its removal, which is part
/// of it.
const CLIENT: &str = include_str!("client.sh");

/// Where a machine has what a user's checkout would have of this.
const CHECKOUT: &str = "/trial/checkout";

/// Two sets of packages and a release to try them in.
pub(crate) struct Trial {
    pub(crate) arch: Arch,
    pub(crate) release: Release,
    pub(crate) packages: Vec<PathBuf>,
    pub(crate) version: Version,
    /// The version before, whose packages are here too.
    pub(crate) before: Vec<PathBuf>,
    pub(crate) version_before: Version,
}

impl Trial {
    /// Goes through the packages' whole life; what was seen, in one line.
    pub(crate) fn run(&self) -> Result<String> {
        let machine = self.machine("life")?;
        let untouched = files(&machine)?;
        let mut seen = String::new();

        let said = machine.must(&format!("{}\ntimes", self.first_installation()?))?;
        self.expect_module(&machine, &self.version_before)
            .context("after the installation of the version before")?;
        let times = said.lines().last().context("the shell told no times")?;
        write!(seen, "installing with one build took {times} of a processor (user, system); ")?;
        machine.must(&install(&self.packages))?;
        self.expect_module(&machine, &self.version).context("after the upgrade")?;
        machine.must(&format!("{} --allow-downgrades", install(&self.before)))?;
        self.expect_module(&machine, &self.version_before).context("after the downgrade")?;
        machine.must(&install(&self.packages))?;
        self.expect_module(&machine, &self.version).context("after the second upgrade")?;
        write!(seen, "installed, upgraded, downgraded; ")?;

        let mut kernels = self.kernels_after_another(&machine)?.peekable();
        while let Some(kernel) = kernels.next() {
            let is_last = kernels.peek().is_none() && !self.release.has_own_driver();
            let script = format!("{}\n{}", self.device_script(), if is_last { CLIENT } else { "" });
            let life = machine.boot(&kernel, &script)?;
            report(&life).with_context(|| format!("booting {kernel} of {}", self.release))?;
            write!(seen, "{kernel} booted in {:.0} s; ", life.time.as_secs_f64())?;
            if is_last {
                write!(seen, "one program by the module, by ashmem run and on memfd; ")?;
            }
        }

        machine
            .must(&format!("apt-get -q -o Dpkg::Use-Pty=0 -y remove {}", self.names().join(" ")))?;
        machine.must(
            "if grep -l updates/.*ashmem_linux /lib/modules/*/modules.dep; then exit 1; fi",
        )?;
        // dpkg, for apt knows no package that came from a file and left nothing when it was
        // removed.
        machine.must(&format!("dpkg --purge {}", self.names().join(" ")))?;
        let left: Vec<_> = files(&machine)?;
        // Debian's own kernels of old have a driver of this name.
        let is_kernels = |file: &str| {
            file.starts_with("/usr/src/linux-headers-") || file.contains("/kernel/drivers/")
        };
        let is_ours = |file: &&String| {
            file.contains("ashmem") && !is_kernels(file) && !untouched.contains(file)
        };
        let ours: Vec<_> = left.iter().filter(is_ours).collect();
        if !ours.is_empty() {
            bail!("after the purge {} still has {ours:?}", self.release);
        }
        write!(seen, "purged without a trace")?;
        Ok(seen)
    }

    /// The short life of packages for another architecture, whose compiler is emulated: installed
    /// by README's commands, booted, removed. What was seen, in one line.
    pub(crate) fn first_life(&self) -> Result<String> {
        let machine = self.machine("first-life")?;
        machine.must(&self.first_installation()?)?;
        self.expect_module(&machine, &self.version_before)?;
        let kernel = machine.kernels()?.into_iter().next().context("the machine has no kernel")?;
        let version = &self.version_before;
        let script = format!("version={version}\n{DEVICE}\n{CLIENT}");
        let life = machine.boot(&kernel, &script)?;
        report(&life).with_context(|| format!("booting {kernel} of {}", self.release))?;
        Ok(format!(
            "{kernel} built the module with its own gcc and booted in {:.0} s; one program by the \
             module, by ashmem run and on memfd",
            life.time.as_secs_f64()
        ))
    }

    /// A machine of the release, with the conformance suite at hand.
    pub(crate) fn machine(&self, name: &str) -> Result<Machine> {
        let machine = Machine::new(self.arch, self.release, name)?;
        let (package, program) = ("ashmem-conformance", "ashmem-conformance");
        machine.give(&static_program::build_for(self.arch, package, program)?)?;
        machine.give(&workspace::root().join("crates/libashmem/examples/share.c"))?;
        for package in self.packages.iter().chain(&self.before) {
            machine.give(package)?;
        }
        Ok(machine)
    }

    /// The version before, by README's commands: those of the developer, whose program is compiled
    /// and run, and what the user of Waydroid has to install.
    fn first_installation(&self) -> Result<String> {
        if self.release.has_own_driver() {
            return Ok(install(&self.before));
        }
        let mut commands = readme::commands(readme::DEVELOPER)?;
        commands.extend(
            readme::commands(readme::WAYDROID)?
                .into_iter()
                .filter(|line| line.contains("apt install")),
        );
        // QEMU's emulation of a process knows no seals of memfds: there the program is compiled,
        // and runs once the machine is booted.
        if self.arch != Arch::X86_64 {
            for command in &mut commands {
                *command = command.replace(" && ./program", "");
            }
        }
        let packages: Vec<_> =
            self.before.iter().filter_map(|package| package.file_name()).collect();
        let copies: String = packages
            .iter()
            .map(|name| {
                format!("cp /trial/{} {CHECKOUT}/target/packages\n", name.to_string_lossy())
            })
            .collect();
        Ok(format!(
            "mkdir -p {CHECKOUT}/target/packages\n\
             cp /trial/share.c {CHECKOUT}/program.c\n\
             {copies}{}",
            readme::script(CHECKOUT, &commands)
        ))
    }

    /// What a booted machine runs to see that the device works.
    pub(crate) fn device_script(&self) -> String {
        let module = if self.release.has_own_driver() { "kernel" } else { self.version.as_str() };
        format!("version={module}\n{DEVICE}")
    }

    /// The first kernel; then, when it was tried, a second is installed, whose installation builds
    /// the module for it.
    fn kernels_after_another<'a>(
        &self,
        machine: &'a Machine,
    ) -> Result<impl Iterator<Item = String> + 'a> {
        let first = machine.kernels()?;
        machine.must(&format!(
            "apt-get -q -o Dpkg::Use-Pty=0 install -y --no-install-recommends --no-download {}",
            self.release.second_kernel()
        ))?;
        let all = machine.kernels()?;
        if all.len() <= first.len() {
            bail!("no second kernel was installed: {all:?}");
        }
        Ok(all.into_iter())
    }

    /// Whether each kernel of the machine has the module of this version, or none where it has a
    /// driver of its own.
    pub(crate) fn expect_module(&self, machine: &Machine, version: &Version) -> Result<()> {
        for kernel in machine.kernels()? {
            let (is_ours, text) = has_module(machine, &kernel, version)?;
            if is_ours == self.release.has_own_driver() {
                bail!(
                    "kernel {kernel} of {} has this for ashmem_linux, not version {version}:\n\
                     {text}",
                    self.release
                );
            }
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        self.packages.iter().filter_map(|package| name_of(package)).collect()
    }
}

/// Whether DKMS has put the module of this version there for a kernel; and what modinfo says.
pub(crate) fn has_module(
    machine: &Machine,
    kernel: &str,
    version: &Version,
) -> Result<(bool, String)> {
    let text = machine.must(&format!(
        "modinfo -k {kernel} -F filename ashmem_linux; modinfo -k {kernel} -F version ashmem_linux"
    ))?;
    let is_there = text.contains("/updates/dkms/") && text.lines().nth(1) == Some(version.as_str());
    Ok((is_there, text))
}

/// The command that installs packages as a user would, from files.
pub(crate) fn install(packages: &[PathBuf]) -> String {
    let files = packages.iter().filter_map(|package| package.file_name());
    let files: Vec<_> = files.map(|name| format!("/trial/{}", name.to_string_lossy())).collect();
    format!("apt-get -q -o Dpkg::Use-Pty=0 install -y --no-install-recommends {}", files.join(" "))
}

/// What a machine's script said, if it ended well.
pub(crate) fn report(life: &Life) -> Result<&str> {
    match life.report.trim_end().strip_suffix("status 0") {
        Some(report) => Ok(report),
        None => {
            bail!(
                "its script said:\n{}\nthe console:\n{}",
                life.report,
                crate::util::process::tail(life.console.as_bytes())
            )
        }
    }
}

fn name_of(package: &Path) -> Option<String> {
    Some(package.file_name()?.to_string_lossy().split('_').next()?.to_owned())
}

/// Every file of the system that is not there to be written: no logs, no caches, no dpkg's own
/// notes.
pub(crate) fn files(machine: &Machine) -> Result<Vec<String>> {
    let list = machine.must(
        "find / -xdev \\( -path /proc -o -path /tmp -o -path /trial -o -path /var/cache -o -path \
         /var/log -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/systemd -o -path \
         /run \\) -prune -o -print",
    )?;
    Ok(list.lines().map(ToOwned::to_owned).collect())
}
