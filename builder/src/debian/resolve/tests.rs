use proptest::prelude::*;

use super::*;
use crate::debian::index::tests::packages;

/// Resolves with an index of short stanzas. Formats the result, or the error and its hint, line by line.
fn outcome(stanzas: &[&str], roots: &[&str], exclude: &[&str]) -> String {
    let text = packages(stanzas);
    let index = crate::debian::index::tests::index("Packages", &text);
    let roots: Vec<Root> = roots.iter().map(|name| Root { name, by: "image web" }).collect();
    match resolve(&index, &roots, &exclude.iter().copied().collect()) {
        Ok(resolution) => lines(&resolution),
        Err(error) => {
            let hint = Failure::within(&error).and_then(|failure| failure.hint.clone()).unwrap_or_default();
            format!("{error:#}\nhint: {hint}")
        }
    }
}

fn lines(resolution: &Resolution) -> String {
    let mut lines: Vec<String> = resolution
        .packages
        .values()
        .map(|chosen| format!("{} {}: {}", chosen.package.name, chosen.package.version, chosen.reason))
        .collect();
    for (name, by) in &resolution.excluded {
        lines.push(format!("excluded {name}: {}", by.iter().copied().collect::<Vec<_>>().join(", ")));
    }
    lines.extend(resolution.unused_excludes.iter().map(|name| format!("unused {name}")));
    lines.join("\n")
}

#[test]
fn follows_dependencies_to_the_highest_version() {
    insta::assert_snapshot!(
        outcome(&["a\nDepends: b (>= 2), c", "b 1", "b 3", "b 2", "c\nPre-Depends: d\nDepends: a", "d", "e"], &["a"], &[]),
        @"
    a 1: requested by image web
    b 3: dependency of a
    c 1: dependency of a
    d 1: dependency of c
    "
    );
}

