use std::sync::Arc;

use tar::EntryType;

use super::*;
use crate::archive;
use crate::image::{Image, tests::spec};
use crate::layer;
use crate::tree::{Entry, SourceFile};

/// The files of an archive with one image of one file.
fn sample(change: impl Fn(&mut archive::Parts)) -> Tree {
    let mut tree = Tree::new();
    tree.insert(TreePath::new("a").unwrap(), Entry::file("hello", 0o644, &Arc::from("test")));
    let mut blob = Vec::new();
    let options = layer::Options { epoch: 9, file_digests: true, codec: Codec::Gzip, jobs: 1 };
    let layer = layer::write(tree, options, &mut blob).unwrap().layer;
    let image = Image::new(spec(layer)).unwrap();
    let mut parts = archive::documents(&[image], |_| Ok(blob.clone().into())).unwrap();
    change(&mut parts);
    let mut bytes = Vec::new();
    archive::write(parts, &Tree::new(), 9, |_| false, &mut bytes).unwrap();
    crate::tar::read(&Arc::new(SourceFile::Memory(bytes)), &Arc::from("bundle")).unwrap()
}

fn violations(files: &Tree) -> String {
    let found: Vec<String> =
        validate(files, Depth::Blobs, Limits::default()).violations.iter().map(ToString::to_string).collect();
    found.join("\n")
}

#[test]
fn a_valid_archive_has_no_violations() {
    let files = sample(|_| {});
    assert_eq!(violations(&files), "");
    assert_eq!(validate(&files, Depth::Documents, Limits::default()).images[0].name, "localhost/hello:1");
}

#[test]
fn a_changed_or_missing_blob_is_found() {
    let digests: Vec<Digest> = {
        let files = sample(|_| {});
        files.iter().filter_map(|(path, _)| path.as_str().strip_prefix("blobs/sha256/")?.parse().ok()).collect()
    };
    assert_eq!(digests.len(), 3);
    for digest in digests {
        // Changed after writing, since the writer itself checks blobs.
        let mut tampered = sample(|_| {});
        let path = TreePath::new(&blob_path(digest)).unwrap();
        let Kind::File(content) = &tampered.get(&path).unwrap().kind else { unreachable!() };
        let mut bytes = content.read().unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        tampered.insert(path, Entry::file(bytes, 0o644, &Arc::from("test")));
        for depth in [Depth::Digests, Depth::Blobs] {
            let found = validate(&tampered, depth, Limits::default()).violations.iter().any(|violation| {
                violation.file == blob_path(digest) && violation.message.starts_with("has the digest")
            });
            assert!(found, "{depth:?} {digest}");
        }
        let missing = sample(|parts| drop(parts.blobs.remove(&digest)));
        assert!(violations(&missing).contains("which does not exist"));
    }
}

#[test]
fn both_lists_of_images_must_agree() {
    let fewer = sample(|parts| parts.manifest = b"[]".to_vec());
    assert_eq!(violations(&fewer), "manifest.json: does not list the image localhost/hello:1 as index.json does");
}

#[test]
fn a_blob_that_no_image_names_is_found() {
    let extra = sample(|parts| drop(parts.blobs.insert(Digest::of(b"x"), "x".into())));
    assert!(violations(&extra).ends_with("does not belong to any image"));
}

/// A layer of others removed `/usr` of the layers below, and `verify` said that all was well.
#[test]
fn whiteouts_and_devices_in_layers_are_reported() {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, kind) in [("a", EntryType::Regular), (".wh.usr", EntryType::Regular), ("dev/sda", EntryType::Block)] {
        let mut header = ::tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &[][..]).unwrap();
    }
    let content = Content::from(builder.into_inner().unwrap());
    let found = unpacked(&content, Codec::None, 1 << 20).unwrap();
    assert_eq!(found.wrong, [""; 0]);
    assert_eq!(
        found.unusual,
        ["its tar has `.wh.usr`, which removes files of the layers below", "its tar has the device `dev/sda`"]
    );
}

/// A layer of 1 MB had `verify` decompress a terabyte.
#[test]
fn a_layer_that_unpacks_to_more_than_the_limit_is_not_read_to_its_end() {
    let files = sample(|_| {});
    let within = |unpacked| {
        let report = validate(&files, Depth::Blobs, Limits { unpacked: Some(unpacked) });
        report.violations.iter().map(|violation| format!("{}\n", violation.message)).collect::<String>()
    };
    assert_eq!(within(1 << 20), "");
    insta::assert_snapshot!(within(600), @"does not unpack: it has more than 600 bytes, or more than is left for the layers of the bundle; --limit-unpacked SIZE allows more");
}

#[test]
fn problems_are_reported_up_to_a_number() {
    let mut report = Report::default();
    (0..2 * PROBLEMS).for_each(|number| report.violation(&number.to_string(), "x"));
    assert_eq!(report.violations.len(), PROBLEMS);
}
