# SPDX-License-Identifier: MIT OR Apache-2.0
# The kernel module, from the source in a release's archive. Its Rust half is prebuilt there.
{ stdenv, lib, kernel }:

stdenv.mkDerivation {
  pname = "ashmem-linux";
  version = "@VERSION@-${kernel.modDirVersion}";
  src = ../module;
  nativeBuildInputs = kernel.moduleBuildDependencies;
  # Kernel code is neither position independent nor linked by the wrapper's rules.
  hardeningDisable = [ "pic" "format" ];

  buildPhase = ''
    make -C ${kernel.dev}/lib/modules/${kernel.modDirVersion}/build M=$PWD modules
  '';
  installPhase = ''
    install -D -m 644 -t $out/lib/modules/${kernel.modDirVersion}/extra ashmem_linux.ko
  '';

  meta = {
    description = "Android's shared memory (/dev/ashmem) as a kernel module";
    license = lib.licenses.gpl2Only;
    platforms = [ "x86_64-linux" "aarch64-linux" ];
  };
}
