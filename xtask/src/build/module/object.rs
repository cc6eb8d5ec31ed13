// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is checked of the linked module's machine code: that the kernel can patch and unwind all of
//! it, and that no call goes from one half to the other through a pointer.
//!
//! kbuild runs objtool over what it compiles, not over the Rust half, which comes compiled. A
//! return that objtool has not listed keeps the thunk it was built with, whatever the processor
//! needs; a function without unwind data ends every stack trace; and a kernel that checks the type
//! of what a pointer calls finds no type before a Rust function.

use anyhow::{Context, Result, bail};
use object::elf::{
    R_X86_64_32, R_X86_64_32S, R_X86_64_64, R_X86_64_PC32, R_X86_64_PLT32, SHF_ALLOC, SHF_EXECINSTR,
};
use object::read::elf::{ElfFile64, ElfSection64};
use object::{
    Architecture, Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget,
    SectionFlags, SymbolKind,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

/// Where code returns to that the kernel patches.
const RETURN_THUNK: &str = "__x86_return_thunk";

/// What a kernel was built with, as far as it says what its modules hold.
#[derive(Debug, Default)]
pub(crate) struct Configuration {
    /// Returns go through a thunk that the kernel patches.
    return_thunks: bool,
    /// Indirect calls go through thunks that the kernel patches.
    retpolines: bool,
    /// Stacks are unwound by tables.
    orc: bool,
}

impl Configuration {
    /// Reads it from a kernel's headers.
    pub(crate) fn read(headers: &Path) -> Result<Self> {
        let path = headers.join("include/config/auto.conf");
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let set = |names: &[&str]| {
            text.lines().any(|line| names.iter().any(|name| line == format!("CONFIG_{name}=y")))
        };
        Self {
            // The names before and since 6.9.
            return_thunks: set(&["RETHUNK", "MITIGATION_RETHUNK"]),
            retpolines: set(&["RETPOLINE", "MITIGATION_RETPOLINE"]),
            orc: set(&["UNWINDER_ORC"]),
        }
    }
}

/// Refuses a module whose code the kernel could not patch or unwind, or whose halves call one
/// another by pointer.
pub(crate) fn check(module: &Path, kernel: &Configuration) -> Result<()> {
    let bytes = fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    let code =
        Code::read(&bytes).with_context(|| format!("reading the code of {}", module.display()))?;
    // What follows is about how x86 kernels patch and unwind.
    if code.file.architecture() != Architecture::X86_64 {
        return Ok(());
    }
    let mut faults = Vec::new();
    if kernel.return_thunks {
        faults.extend(code.unlisted("return", |name| name == RETURN_THUNK, ".return_sites")?);
        if code.functions.values().any(|function| function.name == RETURN_THUNK) {
            faults.push(format!(
                "it has a {RETURN_THUNK} of its own, which this kernel does not patch"
            ));
        }
    } else if code.imports(RETURN_THUNK) {
        faults.push(format!("it returns through {RETURN_THUNK}, which this kernel has not"));
    }
    if kernel.retpolines {
        let is_thunk = |name: &str| name.starts_with("__x86_indirect_thunk");
        faults.extend(code.unlisted("indirect call", is_thunk, ".retpoline_sites")?);
    }
    if kernel.orc {
        faults.extend(code.without_unwind_data()?);
    }
    faults.extend(code.pointers_across_halves()?);
    if !faults.is_empty() {
        bail!(
            "{} has {} fault(s) in its machine code:\n\
             {}\n\
             objtool runs over the Rust half by module/Kbuild's rule for rust/ashmem.o, or over \
             the whole where the kernel checks linked modules (IBT, LTO)",
            module.display(),
            faults.len(),
            faults.join("\n")
        );
    }
    Ok(())
}

/// A place in a section of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    section: usize,
    offset: u64,
}

impl Place {
    const fn before(self, bytes: u64) -> Self {
        Self { section: self.section, offset: self.offset.saturating_sub(bytes) }
    }
}

/// A place in a loaded section that a relocation fills in, and what it is filled with.
struct Reference {
    at: Place,
    kind: u32,
    executable: bool,
    /// The first byte of the instruction, if the reference is where a call or jump goes.
    branch: Option<Place>,
    /// The symbol's name.
    name: String,
    /// Where the symbol and the addend lead, if within the object.
    to: Option<Place>,
}

/// A function of the object.
struct Function {
    name: String,
    start: Place,
    end: u64,
}

impl Function {
    /// rustc's mangled names, old and new, and what the C half calls.
    fn is_rust(&self) -> bool {
        ["_R", "_ZN", "ashmem_rs_"].iter().any(|prefix| self.name.starts_with(prefix))
    }

    fn holds(&self, place: Place) -> bool {
        self.start.section == place.section && (self.start.offset..self.end).contains(&place.offset)
    }
}

