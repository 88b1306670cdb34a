# Builds as derivations: Nix fetches the files in the lock, each image is a derivation, and one more derivation joins them to
# the bundle, with the same bytes as `sealift build`. Does not need nixpkgs: the builder is the statically linked program
# itself. See README.md.
{
  # The statically linked program: its file, or a package that has `bin/sealift`.
  sealift,
}:
let
  inherit (builtins)
    all any attrValues baseNameOf concatMap concatStringsSep dirOf elem filter fromTOML head isPath isString listToAttrs
    map mapAttrs match path pathExists placeholder readFile split substring tail unsafeDiscardStringContext
    ;

  executable = file: if isPath file then "${path { name = "sealift"; path = file; }}" else "${file}/bin/sealift";
  builder = executable sealift;

  # OCI's name of a platform -> Nix's. Bytecode is compiled by the image's own Python, so that must run on the builder.
  systems = {
    "linux/amd64" = "x86_64-linux";
    "linux/arm64" = "aarch64-linux";
  };
  systemOf = platform: systems.${platform} or (throw "sealift: the platform ${platform} is not supported: use linux/amd64 or linux/arm64");

  # `text` as a valid name of a store path.
  storeName = text:
    let clean = concatStringsSep "_" (filter isString (split "[^A-Za-z0-9+._?=-]+" text));
    in substring 0 200 (if match "[.].*" clean == null then clean else "_${clean}");

  options = name: concatMap (value: [ "--${name}" "${value}" ]);

  unique = list:
    if list == [ ] then [ ] else [ (head list) ] ++ unique (filter (other: other != head list) (tail list));

  # The profile in a folder, merged with those that it extends. Its own values have precedence.
  readProfile = folder:
    let
      own = fromTOML (readFile (folder + "/profile.toml"));
      base = readProfile (dirOf folder + "/${own.extends}");
    in
    if own ? extends
    then base // own // { images = (base.images or { }) // (own.images or { }); chain = [ (baseNameOf folder) ] ++ base.chain; }
    else own // { chain = [ (baseNameOf folder) ]; };

  # An entry of a lock as a file in the Nix store: from the folder `artifacts` if it is there, otherwise fetched.
  fetch = { mirrors, artifacts }: kind: entry:
    let
      sha256 = substring 7 64 entry.sha256;
      name = storeName (baseNameOf entry.path);
      mirror = mirrors.${kind} or (throw "sealift: ${name} must be fetched: set `mirrors.${kind}` to a server, or `artifacts` to a folder with this file");
    in
    import ./fetch.nix {
      inherit name sha256;
      here = if artifacts == null then null else artifacts + "/${sha256}";
      url = "${mirror}/${entry.path}";
    };
