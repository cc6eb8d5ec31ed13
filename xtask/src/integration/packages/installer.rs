// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem module install` and `remove` in a real Debian: by DKMS and by kbuild, with a second
//! kernel coming and going, booted, interrupted, without space, over an earlier version; called by
//! other distributions' hooks; and in a booted system that has of Alpine's what Debian can have.

use super::machine::Machine;
use super::release::Release;
use super::trial::{files, report};
use crate::build::distributed::{self, Linkage};
use crate::build::stage::Version;
use crate::build::static_program;
use crate::debian::host;
use crate::util::arch::Arch;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// An attempt by name.
type Attempt = (&'static str, fn(&Installer) -> Result<String>);

/// In the order they are made, all on one machine; each leaves it as it was.
const ATTEMPTS: &[Attempt] = &[
    ("DKMS", by_dkms),
    ("kbuild", by_kbuild),
    ("stopped", stopped),
    ("killed", killed),
    ("a full disk", full_disk),
    ("a kernel of trimmed symbols", trimmed),
    ("an upgrade that fails", failing_upgrade),
    ("other owners", other_owners),
    ("a read-only /etc", read_only),
    ("kernel-install", by_kernel_install),
    ("the hooks of pacman, apk and Void", by_other_hooks),
    ("a system like Alpine", without_systemd),
];

/// What a shell needs in every script: the program, a list of all that could be changed, the first
/// kernel.
const PROLOGUE: &str = r#"install="/trial/ashmem module install"
remove="/trial/ashmem module remove"
everything() {
	find / -xdev \( -path /proc -o -path /tmp -o -path /trial -o -path /var/cache \
		-o -path /var/log -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /run \
		-o -path '/var/lib/dkms/mok.*' -o -name 'modules.*.bin' -o -name modules.dep \
		-o -name modules.symbols -o -name modules.alias -o -name modules.softdep \
		-o -name modules.devname \) -prune \
		-o \( -type f -printf '%p %s\n' -o -printf '%p\n' \)
}
kernels() { ls -v /boot | sed -n 's/^vmlinuz-//p'; }
kernel=$(kernels | head -n 1)
# Runs its words; then how long that took.
timed() {
	begin=$(date +%s%N)
	"$@"
	echo "took $(( ($(date +%s%N) - begin) / 1000000 )) ms"
}
# Until a build is in its midst, by either way; it fails if the program ended before.
in_its_midst() {
	until find /var/lib/dkms/ashmem-linux /var/lib/ashmem/module/build -path '*/glue/*.o' \
		2>/dev/null | grep -q .; do
		kill -0 "$1"
		sleep 0.1
	done
}
# Debian's own ways to be called when a kernel comes: taken away, and given back.
hide_debians() {
	mkdir /tmp/debians
	for way in postinst.d postrm.d header_postinst.d; do
		[ ! -e /etc/kernel/$way ] || mv /etc/kernel/$way /tmp/debians
	done
}
show_debians() { mv /tmp/debians/* /etc/kernel; rmdir /tmp/debians; }
"#;

/// What Alpine has and Debian's system can have, before the script: busybox for the shell and every
/// small tool but kmod's, no DKMS, no udev, and Alpine's name.
const ALPINE: &str = r#"mkdir /trial/small
busybox --install -s /trial/small
for tool in depmod insmod lsmod modinfo modprobe rmmod; do rm -f /trial/small/$tool; done
export PATH=/trial/small:$PATH
mount --bind "$(readlink -f /bin/busybox)" "$(readlink -f /bin/sh)"
printf 'ID=alpine\nVERSION_ID=3.22.0\nPRETTY_NAME="Alpine Linux"\n' >/trial/os-release
mount --bind /trial/os-release "$(readlink -f /etc/os-release)"
mv /usr/sbin/dkms /usr/sbin/dkms.away
mkdir /etc/apk
"#;

struct Installer {
    machine: Machine,
    release: Release,
    version: Version,
}

/// Makes every attempt; what was seen, in one line.
pub(crate) fn run(release: Release) -> Result<String> {
    host::ensure_for_release()?;
    let machine = Machine::new(Arch::X86_64, release, "installer")?;
    // Stripped, as a release has it.
    let program = machine.outside("ashmem");
    let whole = distributed::build(Arch::X86_64, Linkage::Static)?;
    distributed::part(Arch::X86_64, &whole, &program)?;
    machine.give(&program)?;
    let conformance = "ashmem-conformance";
    machine.give(&static_program::build_for(Arch::X86_64, conformance, conformance)?)?;
    machine.give(Path::new("/usr/bin/pacman"))?;
    let installer = Installer { machine, release, version: Version::of_this_tree()? };
    let mut seen = Vec::new();
    for (name, attempt) in ATTEMPTS {
        eprintln!("{release}: module install, {name} ...");
        let before = files(&installer.machine)?;
        let said = attempt(&installer).with_context(|| format!("with {name}"))?;
        let left: Vec<_> = files(&installer.machine)?
            .into_iter()
            .filter(|file| file.contains("ashmem") && !before.contains(file))
            .collect();
        if !left.is_empty() {
            bail!("after {name} there is still {left:?}");
        }
        let line = if said.is_empty() { (*name).to_owned() } else { format!("{name} ({said})") };
        eprintln!("{release}: module install, {line}: passed");
        seen.push(line);
    }
    Ok(seen.join(", "))
}

impl Installer {
    fn must(&self, script: &str) -> Result<String> {
        self.machine.must(&format!("{PROLOGUE}{script}"))
    }

    /// Runs a script that must say these words.
    fn expect(&self, script: &str, words: &[&str]) -> Result<String> {
        let said = self.must(script)?;
        for word in words {
            if !said.contains(word) {
                bail!("it does not say `{word}`:\n{said}");
            }
        }
        Ok(said)
    }

    /// Boots a kernel that has the module, where it is removed; how long that took, in words.
    fn boot_and_remove(&self, kernel: &str) -> Result<String> {
        let version = &self.version;
        let script = format!(
            "udevadm settle\n\
             [ \"$(cat /sys/module/ashmem_linux/version)\" = {version} ]\n\
             [ \"$(stat -c '%F %a' /dev/ashmem)\" = 'character special file 666' ]\n\
             [ \"$(readlink /dev/ashmem$(cat /proc/sys/kernel/random/boot_id))\" = ashmem ]\n\
             /trial/ashmem-conformance --provider module --filter 'open.*'\n\
             /trial/ashmem module status\n\
             /trial/ashmem module install\n\
             exec 3<>/dev/ashmem\n\
             /trial/ashmem module remove | grep 'stays loaded'\n\
             exec 3<&-\n\
             rmmod ashmem_linux || {{\n\
                 for fd in /proc/[0-9]*/fd/*; do\n\
                     [ \"$(readlink $fd)\" = /dev/ashmem ] || continue\n\
                     echo $fd: $(tr '\\0' ' ' <${{fd%/fd/*}}/cmdline) in \
                     $(cat ${{fd%/fd/*}}/cgroup), below $(grep PPid ${{fd%/fd/*}}/status)\n\
                 done\n\
                 exit 1\n\
             }}\n\
             [ ! -e /dev/ashmem ]"
        );
        let life = self.machine.boot(kernel, &script)?;
        report(&life).with_context(|| format!("booting {kernel} of {}", self.release))?;
        Ok(format!("{kernel} booted in {:.0} s", life.time.as_secs_f64()))
    }

    /// The command that brings the second kernel, whose files were fetched before.
    fn second_kernel(&self) -> String {
        format!(
            "apt-get -q -o Dpkg::Use-Pty=0 install -y --no-install-recommends --no-download {}",
            self.release.second_kernel()
        )
    }
}

/// What a script timed, in order.
fn times(said: &str) -> Vec<&str> {
    said.lines().filter_map(|line| line.strip_prefix("took ")).collect()
}

/// A second kernel comes, for which DKMS builds by itself.
fn by_dkms(installer: &Installer) -> Result<String> {
    let said = installer.expect(
        &format!(
            "$install --dry-run | grep 'by DKMS'\n\
             timed $install\n\
             [ \"$(modinfo -k $kernel -F version ashmem_linux)\" = {} ]\n\
             modinfo -k $kernel -F filename ashmem_linux | grep /updates/dkms/\n\
             /trial/ashmem module status\n\
             $install | grep 'has it already'\n\
             {}\n\
             dkms status\n\
             [ $(ls /lib/modules/*/updates/dkms/ashmem_linux.ko* | wc -l) = 2 ]\n\
             /trial/ashmem module status\n\
             [ $($install | grep -c 'has it already') = 2 ]",
            installer.version,
            installer.second_kernel()
        ),
        &["the module is installed"],
    )?;
    let kernels = installer.machine.kernels()?;
    let first = kernels.first().context("the machine has no kernel")?;
    let booted = installer.boot_and_remove(first)?;
    Ok(format!("{}, {booted}", times(&said).join(", ")))
}

