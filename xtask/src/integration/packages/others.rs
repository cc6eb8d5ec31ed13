// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packages of RPM and of Arch, as a release has them, in a real Debian's root: installed,
//! upgraded, downgraded, with an upgrade that fails, booted, removed. Debian's rpm, dnf and pacman
//! work on the root from outside, as an installer of their distributions does; DKMS, compiler and
//! kernel are Debian's.

use super::machine::Machine;
use super::release::Release;
use super::trial::{self, DEVICE, has_module, report};
use crate::build::stage::Version;
use crate::build::{dist, static_program};
use crate::debian::host;
use crate::integration::confined::selinux;
use crate::util::arch::Arch;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// A manager of packages that is not Debian's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    /// rpm and dnf: Fedora, openSUSE
    Rpm,
    /// Arch's
    Pacman,
}

impl Manager {
    /// Every one.
    pub(crate) const ALL: [Self; 2] = [Self::Rpm, Self::Pacman];

    /// As it is shown.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rpm => "RPM",
            Self::Pacman => "pacman",
        }
    }

    /// The package's word for the family, as `packaging/dkms/modules` knows it.
    const fn family(self) -> &'static str {
        match self {
            Self::Rpm => "rpm",
            Self::Pacman => "arch",
        }
    }

    /// Whether a package's script can refuse an installation.
    const fn may_refuse(self) -> bool {
        matches!(self, Self::Rpm)
    }

    fn packages(self, version: &Version, folder: &Path) -> [PathBuf; 2] {
        match self {
            Self::Rpm => [
                format!("ashmem-{version}-1.x86_64.rpm"),
                format!("ashmem-dkms-{version}-1.noarch.rpm"),
            ],
            Self::Pacman => [
                format!("ashmem-{version}-1-x86_64.pkg.tar.zst"),
                format!("ashmem-dkms-{version}-1-any.pkg.tar.zst"),
            ],
        }
        .map(|name| folder.join(name))
    }

    /// What every script begins with: `install`, `only_files`, `remove`, `verify` and `has`, on the
    /// root where it stands. `$work` is a folder of this host's.
    fn prologue(self, work: &Path) -> String {
        let work = work.display();
        match self {
            Self::Rpm => format!(
                r#"work={work}
root=$PWD
# Debian's rpm warns of being used on a Debian.
rpm="rpm --force-debian --root=$root"
dnf="dnf --quiet --installroot=$root --config=$work/dnf.conf --releasever=1 --assumeyes"
# As one types it who has the files.
only_files() {{ $rpm --upgrade --oldpackage "$@"; }}
install() {{ $dnf install "$@"; }}
remove() {{ $dnf remove ashmem ashmem-dkms; }}
verify() {{ $rpm --verify ashmem ashmem-dkms; }}
has() {{ $rpm --query --queryformat '%{{version}}' "$1"; }}
"#
            ),
            Self::Pacman => format!(
                r#"work={work}
root=$PWD
mkdir -p "$root/var/lib/pacman"
pacman="pacman --root $root --config $work/pacman.conf --noconfirm"
# What the root has of Debian's.
debians="--assume-installed dkms=3 --assume-installed gcc=12 --assume-installed make=4
	--assume-installed kmod=30"
only_files() {{ $pacman --upgrade $debians "$@"; }}
install() {{ $pacman --upgrade $debians "$@"; }}
remove() {{ $pacman --remove ashmem ashmem-dkms; }}
verify() {{ [ "$($pacman --query --check --check ashmem ashmem-dkms 2>&1 |
	grep -c '0 altered files')" = 2 ]; }}
has() {{ $pacman --query "$1" | sed 's/.* //; s/-1$//'; }}
"#
            ),
        }
    }
}

/// Where an attempt is made, and with what.
struct Attempt {
    manager: Manager,
    machine: Machine,
    version: Version,
    packages: [PathBuf; 2],
    before: [PathBuf; 2],
    version_before: Version,
}

/// The packages' whole life; what was seen, in one line. `built`: of the release that was made
/// last.
pub(crate) fn run(release: Release, manager: Manager, built: bool) -> Result<String> {
    host::ensure_for_release()?;
    let version = Version::of_this_tree()?;
    let version_before: Version =
        format!("0.0.1~before.{version}").parse().map_err(anyhow::Error::msg)?;
    let _lock = built.then(dist::lock).transpose()?;
    let folder = if built { dist::made_before(&version) } else { dist::made_once(&version) }?;
    let folder_before = dist::other_version(&version_before, built)?;
    let machine = Machine::new(Arch::X86_64, release, manager.family())?;
    let conformance = "ashmem-conformance";
    machine.give(&static_program::build_for(Arch::X86_64, conformance, conformance)?)?;
    let attempt = Attempt {
        manager,
        machine,
        packages: manager.packages(&version, &folder),
        before: manager.packages(&version_before, &folder_before),
        version,
        version_before,
    };
    attempt.prepare()?;
    attempt.life().with_context(|| format!("with {}", manager.name()))
}

impl Attempt {
    /// Lays down what the manager reads, and tells RPM what the root has.
    fn prepare(&self) -> Result<()> {
        let work = self.machine.outside("work-of-manager");
        fs::create_dir_all(&work).with_context(|| format!("making {}", work.display()))?;
        let write = |name: &str, text: &str| {
            fs::write(work.join(name), text).with_context(|| format!("writing {name}"))
        };
        match self.manager {
            Manager::Pacman => write(
                "pacman.conf",
                "[options]\nArchitecture = x86_64\nSigLevel = Never\nLocalFileSigLevel = Never\n",
            ),
            Manager::Rpm => {
                let repository = work.join("repository");
                fs::create_dir_all(&repository).context("making a repository")?;
                for package in self.packages.iter().chain(&self.before) {
                    let name = package.file_name().context("a package has a name")?;
                    fs::copy(package, repository.join(name))
                        .with_context(|| format!("copying {}", package.display()))?;
                }
                // dnf takes the folders that it writes to below the root.
                write(
                    "dnf.conf",
                    &format!(
                        "[main]\ngpgcheck=0\nreposdir={work}\nvarsdir={work}\npluginpath={work}\n\
                         cachedir=/var/cache/dnf\nkeepcache=0\ninstall_weak_deps=0\n\
                         logdir=/var/log\n\
                         [ashmem]\nname=ashmem\nbaseurl=file://{repository}\n",
                        work = work.display(),
                        repository = repository.display()
                    ),
                )?;
                // What Debian has is no package of RPM's.
                write(
                    "debian-root.spec",
                    "Name: debian-root\nVersion: 1\nRelease: 1\nSummary: Debian's packages\n\
                     License: MIT\nBuildArch: noarch\nProvides: dkms gcc make kmod /bin/sh\n\
                     %description\nDebian's packages.\n%files\n",
                )?;
                self.must(
                    "rpmbuild -bb --quiet --nodeps --define \"_topdir $work/top\" \
                     \"$work/debian-root.spec\"\n\
                     createrepo_c --quiet \"$work/repository\"\n\
                     only_files \"$work\"/top/RPMS/noarch/debian-root-*.rpm",
                )
                .map(drop)
            }
        }
    }

    /// The package of SELinux's policy, which lies beside the others.
    fn policy(&self) -> PathBuf {
        self.packages[0].with_file_name(format!("ashmem-selinux-{}-1.noarch.rpm", self.version))
    }

    fn life(&self) -> Result<String> {
        let machine = &self.machine;
        let untouched = trial::files(machine)?;
        let (new, before) = (words(&self.packages), words(&self.before));

        self.must(&format!("only_files {before}\nverify"))?;
        self.expect(&self.version_before)
            .context("after the installation of the version before")?;
        // Unlike files, a repository is asked for the newest.
        let newest = match self.manager {
            Manager::Rpm => "ashmem ashmem-dkms",
            Manager::Pacman => &new,
        };
        self.must(&match self.manager {
            Manager::Rpm => "$dnf upgrade\nverify".to_owned(),
            Manager::Pacman => format!("install {newest}\nverify"),
        })?;
        self.expect(&self.version).context("after the upgrade")?;
        self.must(&format!("only_files {before}\nverify"))?;
        self.expect(&self.version_before).context("after the downgrade")?;

        self.failing_upgrade(&new)?;

        self.must("remove")?;
        self.expect_nothing(&untouched).context("after the removal")?;
        self.refusal(&new)?;
        self.must(&format!("install {newest}\nverify"))?;
        self.expect(&self.version).context("after the second installation")?;
        let kernel = machine.kernels()?.into_iter().next().context("the machine has no kernel")?;
        let life = machine.boot(&kernel, &format!("version={}\n{DEVICE}", self.version))?;
        report(&life).with_context(|| format!("booting {kernel}"))?;
        self.must("remove")?;
        self.expect_nothing(&untouched).context("after the last removal")?;
        let policy = match self.manager {
            Manager::Rpm => format!("; {}", selinux::packaged(&self.policy())?),
            Manager::Pacman => String::new(),
        };
        Ok(format!(
            "installed, upgraded, downgraded; an upgrade without a compiler kept the module in \
             place; {kernel} booted in {:.0} s; removed without a trace{policy}",
            life.time.as_secs_f64()
        ))
    }

    /// Without a compiler that works the module of the version before stays, and the package says
    /// what to type; which then does it.
    fn failing_upgrade(&self, new: &str) -> Result<()> {
        let machine = &self.machine;
        let again = format!("/usr/lib/ashmem-dkms/modules install {}", self.manager.family());
        machine.must("for gcc in /usr/bin/gcc-*[0-9]; do mv $gcc $gcc.away; done")?;
        // Both managers end well where a script fails that comes after the files.
        let (said, _) = self.run(&format!("only_files {new}"))?;
        machine.must("for gcc in /usr/bin/gcc-*[0-9].away; do mv $gcc ${gcc%.away}; done")?;
        let is_told = said.contains(&format!("Then: {again}")) && said.contains("stays in place");
        if !is_told {
            bail!("an upgrade without a compiler said:\n{said}");
        }
        self.expect_modules(&self.version_before).context("after an upgrade without a compiler")?;
        machine.must(&again)?;
        self.expect(&self.version).context("after the upgrade was done again")
    }

    /// What `ashmem module install` put there is not installed over.
    fn refusal(&self, new: &str) -> Result<()> {
        let machine = &self.machine;
        machine.must(
            "mkdir -p /var/lib/ashmem/module && touch /var/lib/ashmem/module/manifest.json\n\
             for folder in /lib/modules/*; do\n\
             mkdir -p $folder/updates && echo others >$folder/updates/ashmem_linux.ko\n\
             done",
        )?;
        // dnf shows nothing of what a script says.
        let (said, ended_well) = self.run(&format!("only_files {new}"))?;
        let is_told = said.contains("one of both is enough: ashmem module remove");
        if !is_told || (ended_well && self.manager.may_refuse()) {
            bail!("over `ashmem module install` it ended well ({ended_well}) and said:\n{said}");
        }
        // RPM installed the program alone, pacman the files of both.
        self.must("remove || true")?;
        machine
            .must(
                "if find /lib/modules -name 'ashmem_linux.ko*' -path '*dkms*' | grep .\n\
             then exit 1; fi\n\
             for folder in /lib/modules/*; do\n\
             [ \"$(cat $folder/updates/ashmem_linux.ko)\" = others ]\n\
             rm -r $folder/updates\n\
             done\n\
             rm -r /var/lib/ashmem",
            )
            .map(drop)
    }

    /// Whether both packages and every kernel's module are of this version.
    fn expect(&self, version: &Version) -> Result<()> {
        let said = self.must("has ashmem; echo; has ashmem-dkms; echo")?;
        let versions: Vec<_> = said.split_whitespace().collect();
        if versions != [version.as_str(); 2] {
            bail!("the packages are {versions:?}, not {version}");
        }
        self.expect_modules(version)?;
        let told = self.machine.must("ashmem --version")?;
        if !told.starts_with("ashmem ") {
            bail!("`ashmem --version` says {told}");
        }
        Ok(())
    }

    fn expect_modules(&self, version: &Version) -> Result<()> {
        for kernel in self.machine.kernels()? {
            let (is_there, text) = has_module(&self.machine, &kernel, version)?;
            if !is_there {
                bail!("{kernel} has this for ashmem_linux, not version {version}:\n{text}");
            }
        }
        Ok(())
    }

    fn expect_nothing(&self, untouched: &[String]) -> Result<()> {
        self.machine.must("if grep ashmem_linux /lib/modules/*/modules.dep; then exit 1; fi")?;
        let left = trial::files(&self.machine)?;
        let ours: Vec<_> = left
            .iter()
            .filter(|file| file.contains("ashmem") && !untouched.contains(file))
            .collect();
        if !ours.is_empty() {
            bail!("there is still {ours:?}");
        }
        Ok(())
    }

    fn run(&self, script: &str) -> Result<(String, bool)> {
        let prologue = self.manager.prologue(&self.machine.outside("work-of-manager"));
        self.machine.run_from_host(&format!("{prologue}{script}"))
    }

    fn must(&self, script: &str) -> Result<String> {
        let (text, ended_well) = self.run(script)?;
        if !ended_well {
            bail!("this failed:\n{script}\nit printed:\n{text}");
        }
        Ok(text)
    }
}

fn words(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" ")
}
