// SPDX-License-Identifier: MIT OR Apache-2.0
//! Enabling, disabling and starting, and what goes wrong with each.

mod machine;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use ashmem_waydroid::drop_in::PATH;
use ashmem_waydroid::provider::{Lack, Mode, Provider, When};
use ashmem_waydroid::start::{self, ContainerStart};
use ashmem_waydroid::status::WaydroidStatus;
use ashmem_waydroid::switch::{Error, disable, enable};
use machine::{BOOT_ID, CONFIG, Machine, RELEASE};

/// The file in /etc, below a root.
fn drop_in() -> &'static str {
    PATH.trim_start_matches('/')
}

/// What a start of the container now gets.
fn start(machine: &Machine, mode: Mode) -> ContainerStart {
    let start = ContainerStart::plan(&machine.host(), mode, When::Now).expect("a plan");
    start.write(&machine.host()).expect("its files");
    start
}

fn refusal(machine: &Machine, mode: Mode) -> String {
    let before = machine.files();
    let error = enable(&machine.host(), mode, false).expect_err("a refusal").to_string();
    assert_eq!(machine.files(), before, "a refusal changes nothing");
    error
}

#[test]
fn disabling_leaves_every_file_as_it_was() {
    for folder_was_there in [false, true] {
        let machine = Machine::new();
        machine.load_module();
        if folder_was_there {
            machine.put(
                "etc/systemd/system/waydroid-container.service.d/10-mine.conf",
                "[Service]\nNice=5\n",
            );
        }
        let before = machine.files();
        enable(&machine.host(), Mode::Auto, false).expect("enabled");
        let mode = fs::metadata(machine.at(drop_in())).expect("the file").permissions().mode();
        assert_eq!(mode & 0o7777, 0o644);
        start(&machine, Mode::Auto);
        disable(&machine.host(), false).expect("disabled");
        machine.remove("run/ashmem");
        assert_eq!(machine.files(), before);
    }
}

#[test]
fn enabling_twice_changes_nothing_the_second_time() {
    let machine = Machine::new();
    machine.load_module();
    enable(&machine.host(), Mode::Auto, false).expect("enabled");
    let once = machine.files();
    let report = enable(&machine.host(), Mode::Auto, false).expect("enabled again");
    assert!(report.done[0].contains("already"), "{report:?}");
    assert_eq!(machine.files(), once);
    enable(&machine.host(), Mode::Module, false).expect("in another mode");
    assert!(machine.text(drop_in()).contains("ASHMEM_WAYDROID_MODE=module\n"));
    disable(&machine.host(), false).expect("disabled");
    assert!(
        !machine.at("etc/systemd/system/waydroid-container.service.d").exists(),
        "the first had made the folder"
    );
}

#[test]
fn a_dry_run_changes_nothing() {
    let machine = Machine::new();
    machine.load_module();
    let before = machine.files();
    let report = enable(&machine.host(), Mode::Auto, true).expect("it would be");
    assert!(report.done[0].contains("ASHMEM_WAYDROID_MODE=auto"), "{report:?}");
    assert_eq!(machine.files(), before);
    enable(&machine.host(), Mode::Auto, false).expect("enabled");
    let enabled = machine.files();
    disable(&machine.host(), true).expect("it would be");
    assert_eq!(machine.files(), enabled);
}

#[test]
fn an_enabling_that_was_cut_off_is_taken_back() {
    let machine = Machine::new();
    machine.load_module();
    machine.put("etc/systemd/system/waydroid-container.service.d/50-ashmem.part", "# Writ");
    disable(&machine.host(), false).expect("disabled");
    assert!(!machine.at("etc/systemd/system/waydroid-container.service.d/50-ashmem.part").exists());
    // And one goes through where an earlier one was cut off.
    machine.put("etc/systemd/system/waydroid-container.service.d/50-ashmem.part", "# Writ");
    enable(&machine.host(), Mode::Auto, false).expect("enabled");
    assert!(!machine.at("etc/systemd/system/waydroid-container.service.d/50-ashmem.part").exists());
    let report = disable(&Machine::new().host(), false).expect("nothing to do");
    assert!(report.done[0].contains("was not enabled"), "{report:?}");
}

#[test]
fn a_file_that_is_not_ours_is_left_alone() {
    let machine = Machine::new();
    machine.load_module();
    enable(&machine.host(), Mode::Auto, false).expect("enabled");
    machine.put(drop_in(), &(machine.text(drop_in()) + "Nice=5\n"));
    let before = machine.files();
    assert!(matches!(disable(&machine.host(), false), Err(Error::Foreign)));
    assert!(matches!(enable(&machine.host(), Mode::Auto, false), Err(Error::Foreign)));
    assert_eq!(machine.files(), before);
    assert!(!WaydroidStatus::of(&machine.host()).is_good());
}

