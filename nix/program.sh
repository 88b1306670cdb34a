# The builder of the derivation in program.nix.

# The layout of `cargo vendor`: a folder for each crate, with the checksum in Cargo.lock. Checksums of single files are not
# needed: Nix has verified the archive.
mkdir vendor cargo
while read -r crate checksum; do
    tar -xzf "$crate" -C vendor
    name=${crate##*/}
    name=${name#*-}
    printf '{"files":{},"package":"%s"}' "$checksum" >"vendor/${name%.crate}/.cargo-checksum.json"
done <"$cratesPath"

# Statically linked and without paths of the build folder, with the flags of ./build.
export CARGO_HOME="$PWD/cargo" CARGO_TARGET_DIR="$PWD/target"
export RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$PWD/vendor=/cargo --remap-path-prefix=$source=/sealift"
# In a file: the program's build script asks cargo where the crates are, for their licences.
printf '[source.crates-io]\nreplace-with = "vendor"\n[source.vendor]\ndirectory = "%s"\n' "$PWD/vendor" >cargo/config.toml
triple=$(rustc --print host-tuple)
cargo build --release --locked --offline --target "$triple" --manifest-path "$source/Cargo.toml" \
    --package sealift --jobs "${NIX_BUILD_CORES:-1}"

mkdir -p "$out/bin"
cp "target/$triple/release/sealift" "$out/bin/sealift"
