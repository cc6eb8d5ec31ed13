// SPDX-License-Identifier: MIT OR Apache-2.0
//! One copy of the root file system: what is written goes into a folder of its own, gone with this
//! value. Programs run in it in namespaces of their own, or it is booted in QEMU, which has it by
//! 9p.

use super::{images, root};
use crate::build::static_program;
use crate::debian::kernel::Kernel;
use crate::machine;
use crate::machine::initramfs::Initramfs;
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Joins the layers in a mount namespace. $1 lower, $2 the folder with the others; then the words
/// of the command.
const JOIN: &str = r#"set -e
cd "$2"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" place
shift 2
cd place
"#;

/// Enters with a network, processes and file systems of its own: nothing of this machine is
/// changed, all ends with it.
const ENTER: &str = r#"mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount --rbind /dev dev
for place in run tmp var/lib/waydroid; do mkdir -p $place; mount -t tmpfs tmpfs $place; done
mkdir -p .old
pivot_root . .old
umount -l /.old
ip link set lo up
exec timeout 120 python3 "$@""#;

/// The first process of the booted machine: goes on with the root that lies on this host.
const INIT: &str = "#!/bin/sh
for module in $(cat /modules); do insmod $module; done
mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,msize=512000 root /new
exec switch_root /new /sbin/init
";

/// A unit of the machine's own, after everything else has started; then the machine goes off at
/// once.
const UNIT: &str = "[Unit]
Description=What is tried with Waydroid
After=waydroid-container.service dbus.service
[Service]
Type=idle
Environment=PYTHONPATH=/trial PYTHONUNBUFFERED=1
ExecStart=/bin/sh -c 'python3 /trial/script.py >/trial/report 2>&1; \
echo status $? >>/trial/report; sync; echo o >/proc/sysrq-trigger'
";

/// A boot that does what a trial needs: nothing is updated, and no timer's housekeeping falls into
/// it.
const PARAMETERS: &str = "console=ttyS0 panic=-1 oops=panic quiet systemd.show_status=1 \
                          net.ifnames=0 systemd.condition_needs_update=no \
                          systemd.mask=timers.target systemd.mask=lxc.service \
                          systemd.mask=lxc-net.service systemd.mask=lxc-monitord.service \
                          systemd.default_timeout_start_sec=600";

/// What Waydroid's network, container and images want of the kernel.
const MODULES: [&str; 18] = [
    "binder_linux",
    "bridge",
    "ext4",
    "loop",
    "nf_nat",
    "nf_tables",
    "nft_chain_nat",
    "nft_compat",
    "nft_counter",
    "nft_ct",
    "nft_masq",
    "overlay",
    "tun",
    "veth",
    "fuse",
    "autofs4",
    "xt_CHECKSUM",
    "configfs",
];
/// What the boot wants.
const BOOT_MODULES: [&str; 3] = ["virtio_pci", "9pnet_virtio", "9p"];

pub(super) struct System {
    lower: PathBuf,
    folder: PathBuf,
}

impl System {
    /// With our programs, and Waydroid's images where it looks for preinstalled ones.
    pub(super) fn new(name: &str) -> Result<Self> {
        let lower = root::ensure()?;
        let folder = workspace::cache("waydroid")?.join(format!("{name}-{}", std::process::id()));
        for layer in ["upper/trial", "work", "place"] {
            fs::create_dir_all(folder.join(layer))
                .with_context(|| format!("making {}", folder.display()))?;
        }
        let system = Self { lower, folder };
        let source = workspace::root();
        system.give(
            &static_program::build_named("ashmem-cli", "ashmem")?,
            "usr/bin/ashmem",
            0o755,
        )?;
        let lxc_start = source.join("packaging/waydroid/lxc-start");
        system.give(&lxc_start, "usr/lib/ashmem/waydroid/lxc-start", 0o755)?;
        let join = static_program::build_small(Arch::X86_64, "ashmem-join")?;
        system.give(&join, "usr/lib/ashmem/ashmem-join", 0o755)?;
        for unit in ["ashmem-agent.service", "ashmem-agent.socket", "ashmem-join.socket"] {
            let place = format!("usr/lib/systemd/system/{unit}");
            system.give(&source.join("packaging/systemd").join(unit), &place, 0o644)?;
        }
        system.write("trial/waydroid_trial.py", include_str!("trial.py"))?;
        let client = static_program::build("ashmem-container-client")?;
        images::make(&system.folder.join("upper/etc/waydroid-extra/images"), &client)?;
        Ok(system)
    }

    /// Puts a file of this host into it.
    pub(super) fn give(&self, file: &Path, place: &str, mode: u32) -> Result<()> {
        let place = self.place(place)?;
        fs::copy(file, &place)
            .with_context(|| format!("copying {} to {}", file.display(), place.display()))?;
        fs::set_permissions(&place, fs::Permissions::from_mode(mode))
            .context("setting a file's mode")
    }

    fn write(&self, place: &str, text: &str) -> Result<()> {
        let place = self.place(place)?;
        fs::write(&place, text).with_context(|| format!("writing {}", place.display()))
    }

    fn place(&self, place: &str) -> Result<PathBuf> {
        let place = self.folder.join("upper").join(place);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        Ok(place)
    }