#[test]
fn what_is_missing_is_said_with_what_to_do() {
    let machine = Machine::new();
    let error = refusal(&machine, Mode::Auto);
    assert!(error.contains(&format!("no module ashmem_linux for kernel {RELEASE}")), "{error}");
    assert!(
        error.contains("systemd knows no ashmem-join.socket: install the package ashmem"),
        "{error}"
    );
    assert!(!refusal(&machine, Mode::Module).contains("agent"));
    machine.load_module();
    machine.remove("run/systemd");
    assert!(
        refusal(&machine, Mode::Auto).contains("put /usr/lib/ashmem/waydroid first in the PATH")
    );
    machine.folder("run/systemd/system");
    machine.remove("usr/lib/ashmem");
    assert!(refusal(&machine, Mode::Auto).contains("install the package ashmem"));
    machine.remove("usr/lib/systemd/system/waydroid-container.service");
    assert!(refusal(&machine, Mode::Auto).contains("Waydroid is not installed"));
}

#[test]
fn the_agent_wants_a_kernel_that_can() {
    let machine = Machine::new();
    let _agent = machine.start_agent();
    machine.put("proc/sys/kernel/osrelease", "5.10.0-35-amd64\n");
    assert!(
        refusal(&machine, Mode::Agent)
            .contains("needs Linux 5.14 or newer, and this is 5.10.0-35-amd64")
    );
    machine.put("proc/sys/kernel/osrelease", "5.14.0\n");
    enable(&machine.host(), Mode::Agent, false).expect("enabled");
    assert!(machine.text(drop_in()).contains("Wants=ashmem-join.socket\n"));
}

#[test]
fn without_the_program_to_join_by_the_agent_cannot_serve() {
    let machine = Machine::new();
    let _agent = machine.start_agent();
    machine.remove("usr/lib/ashmem/ashmem-join");
    let error = refusal(&machine, Mode::Agent);
    assert!(error.contains("/usr/lib/ashmem/ashmem-join is not there"), "{error}");
    let plan = start(&machine, Mode::Agent);
    assert_eq!((plan.provider, plan.lacks), (None, vec![Lack::NoJoin]));
}

#[test]
fn it_can_be_enabled_before_waydroid_is_initialised() {
    let machine = Machine::new();
    machine.load_module();
    machine.remove("var/lib/waydroid");
    let report = enable(&machine.host(), Mode::Auto, false).expect("enabled");
    assert!(report.notes.iter().any(|note| note.contains("sudo waydroid init")), "{report:?}");
    assert_eq!(WaydroidStatus::of(&machine.host()).next, ["sudo waydroid init"]);
    let error =
        ContainerStart::plan(&machine.host(), Mode::Auto, When::Now).expect_err("nothing to start");
    assert!(matches!(error, start::Error::NotInitialised));
    machine.upgrade();
    assert!(WaydroidStatus::of(&machine.host()).is_good());
}

#[test]
fn a_damaged_configuration_is_named_and_left_alone() {
    for (path, text, words) in [
        (CONFIG, "lxc.rootfs.path = /r\nlxc.include\n", "line 2: \"lxc.include\" is neither"),
        (CONFIG, "\u{0}\u{1}", "line 1"),
        (CONFIG, "", "has no lxc.rootfs.path"),
        (
            CONFIG,
            "lxc.rootfs.path = /r\nlxc.seccomp.profile = /s\n",
            "has no lxc.mount.entry of a tmpfs at dev",
        ),
        (CONFIG, "lxc.include = /nowhere\n", "nowhere: No such file"),
        (CONFIG, "lxc.include = /var/lib/waydroid/lxc/waydroid/config\n", "included within itself"),
    ] {
        let machine = Machine::new();
        let _agent = machine.start_agent();
        machine.put(path, text);
        let error = refusal(&machine, Mode::Agent);
        assert!(error.contains(words) && error.ends_with("; nothing was changed"), "{error}");
        assert!(
            ContainerStart::plan(&machine.host(), Mode::Agent, When::Now).is_err(),
            "a start is left as Waydroid has it"
        );
    }
    let machine = Machine::new();
    machine.load_module();
    fs::write(machine.at(CONFIG), [0xff, 0xfe, b'\n']).expect("bytes that are no text");
    assert!(refusal(&machine, Mode::Module).contains("UTF-8"));
}

