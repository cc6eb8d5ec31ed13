# UNTESTED: written from nixpkgs' manual, not run yet. In configuration.nix:
#
#   boot.extraModulePackages = [ (config.boot.kernelPackages.callPackage ./module.nix { }) ];
#   boot.kernelModules = [ "ashmem_linux" ];
#   services.udev.extraRules = builtins.readFile ../system/60-ashmem.rules;
#   # with cat's path set to pkgs.coreutils
{ stdenv, lib, kernel, rustc, rustPlatform }:

stdenv.mkDerivation {
  pname = "ashmem-linux";
  version = "0.1.0";
  src = lib.cleanSource ../..;
  nativeBuildInputs = kernel.moduleBuildDependencies ++ [ rustc ];
  # Kernel code is neither position independent nor linked by the wrapper's rules.
  hardeningDisable = [ "pic" "format" ];

  buildPhase = ''
    sh module/rust/build.sh rustc ${rustPlatform.rustLibSrc} \
      $PWD/crates/ashmem-core/src $PWD/object
    cp object/ashmem-x86.o_shipped module/rust/
    make -C ${kernel.dev}/lib/modules/${kernel.modDirVersion}/build M=$PWD/module modules
  '';
  installPhase = ''
    install -D -m 644 -t $out/lib/modules/${kernel.modDirVersion}/extra module/ashmem_linux.ko
  '';

  meta = {
    description = "Android's shared memory (/dev/ashmem) as a kernel module";
    license = lib.licenses.gpl2Only;
    platforms = [ "x86_64-linux" ];
  };
}
