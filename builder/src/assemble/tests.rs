use std::io;

use sealift_deployment::ui::Ui;
use sealift_layers::listing::Listing;
use sealift_layers::tree::{Kind, Tree};

use super::*;
use crate::plan::sample::{Sample, empty_store, finish_all};

/// A line for each path of a tree.
fn listed(tree: &Tree) -> String {
    let line = |(path, entry): (_, &sealift_layers::tree::Entry)| {
        let end = match &entry.kind {
            Kind::Symlink(target) => format!(" -> {target}"),
            Kind::Directory => "/".to_owned(),
            _ => String::new(),
        };
        format!("{:04o} {}:{} {path}{end}\n", entry.mode, entry.uid, entry.gid)
    };
    tree.iter().map(line).collect()
}

/// The tree of the layer with this title, on top of nothing.
fn made(sample: &Sample, image: &str, title: &str) -> Result<String> {
    let plan = sample.plan();
    let (_folder, store) = empty_store();
    let ui = Ui::plain(io::sink());
    let phase = ui.steps("Assembling layers", 0);
    let mut workshop = Workshop::new(&plan.inputs, &store, 1, &phase);
    let inputs = plan.inputs.image(image);
    let layers = layers(inputs)?;
    let layer = layers.iter().find(|layer| layer.title() == title).unwrap();
    Ok(listed(&layer.make(&mut workshop, inputs, &Listing::new())?.tree))
}

#[test]
fn configuration_has_what_the_profile_declares() {
    insta::assert_snapshot!(made(&Sample::kinds(), "server", "accounts and configuration").unwrap(), @r"
    0755 0:0 etc/
    0644 0:0 etc/group
    0640 0:0 etc/motd
    0644 0:0 etc/passwd
    0755 0:0 etc/server/
    0644 0:0 etc/server.conf
    0777 0:0 etc/server/current -> ../server.conf
    1777 0:0 tmp/
    0755 0:0 var/
    0755 0:0 var/lib/
    0700 1234:1234 var/lib/server/
    1777 0:0 var/tmp/
    ");
}

#[test]
fn env_files_are_in_the_images_env_directory() {
    insta::assert_snapshot!(made(&Sample::kinds(), "server", "env files: 1").unwrap(), @r"
    0755 0:0 etc/
    0755 0:0 etc/server/
    0755 0:0 etc/server/env/
    0644 0:0 etc/server/env/server.env
    ");
}

#[test]
fn a_layer_whose_artifacts_are_not_in_the_store_is_an_error() {
    for title in ["CA certificates", "Python application: 1 wheel", "Debian packages of this image: 2 packages"] {
        let error = made(&Sample::kinds(), "server", title).unwrap_err();
        assert!(error.to_string().ends_with("is not in the store"), "{title}: {error}");
    }
}

#[test]
fn independent_layers_are_those_of_store_paths() {
    let sample = Sample::kinds();
    let plan = sample.plan();
    let layers = layers(plan.inputs.image("tool")).unwrap();
    let independent = layers.iter().filter(|layer| layer.is_independent());
    let titles: Vec<String> = independent.map(|layer| layer.title()).collect();
    assert_eq!(titles, ["Nix store: one, two", "Nix store: three"]);
}

#[test]
fn descriptions_name_everything_once() {
    let sample = Sample::kinds();
    let plan = sample.plan();
    let (_folder, store) = empty_store();
    let finished = finish_all(&plan, &store);
    let mut description = Description::default();
    for image in &plan.images {
        for layer in &image.layers {
            let record = finished.record(&layer.key);
            layer.ingredient.describe(plan.inputs.image(&image.name), record, &mut description).unwrap();
        }
    }
    insta::assert_debug_snapshot!(description.packages.keys().collect::<Vec<_>>(), @r#"
    [
        "ca-certificates",
        "libpython3.14-stdlib",
        "python3.14",
    ]
    "#);
    insta::assert_debug_snapshot!(description.wheels.keys().collect::<Vec<_>>(), @r#"
    [
        "server-2.1-py3-none-any.whl",
        "words-1.0-py3-none-any.whl",
    ]
    "#);
    insta::assert_debug_snapshot!(description.store_paths.keys().collect::<Vec<_>>(), @r#"
    [
        "00000000000000000000000000000001-one",
        "00000000000000000000000000000002-two",
        "00000000000000000000000000000003-three",
    ]
    "#);
    insta::assert_debug_snapshot!(description.crates, @r#"
    [
        Crate {
            image: "tool",
            name: "tool",
            version: "0.3.0",
            sha256: sha256:0000000000000000000000000000000000000000000000000000000000000031,
            license: None,
            binary: "tool",
            features: [
                "fast",
            ],
        },
    ]
    "#);
    insta::assert_debug_snapshot!((description.excluded, description.interpreters), @r#"
    (
        {
            "distribution scss": "only builds assets",
            "package perl": "used only by maintainer scripts",
        },
        {
            "python3.14": "3.14.8-1",
        },
    )
    "#);
}
