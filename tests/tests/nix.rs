//! Bundles built as Nix derivations have the same bytes, and images of Nix closures run. Nix uses temporary stores.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use sealift::store::Store;
use sealift_deployment::machine::Machine;
use sealift_tests::bundle::{profile, sealift};
use sealift_tests::command::{self, report};
use sealift_tests::compare::difference;
use sealift_tests::lab::{Lab, copy};
use sealift_tests::mirror::{Mirror, Reply};
use sealift_tests::nix::{self, Nix, Rust};
use sealift_tests::packed::static_program;
use sealift_tests::podman::Podman;
use sealift_tests::real;

/// The entry for `--builders` of a store that builds for another.
fn builder(nix: &Nix, store: &str) -> String {
    format!("local?root={} x86_64-linux - 2 1", nix.path(store).display())
}

fn same(nix: &Nix, store: &str, path: &str, file: &std::path::Path) -> Result<()> {
    let found = difference(file, &nix.real(store, path));
    ensure!(found.is_none(), "{path} in {store} is not {}: {found:?}", file.display());
    Ok(())
}

/// The bundle `tiny` of a lab as a derivation, with all that it needs fetched from the lab's server.
fn tiny(lab: &Lab) -> String {
    format!(
        "lib.mkBundle {{ profile = {}; program = {}; mirrors = {{ debian = \"{url}\"; python = \"{url}\"; }}; }}",
        lab.path("tiny").display(),
        lab.path("program").display(),
        url = lab.mirror.url()
    )
}

/// The standalone bundle with this program in it: as the command line makes it, and as a derivation of `lib`.
fn standalone(nix: &Nix, program: &Path) -> Result<(PathBuf, String)> {
    fs_err::create_dir(nix.path("profiles"))?;
    let (profile, tar) = (profile("standalone", &nix.path("profiles"))?, nix.path("command-line.tar"));
    let mut build = sealift(&nix.path("."))?;
    build.arg("build").arg(&profile).arg("--program").arg(program).arg("--output").arg(&tar);
    command::output(&mut build)?;
    let artifacts = Store::place(None, &Machine::here())?.join("artifacts/sha256");
    let bundle = format!(
        "lib.mkBundle {{ profile = {}; artifacts = {}; program = {}; }}",
        profile.display(),
        artifacts.display(),
        program.display()
    );
    Ok((tar, bundle))
}

#[test]
#[ignore = "needs root and nix-bin: tests/run"]
fn standalone_is_the_same_as_derivations() -> Result<()> {
    let nix = Nix::new()?;
    fs_err::write(nix.path("program"), static_program())?;
    let (tar, bundle) = standalone(&nix, &nix.path("program"))?;
    let start = Instant::now();
    let path = nix.build("one", &bundle, &[])?;
    report(&format!("nix-build of standalone: {:.1} s", start.elapsed().as_secs_f64()));
    ensure!(path.ends_with("-parsec-standalone-3.10.0-linux_amd64.tar"), "{path}");
    same(&nix, "one", &path, &tar)?;

    // Each image is a derivation, which depends only on the files of that image.
    let images: Vec<String> =
        ["parsec-postgres", "parsec-proxy", "parsec-server", "parsec-smtp"].map(String::from).into();
    let derivation = command::output(nix.command("one", "nix-store").args(["--query", "--deriver", &path]))?;
    let graph = command::output(nix.command("one", "nix-store").args(["--query", "--graph", derivation.trim()]))?;
    let names = |text: &str| -> BTreeSet<String> {
        let quoted = text.split('"').skip(1).step_by(2).filter_map(|name| Some(name.get(33..)?.to_owned()));
        quoted.collect()
    };
    let all = names(&graph);
    for image in &images {
        let name = format!("standalone-{image}.drv");
        ensure!(all.contains(&name), "no {name} in {graph}");
    }
    let edge = |from: &str, to: &str| {
        graph.lines().any(|line| line.contains("->") && line.contains(from) && line.contains(to))
    };
    ensure!(edge("-nginx_", "-standalone-parsec-proxy.drv") && !edge("-nginx_", "-standalone-parsec-server.drv"));
    ensure!(edge("-standalone-parsec-proxy.drv", "linux_amd64.tar.drv") && !edge("-nginx_", "linux_amd64.tar.drv"));
    report(&format!("its graph has {} nodes", all.len()));

    // Nix builds it again and compares.
    nix.build("one", &format!("({bundle}).images.parsec-proxy"), &["--check"])?;
    nix.build("one", &bundle, &["--check"])?;

    // Another machine, which has the images built by a third one.
    let path = nix.build("two", &bundle, &["--max-jobs", "1", "--builders", &builder(&nix, "three")])?;
    same(&nix, "two", &path, &tar)?;
    let json = command::output(sealift(&nix.path("."))?.args(["inspect", "--json"]).arg(nix.real("two", &path)))?;
    ensure!(images.iter().all(|image| json.contains(image)), "{json}");
    command::output(sealift(&nix.path("."))?.arg("verify").arg(nix.real("two", &path)))?;
    Ok(())
}

