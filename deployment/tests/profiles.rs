//! Valid profiles, and invalid ones with their error messages.
//!
//! `profiles/valid/NAME/profile.toml` must load. `profiles/invalid/NAME.toml` must fail with the text in `NAME.stderr`
//! beside it; `UPDATE=1 cargo test -p sealift-deployment --test profiles` updates these files.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

use sealift_deployment::failure::Kind;
use sealift_deployment::profile::Profile;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/profiles");

fn sorted(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(SAMPLES).join(directory);
    let mut paths: Vec<PathBuf> = fs_err::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn valid_profiles_load() {
    for directory in sorted("valid") {
        let profile = Profile::load(&directory).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(directory.file_name().unwrap().to_str(), Some(profile.model.name.get_ref().as_str()));
    }
}

#[test]
fn invalid_profiles_are_explained() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for sample in sorted("invalid").iter().filter(|path| path.extension().is_some_and(|e| e == "toml")) {
        let directory = tempfile::tempdir().unwrap();
        fs_err::copy(sample, directory.path().join("profile.toml")).unwrap();
        fs_err::write(directory.path().join("file"), "there\n").unwrap();
        let template = "A={{ settings.sendr }}\nB={{ settings.sender }}\nC={{ settings.password }}\nD={{ settings }}\n";
        fs_err::write(directory.path().join("template"), template).unwrap();
        fs_err::write(directory.path().join("broken"), "A=1\nB={{ settings.sender\n").unwrap();
        let error = Profile::load(directory.path()).expect_err(&sample.display().to_string());
        assert_eq!(Kind::of(&error), Kind::Usage, "{}", sample.display());
        let message = error.to_string().replace(&directory.path().display().to_string(), "DIR");
        let expected = sample.with_extension("stderr");
        if update {
            fs_err::write(&expected, &message).unwrap();
        } else if fs_err::read_to_string(&expected).unwrap_or_default() != message {
            wrong.push(format!("{}:\n{message}", sample.display()));
        }
    }
    assert!(wrong.is_empty(), "other messages (UPDATE=1 accepts them):\n{}", wrong.join("\n"));
}

/// All keys of a table, from the error of serde about an unknown one.
fn keys<T: serde::de::DeserializeOwned>() -> Vec<String> {
    let Err(error) = toml::from_str::<T>("'?' = 0") else { panic!("the table takes any key") };
    error.message().split('`').skip(1).step_by(2).filter(|key| *key != "?").map(str::to_owned).collect()
}

#[test]
fn the_readme_names_every_key() {
    use sealift_deployment::profile::model as m;

    let readme = fs_err::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles/README.md")).unwrap();
    let (head, rest) = readme.split_once("## The top of the file").unwrap();
    assert!(head.contains("```toml"));
    let section = |start: &str| {
        let (_, section) = rest.split_once(start).unwrap_or_else(|| panic!("no {start}"));
        section.split("\n#").next().unwrap_or_default().to_owned()
    };
    let image = section("## `[images.NAME]`");
    let service = section("## `[services.NAME]`");
    let site = section("## `[site]`");
    let tables = [
        (keys::<m::Model>(), rest.split("\n#").next().unwrap_or_default().to_owned()),
        (keys::<m::Debian>(), section("## `[debian]`")),
        (keys::<m::Archive>(), section("### `[debian.archives.NAME]`")),
        (keys::<m::Base>(), section("## `[base]`")),
        (keys::<m::Image>(), image.clone()),
        (keys::<m::User>(), image.clone()),
        (keys::<m::ImageFile>(), image.clone()),
        (keys::<m::ImageDirectory>(), image),
        (keys::<m::Venv>(), section("### `[images.NAME.venv]`")),
        (keys::<m::Crate>(), section("### `[images.NAME.crate]`")),
        (keys::<m::ArchiveFile>(), section("### `[images.NAME.archives.NAME]`")),
        (keys::<m::Nix>(), section("### `[images.NAME.nix]`")),
        (keys::<m::Service>(), service.clone()),
        (keys::<m::Health>(), service),
        (keys::<m::Volume>(), section("## `[volumes.NAME]`")),
        (keys::<m::Task>(), section("## `[tasks.NAME]`")),
        (keys::<m::Endpoint>(), section("### `[endpoints.NAME]`")),
        (keys::<m::Basic>(), section("### `[endpoints.NAME]`")),
        (keys::<m::Request>(), section("### `[tasks.NAME.request]`")),
        (keys::<m::Column>(), section("### `[tasks.NAME.request]`")),
        (keys::<m::OperatorFolder>(), section("### `[site.files.NAME]`")),
        (keys::<m::Site>(), site.clone()),
        (keys::<m::SitePort>(), site.clone()),
        (keys::<m::Authority>(), site.clone()),
        (keys::<m::Certificate>(), site.clone()),
        (keys::<m::Secret>(), site.clone()),
        (keys::<m::Rule>(), site.clone()),
        (keys::<m::Trusted>(), site.clone()),
        (keys::<m::Template>(), site),
        (keys::<sealift_deployment::profile::setting::Setting>(), section("### `[site.settings.NAME]`")),
    ];
    for (keys, section) in tables {
        assert!(!keys.is_empty());
        for key in keys {
            assert!(section.contains(&format!("`{key}`")), "profiles/README.md lacks `{key}` in:\n{section}");
        }
    }
}

#[test]
fn the_readme_s_example_is_a_profile() {
    let readme = fs_err::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles/README.md")).unwrap();
    let example = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    fs_err::create_dir(directory.path().join("files")).unwrap();
    fs_err::write(directory.path().join("files/index.html"), "hello\n").unwrap();
    fs_err::write(directory.path().join("profile.toml"), example).unwrap();
    Profile::load(directory.path()).unwrap_or_else(|error| panic!("{error}"));
}
