use std::num::NonZero;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::digest::Hasher;
use crate::tree::{Entry, Tree, TreePath};

/// A store path name with a hash made from `number`.
fn named(number: usize, name: &str) -> String {
    let mut hash = vec![b'0'; HASH];
    let mut rest = number;
    for digit in hash.iter_mut().rev() {
        *digit = hash::DIGITS[rest % 32];
        rest /= 32;
    }
    format!("{}-{name}", String::from_utf8(hash).unwrap())
}

fn path(size: u64, references: &[&String]) -> StorePath {
    let references = references.iter().map(|name| (*name).clone()).collect();
    StorePath { nar_hash: Digest::of(b""), nar_size: size, references }
}

const EMPTY: &str = "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73";

fn info(size: u64, references: &[&str]) -> serde_json::Value {
    json!({ "narHash": EMPTY, "narSize": size, "references": references, "deriver": null })
}

#[test]
fn documents_of_all_nix_versions_are_parsed() {
    let (one, two) = (named(1, "one"), named(2, "two-1.0"));
    let full = |name: &str| format!("/nix/store/{name}");
    let with_path = |name: &str, info: serde_json::Value| {
        let mut info = info;
        info["path"] = full(name).into();
        info
    };
    let list = json!([with_path(&two, info(7, &[&full(&one), &full(&two)])), with_path(&one, info(3, &[])),]);
    let expected = Closure([(one.clone(), path(3, &[])), (two.clone(), path(7, &[&one]))].into());
    let documents = [
        list.clone(),
        json!({ full(&one): info(3, &[]), full(&two): info(7, &[&full(&one)]) }),
        json!({ "version": 2, "storeDir": "/nix/store", "info": { &one: info(3, &[]), &two: info(7, &[&one]) } }),
        json!({ "closure": list, "builder": "x", "config": {} }),
    ];
    for document in documents {
        assert_eq!(Closure::parse(document.to_string().as_bytes()).unwrap(), expected, "{document}");
    }
}

/// The output of Nix 2.8.0, 2.26.3 and 2.34.8 (with `--json-format` 1 and 2) for one closure, and the `.attrs.json` that 2.8.0
/// and 2.34.8 wrote for it.
#[test]
fn real_documents_are_parsed() {
    let (tool, greeting) = ("2i0l1qckz35xwwy9x02xplkninp4nz15-tool-1.0", "ybf7by4xvcgjhwilsg87rqz9di79bify-greeting");
    let store_path = |nar_hash: &str, nar_size, references: &[&str]| {
        let references = references.iter().map(|name| (*name).to_owned()).collect();
        StorePath { nar_hash: nar_hash.parse().unwrap(), nar_size, references }
    };
    let one = store_path("5cf95ea074befb89b8c0fe252b80458d9be41b02c19a16ce98f2f696293ae3eb", 168, &[greeting]);
    let other = store_path("1c37d01af40be2e80691de3cc3df44377a699afbb17c68f080964b2fd071fc13", 120, &[]);
    let expected = Closure([(tool.to_owned(), one), (greeting.to_owned(), other)].into());
    for document in include_str!("closure.jsonl").lines() {
        assert_eq!(Closure::parse(document.as_bytes()).unwrap(), expected, "{document}");
    }
}

