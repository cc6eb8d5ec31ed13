// SPDX-License-Identifier: MIT OR Apache-2.0
//! One trouble in many words: each thing, with each way to say that it could not be used, with each
//! error, must be taken for what it is. A corpus holds lines that somebody saw; this holds those
//! that others will see.

use ashmem_doctor::explain;

/// `%` stands for the thing, `!` for the error.
const OPENED: &[&str] = &[
    "failed to open %: !",
    "open(%) failed: !",
    "cannot open %: !",
    "error opening %: !",
    "could not access %: !",
    "can't open % (!)",
    "opening %: !",
    "open %: !",
    "% open failed, !",
    "% could not be opened: !",
    "% unavailable: !",
    "%: open: !",
    "failed opening %, reason !",
    "Opening '%' failed: !",
];

const MAPPED: &[&str] = &[
    "mmap % failed: !",
    "mmap of % failed: !",
    "failed to map %: !",
    "cannot mmap %: !",
    "mapping %: !",
    "Failed to mmap fd 5 of %, error: !",
    "mprotect on %: !",
];

const CALLED: &[&str] =
    &["ioctl(%) failed: !", "% failed: !", "%: !", "error % (!)", "ioctl % returned -1: !"];

const LOADED: &[&str] = &[
    "modprobe: ERROR: could not insert '%': !",
    "insmod: ERROR: could not insert module %.ko: !",
    "modprobe: can't load module %: !",
    "systemd-modules-load[1]: Failed to insert module '%': !",
    "modprobe: FATAL: Error inserting % (/lib/modules/6.1.0/extra/x.ko): !",
    "Failed to load %: !",
    "Error loading module %: !",
    "Loading module % failed: !",
    // toybox' and Android's own.
    "insmod: failed to load %.ko: !",
    "insmod: init_module '%.ko' failed (!)",
    "libmodprobe: Failed to insmod '/vendor/lib/modules/%.ko' with args '': !",
];

