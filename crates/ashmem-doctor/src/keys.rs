// SPDX-License-Identifier: MIT OR Apache-2.0
//! Secure Boot, and the key that DKMS signs modules with: made, waiting for enrolment, enrolled.
//!
//! The firmware's variables are read where Linux shows them. A variable begins with four bytes of
//! attributes. shim keeps the machine owner's keys in lists that hold each certificate as it is, so
//! a certificate is enrolled if its bytes are there.

use crate::Host;
use crate::distribution::Distribution;

const VARIABLES: &str = "/sys/firmware/efi/efivars";
/// The vendor of shim's variables.
const SHIM: &str = "605dab50-e046-4300-abb6-3dd810dd8b23";
/// The vendor of UEFI's own.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// Where keys are made by default: DKMS's own, then Ubuntu's, then Fedora's akmods'.
const CERTIFICATES: [&str; 3] = [
    "/var/lib/dkms/mok.pub",
    "/var/lib/shim-signed/mok/MOK.der",
    "/etc/pki/akmods/certs/public_key.der",
];

/// What the firmware holds the kernel to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecureBoot {
    /// There is no UEFI, or Linux does not see it.
    NoFirmware,
    /// The variable cannot be read by this user.
    Unknown,
    /// Anything boots.
    Off,
    /// Only what is signed boots, but shim was told not to check (`mokutil --disable-validation`).
    NotValidated,
    /// Only what is signed boots.
    On,
}

/// How far a signing key has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigningKey {
    /// There is none.
    None,
    /// A certificate that the firmware knows nothing of.
    Made(String),
    /// It waits for the question at the next boot.
    Waiting(String),
    /// Modules signed with it are accepted.
    Enrolled(String),
}

/// Secure Boot's state.
pub fn secure_boot(host: &Host) -> SecureBoot {
    if !host.has("/sys/firmware/efi") {
        return SecureBoot::NoFirmware;
    }
    let Some(state) = variable(host, "SecureBoot", GLOBAL) else {
        let is_hidden = host.has(&format!("{VARIABLES}/SecureBoot-{GLOBAL}"));
        return if is_hidden { SecureBoot::Unknown } else { SecureBoot::Off };
    };
    if state.first() != Some(&1) {
        return SecureBoot::Off;
    }
    // MokSBStateRT is what shim shows to the kernel; 1 stands for "do not validate".
    match variable(host, "MokSBStateRT", SHIM).as_deref() {
        Some([1, ..]) => SecureBoot::NotValidated,
        _ => SecureBoot::On,
    }
}

/// The key that modules built here are signed with.
pub fn key(host: &Host) -> SigningKey {
    let configured = dkms_certificate(host);
    let path =
        configured.into_iter().chain(CERTIFICATES.map(str::to_owned)).find(|path| host.has(path));
    let Some(path) = path else { return SigningKey::None };
    let Some(certificate) = host.bytes(&path).filter(|bytes| !bytes.is_empty()) else {
        return SigningKey::Made(path);
    };
    let holds = |list: Option<Vec<u8>>| list.is_some_and(|list| contains(&list, &certificate));
    // From 5.19 on the kernel shows shim's table itself, which has no limit to its length.
    let enrolled = host.bytes("/sys/firmware/efi/mok-variables/MokListRT");
    if holds(enrolled) || holds(variable(host, "MokListRT", SHIM)) {
        SigningKey::Enrolled(path)
    } else if holds(variable(host, "MokNew", SHIM)) {
        SigningKey::Waiting(path)
    } else {
        SigningKey::Made(path)
    }
}

/// What DKMS's configuration names, if it names one.
fn dkms_certificate(host: &Host) -> Option<String> {
    let folder = "/etc/dkms/framework.conf.d";
    let mut files = vec!["/etc/dkms/framework.conf".to_owned()];
    files.extend(host.names(folder).into_iter().map(|name| format!("{folder}/{name}")));
    let texts: Vec<_> = files.iter().filter_map(|file| host.text(file)).collect();
    let lines = texts.iter().flat_map(|text| text.lines());
    // The last one counts, as in the shell that reads it.
    let value = lines.rev().find_map(|line| line.trim().strip_prefix("mok_certificate="))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

fn variable(host: &Host, name: &str, vendor: &str) -> Option<Vec<u8>> {
    let bytes = host.bytes(&format!("{VARIABLES}/{name}-{vendor}"))?;
    bytes.get(4..).map(<[u8]>::to_vec)
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

/// The commands that lead from where the key is to a kernel that accepts what it signs.
pub fn steps(host: &Host, key: &SigningKey) -> Vec<String> {
    let distribution = Distribution::of(host);
    let mut steps = Vec::new();
    let path = match key {
        SigningKey::Enrolled(_) => return steps,
        SigningKey::Waiting(_) => return vec!["sudo systemctl reboot".to_owned()],
        SigningKey::None => {
            steps.push("sudo dkms generate_mok".to_owned());
            "/var/lib/dkms/mok.pub"
        }
        SigningKey::Made(path) => path,
    };
    if host.program("mokutil").is_none() {
        steps.push(distribution.install("mokutil"));
    }
    steps.push(format!(
        "sudo mokutil --import {path}   # asks for a password, which the next boot asks for again"
    ));
    steps.push(
        "sudo systemctl reboot   # at the blue screen: Enroll MOK, Continue, Yes, the password"
            .to_owned(),
    );
    steps
}
