use super::*;

/// Expands short stanzas (`a 1`, or `a 1\nDepends: b`) to complete ones.
pub(in crate::debian) fn packages(stanzas: &[&str]) -> String {
    let mut text = String::new();
    for stanza in stanzas {
        let (head, rest) = stanza.split_once('\n').unwrap_or((stanza, ""));
        let (name, version) = head.split_once(' ').unwrap_or((head, "1"));
        text += &format!("Package: {name}\nVersion: {version}\n");
        if !rest.contains("Architecture:") {
            text += "Architecture: amd64\n";
        }
        text += &format!("Filename: pool/{name}_{version}.deb\nSize: 3\nSHA256: {}\n{rest}\n\n", "ab".repeat(32));
    }
    text
}

/// An index of one archive.
pub(in crate::debian) fn index<'a>(label: &'a str, text: &'a str) -> Index<'a> {
    Index::parse(&[Archive { name: "debian", suite: "trixie", priority: 500, files: vec![(label, text)] }], "amd64")
        .unwrap()
}

#[test]
fn sorts_versions_and_filters_architectures() {
    let text =
        packages(&["b 1.9", "b 1.10", "b 1.10\nArchitecture: all", "b 2\nArchitecture: arm64", "a\nArchitecture: all"]);
    let index = self::index("Packages", &text);
    let versions: Vec<_> = index.versions("b").iter().map(|found| (found.version, found.architecture)).collect();
    assert_eq!(versions, [("1.10", "amd64"), ("1.9", "amd64")]);
    assert_eq!(index.names().collect::<Vec<_>>(), ["a", "b"]);
}

/// 100 MB of small packages took 0.9 GB of memory, 100 MB of provided names 3 GB.
#[test]
fn more_packages_names_and_relations_than_any_archive_has_are_refused() {
    let parse = |stanzas: &[&str]| {
        let text = packages(stanzas);
        let archive = Archive { name: "debian", suite: "trixie", priority: 500, files: vec![("Packages", &text)] };
        Index::parse_within(&[archive], "amd64", 2, 3).map(|index| index.names().count())
    };
    assert_eq!(parse(&["a", "b\nProvides: x, y, z"]), Ok(2));
    // Those of other architectures are passed over; malformed ones are not.
    assert_eq!(parse(&["a", "b", "c\nArchitecture: arm64"]), Ok(2));
    assert_eq!(parse(&["a", "b", "c\nProvides: ("]).unwrap_err().to_string(), "it has more than 2 packages");
    let error = parse(&["a\nProvides: x, y", "b\nProvides: x, y"]).unwrap_err();
    assert_eq!(error.to_string(), "it has more than 3 provided names");

    let field = format!("a\nProvides: {}b", "b, ".repeat(RELATIONS / 3 + 1));
    let text = packages(&[&field]);
    let index = self::index("Packages", &text);
    assert_eq!(index.omitted()[0].reason, "Packages: Provides of a 1 has more than 256 KiB");
}

#[test]
fn ranks_providers_by_priority_then_name() {
    let text = packages(&[
        "z\nPriority: required\nProvides: awk, x (= 2)",
        "b\nProvides: awk",
        "a\nPriority: extra\nProvides: awk",
    ]);
    let index = self::index("Packages", &text);
    assert_eq!(index.providers("awk").map(|found| found.package.name).collect::<Vec<_>>(), ["z", "a", "b"]);
    assert_eq!(index.providers("x").next().and_then(|found| found.version), Some("2"));
    assert_eq!(index.providers("y").count(), 0);
}

#[test]
fn malformed_stanzas_are_left_out() {
    let (good, other) = (packages(&["a"]), packages(&["z"]));
    let cases = [
        good.replace("Size: 3", "Size: three"),
        good.replace("SHA256", "SHA1"),
        good.replace("pool/", "../"),
        good.replace("Package: a\n", ""),
        good.replace("Version: 1", "no field"),
        good.replace("Version: 1", "Version: 1_2"),
        packages(&["a\nProvides: b c"]),
        packages(&["a\nDepends: b (>= 1"]),
    ];
    let reason = |text: &String| {
        let text = [text, &other].map(String::as_str).concat();
        let index = self::index("P", &text);
        assert_eq!(index.names().collect::<Vec<_>>(), ["z"]);
        assert_eq!(index.omitted().len(), 1);
        index.omitted()[0].reason.clone()
    };
    insta::assert_snapshot!(cases.iter().map(reason).collect::<Vec<_>>().join("\n"), @"
        P: package a: the field Size is missing or malformed
        P: package a: the field SHA256 is missing or malformed
        P: package a: the field Filename is missing or malformed
        P: a stanza has no field Package; its first field is `Version: 1`
        P: the line `no field` is not a field
        P: package a: the field Version is missing or malformed
        P: Provides of a 1: `b c` is not a relation to a package: unexpected text after the name
        P: Depends of a 1: `b (>= 1` is not a relation to a package: `)` is missing after its version
        ");
    let foreign = packages(&["a 1_2\nArchitecture: arm64"]);
    assert_eq!(self::index("P", &foreign).omitted(), []);
}
