// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every message that people have been seen to ask about, as they quoted it, and what it must be
//! taken for.

use ashmem_doctor::explain::line;

/// A quoted line and the message it must be recognised as.
const QUOTED: &[(&str, &str)] = &[
    // Android's libraries.
    (
        "I/ashmem  (  154): ioctl(ASHMEM_GET_SIZE): -1 != buf_size: 4096 , no ashmem-memfd compat \
         support",
        "memfd-without-ashmem-ioctls",
    ),
    (
        "E/ashmem  (  171): Unable to open ashmem device \
         /dev/ashmemfae27f22-285e-4301-9a83-f311f79c74d9 (error = No such file or directory)",
        "boot-id-name-missing",
    ),
    (
        "E ashmem  : Unable to open ashmem device (error = No such file or directory)",
        "device-missing",
    ),
    ("E ashmem  : Unable to open ashmem device", "device-missing"),
    (
        "E ashmem  : Unable to open ashmem device (error = Permission denied)",
        "device-not-permitted",
    ),
    (
        "open(\"/dev/ashmem<boot_id>\") = -1 ENOENT (No such file or directory)",
        "boot-id-name-missing",
    ),
    ("open(\"/dev/ashmem\", O_RDWR) = -1 EACCES (Permission denied)", "device-not-permitted"),
    ("/dev/ashmem Permission denied", "device-not-permitted"),
    ("cannot open /dev/ashmem: Operation not permitted", "device-open-eperm"),
    ("/dev/ashmem<boot_id> ENOENT and /dev/ashmem Permission denied", "boot-id-name-missing"),
    ("ashmem: Operation not permitted", "ashmem-not-permitted"),
    ("E MyApp: Operation not permitted (ashmem)", "ashmem-not-permitted"),
    ("ashmem: Permission denied", "device-not-permitted"),
    ("mmap of the ashmem region failed: Operation not permitted", "mapping-refused-by-mask"),
    ("E ashmem: mprotect: Permission denied", "mapping-refused-by-mask"),
    ("SET_NAME: Inappropriate ioctl for device", "not-ashmem-ioctl"),
    ("F/ashmem  (  99): illegal fd=42 mode=0100777 rdev=0:0 expected 10:58", "illegal-descriptor"),
    (
        "ioctl(14, ASHMEM_SET_NAME, 0x7ffd) = -1 ENOTTY (Inappropriate ioctl for device)",
        "not-ashmem-ioctl",
    ),
    ("ashmem_pin_region: Not a typewriter", "not-ashmem-ioctl"),
    (
        "avc: denied { open } for path=\"/dev/ashmem\" dev=\"tmpfs\" scontext=u:r:untrusted_app:s0 \
         tcontext=u:object_r:ashmem_device:s0 tclass=chr_file",
        "apps-may-not",
    ),
    (
        "audit: type=1326 audit(1660.1:7): comm=\"mediaextractor\" sig=31 arch=c000003e \
         syscall=319 compat=0",
        "memfd-killed-by-seccomp",
    ),
    ("init: setprop sys.use_memfd false", "use-memfd-too-late"),
    ("cmdline: androidboot.use_memfd=1", "use-memfd-too-late"),
    ("E CursorWindow: Failed to create CursorWindow ashmem region", "cursor-window"),
    ("ashmem_create_region failed for gralloc-buffer", "cursor-window"),
    ("Process com.google.android.gms has died", "gms-on-memfd"),
    ("Abort message: 'ubsan: add-overflow' in ashmem_get_size_region", "size-overflow"),
    ("Fatal signal 7 (SIGBUS), code 2 (BUS_ADRERR) in tid 51 (zygote64)", "sigbus"),
    ("init: Service 'surfaceflinger' (pid 98) received signal 6", "surfaceflinger"),
    (
        "linker: program alignment (4096) cannot be smaller than system page size (16384)",
        "page-size",
    ),
    // Loading.
    ("(000.1) Module ashmem_linux not found", "module-not-found"),
    (
        "modprobe: FATAL: Module ashmem_linux not found in directory /lib/modules/6.1.0-9-amd64",
        "module-not-found",
    ),
    (
        "modprobe: ERROR: could not insert 'ashmem_linux': Operation not permitted",
        "module-not-permitted",
    ),
    ("ashmem_linux: Operation not permitted", "module-not-permitted"),
    (
        "insmod: ERROR: could not insert module ./ashmem_linux.ko: Permission denied",
        "module-not-permitted",
    ),
    (
        "modprobe: ERROR: could not insert 'ashmem_linux': Required key not available",
        "key-not-available",
    ),
    (
        "modprobe: ERROR: could not insert 'ashmem_linux': Key was rejected by service",
        "key-not-available",
    ),
    ("modprobe: ERROR: could not insert 'ashmem_linux': Exec format error", "wrong-kernel"),
    (
        "ashmem_linux: version magic '5.4.0-42-generic SMP mod_unload ' should be '5.8.0-1-generic \
         SMP mod_unload '",
        "wrong-kernel",
    ),
    ("ashmem_linux: disagrees about version of symbol module_layout", "wrong-kernel"),
    ("Loading of unsigned module is rejected", "key-not-available"),
    (
        "Lockdown: modprobe: unsigned module loading is restricted; see man kernel_lockdown.7",
        "lockdown",
    ),
    (
        "ashmem_linux: module verification failed: signature and/or required key missing - \
         tainting kernel",
        "verification-failed-harmless",
    ),
    ("ashmem_linux: loading out-of-tree module taints kernel.", "out-of-tree-harmless"),
    ("sysfs: cannot create duplicate filename '/devices/virtual/misc/ashmem'", "already-built-in"),
    (
        "ashmem_linux: this kernel already has an ashmem device (see /proc/misc): nothing to do, \
         not loaded",
        "already-built-in",
    ),
    (
        "ashmem_linux: the Rust object and the C glue are of different builds: build the module \
         anew",
        "module-halves",
    ),
    ("rmmod: ERROR: Module ashmem_linux is in use", "module-in-use"),
    ("error: Failed assertions: - CONFIG_ASHMEM is not enabled!", "config-ashmem"),
    // Builds.
    (
        "ashmem.c:883:8: error: too few arguments to function 'register_shrinker'",
        "old-module-shrinker",
    ),
    (
        "ERROR: modpost: \"kallsyms_lookup_name\" \
         [/var/lib/dkms/anbox-ashmem/1/build/ashmem_linux.ko] undefined!",
        "old-module-symbol-lookup",
    ),
    ("ashmem.c:398:16: error: assignment of read-only member 'vm_flags'", "old-module-vm-flags"),
    (
        "ashmem.c:443:19: error: 'struct mm_struct' has no member named 'get_unmapped_area'",
        "old-module-get-unmapped-area",
    ),
    ("binder_linux: Unknown symbol __vfs_read (err 0)", "old-module-unexported-symbol"),
    ("ashmem_linux: Unknown symbol shmem_zero_setup (err -2)", "old-module-unexported-symbol"),
    (
        "Error! Bad return status for module build on kernel: 6.1.0-9-amd64 (x86_64)",
        "dkms-build-failed",
    ),
    ("bad exit status 2", "dkms-build-failed"),
    ("Error! make KERNELRELEASE=6.1.0 failed: bad exit status: 2", "dkms-build-failed"),
    ("binary package for anbox-ashmem: 1 not found", "dkms-package-missing"),
    ("Error! Your kernel headers for kernel 6.1.0-9-amd64 cannot be found.", "headers-missing"),
    ("warning: the compiler differs from the one used to build the kernel", "wrong-compiler"),
    ("ld: final link failed: No space left on device", "no-space"),
    // The kernel in trouble.
    ("traps: Missing ENDBR: __do_sys_mount+0x0/0x20", "missing-endbr"),
    ("RIP: 0010:ashmem_read+0x54/0xb0 [ashmem_linux]", "old-driver-oops"),
    ("BUG: unable to handle kernel paging request in ashmem_read", "old-driver-oops"),
    ("CR0 WP bit went missing!?", "fops-patched"),
    // Containers.
    (
        "docker: Error response from daemon: CDI device injection failed: unresolvable CDI devices \
         android.dev/ashmem=all",
        "cdi-unknown",
    ),
    (
        "Error: setting up CDI devices: unresolvable CDI devices android.dev/ashmem=all",
        "cdi-unknown",
    ),
    (
        "error gathering device information while adding custom device \"/dev/ashmem\": no such \
         file or directory",
        "device-not-gathered",
    ),
    (
        "failed to connect with /run/ashmem/agent.sock seccomp agent specified in the seccomp \
         profile: connection refused",
        "agent-not-reached",
    ),
    (
        "ashmem: the program was not started: seccomp says EBUSY: another supervisor already \
         listens to this process",
        "already-supervised",
    ),
    (
        "ashmem: the program was not started: seccomp refuses a user-notification filter: Invalid \
         argument",
        "not-supervised",
    ),
    ("open /dev/ashmem: Function not implemented", "agent-died"),
    ("mknod /dev/ashmem c 10 55", "fixed-device-number"),
];

