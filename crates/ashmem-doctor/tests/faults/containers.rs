// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runtimes, engines, the agent's sockets, CDI.

use ashmem_doctor::finding::FindingStatus;

use crate::root::{BOOT_ID, Root, expect};

const HEADER: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n";

#[test]
fn the_agent_is_not_there() {
    let root = Root::debian();
    expect(
        &root.finding("agent"),
        FindingStatus::Fault,
        &["nobody listens"],
        &["sudo ashmem agent --keep --oci"],
    );
    root.file("run/systemd/system/x", "");
    expect(
        &root.finding("agent"),
        FindingStatus::Fault,
        &[],
        &["sudo apt install ./ashmem_*.deb", "systemctl enable --now ashmem-agent.socket"],
    );
    root.file("usr/lib/systemd/system/ashmem-agent.socket", "");
    expect(
        &root.finding("agent"),
        FindingStatus::Fault,
        &[],
        &["sudo systemctl enable --now ashmem-agent.socket"],
    );
}

#[test]
fn the_agent_died_and_left_its_sockets() {
    let root = Root::debian();
    drop(
        std::os::unix::net::UnixListener::bind(root.at("run/ashmem/agent.sock")).expect("a socket"),
    );
    root.file(
        "proc/net/unix",
        format!("{HEADER}0: 00000003 00000000 00000000 0001 03 77 /run/ashmem/agent.sock\n"),
    );
    expect(
        &root.finding("agent"),
        FindingStatus::Fault,
        &["left of an agent that is gone", "ENOSYS"],
        &["ashmem agent --keep"],
    );
}

#[test]
fn without_systemd_the_service_that_is_there_is_advised() {
    let root = Root::debian();
    let next = |root: &Root, command: &str| {
        let finding = root.finding("agent");
        expect(&finding, FindingStatus::Fault, &["nobody listens"], &[command]);
    };
    next(&root, "ashmem agent --keep");
    root.file("etc/sv/ashmem-agent/run", "").file("var/service/x", "");
    next(&root, "sudo ln -s /etc/sv/ashmem-agent /var/service");
    root.file("etc/init.d/ashmem-agent", "");
    next(&root, "sudo rc-service ashmem-agent start");
}

#[test]
fn the_agent_listens() {
    let root = Root::debian();
    let listens = |path: &str| format!("0: 00000002 00000000 00010000 0001 01 77 {path}\n");
    root.file(
        "proc/net/unix",
        format!("{HEADER}{}{}", listens("/run/ashmem/agent.sock"), listens("/run/ashmem/lxc.sock")),
    );
    expect(
        &root.finding("agent"),
        FindingStatus::Fault,
        &["no such runtime"],
        &["sudo apt install runc"],
    );
    root.program("usr/bin/crun");
    expect(&root.finding("agent"), FindingStatus::Ok, &["OCI runtimes and LXC"], &[]);
}

#[test]
fn lxc() {
    let root = Root::with_module();
    expect(&root.finding("LXC"), FindingStatus::Absent, &["not installed"], &[]);
    root.program("usr/bin/lxc-start")
        .file("usr/lib/x86_64-linux-gnu/liblxc.so.1", "\0seccomp_notify\0");
    expect(
        &root.finding("LXC"),
        FindingStatus::Warning,
        &["without seccomp_proxy_send_notify_fd"],
        &["--mode module"],
    );
    root.file("usr/lib/x86_64-linux-gnu/liblxc.so.1", "\0seccomp_proxy_send_notify_fd\0");
    expect(&root.finding("LXC"), FindingStatus::Ok, &["installed"], &[]);
    let bind = "lxc.mount.entry = /dev/ashmem dev/ashmem none bind,create=file 0 0\n";
    root.file(
        "var/lib/lxc/android/config",
        format!("{bind}lxc.cgroup2.devices.allow = c 10:55 rwm\n"),
    );
    expect(
        &root.finding("LXC"),
        FindingStatus::Warning,
        &["/var/lib/lxc/android/config", "10:55", "10:58"],
        &["sed -i"],
    );
    root.file(
        "var/lib/lxc/android/config",
        format!("{bind}lxc.cgroup2.devices.allow = c 10:58 rwm\n"),
    );
    expect(&root.finding("LXC"), FindingStatus::Ok, &[], &[]);
}

#[test]
fn cdi() {
    let root = Root::with_module();
    expect(&root.finding("CDI"), FindingStatus::Absent, &["no engine"], &[]);
    root.program("usr/bin/podman");
    expect(
        &root.finding("CDI"),
        FindingStatus::Warning,
        &["podman"],
        &["sudo ashmem cdi --output /run/cdi/ashmem.json"],
    );
    root.file(
        "etc/cdi/ashmem.json",
        "{\"path\": \"/dev/ashmem11111111-2222-3333-4444-555555555555\"}",
    );
    expect(
        &root.finding("CDI"),
        FindingStatus::Warning,
        &["earlier boot"],
        &["ashmem cdi --output /etc/cdi/ashmem.json"],
    );
    root.file("etc/cdi/ashmem.json", format!("{{\"path\": \"/dev/ashmem{BOOT_ID}\"}}"));
    expect(&root.finding("CDI"), FindingStatus::Ok, &["/etc/cdi/ashmem.json"], &[]);
    root.file("proc/misc", "");
    expect(&root.finding("CDI"), FindingStatus::Warning, &["not there"], &["--mode module"]);
}

#[test]
fn a_container_in_a_container_is_told_layer_by_layer() {
    let root = Root::with_module();
    let process = |pid: u32, parent: u32, inner: &str, namespace: u32, group: &str| {
        let folder = format!("proc/{pid}");
        root.file(&format!("{folder}/status"), format!("PPid:\t{parent}\nNSpid:\t{pid}{inner}\n"))
            .file(&format!("{folder}/cgroup"), format!("0::/{group}\n"))
            .link(&format!("{folder}/ns/pid"), &format!("pid:[{namespace}]"))
            .link(&format!("{folder}/ns/mnt"), &format!("mnt:[{namespace}]"));
    };
    root.link("proc/self/ns/pid", "pid:[1]").link("proc/self/ns/mnt", "mnt:[1]");
    process(5, 1, "", 1, "init.scope");
    process(10, 5, "\t1", 2, "lxc.payload.outer");
    // What starts containers in there, and one of them.
    process(15, 10, "\t7", 2, "lxc.payload.outer");
    process(20, 15, "\t9\t1", 3, "lxc.payload.outer/docker-inner.scope");
    root.file("proc/10/root/etc/hostname", "").file("proc/20/root/dev/ashmem", "");
    expect(
        &root.finding("containers"),
        FindingStatus::Warning,
        &[
            "1 of 2",
            "outer > inner (pid 20): /dev/ashmem is no character device",
            "pid 10 has none",
        ],
        &["--root /proc/10/root", "--root /proc/20/root"],
    );
}
