// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compiles the blob, and refuses one that is not a flat piece of code.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::elf;
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags};

#[path = "src/layout.rs"]
#[allow(dead_code, unreachable_pub, reason = "the blob and the supervisor use the rest")]
mod layout;

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let blob = out.join("blob.bin");
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=../ashmem-core/src");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let (processor, system) = (variable("CARGO_CFG_TARGET_ARCH"), variable("CARGO_CFG_TARGET_OS"));
    let bytes = match (processor.as_str(), system.as_str()) {
        ("x86_64" | "aarch64", "linux") => {
            let linked = fs::read(compile(&out, &processor)).expect("the linked blob");
            flat(&linked, &Code::of(&processor))
        }
        _ => Vec::new(),
    };
    fs::write(blob, bytes).expect("room for the blob");
}

/// Compiles ashmem-core and the blob for this target, and links them.
fn compile(out: &Path, processor: &str) -> PathBuf {
    let core = out.join("libashmem_core.rlib");
    let blob = out.join("blob");
    // What is built must not depend on how: no instrumentation, no debug information, the oldest
    // processor.
    let common = |name: &str, kind: &str| {
        let mut rustc = Command::new(env::var_os("RUSTC").expect("cargo sets it"));
        rustc
            .args(["--edition", "2024", "--crate-name", name, "--crate-type", kind])
            .args(["--target", &env::var("TARGET").expect("cargo sets it")])
            .args(["-Copt-level=s", "-Cpanic=abort", "-Crelocation-model=pie"])
            .args(["-Ccodegen-units=1", "-Cforce-unwind-tables=no", "-Coverflow-checks=no"])
            .args(["-Cembed-bitcode=yes", "-Cdebug-assertions=no", "-Cdebuginfo=0"])
            // Calls of memcpy and memset must not go through a table of addresses, which would be
            // relocated; there is no stable name for that.
            .env("RUSTC_BOOTSTRAP", "1")
            .arg("-Zrelax-elf-relocations=yes");
        if processor == "aarch64" {
            // Compare and swap without a library.
            rustc.arg("-Ctarget-feature=-outline-atomics");
        }
        if let Some(linker) = env::var_os("RUSTC_LINKER") {
            let mut option = std::ffi::OsString::from("-Clinker=");
            option.push(linker);
            rustc.arg(option);
        }
        rustc
    };
    run(common("ashmem_core", "rlib").arg("-o").arg(&core).arg("../ashmem-core/src/lib.rs"));
    let script = Path::new("src/blob/blob.ld").canonicalize().expect("the linker's script");
    run(common("ashmem_blob", "bin")
        .args(["-Clto=fat", "-Ctarget-feature=+crt-static"])
        .arg("--extern")
        .arg(format!("ashmem_core={}", core.display()))
        .args(["-Clink-arg=-nostdlib", "-Clink-arg=-nostartfiles", "-Clink-arg=-static-pie"])
        .args(["-Clink-arg=-Wl,--no-dynamic-linker,--build-id=none,--gc-sections"])
        .args(["-Clink-arg=-Wl,-z,noexecstack,-z,norelro"])
        .arg(format!("-Clink-arg=-Wl,-T,{}", script.display()))
        .arg("-o")
        .arg(&blob)
        .arg("src/blob/main.rs"));
    blob
}

fn run(command: &mut Command) {
    let output = command.output().expect("starting the compiler");
    assert!(
        output.status.success(),
        "the blob does not build: {command:?}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The one section of a linked blob, if that is all there is.
fn flat(linked: &[u8], code: &Code) -> Vec<u8> {
    let file = object::File::parse(linked).expect("an ELF file");
    let mut bytes = Vec::new();
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
        let name = section.name().unwrap_or("?").to_owned();
        if sh_flags & u64::from(elf::SHF_ALLOC) == 0 || section.size() == 0 {
            continue;
        }
        // What a linker reserves for itself: an entry of ours would be relocated, which is refused
        // below.
        let is_reserved = matches!(name.as_str(), ".got" | ".got.plt")
            && section.data().is_ok_and(|data| data.iter().all(|byte| *byte == 0));
        if is_reserved {
            continue;
        }
        assert_eq!(name, ".blob", "the blob has another section that is loaded");
        assert_eq!(
            sh_flags & u64::from(elf::SHF_WRITE),
            0,
            "the blob has data that it could write"
        );
        assert_eq!(section.address(), 0, "the blob does not begin where it should");
        bytes = section.data().expect("its content").to_vec();
    }
    assert!(
        file.dynamic_relocations().is_none_or(|mut all| all.next().is_none()),
        "the blob has relocations"
    );
    assert!(
        file.symbols().all(|symbol| !symbol.is_undefined() || symbol.name() == Ok("")),
        "the blob needs a symbol that it has not"
    );
    assert!(bytes.len() <= layout::LIMIT, "the blob has {} bytes", bytes.len());
    assert!(bytes[..layout::HEADER].iter().all(|byte| *byte == 0), "the header is not empty");
    assert_eq!(&bytes[layout::GATE..][..code.gate.len()], code.gate, "the gate is elsewhere");
    // Only the gate may make a call: the filter lets no other pass.
    let calls =
        (0..bytes.len()).step_by(code.step).filter(|at| bytes[*at..].starts_with(code.call));
    assert_eq!(calls.count(), 1, "the blob has other places that make calls");
    bytes
}

/// What a processor's code looks like.
struct Code {
    /// The instruction that makes a call.
    call: &'static [u8],
    /// That, and the return behind it.
    gate: &'static [u8],
    /// An instruction begins at a multiple of this.
    step: usize,
}

impl Code {
    fn of(processor: &str) -> Self {
        match processor {
            "aarch64" => Self {
                call: &[0x01, 0, 0, 0xd4],
                gate: &[0x01, 0, 0, 0xd4, 0xc0, 0x03, 0x5f, 0xd6],
                step: 4,
            },
            _ => Self { call: &[0x0f, 0x05], gate: &[0x0f, 0x05, 0xc3], step: 1 },
        }
    }
}
