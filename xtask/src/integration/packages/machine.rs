// SPDX-License-Identifier: MIT OR Apache-2.0
//! One Debian system to try packages in: the release's own below, everything that is written above
//! it, in a folder of its own. Commands run in a chroot; the system also boots, with its own kernel
//! and its own systemd, in QEMU.
//!
//! The two layers are joined in a mount namespace of each command: nothing stays mounted.

use super::release::Release;
use crate::debian::foreign::Foreign;
use crate::machine::Board;
use crate::machine::initramfs::Initramfs;
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Where a machine finds what it is given, and leaves what it has to say.
const EXCHANGE: &str = "trial";

/// Joins the layers, then goes on with the words after the four folders. $1 lower, $2 upper, $3
/// work, $4 the place.
const JOIN: &str = r#"set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" "$4"
place=$4; shift 4
cd "$place""#;

/// A system, gone with this value.
pub(crate) struct Machine {
    arch: Arch,
    lower: PathBuf,
    folder: PathBuf,
    _foreign: Foreign,
}

/// How a machine's life went.
pub(crate) struct Life {
    /// What the script printed, and its status on the last line.
    pub(crate) report: String,
    /// The kernel's and systemd's console.
    pub(crate) console: String,
    pub(crate) time: Duration,
}

impl Machine {
    /// A machine as the release brings it.
    pub(crate) fn new(arch: Arch, release: Release, name: &str) -> Result<Self> {
        let foreign = Foreign::ensure(arch)?;
        let lower = release.system(arch)?;
        sweep()?;
        let folder = workspace::cache("package-trials")?
            .join(format!("{release}-{name}-{}", std::process::id()));
        for layer in ["upper", "work", "place"] {
            fs::create_dir_all(folder.join(layer))
                .with_context(|| format!("making {}", folder.display()))?;
        }
        Ok(Self { arch, lower, folder, _foreign: foreign })
    }

    /// Copies a file of the host into the machine's `/trial`.
    pub(crate) fn give(&self, file: &Path) -> Result<()> {
        let name = file.file_name().with_context(|| format!("{} has no name", file.display()))?;
        let place = self.exchange()?.join(name);
        fs::copy(file, &place)
            .with_context(|| format!("copying {} into the machine", file.display()))?;
        Ok(())
    }

    /// What a file of the machine holds.
    pub(crate) fn file(&self, path: &str) -> Result<Vec<u8>> {
        let upper = self.folder.join("upper");
        // What is written to /lib lies in /usr/lib, and only the layer below has the link that says
        // so.
        let above = [upper.join(path), upper.join("usr").join(path)]
            .into_iter()
            .find(|above| above.exists());
        let file = above.unwrap_or_else(|| self.lower.join(path));
        fs::read(&file).with_context(|| format!("reading {}", file.display()))
    }

    /// A place of this host's for something that belongs to the machine and does not lie in it.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Runs a script as root in a chroot; both of its outputs as one text, and whether it ended
    /// well.
    pub(crate) fn run(&self, script: &str) -> Result<(String, bool)> {
        let chroot = r#"mount -t proc proc proc
exec chroot . sh -ec "$1""#;
        let mut command = self.joined(chroot, &["--pid", "--fork", "--kill-child"]);
        command.arg(script).env("DEBIAN_FRONTEND", "noninteractive");
        let (text, status) = process::capture_both(&mut command)?;
        Ok((text, status.success()))
    }

    /// As [`Self::run`], for a script that must end well.
    pub(crate) fn must(&self, script: &str) -> Result<String> {
        let (text, ended_well) = self.run(script)?;
        if !ended_well {
            bail!("in the machine, this failed:\n{script}\nit printed:\n{text}");
        }
        Ok(text)
    }

    /// Runs a script of this host's own programs as root, which stands in the machine's root: the
    /// machine has no package manager but Debian's. Both outputs, and whether it ended well.
    pub(crate) fn run_from_host(&self, script: &str) -> Result<(String, bool)> {
        let there = r#"mount -t proc proc proc
exec sh -ec "$1""#;
        let mut command = self.joined(there, &["--pid", "--fork", "--kill-child"]);
        let (text, status) = process::capture_both(command.arg(script))?;
        Ok((text, status.success()))
    }