#[test]
#[ignore = "needs root and nix-bin: tests/run"]
fn nix_fetches_the_files_of_the_lock() -> Result<()> {
    let (nix, lab) = (Nix::new()?, Lab::locked());
    let ended = lab.run(&["build", "tiny", "--locked", "--output", "command-line.tar"]);
    ensure!(ended.code == Some(0), "{}", ended.stderr);
    let _ = lab.mirror.requests();
    let bundle = tiny(&lab);
    let path = nix.build("one", &bundle, &[])?;
    same(&nix, "one", &path, &lab.path("command-line.tar"))?;
    let requested: BTreeSet<String> = lab.mirror.requests().into_iter().collect();
    let fetched = lab.below("store/artifacts/sha256").len();
    ensure!(requested.len() == fetched && requested.iter().any(|path| path.ends_with(".whl")), "{requested:?}");

    // With one store that builds nothing itself: every derivation is built by the other.
    let elsewhere = ["--max-jobs", "0", "--builders", &builder(&nix, "three")];
    let image = nix.build("two", &format!("({bundle}).images.clock"), &elsewhere);
    let image = image.context("built elsewhere")?;
    ensure!(nix.real("three", &image).join("oci-layout").is_file(), "{image}");
    ensure!(nix.real("two", &image).join("index.json").is_file(), "{image}");
    Ok(())
}

#[test]
#[ignore = "needs root, nix-bin and Rust: tests/run"]
fn the_program_is_a_derivation() -> Result<()> {
    let (nix, server, rust) = (Nix::new()?, Mirror::start(), Rust::here()?);
    let folder = real::repository().canonicalize()?.join("nix");
    let program = |crates: &str| {
        format!("(import {}/program.nix {{ toolchain = {}; {crates} }})", folder.display(), rust.toolchain)
    };
    let sandbox: Vec<&str> = rust.sandbox.iter().map(String::as_str).collect();

    // Crates are fetched, or taken from cargo's own folder: the same store paths.
    let first = |crates: &str| format!("builtins.head {}.artifacts", program(crates));
    let (here, there) =
        (format!("crates = {};", rust.crates.display()), format!("mirrors.crates = \"{}\";", server.url()));
    let found = nix.nix("one", &["eval", "--impure", "--raw", "--expr", &first(&here)])?;
    let file = found.rsplit('/').next().and_then(|name| name.get(33..)).context("a store path")?;
    let (name, version) = file.strip_suffix(".crate").and_then(|name| name.rsplit_once('-')).context("a crate")?;
    let crate_ = Reply::Whole(fs_err::read(rust.crates.join(file))?);
    server.set(&format!("{name}/{version}/download"), crate_);
    let fetched = nix.build("two", &first(&there), &[])?;
    ensure!(fetched == found, "{fetched} is not {found}");

    let start = Instant::now();
    let path = nix.build("one", &program(&here), &sandbox)?;
    report(&format!("the program was made in {:.0} s", start.elapsed().as_secs_f64()));
    let needs = command::output(nix.command("one", "nix-store").args(["--query", "--references", &path]))?;
    ensure!(needs.is_empty(), "it must need nothing of the store: {needs}");

    // With it as builder, and in the bundle: the bytes of what the program under test makes.
    let (tar, bundle) = standalone(&nix, &nix.real("one", &path).join("bin/sealift"))?;
    let lib = format!("(import {}/lib.nix {{ sealift = {}; }})", folder.display(), program(&here));
    let made = nix.build("one", &bundle.replacen("lib", &lib, 1), &sandbox)?;
    same(&nix, "one", &made, &tar)
}

