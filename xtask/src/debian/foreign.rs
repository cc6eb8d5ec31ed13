// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs of another architecture on this machine, run by QEMU's emulation of a user's processes,
//! so that a system of that architecture can be made and entered as one of this machine's own.

use crate::util::arch::Arch;
use crate::util::workspace::{self, Lock};
use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs;
use std::path::{Path, PathBuf};

/// What begins a program of arm64, as binfmt_misc takes it: an ELF file of 64 bits, little-endian,
/// executable or shared, for machine 183.
const MAGIC: &str = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00";
const MASK: &str =
    r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";

/// The emulator; a static program, for it runs in roots that hold no library of this machine's.
const EMULATOR: &str = "/usr/bin/qemu-aarch64-static";

/// The name that it is registered by, while it is.
const NAME: &str = "ashmem-aarch64";

/// This machine's kernel runs the architecture's programs while this lives.
pub(crate) struct Foreign {
    /// Where the kernel's table is mounted for this, if it was changed.
    registered: Option<Table>,
    _lock: Option<Lock>,
}

impl Foreign {
    /// Nothing for this machine's own architecture, nor where a distribution's package has
    /// registered its emulator already. Registers one otherwise, which root may and which holds for
    /// the whole machine until this goes.
    pub(crate) fn ensure(arch: Arch) -> Result<Self> {
        if arch == Arch::X86_64 {
            return Ok(Self { registered: None, _lock: None });
        }
        let lock = workspace::lock("foreign")?;
        let table = Table::mount()?;
        if table.has_emulator()? {
            return Ok(Self { registered: None, _lock: Some(lock) });
        }
        if !Path::new(EMULATOR).exists() {
            bail!("{EMULATOR} is not there: `cargo xtask setup --arch {arch}` installs it");
        }
        // F: the emulator is opened now, so that it is found from within other roots.
        fs::write(table.0.join("register"), format!(":{NAME}:M::{MAGIC}:{MASK}:{EMULATOR}:F"))
            .with_context(|| format!("registering {EMULATOR} with the kernel's binfmt_misc"))?;
        Ok(Self { registered: Some(table), _lock: Some(lock) })
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if let Some(table) = &self.registered {
            // What fails leaves an entry, which the next run takes for its own.
            let _ = fs::write(table.0.join(NAME), "-1");
        }
    }
}

/// The kernel's table of interpreters, mounted in a folder of our own: it is one for the machine,
/// wherever it is seen.
struct Table(PathBuf);

impl Table {
    fn mount() -> Result<Self> {
        let place = workspace::cache("binfmt")?;
        // What a run that was killed left.
        let _ = unmount(&place, UnmountFlags::DETACH);
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("binfmt_misc", &place, "binfmt_misc", flags, None).with_context(|| {
            "mounting binfmt_misc, by which programs of another architecture run here: it needs \
             root, and a kernel that has it (`modprobe binfmt_misc`)"
        })?;
        Ok(Self(place))
    }

    /// Whether an emulator for arm64 is registered that other roots find as well.
    fn has_emulator(&self) -> Result<bool> {
        let entries = fs::read_dir(&self.0)
            .with_context(|| format!("listing {}", self.0.display()))?
            .flatten();
        let texts = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
        Ok(texts.into_iter().any(|text| is_emulator(&text)))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// Whether an entry of the table is for arm64, switched on, and opened beforehand.
fn is_emulator(entry: &str) -> bool {
    let field = |name: &str| entry.lines().find_map(|line| line.strip_prefix(name));
    entry.starts_with("enabled\n")
        && field("magic ").is_some_and(|magic| magic.ends_with("0200b700"))
        && field("flags: ").is_some_and(|flags| flags.contains('F'))
}

#[cfg(test)]
mod tests {
    use super::is_emulator;

    const ENTRY: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\n\
                         flags: POCF\noffset 0\nmagic 7f454c460201010000000000000000000200b700\n\
                         mask ffffffffffffff00fffffffffffffffffeffffff\n";

    #[test]
    fn an_emulator_is_one_for_arm64_that_other_roots_find() {
        assert!(is_emulator(ENTRY));
        for (from, to) in [("enabled", "disabled"), ("POCF", "POC"), ("0200b700", "02002800")] {
            assert!(!is_emulator(&ENTRY.replace(from, to)), "{to}");
        }
    }
}
