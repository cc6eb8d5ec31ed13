// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is said where binder is missing or refuses: the first thing that an Android container
//! wants.

use crate::advice::NextStep::{self, Do};
use crate::message::{Fact, Message};
use crate::subject::Subject::{Binder, BinderModule};

const M: Message = Message::PLAIN;

/// Two containers on one node.
const OWN_BINDER: NextStep =
    Do("# each container needs a binder of its own: a binderfs mount of its \
                             own, or nodes of their own (binder1, hwbinder1, vndbinder1)");

/// What is wrong where a module of binder's is there and does not load.
const NOT_LOADED: &[&str] = &["key-", "lockdown", "module-", "wrong-kernel", "old-", "installer-"];

const NOT_THERE: &str = "there is no binder where this program looks for it: the kernel lacks it, \
                         its module is not loaded, or binderfs is not mounted (or not in this \
                         container). Nothing of Android starts without binder";

const FIND_BINDER: &[NextStep] = &[
    Do("grep binder /proc/filesystems; ls -l /dev/*binder* /dev/binderfs"),
    NextStep::Binder,
    Do("# /dev/binderfs with binder-control alone: the driver is there, and the container makes \
        the nodes by it, if nothing of the host lies at /dev/binder: sudo umount /dev/binder; no \
        -v /dev/binder"),
    Do("# Waydroid, where anbox-binder and its like are there and binder is not: sudo waydroid \
        init -f   # writes the names anew"),
];

/// How programs say that they may not open a node: by the call, or the node and the error alone.
const REFUSED: &str = concat!(
    r"\bopen|unavailable|access|ioctl|stat\b|\[Errno \w+\]|",
    r"binder(fs| device| node| driver)?['\x22]?\)?:? \(?(operation not permitted|permission denied)"
);

