// SPDX-License-Identifier: MIT OR Apache-2.0
//! What package managers say of headers, module packages and this project's own.

use crate::advice::NextStep::{self, Do};
use crate::message::{Fact, Message};

const M: Message = Message::PLAIN;

/// How apt, dnf, pacman, zypper and apk word that they have no such package; before the name.
macro_rules! absent {
    ($name:expr) => {
        concat!(
            r"(unable to locate package|couldn't find any package\b.*|no match for argument:",
            r"|unable to find a match:.*|target not found:|no provider of|no packages?\b.*|",
            r"could not find all required packages:?|nothing provides|",
            r"packages?( or group)? (not found|(is )?not available):?|",
            r"no (ebuilds to satisfy|enabled repositories providing)|",
            r"error: (attribute|undefined variable)|",
            r"failed to (resolve|install)\b.*)\s+.?\S*(",
            $name,
            r")|(",
            $name,
            r")\S*\s*(\(no such package\)|not available\.?$|.*(has no installation candidate|",
            r"not found in (package names|(the )?repository)|is not available|",
            r"No match for argument|",
            r"' not found\.|' was not found))"
        )
    };
}

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "dkms-package-failed",
        about: &[],
        says: concat!(
            r"error processing package (\S*(ashmem|anbox|binder|redroid)\S*)|",
            r"\b(ashmem|anbox|binder)\S* package post-installation script subprocess returned error"
        ),
        cause: "the package's module could not be built for one of the installed kernels; the \
                reason stands in DKMS's make.log",
        next: &[
            Do("cat /var/lib/dkms/*/*/build/make.log | ashmem doctor explain"),
            NextStep::Headers,
            Do("sudo dpkg --configure -a   # once it builds"),
        ],
        ..M
    },
    Message {
        id: "package-file-conflict",
        says: concat!(
            r"(trying to overwrite|file) .*\b(ashmem|anbox|binder)\b.*(is also in package|",
            r"conflicts)|",
            r"\b(ashmem|anbox|binder)\S*: .*exists in filesystem"
        ),
        cause: "two packages, or a package and something that was installed by hand, have the same \
                file: an old module's package (anbox-modules and its like), or an earlier install \
                from source",
        next: &[
            Do("dpkg -S FILE; rpm -qf FILE; pacman -Qo FILE   # whose it is"),
            Do("# remove the old package; nobody's file: sudo mv FILE FILE.old; then once more"),
        ],
        ..M
    },
    Message {
        id: "nixos-option-unknown",
        says: r"the option .?(virtualisation\.waydroid|hardware\.ashmem)\S* does not exist",
        cause: "this configuration of NixOS names an option that nothing in it declares: \
                virtualisation.waydroid came with NixOS 21.11, and hardware.ashmem comes with \
                this project's nix/module.nix, which must stand under `imports`",
        next: &[
            Do("nixos-version; grep -n imports -A8 /etc/nixos/configuration.nix"),
            Do("# hardware.ashmem: imports = [ .../nix/module.nix ]; of a release's archive: \
                docs/install.md, Other distributions"),
        ],
        ..M
    },
    Message {
        id: "headers-not-in-archive",
        about: &[],
        says: absent!(concat!(
            r"linux-headers|linux-\S*-headers|kernel-(uek-)?devel|kernel-\w+-devel|",
            r"(proxmox|pve|kernel)-headers|raspberrypi-kernel-headers|linux-(lts|virt|edge)-dev"
        )),
        unless: r"installed|installing",
        taken_back_by: &[Fact::OthersBuild],
        cause: "the archive has no headers for this kernel: usually the kernel that runs is older \
                than the archive's (it was updated and not rebooted, or the archive moved on), or \
                it comes from elsewhere and so do its headers",
        next: &[
            Do("uname -r   # the kernel that runs"),
            Do("# update the kernel and reboot, then:"),
            NextStep::Headers,
            NextStep::Rebuild,
        ],
        ..M
    },
    Message {
        id: "modules-extra-not-in-archive",
        about: &[],
        says: absent!(r"linux-modules-extra"),
        cause: "Ubuntu keeps binder in linux-modules-extra, and the archive has none for this \
                kernel: it is not Ubuntu's, or older than the archive",
        next: &[
            Do("uname -r; sudo apt update"),
            Do("# cloud kernels: linux-modules-extra-aws, -azure, -gcp, -oracle; else update and \
                reboot"),
            Do(
                "# a kernel that Ubuntu did not build (a board's, an appliance's, Debian's) has no \
                such package: its maker decides on binder",
            ),
        ],
        ..M
    },
    Message {
        id: "old-module-package-missing",
        about: &[],
        says: absent!(concat!(
            r"anbox-(modules|ashmem|binder|k?mods?|kmp\S*|dkms)|kmod-anbox|",
            r"ashmem_linux|ashmem-linux|redroid-modules"
        )),
        cause: "nobody packages the old modules any more (anbox-modules and its like)",
        next: &[NextStep::Module, Do("ashmem doctor   # whether a module is needed at all")],
        ..M
    },
    Message {
        id: "old-module-package-missing",
        about: &[],
        says: r"\bppa\.launchpad(content)?\.net/morphis/anbox-support\b.*(release file|\b404\b)",
        cause: "Anbox' archive with its modules has nothing for this release of Ubuntu: nobody \
                packages them any more",
        next: &[
            Do("sudo add-apt-repository --remove ppa:morphis/anbox-support"),
            NextStep::Module,
            Do("ashmem doctor   # whether a module is needed at all"),
        ],
        ..M
    },
    Message {
        id: "binder-package-missing",
        about: &[],
        says: absent!(r"binder_linux|binder-linux|binder-dkms"),
        cause: "no package of that name: where a distribution's kernel has binder, none is needed",
        next: &[Do("grep binder /proc/filesystems"), NextStep::Binder],
        ..M
    },
    Message {
        id: "waydroid-archive-of-other-release",
        // apt's, in the reader's language: the package, a colon between blanks, `Depends:`.
        says: concat!(
            r"^[>\s]*(waydroid|python3?-gbinder|libgbinder\S*|libglibutil\S*)(:\w+)?",
            r"( : (\S+ ){0,2}\S+|: depends): ?[a-z0-9][a-z0-9.+-]+ .*\S"
        ),
        cause: "Waydroid's packages that apt is offered do not fit what is installed: its makers' \
                archive is set up for another release than this one, or has not all of them for \
                this release and machine. Shared memory has no part in it",
        next: &[
            Do("cat /etc/apt/sources.list.d/waydroid.list; grep CODENAME /etc/os-release"),
            Do(
                "# the codename in the list must be this release's; Linux Mint and others: that of \
                the Ubuntu or Debian below. Then: sudo apt update; sudo apt install waydroid",
            ),
            Do("# https://docs.waydro.id, Install: which releases it has. Debian has Waydroid \
                itself from 13 on"),
        ],
        ..M
    },
    Message {
        id: "waydroid-package-missing",
        says: concat!(
            absent!(r"\bwaydroid\b|python3?-gbinder|libgbinder|libglibutil"),
            r"|\b(waydroid|python3?-gbinder|libgbinder\S*) (depends on|requires)\b|",
            r"(needed|required) by (the to be installed )?\S*(waydroid|gbinder)|",
            r"repository .?https?://repo\.waydro\.id\b.*(not have a release file|not signed)"
        ),
        unless: r"installed|installing",
        cause: "the archives that this machine knows have no Waydroid, or not all that it needs: \
                its makers' archive is not set up, or has nothing for this release of the \
                distribution. Shared memory has no part in it",
        next: &[
            Do("# https://docs.waydro.id, Install: the archive, and which releases it has"),
            Do("# Debian from 13 and Fedora have Waydroid themselves; Arch: the AUR"),
        ],
        ..M
    },
    Message {
        id: "our-package-missing",
        about: &[],
        says: absent!(r"\bashmem(-dkms)?\b|libashmem"),
        // The device is no package.
        unless: r"dev/",
        cause: "no archive has this project's packages: they are built from its source, and \
                installed as files",
        next: &[
            NextStep::Module,
            Do("# the program alone: cargo build --release; docs/install.md"),
        ],
        ..M
    },
];
