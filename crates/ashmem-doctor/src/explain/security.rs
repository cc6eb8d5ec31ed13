// SPDX-License-Identifier: MIT OR Apache-2.0
//! What SELinux, AppArmor and seccomp say when they refuse. Whose SELinux it is, the image's or the
//! host's, the source context tells: Android's begin with `u:r:`.

use crate::advice::NextStep::Do;
use crate::message::Message;
use crate::subject::Subject::{
    Ashmem, Binder, BinderModule, CoreService, Device, Memfd, Module, Neighbour, Region,
};

const M: Message = Message::PLAIN;

/// What container engines offer for devices under SELinux.
const CONTAINER_DEVICES: &str = "sudo setsebool -P container_use_devices 1   # or for one \
                                 container: --security-opt label=disable";

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "selinux-permissive-harmless",
        about: &[Ashmem, Binder, Neighbour, Module],
        says: r"\bdenied\s+\{.*permissive=1",
        is_harmless: true,
        cause: "harmless: SELinux is permissive for this program: it notes the access and lets it \
                happen",
        ..M
    },
    Message {
        id: "selinux-module-load",
        about: &[Module, BinderModule],
        says: concat!(
            r"\bdenied\s+\{[^}]*(module_load|module_request|sys_module)|",
            r"SELinux is preventing .*\b(module_load|module_request|sys_module)\b"
        ),
        cause: "the host's SELinux does not let this program load a module: programs in containers \
                and confined services may not",
        next: &[
            Do("sudo modprobe ashmem_linux   # from a root shell of the host, not from a service \
                or container"),
            Do("echo ashmem_linux | sudo tee /etc/modules-load.d/ashmem.conf   # at each boot"),
            Do("sudo restorecon -v /lib/modules/$(uname -r)/updates/dkms/*   # if the file's \
                 label is wrong"),
        ],
        ..M
    },
    Message {
        id: "apps-may-not",
        about: &[Ashmem],
        says: r"\bdenied\s+\{.*scontext=u:r:(untrusted_app|isolated_app|ephemeral_app|sdk_sandbox)",
        cause: "Android's SELinux refuses an app: since Android 10 apps that target API 29 or \
                newer may not open /dev/ashmem, and none may map it executable. The image's policy \
                says so, not the host",
        next: &[Do(
            "# the app must use ASharedMemory or SharedMemory, which ask the system; an app \
                    that targets API 28 may still open it",
        )],
        ..M
    },
    Message {
        id: "selinux-android",
        about: &[Ashmem, Neighbour],
        says: r"\bdenied\s+\{.*scontext=u:r:",
        cause: "the image's own SELinux policy (its contexts begin with `u:r:`) has no rule that \
                lets this service use the device: often the node's label is wrong, as ueventd or \
                file_contexts of the image do not know its name. The host does not refuse here",
        next: &[
            Do("ls -lZ /dev/ashmem*   # in the container: ashmem_device is right, and \
                ashmem_libcutils_device for the boot id name"),
            Do("# Waydroid and redroid run without SELinux; own images: restorecon the node, or \
                allow the domain"),
        ],
        ..M
    },
    Message {
        id: "selinux-android-binder",
        about: &[Binder],
        says: r"\bdenied\s+\{.*scontext=u:r:.*tclass=chr_file",
        cause: "the image's own SELinux policy does not let this service open binder's node: its \
                label is wrong. The host does not refuse here",
        next: &[Do("ls -lZ /dev/*binder* /dev/binderfs   # in the container: binder_device, \
                    hwbinder_device, vndbinder_device")],
        ..M
    },
    Message {
        id: "selinux-host",
        about: &[Device, Ashmem, Binder, Neighbour, Memfd],
        says: r"\bdenied\s+\{|SELinux is preventing",
        unless: r"scontext=u:r:|tcontext=u:object_r:",
        cause: "the host's SELinux refuses: the container's type (container_t and the like) may \
                not use this device",
        next: &[
            Do(CONTAINER_DEVICES),
            Do("# this device alone: packaging/selinux; docs/containers.md, \"SELinux\""),
            Do("# Kubernetes: seLinuxOptions with a type that may, such as spc_t"),
            Do("sudo ausearch -m avc -ts recent | audit2why"),
        ],
        ..M
    },
    Message {
        id: "apparmor-binderfs",
        about: &[Binder],
        says: r#"apparmor=.?"?DENIED.*operation=.?"?mount"#,
        cause: "AppArmor does not let the container mount binderfs: engines' own profiles allow no \
                mounts",
        next: &[
            Do("# LXC: lxc.apparmor.profile = unconfined, or a profile with `mount \
                 fstype=binder,`"),
            Do(
                "# docker: --security-opt apparmor=unconfined; Kubernetes: appArmorProfile: {type: \
                Unconfined}",
            ),
            Do("# or mount it on the host, and bind the nodes"),
        ],
        ..M
    },
    Message {
        id: "apparmor-agent",
        about: &[],
        says: r#"apparmor=.?"?DENIED.*operation=.?"?ptrace.*(peer|comm)=.?"?ashmem"#,
        cause: "AppArmor keeps the agent from a container: the agent has a profile of its own, and \
                the container's does not let it look",
        next: &[
            Do("# in the container's profile: ptrace (readby, tracedby) peer=ashmem-agent,"),
            Do("# or the agent without its profile: docs/containers.md, \"AppArmor\""),
        ],
        ..M
    },
    Message {
        id: "apparmor-module",
        about: &[],
        says: concat!(
            r#"apparmor=.?"?DENIED.*(capname=.?"?sys_module|capability=16\b).*|"#,
            r#"apparmor=.?"?DENIED.*(ashmem|binder)_linux"#
        ),
        cause: "AppArmor does not let this program load a module: modules are loaded on the host, \
                before the container starts",
        next: &[
            Do("sudo modprobe ashmem_linux   # on the host"),
            Do("ashmem doctor --mode agent   # containers need no module with the agent"),
        ],
        ..M
    },
    Message {
        id: "apparmor-device",
        about: &[Device, Ashmem, Binder, Neighbour, Memfd],
        says: r#"apparmor=.?"?DENIED"#,
        cause: "AppArmor refuses: the profile that the line names (docker-default, an LXC profile, \
                a snap's) does not let the program use this path",
        next: &[
            Do("# docker: --security-opt apparmor=unconfined; LXC: lxc.apparmor.profile = \
                unconfined"),
            Do("# Kubernetes: securityContext.appArmorProfile: {type: Unconfined} (before 1.30 \
                 the annotation container.apparmor.security.beta.kubernetes.io/NAME: unconfined)"),
            Do("# or a rule in the profile: /dev/ashmem* rw,"),
        ],
        ..M
    },
    Message {
        id: "memfd-killed-by-seccomp",
        about: &[],
        says: concat!(
            r"arch=c000003e syscall=319\b|arch=c00000b7 syscall=279\b|",
            r"arch=40000028 syscall=385\b|arch=40000003 syscall=356\b|",
            r"(type=1326|seccomp).*memfd_create|memfd_create.*(bad system call|sigsys)|",
            r"seccomp prevented call to disallowed (x86_64 system call 319|arm64 system call 279|",
            r"arm system call 385|x86 system call 356)\b|",
            r"SIGSYS\b.*\b(syscall|system call|nr)[ =:]*(279|319|356|385)\b|",
            r"(media\.?extractor|media\.?codec|media\.swcodec).*(SIGSYS|bad system call)|",
            r"(SIGSYS|bad system call).*(media\.?extractor|media\.?codec|media\.swcodec)"
        ),
        cause: "a seccomp policy forbids memfd_create: that of one of Android's media services, in \
                images made before memfd was used, or an old container profile",
        next: &[
            Do("# with the device instead of memfd this call is not made: ashmem doctor --mode \
                module"),
            Do("ashmem doctor --image ROOTFS   # shows which policies of an image allow it"),
        ],
        ..M
    },
    Message {
        id: "service-killed-by-seccomp",
        about: &[CoreService, Region, Ashmem, Memfd],
        says: r"signal 31 \(SIGSYS\)|seccomp prevented call|\bSYS_SECCOMP\b",
        cause: "a seccomp policy killed one of Android's first services: the line `Cause: seccomp \
                prevented call to disallowed ... system call N` names the call",
        next: &[Do(
            "# docker: --security-opt seccomp=unconfined, or --privileged, as redroid wants \
                    it",
        )],
        ..M
    },
];
