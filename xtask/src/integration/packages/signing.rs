// SPDX-License-Identifier: MIT OR Apache-2.0
//! Secure Boot: a firmware that has it on, and a kernel that refuses the module until DKMS's key is
//! enrolled and takes it then.
//!
//! The firmware (OVMF) trusts Debian's key and starts Debian's kernel by it, as shim would.
//! Enrolled means that the variable `MokListRT`, which shim leaves, holds DKMS's key. Shim itself
//! and its blue screen, which ask a person to agree, are not part of this trial.

use super::machine::Machine;
use super::trial::{Trial, install, report};
use crate::util::{process, pypi};
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The editor of a firmware's variables.
const EDITOR: (&str, &str) = ("virt-firmware", "26.10");

/// The firmware's own variables, all at their beginning.
const EMPTY: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// Shim's name space.
const SHIM: &str = "605dab50-e046-4300-abb6-3dd810dd8b23";

/// Kept over reboots, seen by the firmware's drivers, seen by a running system.
const ATTRIBUTES: u32 = 1 | 2 | 4;

/// `EFI_CERT_X509_GUID`, from the UEFI specification, 32.4.1, as it lies in memory.
const X509: [u8; 16] = [
    0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72,
];

/// Tries it on the release's own kernel; what was seen, in one line.
pub(crate) fn run(trial: &Trial) -> Result<String> {
    let machine = trial.machine("signing")?;
    machine.must(&install(&trial.packages))?;
    let kernel = machine.kernels()?.into_iter().next().context("the machine has no kernel")?;
    let signer = machine.must(&format!("modinfo -k {kernel} -F signer ashmem_linux"))?;
    ensure!(!signer.trim().is_empty(), "DKMS did not sign the module");

    let variables = machine.outside("variables.fd");
    let on = [
        "--enroll-generate",
        "trial",
        "--no-microsoft",
        "--distro-keys",
        "debian",
        "--secure-boot",
    ];
    edit(Path::new(EMPTY), &on, &variables)?;
    let refused = "dmesg | grep -i 'secure boot enabled'\n\
                   if modprobe ashmem_linux; then exit 1; fi\n\
                   test ! -e /dev/ashmem\n\
                   if ashmem doctor --mode module; then exit 1; fi";
    let life = machine.boot_by_firmware(&kernel, refused, &variables)?;
    let said = report(&life).context("before the key was enrolled")?;
    if !said.contains("Key was rejected by service") && !said.contains("Required key not available")
    {
        bail!("the module was refused, but not for its key:\n{said}");
    }
    ensure!(
        said.contains("mokutil --import"),
        "the doctor does not lead to enrolling the key:\n{said}"
    );

    let enrolled = machine.outside("enrolled.fd");
    edit(&variables, &["--set-json", &list(&machine)?], &enrolled)?;
    let script = format!("dmesg | grep -i 'secure boot enabled'\n{}", trial.device_script());
    let life = machine.boot_by_firmware(&kernel, &script, &enrolled)?;
    report(&life).context("with the key enrolled")?;
    Ok(format!(
        "signed by `{}`, refused under Secure Boot without that key and taken with it by {kernel}",
        signer.trim()
    ))
}

/// Writes a file of variables with others in it.
fn edit(from: &Path, changes: &[&str], to: &Path) -> Result<()> {
    const MAIN: &str = "import sys; from virt.firmware.vars import main; sys.exit(main())";
    let mut editor = Command::new("python3");
    editor.env("PYTHONPATH", pypi::package(EDITOR.0, EDITOR.1)?).args(["-c", MAIN]);
    editor.arg("--input").arg(from).args(changes).arg("--output").arg(to);
    process::capture(&mut editor).map(drop).context("editing the firmware's variables")
}

/// `MokListRT` with the machine's key, as a file that the editor reads; its path.
fn list(machine: &Machine) -> Result<String> {
    let mut data = String::new();
    for byte in signatures(&machine.file("var/lib/dkms/mok.pub")?)? {
        write!(data, "{byte:02x}")?;
    }
    let variable = json!({ "name": "MokListRT", "guid": SHIM, "attr": ATTRIBUTES, "data": data });
    let file = machine.outside("enrolled.json");
    fs::write(&file, json!({ "version": 2, "variables": [variable] }).to_string())
        .with_context(|| format!("writing {}", file.display()))?;
    Ok(file.display().to_string())
}

/// One list of one certificate.
fn signatures(certificate: &[u8]) -> Result<Vec<u8>> {
    const HEADER: usize = 28;
    let signature = u32::try_from(16 + certificate.len()).context("a certificate is small")?;
    let whole = u32::try_from(HEADER).context("a header is small")? + signature;
    let mut bytes = X509.to_vec();
    for number in [whole, 0, signature] {
        bytes.extend(number.to_le_bytes());
    }
    // Whose it is: nobody looks at it.
    bytes.extend([0; 16]);
    bytes.extend(certificate);
    Ok(bytes)
}
