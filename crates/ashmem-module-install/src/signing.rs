// SPDX-License-Identifier: MIT OR Apache-2.0
//! The distribution's own key for modules that are built here, and signing with it.

use ashmem_doctor::Host;

use crate::kernel::TargetKernel;
use crate::machine::TargetMachine;
use crate::refusal::Error;

/// A private key and its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningPair {
    /// The key's file.
    pub key: String,
    /// The certificate's.
    pub certificate: String,
}

/// Where distributions keep such a pair: DKMS's, Ubuntu's, akmods', and sbctl's, by which whole
/// kernels are signed.
const PAIRS: [(&str, &str); 5] = [
    ("/var/lib/dkms/mok.key", "/var/lib/dkms/mok.pub"),
    ("/var/lib/shim-signed/mok/MOK.priv", "/var/lib/shim-signed/mok/MOK.der"),
    ("/etc/pki/akmods/private/private_key.priv", "/etc/pki/akmods/certs/public_key.der"),
    ("/var/lib/sbctl/keys/db/db.key", "/var/lib/sbctl/keys/db/db.pem"),
    ("/usr/share/secureboot/keys/db/db.key", "/usr/share/secureboot/keys/db/db.pem"),
];

/// The machine's pair, if it has one.
pub fn pair(host: &Host) -> Option<SigningPair> {
    PAIRS.iter().find(|(key, certificate)| host.has(key) && host.has(certificate)).map(
        |(key, certificate)| SigningPair {
            key: (*key).to_owned(),
            certificate: (*certificate).to_owned(),
        },
    )
}

/// The kernel's program that signs modules, as its headers have it.
fn program(host: &Host, kernel: &str) -> Option<String> {
    let headers = format!("/lib/modules/{kernel}/build/scripts/sign-file");
    let own = [headers, "/usr/bin/kmodsign".to_owned()];
    own.into_iter().find(|path| host.has(path)).or_else(|| {
        // Debian has it in a package of its own, by the version that the release begins with.
        let (major, minor) = ashmem_doctor::kernel_release::version(kernel)?;
        let path = format!("/usr/lib/linux-kbuild-{major}.{minor}/scripts/sign-file");
        Some(path).filter(|path| host.has(path))
    })
}

/// Signs a module's file in its place.
///
/// # Errors
/// There is no program to sign with, or it fails.
pub fn sign(
    machine: &TargetMachine,
    kernel: &TargetKernel,
    pair: &SigningPair,
    module: &str,
) -> Result<(), Error> {
    let Some(program) = program(&machine.host, &kernel.release) else {
        (machine.say)(&format!(
            "the headers of {} have no sign-file: the module is not signed with {}",
            kernel.release, pair.key
        ));
        return Ok(());
    };
    machine
        .must(&program, &[&kernel.signature_hash, &pair.key, &pair.certificate, module])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::pair;
    use ashmem_doctor::Host;
    use std::fs;

    #[test]
    fn a_pair_is_whole_or_none() {
        let root = tempfile::tempdir().expect("a folder");
        let host = Host::at(root.path()).expect("the root");
        assert_eq!(pair(&host), None);
        for (path, is_whole) in [
            ("etc/pki/akmods/private/private_key.priv", false),
            ("etc/pki/akmods/certs/public_key.der", true),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder above")).expect("folders");
            fs::write(path, "").expect("a file");
            assert_eq!(pair(&host).is_some(), is_whole);
        }
    }
}
