use std::io::Write as _;

use sealift_deployment::ui::Ui;

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(&place.path().join("a/store")).unwrap();
    (place, store)
}

fn key(name: &str) -> Key {
    Key::builder("test/1").field("name", name).finish()
}

fn put_layer(store: &Store, name: &str, bytes: &[u8]) -> Digest {
    let mut blob = store.temporary().unwrap();
    blob.write_all(bytes).unwrap();
    let digest = Digest::of(bytes);
    store.put_layer(&key(name), blob, &digest, &name).unwrap();
    digest
}

fn check(store: &Store, repair: bool) -> Report {
    let ui = Ui::plain(io::sink());
    store.check(repair, &ui.phase("Checking", 0)).unwrap()
}

fn tmp_is_empty(store: &Store) -> bool {
    files::sorted_dir(&store.root.join(TMP)).unwrap().is_empty()
}

#[test]
fn the_option_precedes_the_variable_and_the_cache_folder() {
    let machine = Machine::of(Path::new("/"), &[("SEALIFT_STORE", "/s"), ("HOME", "/h")]);
    assert_eq!(Store::place(Some(Path::new("o")), &machine).unwrap(), Path::new("o"));
    assert_eq!(Store::place(None, &machine).unwrap(), Path::new("/s"));
    let machine = Machine::of(Path::new("/"), &[("HOME", "/h")]);
    assert_eq!(Store::place(None, &machine).unwrap(), Path::new("/h/.cache/sealift"));
    assert!(Store::place(None, &Machine::of(Path::new("/"), &[])).is_err());
}

#[test]
fn artifacts_are_verified_when_they_are_added() {
    let (_place, store) = store();
    let digest = Digest::of(b"abc");
    assert_eq!(store.artifact(&digest, 3), None);
    let error = store.add_artifact("a.deb", &b"abd"[..], &digest).unwrap_err();
    assert_eq!(Failure::within(&error).unwrap().kind, sealift_deployment::failure::Kind::Verification);
    assert_eq!(store.artifact(&digest, 3), None);
    let path = store.add_artifact("a.deb", &b"abc"[..], &digest).unwrap();
    assert_eq!(store.artifact(&digest, 3), Some(path));
    assert_eq!(store.artifact(&digest, 4), None, "a size that differs");
    assert!(tmp_is_empty(&store));
}

#[test]
fn a_layer_without_its_blob_is_missing() {
    let (_place, store) = store();
    assert_eq!(store.layer::<String>(&key("one")), None);
    let digest = put_layer(&store, "one", b"blob");
    assert_eq!(store.layer(&key("one")), Some("one".to_owned()));
    assert_eq!(store.layer::<u32>(&key("one")), None, "a record of another shape");
    fs_err::write(store.blob_path(&digest), "blo").unwrap();
    assert_eq!(store.layer::<String>(&key("one")), None);
}

#[test]
fn failed_derived_data_is_not_stored() {
    let (_place, store) = store();
    let failed = store.put_derived(&key("one"), |path| {
        fs_err::create_dir(path)?;
        anyhow::bail!("no")
    });
    assert!(failed.is_err() && tmp_is_empty(&store));
    assert_eq!(store.derived(&key("one")), None);
    for text in ["first", "second"] {
        let path = store.put_derived(&key("one"), |path| {
            fs_err::create_dir(path)?;
            Ok(fs_err::write(path.join("f"), text)?)
        });
        assert_eq!(store.derived(&key("one")), Some(path.unwrap()));
    }
    let data = store.derived(&key("one")).unwrap();
    assert_eq!(fs_err::read_to_string(data.join("f")).unwrap(), "first", "the first result is kept");
    assert!(tmp_is_empty(&store));
}

#[test]
fn files_of_killed_processes_are_removed_when_no_other_process_uses_the_store() {
    let (_place, store) = store();
    let root = store.root.clone();
    let (left, half) = (root.join(TMP).join("left"), store.partial(&Digest::of(b"abc")));
    fs_err::write(&left, "x").unwrap();
    fs_err::write(&half, "a").unwrap();
    let other = Store::open(&root).unwrap();
    assert!(left.exists(), "the other process may use it");
    drop((store, other));
    let _store = Store::open(&root).unwrap();
    assert!(!left.exists());
    assert!(half.exists(), "downloads can be resumed");
}

#[test]
fn cleaning_needs_exclusive_use() {
    let (_place, store) = store();
    put_layer(&store, "one", b"blob");
    let other = Store::open(&store.root).unwrap();
    let error = store.clean().unwrap_err();
    assert!(error.to_string().ends_with("is in use by another process"), "{error}");
    drop(other);
    assert_eq!(store.clean().unwrap().count, 2);
    assert_eq!(store.size().unwrap(), Usages::default());
    // It is shared again.
    let _third = Store::open(&store.root).unwrap();
}

