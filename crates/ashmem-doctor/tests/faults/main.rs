// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every check against the fault that it is for, made in a root directory of the test's own.
//!
//! What no folder can show is made for real elsewhere: what seccomp and a container do to the
//! program, in ashmem-cli's tests; a module that is refused, and a real device, in the virtual
//! machine of `cargo xtask test`.

mod containers;
mod device;
mod kernel_side;
mod module;
mod module_state;

mod root;
mod signing;
mod waydroid;

use ashmem_doctor::AskedMode;
use ashmem_doctor::finding::FindingStatus;
use ashmem_doctor::screen::DiagnosisScreen;
use ashmem_doctor::way::Way;

use root::Root;

#[test]
fn a_fault_stands_against_its_ways_alone() {
    let diagnosis = Root::debian().diagnosis(AskedMode::Only(Way::Module));
    let of =
        |way| diagnosis.ways.iter().find(|verdict| verdict.way == way).expect("each way is judged");
    assert!(!diagnosis.works && !of(Way::Module).works && !of(Way::Agent).works);
    assert_eq!(of(Way::Module).because, "module: not installed");
    // What is no fault for the way asked about is not shown as one.
    let agent = diagnosis.checks.iter().find(|row| row.check == "agent").expect("the check");
    assert_eq!(
        (agent.finding.status, diagnosis.status(agent)),
        (FindingStatus::Fault, FindingStatus::Absent)
    );
    // Programs read what people see, and the finding by itself beside it.
    let json = serde_json::to_value(&diagnosis).expect("plain data");
    for (row, printed) in diagnosis.checks.iter().zip(json["checks"].as_array().expect("a list")) {
        let name = |status| serde_json::to_value(status).expect("a word");
        assert_eq!(printed["status"], name(diagnosis.status(row)), "{}", row.check);
        assert_eq!(printed["found"], name(row.finding.status), "{}", row.check);
    }
}

#[test]
fn the_screen_is_one_screen_and_ends_with_the_command() {
    let diagnosis = Root::debian().diagnosis(AskedMode::Only(Way::Module));
    let text = DiagnosisScreen(&diagnosis).to_string();
    assert!(text.lines().count() <= 40, "{text}");
    assert!(
        text.contains("does not work here by `module`")
            && text.contains("sudo ashmem module install"),
        "{text}"
    );
}

#[test]
fn json_has_every_check_with_what_it_looked_at() {
    let diagnosis = serde_json::to_value(Root::debian().diagnosis(AskedMode::Auto)).expect("JSON");
    assert_eq!(diagnosis["mode"], "auto");
    let checks = diagnosis["checks"].as_array().expect("a list");
    assert_eq!(checks.len(), ashmem_doctor::checks::ALL.len());
    for check in checks {
        for field in ["check", "looks_at", "status", "summary"] {
            assert!(
                check[field].as_str().is_some_and(|text| !text.is_empty()),
                "{field} of {check}"
            );
        }
    }
}

#[test]
fn names_from_files_cannot_write_to_the_terminal() {
    let root = Root::debian();
    root.file("proc/sys/kernel/osrelease", "6.1.0\u{1b}[2J\u{1b}]0;owned\u{7}");
    let text = DiagnosisScreen(&root.diagnosis(AskedMode::Auto)).to_string();
    assert!(!text.contains("\u{1b}[2J") && !text.contains('\u{7}'), "{text:?}");
}

#[test]
fn links_stay_inside_the_root() {
    let root = Root::debian();
    root.link("etc/dkms/framework.conf", "/etc/passwd")
        .link("var/lib/dkms/mok.pub", "../../../../../../../../etc/hostname");
    // Both would be found if they led to the machine's own files.
    assert_eq!(root.finding("signing key").summary, "not needed without Secure Boot");
    root.variable("SecureBoot", &[1]);
    assert_eq!(root.finding("signing key").summary, "there is none");
}
