//! A kernel that takes signed modules alone: it refuses the module until DKMS's key is enrolled, and takes it then.
//!
//! Enrolled means here that the firmware's variable that shim would have left, `MokListRT`, holds the key: Debian's kernels
//! take from it the keys they trust. Shim and its blue screen, which ask a person to agree, are not part of this trial, and
//! neither is the firmware's own check of the kernel.

use super::trial::{Trial, install, report};
use anyhow::{Context, Result, bail};
use std::fs;

/// `MokListRT` in shim's name space, as Linux shows it.
const VARIABLE: &str = "/sys/firmware/efi/efivars/MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23";

/// Kept over reboots, seen by the firmware's drivers, seen by a running system.
const ATTRIBUTES: u32 = 1 | 2 | 4;

/// `EFI_CERT_X509_GUID`, from the UEFI specification, 32.4.1, as it lies in memory.
const X509: [u8; 16] = [0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72];

/// Tries it on the release's own kernel; what was seen, in one line.
pub(crate) fn run(trial: &Trial) -> Result<String> {
    const ENFORCED: &str = "module.sig_enforce=1";
    let machine = trial.machine("signing")?;
    machine.must(&install(&trial.packages))?;
    let kernel = machine.kernels()?.into_iter().next().context("the machine has no kernel")?;
    let signer = machine.must(&format!("modinfo -k {kernel} -F signer ashmem_linux"))?;
    if signer.trim().is_empty() {
        bail!("DKMS did not sign the module");
    }
    let key = machine.file("var/lib/dkms/mok.pub")?;
    let list = machine.outside("mok.variable");
    fs::write(&list, variable(&key)?).with_context(|| format!("writing {}", list.display()))?;
    machine.give(&list)?;
    let refused = format!(
        "if modprobe ashmem_linux; then exit 1; fi\ntest ! -e /dev/ashmem\ndmesg | grep -i 'ashmem\\|key' || true\n\
         [ -d /sys/firmware/efi/efivars/ ] && mountpoint -q /sys/firmware/efi/efivars || mount -t efivarfs efivarfs \
         /sys/firmware/efi/efivars\ncat /trial/mok.variable >{VARIABLE}"
    );
    let life = machine.boot_by_firmware(&kernel, &refused, ENFORCED)?;
    let said = report(&life).context("before the key was enrolled")?;
    if !said.contains("Key was rejected by service") && !said.contains("Required key not available") {
        bail!("the module was refused, but not for its key:\n{said}");
    }
    let script = format!(
        "grep -w {ENFORCED} /proc/cmdline\ndmesg | grep -iE 'x\\.509|mok|integrity|secure ?boot|ashmem|modsign' || true\n\
         ls -l {VARIABLE} || true\n{}",
        trial.device_script()
    );
    let life = machine.boot_by_firmware(&kernel, &script, ENFORCED)?;
    report(&life).context("with the key enrolled")?;
    Ok(format!("signed by `{}`, refused without that key and taken with it by {kernel}", signer.trim()))
}

/// The variable's file: attributes, then one list that holds one certificate.
fn variable(certificate: &[u8]) -> Result<Vec<u8>> {
    const HEADER: usize = 28;
    let signature = u32::try_from(16 + certificate.len()).context("a certificate is small")?;
    let whole = u32::try_from(HEADER).context("a header is small")? + signature;
    let mut bytes = ATTRIBUTES.to_le_bytes().to_vec();
    bytes.extend(X509);
    for number in [whole, 0, signature] {
        bytes.extend(number.to_le_bytes());
    }
    // Whose it is: nobody looks at it.
    bytes.extend([0; 16]);
    bytes.extend(certificate);
    Ok(bytes)
}
