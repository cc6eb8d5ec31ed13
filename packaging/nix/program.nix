# SPDX-License-Identifier: MIT OR Apache-2.0
# The program, from a release's archive: static, so it needs nothing of NixOS's.
{ stdenvNoCC, lib }:

stdenvNoCC.mkDerivation {
  pname = "ashmem";
  version = "@VERSION@";
  src = ../.;
  # It is linked to nothing and stripped already.
  dontFixup = true;

  # The units name /usr/bin, which NixOS has not.
  installPhase = ''
    sh ./lay program $PWD/root
    rm -r root/usr/lib/systemd
    mv root/usr $out
  '';

  meta = {
    description = "Android's shared memory (/dev/ashmem) for programs and containers";
    license = with lib.licenses; [ mit asl20 ];
    mainProgram = "ashmem";
    platforms = [ "x86_64-linux" "aarch64-linux" ];
  };
}