in
rec {
  # The bundle of a profile: a derivation whose output is the tar. Its attribute `images` has the derivation of each image,
  # `artifacts` all fetched files.
  #
  # profile    The profile's folder, with its lock. Profiles that it extends are in the same parent folder.
  # mirrors    Where to fetch from: `debian` is the root of a Debian mirror (`pool/` is below it), NAME that of the profile's
  #            archive NAME, `python` the root of the server that has the files of a Python index (the lock has paths below it),
  #            `archives` the server that has the profile's archives.
  # artifacts  A folder of files named by their SHA-256, such as `artifacts/sha256` of Sealift's store. Files in it
  #            are not fetched.
  # closures   Packages for the images with `nix` in the profile: image name -> list of packages.
  # program    The program for the hosts, a file or package, if it differs from `sealift`.
  # layers     Compression of the layers.
  mkBundle =
    { profile, mirrors ? { }, artifacts ? null, closures ? { }, program ? sealift, platform ? "linux/amd64", layers ? "gzip" }:
    let
      model = readProfile profile;
      system = systemOf platform;
      lock = (fromTOML (readFile (profile + "/sealift.lock"))).platforms.${platform}
        or (throw "sealift: the lock of ${model.name} does not contain ${platform}: run sealift lock");

      # Only this profile and those that it extends.
      folders = path {
        name = "profiles";
        path = dirOf profile;
        filter = file: _: any (name: file == toString (dirOf profile + "/${name}")) model.chain || dirOf file != toString (dirOf profile);
      };
      # Without the context of a flake that contains the profile: the build does not need the whole flake.
      source = "${folders}/${unsafeDiscardStringContext (baseNameOf profile)}";

      fetched = fetch { inherit mirrors artifacts; };
      by = name: list: listToAttrs (map (entry: { name = name entry; value = entry; }) list);
      # Packages of an archive of files are in the profile's folder.
      isFile = entry: entry ? archive && pathExists (profile + "/${entry.path}");
      package = _: entry: if isFile entry then "${source}/${entry.path}" else fetched (entry.archive or "debian") entry;
      packages = mapAttrs package (by (entry: entry.name) (lock.package or [ ]));
      wheels = mapAttrs (_: fetched "python") (by (entry: baseNameOf entry.path) (lock.wheel or [ ]));
      # Archives are in the profile's folder, or fetched.
      archive = file: entry:
        if pathExists (profile + "/${file}") then "${source}/${file}" else fetched "archives" (entry // { path = file; });
      archives = mapAttrs archive (by (entry: entry.file) (lock.archive-file or [ ]));

      # The base layer has the bytecode of a standard library that all images share, compiled by one image for all.
      locked = attrValues lock.images;
      isShared = name: all (image: elem name image.packages) locked;
      shared = filter isShared (head locked).packages;
      compiles = any (name: match "libpython3.*" name != null) shared;
      packagesOf = image: if compiles then unique (concatMap (other: other.packages) locked) else image.packages;

      common = [ "--offline" "--platform" platform "--layers" layers "--store" "store" ];

      image = name: locked: derivation {
        inherit system;
        name = storeName "${model.name}-${name}";
        inherit builder;
        # An attribute, so that the closures of the packages are available to the builder.
        closure = map (package: "${package}") (closures.${name} or [ ]);
        args = [ "image" source name "--output" (placeholder "out") ] ++ common
          ++ options "artifacts" (map (name: packages.${name}) (packagesOf locked))
          ++ options "artifacts" (map (name: wheels.${name}) (locked.wheels or [ ]))
          ++ options "artifacts" (map (file: archives.${file}) (locked.archives or [ ]));
      };
      images = mapAttrs image lock.images;
    in
    if lock ? crate
    then throw "sealift: ${model.name} compiles crates, which needs a Rust toolchain: build it with `sealift build`"
    else derivation
      {
        inherit system;
        name = storeName "${model.product}-${model.name}-${model.version}-${platform}.tar";
        inherit builder;
        args = [ "build" source "--output" (placeholder "out") "--locked" "--program" (executable program) ] ++ common
          ++ options "from" (attrValues images);
      } // { inherit images; artifacts = attrValues packages ++ attrValues wheels ++ attrValues archives; };

  # An image of packages and their closures, without Debian packages: an archive for `podman load` and `docker load`.
  #
  # contents   Packages: their files are linked into the image's root (`/bin/hello`), and their closures are in the image.
  # closure    More packages whose closures are in the image, without links.
  # config     The image's configuration, with the keys of OCI and of nixpkgs' dockerTools: Entrypoint, Cmd, Env, User ...
  #            Store paths in it must be in one of the closures.
  # maxLayers  Maximum number of layers for the closure.
  mkImage =
    { name, tag ? "latest", contents ? [ ], closure ? [ ], config ? { }, maxLayers ? 60, platform ? "linux/amd64", layers ? "gzip" }:
    derivation {
      name = storeName "${baseNameOf name}-${tag}.tar";
      system = systemOf platform;
      inherit builder;
      # The builder reads both from .attrs.json, which Nix writes from these attributes.
      __structuredAttrs = true;
      exportReferencesGraph.closure = map (package: "${package}") (contents ++ closure);
      inherit config;
      args = [
        "closure" ".attrs.json" "--config" ".attrs.json" "--output" (placeholder "out") "--name" "${name}:${tag}"
        "--max-layers" (toString maxLayers) "--layers" layers "--architecture" (baseNameOf platform) "--store" "store"
      ] ++ options "contents" contents;
    };
}