impl fmt::Display for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

/// The object, and what of it all checks look at.
struct Code<'data> {
    file: ElfFile64<'data>,
    functions: BTreeMap<Place, Function>,
    references: Vec<Reference>,
}

impl<'data> Code<'data> {
    fn read(bytes: &'data [u8]) -> Result<Self> {
        let file = ElfFile64::parse(bytes)?;
        let mut functions = BTreeMap::new();
        for symbol in
            file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
        {
            let name = symbol.name()?.to_owned();
            let Some(section) = symbol.section_index() else { continue };
            // objtool's names for the room before a function.
            if !name.starts_with("__pfx_") {
                let start = Place { section: section.0, offset: symbol.address() };
                functions
                    .insert(start, Function { name, start, end: symbol.address() + symbol.size() });
            }
        }
        let mut references = Vec::new();
        for section in file.sections().filter(|section| has_flag(section, SHF_ALLOC)) {
            let data = section.data()?;
            for (offset, relocation) in section.relocations() {
                let RelocationFlags::Elf { r_type: kind } = relocation.flags() else { continue };
                let RelocationTarget::Symbol(index) = relocation.target() else { continue };
                let symbol = file.symbol_by_index(index)?;
                let executable = has_flag(&section, SHF_EXECINSTR);
                let at = Place { section: section.index().0, offset };
                let branch = if executable { branch(data, at, kind) } else { None };
                // Code is relative to the end of its instruction, four bytes on.
                let skew = if executable && matches!(kind, R_X86_64_PC32 | R_X86_64_PLT32) {
                    4
                } else {
                    0
                };
                let to = symbol.section_index().map(|section| Place {
                    section: section.0,
                    offset: symbol.address().wrapping_add_signed(relocation.addend() + skew),
                });
                let name = symbol.name()?.to_owned();
                references.push(Reference { at, kind, executable, branch, name, to });
            }
        }
        Ok(Self { file, functions, references })
    }

    /// Branches to what `is_thunk` names that are not in the section of sites, which the kernel
    /// patches by.
    fn unlisted(
        &self,
        what: &str,
        is_thunk: impl Fn(&str) -> bool,
        sites: &str,
    ) -> Result<Vec<String>> {
        let listed = self.listed(sites)?;
        let branches = self.references.iter().filter(|reference| is_thunk(&reference.name));
        // A branch may begin with a prefix, which pads it to the length of what the kernel puts
        // there.
        let is_listed =
            |place: Place| [0, 1].iter().any(|prefix| listed.contains(&place.before(*prefix)));
        let missing =
            branches.filter_map(|reference| reference.branch).filter(|place| !is_listed(*place));
        let mut by_function: BTreeMap<String, usize> = BTreeMap::new();
        for place in missing {
            *by_function.entry(self.function_at(place)).or_default() += 1;
        }
        Ok(by_function
            .into_iter()
            .map(|(function, count)| {
                format!("{function}: {count} x {what} through a thunk, not in {sites}")
            })
            .collect())
    }

    /// The places that a section of 32-bit relative addresses names.
    fn listed(&self, name: &str) -> Result<BTreeSet<Place>> {
        let sections = self.file.sections().filter(|section| section.name() == Ok(name));
        let indices: BTreeSet<usize> = sections.map(|section| section.index().0).collect();
        let entries =
            self.references.iter().filter(|reference| indices.contains(&reference.at.section));
        Ok(entries.filter_map(|reference| reference.to).collect())
    }

    fn imports(&self, name: &str) -> bool {
        self.references.iter().any(|reference| reference.name == name && reference.to.is_none())
    }

    /// Functions whose start, or whose branches to thunks, have no entry in the ORC tables that
    /// tells the stack's layout.
    fn without_unwind_data(&self) -> Result<Vec<String>> {
        let orc = self.orc()?;
        let is_covered = |place: &Place| {
            let entry = orc.range(..=*place).next_back();
            entry.is_some_and(|(at, known)| at.section == place.section && *known)
        };
        let inside = |function: &Function| {
            let branches = self.references.iter().filter_map(|reference| reference.branch);
            branches.filter(|place| function.holds(*place)).collect::<Vec<_>>()
        };
        let bare = |function: &&Function| {
            std::iter::once(function.start).chain(inside(function)).any(|place| !is_covered(&place))
        };
        let functions = self.functions.values().filter(bare);
        Ok(functions.map(|function| format!("{function}: no unwind data in .orc_unwind")).collect())
    }

