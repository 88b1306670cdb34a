use sealift_layers::codec::Codec;
use sealift_layers::digest::Digest;
use sealift_layers::ingredients::certs::Certificate;

use super::sample::{Sample, empty_store, finish};
use super::*;

fn keys(plan: &Plan<'_>) -> String {
    let mut text = String::new();
    for image in &plan.images {
        text.push_str(&format!("{}\n", image.reference));
        for layer in &image.layers {
            text.push_str(&format!("  {} {}\n", &layer.key.hex()[..16], layer.ingredient.title()));
        }
    }
    text
}

fn key(plan: &Plan<'_>, image: &str, title: &str) -> Key {
    let image = plan.images.iter().find(|other| other.name == image).unwrap();
    image.layers.iter().find(|layer| layer.ingredient.title() == title).unwrap().key
}

/// Keys name the contents of stores: with other keys, every store starts empty.
#[test]
fn layer_keys_stay_the_same() {
    let sample = Sample::kinds();
    insta::assert_snapshot!(keys(&sample.plan()), @r"
    localhost/demo-server:2.1
      c0c87dcb19eee5b2 Debian packages common to all images: 1 package
      7efa5ea416bfdd0b Debian packages of this image: 2 packages
      49ca7ed65b122fa8 Python third-party wheels: 1 wheel
      c8a9059b705b9923 Python application: 1 wheel
      1578e1d8ff9d4f78 CA certificates
      029ae3f79a2ab057 env files: 1
      16284b89333279e2 accounts and configuration
    localhost/demo-tool:2.1
      c0c87dcb19eee5b2 Debian packages common to all images: 1 package
      773d769ce15b891c Nix store: one, two
      6f4a2dee44212c92 Nix store: three
      71b850ff95d303e3 tool 0.3.0, built from its crate
      7fb66ae118911819 CA certificates
      43c7d0b3efe0d544 accounts and configuration
    ");
    let mut options = sample.options();
    options.codec = Codec::Zstd;
    options.epoch = Some(1_700_000_000);
    options.authorities = vec![Certificate { file_name: "site.crt".to_owned(), pem: "PEM".to_owned() }];
    insta::assert_snapshot!(keys(&Plan::new(&sample.profile, &sample.lock, options).unwrap()), @r"
    localhost/demo-server:2.1
      1a13d7f3e37486f8 Debian packages common to all images: 1 package
      f694dac8f2371eeb Debian packages of this image: 2 packages
      88d7743456cd487b Python third-party wheels: 1 wheel
      3c469bd02fc62292 Python application: 1 wheel
      f8d0e72572b0d8dd CA certificates
      60de69a320e55629 env files: 1
      fe57dc50095c1bd8 accounts and configuration
    localhost/demo-tool:2.1
      1a13d7f3e37486f8 Debian packages common to all images: 1 package
      05c9d6b94f7ad28e Nix store: one, two
      50046576e5755a32 Nix store: three
      320a6fa5b0c15003 tool 0.3.0, built from its crate
      bc57a6d74bbe8caf CA certificates
      a317ad2d97024520 accounts and configuration
    ");
}

#[test]
fn a_changed_package_changes_the_layers_above_it_but_not_independent_ones() {
    let sample = Sample::kinds();
    let mut changed = Sample::kinds();
    changed.locked().packages[0].sha256 = Digest::of(b"another version");
    let (before, after) = (sample.plan(), changed.plan());
    let differs = |image: &str, title: &str| key(&before, image, title) != key(&after, image, title);
    assert!(differs("server", "Debian packages common to all images: 1 package"));
    assert!(differs("server", "accounts and configuration"));
    assert!(!differs("tool", "Nix store: three"));
    assert!(differs("tool", "tool 0.3.0, built from its crate"));
}

#[test]
fn a_single_image_has_the_same_layers_as_in_the_whole_plan() {
    let sample = Sample::kinds();
    let mut alone = sample.plan();
    alone.select("tool").unwrap();
    assert_eq!(alone.images.len(), 1);
    assert!(keys(&sample.plan()).ends_with(&keys(&alone)));
    let error = sample.plan().select("tol").unwrap_err();
    insta::assert_snapshot!(error, @"the profile kinds has no image tol");
}

#[test]
fn only_layers_that_the_store_lacks_need_artifacts() {
    let sample = Sample::kinds();
    let plan = sample.plan();
    let (_folder, store) = empty_store();
    let names = |store: &Store| -> Vec<String> {
        plan.needs(&plan.missing(store), store).unwrap().iter().map(Artifact::file_name).collect()
    };
    insta::assert_snapshot!(names(&store).join("\n"), @r"
    ca-certificates_20260101_all.deb
    libpython3.14-stdlib_3.14.8-1_amd64.deb
    python3.14_3.14.8-1_amd64.deb
    server-2.1-py3-none-any.whl
    words-1.0-py3-none-any.whl
    tool-0.3.0.crate
    ");
    assert_eq!(plan.missing(&store).len(), 12, "the base layer is in both images");
    for layer in plan.images.iter().flat_map(|image| &image.layers) {
        if layer.ingredient.title() != "Python application: 1 wheel" {
            finish(&store, &layer.key);
        }
    }
    // The application's bytecode is compiled by the whole interpreter.
    insta::assert_snapshot!(names(&store).join("\n"), @r"
    ca-certificates_20260101_all.deb
    libpython3.14-stdlib_3.14.8-1_amd64.deb
    python3.14_3.14.8-1_amd64.deb
    server-2.1-py3-none-any.whl
    ");
}

#[test]
fn the_environment_has_the_variables_of_the_env_files() {
    let sample = Sample::kinds();
    let plan = sample.plan();
    let env: Vec<String> = plan.images[0].env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["LANG=C.UTF-8", "SERVER_HOST=localhost"]);
}

#[test]
fn a_lock_that_does_not_fit_is_an_error() {
    let error = |change: fn(&mut Sample)| {
        let mut sample = Sample::kinds();
        change(&mut sample);
        let error = Plan::new(&sample.profile, &sample.lock, sample.options()).unwrap_err();
        error.to_string()
    };
    let errors = [
        error(|sample| sample.lock.platforms.clear()),
        error(|sample| drop(sample.locked().images.remove("tool"))),
        error(|sample| drop(sample.locked().packages.remove(0))),
        error(|sample| drop(sample.locked().wheels.remove(0))),
        error(|sample| drop(sample.locked().crates.remove(0))),
    ];
    insta::assert_snapshot!(errors.join("\n"), @r"
    the lock of kinds has nothing for the platform linux/amd64
    the lock of kinds has no image tool
    the lock names the package ca-certificates, but does not describe it
    the lock names the wheel server-2.1-py3-none-any.whl, but does not describe it
    the lock names the crate tool 0.3.0, but does not describe it
    ");
}