    /// The kernels installed, oldest first.
    pub(crate) fn kernels(&self) -> Result<Vec<String>> {
        let list = self.must("ls -v /boot | sed -n 's/^vmlinuz-//p'")?;
        Ok(list.lines().map(ToOwned::to_owned).collect())
    }

    /// Boots one of its kernels with the machine's own systemd, which runs the script when
    /// everything else has started.
    pub(crate) fn boot(&self, kernel: &str, script: &str) -> Result<Life> {
        self.boot_with(kernel, script, &[])
    }

    /// As [`Self::boot`], by a UEFI firmware with these variables.
    pub(crate) fn boot_by_firmware(
        &self,
        kernel: &str,
        script: &str,
        variables: &Path,
    ) -> Result<Life> {
        let drives = [
            "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd".to_owned(),
            format!("if=pflash,format=raw,file={}", variables.display()),
        ];
        self.boot_with(kernel, script, &drives)
    }

    fn boot_with(&self, kernel: &str, script: &str, drives: &[String]) -> Result<Life> {
        // Idle: after every job of the boot.
        const UNIT: &str = "[Unit]\n\
                            Description=A trial of packages\n\
                            \n\
                            [Service]\n\
                            Type=idle\n\
                            ExecStart=/bin/sh /trial/life\n";
        let units = self.upper("etc/systemd/system")?;
        fs::write(units.join("trial.service"), UNIT).context("writing the trial's unit")?;
        // A journal on a disk of this kind takes minutes to begin.
        fs::write(
            self.upper("etc/systemd/journald.conf.d")?.join("trial.conf"),
            "[Journal]\nStorage=volatile\n",
        )
        .context("keeping the journal in memory")?;
        let wanted =
            self.upper("etc/systemd/system/multi-user.target.wants")?.join("trial.service");
        symlink("/etc/systemd/system/trial.service", &wanted)
            .context("having the trial's unit started")?;
        let life = self.start(kernel, script, "", drives);
        fs::remove_file(units.join("trial.service")).context("removing the trial's unit")?;
        fs::remove_file(wanted).context("removing the trial's unit")?;
        life
    }

    /// Boots one of its kernels with the script for init: no systemd, no udev.
    pub(crate) fn boot_bare(&self, kernel: &str, script: &str) -> Result<Life> {
        let prologue =
            "mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev\n";
        self.start(kernel, &format!("{prologue}{script}"), "init=/trial/life", &[])
    }