#[test]
fn necessary_packages_are_chosen_before_alternatives() {
    // `m` is the first alternative, but `z` depends on `n` anyway.
    insta::assert_snapshot!(
        outcome(&["a\nDepends: m | n, y", "m", "n", "y\nDepends: z", "z\nDepends: n"], &["a"], &[]),
        @"
    a 1: requested by image web
    n 1: dependency of z
    y 1: dependency of a
    z 1: dependency of y
    "
    );
    insta::assert_snapshot!(outcome(&["a\nDepends: x | m (>= 2) | n", "m", "n"], &["a"], &[]), @"
    a 1: requested by image web
    n 1: third alternative of `x | m (>= 2) | n` for a
    ");
}

#[test]
fn real_packages_come_before_providers() {
    let stanzas = ["a\nDepends: v", "b\nDepends: w", "p\nProvides: v, w", "q\nPriority: standard\nProvides: w", "v"];
    insta::assert_snapshot!(outcome(&stanzas, &["a", "b"], &[]), @"
    a 1: requested by image web
    b 1: requested by image web
    q 1: provides w, a dependency of b
    v 1: dependency of a
    ");
    // A provider that is chosen already satisfies the dependency.
    insta::assert_snapshot!(outcome(&stanzas, &["a", "b", "p"], &[]), @"
    a 1: requested by image web
    b 1: requested by image web
    p 1: requested by image web
    ");
}

#[test]
fn provided_versions_count() {
    let stanzas = ["a\nDepends: v (>= 2)", "p\nProvides: v", "q\nProvides: v (= 1)", "r\nProvides: v (= 2)"];
    insta::assert_snapshot!(outcome(&stanzas, &["a"], &[]), @"
    a 1: requested by image web
    r 1: provides v, a dependency of a
    ");
}

#[test]
fn excluded_packages_count_as_chosen() {
    let stanzas = [
        "a\nDepends: debconf (>= 0.5) | debconf-2.0, awk, c",
        "awk-one\nProvides: awk",
        "c\nDepends: debconf, e",
        "cdebconf\nProvides: debconf-2.0",
        "debconf\nProvides: debconf-2.0\nDepends: perl",
        "e\nDepends: awk-one",
        "perl",
    ];
    insta::assert_snapshot!(outcome(&stanzas, &["a"], &["debconf", "awk", "perl", "typo"]), @"
    a 1: requested by image web
    awk-one 1: dependency of e
    c 1: dependency of a
    e 1: dependency of c
    excluded debconf: a, c
    unused awk
    unused perl
    unused typo
    ");
    // Excluding a package that provides a virtual one satisfies that, too.
    insta::assert_snapshot!(outcome(&stanzas, &["a"], &["awk-one", "debconf"]), @"
    a 1: requested by image web
    c 1: dependency of a
    e 1: dependency of c
    excluded awk-one: a, e
    excluded debconf: a, c
    ");
}

#[test]
fn errors_explain_what_is_missing() {
    let stanzas = [
        "python3.13",
        "python3.14",
        "web\nDepends: lib",
        "lib\nDepends: old (>= 2) | gone | pythn3.13",
        "old 1.4",
        "mta-one\nProvides: mta",
        "late\nDepends: lib2 (<< 2), wants-new",
        "lib2 1",
        "lib2 2",
        "wants-new\nDepends: lib2 (>= 2)",
        "x86\nDepends: old:i386",
    ];
    let outcome = |roots: &[&str], exclude: &[&str]| outcome(&stanzas, roots, exclude);
    insta::assert_snapshot!(outcome(&["python3.15"], &[]), @"
    image web requests the package python3.15, which is not in the index
    hint: did you mean python3.13 or python3.14?
    ");
    insta::assert_snapshot!(outcome(&["mta"], &[]), @"
    image web requests the package mta, which is not in the index
    hint: it is a virtual package: request one that provides it, mta-one
    ");
    insta::assert_snapshot!(outcome(&["nothing-like-it"], &[]), @"
    image web requests the package nothing-like-it, which is not in the index
    hint: check the name, and `suite` and `components` in [debian] of the profile
    ");
    insta::assert_snapshot!(outcome(&["old"], &["old"]), @"
    image web requests the package old, which the profile excludes
    hint: remove it from [debian.exclude], or from the packages
    ");
    insta::assert_snapshot!(outcome(&["web"], &[]), @"
    no package satisfies `old (>= 2) | gone | pythn3.13`, a dependency of lib (image web requests web > lib)
    hint: the index has old 1.4; names similar to pythn3.13: python3.13 or python3.14; if the image works without it, add old to [debian.exclude]
    ");
    insta::assert_snapshot!(outcome(&["late"], &[]), @"
    no package satisfies `lib2 (>= 2)`, a dependency of wants-new (image web requests late > wants-new)
    hint: lib2 1 is already chosen (dependency of late); if the image works without it, add lib2 to [debian.exclude]
    ");
    insta::assert_snapshot!(outcome(&["x86"], &[]), @"
    no package satisfies `old:i386`, a dependency of x86 (image web requests x86)
    hint: the index has old 1.4; if the image works without it, add old to [debian.exclude]
    ");
}

#[test]
fn conflicts_are_found_at_the_end() {
    let stanzas = [
        "a\nDepends: b, c",
        "b\nConflicts: v, b\nProvides: v",
        "c\nProvides: v\nBreaks: a (<< 2), a (<< 1)",
        "d\nConflicts: v (<< 3), gone",
        "e\nProvides: v (= 2)",
    ];
    insta::assert_snapshot!(outcome(&stanzas, &["a"], &[]), @"
    b conflicts with `v`, but c 1 is chosen, too (image web requests a > b; image web requests a > c)
    c breaks `a (<< 2)`, but a 1 is chosen, too (image web requests a > c; image web requests a)
    hint: exclude one of them, or request another alternative by name
    ");
    insta::assert_snapshot!(outcome(&stanzas, &["d", "e"], &[]), @"
    d conflicts with `v (<< 3)`, but e 1 is chosen, too (image web requests d; image web requests e)
    hint: exclude one of them, or request another alternative by name
    ");
    insta::assert_snapshot!(outcome(&stanzas, &["b", "d"], &[]), @"
    b 1: requested by image web
    d 1: requested by image web
    ");
}

#[test]
fn chains_start_with_a_requested_package() {
    let text = packages(&["a\nDepends: b", "b\nDepends: c", "c"]);
    let index = crate::debian::index::tests::index("Packages", &text);
    let resolution = resolve(&index, &[Root { name: "a", by: "image web" }], &BTreeSet::new()).unwrap();
    assert_eq!(resolution.chain("c"), ["a", "b", "c"]);
    assert!(resolution.chain("d").is_empty());
}

/// An index of ten packages with random dependencies among them, all of which can be satisfied.
fn universe() -> impl Strategy<Value = String> {
    let group = prop::collection::vec(0..10_u8, 1..3);
    prop::collection::vec(prop::collection::vec(group, 0..3), 10).prop_map(|all| {
        let stanzas: Vec<String> = all
            .iter()
            .enumerate()
            .map(|(name, groups)| {
                let groups: Vec<String> = groups
                    .iter()
                    .map(|group| group.iter().map(|name| format!("p{name}")).collect::<Vec<_>>().join(" | "))
                    .collect();
                format!("p{name}\nDepends: {}", groups.join(", "))
            })
            .collect();
        packages(&stanzas.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

proptest! {
    #[test]
    fn resolutions_are_closed_connected_and_independent_of_order(
        text in universe(),
        roots in prop::collection::vec(0..10_usize, 1..4),
        exclude in prop::collection::btree_set(5..10_usize, 0..2),
    ) {
        let names: Vec<String> = (0..10).map(|name| format!("p{name}")).collect();
        let index = crate::debian::index::tests::index("Packages", &text);
        let exclude: BTreeSet<&str> = exclude.into_iter().map(|name| names[name].as_str()).collect();
        let mut roots: Vec<Root> = roots
            .iter()
            .map(|name| Root { name: &names[*name], by: "x" })
            .filter(|root| !exclude.contains(root.name))
            .collect();
        let resolution = resolve(&index, &roots, &exclude).unwrap();
        for (name, chosen) in &resolution.packages {
            prop_assert!(!exclude.contains(name));
            prop_assert!(roots.iter().any(|root| root.name == resolution.chain(name)[0]));
            for group in index.relations(chosen.package, Field::Depends).unwrap() {
                let holds = |name: &str| resolution.packages.contains_key(name) || exclude.contains(name);
                prop_assert!(group.atoms.iter().any(|atom| holds(atom.name)), "{} of {name}", group.text);
            }
        }
        roots.reverse();
        prop_assert_eq!(resolution, resolve(&index, &roots, &exclude).unwrap());
    }
}

#[test]
fn a_malformed_package_is_an_error_if_it_is_needed() {
    let text = packages(&["bad 1_2", "user\nDepends: bad", "free"]);
    let index = crate::debian::index::tests::index("P", &text);
    let outcome = |name| match resolve(&index, &[Root { name, by: "the image i" }], &BTreeSet::new()) {
        Ok(_) => format!("{name} is chosen"),
        Err(error) => {
            let hint = Failure::within(&error).and_then(|failure| failure.hint.clone()).unwrap_or_default();
            format!("{error:#}\nhint: `{hint}`")
        }
    };
    insta::assert_snapshot!(["free", "bad", "user"].map(outcome).join("\n"), @"
    free is chosen
    the image i requests the package bad: its stanza is malformed in the package index (P: package bad: the field Version is missing or malformed)
    hint: ``
    no package satisfies `bad`, a dependency of user (the image i requests user)
    hint: `bad: its stanza is malformed in the package index (P: package bad: the field Version is missing or malformed); if the image works without it, add bad to [debian.exclude]`
    ");
}
