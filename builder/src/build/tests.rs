use std::io;

use sealift_deployment::profile::Profile;
use sealift_layers::codec::Codec;
use sealift_layers::digest::Digest;
use sealift_layers::limits::Limits;

use super::*;
use crate::plan::sample::{Sample, empty_store, finish, finish_all};

/// The actions of a preview, by image and title.
fn actions(preview: &Preview) -> String {
    let mut text = String::new();
    for image in &preview.images {
        for layer in &image.layers {
            let action = match &layer.action {
                Action::Import(folder) => format!("import from {}", folder.file_name().unwrap().display()),
                other => format!("{other:?}").to_lowercase(),
            };
            text.push_str(&format!("{} {}: {action}\n", image.name, layer.title));
        }
    }
    for artifact in &preview.fetch {
        text.push_str(&format!("fetch {}\n", artifact.name));
    }
    text
}

#[test]
fn a_preview_of_an_empty_store_makes_everything() {
    let sample = Sample::kinds();
    let (_folder, store) = empty_store();
    let preview = Preview::new(&sample.plan(), &store, &Imports::default()).unwrap();
    assert_eq!(preview.file_name, "demo-kinds-2.1-linux-amd64.tar");
    assert_eq!(preview.epoch, 1_760_000_000);
    insta::assert_snapshot!(actions(&preview), @r"
    server Debian packages common to all images: 1 package: make
    server Debian packages of this image: 2 packages: make
    server Python third-party wheels: 1 wheel: make
    server Python application: 1 wheel: make
    server CA certificates: make
    server env files: 1: make
    server accounts and configuration: make
    tool Debian packages common to all images: 1 package: shared
    tool Nix store: one, two: make
    tool Nix store: three: make
    tool tool 0.3.0, built from its crate: make
    tool CA certificates: make
    tool accounts and configuration: make
    fetch ca-certificates_20260101_all.deb
    fetch libpython3.14-stdlib_3.14.8-1_amd64.deb
    fetch python3.14_3.14.8-1_amd64.deb
    fetch server-2.1-py3-none-any.whl
    fetch words-1.0-py3-none-any.whl
    fetch tool-0.3.0.crate
    ");
}

#[test]
fn a_preview_counts_what_the_store_and_the_imports_have() {
    let sample = Sample::kinds();
    let plan = sample.plan();
    let (_folder, store) = empty_store();
    let (_other_folder, other) = empty_store();
    let layout = tempfile::tempdir().unwrap();
    fs_err::write(layout.path().join("oci-layout"), "{}").unwrap();
    for (index, layer) in plan.images[0].layers.iter().enumerate() {
        match index {
            0 => drop(finish(&store, &layer.key)),
            1..=3 => {
                finish(&other, &layer.key);
                other.export_layer(&layer.key, layout.path()).unwrap();
            }
            _ => {}
        }
    }
    let folders = [layout.path().to_owned()];
    let imports = Imports::find(&plan, &store, &folders, &[]).unwrap();
    let preview = Preview::new(&plan, &store, &imports).unwrap();
    let name = layout.path().file_name().unwrap().display().to_string();
    insta::assert_snapshot!(actions(&preview).replace(&name, "LAYOUT"), @r"
    server Debian packages common to all images: 1 package: reuse
    server Debian packages of this image: 2 packages: import from LAYOUT
    server Python third-party wheels: 1 wheel: import from LAYOUT
    server Python application: 1 wheel: import from LAYOUT
    server CA certificates: make
    server env files: 1: make
    server accounts and configuration: make
    tool Debian packages common to all images: 1 package: shared
    tool Nix store: one, two: make
    tool Nix store: three: make
    tool tool 0.3.0, built from its crate: make
    tool CA certificates: make
    tool accounts and configuration: make
    fetch ca-certificates_20260101_all.deb
    fetch tool-0.3.0.crate
    ");

    imports.take(&store).unwrap();
    let after = Preview::new(&plan, &store, &Imports::find(&plan, &store, &folders, &[]).unwrap()).unwrap();
    assert_eq!(after.images[0].layers[1].action, Action::Reuse);
}

#[test]
fn artifacts_are_found_by_their_content() {
    let mut sample = Sample::kinds();
    let wheel = b"stands for a wheel: the lock has its digest";
    sample.locked().wheels[0].sha256 = Digest::of(wheel);
    sample.locked().wheels[0].size = wheel.len() as u64;
    let plan = sample.plan();
    let (_folder, store) = empty_store();
    let files = tempfile::tempdir().unwrap();
    fs_err::create_dir(files.path().join("deeper")).unwrap();
    fs_err::write(files.path().join("deeper/any name"), wheel).unwrap();
    fs_err::write(files.path().join("same size"), vec![b'x'; wheel.len()]).unwrap();
    let imports = Imports::find(&plan, &store, &[], &[files.path().to_owned()]).unwrap();
    let preview = Preview::new(&plan, &store, &imports).unwrap();
    assert!(!preview.fetch.iter().any(|artifact| artifact.name.starts_with("server")));
    imports.take(&store).unwrap();
    assert!(store.artifact(&Digest::of(wheel), wheel.len() as u64).is_some());

    // It was as if a damaged file were not there.
    let (_folder, store) = empty_store();
    let named = files.path().join("server-2.1-py3-none-any.whl");
    fs_err::write(&named, "damaged").unwrap();
    let find = || Imports::find(&plan, &store, &[], &[files.path().to_owned()]);
    find().expect("another file has the content");
    fs_err::remove_file(files.path().join("deeper/any name")).unwrap();
    let error = format!("{:#}", find().unwrap_err());
    assert!(error.contains("server-2.1-py3-none-any.whl is not the file of this name that the lock names"), "{error}");
    fs_err::remove_file(named).unwrap();
    find().unwrap();

    let error = Imports::find(&plan, &store, &[], &[files.path().join("nowhere")]).unwrap_err();
    assert!(error.to_string().starts_with("cannot read the artifacts in "), "{error}");
    let error = Imports::find(&plan, &store, &[files.path().to_owned()], &[]).unwrap_err();
    assert!(error.to_string().ends_with("is not an OCI image layout: it has no oci-layout"), "{error}");
}

fn request(profile: &Profile, lock: LockPolicy) -> BuildRequest<'_> {
    BuildRequest {
        profile,
        platform: "linux/amd64".parse().unwrap(),
        codec: Codec::Gzip,
        site: None,
        lock,
        artifacts: Vec::new(),
        with: Vec::new(),
        layers_from: Vec::new(),
        epoch: None,
        nix_store: "/nix/store".into(),
        limits: Limits::default(),
        now: 1_760_000_000,
        jobs: 1,
        target: Target::Plan,
    }
}

#[test]
fn a_lock_that_does_not_fit_is_an_error_if_it_must_be_kept_or_no_server_may_be_contacted() {
    let mut sample = Sample::kinds();
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::of(folder.path(), &[]);
    let servers = |offline| Servers::new(&machine, crate::servers::Options { offline, ..Default::default() }).unwrap();
    let ui = Ui::plain(io::sink());
    for (policy, offline) in [(LockPolicy::Keep, false), (LockPolicy::Update, true)] {
        let error = lock::choose(&request(&sample.profile, policy), &servers(offline), &ui).unwrap_err();
        assert_eq!(error.to_string(), "the lock of kinds is older than the profile");
    }
    sample.profile.directory = folder.path().to_owned();
    let error = lock::choose(&request(&sample.profile, LockPolicy::Keep), &servers(false), &ui).unwrap_err();
    assert_eq!(error.to_string(), "kinds has no lock yet");
    sample.locked().wanted = crate::lock::wanted(&sample.profile);
    sample.lock.write(folder.path()).unwrap();
    assert_eq!(lock::choose(&request(&sample.profile, LockPolicy::Keep), &servers(true), &ui).unwrap(), sample.lock);
}

#[test]
fn images_have_the_settings_and_labels_of_the_profile() {
    let sample = Sample::kinds();
    let plan = sample.plan();
    let (_folder, store) = empty_store();
    let images = images::make(&plan, &finish_all(&plan, &store)).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&images[0].config).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&config["config"]).unwrap(), @r#"
    {
      "Entrypoint": [
        "/opt/server/bin/serve"
      ],
      "Env": [
        "LANG=C.UTF-8",
        "SERVER_HOST=localhost"
      ],
      "Labels": {
        "org.opencontainers.image.created": "2025-10-09T08:53:20Z",
        "org.opencontainers.image.ref.name": "localhost/demo-server:2.1",
        "org.opencontainers.image.title": "A server",
        "org.opencontainers.image.version": "2.1"
      },
      "User": "1234:1234"
    }
    "#);
    assert_eq!(images[1].layers.len(), plan.images[1].layers.len());
}