    /// Starts QEMU, whose root is this machine's, and waits until it is off.
    fn start(
        &self,
        kernel: &str,
        script: &str,
        parameters: &str,
        drives: &[String],
    ) -> Result<Life> {
        const PATIENCE: Duration = Duration::from_secs(1800);
        let exchange = self.exchange()?;
        let life = format!(
            "#!/bin/sh\n\
             export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
             DEBIAN_FRONTEND=noninteractive\n\
             (\n\
             set -e\n\
             {script}\n\
             ) >/trial/report 2>&1\n\
             echo \"status $?\" >>/trial/report\n\
             sync\n\
             echo 1 >/proc/sys/kernel/sysrq; echo o >/proc/sysrq-trigger; sleep 60\n"
        );
        fs::write(exchange.join("life"), life).context("writing the machine's script")?;
        fs::set_permissions(exchange.join("life"), fs::Permissions::from_mode(0o755))
            .context("making it executable")?;
        let _ = fs::remove_file(exchange.join("report"));
        self.must(&format!("cp /boot/vmlinuz-{kernel} /trial/vmlinuz"))?;
        fs::write(self.outside("initramfs"), self.initramfs(kernel)?)
            .context("writing the initramfs")?;
        let board = Board::of(self.arch);
        // On a busy host systemd may give up before the script begins. The machine ends then, and
        // nobody waits for it until the timeout.
        let append = format!(
            "console={} panic=-1 quiet systemd.show_status=1 systemd.crash_reboot=1 \
             net.ifnames=0 {parameters}",
            board.port
        );
        let mut command = self.joined(r#"exec timeout "$@""#, &[]);
        command.arg(PATIENCE.as_secs().to_string()).arg(self.arch.emulator()).args([
            "-machine",
            board.name,
            "-cpu",
            board.processor,
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
            "-m",
            "1024",
            "-smp",
            "2",
            "-accel",
            "tcg,thread=multi",
            "-serial",
            "stdio",
            "-kernel",
            "trial/vmlinuz",
            "-append",
            &append,
        ]);
        command.arg("-initrd").arg(self.outside("initramfs"));
        command.args(drives.iter().flat_map(|drive| ["-drive", drive]));
        command.args([
            "-virtfs",
            "local,path=.,mount_tag=root,security_model=passthrough,multidevs=remap",
        ]);
        let started = Instant::now();
        let (console, _) = process::capture_both(&mut command)?;
        let report = fs::read_to_string(exchange.join("report")).unwrap_or_default();
        Ok(Life { report, console, time: started.elapsed() })
    }

    /// The machine's root is on this host's disk: an initramfs that mounts it and goes there,
    /// whatever the distribution's own would do for a disk.
    fn initramfs(&self, kernel: &str) -> Result<Vec<u8>> {
        const INIT: &str = "#!/bin/sh
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
for module in $(cat /modules); do insmod $module; done
mount -t proc proc /proc
mkdir -p /new
mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,msize=512000 root /new
init=/sbin/init
for word in $(cat /proc/cmdline); do case $word in init=*) init=${word#init=} ;; esac; done
umount /proc
exec switch_root /new $init
";
        let listed = self.must(&format!(
            "for name in virtio_pci 9pnet_virtio 9p; do modprobe -S {kernel} --show-depends $name; \
             done | sed -n 's/^insmod //p'"
        ))?;
        let mut initramfs = Initramfs::bare(INIT.as_bytes())?;
        let busybox = self.file("usr/bin/busybox").or_else(|_| self.file("bin/busybox"))?;
        for tool in ["sh", "insmod", "mount", "umount", "mkdir", "cat", "switch_root"] {
            initramfs.bytes(&format!("/bin/{tool}"), 0o755, &busybox)?;
        }
        let mut modules = Vec::new();
        for file in listed.lines() {
            let file = file.trim();
            let place = file.trim_end_matches(".xz").trim_end_matches(".zst");
            if modules.contains(&place.to_owned()) {
                continue;
            }
            initramfs.bytes(place, 0o644, &self.decompressed(file)?)?;
            modules.push(place.to_owned());
        }
        initramfs.bytes("/modules", 0o644, modules.join("\n").as_bytes())?;
        initramfs.close()
    }

    fn decompressed(&self, file: &str) -> Result<Vec<u8>> {
        let bytes = self.file(file.trim_start_matches('/'))?;
        let program = match file.rsplit_once('.') {
            Some((_, "xz")) => "xz",
            Some((_, "zst")) => "zstd",
            _ => return Ok(bytes),
        };
        let packed = self.outside("packed");
        fs::write(&packed, bytes).with_context(|| format!("writing {}", packed.display()))?;
        let output = Command::new(program).arg("-dcq").stdin(fs::File::open(&packed)?).output();
        let output = output.with_context(|| format!("decompressing {file}"))?;
        if !output.status.success() {
            bail!("{program} could not decompress {file}:\n{}", process::tail(&output.stderr));
        }
        Ok(output.stdout)
    }

    /// A shell that has joined the layers and stands in the root, then runs `then` with whatever
    /// arguments are added.
    fn joined(&self, then: &str, unshare: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]).args(unshare);
        command.args(["sh", "-c", &format!("{JOIN}\n{then}"), "join"]).arg(&self.lower);
        command.args(["upper", "work", "place"].map(|layer| self.folder.join(layer)));
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LC_ALL", "C.UTF-8");
        command
    }

    fn exchange(&self) -> Result<PathBuf> {
        self.upper(EXCHANGE)
    }

    /// A folder of the machine's, made if need be.
    fn upper(&self, folder: &str) -> Result<PathBuf> {
        let folder = self.folder.join("upper").join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(folder)
    }
}

/// Removes what runs of xtask that were killed left.
fn sweep() -> Result<()> {
    let trials = workspace::cache("package-trials")?;
    for entry in
        fs::read_dir(&trials).with_context(|| format!("listing {}", trials.display()))?.flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.rsplit_once('-').map_or("", |(_, process)| process);
        if !Path::new("/proc").join(process).exists() {
            fs::remove_dir_all(entry.path()).with_context(|| format!("removing {name}"))?;
        }
    }
    Ok(())
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next machine.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