#[test]
fn check_finds_and_repairs() {
    let (_place, store) = store();
    store.add_artifact("a", &b"abc"[..], &Digest::of(b"abc")).unwrap();
    let bad = store.add_artifact("b", &b"abcd"[..], &Digest::of(b"abcd")).unwrap();
    put_layer(&store, "good", b"good");
    let blob = put_layer(&store, "bad", b"bad");
    store.put_derived(&key("kept"), |path| Ok(fs_err::write(path, "kept")?)).unwrap();
    let tree = store.put_derived(&key("tree"), |path| {
        fs_err::create_dir(path)?;
        Ok(fs_err::os::unix::fs::symlink("there", path.join("link"))?)
    });
    assert_eq!(check(&store, true).damaged, []);

    fs_err::write(&bad, "abce").unwrap();
    fs_err::write(store.blob_path(&blob), "bed").unwrap();
    fs_err::write(store.layer_path(&key("torn")), "{").unwrap();
    fs_err::write(store.root.join(ARTIFACTS).join("README"), "").unwrap();
    fs_err::write(tree.unwrap().join("more"), "").unwrap();
    let found = check(&store, false);
    assert_eq!(found.damaged.len(), 6, "{found:#?}");
    assert_eq!(check(&store, true), found, "looking changed nothing");
    assert!(check(&store, false).damaged.is_empty());
    assert_eq!(store.layer(&key("good")), Some("good".to_owned()));
    assert!(store.derived(&key("kept")).is_some() && store.derived(&key("tree")).is_none());
}

/// A folder with another layer under the right key poisoned the store for later builds.
#[test]
fn layers_of_other_builds_never_outlive_the_build_nor_do_those_on_top_of_them() {
    use sealift_layers::codec::Codec;
    use sealift_layers::tree::Tree;

    let ((place, store), (_other_place, other)) = (self::store(), self::store());
    let write = |store: &Store, name: &str, is_borrowed| {
        let writer = layer::LayerWriter { store, codec: Codec::Gzip, epoch: 0, jobs: 1, is_borrowed };
        writer.write(&key(name), Tree::new(), layer::Remarks::default(), None).unwrap()
    };
    let made = write(&other, "base", false);
    let folder = tempfile::tempdir().unwrap();
    other.export_layer(&key("base"), folder.path()).unwrap();

    assert!(store.import_layer(&key("base"), folder.path()).unwrap());
    assert!(!store.import_layer(&key("none"), folder.path()).unwrap());
    assert!(store.is_borrowed(&key("base")));
    assert_eq!(store.finished_layer(&key("base")).unwrap().layer, made.layer);
    write(&store, "top", true);
    assert!(store.is_borrowed(&key("top")) && store.listing(&key("top")).unwrap().is_empty());
    store.export_layer(&key("top"), folder.path()).unwrap();
    assert_eq!(check(&store, false).damaged, []);

    drop(store);
    let later = Store::open(&place.path().join("a/store")).unwrap();
    assert!(["base", "top"].iter().all(|name| later.finished_layer(&key(name)).is_none()));
    let kept = |folder: &str| files::sorted_dir(&later.root.join(folder)).unwrap().len();
    assert_eq!((kept(LAYERS), kept(DERIVED)), (0, 0));
    assert!(tmp_is_empty(&later));
}

/// A record that was copied over another one was used: its own sum is right.
#[test]
fn what_belongs_to_another_key_is_not_used_and_is_reported() {
    let (_place, store) = store();
    put_layer(&store, "one", b"first");
    put_layer(&store, "two", b"second");
    fs_err::copy(store.layer_path(&key("one")), store.layer_path(&key("two"))).unwrap();
    assert_eq!(store.layer::<serde_json::Value>(&key("two")), None);
    let write = |text: &'static str| move |path: &Path| Ok(fs_err::write(path, text)?);
    store.put_derived(&key("three"), write("third")).unwrap();
    store.put_derived(&key("four"), write("fourth")).unwrap();
    let derived = |name: &str| store.root().join(DERIVED).join(key(name).hex());
    for file in ["data", "digest"] {
        fs_err::copy(derived("three").join(file), derived("four").join(file)).unwrap();
    }
    let reasons: Vec<String> = check(&store, false).damaged.into_iter().map(|damaged| damaged.reason).collect();
    assert_eq!(reasons, ["it is the result of another key", "is not a layer's record: it is that of another layer"]);
    let reopened = Store::open(store.root()).unwrap();
    assert_eq!(reopened.derived(&key("four")), None);
    assert!(reopened.derived(&key("three")).is_some());
}

/// Stores of earlier versions have records and digests without keys.
#[test]
fn what_earlier_versions_kept_is_used() {
    let (_place, store) = store();
    let blob = put_layer(&store, "one", b"first");
    let record = serde_json::json!({ "title": "one" });
    let old = LayerEntry::new(None, blob, 5, record.clone()).unwrap();
    let text = serde_json::to_string(&old).unwrap();
    assert!(!text.contains("key"), "{text}");
    fs_err::write(store.layer_path(&key("one")), text).unwrap();
    assert_eq!(store.layer::<serde_json::Value>(&key("one")), Some(record));
    store.put_derived(&key("two"), |path| Ok(fs_err::write(path, "second")?)).unwrap();
    let digest = store.root().join(DERIVED).join(key("two").hex()).join("digest");
    let text = fs_err::read_to_string(&digest).unwrap();
    fs_err::write(&digest, text.split(' ').next().unwrap()).unwrap();
    assert_eq!(check(&store, false).damaged, []);
}
