// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an installation will do on this machine, or what stands in its way.

use ashmem_doctor::distribution::Distribution;
use ashmem_doctor::kernel_release;
use ashmem_doctor::module_file::ModuleFile;

use crate::kernel::{KernelLack, TargetKernel};
use crate::machine::TargetMachine;
use crate::manifest::{BuildWay, InstallManifest};
use crate::refusal::{Error, InstallRefusal};
use crate::signing::{self, SigningPair};
use crate::source::{self, NAME, VERSION};
use crate::{dkms, hooks, kernel_index, obstacles};

/// What somebody asks for.
#[derive(Clone, Debug, Default)]
pub struct InstallRequest {
    /// The kernels; none named: each that is installed and has headers.
    pub kernels: Vec<String>,
    /// Kernels that are being removed, whatever of their files is there still: each loses its
    /// module.
    pub gone: Vec<String>,
    /// Whether to load the module and try the device.
    pub load: bool,
    /// Whether to do without DKMS where it is.
    pub without_dkms: bool,
    /// Whether a newer version may be replaced.
    pub downgrade: bool,
}

/// What will be done.
#[derive(Clone, Debug)]
pub struct InstallPlan {
    /// How the module is built and kept.
    pub way: BuildWay,
    /// The kernels that it is built for.
    pub kernels: Vec<TargetKernel>,
    /// Those that have this very build already.
    pub ready: Vec<String>,
    /// Those that had a module of an earlier installation and lose it: they went, or their headers.
    pub lost: Vec<String>,
    /// What there is to say of the others.
    pub notes: Vec<String>,
    /// The installation before.
    pub old: Option<InstallManifest>,
    /// What modules are signed with, where kbuild builds them; DKMS has its own key.
    pub key: Option<SigningPair>,
    /// Whether the module will be loaded.
    pub load: bool,
    /// Whether the running kernel is among those that will have it.
    pub is_for_running: bool,
}

impl InstallPlan {
    /// Looks at the machine. Nothing is changed.
    ///
    /// # Errors
    /// [`Error::Refused`] with what stands in the way.
    pub fn make(machine: &TargetMachine, request: &InstallRequest) -> Result<Self, Error> {
        let host = &machine.host;
        let mut installed = kernel_release::installed(host);
        installed.retain(|release| !request.gone.contains(release));
        // Where the running kernel is not installed, as in a chroot or once its package was
        // replaced, there is no module to load.
        let running =
            Some(host.kernel()).filter(|release| machine.is_live && installed.contains(release));
        let may_load = request.load && running.is_some();
        obstacles::system(machine, may_load || (request.load && installed.is_empty()))?;
        let old = InstallManifest::read(machine)?;
        obstacles::owners(host, old.as_ref())?;
        let way = way(machine, request, old.as_ref())?;
        allow_version(way, request, old.as_ref())?;

        let mut wanted = wanted(&installed, request)?;
        let is_same =
            |old: &&InstallManifest| old.version == VERSION && old.source == source::digest();
        if let Some(old) = old.as_ref().filter(|old| !is_same(old)) {
            // Two versions at once are one too many.
            wanted.extend(installed.iter().filter(|one| old.kernels.contains(one)).cloned());
            wanted.sort_by(|one, other| kernel_release::compare(one, other));
            wanted.dedup();
        }
        let essential = running.clone().filter(|_| may_load);
        let mut plan = Self {
            way,
            kernels: Vec::new(),
            ready: Vec::new(),
            lost: Vec::new(),
            notes: Vec::new(),
            key: signing::pair(host).filter(|_| way == BuildWay::Kbuild),
            load: may_load,
            is_for_running: false,
            old,
        };
        let mut lacking = None;
        for release in wanted {
            match TargetKernel::read(host, &release) {
                Ok(_) if plan.is_ready(machine, &release) => plan.ready.push(release),
                Ok(kernel) => {
                    obstacles::other_module(host, &release, plan.old.as_ref())?;
                    plan.kernels.push(kernel);
                }
                Err(lack) => {
                    let refusal = refusal(machine, &release, lack);
                    let is_essential =
                        request.kernels.contains(&release) || essential.as_ref() == Some(&release);
                    if is_essential && lack != KernelLack::HasOwnDriver {
                        return Err(refusal.into());
                    }
                    plan.notes.push(refusal.what.clone());
                    if lack == KernelLack::NoHeaders {
                        plan.notes.extend(refusal.next.iter().map(|step| format!("    > {step}")));
                        lacking = Some(refusal);
                    }
                }
            }
        }
        if plan.kernels.is_empty()
            && plan.ready.is_empty()
            && let Some(refusal) = lacking
        {
            return Err(refusal.into());
        }
        plan.lost = plan.lost(&installed, is_same);
        plan.is_for_running = running.is_some_and(|running| {
            plan.ready.contains(&running)
                || plan.kernels.iter().any(|kernel| kernel.release == running)
        });
        if !plan.kernels.is_empty() {
            obstacles::places(machine, way)?;
            let has_objects = source::has_objects()
                .map_err(|error| Error::file("reading", std::path::Path::new(NAME), error))?;
            obstacles::tools(machine, way, has_objects, &plan.kernels)?;
        }
        if may_load && plan.is_for_running {
            obstacles::loading(host, way)?;
        }
        Ok(plan)
    }

