# The program as a derivation, with no nixpkgs: crates by the checksums in Cargo.lock, cargo offline, the flags of ./build.
# See README.md.
{
  # The compilers: folders with a `bin` each, either Nix packages or folders in `extra-sandbox-paths`. Together they have sh
  # (in the first one), mkdir, cp, tar, gzip, cc with a static C library, cargo and rustc.
  toolchain,
  # `mirrors.crates` is the URL of a server of crates, in the format of `dl` in the `config.json` of a cargo index.
  mirrors ? { },
  # A folder with crates, such as `registry/cache/SERVER` in cargo's home. Crates in it are not fetched.
  crates ? null,
  system ? "x86_64-linux",
}:
let
  inherit (builtins)
    any concatStringsSep filter fromTOML head map path readFile replaceStrings stringLength substring
    ;

  version = (fromTOML (readFile ../Cargo.toml)).workspace.package.version;

  urlOf = { name, version, checksum, ... }:
    let
      server = mirrors.crates
        or (throw "sealift: the crate ${name} ${version} must be fetched: set `mirrors.crates` to a server, or `crates` to a folder with this crate");
      filled = replaceStrings [ "{crate}" "{version}" "{sha256-checksum}" ] [ name version checksum ] server;
    in
    # Cargo's rule for a URL without markers.
    if filled == server then "${server}/${name}/${version}/download" else filled;

  fetch = crate:
    let name = "${crate.name}-${crate.version}.crate";
    in
    import ./fetch.nix {
      inherit name;
      sha256 = crate.checksum;
      here = if crates == null then null else crates + "/${name}";
      url = urlOf crate;
    };

  # Crates from outside of this repository have a checksum.
  locked = filter (package: package ? checksum) (fromTOML (readFile ../Cargo.lock)).package;

  # The parts of the repository that the program is built from. Cargo needs the manifest of every member of the workspace.
  parts = map (name: toString (../. + "/${name}")) [
    "Cargo.toml" "Cargo.lock" "LICENSE-APACHE" "LICENSE-MIT" "builder" "deployment" "layers" "tests/Cargo.toml" "tests/src/lib.rs"
  ];
  within = folder: file: substring 0 (stringLength folder + 1) file == "${folder}/";
  source = path {
    name = "sealift-source";
    path = ../.;
    filter = file: _: any (name: file == name || within name file || within file name) parts;
  };
in
# Its attribute `artifacts` has all fetched files.
derivation {
  name = "sealift-${version}";
  inherit system source;
  builder = "${head toolchain}/bin/sh";
  args = [ "-eu" ./program.sh ];
  PATH = concatStringsSep ":" (map (folder: "${folder}/bin") toolchain);
  # One line per crate; in a file, as it is too long for a variable.
  crates = concatStringsSep "" (map (crate: "${fetch crate} ${crate.checksum}\n") locked);
  passAsFile = [ "crates" ];
} // { artifacts = map fetch locked; }
