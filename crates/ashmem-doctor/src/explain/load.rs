// SPDX-License-Identifier: MIT OR Apache-2.0
//! What modprobe, the kernel's loader and Secure Boot say of ashmem's and binder's modules.

use crate::advice::NextStep::{self, Do};
use crate::message::{Fact, Message};
use crate::subject::Subject::{BinderModule, Module};

const M: Message = Message::PLAIN;

/// How the tools say that they load a module.
const INSERT: &str = concat!(
    r"(could not|can't|cannot|failed to|unable to|error|fail\w*|couldn't)\b.*",
    r"(insert|load|init|module)|\b(insmod|modprobe|init_module|finit_module)\b|",
    r"(ashmem|binder)_linux: |insert(ing|ion)|\bload(ing)?\b.*(fail|error)|\blibkmod\b"
);

const ASK_THE_KERNEL: NextStep =
    Do("sudo dmesg | tail -20 | ashmem doctor explain   # the kernel's own \
                                 reason");

const NO_KEY: &str = "Secure Boot: the kernel takes modules only with a signature of a key that \
                      the firmware knows, and this one has none, or another's";

const BRING_KEY: &[NextStep] = &[
    Do("ashmem doctor --mode module   # leads through making and enrolling the key"),
    Do("sudo mokutil --import /var/lib/dkms/mok.pub   # then reboot, and confirm on the blue \
        screen"),
    Do("# or without a module: ashmem run -- PROGRAM"),
];

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "verification-failed-harmless",
        about: &[Module, BinderModule],
        says: r"module verification failed: signature and/or required key missing",
        is_harmless: true,
        cause: "harmless: the module is not signed, this kernel notes that and loads it all the \
                same",
        ..M
    },
    Message {
        id: "taint-harmless",
        about: &[Module, BinderModule],
        says: concat!(
            r"loading out-of-tree module taints kernel|module license .* taints kernel|",
            r"externally supported module|not supported by .*setting .*taint|",
            r"built without retpoline"
        ),
        is_harmless: true,
        cause: "harmless: the kernel notes that a module did not come with it, and loads it",
        ..M
    },
    Message {
        id: "mok-manager-missing",
        says: concat!(
            r"\bmm(x64|aa64|ia32)\.efi\b.*not found|failed to start MokManager|",
            r"import_mok_state\(\) failed"
        ),
        cause: "a key waits for its enrolment, and the program that asks for it at boot \
                (MokManager) is not beside the boot loader: the blue screen cannot come",
        next: &[
            Do("sudo mokutil --revoke-import   # takes the waiting key back, so that it boots"),
            Do("# then bring MokManager: Debian and Ubuntu: sudo apt install --reinstall \
                shim-signed; Fedora: sudo dnf reinstall shim-x64"),
            Do("sudo find /boot/efi -iname 'mm*.efi'   # it must lie beside shim*.efi"),
            Do("ashmem doctor --mode module   # leads through the enrolment again"),
        ],
        ..M
    },
    Message {
        id: "no-efi-harmless",
        says: r"(^|^mokutil: .*)EFI variables are not supported",
        is_harmless: true,
        cause: "harmless: this machine did not start by EFI, or a container has not its variables. \
                Without EFI there is no Secure Boot, and modules need no key of it",
        ..M
    },
    Message {
        id: "modprobe-missing",
        says: concat!(
            r"\b(modprobe|insmod): (command )?not found|command not found: (modprobe|insmod)\b|",
            r"no such file or directory: .?(/\S+/)?(modprobe|insmod)\b|",
            r"(^|[\s:])/(usr/)?sbin/(modprobe|insmod): no such file|",
            r#"exec: "?(modprobe|insmod)"?.*not found.*(ashmem|binder)"#
        ),
        // Android's own shell has another reason.
        unless: r"/(system|vendor)/",
        cause: "the program modprobe is not found: kmod is not installed, or /sbin is not in PATH \
                (as for Debian's plain users, and for services). Waydroid stops there, even where \
                binder is built in",
        next: &[
            NextStep::Package("kmod"),
            Do("sudo /sbin/modprobe binder_linux   # if it is there: the whole path"),
            Do("# in a container: modules are loaded on the host"),
        ],
        ..M
    },
    Message {
        id: "key-not-available",
        about: &[],
        // This one names no module.
        says: r"^Loading of (unsigned module|module with (unavailable key|unsupported crypto)) is",
        taken_back_by: &[Fact::OthersModule],
        cause: NO_KEY,
        next: BRING_KEY,
        ..M
    },
    Message {
        id: "key-not-available",
        about: &[],
        says: concat!(
            r"\b(ashmem|binder)_linux: Loading of (unsigned module|module with (unavailable key|",
            r"unsupported crypto)) is rejected|",
            r"(ashmem|binder)\S* .*key .*\b(revoked|blacklisted)|",
            r"PKCS#7 signature not signed with a trusted key.*(ashmem|binder)|",
            r"(ashmem|binder).*PKCS#7 signature not signed with a trusted key|",
            // A paste may end in the middle of it.
            r"(ashmem|binder)\S* .*(required key not avail|key was rejected|key has (been )?",
            r"(rejected|revoked|expired)|",
            r"EKEYREJECTED|ENOKEY)|",
            r"(required key not available|key was rejected by service).*(ashmem|binder)"
        ),
        cause: NO_KEY,
        next: BRING_KEY,
        ..M
    },
    Message {
        id: "lockdown",
        about: &[],
        says: concat!(
            r"lockdown:.*(unsigned module|insmod|modprobe|systemd-modules)|",
            r"kernel is locked down.*module",
        ),
        taken_back_by: &[Fact::OthersModule],
        cause: "the kernel is locked down (Secure Boot brings that on) and refuses modules that \
                are not signed with an enrolled key",
        next: &[
            Do("cat /sys/kernel/security/lockdown"),
            Do("ashmem doctor --mode module   # leads through signing"),
            Do("# or without a module: ashmem run -- PROGRAM"),
        ],
        ..M
    },
    Message {
        id: "module-unsupported",
        about: &[Module, BinderModule],
        says: r"(module|'\w+') is (unsupported|not supported)|allow[_-]unsupported",
        cause: "SUSE's modprobe refuses modules that SUSE does not support, as any of DKMS is; the \
                module is there",
        next: &[
            Do("sudo modprobe --allow-unsupported ashmem_linux"),
            Do("echo 'allow_unsupported_modules 1' | sudo tee \
                /etc/modprobe.d/10-unsupported-modules.conf   # for good"),
        ],
        ..M
    },
    Message {
        id: "module-blacklisted",
        about: &[Module, BinderModule],
        says: r"install command\b|blacklist|\bdeny-?list",
        unless: r"\bkey\b",
        cause: "a file in /etc/modprobe.d keeps the module out (blacklist, or install /bin/false), \
                or has a command run in its place that failed",
        next: &[Do("grep -rnE 'ashmem|binder' /etc/modprobe.d /usr/lib/modprobe.d /proc/cmdline")],
        ..M
    },
    Message {
        id: "module-duplicate-symbol",
        about: &[Module, BinderModule],
        says: r"exports duplicate symbol",
        cause: "two modules offer the same function: another ashmem or binder module is loaded, or \
                the kernel has it built in; a second one is not needed",
        next: &[
            Do("lsmod | grep -E 'ashmem|binder'; grep -w ashmem /proc/misc"),
            Do("sudo modprobe -r OTHER   # the owner that the line names, if it is the old one"),
        ],
        ..M
    },
    Message {
        id: "module-btf",
        about: &[Module, BinderModule],
        says: r"\bBTF\b.*(-\d+|mismatch|invalid|fail)|(fail|invalid).*\bBTF\b",
        cause: "the module's BTF (type information) is not that of this kernel: it was built \
                against another build of it",
        next: &[
            NextStep::Headers,
            NextStep::Rebuild,
            Do("sudo modprobe ashmem_linux; sudo dmesg | tail"),
        ],
        ..M
    },
    Message {
        id: "old-module-unexported-symbol",
        about: &[Module, BinderModule],
        says: concat!(
            r"unknown symbol.*(__vfs_read|shmem_zero_setup|zap_page_range|__close_fd|get_vm_area|",
            r"map_kernel_range|security_binder|can_nice|mmput_async|task_work_add|__fd_install|",
            r"kallsyms)",
        ),
        cause: "a module wants a kernel function that is not, or no longer, for modules \
                (__vfs_read went in 4.19, shmem_zero_setup was never offered)",
        next: &[
            NextStep::Module,
            Do(
                "# remove the old one first: dkms status; for binder take the kernel's own: ashmem \
                doctor, the line `binder`",
            ),
        ],
        ..M
    },
    Message {
        id: "wrong-kernel",
        about: &[Module, BinderModule],
        says: concat!(
            r"version magic.*should be|(unsupported|bad|wrong) (version magic|vermagic)|",
            r"disagrees about version of symbol|invalid module format|",
            r"no symbol version for|this_module section size|",
            r"not compatible with kernel .* in symbols|",
            r"(insert|insmod|modprobe|load).*exec format error|",
            r"exec format error.*(insert|load)|",
            r"(insert|modprobe|insmod|load).*wrong symbol version|",
            r"(ashmem|binder)_linux(\.ko\S*)?['\x22:]* *exec format error"
        ),
        cause: "the module was built for another kernel than the one that runs",
        next: &[
            Do("uname -r; modinfo -F vermagic ashmem_linux binder_linux   # the one in the line"),
            NextStep::Headers,
            NextStep::Rebuild,
            Do("ashmem doctor --mode module"),
        ],
        ..M
    },
    Message {
        id: "module-unknown-symbol",
        about: &[Module, BinderModule],
        says: concat!(
            r"unknown symbol|needs unknown symbol|unknown parameter \(see dmesg\)|",
            r"from namespace \S+,? but does not import it"
        ),
        cause: "the module is there, and asks for a function that this kernel does not offer: it \
                was built for another kernel, wants a module that is not loaded, or uses what is \
                not for modules. dmesg names the function",
        next: &[
            Do("sudo dmesg | grep 'Unknown symbol'"),
            Do("sudo depmod -a; sudo modprobe ashmem_linux   # modprobe loads what it needs, \
                 insmod does not"),
            NextStep::Rebuild,
        ],
        ..M
    },
    Message {
        id: "module-relocation",
        about: &[Module, BinderModule],
        says: concat!(
            r"(invalid|unknown|unsupported|overflow\w*|skipping)\b.*\breloc|",
            r"\breloc\w*\b.*(overflow|out of range|invalid|unknown)"
        ),
        cause: "the module's code does not fit where the kernel would put it: it was linked by \
                other tools than the kernel (gcc against clang, an older linker), was put together \
                from objects of two builds, or the file is damaged",
        next: &[
            Do("cat /proc/version; gcc --version; ld --version   # those that built the kernel"),
            NextStep::Rebuild,
            ASK_THE_KERNEL,
        ],
        ..M
    },
    Message {
        id: "module-parameter",
        about: &[BinderModule],
        says: r"unknown parameter '?devices",
        cause: "this binder takes no list of devices: it is another driver than the kernel's own \
                in C (the one in Rust, or a port). Its nodes are made in binderfs",
        next: &[
            Do("grep binder /proc/filesystems   # `nodev binder`: it has binderfs"),
            Do("sudo mkdir -p /dev/binderfs && sudo mount -t binder binder /dev/binderfs"),
            Do("grep -rn options /etc/modprobe.d   # the line that names `devices` may go"),
        ],
        ..M
    },
    Message {
        id: "module-parameter",
        about: &[Module, BinderModule],
        says: concat!(
            r"unknown parameter '?\w+'? ignored|invalid parameters?|",
            r"`?'?\w+'? invalid for parameter",
        ),
        cause: "the module does not know a parameter that it was given, or not that value",
        next: &[Do("modinfo -p ashmem_linux binder_linux"), Do("grep -rn options /etc/modprobe.d")],
        ..M
    },
    Message {
        id: "already-built-in",
        about: &[Module],
        says: concat!(
            r"already has an ashmem device|could not be registered|module .* is builtin|",
            r"(insert|insmod|modprobe|load|init).*(file exists|already in kernel|busy)|EEXIST"
        ),
        unless: r"remove|rmmod|in use",
        cause: "the kernel has a driver of that name already, built in or loaded: a second one is \
                not needed",
        next: &[
            Do("grep -w ashmem /proc/misc && ls -l /dev/ashmem"),
            Do("ashmem doctor --mode module"),
        ],
        ..M
    },
    Message {
        id: "already-built-in",
        about: &[],
        says: concat!(
            r"cannot create duplicate filename.*misc/ashmem|",
            r"kobject_add_internal failed for ashmem|ashmem: .*already has an ashmem device|",
            r"misc device 'ashmem' could not be registered: error -1[67]\b|",
            r"ashmem: (failed to|cannot|can't) register (the )?misc device\b"
        ),
        cause: "the kernel has a driver of that name already, built in or loaded: a second one is \
                not needed",
        next: &[
            Do("grep -w ashmem /proc/misc && ls -l /dev/ashmem"),
            Do("ashmem doctor --mode module"),
        ],
        ..M
    },
    Message {
        id: "binder-already-there",
        about: &[BinderModule],
        says: concat!(
            r"(insert|insmod|modprobe|load).*(file exists|already in kernel|busy)|is builtin|",
            r"EEXIST|register_filesystem",
        ),
        unless: r"remove|rmmod|in use",
        cause: "this kernel has binder already, built in or loaded: a second module is not needed",
        next: &[Do("grep binder /proc/filesystems; ls -l /dev/*binder* /dev/binderfs")],
        ..M
    },
    Message {
        id: "module-halves",
        about: &[],
        says: r"rust object and the C glue are of different builds",
        cause: "the module was put together from two builds",
        next: &[Do("sudo dkms install --force ashmem/$(dkms status | sed -n 's,^ashmem/\\([^, \
                    ]*\\).*,\\1,p' | head -1)")],
        ..M
    },
    Message {
        id: "module-not-permitted",
        about: &[Module, BinderModule],
        says: INSERT,
        errno: &[libc::EPERM, libc::EACCES],
        cause: "the kernel refuses to load the module: the caller is not root or is in a \
                container, or Secure Boot or lockdown wants a signature",
        next: &[
            Do("sudo dmesg | grep -iE 'lockdown|signature|ashmem|binder' | tail"),
            Do("ashmem doctor --mode module"),
            Do("# or without a module: ashmem run -- PROGRAM"),
        ],
        ..M
    },
    Message {
        id: "module-signature-hash",
        about: &[Module, BinderModule],
        says: INSERT,
        errno: &[libc::ENOPKG, libc::EBADMSG],
        cause: "the module's signature cannot be read by this kernel: it was signed with a hash \
                that the kernel lacks, or the file was changed after it was signed (stripped)",
        next: &[
            Do("modinfo -F sig_hashalgo ashmem_linux; grep MODULE_SIG /boot/config-$(uname -r)"),
            NextStep::Rebuild,
        ],
        ..M
    },
    Message {
        id: "module-no-memory",
        says: r"\bashmem: (failed to register shrinker|unable to create slab)",
        cause: "the kernel had no memory for the module, or its map of modules is full",
        next: &[Do("free -m; sudo dmesg | tail"), Do("sudo modprobe ashmem_linux   # once more")],
        ..M
    },
    Message {
        id: "module-no-memory",
        about: &[Module, BinderModule],
        says: INSERT,
        errno: &[libc::ENOMEM],
        cause: "the kernel had no memory for the module, or its map of modules is full",
        next: &[Do("free -m; sudo dmesg | tail"), Do("sudo modprobe ashmem_linux   # once more")],
        ..M
    },
    Message {
        id: "module-refused-itself",
        about: &[Module, BinderModule],
        says: INSERT,
        errno: &[libc::EINVAL, libc::ENODEV, libc::ENOSYS, libc::EFAULT, libc::EOPNOTSUPP],
        cause: "the kernel or the module itself refused: a parameter that it does not take, BTF or \
                symbol versions of another build, or a kernel without loadable modules (gVisor, \
                containers)",
        next: &[ASK_THE_KERNEL, Do("ashmem doctor --mode module")],
        ..M
    },
    Message {
        id: "module-in-container",
        about: &[Module, BinderModule],
        says: concat!(
            r"could not open (moddep|builtin)|can't change directory to '?/lib/modules|",
            r"not a mountpoint",
        ),
        cause: "modules are loaded on the host: this is a container, and it has no modules of the \
                host's kernel",
        next: &[
            Do("sudo modprobe ashmem_linux   # on the host"),
            Do("ashmem doctor --mode agent   # needs no module"),
        ],
        ..M
    },
    Message {
        id: "module-not-in-waydroid-harmless",
        about: &[Module],
        says: r"\bnot found|failed to load ashmem driver|could not find module|(insert|load)",
        from: &[crate::log_source::LogSource::Waydroid],
        unless: r"required|%",
        is_harmless: true,
        cause: "harmless up to Android 15: Waydroid asks for the device, finds no module, and goes \
                on with memfd; if Android does not start, the trouble is elsewhere in the log. \
                Images of Android 16 need the device",
        next: &[Do("sudo ashmem waydroid enable   # if you want the device all the same")],
        ..M
    },
    Message {
        id: "module-not-found",
        about: &[Module],
        says: concat!(
            r"\bnot found|could not find module|failed to find module|can't find module|",
            r"failed to load ashmem driver|required kernel module|no such (file|device)|",
            r"(module|driver) .*(missing|unavailable|not available|not loaded)|",
            r"(insert|load|insmod|modprobe).*(fail|error)"
        ),
        errno: &[0, libc::ENOENT, libc::ENODEV, libc::ENXIO, libc::ESRCH],
        unless: concat!(
            r"\bRIP\b|\bopen\w*\W|binary package for|:\d+: warning: |unable to locate|",
            r"either binder or ashmem|\bsh: |",
            r"/dev/ashmem\W+(not found|no such|does not exist)"
        ),
        cause: "modprobe finds no ashmem driver for this kernel (mainline dropped it in 5.18, and \
                many kernels before left it out) and no module was built for it. Waydroid prints \
                this and goes on with memfd: up to Android 15 that \
                is harmless, and the trouble is elsewhere",
        next: &[Do("ashmem doctor --mode module   # if you want the device"), NextStep::Module],
        ..M
    },
    Message {
        id: "config-ashmem",
        says: r"unmet direct dependencies detected for (ANDROID_)?ASHMEM\b",
        cause: "CONFIG_ASHMEM stands below CONFIG_STAGING, which is off here; from 5.18 on the \
                kernel has no such driver at all",
        next: &[
            Do("./scripts/config -e STAGING -e ASHMEM; make olddefconfig   # before 5.18"),
            Do("# from 5.18 on take the module:"),
            NextStep::Module,
        ],
        ..M
    },
    Message {
        id: "config-ashmem",
        about: &[],
        says: r"CONFIG_(ANDROID_)?ASHMEM\b",
        unless: r"CONFIG_(ANDROID_)?ASHMEM=[ym]",
        cause: "something asks for a kernel option that went with the driver in 5.18; the module \
                needs no option beyond CONFIG_SHMEM and CONFIG_MODULES",
        next: &[Do("ashmem doctor --mode module"), NextStep::Module],
        ..M
    },
];
