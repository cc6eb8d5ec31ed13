// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem module install` and `remove` in a real Debian: by DKMS and by kbuild, with a second
//! kernel coming and going, booted, interrupted, without space, over an earlier version.

use super::machine::Machine;
use super::release::Release;
use super::trial::{files, report};
use crate::build::distributed::{self, Linkage};
use crate::build::stage::Version;
use crate::build::static_program;
use crate::util::arch::Arch;
use anyhow::{Context, Result, bail};
use std::fmt::Write;

/// An attempt by name.
type Attempt = (&'static str, fn(&Installer) -> Result<String>);

/// In the order they are made, all on one machine; each leaves it as it was.
const ATTEMPTS: &[Attempt] = &[
    ("DKMS", by_dkms),
    ("kbuild", by_kbuild),
    ("stopped", stopped),
    ("killed", killed),
    ("a full disk", full_disk),
    ("an upgrade that fails", failing_upgrade),
    ("other owners", other_owners),
    ("a read-only /etc", read_only),
];

/// What a shell needs in every script: the program, and a list of all that could be changed.
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
kernel=$(ls -v /boot | sed -n 's/^vmlinuz-//p' | head -n 1)
"#;

struct Installer {
    machine: Machine,
    release: Release,
    version: Version,
}

/// Makes every attempt; what was seen, in one line.
pub(crate) fn run(release: Release) -> Result<String> {
    let machine = Machine::new(Arch::X86_64, release, "installer")?;
    machine.give(&distributed::build(Arch::X86_64, Linkage::Dynamic)?)?;
    let conformance = "ashmem-conformance";
    machine.give(&static_program::build_for(Arch::X86_64, conformance, conformance)?)?;
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
        seen.push(if said.is_empty() { (*name).to_owned() } else { format!("{name} ({said})") });
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

    /// Boots a kernel that has the module, where it is removed.
    fn boot_and_remove(&self, kernel: &str) -> Result<f64> {
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
             rmmod ashmem_linux\n\
             [ ! -e /dev/ashmem ]"
        );
        let life = self.machine.boot(kernel, &script)?;
        report(&life).with_context(|| format!("booting {kernel} of {}", self.release))?;
        Ok(life.time.as_secs_f64())
    }
}

fn by_dkms(installer: &Installer) -> Result<String> {
    let version = &installer.version;
    let said = installer.expect(
        &format!(
            "$install --dry-run | tee /dev/stderr | grep 'by DKMS'\n\
             begin=$(date +%s%N)\n\
             $install\n\
             echo took $(( ($(date +%s%N) - begin) / 1000000 )) ms\n\
             [ \"$(modinfo -k $kernel -F version ashmem_linux)\" = {version} ]\n\
             modinfo -k $kernel -F filename ashmem_linux | grep /updates/dkms/\n\
             /trial/ashmem module status\n\
             $install | grep 'has it already'\n\
             dkms status\n\
             apt-get -q -o Dpkg::Use-Pty=0 install -y --no-install-recommends --no-download {}\n\
             [ $(ls /lib/modules/*/updates/dkms/ashmem_linux.ko* | wc -l) = 2 ]\n\
             $install | grep -c 'has it already'",
            installer.release.second_kernel()
        ),
        &["the module is installed", "took "],
    )?;
    let took = said.lines().find(|line| line.starts_with("took ")).unwrap_or_default();
    let kernel = installer.machine.kernels()?.into_iter().next().context("no kernel")?;
    let booted = installer.boot_and_remove(&kernel)?;
    let mut seen = took.to_owned();
    write!(seen, ", booted in {booted:.0} s")?;
    Ok(seen)
}