    /// Runs a script of Python in it, on this machine's kernel; what it said.
    pub(super) fn enter(&self, script: &str) -> Result<String> {
        self.write("trial/script.py", script)?;
        let isolated = ["--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child"];
        let mut command = self.joined(ENTER, &isolated);
        let (text, status) =
            process::capture_both(command.arg("/trial/script.py").env("PYTHONPATH", "/trial"))?;
        if !status.success() {
            bail!(
                "in Waydroid's root file system the script ended with {}:\n{text}",
                process::describe(status)
            );
        }
        Ok(text)
    }

    /// Gives it the modules of a kernel that Waydroid may ask for, with their index.
    pub(super) fn install_kernel(&self, kernel: &Kernel) -> Result<()> {
        let modules = format!("usr/lib/modules/{}", kernel.release);
        for name in MODULES {
            // What a kernel has built in, or has no more, is not asked for either.
            for file in kernel.module_files(name).unwrap_or_default() {
                let below = file
                    .strip_prefix(&kernel.modules)
                    .context("a module lies among its kernel's")?;
                self.give(&file, &format!("{modules}/{}", below.display()), 0o644)?;
            }
        }
        for list in ["modules.builtin", "modules.order", "modules.builtin.modinfo"] {
            self.give(&kernel.modules.join(list), &format!("{modules}/{list}"), 0o644)?;
        }
        let mut depmod = Command::new("depmod");
        depmod
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .arg("--basedir")
            .arg(self.folder.join("upper/usr"));
        process::capture(depmod.arg(&kernel.release))?;
        Ok(())
    }

    /// Mounts a small file system of its own at a place, at each boot: Waydroid's overlays want one
    /// that keeps attributes.
    pub(super) fn give_disk(&self, place: &str, mebibytes: u64) -> Result<()> {
        let disk = self.place("trial/disk")?;
        images::empty(&disk, mebibytes)?;
        fs::create_dir_all(self.place(place)?).with_context(|| format!("making {place}"))?;
        self.write("etc/fstab", &format!("/trial/disk /{place} ext4 loop 0 0\n"))
    }

    /// Boots it with its own systemd, which runs the script of Python with one argument; what that
    /// said.
    pub(super) fn boot(&self, kernel: &Kernel, script: &str, argument: &str) -> Result<String> {
        self.write("trial/script.py", &script.replace("@BOOT@", argument))?;
        self.write("etc/systemd/system/trial.service", UNIT)?;
        let wanted = self.place("etc/systemd/system/multi-user.target.wants/trial.service")?;
        let _ = fs::remove_file(&wanted);
        symlink("../trial.service", &wanted).context("having the trial's unit started")?;
        let initramfs = self.folder.join("initramfs");
        fs::write(&initramfs, pack(kernel)?).context("writing the initramfs")?;
        let report = self.place("trial/report")?;
        let _ = fs::remove_file(&report);
        let mut command = self.joined("exec timeout 1800 \"$@\"", &[]);
        command.args([
            "qemu-system-x86_64",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ]);
        command.args([
            "-cpu",
            "max,la57=off",
            "-m",
            "1536",
            "-smp",
            "2",
            "-accel",
            "tcg,thread=multi",
        ]);
        command.args(["-serial", "stdio", "-append"]);
        command.arg(PARAMETERS);
        command.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(initramfs);
        command.args([
            "-virtfs",
            "local,path=.,mount_tag=root,security_model=passthrough,multidevs=remap",
        ]);
        let (console, _) = process::capture_both(&mut command)?;
        let said = fs::read_to_string(report).unwrap_or_default();
        match said.strip_suffix("status 0\n") {
            Some(said) => Ok(said.to_owned()),
            None => bail!(
                "boot {argument} failed; the script said:\n{said}\nthe console ends with:\n{}",
                process::tail(console.as_bytes())
            ),
        }
    }

    /// A shell that has joined the layers and stands in the root, then runs `then` with whatever
    /// arguments are added.
    fn joined(&self, then: &str, namespaces: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]).args(namespaces);
        command
            .args(["sh", "-c", &format!("{JOIN}{then}"), "join"])
            .arg(&self.lower)
            .arg(&self.folder);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LC_ALL", "C.UTF-8");
        command
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // What cannot be removed is a cache's dead weight.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// An initramfs that mounts the root and goes there.
fn pack(kernel: &Kernel) -> Result<Vec<u8>> {
    let mut initramfs = Initramfs::bare(INIT.as_bytes())?;
    initramfs.bytes("/new/.keep", 0o644, b"")?;
    for tool in ["cat", "insmod", "mount", "sh", "switch_root"] {
        initramfs.file(&format!("/bin/{tool}"), Path::new("/bin/busybox"))?;
    }
    let mut modules: Vec<String> = Vec::new();
    for name in BOOT_MODULES {
        for file in kernel.module_files(name)? {
            let name = file
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            if !modules.iter().any(|known| known.ends_with(name.trim_end_matches(".xz"))) {
                modules.push(machine::put_module(&mut initramfs, &file, "")?.path);
            }
        }
    }
    initramfs.bytes("/modules", 0o644, modules.join("\n").as_bytes())?;
    initramfs.close()
}