    /// Where each entry of the ORC tables begins to apply, and whether it knows how to unwind from
    /// there.
    fn orc(&self) -> Result<BTreeMap<Place, bool>> {
        /// `struct orc_entry`: two offsets of 16 bits, then bit fields, of which the first four
        /// bits are the register that the caller's stack is found by. 0 is none. Only what follows
        /// them differs between kernels.
        const ENTRY: usize = 6;
        const REGISTER: usize = 4;
        let (Some(table), Some(addresses)) =
            (self.file.section_by_name(".orc_unwind"), self.file.section_by_name(".orc_unwind_ip"))
        else {
            return Ok(BTreeMap::new());
        };
        let table = table.data().context("reading .orc_unwind")?;
        let addresses = addresses.index().0;
        let mut found = BTreeMap::new();
        for reference in
            self.references.iter().filter(|reference| reference.at.section == addresses)
        {
            let number = usize::try_from(reference.at.offset / 4)?;
            let register = table
                .get(number * ENTRY + REGISTER)
                .context(".orc_unwind is shorter than its addresses")?;
            found.extend(reference.to.map(|place| (place, register & 0xf != 0)));
        }
        Ok(found)
    }

    /// Addresses of Rust functions that are taken rather than called, and of any function that Rust
    /// takes.
    fn pointers_across_halves(&self) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        for reference in self.references.iter().filter(|reference| reference.branch.is_none()) {
            let absolute = matches!(reference.kind, R_X86_64_64 | R_X86_64_32 | R_X86_64_32S);
            // Relative ones outside code are tables for the kernel: sites and unwind data.
            let in_code = reference.executable && reference.kind == R_X86_64_PC32;
            if !absolute && !in_code {
                continue;
            }
            let Some(function) = reference.to.and_then(|place| self.functions.get(&place)) else {
                continue;
            };
            let from_rust = self.function_of(reference.at).is_some_and(Function::is_rust);
            if function.is_rust() || from_rust {
                let holder = self.function_at(reference.at);
                // Its own address a function writes into its stack frame where KASAN watches the
                // stack: it tells whose it is.
                if holder == function.to_string() {
                    continue;
                }
                faults.push(format!(
                    "{holder}: takes the address of {function}, for a call through a pointer"
                ));
            }
        }
        Ok(faults)
    }

    fn function_of(&self, place: Place) -> Option<&Function> {
        let (_, function) = self.functions.range(..=place).next_back()?;
        function.holds(place).then_some(function)
    }

    /// For messages.
    fn function_at(&self, place: Place) -> String {
        if let Some(function) = self.function_of(place) {
            return function.to_string();
        }
        let section = self.file.section_by_index(object::SectionIndex(place.section));
        let name = section
            .ok()
            .and_then(|section| section.name().ok().map(str::to_owned))
            .unwrap_or_default();
        format!("{name}+{:#x}", place.offset)
    }
}

fn has_flag(section: &ElfSection64<'_, '_>, flag: u32) -> bool {
    matches!(section.flags(), SectionFlags::Elf { sh_flags } if sh_flags & u64::from(flag) != 0)
}

/// The first byte of the call or jump whose target lies at a place of a section's bytes; `None` if
/// that is no branch.
fn branch(data: &[u8], target: Place, kind: u32) -> Option<Place> {
    if !matches!(kind, R_X86_64_PLT32 | R_X86_64_PC32) {
        return None;
    }
    let at = usize::try_from(target.offset).ok()?;
    let opcode = data.get(at.checked_sub(1)?)?;
    let before = at.checked_sub(2).and_then(|at| data.get(at));
    let length = match (before, opcode) {
        // call, jmp
        (_, 0xe8 | 0xe9) => 1,
        // jcc
        (Some(0x0f), 0x80..=0x8f) => 2,
        _ => return None,
    };
    Some(target.before(length))
}