/// The second kernel goes, and comes again: apt calls the hooks, which build for it. It is booted,
/// and goes once more.
fn by_kbuild(installer: &Installer) -> Result<String> {
    let second = "second=$(kernels | tail -n 1)\n";
    let purge = "apt-get -q -o Dpkg::Use-Pty=0 purge -y --autoremove \
                 linux-image-$second linux-headers-$second\n\
                 [ ! -e /lib/modules/$second/updates ]\n\
                 [ \"$(kernels)\" = $kernel ]\n";
    let said = installer.expect(
        &format!(
            "{second}{purge}\
             timed $install --without-dkms\n\
             [ -e /lib/modules/$kernel/updates/ashmem_linux.ko ]\n\
             [ ! -e /usr/src/ashmem-linux-{} ]\n\
             [ -n \"$(modinfo -k $kernel -F signer ashmem_linux)\" ]\n\
             {}\n\
             {second}[ $second != $kernel ]\n\
             [ -e /lib/modules/$second/updates/ashmem_linux.ko ]\n\
             [ \"$(modinfo -k $second -F vermagic ashmem_linux | cut -d ' ' -f 1)\" = $second ]\n\
             /trial/ashmem module status",
            installer.version,
            installer.second_kernel()
        ),
        &["the module is installed", "`ashmem module install`"],
    )?;
    let kernels = installer.machine.kernels()?;
    let last = kernels.last().context("the machine has no kernel")?;
    let booted = installer.boot_and_remove(last)?;
    installer.expect(
        &format!(
            "{second}[ $second != $kernel ]\n\
             $install --without-dkms\n\
             [ -e /lib/modules/$second/updates/ashmem_linux.ko ]\n\
             {purge}\
             [ -e /lib/modules/$kernel/updates/ashmem_linux.ko ]\n\
             /trial/ashmem module status\n\
             $remove"
        ),
        &["forgotten"],
    )?;
    Ok(format!("{}, {booted}, built for by apt's hook", times(&said).join(", ")))
}

