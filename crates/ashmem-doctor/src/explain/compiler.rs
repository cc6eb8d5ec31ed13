// SPDX-License-Identifier: MIT OR Apache-2.0
//! What compilers and linkers say where they are not those that the kernel was built with.

use crate::advice::NextStep::{self, Do};
use crate::message::{Fact, Message};
use crate::subject::Subject::{Build, Source};

const M: Message = Message::PLAIN;

const WITH_CLANG: &[NextStep] = &[
    NextStep::Clang,
    Do("sudo env LLVM=1 dkms autoinstall   # or: make LLVM=1"),
    Do("grep -E 'CC_IS_CLANG|LTO_CLANG|CFI' /lib/modules/$(uname -r)/build/.config"),
];

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "kernel-built-by-clang",
        about: &[],
        says: concat!(
            r"unrecogni[sz]ed emulation mode: llvm|emulation mode: llvm|",
            r"built by: .*clang version|",
            r"unrecognized.*option.*('|-)(-?mllvm|-?mretpoline-external-thunk|-?fsanitize=kcfi|",
            r"-?fsanitize=cfi\S*|-?flto=thin|-?fsplit-lto-unit|-?fvisibility-lto|-?Wno-gnu\b|",
            r"-?Qunused-arguments|-?no-integrated-as|-?integrated-as|-?fexperimental\S*|",
            r"-?fno-split-lto-unit|-?mstack-alignment=\S*|-?fmerge-.*llvm\S*|-?target\b|",
            r"--target=\S*|",
            r"-?fcolor-diagnostics|-?enable-trivial-auto-var-init\S*|",
            r"-?Wno-unused-but-set-parameter\S*|",
            r"-?fbasic-block\S*|-?fsanitize-cfi\S*|-?mharden-sls=\S*llvm)|",
            r"file (format )?not recogni[sz]ed.*bitcode|",
            r"(ashmem|binder|deps)\w*\.o: file format not recogni[sz]ed; treating as linker|",
            r"LLVM ?IR|bitcode file|",
            r"gcc: error: .*(-mllvm|=thin)"
        ),
        cause: "this kernel was built by clang (CachyOS' and others are), and gcc and GNU ld do \
                not know its options: modules for it are built by clang and lld too (LLVM=1). gcc \
                is not what is missing",
        next: WITH_CLANG,
        ..M
    },
    Message {
        id: "clang-missing",
        about: &[Build],
        says: concat!(
            r"\b(clang(-\d+)?|ld\.lld(-\d+)?|llvm-(ar|nm|objcopy|strip|readelf)(-\d+)?):? .*",
            r"(command not found|not found|no such file)|",
            r"(no such file|not found).*\b(clang|ld\.lld|llvm-\w+)$"
        ),
        cause: "this kernel was built by clang, and clang or its linker is not installed here",
        next: WITH_CLANG,
        ..M
    },
    Message {
        id: "compiler-too-old",
        about: &[],
        says: concat!(
            r"\b(gcc|cc1|cc|x86_64-linux-gnu-gcc(-\d+)?|aarch64-linux-gnu-gcc(-\d+)?)\b.*",
            r"unrecogni[sz]ed.*option|unrecogni[sz]ed command.line option|",
            r"cannot load plugin \S*gcc-plugins/|gcc-plugins/\S+.*should be compiled|",
            r"incompatible gcc/plugin versions"
        ),
        unless: r"conftest|configure:|\bnvcc\b",
        cause: "the compiler does not know an option that the kernel was built with: it is older \
                than the kernel's, or of another kind",
        next: &[
            Do("cat /proc/version   # names the compiler that the kernel was built with"),
            Do("# install that version of gcc, and build with CC=gcc-VERSION"),
            NextStep::Compiler,
        ],
        ..M
    },
    Message {
        id: "compiler-differs",
        about: &[],
        says: r"compiler differs from the one used to build the kernel",
        cause: "the compiler is another than the one that the kernel was built with. Mostly that \
                is harmless; where the build fails after it, take the kernel's. The two lines that \
                follow name both: if the kernel's is clang, build with LLVM=1",
        is_harmless: true,
        next: &[Do("cat /proc/version   # names the compiler that the kernel was built with")],
        ..M
    },
    Message {
        id: "kernel-built-by-gcc",
        about: &[Build],
        says: r"\bclang(-\d+)?: error: (unknown|unsupported) (argument|option)",
        unless: r"configure:|conftest",
        cause: "this kernel was built by gcc, and clang does not know its options: modules for it \
                are built by gcc, without LLVM=1",
        next: &[
            Do("cat /proc/version   # names the compiler that the kernel was built with"),
            NextStep::Compiler,
            Do("env -u LLVM -u CC dkms autoinstall   # as root"),
        ],
        ..M
    },
    Message {
        id: "kernel-without-rust",
        about: &[Build],
        says: concat!(
            r"can't find crate for .?kernel\b|rust is not available|",
            r"rustc?\S* .*(too old|not found).*kernel|CONFIG_RUST\b.*(not set|=n|required)"
        ),
        cause: "a module that is written in Rust with the kernel's own crate is built against \
                headers that have no Rust: the kernel is built without CONFIG_RUST, or rustc is \
                not the version that it was built with. This project's module needs neither",
        next: &[
            Do("grep -w CONFIG_RUST /boot/config-$(uname -r); rustc --version"),
            NextStep::Module,
        ],
        ..M
    },
    Message {
        id: "dkms-missing",
        about: &[Build],
        says: r"\bdkms: (command )?not found|\bdkms: no such file",
        cause: "DKMS, which builds modules for each kernel, is not installed",
        next: &[NextStep::Package("dkms"), NextStep::Headers, NextStep::Rebuild],
        ..M
    },
    Message {
        id: "compiler-missing",
        about: &[Build, Source],
        says: concat!(
            r"\b(gcc(-\d+)?|cc|make|g\+\+|as|ld|gmake):? (command )?not found|",
            r"\b(gcc(-\d+)?|cc|make|ld|as): no such file|",
            r"no acceptable c compiler|c compiler .*(not found|missing)|",
            r"(unable to|cannot|could not) (find|exec\w*|run).*\b(gcc|cc1|collect2|'as'|'ld')\b"
        ),
        unless: r"configure:|\bpip\b|\bnpm\b|node-gyp|setup\.py",
        cause: "a compiler or make is not installed, or not the version that the kernel's Makefile \
                asks for",
        next: &[
            NextStep::Compiler,
            Do("cat /proc/version   # names the compiler that the kernel was built with"),
            NextStep::Rebuild,
        ],
        ..M
    },
    Message {
        id: "build-tool-missing",
        about: &[Build, Source],
        says: concat!(
            r"\b(flex|bison|bc|perl|python3?|g?awk|cpio|pahole|openssl|rsync|xz|zstd|strip|",
            r"objcopy|nm|patch|kmod): ((command )?not found|no such file)|",
            // What a shell says of a program that it does not find.
            r"\*\*\* \[(.*/)?scripts/.*\] Error 127\b"
        ),
        unless: r"configure:|\bpip\b|\bnpm\b|node-gyp|setup\.py",
        taken_back_by: &[Fact::NothingOfOurs],
        cause: "a program that the kernel's Makefiles call is not installed: flex, bison, bc and \
                their like are wanted where the folder of the headers is not finished",
        next: &[
            Do("# install the program that the line names, under its own name"),
            NextStep::Headers,
            NextStep::Rebuild,
        ],
        ..M
    },
    Message {
        id: "build-of-two-machines",
        about: &[Source],
        says: concat!(
            r"\bincompatible with (elf|aarch64|arm|i386|x86)\w*|relocations in generic ELF|",
            r"file in wrong format|architecture of input file .* is incompatible"
        ),
        cause: "the linker was given objects for another processor, or in another form, than the \
                kernel's: left from an earlier build, or made by another compiler than the \
                linker belongs to (CC without LD, ARCH without CROSS_COMPILE)",
        next: &[
            Do("make clean   # in the module's folder; then build anew"),
            Do("env | grep -E '^(ARCH|CROSS_COMPILE|CC|LD|LLVM)='   # none is wanted for the \
                kernel that runs here, but LLVM=1 where clang built it"),
            NextStep::Rebuild,
        ],
        ..M
    },
    Message {
        id: "compiler-no-memory",
        about: &[Build, Source],
        says: concat!(
            r"killed signal terminated program|virtual memory exhausted|",
            r"\b(cc1|cc1plus|ld|gcc|clang)\b.*(out of memory|cannot allocate memory)|",
            r"internal compiler error: killed"
        ),
        taken_back_by: &[Fact::NothingOfOurs],
        cause: "the machine ran out of memory while it compiled, and the kernel ended the compiler",
        next: &[
            Do("free -m; sudo dmesg | grep -i 'killed process' | tail"),
            Do("sudo dkms build -j 1 NAME/VERSION   # one compiler at a time; more swap helps too"),
        ],
        ..M
    },
    Message {
        id: "headers-foreign",
        about: &[Build, Source],
        says: concat!(
            r"(scripts/\S*|\b)(modpost|fixdep|objtool|recordmcount|genksyms|resolve_btfids|",
            r"sign-file)\b:? .*(exec format error|version 'GLIBC\S* not found|",
            r"error while loading shared libraries|",
            r"cannot execute binary)"
        ),
        unless: r"lib(elf|crypto|ssl|z)\b",
        cause: "the headers were made on another machine: the programs in their folder scripts \
                are for another processor or another C library, and do not run here",
        next: &[
            NextStep::HeadersScripts,
            Do("# if that fails: make modules_prepare in the kernel's source, with its .config"),
            NextStep::Rebuild,
        ],
        ..M
    },
    Message {
        id: "headers-incomplete",
        about: &[Build, Source],
        says: concat!(
            r"(modpost|fixdep|objtool|recordmcount|genksyms|resolve_btfids|sign-file)\S*:? .*",
            r"(no such file|not found|exec format error|permission denied|cannot execute)|",
            r"modules_prepare|autoconf\.h.*(missing|no such)|kernel configuration is invalid|",
            r"no rule to make target .*(modules|syscalltbl|scripts/|arch/|tools/)|",
            r"include/generated/\S+.*(missing|no such file)|",
            r"libelf\S*.*(no such file|not found|install)|cannot generate orc metadata|",
            r"Makefile(\.\w+)?:\d+: (arch|scripts|tools|include)/\S+: no such file|",
            r"linker script file scripts/\S+: no such file|",
            r"\bscripts/\S+: fatal error: \S+: no such file"
        ),
        unless: r"signing_key",
        cause: "the headers are there and not whole: the tools that belong to them are missing, of \
                another architecture, or lack a library (libelf)",
        next: &[
            NextStep::Headers,
            Do("# a kernel of your own: make modules_prepare in its tree; libelf's headers and \
                pahole for ORC and BTF"),
        ],
        ..M
    },
];