#[track_caller]
fn are(things: &[&str], ways: &[&str], errors: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (thing, way) in things.iter().flat_map(|thing| ways.iter().map(move |way| (thing, way))) {
        for (error, id) in errors {
            let line = way.replace('%', thing).replace('!', error);
            let found = explain::line(&line).map_or("nothing", |message| message.id);
            if found != *id {
                wrong.push(format!("{line}\n  should be {id}, is {found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_device_is_not_opened() {
    let things = ["/dev/ashmem", "ashmem device", "ashmem", "`/dev/ashmem`", "ASHMEM_DEVICE"];
    are(
        &things,
        OPENED,
        &[
            ("No such file or directory", "device-missing"),
            ("ENOENT", "device-missing"),
            ("Permission denied", "device-not-permitted"),
            ("Os { code: 13, kind: PermissionDenied }", "device-not-permitted"),
            ("errno=13", "device-not-permitted"),
            ("ret = -13", "device-not-permitted"),
            ("Operation not permitted", "device-open-eperm"),
            ("No such device or address", "device-number-dead"),
            ("Too many open files", "too-many-descriptors"),
            ("Cannot allocate memory", "no-memory-for-region"),
        ],
    );
}

#[test]
fn binder_is_not_opened() {
    let things =
        ["/dev/binder", "/dev/anbox-hwbinder", "/dev/binderfs/binder", "binder device", "hwbinder"];
    are(
        &things,
        OPENED,
        &[
            ("No such file or directory", "binder-device-missing"),
            ("No such device or address", "binder-device-missing"),
            ("Permission denied", "binder-not-permitted"),
            ("EACCES", "binder-not-permitted"),
            ("Operation not permitted", "binder-not-permitted"),
            ("Too many open files", "too-many-descriptors"),
        ],
    );
}

#[test]
fn a_region_is_not_mapped() {
    let things = ["ashmem region", "/dev/ashmem", "ashmem fd", "SharedMemory", "MemoryFile"];
    are(
        &things,
        MAPPED,
        &[
            ("Permission denied", "mapping-refused-by-mask"),
            ("Operation not permitted", "mapping-refused-by-mask"),
            ("Invalid argument", "bad-region-call"),
            ("Bad file descriptor", "bad-region-call"),
            ("Cannot allocate memory", "no-memory-for-region"),
            ("Too many open files", "too-many-descriptors"),
        ],
    );
}

#[test]
fn a_call_is_refused() {
    let things = [
        "ASHMEM_SET_SIZE",
        "ASHMEM_SET_NAME",
        "ASHMEM_PIN",
        "ASHMEM_SET_PROT_MASK",
        "ashmem_set_prot_region",
        "ashmem_get_size_region",
    ];
    are(
        &things,
        CALLED,
        &[
            ("Inappropriate ioctl for device", "not-ashmem-ioctl"),
            ("Not a typewriter", "not-ashmem-ioctl"),
            ("Invalid argument", "bad-region-call"),
            ("Bad address", "bad-region-call"),
            ("Function not implemented", "agent-died"),
        ],
    );
}

#[test]
fn a_module_is_not_loaded() {
    let both = [
        ("Operation not permitted", "module-not-permitted"),
        ("Exec format error", "wrong-kernel"),
        ("Invalid module format", "wrong-kernel"),
        ("Key was rejected by service", "key-not-available"),
        ("Required key not available", "key-not-available"),
        ("Unknown symbol in module, or unknown parameter (see dmesg)", "module-unknown-symbol"),
        ("Invalid argument", "module-refused-itself"),
        ("Cannot allocate memory", "module-no-memory"),
        ("Package not installed", "module-signature-hash"),
        ("Bad message", "module-signature-hash"),
    ];
    are(&["ashmem_linux", "ashmem", "binder_linux"], LOADED, &both);
    are(&["ashmem_linux", "ashmem"], LOADED, &[("File exists", "already-built-in")]);
    are(&["binder_linux"], LOADED, &[("File exists", "binder-already-there")]);
}

#[test]
fn other_things_in_the_same_words_are_not_ours() {
    let errors = ["No such file or directory", "Permission denied", "Too many open files"];
    let nothing: Vec<_> = errors.iter().map(|error| (*error, "nothing")).collect();
    are(&["/dev/kvm", "/dev/shm/x", "the camera", "/etc/hosts"], OPENED, &nothing);
    are(&["vboxdrv", "nvidia", "v4l2loopback"], LOADED, &nothing);
    are(&["buffer", "/tmp/file"], MAPPED, &nothing);
    are(&["TCGETS", "FIONREAD", "DRM_IOCTL_VERSION"], CALLED, &nothing);
}

#[test]
fn androids_neighbours_are_not_opened() {
    let logcat = OPENED.iter().map(|way| format!("E/x  (   31): {way}")).collect::<Vec<_>>();
    let logcat: Vec<_> = logcat.iter().map(|way| &**way).collect();
    let errors = ["No such file or directory", "Permission denied"];
    let all = |id| errors.map(|error| (error, id));
    are(&["/dev/dri/renderD128", "/dev/dri/card0", "/dev/mali0"], &logcat, &all("gpu-not-opened"));
    are(&["/proc/pressure/memory"], &logcat, &all("pressure-stall-missing"));
    // A desktop has them too.
    are(&["/dev/dri/renderD128", "/proc/pressure/memory"], OPENED, &all("nothing"));
    let services = ["/system/bin/servicemanager", "/system/bin/surfaceflinger"];
    let found = ["init: cannot find '%' (No such file or directory), disabling 'x'"];
    are(&services, &found, &[("", "image-program-missing")]);
    are(&["/vendor/bin/hw/rild", "/system/bin/update_verifier"], &found, &[("", "nothing")]);
}

#[test]
fn a_package_is_not_there() {
    let managers = [
        "E: Unable to locate package %",
        "E: Package '%' has no installation candidate",
        "Error: Unable to find a match: %",
        "No match for argument: %",
        "error: target not found: %",
        "No provider of '%' found.",
        "ERROR: unable to select packages:   % (no such package):",
        "'%' not found in package names. Trying capabilities.",
        "emerge: there are no ebuilds to satisfy \"%\".",
        "error: undefined variable '%'",
        "Package '%' not found in repository pool.",
        "Package % not available.",
        "dpkg-query: no packages found matching %",
        "There are no enabled repositories providing %",
    ];
    for (package, id) in [
        ("ashmem-dkms", "our-package-missing"),
        ("akmod-ashmem", "our-package-missing"),
        ("anbox-modules-dkms", "old-module-package-missing"),
        ("binder_linux-dkms", "binder-package-missing"),
        ("linux-headers-6.8.0-45-generic", "headers-not-in-archive"),
        ("kernel-devel-6.11.4-301.fc41.x86_64", "headers-not-in-archive"),
        ("linux-modules-extra-6.8.0-45-generic", "modules-extra-not-in-archive"),
        ("google-chrome", "nothing"),
    ] {
        are(&[package], &managers, &[("", id)]);
    }
}

#[test]
fn a_container_does_not_get_the_device() {
    let mounts = [
        "error during container init: error mounting \"%\" to rootfs at \"/x\": !: unknown",
        "rootfs_linux.go:76: mounting \"%\" to rootfs caused: !",
        "error preparing rootfs: bind-mount %: !",
        "Bind mount of % failed: !",
    ];
    let missing = ("no such file or directory", "mount-source-missing");
    let ashmem = [
        missing,
        ("operation not permitted", "mount-not-permitted"),
        ("not a directory", "device-path-is-a-directory"),
    ];
    are(&["/dev/ashmem"], &mounts, &ashmem);
    let binder = [
        missing,
        ("operation not permitted", "mount-not-permitted"),
        ("permission denied", "mount-not-permitted"),
        ("not a directory", "binder-not-a-device"),
    ];
    are(&["/dev/binder", "/dev/binderfs/binder"], &mounts, &binder);
    let resolved =
        ["failed to resolve device \"%\": !", "FATA[0000] failed to resolve device %: !"];
    are(&["/dev/ashmem"], &resolved, &[("no such file or directory", "device-missing")]);
    let pods = [
        ("0/3 nodes are available: 3 Insufficient %.", "k8s-no-device"),
        ("0/1 nodes are available: 1 Too few %", "k8s-no-device"),
        ("Node didn't have enough resource: %, requested: 1, used: 20", "k8s-no-device"),
        ("Allocate failed due to no healthy devices present; %", "k8s-device-unhealthy"),
        ("requested number of devices unavailable for %. Requested: 1", "k8s-no-device"),
        ("cannot allocate unregistered device %", "k8s-device-unhealthy"),
    ];
    for (way, id) in pods {
        let things = ["android.dev/ashmem", "smarter-devices/ashmem", "squat.ai/ashmem"];
        are(&things, &[way], &[("", id)]);
        are(&["nvidia.com/gpu", "memory"], &[way], &[("", "nothing")]);
    }
}

#[test]
fn a_module_is_not_taken_out() {
    let tools =
        ["rmmod: ERROR: Module %!", "modprobe: FATAL: Module %!", "rmmod: ERROR: module %!"];
    let both = [
        (" is not currently loaded", "module-not-loaded-harmless"),
        (" is not currently loaded.", "module-not-loaded-harmless"),
    ];
    are(&["ashmem_linux", "binder_linux"], &tools, &both);
    let toybox = ["rmmod: failed to unload %: !", "rmmod: can't unload module '%': !"];
    are(&["ashmem_linux"], &toybox, &[("Resource temporarily unavailable", "module-in-use")]);
    are(&["binder_linux"], &toybox, &[("Device or resource busy", "binder-in-use")]);
    let used = [" is in use", " is in use by: android", " is in use."];
    for used in used {
        are(&["ashmem_linux"], &tools, &[(used, "module-in-use")]);
        are(&["binder_linux"], &tools, &[(used, "binder-in-use")]);
        are(&["nvidia", "v4l2loopback"], &tools, &[(used, "nothing")]);
    }
}

#[test]
fn a_module_is_kept_out() {
    let ways = [
        "modprobe: ERROR: Error running install command for %",
        "modprobe: ERROR: could not insert '%': Error running install command",
        "modprobe: ERROR: x.c:1047 command_do() Error running install command 'false' for module \
         %: retcode 1",
        "systemd-modules-load[1]: Module '%' is deny-listed",
        "systemd-modules-load[1]: Module '%' is blacklisted",
        "Module % is blacklisted",
    ];
    are(&["ashmem_linux", "binder_linux"], &ways, &[("", "module-blacklisted")]);
    are(&["nouveau", "pcspkr"], &ways, &[("", "nothing")]);
}

#[test]
fn a_region_is_not_made() {
    let calls = [
        "ashmem_create_region failed for '%': !",
        "ashmem_create_region(%) failed: !",
        "Failed anonymous mmap. ashmem_create_region failed for '%': !",
        "CursorWindow: ashmem_create_region() failed: !",
        "platform_shared_memory_region_android.cc(160): Creating it failed: !",
    ];
    are(
        &["dalvik-main space", "AudioFlinger::Client"],
        &calls,
        &[
            ("Operation not permitted", "device-open-eperm"),
            ("Permission denied", "device-not-permitted"),
            ("No such file or directory", "device-missing"),
            ("No such device or address", "device-number-dead"),
            ("Too many open files", "too-many-descriptors"),
            ("-24", "too-many-descriptors"),
            ("Out of memory", "no-memory-for-region"),
        ],
    );
}

#[test]
fn memfd_is_refused() {
    let calls = [
        "memfd_create(%) failed: !",
        "memfd_create(\"%\", MFD_CLOEXEC) = -1 !",
        "Failed to memfd_create %: !",
        "memfd_create failed for %: !, no memfd support.",
    ];
    are(
        &["dalvik-main space", "region"],
        &calls,
        &[
            ("Operation not permitted", "memfd-refused"),
            ("EACCES (Permission denied)", "memfd-refused"),
            ("Function not implemented", "memfd-not-implemented"),
            ("Too many open files", "too-many-descriptors"),
        ],
    );
}

#[test]
fn a_build_has_not_what_it_calls() {
    let shells = ["/bin/sh: 1: %: not found", "make[2]: %: No such file or directory"];
    are(&["flex", "bison", "bc", "pahole", "perl"], &shells[1..], &[("", "build-tool-missing")]);
    are(&["gcc-13", "gcc", "cc"], &shells, &[("", "compiler-missing")]);
    are(&["clang-18", "ld.lld"], &shells, &[("", "clang-missing")]);
    are(&["node", "docker"], &shells, &[("", "nothing")]);
    let libraries = ["scripts/%: fatal error: !: No such file or directory"];
    let headers = ["openssl/opensslv.h", "gelf.h", "libelf.h"];
    for header in headers {
        are(&["sign-file.c:25:10"], &libraries, &[(header, "headers-incomplete")]);
    }
}

#[test]
fn a_pod_may_not_be() {
    let ways = [
        "pods \"%\" is forbidden: violates PodSecurity \"baseline:latest\": privileged",
        "pods \"%\" is forbidden: unable to validate against any security context constraint: []",
        "pods \"%\" is forbidden: PodSecurityPolicy: unable to admit pod: []",
        "Privileged containers are not allowed for %",
    ];
    are(&["redroid-0", "waydroid"], &ways, &[("", "k8s-podsecurity")]);
    are(&["nginx", "node-exporter"], &ways, &[("", "nothing")]);
}

#[test]
fn a_device_is_waited_for() {
    let ways = [
        "systemd[1]: Timed out waiting for device /dev/%.",
        "systemd[1]: dev-%.device: Job dev-%.device/start timed out.",
    ];
    are(&["ashmem"], &ways, &[("", "device-missing")]);
    are(&["binder", "hwbinder"], &ways, &[("", "binder-device-missing")]);
    are(&["sda1", "ttyS0"], &ways, &[("", "nothing")]);
}

#[test]
fn androids_init_does_not_mount_binder() {
    let options = ["", " stats=global", " rw nosuid"];
    let commands = [
        "init: Command 'mount binder binder /dev/binderfs%' action=early-init (/init.rc:62) took \
         0ms and failed: mount() failed: !",
        "[   12.345] init: Command 'mount binder binder /dev/binderfs%' failed: mount() failed: !",
    ];
    let errors = [
        ("Invalid argument", "binderfs-option"),
        ("No such device", "binderfs-missing"),
        ("Operation not permitted", "binderfs-not-permitted"),
        ("Permission denied", "binderfs-not-permitted"),
    ];
    are(&options, &commands, &errors);
}

#[test]
fn binders_file_system_stays_where_it_is() {
    let ways = ["umount: %: target is busy.", "rm: cannot remove '%': Device or resource busy"];
    are(&["/dev/binderfs", "/dev/binder"], &ways, &[("", "binder-in-use")]);
    are(&["/mnt/usb", "/dev/sda1"], &ways, &[("", "nothing")]);
}

#[test]
fn a_node_is_not_made() {
    let ways = [
        "mknod: /dev/%: !",
        "Failed to create device node \"/dev/%\": !",
        "error creating device nodes: mknod /dev/%: !",
        "lxc-start: x: conf.c: lxc_fill_autodev: 1 ! - Failed to create device node \"/dev/%\"",
    ];
    are(&["ashmem", "binder"], &ways, &[("Operation not permitted", "mknod-not-permitted")]);
    are(&["null", "sda"], &ways, &[("Operation not permitted", "nothing")]);
}
