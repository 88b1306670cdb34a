# The build of Sealift as derivations: what a lock names is fetched by Nix, each image is a derivation of its own, and one
# more joins them to the bundle, with the same bytes as `sealift build` makes. Needs nothing of nixpkgs: the builder is
# the statically linked program itself. See README.md.
{
  # The statically linked program: its file, or a package that has `bin/sealift`.
  sealift,
}:
let
  inherit (builtins)
    all any attrValues baseNameOf concatMap concatStringsSep dirOf elem filter fromTOML head isPath isString listToAttrs
    map mapAttrs match path placeholder readFile split substring tail unsafeDiscardStringContext
    ;

  executable = file: if isPath file then "${path { name = "sealift"; path = file; }}" else "${file}/bin/sealift";
  builder = executable sealift;

  # OCI's name of a platform -> Nix's. Bytecode is compiled by the image's own Python, so that must run on the builder.
  systems = {
    "linux/amd64" = "x86_64-linux";
    "linux/arm64" = "aarch64-linux";
  };
  systemOf = platform: systems.${platform} or (throw "sealift: no Nix system is known for the platform ${platform}");

  # A text as the name of a store path.
  storeName = text:
    let clean = concatStringsSep "_" (filter isString (split "[^A-Za-z0-9+._?=-]+" text));
    in substring 0 200 (if match "[.].*" clean == null then clean else "_${clean}");

  options = name: concatMap (value: [ "--${name}" "${value}" ]);

  unique = list:
    if list == [ ] then [ ] else [ (head list) ] ++ unique (filter (other: other != head list) (tail list));

  # The profile in a folder, after those that it extends have been followed: tables merge, the nearest word counts.
  readProfile = folder:
    let
      own = fromTOML (readFile (folder + "/profile.toml"));
      base = readProfile (dirOf folder + "/${own.extends}");
    in
    if own ? extends
    then base // own // { images = (base.images or { }) // (own.images or { }); chain = [ (baseNameOf folder) ] ++ base.chain; }
    else own // { chain = [ (baseNameOf folder) ]; };

  # One entry of a lock as a file in the Nix store: from the folder `artifacts` if that has it, else fetched.
  fetch = { mirrors, artifacts }: kind: entry:
    let
      sha256 = substring 7 64 entry.sha256;
      name = storeName (baseNameOf entry.path);
      mirror = mirrors.${kind} or (throw "sealift: ${name} has to be fetched: name a server in `mirrors.${kind}`, or a folder that has it in `artifacts`");
    in
    import ./fetch.nix {
      inherit name sha256;
      here = if artifacts == null then null else artifacts + "/${sha256}";
      url = "${mirror}/${entry.path}";
    };
in
rec {
  # The bundle of a profile: a derivation whose output is the tar. `images` of it has the derivation of each image, `artifacts`
  # all that is fetched.
  #
  # profile    The profile's folder, with its lock. Those that it extends lie beside it.
  # mirrors    Where to fetch from: `debian` is the root of a Debian mirror (`pool/` is below it), `python` the root of the
  #            server that has the files of a Python index (the lock has paths below it).
  # artifacts  A folder of files named by their SHA-256, such as `artifacts/sha256` of Sealift's store. What it has is
  #            not fetched.
  # closures   What has the store paths of images with `nix` in the profile: image name -> list of packages.
  # program    What the bundle brings to its hosts, where that is to be another file or package than `sealift`.
  # layers     Compression of the layers.
  mkBundle =
    { profile, mirrors ? { }, artifacts ? null, closures ? { }, program ? sealift, platform ? "linux/amd64", layers ? "gzip" }:
    let
      model = readProfile profile;
      system = systemOf platform;
      lock = (fromTOML (readFile (profile + "/sealift.lock"))).platforms.${platform}
        or (throw "sealift: the lock of ${model.name} has nothing for ${platform}: run sealift lock");

      # Of the folder of profiles only those that this one needs.
      folders = path {
        name = "profiles";
        path = dirOf profile;
        filter = file: _: any (name: file == toString (dirOf profile + "/${name}")) model.chain || dirOf file != toString (dirOf profile);
      };
      # The profile may lie in a flake: all of that is not needed to build.
      source = "${folders}/${unsafeDiscardStringContext (baseNameOf profile)}";

      fetched = fetch { inherit mirrors artifacts; };
      by = name: list: listToAttrs (map (entry: { name = name entry; value = entry; }) list);
      packages = mapAttrs (_: fetched "debian") (by (entry: entry.name) (lock.package or [ ]));
      wheels = mapAttrs (_: fetched "python") (by (entry: baseNameOf entry.path) (lock.wheel or [ ]));

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
        # Named here, they and all that they refer to are there for the builder.
        closure = map (package: "${package}") (closures.${name} or [ ]);
        args = [ "image" source name "--output" (placeholder "out") ] ++ common
          ++ options "artifacts" (map (name: packages.${name}) (packagesOf locked))
          ++ options "artifacts" (map (name: wheels.${name}) (locked.wheels or [ ]));
      };
      images = mapAttrs image lock.images;
    in
    if lock ? crate
    then throw "sealift: ${model.name} compiles crates, which takes a Rust toolchain: build it with `sealift build`"
    else derivation
      {
        inherit system;
        name = storeName "${model.product}-${model.name}-${model.version}-${platform}.tar";
        inherit builder;
        args = [ "build" source "--output" (placeholder "out") "--locked" "--program" (executable program) ] ++ common
          ++ options "from" (attrValues images);
      } // { inherit images; artifacts = attrValues packages ++ attrValues wheels; };

  # An image of packages and all that they refer to: an archive that `podman load` and `docker load` take. Nothing of Debian.
  #
  # contents   Packages: their files are linked into the image's root (`/bin/hello`), and their closures are in the image.
  # closure    More packages whose closures are in the image, without links.
  # config     How it is run, as OCI and nixpkgs' dockerTools spell it: Entrypoint, Cmd, Env, User ... Paths that it
  #            names have to be in one of the closures.
  # maxLayers  How many layers the closure makes at most.
  mkImage =
    { name, tag ? "latest", contents ? [ ], closure ? [ ], config ? { }, maxLayers ? 60, platform ? "linux/amd64", layers ? "gzip" }:
    derivation {
      name = storeName "${baseNameOf name}-${tag}.tar";
      system = systemOf platform;
      inherit builder;
      # The builder reads both from the file that Nix writes of these attributes.
      __structuredAttrs = true;
      exportReferencesGraph.closure = map (package: "${package}") (contents ++ closure);
      inherit config;
      args = [
        "closure" ".attrs.json" "--config" ".attrs.json" "--output" (placeholder "out") "--name" "${name}:${tag}"
        "--max-layers" (toString maxLayers) "--layers" layers "--architecture" (baseNameOf platform) "--store" "store"
      ] ++ options "contents" contents;
    };
}