#[test]
fn a_bundle_describes_its_images_and_has_checksums_of_its_files() {
    let sample = Sample::kinds();
    let plan = sample.plan();
    let (folder, store) = empty_store();
    let layers = finish_all(&plan, &store);
    let images = images::make(&plan, &layers).unwrap();
    let bundle = Bundle {
        key: None,
        plan: &plan,
        lock: &sample.lock,
        images: &images,
        layers: &layers,
        site: None,
        program: None,
        jobs: 1,
    };
    let path = folder.path().join("bundle.tar");
    let first = bundle.write(&store, &path).unwrap();
    assert_eq!(first.digest, Digest::of(&fs_err::read(&path).unwrap()));
    // The second time its digest is in the cache.
    assert_eq!(bundle.write(&store, &path).unwrap().digest, first.digest);

    let opened = sealift_deployment::bundle::open(&path).unwrap();
    let manifest = opened.manifest.unwrap();
    assert_eq!(manifest.images[0].packages, ["ca-certificates", "libpython3.14-stdlib", "python3.14"]);
    assert_eq!(manifest.images[1].store_paths.len(), 3);
    assert_eq!(manifest.bytecode.unwrap().interpreters["python3.14"], "3.14.8-1");
    assert_eq!(manifest.compiled.unwrap().toolchain.rustc, "rustc 1.0");
}