#[test]
fn invalid_documents_are_rejected() {
    let (one, two) = (named(1, "one"), named(2, "two"));
    let documents = [
        json!([]),
        json!("x"),
        json!([{ "narSize": 1 }]),
        json!({ "/usr/bin/x": info(1, &[]) }),
        json!({ &one: { "narHash": "md5:1", "narSize": 1, "references": [] } }),
        json!({ &one: null }),
        json!({ &one: info(1, &["../x"]) }),
        json!({ &one: info(1, &[&two]) }),
    ];
    let errors: Vec<String> = documents
        .iter()
        .map(|document| Closure::parse(document.to_string().as_bytes()).unwrap_err().to_string())
        .collect();
    insta::assert_snapshot!(errors.join("\n"), @"
    it has no store paths
    it has no list of store paths
    an entry has no `path`
    `/usr/bin/x` is not a path of the Nix store /nix/store
    00000000000000000000000000000001-one: it has no SHA-256 as `narHash`
    00000000000000000000000000000001-one: it is not in the Nix store
    `../x` is not a path of the Nix store /nix/store
    /nix/store/00000000000000000000000000000001-one refers to /nix/store/00000000000000000000000000000002-two, which is not in the closure
    ");
}

/// The expected digest is the output of `nix-hash --type sha256`. `a-b` comes before `a/file` in the tree, but after `a` in
/// the NAR.
#[test]
fn the_digest_of_a_nar_is_that_of_nix_hash() {
    let origin = Arc::from("test");
    let mut tree = Tree::new();
    for (path, entry) in [
        ("nix/store/x", Entry::directory(0o555, &origin)),
        ("nix/store/x/a", Entry::directory(0o555, &origin)),
        ("nix/store/x/a/file", Entry::file("hello\n", 0o444, &origin)),
        ("nix/store/x/a-b", Entry::symlink("a/file", &origin)),
        ("nix/store/x/run", Entry::file("#!/bin/sh\n", 0o555, &origin)),
        ("nix/store/y", Entry::file("another", 0o444, &origin)),
    ] {
        tree.insert(TreePath::new(path).unwrap(), entry);
    }
    let mut hasher = Hasher::default();
    nar::write(&tree, &TreePath::new("nix/store/x").unwrap(), &mut hasher).unwrap();
    insta::assert_snapshot!(hasher.finish(), @"sha256:fba35f7106a895198e07fe320bafa3964a0ac7e479d2acba605fbf9c7d847093");
    assert!(nar::write(&tree, &TreePath::new("nix/store/z").unwrap(), std::io::sink()).is_err());
}

#[test]
fn popular_paths_are_at_the_bottom_and_roots_on_top() {
    let names: Vec<String> = ["glibc-2.40", "bash-5.2", "zlib-1.3", "tool-1", "config"]
        .iter()
        .enumerate()
        .map(|(n, s)| named(n, s))
        .collect();
    let [glibc, bash, zlib, tool, config] = &names[..] else { unreachable!() };
    let closure = Closure(
        [
            (glibc.clone(), path(40_000_000, &[])),
            (bash.clone(), path(2_000_000, &[glibc])),
            (zlib.clone(), path(100_000, &[glibc])),
            (tool.clone(), path(9_000_000, &[bash, zlib])),
            (config.clone(), path(500, &[bash])),
        ]
        .into(),
    );
    let shown = |budget| {
        let layers = pack(&closure, NonZero::new(budget).unwrap());
        let line = |layer: &Vec<&str>| layer.iter().map(|name| without_hash(name)).collect::<Vec<_>>().join(" ");
        layers.iter().map(line).collect::<Vec<_>>().join(" | ")
    };
    let all: Vec<String> = [1, 2, 3, 4, 20].iter().map(|budget| format!("{budget}: {}", shown(*budget))).collect();
    insta::assert_snapshot!(all.join("\n"), @"
    1: glibc-2.40 bash-5.2 zlib-1.3 tool-1 config
    2: glibc-2.40 bash-5.2 zlib-1.3 | tool-1 config
    3: glibc-2.40 | bash-5.2 zlib-1.3 | tool-1 config
    4: glibc-2.40 | bash-5.2 zlib-1.3 | config | tool-1
    20: glibc-2.40 | bash-5.2 | zlib-1.3 | config | tool-1
    ");
}

/// A closure whose paths refer to earlier ones. Names and sizes occur more than once.
fn closures() -> impl Strategy<Value = Vec<(String, StorePath)>> {
    let path = (0..4_usize, 0..200_u64, prop::collection::vec(any::<prop::sample::Index>(), 0..4));
    prop::collection::vec(path, 1..60).prop_map(|paths| {
        let mut all: Vec<(String, StorePath)> = Vec::new();
        for (number, (name, size, references)) in paths.into_iter().enumerate() {
            let names: BTreeSet<String> = match all.len() {
                0 => BTreeSet::new(),
                count => references.iter().map(|index| all[index.index(count)].0.clone()).collect(),
            };
            let references: Vec<&String> = names.iter().collect();
            let name = named(number * 7919 % 1009, ["lib-1", "lib-2", "tool-1", "source"][name]);
            all.push((name, super::tests::path(size, &references)));
        }
        all
    })
}

fn layers(paths: &[(String, StorePath)], budget: usize) -> Vec<Vec<String>> {
    let closure = Closure(paths.iter().cloned().collect());
    let layers = pack(&closure, NonZero::new(budget).unwrap());
    layers.into_iter().map(|layer| layer.into_iter().map(str::to_owned).collect()).collect()
}

proptest! {
    #[test]
    fn every_path_is_in_one_layer_within_the_budget(paths in closures(), budget in 1..40_usize) {
        let layers = layers(&paths, budget);
        prop_assert!(layers.len() <= budget && layers.iter().all(|layer| !layer.is_empty()));
        let mut all: Vec<&String> = layers.iter().flatten().collect();
        all.sort();
        let mut expected: Vec<&String> = paths.iter().map(|(name, _)| name).collect();
        expected.sort();
        prop_assert_eq!(all, expected);
    }

    #[test]
    fn layers_are_sorted_by_popularity(paths in closures(), budget in 1..40_usize) {
        let reaches = |from: &String, to: &String| {
            let mut ahead = vec![from.clone()];
            while let Some(at) = ahead.pop() {
                if at == *to {
                    return true;
                }
                let path = &paths.iter().find(|(name, _)| *name == at).unwrap().1;
                ahead.extend(path.references.iter().cloned());
            }
            false
        };
        let least = |layer: &Vec<String>| {
            layer.iter().map(|to| paths.iter().filter(|(from, _)| reaches(from, to)).count()).min().unwrap()
        };
        let order: Vec<usize> = layers(&paths, budget).iter().map(least).collect();
        prop_assert!(order.is_sorted_by(|one, next| one >= next), "{order:?}");
    }

    #[test]
    fn the_order_of_the_document_does_not_matter(paths in closures(), budget in 1..40_usize, seed in any::<u64>()) {
        let document = |paths: &[(String, StorePath)]| {
            let list: Vec<_> = paths.iter().map(|(name, path)| {
                let references: Vec<&str> = path.references.iter().map(String::as_str).collect();
                let mut info = info(path.nar_size, &references);
                info["path"] = format!("/nix/store/{name}").into();
                info
            }).collect();
            let closure = Closure::parse(json!(list).to_string().as_bytes()).unwrap();
            format!("{:?}", pack(&closure, NonZero::new(budget).unwrap()))
        };
        let mut shuffled = paths.clone();
        shuffled.sort_by_key(|(name, _)| Digest::of(format!("{seed}{name}").as_bytes()));
        prop_assert_eq!(document(&paths), document(&shuffled));
    }

    #[test]
    fn one_more_path_makes_few_new_layers(
        paths in closures(),
        budget in 1..40_usize,
        size in 0..200_u64,
        references in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let names: BTreeSet<String> = references.iter().map(|index| paths[index.index(paths.len())].0.clone()).collect();
        let is_root = |name: &String| !paths.iter().any(|(_, path)| path.references.contains(name));
        let roots = names.iter().filter(|name| is_root(name)).count();
        let mut more = paths.clone();
        more.push((named(5000, "leaf-1"), path(size, &names.iter().collect::<Vec<_>>())));
        let old = layers(&paths, budget);
        let new = layers(&more, budget).into_iter().filter(|layer| !old.contains(layer)).count();
        prop_assert!(new <= 3 + roots, "{new} new layers for a leaf on {roots} roots");
    }
}
