// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel says when a driver goes wrong.

use crate::advice::NextStep::{self, Do};
use crate::message::Message;
use crate::subject::Subject::{Ashmem, Binder, BinderModule};

const M: Message = Message::PLAIN;

const OOPS: &str = "the kernel crashed in an ashmem driver, or warns of its locks. Old ones \
                    copy to a program's memory by force (ashmem_read, on 4.17 and later) or \
                    race in their shrinker";

const AFTER_OOPS: &[NextStep] = &[
    Do("modinfo ashmem_linux | head -5   # whose is it? this project's says `Android shared \
        memory (/dev/ashmem)`"),
    Do("sudo modprobe -r ashmem_linux"),
    NextStep::Module,
    Do("# if it is this project's: report it with the whole text"),
];

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "missing-endbr",
        about: &[],
        says: concat!(
            r"missing ENDBR: \S+( \[(ashmem|binder)\w*\])?$|",
            r"missing ENDBR.*(ashmem|binder)|(ashmem|binder).*missing ENDBR|",
            r"control protection exception.*(ashmem|binder)|CFI failure.*(ashmem|binder)"
        ),
        cause: "an old module jumped to a kernel function that it had looked up by itself, and the \
                processor's branch tracking (IBT, from Intel's 11th generation on) stopped it",
        next: &[
            Do("# remove that module: sudo dkms remove anbox-binder/1 --all; sudo dkms remove \
                anbox-ashmem/1 --all"),
            NextStep::Module,
            NextStep::Binder,
        ],
        ..M
    },
    Message {
        id: "old-driver-oops",
        about: &[Ashmem],
        says: concat!(
            r"\b(RIP|pc|PC is at|LR|lr)\b ?:? .*ashmem_\w+|ashmem_\w+\+0x[0-9a-f]+/0x|",
            r"\b(oops|BUG|kernel paging|NULL pointer|general protection|use-after-free|KASAN|",
            r"soft lockup|hung task|blocked for more than|locking detected)\b.*",
            r"(\bashmem_\w+|\[ashmem)|\bUBSAN: .*android/ashmem\.c"
        ),
        unless: r"debuggerd|libcutils|#\d\d pc|^\s*\?? ?ashmem_init\+0x",
        cause: OOPS,
        next: AFTER_OOPS,
        ..M
    },
    // A trace through the module's start may be no crash: a second registration prints one.
    Message {
        id: "old-driver-oops",
        about: &[Ashmem],
        says: r"^\s*\?? ?ashmem_init\+0x[0-9a-f]+/0x",
        follows: &["already-built-in"],
        cause: OOPS,
        next: AFTER_OOPS,
        ..M
    },
    Message {
        id: "binder-oops",
        about: &[Binder, BinderModule],
        says: concat!(
            r"\b(RIP|pc|PC is at)\b ?:? .*binder_\w+|",
            r"\bbinder_\w+\+0x[0-9a-f]+/0x.*\[binder_linux\]|",
            r"\b(oops|BUG|kernel paging|NULL pointer|general protection)\b.*\bbinder"
        ),
        unless: r"#\d\d pc",
        cause: "the kernel crashed in a binder driver: ports of it (anbox-binder, \
                binder_linux-dkms) do not always fit a new kernel",
        next: &[
            Do("modinfo -F filename binder_linux   # updates/dkms: a port; remove it with dkms \
                remove"),
            NextStep::Binder,
        ],
        ..M
    },
    Message {
        id: "binder-no-service-manager-harmless",
        says: concat!(
            r"^binder(_linux)?: \d+:\d+ (cannot find target node|",
            r"transaction (call to 0:0 )?failed \S*29189(/-\d+)?,.* size 0-0\b)"
        ),
        is_harmless: true,
        cause: "harmless while a container starts: somebody asks for a service manager (a ping to \
                handle 0), and none has registered at this binder yet. If it never ends, Android \
                does not come up: its own log tells why (logcat -d | ashmem doctor explain)",
        ..M
    },
    Message {
        id: "binder-other-side-died-harmless",
        says: concat!(
            r"^binder(_alloc|_linux)?: \d+(:\d+)?:? (binder_alloc_buf, no vma|",
            r"cannot allocate buffer: vma cleared|transaction .*failed \S*29189(/-\d+)?,)|",
            r"^binder(_linux)?: undelivered (transaction|death notification|TRANSACTION)|",
            r"^binder(_linux)?: release \d+:\d+ transaction \d+ (in|out), still active|",
            r"^rust_binder: .*(failed: |\b)BR_DEAD_REPLY\b"
        ),
        is_harmless: true,
        cause: "harmless in itself: the process that was called by binder has died or is dying. If \
                Android does not work, look for the first service that dies, above this line",
        ..M
    },
    Message {
        id: "binder-ioctl-unknown-harmless",
        says: concat!(
            r"^binder(_linux)?: \d+:\d+ ioctl (4004621[0-9a-f]|c00c620f|c018620e) \S+ ",
            r"returned -(22|25)\b|",
            r"^binder ioctl to (enable|freeze|get frozen)\b.*: (invalid argument|not a typewriter|",
            r"inappropriate ioctl)"
        ),
        is_harmless: true,
        cause: "harmless: Android asked for a feature of binder that this kernel does not have yet \
                (watching one-way calls, freezing), and does without",
        ..M
    },
    Message {
        id: "binder-frozen-harmless",
        says: r"^binder\w*: \d+:\d+ transaction .*failed (\d+/)?29202/",
        is_harmless: true,
        cause: "harmless: the process that was called by binder is frozen (BR_FROZEN_REPLY): \
                Android stops apps that nobody sees",
        ..M
    },
    Message {
        id: "binder-call-refused",
        says: r"^binder\w*: \d+:\d+ transaction .*failed (\d+/)?29201\b",
        unless: r"29201/-28\b",
        follows: &["binder-", "rust-binder", "selinux"],
        cause: "the kernel refused a call of binder's (BR_FAILED_REPLY). The number behind the \
                stroke says why: -1 SELinux, -3 the other process is gone, -12 no memory, -22 the \
                call is not as it must be, -28 the other's buffer is full; old kernels print none",
        next: &[
            Do("sudo dmesg | grep -B2 29201 | ashmem doctor explain   # the line before it"),
            Do("sudo dmesg | grep avc: | tail   # SELinux's word"),
        ],
        ..M
    },
    Message {
        id: "binder-protocol",
        says: r"expecting header 0x[0-9a-f]+ but found 0x[0-9a-f]+\. mixing copies of libbinder",
        cause: "a program of the host speaks to Android's service manager in the words of another \
                version of Android: libgbinder's configuration does not fit the image",
        next: &[
            Do("grep -r '' /etc/gbinder.d; grep protocol /var/lib/waydroid/waydroid.cfg"),
            Do("sudo waydroid upgrade -o   # takes the protocol from the image; update Waydroid \
                and libgbinder if they do not know that Android"),
            Do("sudo systemctl restart waydroid-container"),
        ],
        ..M
    },
    Message {
        id: "fops-patched",
        about: &[],
        says: concat!(
            r"CR0 WP bit went missing|pinning.*CR0|CR0.*(pinned|changed).*|",
            r"memfd.?ashmem.?shim\S*: |pinned CR0 bits changed"
        ),
        unless: r"nvidia|vbox",
        cause: "a module patches the kernel's own tables to answer ashmem's ioctls on memfds \
                (memfd-ashmem-shim out of tree), or something else writes to protected memory; \
                newer kernels catch that",
        next: &[Do("# remove it; the agent answers the same ioctls without touching the kernel: \
                    ashmem doctor --mode agent")],
        ..M
    },
];
