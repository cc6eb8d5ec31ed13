// SPDX-License-Identifier: MIT OR Apache-2.0
//! Secure Boot, lockdown, and the key's way from nothing to enrolled.

use ashmem_doctor::finding::FindingStatus;

use crate::root::{RELEASE, Root, expect};

const CERTIFICATE: &[u8] = b"0\x82\x03\x01the certificate";

/// Secure Boot on, the kernel locked down, our module in place.
fn locked(is_signed: bool) -> Root {
    let root = Root::debian();
    root.variable("SecureBoot", &[1])
        .file("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
        .module(RELEASE, RELEASE, is_signed)
        .dkms();
    root
}

#[test]
fn secure_boot_is_told() {
    expect(&Root::debian().finding("Secure Boot"), FindingStatus::Ok, &["no UEFI"], &[]);
    let root = Root::debian();
    root.variable("SecureBoot", &[0]);
    expect(&root.finding("Secure Boot"), FindingStatus::Ok, &["off"], &[]);
    root.variable("SecureBoot", &[1]);
    expect(&root.finding("Secure Boot"), FindingStatus::Ok, &["signed modules only"], &[]);
    root.variable("MokSBStateRT", &[1]);
    expect(&root.finding("Secure Boot"), FindingStatus::Ok, &["does not check"], &[]);
    // A variable that cannot be read as one: it is no file.
    let root = Root::debian();
    root.file("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c/x", "");
    expect(
        &root.finding("Secure Boot"),
        FindingStatus::Warning,
        &["cannot be read"],
        &["sudo ashmem doctor"],
    );
}

#[test]
fn an_unsigned_module_is_refused() {
    let root = locked(false);
    expect(
        &root.finding("signature"),
        FindingStatus::Fault,
        &["not signed", "locked down (integrity)"],
        &[
            "sudo dkms generate_mok",
            "sudo apt install mokutil",
            "sudo mokutil --import /var/lib/dkms/mok.pub",
            "reboot",
            "dkms install --force",
        ],
    );
    root.file("sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
    expect(&root.finding("signature"), FindingStatus::Ok, &["need none"], &[]);
    root.file("sys/module/module/parameters/sig_enforce", "Y\n");
    expect(&root.finding("signature"), FindingStatus::Fault, &["module.sig_enforce"], &["mokutil"]);
}

#[test]
fn secure_boot_counts_where_lockdown_cannot_be_seen() {
    let root = locked(false);
    std::fs::remove_file(root.at("sys/kernel/security/lockdown")).expect("securityfs goes");
    expect(&root.finding("signature"), FindingStatus::Fault, &["Secure Boot is on"], &["mokutil"]);
}

#[test]
fn the_keys_way() {
    let root = locked(true);
    root.program("usr/bin/mokutil");
    expect(
        &root.finding("signing key"),
        FindingStatus::Warning,
        &["there is none"],
        &["dkms generate_mok", "mokutil --import"],
    );
    root.file("var/lib/dkms/mok.pub", CERTIFICATE);
    expect(
        &root.finding("signing key"),
        FindingStatus::Warning,
        &["not enrolled"],
        &["mokutil --import /var/lib/dkms/mok.pub"],
    );
    expect(
        &root.finding("signature"),
        FindingStatus::Fault,
        &["does not know"],
        &["mokutil --import"],
    );
    root.variable("MokNew", &[b"list header".as_slice(), CERTIFICATE].concat());
    expect(
        &root.finding("signing key"),
        FindingStatus::Warning,
        &["waits", "blue screen"],
        &["sudo systemctl reboot"],
    );
    root.variable("MokListRT", &[b"list header, another key, ".as_slice(), CERTIFICATE].concat());
    expect(&root.finding("signing key"), FindingStatus::Ok, &["is enrolled"], &[]);
    expect(&root.finding("signature"), FindingStatus::Ok, &["signed"], &[]);
}

#[test]
fn the_key_that_dkms_is_told_to_use_counts() {
    let root = locked(true);
    root.file(
        "etc/dkms/framework.conf.d/key.conf",
        "mok_signing_key=/k\nmok_certificate=\"/etc/keys/mine.der\"\n",
    )
    .file("etc/keys/mine.der", CERTIFICATE)
    .file("sys/firmware/efi/mok-variables/MokListRT", CERTIFICATE);
    expect(
        &root.finding("signing key"),
        FindingStatus::Ok,
        &["/etc/keys/mine.der is enrolled"],
        &[],
    );
    // Ubuntu's place, with another key enrolled.
    let root = locked(true);
    root.file("var/lib/shim-signed/mok/MOK.der", b"other").variable("MokListRT", CERTIFICATE);
    expect(
        &root.finding("signing key"),
        FindingStatus::Warning,
        &["/var/lib/shim-signed/mok/MOK.der is not enrolled"],
        &["mokutil"],
    );
}
