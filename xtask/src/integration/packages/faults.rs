// SPDX-License-Identifier: MIT OR Apache-2.0
//! What goes wrong on people's machines, made to go wrong: the package says what and what to do,
//! and what was there before stays.

use super::machine::Machine;
use super::trial::{Trial, install, report};
use anyhow::{Context, Result, bail};

/// A fault by name, and how it is tried.
type Fault = (&'static str, fn(&Trial, &Machine) -> Result<()>);

/// In the order they are tried, all on one machine; each leaves it with the packages of this
/// version installed.
const FAULTS: &[Fault] = &[
    ("no headers", no_headers),
    ("the wrong compiler", wrong_compiler),
    ("a full disk", full_disk),
    ("a damaged object", damaged_object),
    ("an installation killed", killed),
    ("a read-only /etc", read_only_etc),
    ("neither systemd nor udev", neither_systemd_nor_udev),
    ("removed while in use", removed_in_use),
];

/// Tries every fault; which ones, in one line.
pub(crate) fn run(trial: &Trial) -> Result<String> {
    let machine = trial.machine("faults")?;
    for (name, attempt) in FAULTS {
        eprintln!("{}: {name} ...", trial.release);
        attempt(trial, &machine).with_context(|| format!("with {name}"))?;
    }
    let names: Vec<_> = FAULTS.iter().map(|(name, _)| *name).collect();
    Ok(names.join(", "))
}

/// The package is installed all the same, and the module comes with the headers.
fn no_headers(trial: &Trial, machine: &Machine) -> Result<()> {
    let kernel = kernel(machine)?;
    let hide = format!("mv /lib/modules/{kernel}/build /lib/modules/{kernel}/hidden");
    let said = machine.must(&format!("{hide}\n{}\ndpkg --audit", install(&trial.before)))?;
    expect(&said, &["has no headers here", &format!("apt install linux-headers-{kernel}")])?;
    // What the headers' own installation runs.
    let appear = format!(
        "mv /lib/modules/{kernel}/hidden /lib/modules/{kernel}/build\n\
         /etc/kernel/header_postinst.d/dkms {kernel}"
    );
    machine.must(&appear)?;
    trial.expect_module(machine, &trial.version_before)
}

/// The upgrade stops, the module from before stays, and `dpkg --configure -a` goes on once there is
/// a compiler.
fn wrong_compiler(trial: &Trial, machine: &Machine) -> Result<()> {
    let break_it = "for gcc in /usr/bin/*gcc /usr/bin/*gcc-[0-9]*; do mv $gcc $gcc.whole
printf '#!/bin/sh\\necho \"gcc: error: unrecognized command-line option\" >&2; exit 1\\n' >$gcc
chmod +x $gcc; done";
    let mend_it =
        "for gcc in /usr/bin/*gcc.whole /usr/bin/*gcc-[0-9]*.whole; do mv $gcc ${gcc%.whole}; done";
    let (said, ended_well) = machine.run(&format!("{break_it}\n{}", install(&trial.packages)))?;
    if ended_well {
        bail!("a package whose module could not be built was installed as if it could:\n{said}");
    }
    expect(&said, &["want the compiler", "stays in place", "dpkg --configure -a"])?;
    trial.expect_module(machine, &trial.version_before)?;
    machine.must(&format!("{mend_it}\ndpkg --configure -a"))?;
    trial.expect_module(machine, &trial.version)
}

/// As with the wrong compiler; what DKMS knew is on the small disk too.
fn full_disk(trial: &Trial, machine: &Machine) -> Result<()> {
    let small = "mount -t tmpfs -o size=2m tmpfs /mnt
cp -a /var/lib/dkms/. /mnt
mount --bind /mnt /var/lib/dkms
dd if=/dev/zero of=/mnt/filler bs=4k 2>/dev/null || rm -f /mnt/filler
dd if=/dev/zero of=/mnt/filler bs=1k \
count=$(( $(df --output=avail -k /mnt | tail -n 1) - 300 )) 2>/dev/null";
    let kernel = kernel(machine)?;
    let there = format!("modinfo -k {kernel} -F version ashmem_linux");
    let script = format!(
        "{small}\n\
         if {}; then exit 9; fi\n\
         {there}\n\
         rm /mnt/filler\n\
         mount -o remount,size=90m /mnt\n\
         dpkg --configure -a\n\
         {there}\n\
         cp -a /mnt/. /tmp/dkms; umount /var/lib/dkms; rm -rf /var/lib/dkms; mv /tmp/dkms \
         /var/lib/dkms",
        install(&trial.before).replace(" install ", " install --allow-downgrades ")
    );
    let said = machine.must(&script)?;
    expect(&said, &["no space is left", "stays in place"])?;
    let versions: Vec<_> = said.lines().filter(|line| line.starts_with("0.")).collect();
    if versions != [trial.version.as_str(), trial.version_before.as_str()] {
        bail!(
            "the module's versions, first with the disk full and then with room, were \
             {versions:?}:\n{said}"
        );
    }
    Ok(())
}

fn damaged_object(trial: &Trial, machine: &Machine) -> Result<()> {
    let source = format!("/usr/src/ashmem-{}", trial.version_before);
    let script = format!(
        "truncate -s -1 {source}/rust/ashmem-x86.o_shipped\n/usr/lib/ashmem-dkms/modules install"
    );
    let (said, ended_well) = machine.run(&script)?;
    if ended_well {
        bail!("a module was made of a damaged object:\n{said}");
    }
    expect(&said, &["is damaged", "the package ashmem-dkms"])?;
    machine.must(&install(&trial.packages))?;
    trial.expect_module(machine, &trial.version)
}

/// Killed with all that it started in the middle of the build.
fn killed(trial: &Trial, machine: &Machine) -> Result<()> {
    let downgrade = install(&trial.before).replace(" install ", " install --allow-downgrades ");
    // The script is the first process of its namespace, and so the one that this signal does not
    // reach.
    let script = format!(
        "{downgrade} &\n\
         until ls /var/lib/dkms/ashmem/*/build/glue/module.o 2>/dev/null; do sleep 0.1; done\n\
         kill -9 -1\n\
         wait || true\n\
         dpkg --audit | grep -q ashmem-dkms\n\
         dpkg --configure -a\n\
         dpkg --audit"
    );
    machine.must(&script)?;
    trial.expect_module(machine, &trial.version_before)?;
    machine.must(&install(&trial.packages))?;
    trial.expect_module(machine, &trial.version)
}

/// The packages write nothing there.
fn read_only_etc(trial: &Trial, machine: &Machine) -> Result<()> {
    let files: Vec<_> = trial.packages.iter().filter_map(|package| package.file_name()).collect();
    let ours = files.iter().map(|name| format!("/trial/{}", name.to_string_lossy()));
    // The dynamic linker's cache is there, and the library's installation renews it.
    let ours: Vec<_> = ours.filter(|name| !name.contains("/libashmem")).collect();
    machine.must(&format!(
        "dpkg --purge ashmem-dkms\n\
         mount --bind /etc /etc\n\
         mount -o remount,bind,ro /etc\n\
         dpkg --install {}",
        ours.join(" ")
    ))?;
    trial.expect_module(machine, &trial.version)
}

/// The device is the kernel's own doing: only the link with the boot's name is udev's.
fn neither_systemd_nor_udev(_trial: &Trial, machine: &Machine) -> Result<()> {
    let script = "modprobe ashmem_linux\n\
                  ls -l /dev/ashmem*\n\
                  [ \"$(stat -c %a /dev/ashmem)\" = 666 ]\n\
                  /trial/ashmem-conformance --provider module --filter 'open.*'";
    report(&machine.boot_bare(&kernel(machine)?, script)?).map(drop)
}

/// The module stays until nothing uses it, and the package says so.
fn removed_in_use(_trial: &Trial, machine: &Machine) -> Result<()> {
    let script = "sleep 1000 3<>/dev/ashmem &
user=$!
sleep 1
dpkg --purge ashmem-dkms
test -c /dev/ashmem
/trial/ashmem-conformance --provider module --filter 'size.*' | tail -n 1
if modinfo ashmem_linux; then exit 1; fi
kill $user
wait $user || true
rmmod ashmem_linux
test ! -e /dev/ashmem";
    let life = machine.boot(&kernel(machine)?, script)?;
    expect(report(&life)?, &["the module stays loaded", "rmmod ashmem_linux"])
}

/// The kernel that the machine's release brings.
fn kernel(machine: &Machine) -> Result<String> {
    machine.kernels()?.into_iter().next().context("the machine has no kernel")
}

fn expect(said: &str, words: &[&str]) -> Result<()> {
    for word in words {
        if !said.contains(word) {
            bail!("it does not say `{word}`:\n{said}");
        }
    }
    Ok(())
}
