# SPDX-License-Identifier: MIT OR Apache-2.0
# /dev/ashmem on NixOS, from the unpacked archive of a release. In configuration.nix:
#
#   imports = [ ./ashmem-VERSION-x86_64-linux/nix/module.nix ];
#   hardware.ashmem.enable = true;
#
# Read and evaluated with stand-ins for nixpkgs (`cargo xtask test --all`); not run on NixOS.
{ config, lib, pkgs, ... }:

{
  options.hardware.ashmem.enable =
    lib.mkEnableOption "Android's /dev/ashmem, by the kernel module ashmem_linux";

  config = lib.mkIf config.hardware.ashmem.enable {
    boot.extraModulePackages = [ (config.boot.kernelPackages.callPackage ./package.nix { }) ];
    boot.kernelModules = [ "ashmem_linux" ];
    environment.systemPackages = [ (pkgs.callPackage ./program.nix { }) ];
    # NixOS has no /bin/cat.
    services.udev.extraRules =
      builtins.replaceStrings [ "/bin/cat" ] [ "${pkgs.coreutils}/bin/cat" ]
        (builtins.readFile ../60-ashmem.rules);
  };
}