/// systemd's kernel-install, which Fedora's and other kernels call, tells of a kernel that has come
/// and of one that goes, while its files are there.
fn by_kernel_install(installer: &Installer) -> Result<String> {
    let script = format!(
        "hide_debians\n\
         $install --without-dkms\n\
         [ -e /etc/kernel/install.d/55-ashmem-module.install ]\n\
         {}\n\
         second=$(kernels | tail -n 1); [ $second != $kernel ]\n\
         [ ! -e /lib/modules/$second/updates ]\n\
         kernel-install add $second /boot/vmlinuz-$second\n\
         [ \"$(modinfo -k $second -F vermagic ashmem_linux | cut -d ' ' -f 1)\" = $second ]\n\
         kernel-install remove $second\n\
         [ ! -e /lib/modules/$second/updates ]\n\
         [ -e /lib/modules/$kernel/updates/ashmem_linux.ko ]\n\
         apt-get -q -o Dpkg::Use-Pty=0 purge -y --autoremove linux-image-$second \
         linux-headers-$second\n\
         $remove\n\
         show_debians",
        installer.second_kernel()
    );
    installer.expect(&script, &["forgotten"])?;
    Ok("add and remove".to_owned())
}

/// A kernel that pacman brings and takes away, by Debian's pacman on the root from outside; then
/// the hooks of apk and of Void, which Debian has not, called as their manuals say.
fn by_other_hooks(installer: &Installer) -> Result<String> {
    let built = "[ -e /lib/modules/$second/updates/ashmem_linux.ko ]\n\
                 rm -r /lib/modules/$second/updates\n";
    installer.must(&format!(
        "cp /trial/pacman /usr/bin/pacman; echo '[options]' >/etc/pacman.conf\n\
         mkdir -p /etc/apk /etc/kernel.d/post-install /etc/kernel.d/post-remove\n\
         hide_debians\n\
         $install --without-dkms\n\
         {}\n\
         second=$(kernels | tail -n 1); [ $second != $kernel ]\n\
         hook=/etc/apk/commit_hooks.d/ashmem-module\n\
         busybox sh $hook pre-commit\n\
         [ ! -e /lib/modules/$second/updates ]\n\
         busybox sh $hook post-commit\n\
         {built}\
         /etc/kernel.d/post-install/55-ashmem-module linux6.12 $second\n\
         {built}",
        installer.second_kernel()
    ))?;
    let work = installer.machine.outside("pacman");
    fs::create_dir_all(&work).with_context(|| format!("making {}", work.display()))?;
    let options = "[options]\nArchitecture = x86_64\nSigLevel = Never\nLocalFileSigLevel = Never\n";
    fs::write(work.join("conf"), options).context("writing pacman's options")?;
    let pacman = format!(
        "work={}\n\
         second=$(ls -v boot | sed -n 's/^vmlinuz-//p' | tail -n 1)\n\
         pacman=\"pacman --root $PWD --hookdir $PWD/etc/pacman.d/hooks --config $work/conf \
         --noconfirm\"\n",
        work.display()
    );
    let from_host = |script: &str| -> Result<String> {
        let (said, ended_well) = installer.machine.run_from_host(&format!("{pacman}{script}"))?;
        if !ended_well || !said.contains("Building ashmem_linux for each kernel") {
            bail!("pacman, with its hook, said:\n{said}");
        }
        Ok(said)
    };
    from_host(
        "mkdir -p $work/package/usr/lib/modules/$second var/lib/pacman\n\
         cp boot/vmlinuz-$second $work/package/usr/lib/modules/$second/vmlinuz\n\
         printf 'pkgname = linux\\npkgver = 1-1\\narch = any\\n' >$work/package/.PKGINFO\n\
         (cd $work/package && bsdtar -caf ../linux-1-1-any.pkg.tar.zst .PKGINFO usr)\n\
         $pacman --upgrade --overwrite '*' $work/linux-1-1-any.pkg.tar.zst\n\
         [ -e lib/modules/$second/updates/ashmem_linux.ko ]",
    )?;
    installer.must(
        "second=$(kernels | tail -n 1); [ $second != $kernel ]\n\
         apt-get -q -o Dpkg::Use-Pty=0 purge -y --autoremove \
         linux-image-$second linux-headers-$second\n\
         [ -e /lib/modules/$second/updates/ashmem_linux.ko ]",
    )?;
    from_host(
        "image=$($pacman --query --list --quiet linux | grep '/vmlinuz$'); [ -e $image ]\n\
         $pacman --remove linux\n\
         [ ! -e $image ]",
    )?;
    installer.must(
        "[ \"$(ls /lib/modules/*/updates/ashmem_linux.ko)\" = \
         /lib/modules/$kernel/updates/ashmem_linux.ko ]\n\
         $remove\n\
         show_debians\n\
         rm -r /usr/bin/pacman /etc/pacman.conf /etc/apk /etc/kernel.d /var/lib/pacman",
    )?;
    Ok(String::new())
}

