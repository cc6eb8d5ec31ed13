// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a line of a log is about: the device, a module, binder, a build, and so on.
//!
//! A message is only taken for one of ours if its line names the thing that the message is about.
//! "No such file or directory" alone says nothing; beside `/dev/ashmem` it says a lot.

use std::sync::LazyLock;

use regex::{RegexSet, RegexSetBuilder};

use crate::ascii_pattern::ascii_only;

/// A thing that lines of logs speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Subject {
    /// ashmem in any way.
    Ashmem,
    /// The node, `/dev/ashmem` or the name with the boot's id.
    Device,
    /// The module `ashmem_linux`, or one like it.
    Module,
    /// What makes regions: libcutils and those that call it.
    Region,
    /// memfd.
    Memfd,
    /// The module `binder_linux`, or the driver by its name.
    BinderModule,
    /// binder's nodes and its file system.
    Binder,
    /// A file of the source of ashmem's or binder's module, or a build of one.
    Source,
    /// A program that builds a module: make, a compiler, a linker, DKMS.
    Build,
    /// This project's CDI name, or that of another device plugin for the device.
    DeviceName,
    /// This project's programs, sockets and profiles.
    Ours,
    /// One of Android's first processes, without which none lives.
    CoreService,
    /// Another device that Android asks for.
    Neighbour,
}

/// The pattern of each subject, in the order of the variants.
const PATTERNS: [&str; 13] = [
    r"ashmem",
    concat!(
        r"/dev/ashmem|ashmem[ _](device|node)|(^|[\s=:,'\x22/])dev/ashmem|path=\\?.?/dev/ashmem|",
        // Opened by its bare name.
        r"\b(open|opening|access|stat)\b\W{0,2}( ?to )?(the )?\W?ashmem(\W?$|[^\w./-]|\W? driver)|",
        r"\bashmem( driver)?\W{1,3}(open\b|(could|can) ?not be opened|unavailable|is unavailable)"
    ),
    concat!(
        r"\bashmem[_-]linux\b|\bashmem\.ko|\bashmem (kernel )?(module|driver)|",
        r"\b(module|driver)s?:? .?ashmem\b|\bmodprobe (-\S+ )*ashmem\b|",
        r"\b(insert|inserting|load|loading) \W?ashmem\b|",
        r"\b(f?init_module\(|libkmod\b.*)\W?ashmem\b|",
        // A driver of that name, of which the kernel's loader speaks.
        r"\bashmem(_rust)?: (unknown symbol|disagrees about|version magic|no symbol version|",
        r"exports dup|loading |module (uses|veri|lice|is)|failed to (register|init|lookup)|",
        r"built without|(falsely|invalid|unsupported|unexpected) )|'ashmem(_rust)?': "
    ),
    concat!(
        r"ashmem_(create|get|set|pin|unpin|valid|dup|init|open)\w*|ashmem region|",
        // An ioctl's number, as strace shows one that it does not know.
        r"\bioctl\(\d.*(\b0x77, (0x)?[0-9a]\b|\b0x[48c]?[01]?[0-9a-f]{0,2}770[1-9a]\b)|",
        r"\bashmem\b.*(region|creat|alloc|\bfd\b)|(creat|alloc)\w*.*\bashmem\b|",
        r"ASharedMemory|\bSharedMemory|ApplicationSharedMemory|CursorWindow|",
        // Others have a MemoryFile.cpp.
        r"MemoryFile($|[^.]|\.($|[^c]|c($|[^p])))|",
        r"MemoryHeap|\bIMemory\b|shared_memory(_region)?_android|",
        r"imageref_ashmem|MemoryDealer|shared memory for track|",
        r"\bAshmem(Allocator|Mapper|Memory)|hidl_memory"
    ),
    r"memfd",
    concat!(
        r"\bbinder_linux\b|\bbinder (kernel )?(driver|module)|\bbinder[-_]linux-dkms|",
        r"\banbox-binder/|\bbinder_linux\.ko|'binder'? module|\bmodule '?binder\b"
    ),
    concat!(
        r"/ ?dev ?/ ?(\w+-)?\w*binder|\bdev/(binderfs|(hw|vnd)?binder)|binderfs|binder node|",
        r"type\W{0,3}binder\b|dev=.?binder\b|^binder: (unknown parameter|bad value)|",
        r"fstype=.?binder|\bbinder\b.*\bmount|mount\w*\W+(\w+\W+)?.?binder\b|",
        r"binder driver|\bbinder_alloc\b|\bbinder ioctl|\bBINDER_\w+|\bbinder_\w+|",
        r"context manager|binder\.devices|Service ?manager|ProcessState|",
        r"\b(hw|vnd)binder\b|\bbinder (device|node)"
    ),
    concat!(
        r"ashmem[\w-]*(\.mod)?\.[cho]\b|\bbinder(_alloc|fs)?(\.mod)?\.[cho]\b|\bdeps\.[co]\b|",
        r"\b(anbox|redroid)[\w-]*(binder|ashmem|modules)|\b(ashmem|binder)[\w-]*[-_/]dkms|",
        r"dkms/(ashmem|anbox|binder|redroid)|\b(ashmem|binder)_linux\.(ko|o|mod)|",
        r"src/(ashmem|anbox|binder|redroid)[\w-]*-|\bfor (module )?.?(ashmem|anbox|binder)|",
        r"\b(ashmem|anbox-(ashmem|binder)|(redroid|anbox-modules)-(ashmem|binder)|",
        r"binder_linux)[/-]\d"
    ),
    concat!(
        r"\bg?make(\[\d+\])?: |\bgcc(-\d+)?\b|\bclang(-\d+)?\b|\bcc1?: |\b(ld|collect2)(\.\w+)?: |",
        r"\bas: |\bdkms\b|^error! |modpost|\bar: |\bobjtool\b|\bpahole\b|\brustc\b|\bfixdep\b|",
        r"resolve_btfids|\b(error|warning): .*\bkernel\b|/lib/modules/|\.k?o\b|linux-headers|",
        r"Makefile(\.\w+)?:\d+: |fatal error: .?(linux|asm|generated)/|",
        r"\berror\[E\d+\]|gcc-plugins|",
        r"\bdepmod\b|mkinitramfs|dracut|update-initramfs|mkinitcpio|orc metadata|libelf|",
        r"/usr/src/(linux|kernel)|module build for |compile modules for |for this kernel do|",
        r"\bscripts/\w"
    ),
    concat!(
        r"android\.dev/|smarter-devices/|",
        r"\b[a-z][\w-]*(\.[a-z][\w-]+)+/(dev[-_.])?(ashmem|binder)\b"
    ),
    r"run/ashmem|ashmem[/-](agent|lxc)|\bashmem: |ashmem-agent|ashmem (run|agent)|ashmem\.json",
    concat!(
        r"\b(surfaceflinger|zygote(64|_secondary|32)?|system[_ ]server|",
        r"(vnd|hw)?servicemanager|vendor\.gralloc\S*|gralloc-\S+|vendor\.graphics\.\S+|",
        r"vendor\.hwcomposer\S*|hwcomposer-\S+|android\.hardware\.graphics\.(allocator|",
        r"composer)\S*)"
    ),
    concat!(
        r"/dev/(fuse|loop-control|loop\d*|dma_heap|ion|kmsg|net/tun|dri|uinput|tun)\b|",
        r"dma[-_]?heap|DMABUFHEAPS|DMA-BUF heap|loop-control|\bfuse\b|\bdma_heap\b|\bloop device"
    ),
];