#[test]
fn the_epoch_of_the_environment_is_a_number() {
    let epoch = |value| source_date_epoch(&Machine::of(std::path::Path::new("/"), &[("SOURCE_DATE_EPOCH", value)]));
    assert_eq!(epoch("1700000000").unwrap(), Some(1_700_000_000));
    assert_eq!(source_date_epoch(&Machine::of(std::path::Path::new("/"), &[])).unwrap(), None);
    insta::assert_snapshot!(epoch("today").unwrap_err(), @"SOURCE_DATE_EPOCH is `today`, which is not a number of seconds since 1970");
}

/// After the key was left out, the next build said that a library was missing.
#[test]
fn what_two_checks_find_is_told_together() {
    let found = |message: &str| Err(Failure::failed(message).hint(format!("mend {message}")).into());
    let told = |first, second: Result<()>| {
        let error = both(first, || second).unwrap_err();
        format!("{error} | {}", Failure::hint_in(&error).unwrap_or_default())
    };
    assert_eq!(told(found("a key"), found("a library")), "a key\nhint: mend a key\na library | mend a library");
    assert_eq!(told(found("a key"), Ok(())), "a key | mend a key");
    assert_eq!(told(Ok(()), found("a library")), "a library | mend a library");
    // Without the disk, nothing else is known.
    assert_eq!(told(Err(anyhow::anyhow!("no disk")), found("a library")), "no disk | ");
    assert_eq!(told(found("a key"), Err(anyhow::anyhow!("no disk"))), "a key | mend a key");
    assert!(both(Ok(()), || Ok(())).is_ok());
}