/// One command in a booted system gives the device, and another takes it away.
fn without_systemd(installer: &Installer) -> Result<String> {
    let kernels = installer.machine.kernels()?;
    let kernel = kernels.first().context("the machine has no kernel")?;
    let script = format!(
        "{ALPINE}\
         [ ! -e /dev/ashmem ]\n\
         begin=$(date +%s)\n\
         /trial/ashmem module install\n\
         echo \"took $(($(date +%s) - begin)) s\"\n\
         [ -x /etc/apk/commit_hooks.d/ashmem-module ]\n\
         [ \"$(cat /sys/module/ashmem_linux/version)\" = {} ]\n\
         /trial/ashmem-conformance --provider module --filter '{{open,size,mmap}}.*'\n\
         /trial/ashmem module status\n\
         /trial/ashmem module remove\n\
         [ ! -e /dev/ashmem ]\n\
         [ ! -e /etc/apk/commit_hooks.d/ashmem-module ]\n\
         mv /usr/sbin/dkms.away /usr/sbin/dkms\n\
         rm -r /trial/small /etc/apk",
        installer.version
    );
    let life = installer.machine.boot_bare(kernel, &script)?;
    report(&life).with_context(|| format!("booting {kernel} without systemd"))?;
    Ok(format!("{kernel}, built in the emulated machine: {}", times(&life.report).join(", ")))
}