static SET: LazyLock<RegexSet> = LazyLock::new(|| {
    let mut set = RegexSetBuilder::new(PATTERNS.map(ascii_only));
    // With the usual 2 MiB a log of many kinds of lines has the states made over and over.
    set.case_insensitive(true).dfa_size_limit(16 << 20).build().expect("the patterns are tested")
});

/// What a line is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subjects(u16);

impl Subjects {
    /// Those that a text speaks of.
    pub fn of(text: &str) -> Self {
        Self(SET.matches(text).iter().fold(0, |bits, subject| bits | 1 << subject))
    }

    /// With one more.
    #[must_use]
    pub fn and(self, subject: Subject) -> Self {
        Self(self.0 | 1 << subject as u8)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it is among them.
    pub fn has(self, subject: Subject) -> bool {
        self.0 & (1 << subject as u8) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Subject, Subjects};

    #[test]
    fn a_line_is_about_what_it_names() {
        let line = Subjects::of("open(\"/dev/ashmem\") failed");
        assert!(line.has(Subject::Ashmem) && line.has(Subject::Device));
        assert!(!line.has(Subject::Module) && !line.has(Subject::Neighbour));
        assert!(Subjects::of("binder_linux: Unknown symbol x").has(Subject::BinderModule));
        assert!(Subjects::of("'surfaceflinger' (pid 98)").has(Subject::CoreService));
        assert!(Subjects::of("cannot open /dev/dma_heap/system").has(Subject::Neighbour));
        assert_eq!(Subjects::of("usb 1-1: new device"), Subjects::default());
    }
}