/// What the flake consists of and refers to, as a Git repository of its own.
fn flake(nix: &Nix) -> Result<PathBuf> {
    let (from, to) = (real::repository(), nix.path("sealift"));
    for folder in ["nix", "builder", "deployment", "layers", "tests/src"] {
        copy(&from.join(folder), &to.join(folder))?;
    }
    for file in ["Cargo.toml", "Cargo.lock", "tests/Cargo.toml"] {
        fs_err::copy(from.join(file), to.join(file))?;
    }
    let git = |arguments: &[&str]| command::output(Command::new("git").arg("-C").arg(&to).args(arguments));
    git(&["init", "--quiet"])?;
    git(&["add", "."])?;
    git(&["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "all"])?;
    Ok(to)
}

/// The flake evaluates, and has the functions that its README lists, without network and nixpkgs.
fn evaluates(nix: &Nix, flake: &str) -> Result<()> {
    let lib = format!("{flake}#lib");
    let ask = |arguments: &[&str]| nix.nix("one", &[arguments, &["--no-write-lock-file"]].concat());
    let names = ask(&["eval", "--json", &lib, "--apply", "builtins.attrNames"])?;
    ensure!(names.trim() == r#"["mkBundle","mkImage","mkSealift"]"#, "{names}");
    ask(&["flake", "check", "--no-build", flake])?;
    let program = fs_err::canonicalize(sealift_tests::bundle::program()?)?;
    let image = format!("lib: (lib.mkImage {{ sealift = {}; name = \"a\"; }}).name", program.display());
    let name = ask(&["eval", "--impure", "--raw", &lib, "--apply", &image])?;
    ensure!(name == "a-latest.tar", "{name}");
    // The program is built from files above the flake's folder.
    let program = r#"lib: (lib.mkSealift { toolchain = [ "/usr" ]; mirrors.crates = "http://a"; }).drvPath"#;
    let path = ask(&["eval", "--raw", &lib, "--apply", program])?;
    ensure!(path.contains("-sealift-"), "{path}");
    Ok(())
}

#[test]
#[ignore = "needs root, nix-bin and git: tests/run"]
fn the_flake_evaluates_with_no_network() -> Result<()> {
    let nix = Nix::new()?;
    evaluates(&nix, &format!("git+file://{}?dir=nix", flake(&nix)?.display()))
}

#[test]
#[ignore = "needs root and nix-bin, fetches 20 MB: tests/run"]
fn current_nix_makes_the_same() -> Result<()> {
    let (nix, lab) = (Nix::new()?, Lab::locked());
    let start = Instant::now();
    let current = Nix::new()?.with_usr(nix::current(&nix.path("."))?);
    let version = current.nix("one", &["--version"])?;
    report(&format!("{}, unpacked in {:.1} s", version.trim(), start.elapsed().as_secs_f64()));
    evaluates(&current, &format!("path:{}?dir=nix", flake(&current)?.display()))?;

    // The derivations are equal, so the results of the other tests apply to these.
    let standalone = format!(
        "lib.mkBundle {{ profile = {}/profiles/standalone; mirrors.debian = \"http://a\"; mirrors.python = \"http://b\"; }}",
        real::repository().canonicalize()?.display()
    );
    let derivation = current.instantiate("one", &standalone)?;
    ensure!(derivation == nix.instantiate("one", &standalone)?, "{derivation}");

    let ended = lab.run(&["build", "tiny", "--locked", "--output", "command-line.tar"]);
    ensure!(ended.code == Some(0), "{}", ended.stderr);
    let path = current.build("one", &tiny(&lab), &[])?;
    same(&current, "one", &path, &lab.path("command-line.tar"))?;

    // The output of `nix path-info`, in each of its formats.
    let tool = tool(&current)?;
    let path = current.build("one", &format!("let {tool} in tool"), &[])?;
    let image = format!("let {tool} in lib.mkImage {{ name = \"localhost/tool\"; contents = [ tool ]; }}");
    let image = current.build("one", &image, &[])?;
    for format in ["1", "2"] {
        let closure_json =
            current.nix("one", &["path-info", "--json", "--json-format", format, "--recursive", &path])?;
        fs_err::write(current.path("closure.json"), closure_json)?;
        let mut closure = sealift(&current.path("."))?;
        closure.env("NIX_REMOTE", current.path("one")).args(["closure", "closure.json", "--contents", &path]);
        closure.args(["--name", "localhost/tool:latest", "--output", "tool.tar", "--store", format]);
        command::output(&mut closure)?;
        same(&current, "one", &image, &current.path("tool.tar"))?;
    }
    Ok(())
}

/// A program with a closure of its own, made by Nix: a script, its shell, and a file that it reads.
fn tool(nix: &Nix) -> Result<String> {
    let folder = nix.path("busybox-1.35");
    fs_err::create_dir_all(folder.join("bin"))?;
    fs_err::copy("/bin/busybox", folder.join("bin/busybox"))?;
    std::os::unix::fs::symlink("busybox", folder.join("bin/sh"))?;
    Ok(format!(
        r#"
        busybox = builtins.path {{ path = {}; name = "busybox-1.35"; }};
        make = name: text: derivation {{
            inherit name;
            system = "x86_64-linux";
            builder = "${{busybox}}/bin/busybox";
            args = [ "sh" "-c" text ];
            PATH = "${{busybox}}/bin";
        }};
        data = make "greeting-1.0" "busybox mkdir $out; echo 'hello from the store' > $out/text";
        tool = make "tool-1.0" ''
            busybox mkdir -p $out/bin
            echo '#!${{busybox}}/bin/sh' > $out/bin/tool
            echo 'exec ${{busybox}}/bin/busybox cat ${{data}}/text' >> $out/bin/tool
            busybox chmod +x $out/bin/tool
        '';
        "#,
        folder.display()
    ))
}

#[test]
#[ignore = "needs root, nix-bin, busybox-static and podman: tests/run"]
fn an_image_of_a_closure_runs() -> Result<()> {
    let nix = Nix::new()?;
    let tool = tool(&nix)?;
    let image = format!(
        r#"let {tool} in lib.mkImage {{
            name = "localhost/tool"; tag = "1.0"; contents = [ tool ];
            config = {{ Entrypoint = [ "${{tool}}/bin/tool" ]; User = "1000:1000"; }};
        }}"#
    );
    let path = nix.build("one", &image, &[])?;
    nix.build("one", &image, &["--check"])?;
    let archive = nix.real("one", &path);

    // The same on the command line.
    let tool_path = nix.build("one", &format!("let {tool} in tool"), &[])?;
    fs_err::write(nix.path("closure.json"), nix.nix("one", &["path-info", "--json", "--recursive", &tool_path])?)?;
    let config = format!(r#"{{"Entrypoint": ["{tool_path}/bin/tool"], "User": "1000:1000"}}"#);
    fs_err::write(nix.path("config.json"), config)?;
    let mut closure = sealift(&nix.path("."))?;
    closure.env("NIX_REMOTE", nix.path("one")).args(["closure", "closure.json", "--config", "config.json"]);
    closure.args([
        "--name",
        "localhost/tool:1.0",
        "--output",
        "tool.tar",
        "--store",
        "store",
        "--contents",
        &tool_path,
    ]);
    command::output(&mut closure)?;
    let found = difference(&nix.path("tool.tar"), &archive);
    ensure!(found.is_none(), "{found:?}");

    let podman = Podman::new()?;
    podman.podman(&["load", "-i", archive.to_str().context("a path in UTF-8")?])?;
    let printed = podman.podman(&["run", "--rm", "--network", "none", "localhost/tool:1.0"])?;
    ensure!(printed == "hello from the store\n", "{printed}");
    let run = ["run", "--rm", "--network", "none", "--entrypoint", "/bin/tool", "localhost/tool:1.0"];
    ensure!(podman.podman(&run)? == "hello from the store\n", "a link in the root");
    Ok(())
}

#[test]
#[ignore = "needs root, nix-bin and busybox-static: tests/run"]
fn an_image_may_mix_packages_wheels_and_store_paths() -> Result<()> {
    let (nix, lab) = (Nix::new()?, Lab::locked());
    let tool = tool(&nix)?;
    let path = nix.build("one", &format!("let {tool} in tool"), &[])?;
    let closure_json = nix.nix("one", &["path-info", "--json", "--recursive", &path])?;
    fs_err::write(lab.path("tiny/files/closure.json"), closure_json)?;
    lab.edit(
        "tiny/profile.toml",
        "[images.greeter.venv]",
        "[images.greeter.nix]\nclosure = \"files/closure.json\"\n\n[images.greeter.venv]",
    );

    let build = ["build", "tiny", "--locked", "--output", "command-line.tar"];
    let ended = lab.ended(&lab.command(&build).env("NIX_REMOTE", nix.path("one")).output()?);
    ensure!(ended.code == Some(0), "{}", ended.stderr);
    let ended = lab.run(&["inspect", "command-line.tar", "--json"]);
    ensure!(
        ["store-paths", "tool-1.0", "greeting-1.0", "busybox-1.35"].iter().all(|word| ended.stdout.contains(word)),
        "{}",
        ended.stdout
    );
    ensure!(lab.run(&["verify", "command-line.tar"]).code == Some(0));

    let place = lab.path("tiny").parent().context("a folder above")?.to_owned();
    let bundle = |closures: &str| {
        format!(
            "let {tool} in lib.mkBundle {{ profile = {place}/tiny; program = {place}/program; \
             artifacts = {place}/store/artifacts/sha256; closures = {{ {closures} }}; }}",
            place = place.display()
        )
    };
    let path = nix.build("one", &bundle("greeter = [ tool ];"), &[])?;
    same(&nix, "one", &path, &lab.path("command-line.tar"))?;
    // Without them the builder does not see the paths.
    let error = nix.build("two", &bundle(""), &[]).err().context("built from nothing")?;
    ensure!(error.to_string().contains("is not on this machine"), "{error}");
    Ok(())
}