    /// Whether a kernel has this very build.
    fn is_ready(&self, machine: &TargetMachine, release: &str) -> bool {
        let Some(old) = &self.old else { return false };
        if old.version != VERSION || old.source != source::digest() {
            return false;
        }
        let path = match self.way {
            // DKMS builds for kernels that come, and tells nobody.
            BuildWay::Dkms => dkms::module(machine, release),
            BuildWay::Kbuild => {
                let is_ours = old.kernels.iter().any(|known| known == release);
                Some(kernel_index::own_module(release)).filter(|_| is_ours)
            }
        };
        let file = path.and_then(|path| ModuleFile::read(&machine.host, &path).ok());
        file.is_some_and(|file| {
            file.built_for.as_deref() == Some(release) && file.version.as_deref() == Some(VERSION)
        })
    }

    fn lost(
        &self,
        installed: &[String],
        is_same: impl Fn(&&InstallManifest) -> bool,
    ) -> Vec<String> {
        let Some(old) = &self.old else { return Vec::new() };
        let is_old_build = !is_same(&old);
        let stays = |kernel: &&String| {
            self.ready.contains(kernel)
                || self.kernels.iter().any(|built| built.release == **kernel)
                || (!is_old_build && installed.contains(kernel))
        };
        old.kernels.iter().filter(|kernel| !stays(kernel)).cloned().collect()
    }

    /// Whether nothing has to be changed.
    pub fn is_done(&self) -> bool {
        self.kernels.is_empty() && self.lost.is_empty() && self.old.is_some()
    }

    /// What will be done, a line for each step.
    pub fn steps(&self, machine: &TargetMachine) -> Vec<String> {
        let mut steps = Vec::new();
        for kernel in &self.kernels {
            let by = match self.way {
                BuildWay::Dkms => "DKMS",
                BuildWay::Kbuild => "kbuild",
            };
            steps.push(format!(
                "build ashmem_linux {VERSION} for {} by {by} with {}",
                kernel.release, kernel.compiler
            ));
        }
        if !self.kernels.is_empty() && self.way == BuildWay::Dkms {
            steps.push(format!("register {} with DKMS", source::folder(VERSION)));
        }
        if let Some(key) = &self.key {
            steps.push(format!("sign it with {}", key.key));
        }
        steps.extend(self.ready.iter().map(|kernel| format!("{kernel} has it already")));
        steps.extend(self.lost.iter().map(|kernel| format!("forget {kernel}")));
        if self.way == BuildWay::Kbuild && !self.kernels.is_empty() {
            let hooks = hooks::paths(&machine.host);
            steps.extend(hooks.iter().map(|path| format!("write {path}, for later kernels")));
        }
        if self.load && self.is_for_running {
            steps.push("load it, and make a region on /dev/ashmem".to_owned());
        }
        steps
    }
}

fn way(
    machine: &TargetMachine,
    request: &InstallRequest,
    old: Option<&InstallManifest>,
) -> Result<BuildWay, InstallRefusal> {
    match old {
        Some(old) if old.way == BuildWay::Dkms && request.without_dkms => {
            Err(InstallRefusal::new("the module is here by DKMS")
                .next("sudo ashmem module remove")
                .next("sudo ashmem module install --without-dkms"))
        }
        Some(old) => Ok(old.way),
        None if !request.without_dkms && machine.host.program("dkms").is_some() => {
            Ok(BuildWay::Dkms)
        }
        None => Ok(BuildWay::Kbuild),
    }
}

fn allow_version(
    way: BuildWay,
    request: &InstallRequest,
    old: Option<&InstallManifest>,
) -> Result<(), InstallRefusal> {
    let Some(old) = old else { return Ok(()) };
    if kernel_release::compare(VERSION, &old.version).is_lt() && !request.downgrade {
        return Err(InstallRefusal::new(format!(
            "version {} of the module is installed, and this program has {VERSION}, which is older",
            old.version
        ))
        .next("sudo ashmem module install --downgrade   # if that is meant"));
    }
    if way == BuildWay::Dkms && old.version == VERSION && old.source != source::digest() {
        return Err(InstallRefusal::new(format!(
            "another build of version {VERSION} is installed, and DKMS tells builds by their \
             version"
        ))
        .next("sudo ashmem module remove")
        .next("sudo ashmem module install"));
    }
    Ok(())
}

fn wanted(installed: &[String], request: &InstallRequest) -> Result<Vec<String>, InstallRefusal> {
    if installed.is_empty() {
        return Err(InstallRefusal::new("no kernel is installed here (looked into /lib/modules)"));
    }
    if request.kernels.is_empty() {
        return Ok(installed.to_vec());
    }
    if let Some(unknown) = request.kernels.iter().find(|kernel| !installed.contains(kernel)) {
        return Err(InstallRefusal::new(format!("no kernel {unknown} is installed here"))
            .next(format!("# there are: {}", installed.join(", "))));
    }
    Ok(request.kernels.clone())
}

fn refusal(machine: &TargetMachine, release: &str, lack: KernelLack) -> InstallRefusal {
    match lack {
        KernelLack::HasOwnDriver => InstallRefusal::new(format!(
            "{release} has Android's own driver, which stays: nothing is built for it"
        )),
        KernelLack::TooOld => InstallRefusal::new(format!(
            "{release} is older than 5.10, which the module is made for"
        )),
        KernelLack::NoHeaders => InstallRefusal::new(format!(
            "{release} has no headers here, with which the module would be built for it"
        ))
        .next(Distribution::of(&machine.host).install_headers(release)),
    }
}
