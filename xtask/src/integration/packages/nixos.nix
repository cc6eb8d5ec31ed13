# SPDX-License-Identifier: MIT OR Apache-2.0
# NixOS's module of an unpacked archive, evaluated with stand-ins for what it takes of nixpkgs. True
# if NixOS would be told what it should; an error says what is wrong.
{ tree, version }:

let
  lib = {
    mkEnableOption = what: { type = "bool"; default = false; description = what; };
    mkIf = condition: content: if condition then content else { };
    licenses = { gpl2Only = "GPL-2.0-only"; mit = "MIT"; asl20 = "Apache-2.0"; };
  };
  stdenv = { mkDerivation = arguments: arguments // { isDerivation = true; }; };
  kernel = {
    modDirVersion = "6.12.0";
    dev = "/kernel-dev";
    moduleBuildDependencies = [ "kmod" ];
  };
  # What nixpkgs' callPackage does: each argument by its name.
  call = known: file: more:
    let function = import file;
    in function ((builtins.intersectAttrs (builtins.functionArgs function) known) // more);
  pkgs = { coreutils = "/coreutils"; callPackage = call { inherit lib; stdenvNoCC = stdenv; }; };
  told = enable: import (tree + "/nix/module.nix") {
    inherit lib pkgs;
    config = {
      hardware.ashmem = { inherit enable; };
      boot.kernelPackages = { callPackage = call { inherit lib stdenv kernel; }; };
    };
  };
  on = (told true).config;
  module = builtins.head on.boot.extraModulePackages;
  program = builtins.head on.environment.systemPackages;
  holds = part: text: builtins.length (builtins.split part text) > 1;
in
assert (told false).config == { };
assert (told true).options.hardware.ashmem.enable.default == false;
assert on.boot.kernelModules == [ "ashmem_linux" ];
assert module.isDerivation && module.version == "${version}-6.12.0";
assert builtins.pathExists (module.src + "/rust/ashmem-x86.o_shipped");
assert holds "-C /kernel-dev/lib/modules/6.12.0/build" module.buildPhase;
assert program.isDerivation && program.version == version;
assert builtins.pathExists (program.src + "/ashmem");
assert holds "/coreutils/bin/cat /proc" on.services.udev.extraRules;
true