const NO_MODULE: &str = "this kernel has no binder as a module. Either it has it built in (`grep \
                         binder /proc/filesystems` shows it: all is well then), or it lacks it: \
                         Android containers do not start without binder";

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "binder-mmap",
        about: &[Binder],
        says: concat!(
            r"unable to mmap transaction memory|using /dev/\w*binder\w* failed|",
            r"\bmmap2?\(.*binder\w*>?,? .*= -1\b|",
            r"binder.*\bmmap\b.*fail|binder_(alloc_)?mmap\w*\b.*fail",
        ),
        cause: "binder's node opened, and its memory could not be mapped: this process had it \
                mapped already, its address space is full or limited (ulimit -v, a 32-bit \
                program), or an old binder module does not fit the kernel",
        next: &[
            Do("sudo dmesg | grep -i binder | tail   # binder_mmap and binder_alloc say why"),
            Do("modinfo -F filename binder_linux   # one under updates/dkms is a port: the \
                kernel's own is better"),
            OWN_BINDER,
        ],
        ..M
    },
    Message {
        id: "binder-protocol",
        about: &[Binder],
        says: r"binder.*protocol.*does not match|binder.*version.*mismatch",
        cause: "the kernel's binder speaks another protocol than the image: one is of 32 bits \
                (CONFIG_ANDROID_BINDER_IPC_32BIT), or the node is none of binder's",
        next: &[Do("grep ANDROID_BINDER /boot/config-$(uname -r)"), Do("ashmem doctor   # binder")],
        ..M
    },
    Message {
        id: "binder-protocol",
        says: r"driver version.{1,8}differs from user.?space version",
        cause: "the kernel's binder speaks another protocol than the image: one is of 32 bits \
                (CONFIG_ANDROID_BINDER_IPC_32BIT), or the node is none of binder's",
        next: &[Do("grep ANDROID_BINDER /boot/config-$(uname -r)"), Do("ashmem doctor   # binder")],
        ..M
    },
    Message {
        id: "binder-protocol",
        says: r"\b(unknown|unsupported)\b.*\bprotocol\b.*\b(aidl|hidl)\d*\b",
        cause: "libgbinder on the host does not know the words that this version of Android speaks \
                by binder: the image is newer than the library",
        next: &[
            Do("# update libgbinder and Waydroid; an image of the version that they know"),
            Do("grep -r '' /etc/gbinder.d; grep protocol /var/lib/waydroid/waydroid.cfg"),
        ],
        ..M
    },
    Message {
        id: "binder-context-manager",
        about: &[Binder],
        says: concat!(
            r"(could not|cannot|can't|failed to|unable to) (become|set|",
            r"register).*context.?m(ana)?ge?r|",
            r"BINDER_SET_CONTEXT_MGR.*(fail|busy|error|= -1|already)|context.manager.*(busy|",
            r"already)"
        ),
        cause: "a service manager found that another one is there on this binder: two Android \
                containers (or Anbox and Waydroid) share one node, or the last one still runs",
        next: &[OWN_BINDER, Do("sudo fuser -v /dev/binder /dev/binderfs/*   # who holds it")],
        ..M
    },
    Message {
        id: "binder-context-owner",
        about: &[Binder],
        says: r"BINDER_SET_CONTEXT_MGR bad uid",
        cause: "binder remembers as which user its first service manager ran, and takes no other's \
                as long as that binder exists: another container, or another user namespace, used \
                the same node before",
        next: &[
            OWN_BINDER,
            Do("sudo umount /dev/binderfs; sudo mount -t binder binder \
                    /dev/binderfs   # containers stopped: a new one remembers nobody"),
        ],
        ..M
    },
    Message {
        id: "binder-installed-harmless",
        about: &[BinderModule],
        says: r"\bnot found.* installing binder\b",
        is_harmless: true,
        cause: "harmless by itself: an installer found no module of binder's, and goes on to \
                install one; what follows says whether it could",
        ..M
    },
    Message {
        id: "binder-install-failed",
        about: &[BinderModule],
        says: r"^error installing binder kernel module",
        follows: &[""],
        cause: "an installer could not install binder's module; the line above says why",
        next: &[Do("grep binder /proc/filesystems   # whether the kernel has it by itself")],
        ..M
    },
    // Waydroid says so whatever modprobe's reason was; modprobe's own line follows.
    Message {
        id: "binder-module-not-found",
        about: &[BinderModule],
        says: r"failed to load binder driver",
        follows: &["modprobe-"],
        follows_binders: NOT_LOADED,
        cause: NO_MODULE,
        next: &[Do("grep binder /proc/filesystems"), NextStep::BinderKernel],
        ..M
    },
    Message {
        id: "binder-module-not-found",
        about: &[BinderModule],
        says: concat!(
            r"\bnot found|could not find module|failed to find module|no such module|",
            r"(binder driver|module)\b.*(not (loaded|available|present)|missing)|",
            r"can't find module|required kernel module|",
            r"(insmod|modprobe|\bload\w*|insert\w*|libkmod|init_module)\b.*no such file"
        ),
        unless: r"unknown symbol|in modules\.alias|binary package for",
        cause: NO_MODULE,
        next: &[Do("grep binder /proc/filesystems"), NextStep::BinderKernel],
        ..M
    },
    Message {
        id: "binder-nodes-incomplete",
        about: &[Binder],
        says: r"binder node .(vnd|hw)binder. .*not found",
        cause: "binder itself was found, so its driver is there; but it was loaded with \
                devices=binder alone, and modprobe changes nothing at a module that is loaded. \
                Android wants hwbinder and vndbinder too",
        next: &[
            Do("cat /sys/module/binder_linux/parameters/devices"),
            Do("sudo modprobe -r binder_linux   # containers stopped, binderfs unmounted"),
            Do("sudo modprobe binder_linux devices=binder,hwbinder,vndbinder"),
            Do("echo 'options binder_linux devices=binder,hwbinder,vndbinder' | sudo tee \
                /etc/modprobe.d/binder.conf   # for good"),
            Do("# or, if the kernel has binderfs, mount it: Waydroid makes the nodes there itself"),
        ],
        ..M
    },
    Message {
        id: "binder-not-a-device",
        about: &[Binder],
        says: concat!(
            r"not a (character )?device|(is|not) a directory|inappropriate ioctl|",
            r"obtain version failed|trying to mount a directory onto a file"
        ),
        cause: "what lies at binder's path is not binder: an engine that was told to bind a path \
                that does not exist makes a directory there, or another node was bound",
        next: &[
            Do("ls -l /dev/binder /dev/binderfs   # on the host and in the container"),
            Do("findmnt /dev/binder && sudo umount /dev/binder   # binderfs belongs on \
                /dev/binderfs, not on a node's path"),
            Do("sudo rmdir /dev/binder   # if it is an empty directory; then start it anew"),
            NextStep::Binder,
        ],
        ..M
    },
    Message {
        id: "binder-not-permitted",
        about: &[Binder],
        says: REFUSED,
        errno: &[libc::EPERM],
        unless: r"mknod",
        cause: "binder's node is there, and the container's device control group leaves its number \
                out (the mode of a node says `Permission denied`, not this)",
        next: &[
            Do(
                "# docker and podman: --device /dev/binder, /dev/hwbinder and /dev/vndbinder each, \
                or --privileged, as redroid wants it",
            ),
            Do("# LXC: lxc.cgroup2.devices.allow = c MAJOR:MINOR rwm, by the numbers of: ls -lL \
                /dev/binder /dev/hwbinder /dev/vndbinder"),
        ],
        ..M
    },
    Message {
        id: "binder-not-permitted",
        about: &[Binder],
        says: REFUSED,
        errno: &[libc::EACCES],
        unless: r"mknod",
        cause: "binder's node is there and may not be opened: its mode is not 0666, SELinux \
                refuses, or it lies on a mount with `nodev`",
        next: &[
            Do("sudo chmod 666 /dev/binderfs/*binder   # what Waydroid does at each start"),
            Do("ls -lL /dev/binder /dev/hwbinder /dev/vndbinder   # in the container too"),
        ],
        ..M
    },
    Message {
        id: "binder-buffer-full",
        about: &[],
        says: concat!(
            r"binder_alloc_buf.*failed, no (address|async) space|binder.*no space left on device|",
            r"^binder(_linux)?: .*transaction .*failed.* \S*29201/-28\b"
        ),
        cause: "a process does not free what others send it by binder, or sends too much at once \
                (1 MiB for all that is under way): an app's fault, not the kernel's",
        next: &[Do("sudo cat /sys/kernel/debug/binder/stats /dev/binderfs/binder_logs/stats   # \
                    the process with the most buffers")],
        ..M
    },
    Message {
        id: "binder-transaction-too-large",
        says: concat!(
            r"\bTransactionTooLargeException\b|",
            r"FAILED BINDER TRANSACTION.*parcel size = ([2-9]\d{5}|\d{7,})\b"
        ),
        cause: "an app sent more by binder than goes through at once (1 MiB for all that is under \
                way in its process): the app's fault. What is large belongs into a region or a \
                file",
        next: &[Do("# the exception's trace names the app and what it sent: saved state, an \
                    Intent's extras, a list")],
        ..M
    },
    Message {
        id: "rust-binder-buffer",
        says: r"^rust_binder: .*(failed to allocate buffer|\bENOSPC\b|no space left)",
        cause: "the kernel's binder is the one that is written in Rust, and it found no room in \
                the receiver's buffer (1 MiB for all that is under way). An app that sends too \
                much meets that with either driver; where it is new with this kernel, it was \
                reported as a fault of the Rust driver",
        next: &[
            Do("grep BINDER /boot/config-$(uname -r); zgrep BINDER /proc/config.gz"),
            Do("# boot a kernel with CONFIG_ANDROID_BINDER_IPC=y, the driver in C, and see \
                whether it stays"),
        ],
        ..M
    },
    Message {
        id: "android-config",
        says: concat!(
            r"^\W*CONFIG_ANDROID(=n| is not set)|",
            r"^\W*CONFIG_ANDROID\b\W+(missing|disabled|not enabled)"
        ),
        taken_back_by: &[Fact::BinderInKernel, Fact::RustBinder],
        cause: "this kernel is built without CONFIG_ANDROID. Older kernels (5.x) have neither \
                binder nor ashmem without it; newer ones have no such option, and \
                CONFIG_ANDROID_BINDER_IPC alone decides",
        next: &[NextStep::BinderKernel],
        ..M
    },
    Message {
        id: "binder-config",
        about: &[],
        taken_back_by: &[Fact::RustBinder],
        says: concat!(
            r"CONFIG_ANDROID_BINDERFS\b.*(is not set|=n\b|missing|not enabled|disabled)|",
            r"(missing|not enabled|lacks|disabled).*CONFIG_ANDROID_BINDERFS\b"
        ),
        cause: "this kernel is built without binderfs. It may still have binder (the option \
                CONFIG_ANDROID_BINDER_IPC), whose nodes are named when it is loaded or built then",
        next: &[
            Do("grep ANDROID_BINDER /boot/config-$(uname -r); zgrep BINDER /proc/config.gz"),
            Do("# BINDER_IPC=m: sudo modprobe binder_linux devices=binder,hwbinder,vndbinder"),
            Do("# BINDER_IPC=y: CONFIG_ANDROID_BINDER_DEVICES must name the three. Neither:"),
            NextStep::BinderKernel,
        ],
        ..M
    },
    Message {
        id: "binder-config",
        about: &[],
        says: concat!(
            r"CONFIG_ANDROID_BINDER(_IPC)?\b.*(is not set|=n\b|missing|not enabled|",
            r"disabled)|",
            r"(missing|not enabled|lacks|disabled).*CONFIG_ANDROID_BINDER"
        ),
        // One of the two drivers is enough, in C or in Rust.
        unless: r"^\W*CONFIG_ANDROID_BINDER_IPC_RUST",
        taken_back_by: &[Fact::BinderInKernel, Fact::RustBinder],
        cause: "this kernel is built without binder: there is no module of it to load",
        next: &[NextStep::BinderKernel],
        ..M
    },
    // What Waydroid's tool says after modprobe failed.
    Message {
        id: "binder-device-missing",
        about: &[Binder],
        says: r"binder node .\S+. for waydroid not found",
        follows: &["binder-module-not-found", "binderfs-missing", "modprobe-"],
        follows_binders: NOT_LOADED,
        cause: NOT_THERE,
        next: FIND_BINDER,
        ..M
    },
    Message {
        id: "binder-device-missing",
        about: &[Binder],
        says: r"binder driver .*could not be opened|binder open failed",
        errno: &[0],
        follows: &["binder-", "binderfs-", "device-cgroup"],
        cause: "a process of Android could not open binder, and does not say why here: it is \
                missing in most cases, and may not be opened in others. A line `Opening ... \
                failed` before it tells",
        next: &[
            Do("grep binder /proc/filesystems; ls -l /dev/*binder* /dev/binderfs   # in the \
                container too"),
            NextStep::Binder,
        ],
        ..M
    },
    Message {
        id: "binder-device-missing",
        says: concat!(
            r"timed out waiting for device \S*/?dev[/-]\w*binder|",
            r"\bdev-\w*binder\S*\.device\b.*(timed out|time-?out|failed)"
        ),
        cause: NOT_THERE,
        next: FIND_BINDER,
        ..M
    },
    // The node and the error, in whatever words.
    Message {
        id: "binder-device-missing",
        about: &[Binder],
        says: concat!(
            r"/dev/(anbox-|binderfs/)?(hw|vnd)?binder\b|binder-control|\b(hw|vnd)binder\b|",
            r"\bbinder (device|node|driver)"
        ),
        errno: &[libc::ENOENT, libc::ENXIO, libc::ENODEV],
        follows: &["binder-module-not-found", "binderfs-missing"],
        unless: concat!(
            r"error gathering|\bmount|mknod|adding (custom )?device|VINTF|/d/binder|debug/binder|",
            r"binder_logs|too many open files|condition\w+=!|cannot find '/|",
            r"\bmodule\b|(lib|/)\w+\.so\b|\.rc\b"
        ),
        cause: NOT_THERE,
        next: FIND_BINDER,
        ..M
    },
    Message {
        id: "binder-device-missing",
        about: &[Binder],
        says: concat!(
            r"(cannot|could not|can't|couldn't|unable to|failed to|fail) (open|access|stat|find)|",
            r"could not be opened|open(ing|at)?\b.*\b(failed|error|enoent|no such)|is unavailable|",
            r"node .*not found|does( not|n't) exist|(no such file|enoent)|binder open failed|",
            r"\bcondition\w*\b.*(skipped|not met|failed)|skipped because .*\bcondition"
        ),
        errno: &[0, libc::ENOENT, libc::ESRCH, libc::ENXIO, libc::ENODEV],
        follows: &["binder-module-not-found", "binderfs-missing"],
        unless: concat!(
            r"error gathering|\bmount|mknod|adding (custom )?device|VINTF|/d/binder|debug/binder|",
            r"binder_logs|too many open files|condition\w+=!|cannot find '/"
        ),
        cause: NOT_THERE,
        next: FIND_BINDER,
        ..M
    },
];
