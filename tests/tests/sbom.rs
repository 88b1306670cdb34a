//! `sealift sbom`: equal for a file and its unpacked folder, without dangling references, and valid for CycloneDX's schema.

#![allow(clippy::unwrap_used, reason = "a failed setup fails the test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use sealift_tests::bundle::{Bundle, sealift};
use sealift_tests::command::{self, report};
use sealift_tests::lab::{Lab, without_digests};
use serde_json::Value;

/// The bill of materials of a bundle in the lab.
fn bill(lab: &Lab, bundle: &str) -> String {
    let ended = lab.run(&["sbom", bundle]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{bundle}");
    ended.stdout
}

/// The references (`bom-ref`) of all components.
fn references(bill: &str) -> BTreeSet<String> {
    let bill: Value = serde_json::from_str(bill).unwrap();
    let components = bill["components"].as_array().unwrap().iter();
    components.map(|component| component["bom-ref"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn file_and_folder_have_the_same_bill_of_materials() {
    let lab = Lab::locked();
    lab.without_containers();
    for (profile, tar) in [("tiny", "out.tar"), ("bare", "out.tar.gz")] {
        let ended = lab.run(&["build", profile, "--output", tar]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        fs_err::create_dir(lab.path(profile).join("unpacked")).unwrap();
        let unpacked = format!("{profile}/unpacked");
        let status = Command::new("tar").args(["xf", tar, "-C", &unpacked]).current_dir(lab.path("")).status();
        assert!(status.unwrap().success());
        let first = bill(&lab, tar);
        assert_eq!(first, bill(&lab, tar), "{profile}: again");
        assert_eq!(first, bill(&lab, &unpacked), "{profile}: unpacked");
        let ended = lab.run(&["sbom", tar, "--output", "bill.json"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{}", ended.stderr);
        assert_eq!(first, fs_err::read_to_string(lab.path("bill.json")).unwrap(), "{profile}: to a file");

        // Everything in bundle.json, and the program.
        let manifest: Value = serde_json::from_str(&lab.run(&["inspect", tar, "--json"]).stdout).unwrap();
        let named = |list: &str, key: &str, kind: &str| -> Vec<String> {
            let entries = manifest[list].as_array().unwrap().iter();
            entries.map(|entry| format!("{kind}:{}", entry[key].as_str().unwrap())).collect()
        };
        let mut expected = vec!["program:sealift".to_owned()];
        expected.extend(named("images", "name", "image"));
        expected.extend(named("packages", "name", "deb"));
        expected.extend(named("wheels", "file", "wheel"));
        assert_eq!(references(&first), expected.into_iter().collect(), "{profile}");
        assert!(!first.contains(&lab.mirror.url()), "{profile}: no server is named");
    }
}

#[test]
fn other_files_have_no_bill_of_materials() {
    let lab = Lab::new();
    fs_err::write(lab.path("text"), "no tar\n".repeat(1000)).unwrap();
    // An image archive that is not a bundle.
    fs_err::create_dir(lab.path("images")).unwrap();
    fs_err::write(lab.path("images/index.json"), "{}").unwrap();
    let mut text = String::new();
    for arguments in [vec!["text"], vec!["home"], vec!["images"], vec!["nowhere.tar"]] {
        let ended = lab.run(&[&["sbom"], &arguments[..]].concat());
        text.push_str(&format!("--- sbom {}\n{}{}", arguments.join(" "), ended.stdout, ended.transcript()));
    }
    insta::assert_snapshot!("no-bill", without_digests(&text));
}

/// CycloneDX's Python library contains the schema; packageurl parses package URLs and formats them canonically.
const CHECK: &str = r#"
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

text = open(sys.argv[1]).read()
check = JsonStrictValidator(SchemaVersion.V1_6).validate_str
if error := check(text):
    sys.exit(f"the schema is violated: {error!r}")
bill = json.loads(text)
bill["components"][0]["type"] = "nonsense"
assert check(json.dumps(bill)), "the schema lets anything pass"
purls = [c["purl"] for c in bill["components"] if "purl" in c]
for purl in purls:
    canonical = PackageURL.from_string(purl).to_string()
    assert canonical == purl, f"{purl} is {canonical}"
# Trivy takes one operating system and drops packages without it; it matches source packages, which it reads from its own
# properties. Grype reads both from the package URL.
systems = [c for c in bill["components"] if c["type"] == "operating-system"]
assert len(systems) == 1 and systems[0]["name"] == "debian" and systems[0]["version"], systems
for c in bill["components"]:
    if c.get("purl", "").startswith("pkg:deb/"):
        found = PackageURL.from_string(c["purl"]).qualifiers
        assert found["distro"] == "debian-" + systems[0]["version"], found
        source, _, version = found.get("upstream", c["name"]).partition("@")
        trivy = {p["name"]: p["value"] for p in c.get("properties", [])}
        assert trivy.get("aquasecurity:trivy:SrcName", c["name"]) == source, c
        assert trivy.get("aquasecurity:trivy:SrcVersion", c["version"]) == (version or c["version"]), c
        if c["name"] == "libc6":
            assert source == "glibc", c
print(len(bill["components"]), "components,", len(purls), "package URLs")
"#;

/// Checks the bill of materials of a bundle with the schema and the purl library.
fn check(place: &Path, tar: &Path) -> Result<()> {
    let file = place.join("bill.json");
    command::output(sealift(place)?.arg("sbom").arg(tar).arg("--output").arg(&file))?;
    let text = command::output(Command::new(place.join("venv/bin/python")).args(["-c", CHECK]).arg(&file))?;
    report(&format!("{}: {}", tar.display(), text.trim()));
    ensure!(!text.starts_with("0 "), "{text}");
    Ok(())
}

#[test]
#[ignore = "needs the real bundle, and fetches CycloneDX's schemas with pip: tests/run"]
fn bills_of_materials_of_real_bundles_are_valid() -> Result<()> {
    let bundle = Bundle::build("standalone", |_, _| Ok(Vec::new()))?;
    let venv = bundle.place().join("venv");
    command::output(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let mut pip = command::limited(Duration::from_secs(300), "env");
    pip.arg(venv.join("bin/python")).args(["-m", "pip", "install", "--quiet"]);
    command::output(pip.args(["cyclonedx-python-lib[json-validation]", "packageurl-python"]))?;
    check(bundle.place(), &bundle.tar)?;
    // With crates, and without images.
    for profile in ["testing-garage", "bare-metal"] {
        let other = Bundle::build(profile, |_, _| Ok(Vec::new()))?;
        check(bundle.place(), &other.tar)?;
    }
    Ok(())
}