#[test]
fn every_quoted_message_is_recognised_for_what_it_is() {
    let wrong: Vec<_> = QUOTED
        .iter()
        .filter_map(|(quoted, id)| {
            let found = line(quoted).map_or("nothing", |message| message.id);
            (found != *id).then(|| format!("{quoted}\n  should be {id}, is {found}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_message_of_the_tables_has_a_quoted_one() {
    let unquoted: Vec<_> = ashmem_doctor::explain::messages()
        .map(|message| message.id)
        .filter(|id| !QUOTED.iter().any(|(_, quoted)| quoted == id))
        .collect();
    assert!(unquoted.is_empty(), "quote one for each, or take the message out: {unquoted:?}");
}

#[test]
fn other_lines_are_not_taken_for_ours() {
    for other in [
        "usb 1-1.2: new high-speed USB device number 5 using xhci_hcd",
        "audit: type=1400 apparmor=\"ALLOWED\" operation=\"open\" profile=\"lxc-waydroid\" \
         name=\"/sys/kernel/mm\"",
        "systemd[1]: Started Session 4 of user root.",
        "ashmem_linux: loaded",
        "E/Vold: Failed to open /dev/block/sda: No such file or directory",
        "I SurfaceFlinger: Using HWComposer service: default",
        "PM: suspend exit",
        "wlan0: deauthenticating from 00:11 by local choice (Reason: 3=DEAUTH_LEAVING)",
        "bash: cannot create temp file: Permission denied",
        "I/zygote64: Explicit concurrent copying GC freed 1 (56KB) AllocSpace objects",
    ] {
        assert_eq!(line(other).map(|message| message.id), None, "{other}");
    }
}