#[test]
fn settings_of_another_are_not_overruled() {
    for (line, words) in [
        (
            "lxc.seccomp.notify.proxy = unix:/run/other.sock",
            "lxc.seccomp.notify.proxy = unix:/run/other.sock",
        ),
        ("lxc.mount.entry = /dev/zero dev/ashmem none bind 0 0", "dev/ashmem = /dev/zero"),
    ] {
        let machine = Machine::new();
        machine.load_module();
        machine.put(CONFIG, &format!("{}{line}\n", machine.text(CONFIG)));
        let error = refusal(&machine, Mode::Auto);
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn the_module_serves_where_it_is_loaded() {
    let machine = Machine::new();
    machine.load_module();
    let _agent = machine.start_agent();
    // Waydroid was initialised before the module was there.
    let waydroids = machine.text(CONFIG);
    assert_eq!(start(&machine, Mode::Auto).provider, Some(Provider::Module));
    let config = machine.text("run/ashmem/waydroid/config");
    assert!(config.contains("lxc.include = /var/lib/waydroid/lxc/waydroid/config\n"), "{config}");
    assert!(config.contains("= /dev/ashmem dev/ashmem none"), "{config}");
    assert!(config.contains(&format!("= /dev/ashmem dev/ashmem{BOOT_ID} none")), "{config}");
    assert!(!config.contains("seccomp"), "{config}");
    assert!(machine.text("run/ashmem/waydroid/waydroid.prop").ends_with("sys.use_memfd=false\n"));
    assert_eq!(machine.text(CONFIG), waydroids);
    // And after an upgrade, which finds it: one name is Waydroid's own.
    machine.upgrade();
    let plan = start(&machine, Mode::Auto);
    assert_eq!(plan.was_use_memfd, Some(false));
    let config = machine.text("run/ashmem/waydroid/config");
    assert!(!config.contains(" dev/ashmem none") && config.contains(BOOT_ID), "{config}");
    assert!(!config.contains("waydroid.prop"), "{config}");
    // Another boot, another name.
    machine.put("proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n");
    start(&machine, Mode::Auto);
    let config = machine.text("run/ashmem/waydroid/config");
    assert!(config.contains("dev/ashmem11111111-") && !config.contains(BOOT_ID), "{config}");
}

#[test]
fn the_agent_serves_where_the_module_does_not() {
    let machine = Machine::new();
    machine.load_module();
    machine.upgrade();
    // A kernel update took the module away.
    machine.remove("dev/ashmem");
    let _agent = machine.start_agent();
    let plan = start(&machine, Mode::Auto);
    assert_eq!(plan.provider, Some(Provider::Agent));
    assert_eq!(plan.lacks, [Lack::NoModule(RELEASE.to_owned())]);
    let config = machine.text("run/ashmem/waydroid/config");
    assert!(config.contains("= /dev/full dev/ashmem none"), "{config}");
    assert!(!config.contains("seccomp"), "Waydroid's policy stays as it is: {config}");
    let (program, socket) = ("dev/.ashmem-join", "dev/.ashmem-join.sock");
    for line in [
        format!("lxc.mount.entry = /usr/lib/ashmem/ashmem-join {program} none bind,ro,create=file"),
        format!("lxc.mount.entry = /run/ashmem/join.sock {socket} none bind,create=file"),
        format!("lxc.init.cmd = /{program} --agent /{socket} --or-without -- /init\n"),
    ] {
        assert!(config.contains(&line), "{line} is not in {config}");
    }
    assert!(machine.text("run/ashmem/waydroid/waydroid.prop").ends_with("sys.use_memfd=true\n"));
}

#[test]
fn with_neither_android_is_told_to_use_memfd() {
    let machine = Machine::new();
    machine.load_module();
    machine.upgrade();
    machine.remove("dev/ashmem");
    let agent = machine.start_agent();
    drop(agent);
    let plan = start(&machine, Mode::Auto);
    assert_eq!(plan.provider, None);
    assert!(
        matches!(plan.lacks.as_slice(), [Lack::NoModule(_), Lack::Silent(_)]),
        "{:?}",
        plan.lacks
    );
    assert!(
        plan.summary().contains("sudo systemctl start ashmem-join.socket"),
        "{}",
        plan.summary()
    );
    let config = machine.text("run/ashmem/waydroid/config");
    assert!(!config.contains("seccomp") && !config.contains("dev/ashmem"), "{config}");
    assert!(config.contains("waydroid.prop vendor/waydroid.prop"), "{config}");
    // Where Waydroid has said so itself, nothing is added at all.
    machine.upgrade();
    let plan = ContainerStart::plan(&machine.host(), Mode::Auto, When::Now).expect("a plan");
    assert_eq!(plan.write(&machine.host()).expect("nothing to write"), None);
}

#[test]
fn a_module_that_is_installed_counts_before_it_is_loaded() {
    let machine = Machine::new();
    machine
        .put(&format!("lib/modules/{RELEASE}/modules.dep"), "updates/dkms/ashmem_linux.ko.xz:\n");
    enable(&machine.host(), Mode::Auto, true).expect("it would be");
    let status = WaydroidStatus::of(&machine.host());
    assert_eq!(status.provider, Some(Provider::Module));
    assert!(!status.is_good(), "it is not enabled");
    // One that makes no device when it is loaded does not serve.
    let plan = ContainerStart::plan(&machine.host(), Mode::Module, When::Now).expect("a plan");
    assert_eq!((plan.provider, plan.lacks), (None, vec![Lack::NoDevice]));
}
