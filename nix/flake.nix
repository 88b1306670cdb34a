# Has no inputs: the functions in `lib` need no nixpkgs, also to build the program. The other outputs use the nixpkgs of the
# user: through `overlays.default`, or from NIX_PATH with `--impure`.
{
  description = "Reproducible OCI images and air-gapped deployment bundles";

  outputs = { self, ... }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" ];
      found = builtins.tryEval <nixpkgs>;
      eachSystem = make: builtins.listToAttrs (map (name: { inherit name; value = make name; }) systems);
      withNixpkgs = make: if found.success then eachSystem (system: make system (import found.value { inherit system; })) else { };
      library = sealift: import ./lib.nix { inherit sealift; };
      withSealift = function: { sealift, ... }@arguments: (library sealift).${function} (removeAttrs arguments [ "sealift" ]);
    in
    {
      # The first two take the arguments in lib.nix, and `sealift`: the program or a package of it. The third builds it.
      lib = {
        mkBundle = withSealift "mkBundle";
        mkImage = withSealift "mkImage";
        mkSealift = import ./program.nix;
      };

      overlays.default = final: _: { sealift = final.callPackage ./package.nix { }; };

      packages = withNixpkgs (_: pkgs: rec {
        sealift = pkgs.callPackage ./package.nix { };
        default = sealift;
      });

      # Builds the program, runs its tests, and uses it in the sandbox to build an image of itself.
      checks = withNixpkgs (system: pkgs:
        let sealift = pkgs.callPackage ./package.nix { };
        in {
          inherit sealift;
          image = (library sealift).mkImage {
            name = "localhost/sealift";
            platform = if system == "aarch64-linux" then "linux/arm64" else "linux/amd64";
            contents = [ sealift ];
            config.Entrypoint = [ "${sealift}/bin/sealift" ];
          };
        });

      devShells = withNixpkgs (_: pkgs: {
        default = pkgs.mkShell {
          packages = with pkgs; [ cargo rustc clippy rustfmt cargo-nextest pkg-config uv skopeo ];
        };
      });
    };
}
