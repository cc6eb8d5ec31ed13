#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Builds the Rust half of the module: one relocatable object that knows no kernel and serves all of
# them.
#
#   build.sh RUSTC LIBRARY CORE OUT [FLAGS]
#
# ARCH in the environment is the kernel's name of the architecture, x86_64 by itself; CROSS_COMPILE
# stands before the names of ar, ld and objcopy.
# RUSTC and LIBRARY (the folder that holds core/src/lib.rs) must be of one release; Debian's
# rustc-web and rust-web-src are such a pair. CORE is ashmem-core's src folder. OUT gets
# ashmem-x86.o_shipped or ashmem-arm64.o_shipped, after the kernel's folder of the architecture;
# what was made on the way is left in OUT/work. FLAGS are the compiler's for the module's own crate;
# ASHMEM_RUST_FLAGS in the environment is for every crate.
set -eu
rustc=$1 library=$2 core=$3 out=$4
shift 4
module=$(cd "$(dirname "$0")/.." && pwd)
work=$out/work
mkdir -p "$work"
export RUSTC_BOOTSTRAP=1

# As the kernel compiles its own code.
tools=${CROSS_COMPILE-}
case ${ARCH:-x86_64} in
x86_64 | x86)
	name=ashmem-x86
	# No red zone and no vector registers (target.json), returns through the thunk that the
	# kernel patches, ENDBR at what may be called indirectly, room before each function for
	# call depth tracking, and no jump tables, which would be indirect jumps without a
	# retpoline.
	arch="--target $module/rust/target.json -Cjump-tables=n -Zfunction-return=thunk-extern
		-Zcf-protection=branch -Zpatchable-function-entry=16,16" ;;
arm64)
	name=ashmem-arm64
	# The compiler's own target for what has no operating system: no vector registers, no red
	# zone, no atomics by calls. x18 is the shadow call stack's. BTI's and PAC's instructions
	# are hints, which processors and kernels without them take for NOPs. Memory may be read and
	# written where it is not aligned, as the kernel's own C code does: a name is not copied
	# byte by byte.
	arch="--target aarch64-unknown-none-softfloat -Zfixed-x18
		-Zbranch-protection=bti,pac-ret -Ctarget-feature=-strict-align" ;;
*)
	echo "build.sh: it knows x86_64 and arm64, no architecture $ARCH" >&2
	exit 1 ;;
esac
# Paths are taken out so that builds can be compared.
flags="-Zunstable-options $arch --sysroot /dev/null -Copt-level=2
	-Cpanic=abort -Cforce-frame-pointers=yes -Cforce-unwind-tables=no -Zfunction-sections=no
	--remap-path-prefix=$library=/rust --remap-path-prefix=$core=/ashmem-core
	--remap-path-prefix=$module=/module ${ASHMEM_RUST_FLAGS-}"

cd "$work"
"$rustc" --edition 2024 --crate-name core --crate-type rlib $flags --cfg no_fp_fmt_parse \
	"$library/core/src/lib.rs"
# core wants the crate to exist; the kernel brings memcpy and its like.
printf '#![%s]\n' 'feature(compiler_builtins)' 'allow(internal_features)' \
	compiler_builtins no_builtins no_std |
	"$rustc" --edition 2024 --crate-name compiler_builtins --crate-type rlib $flags \
		--extern core=libcore.rlib -
extern="-L . --extern core=libcore.rlib --extern compiler_builtins=libcompiler_builtins.rlib"
"$rustc" --edition 2024 --crate-name ashmem_core --crate-type rlib $flags $extern \
	"$core/lib.rs"
"$rustc" --edition 2024 --crate-name ashmem --crate-type staticlib $flags $extern \
	--extern ashmem_core=libashmem_core.rlib --cfg ashmem_kernel "$@" \
	-Clto=fat -Ccodegen-units=1 -o libashmem.a "$module/src/lib.rs"
rm -rf members && mkdir members
(cd members && "${tools}ar" x ../libashmem.a &&
	"${tools}ld" -r --discard-locals -o "$out/$name.o_linked" libashmem*.o)
# Sections that only a linker of programs reads.
"${tools}objcopy" --remove-section=.comment --remove-section=.eh_frame \
	--remove-section=__patchable_function_entries \
	--remove-section=.rela__patchable_function_entries --strip-debug \
	"$out/$name.o_linked" "$out/$name.o_shipped"
rm "$out/$name.o_linked"
