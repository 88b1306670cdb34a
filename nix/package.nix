# The program, with nixpkgs: statically linked, so that it can be the builder of derivations and part of bundles.
# Dependencies are vendored from the checksums in Cargo.lock.
{ lib, pkgsStatic }:
pkgsStatic.rustPlatform.buildRustPackage {
  pname = "sealift";
  version = (builtins.fromTOML (builtins.readFile ../Cargo.toml)).workspace.package.version;
  src = lib.cleanSourceWith {
    src = ../.;
    filter = path: _: !(builtins.elem (baseNameOf path) [ "target" ".git" ]);
  };
  cargoLock.lockFile = ../Cargo.lock;
  cargoBuildFlags = [ "--package" "sealift" ];
  # Unit tests only: the end-to-end tests need root, engines and the network.
  cargoTestFlags = [ "--package" "sealift-layers" "--package" "sealift-deployment" "--package" "sealift" "--lib" ];
  meta = {
    description = "Assembles reproducible OCI images and air-gapped deployment bundles";
    license = with lib.licenses; [ mit asl20 ];
    mainProgram = "sealift";
  };
}
