# The program as a derivation, with no nixpkgs: crates by the checksums in Cargo.lock, cargo offline, the flags of ./build.
# See README.md.
{
  # What compiles: folders with a `bin` each, packages of Nix or folders that the sandbox lets in. Together they have sh (in
  # the first of them), mkdir, tar, gzip, cc with a static C library, cargo and rustc.
  toolchain,
  # `mirrors.crates` is the root of a server of crates, as `dl` in the configuration of cargo's index spells it.
  mirrors ? { },
  # A folder that has crates as cargo keeps them (`registry/cache/SERVER` below cargo's own). What it has is not fetched.
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
        or (throw "sealift: the crate ${name} ${version} has to be fetched: name a server in `mirrors.crates`, or a folder that has it in `crates`");
      filled = replaceStrings [ "{crate}" "{version}" "{sha256-checksum}" ] [ name version checksum ] server;
    in
    # Cargo's own rule for a server without marks.
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

  # What is not of this repository has a checksum.
  locked = filter (package: package ? checksum) (fromTOML (readFile ../Cargo.lock)).package;

  # Of the repository what the program is made of. Cargo wants to see every member of the workspace.
  wanted = map (name: toString (../. + "/${name}")) [
    "Cargo.toml" "Cargo.lock" "builder" "deployment" "layers" "tests/Cargo.toml" "tests/src/lib.rs"
  ];
  within = folder: file: substring 0 (stringLength folder + 1) file == "${folder}/";
  source = path {
    name = "sealift-source";
    path = ../.;
    filter = file: _: any (name: file == name || within name file || within file name) wanted;
  };
in
# `artifacts` of it is all that is fetched.
derivation {
  name = "sealift-${version}";
  inherit system source;
  builder = "${head toolchain}/bin/sh";
  args = [ "-eu" ./program.sh ];
  PATH = concatStringsSep ":" (map (folder: "${folder}/bin") toolchain);
  # A line each; too long for a variable.
  crates = concatStringsSep "" (map (crate: "${fetch crate} ${crate.checksum}\n") locked);
  passAsFile = [ "crates" ];
} // { artifacts = map fetch locked; }