/// Stopped by a signal in the middle of a build.
fn stopped(installer: &Installer) -> Result<String> {
    let script = "everything >/tmp/before\n\
         for way in '' --without-dkms; do\n\
         $install $way >/tmp/said 2>&1 & program=$!\n\
         in_its_midst $program\n\
         kill -TERM $program\n\
         if wait $program; then exit 1; fi\n\
         cat /tmp/said; grep -q interrupted /tmp/said\n\
         grep -q 'What was there before is in place again' /tmp/said\n\
         everything | diff /tmp/before -\n\
         done";
    installer.must(script)?;
    Ok(String::new())
}

/// Killed with all that it started, as by a loss of power: the program is the first process of a
/// namespace, with which the kernel ends every other one of it. What comes next undoes it first.
fn killed(installer: &Installer) -> Result<String> {
    let script = "everything >/tmp/before\n\
         for way in '' --without-dkms; do\n\
         unshare --pid --fork $install $way >/tmp/said 2>&1 & program=$!\n\
         in_its_midst $program\n\
         kill -KILL $(cat /proc/$program/task/$program/children)\n\
         if wait $program; then exit 1; fi\n\
         /trial/ashmem module status | grep 'was interrupted'\n\
         if $remove; then exit 1; fi\n\
         everything | diff /tmp/before -\n\
         done";
    installer.expect(script, &["has installed nothing here"])?;
    Ok(String::new())
}

/// No space from the beginning, and none in the middle.
fn full_disk(installer: &Installer) -> Result<String> {
    let script = "everything >/tmp/before\n\
         mount -t tmpfs -o size=4m tmpfs /mnt; mount --bind /mnt /var/lib\n\
         if $install --without-dkms; then exit 1; fi\n\
         umount /var/lib; umount /mnt\n\
         mkdir -p /var/lib/ashmem; mount -t tmpfs -o size=1m tmpfs /var/lib/ashmem\n\
         if $install --without-dkms; then exit 1; fi\n\
         ls -A /var/lib/ashmem\n\
         umount /var/lib/ashmem; rmdir /var/lib/ashmem\n\
         everything | diff /tmp/before -";
    installer.expect(script, &["MB are free in /var/lib", "No space left", "in place again"])?;
    Ok(String::new())
}