// The assembler of an x86 host makes the objects.
#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::{Configuration, check};
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    /// A Rust function that returns through the thunk, from `1:` on.
    const RETURNS: &str = ".text\n\
                           .globl ashmem_rs_f\n\
                           .type ashmem_rs_f,@function\n\
                           ashmem_rs_f: nop\n\
                           1: jmp __x86_return_thunk\n\
                           .size ashmem_rs_f, . - ashmem_rs_f\n";
    /// The places of the kernel's tables, for the code at `1:`.
    const LISTED: &str = ".section .return_sites,\"a\"\n.long 1b - .\n";
    /// Two entries: the stack is known from the function's start, and unknown from its end.
    const ORC: &str = ".section .orc_unwind_ip,\"a\"\n\
                       .long ashmem_rs_f - .\n\
                       .long ashmem_rs_f + 6 - .\n\
                       .section .orc_unwind,\"a\"\n\
                       .byte 8, 0, 0, 0, 5, 0\n\
                       .byte 0, 0, 0, 0, 0, 0\n";

    /// What is said of an object made of these lines for a kernel so configured; nothing if it is
    /// good.
    fn said(assembly: &[&str], configured: &str) -> String {
        // Tests are threads of one process, or processes of one thread each.
        let own = format!("ashmem-object-{}-{:?}", std::process::id(), std::thread::current().id());
        let folder = std::env::temp_dir().join(own);
        std::fs::create_dir_all(&folder).expect("a folder for the object");
        let object = folder.join("object.o");
        let mut assembler = Command::new("as");
        let mut assembler =
            assembler.arg("-o").arg(&object).stdin(Stdio::piped()).spawn().expect("as starts");
        let text = assembly.concat();
        assembler.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("as reads");
        assert!(assembler.wait().expect("as ends").success(), "as refused: {text}");
        let result = check(&object, &Configuration::parse(configured));
        std::fs::remove_dir_all(&folder).expect("the folder is there");
        result.err().map(|error| format!("{error:#}")).unwrap_or_default()
    }

    #[test]
    fn a_return_is_listed_where_the_kernel_patches_returns() {
        for name in ["CONFIG_RETHUNK=y\n", "CONFIG_MITIGATION_RETHUNK=y\n"] {
            assert_eq!(said(&[RETURNS, LISTED], name), "");
            assert!(
                said(&[RETURNS], name).contains("ashmem_rs_f: 1 x return"),
                "{}",
                said(&[RETURNS], name)
            );
        }
    }

    #[test]
    fn a_thunk_that_the_kernel_has_not_is_refused() {
        assert!(said(&[RETURNS], "CONFIG_X86=y\n").contains("which this kernel has not"));
        let own = ".globl __x86_return_thunk\n\
                   .type __x86_return_thunk,@function\n\
                   __x86_return_thunk: ret\n\
                   int3\n\
                   .size __x86_return_thunk, 1\n";
        assert_eq!(said(&[RETURNS, own], "CONFIG_X86=y\n"), "");
        assert!(said(&[RETURNS, LISTED, own], "CONFIG_RETHUNK=y\n").contains("of its own"));
    }

    #[test]
    fn an_indirect_call_is_listed_with_its_prefix() {
        let kernel = "CONFIG_MITIGATION_RETPOLINE=y\n";
        let call = ".text\n\
                    .type c,@function\n\
                    c: nop\n\
                    1: .byte 0x2e\n\
                    call __x86_indirect_thunk_r10\n\
                    .size c, . - c\n";
        assert!(said(&[call], kernel).contains("c: 1 x indirect call"));
        assert_eq!(said(&[call, ".section .retpoline_sites,\"a\"\n.long 1b - .\n"], kernel), "");
    }

    #[test]
    fn every_function_has_unwind_data_where_the_kernel_unwinds_by_it() {
        let kernel = "CONFIG_UNWINDER_ORC=y\n";
        assert_eq!(said(&[RETURNS, LISTED, ORC], &format!("{kernel}CONFIG_RETHUNK=y\n")), "");
        let bare = ".text\n.type bare,@function\nbare: nop\n.size bare, 1\n";
        let said = said(&[RETURNS, LISTED, ORC, bare], &format!("{kernel}CONFIG_RETHUNK=y\n"));
        assert!(said.contains("bare: no unwind data") && said.contains("1 fault(s)"), "{said}");
    }

    #[test]
    fn a_pointer_to_a_rust_function_is_refused() {
        let rust = ".text\n\
                    .globl ashmem_rs_f\n\
                    .type ashmem_rs_f,@function\n\
                    ashmem_rs_f: nop\n\
                    .size ashmem_rs_f, 1\n";
        let takes = ["c: mov $ashmem_rs_f, %rcx\n", "c: lea ashmem_rs_f(%rip), %rcx\n"];
        for taking in takes.map(|take| format!(".type c,@function\n{take}.size c, . - c\n")) {
            assert!(
                said(&[rust, &taking], "").contains("c: takes the address of ashmem_rs_f"),
                "{taking}"
            );
        }
        let table = ".data\n.quad ashmem_rs_f\n";
        assert!(said(&[rust, table], "").contains(".data+0x0: takes the address"));
        assert_eq!(
            said(&[rust, ".type c,@function\nc: call ashmem_rs_f\n.size c, . - c\n"], ""),
            ""
        );
    }

    #[test]
    fn a_pointer_that_rust_takes_is_refused() {
        let c = ".text\n.globl c\n.type c,@function\nc: nop\n.size c, 1\n";
        let rust = "_RNvf: mov $c, %rcx\n.type _RNvf,@function\n.size _RNvf, . - _RNvf\n";
        assert!(said(&[c, rust], "").contains("_RNvf: takes the address of c"));
        let other = "d: mov $c, %rcx\n.type d,@function\n.size d, . - d\n";
        assert_eq!(said(&[c, other], ""), "", "what C does within C is the compiler's to check");
    }
}