/// A second kernel is here by now; it goes and comes.
fn by_kbuild(installer: &Installer) -> Result<String> {
    let second = "second=$(ls -v /boot | sed -n 's/^vmlinuz-//p' | tail -n 1)\n";
    let said = installer.expect(
        &format!(
            "{second}$install --without-dkms --kernel $kernel\n\
             [ -e /lib/modules/$kernel/updates/ashmem_linux.ko ]\n\
             [ ! -e /lib/modules/$second/updates/ashmem_linux.ko ]\n\
             [ ! -e /usr/src/ashmem-linux-{} ]\n\
             modinfo -k $kernel -F signer ashmem_linux\n\
             begin=$(date +%s%N)\n\
             /etc/kernel/postinst.d/zz-ashmem-module $second /boot/vmlinuz-$second\n\
             echo took $(( ($(date +%s%N) - begin) / 1000000 )) ms\n\
             [ \"$(modinfo -k $second -F vermagic ashmem_linux | cut -d ' ' -f 1)\" = $second ]\n\
             mv /lib/modules/$second /lib/modules/gone; mkdir -p /lib/modules/$second/updates\n\
             mv /lib/modules/gone/updates/ashmem_linux.ko /lib/modules/$second/updates\n\
             /etc/kernel/postrm.d/zz-ashmem-module $second\n\
             [ ! -e /lib/modules/$second ]\n\
             mv /lib/modules/gone /lib/modules/$second; rmdir /lib/modules/$second/updates\n\
             /trial/ashmem module status || true",
            installer.version
        ),
        &["took ", "forgotten", "`ashmem module install`"],
    )?;
    let took = said.lines().find(|line| line.starts_with("took ")).unwrap_or_default();
    let kernel = installer.machine.kernels()?.into_iter().next().context("no kernel")?;
    let booted = installer.boot_and_remove(&kernel)?;
    let mut seen = took.to_owned();
    write!(seen, ", booted in {booted:.0} s")?;
    Ok(seen)
}

/// Stopped by a signal in the middle of a build.
fn stopped(installer: &Installer) -> Result<String> {
    let script = "everything >/tmp/before\n\
         for way in '' --without-dkms; do\n\
         $install $way >/tmp/said 2>&1 & program=$!\n\
         until ls /var/lib/dkms/ashmem-linux/*/build/glue/*.o \
         /var/lib/ashmem/module/build/*/glue/*.o; do sleep 0.1; done 2>/dev/null\n\
         kill -TERM $program\n\
         if wait $program; then exit 1; fi\n\
         cat /tmp/said\n\
         everything | diff /tmp/before -\n\
         done";
    installer.expect(script, &["interrupted", "What was there before is in place again"])?;
    Ok(String::new())
}

/// Killed with all that it started; what comes next undoes it first.
fn killed(installer: &Installer) -> Result<String> {
    let script = "everything >/tmp/before\n\
         for way in '' --without-dkms; do\n\
         $install $way >/tmp/said 2>&1 &\n\
         until ls /var/lib/dkms/ashmem-linux/*/build/glue/*.o \
         /var/lib/ashmem/module/build/*/glue/*.o; do sleep 0.1; done 2>/dev/null\n\
         kill -9 -1; wait\n\
         /trial/ashmem module status | grep 'was interrupted'\n\
         if $remove; then exit 1; fi\n\
         everything | diff /tmp/before -\n\
         done";
    installer.must(script)?;
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

/// The module of the version before stays the kernel's own, to the byte, by either way.
fn failing_upgrade(installer: &Installer) -> Result<String> {
    let version = &installer.version;
    let script = format!(
        "older() {{ sed -i 's/\"version\": \"{version}\"/\"version\": \"0.0.1\"/; \
         s/ashmem-linux-{version}/ashmem-linux-0.0.1/' /var/lib/ashmem/module/manifest.json; }}\n\
         cp /bin/ld /tmp/ld\n\
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
         $install --without-dkms --kernel $kernel & until [ -e /var/lib/ashmem/module/journal ]\n\
         do sleep 0.1; done\n\
         if $install; then exit 1; fi\n\
         wait; $remove\n\
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