/// As a kernel with TRIM_UNUSED_KSYMS looks to a build: its list lacks a function.
fn trimmed(installer: &Installer) -> Result<String> {
    let script = "everything >/tmp/before\n\
         symbols=$(readlink -f /lib/modules/$kernel/build/Module.symvers)\n\
         grep -vw shmem_file_setup $symbols >/tmp/trimmed\n\
         mount --bind /tmp/trimmed $symbols\n\
         for way in '' --without-dkms; do\n\
         if $install $way >/tmp/said 2>&1; then exit 1; fi\n\
         cat /tmp/said; grep -q 'no shmem_file_setup: it was built with TRIM' /tmp/said\n\
         done\n\
         umount $symbols\n\
         everything | diff /tmp/before -";
    installer.expect(script, &["in place again"])?;
    Ok(String::new())
}

/// The module of the version before stays the kernel's own, to the byte, by either way.
fn failing_upgrade(installer: &Installer) -> Result<String> {
    let version = &installer.version;
    let script = format!(
        "older() {{ sed -i 's/\"version\": \"{version}\"/\"version\": \"0.0.1\"/; \
         s/ashmem-linux-{version}/ashmem-linux-0.0.1/' /var/lib/ashmem/module/manifest.json; }}\n\
         spoil() {{ printf '#!/bin/sh\\necho ld: no; exit 1\\n' >/tmp/bad; chmod +x /tmp/bad; \
         mount --bind /tmp/bad $(readlink -f /usr/bin/ld); }}\n\
         mend() {{ umount $(readlink -f /usr/bin/ld); }}\n\
         $install --kernel $kernel\n\
         dkms remove ashmem-linux/{version} --all\n\
         mv /usr/src/ashmem-linux-{version} /usr/src/ashmem-linux-0.0.1\n\
         echo 0.0.1 >/usr/src/ashmem-linux-0.0.1/VERSION\n\
         sed -i 's/{version}/0.0.1/' /usr/src/ashmem-linux-0.0.1/dkms.conf\n\
         dkms install ashmem-linux/0.0.1 -k $kernel; older\n\
         [ \"$(modinfo -k $kernel -F version ashmem_linux)\" = 0.0.1 ]\n\
         everything >/tmp/before\n\
         spoil; if $install; then exit 1; fi; mend\n\
         everything | diff /tmp/before -\n\
         [ \"$(modinfo -k $kernel -F version ashmem_linux)\" = 0.0.1 ]\n\
         $install\n\
         [ \"$(modinfo -k $kernel -F version ashmem_linux)\" = {version} ]\n\
         [ ! -e /usr/src/ashmem-linux-0.0.1 ]\n\
         [ $(dkms status | grep -c ashmem-linux/0.0.1) = 0 ]\n\
         $remove\n\
         $install --without-dkms --kernel $kernel; older\n\
         everything >/tmp/before; sum=$(sha256sum /lib/modules/$kernel/updates/ashmem_linux.ko)\n\
         spoil; if $install; then exit 1; fi; mend\n\
         everything | diff /tmp/before -\n\
         [ \"$(sha256sum /lib/modules/$kernel/updates/ashmem_linux.ko)\" = \"$sum\" ]\n\
         $install; $remove"
    );
    installer.expect(&script, &["in place again"])?;
    Ok(String::new())
}

fn other_owners(installer: &Installer) -> Result<String> {
    let script = "mkdir -p /lib/modules/$kernel/extra\n\
         echo other >/lib/modules/$kernel/extra/ashmem_linux.ko\n\
         if $install; then exit 1; fi\n\
         rm -r /lib/modules/$kernel/extra\n\
         $install --without-dkms --kernel $kernel & program=$!\n\
         in_its_midst $program\n\
         if $install; then exit 1; fi\n\
         wait $program; $remove\n\
         if $remove; then exit 1; fi";
    installer.expect(
        script,
        &["did not put it there", "is at work here", "has installed nothing here"],
    )?;
    Ok(String::new())
}

fn read_only(installer: &Installer) -> Result<String> {
    let script = "mount --bind /etc /etc; mount -o remount,bind,ro /etc\n\
         if $install; then exit 1; fi";
    installer.expect(script, &["/etc is read-only"])?;
    Ok(String::new())
}
