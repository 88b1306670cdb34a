//! `sealift sbom` and `licenses`: equal for a file and its unpacked folder, without dangling references, valid for the schemas
//! of CycloneDX, SPDX, in-toto and SLSA; licences and their texts, also where images do not have them.

#![allow(clippy::unwrap_used, reason = "a failed setup fails the test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use sealift_tests::archive::Archive;
use sealift_tests::bundle::{Bundle, sealift};
use sealift_tests::command::{self, report};
use sealift_tests::lab::{Lab, without_digests};
use sealift_tests::packed::Member;
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

/// A package and a wheel with licences and dependencies. The profile drops the copyright files from images.
fn licensed() -> Lab {
    let mut archive = Archive::default();
    let common = Member::file("./usr/share/common-licenses/GPL-2", "The second version.\n");
    archive.package("base-files").members.push(common);
    let copyright = "Format: https://example.org/copyright-format/1.0/\n\nFiles: *\nCopyright: 2026 Ann\nLicense: GPL-2+\n \
                     See /usr/share/common-licenses/GPL-2.\n\nFiles: face\nLicense: Own\n Do what you like.\n";
    archive.package("clock").members.push(Member::file("./usr/share/doc/clock/copyright", copyright));
    for (path, text) in &mut archive.wheel("greeter").files {
        if path.ends_with("METADATA") {
            text.push_str("License-Expression: MIT OR Apache-2.0\nRequires-Dist: words; python_version > '3'\n");
        }
    }
    let license = ("greeter-1.2.dist-info/licenses/LICENSE".to_owned(), "Greet freely.\n".to_owned());
    archive.wheel("greeter").files.push(license);
    let lab = Lab::with(&archive);
    lab.edit("tiny/profile.toml", "keep = [\"/usr/share/doc/*/copyright\"]", "keep = []");
    lab.lock();
    lab
}

#[test]
fn licences_and_their_texts_are_in_the_bundle_and_not_in_its_images() {
    let lab = licensed();
    let ended = lab.run(&["build", "tiny", "--layers", "none", "--output", "out.tar"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let ended = lab.run(&["licenses", "out.tar"]);
    let mut text = format!("{}{}", ended.stdout, ended.transcript());
    text.push_str(&lab.run(&["licenses", "out.tar", "--json"]).stdout);
    text.push_str(&lab.run(&["licenses", "out.tar", "--texts"]).stdout);
    insta::assert_snapshot!("licenses", text);

    fs_err::create_dir(lab.path("unpacked")).unwrap();
    let status = Command::new("tar").args(["xf", "out.tar", "-C", "unpacked"]).current_dir(lab.path("")).status();
    assert!(status.unwrap().success());
    let marks = ["See /usr/share/common-licenses/GPL-2.", "Do what you like.", "kept"];
    for blob in lab.below("unpacked/blobs") {
        let bytes = fs_err::read(lab.path("unpacked/blobs").join(blob)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(marks.iter().all(|mark| !text.contains(mark)), "the images do not have the copyright files");
    }
    let bill = |arguments: &[&str]| lab.run(&[&["sbom", "out.tar"], arguments].concat()).stdout;
    for (arguments, file) in [
        (&[][..], "bundle.cdx.json"),
        (&["--format", "spdx"], "bundle.spdx.json"),
        (&["--image", "clock"], "images/clock.cdx.json"),
        (&["--image", "greeter", "--format", "spdx"], "images/greeter.spdx.json"),
    ] {
        let found = fs_err::read_to_string(lab.path("unpacked/sbom").join(file)).unwrap();
        assert_eq!(bill(arguments), found, "{file}");
    }
    let of_clock: Value = serde_json::from_str(&bill(&["--image", "clock"])).unwrap();
    let clock = of_clock["components"].as_array().unwrap().iter().find(|one| one["name"] == "clock").unwrap();
    let expression = clock["licenses"][0]["expression"].as_str().unwrap();
    assert!(expression.starts_with("GPL-2.0-or-later AND LicenseRef-Own-"), "{expression}");
    let edges = |bill: &Value, from: &str| {
        let all = bill["dependencies"].as_array().unwrap();
        all.iter().find(|one| one["ref"] == from).unwrap()["dependsOn"].to_string()
    };
    assert_eq!(edges(&of_clock, "deb:clock"), r#"["deb:libc6"]"#);
    let of_all: Value = serde_json::from_str(&bill(&[])).unwrap();
    assert_eq!(edges(&of_all, "wheel:greeter-1.2-py3-none-any.whl"), r#"["wheel:words-0.3-py3-none-any.whl"]"#);
    let spdx: Value = serde_json::from_str(&bill(&["--format", "spdx"])).unwrap();
    assert_eq!(spdx["hasExtractedLicensingInfos"][0]["extractedText"], "Do what you like.");
    insta::assert_snapshot!("provenance", {
        let text = fs_err::read_to_string(lab.path("unpacked/sbom/provenance.intoto.json")).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        without_digests(&serde_json::to_string_pretty(&value).unwrap())
    });
    let ended = lab.run(&["sbom", "out.tar", "--image", "clocks"]);
    insta::assert_snapshot!(ended.transcript(), @r"
    exit 2
    error: the bundle has no image `clocks`
    hint: it has: clock, greeter
    ");
    assert_eq!(lab.run(&["verify", "out.tar"]).code, Some(0));
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

/// CycloneDX's Python library contains the schema; packageurl parses package URLs and formats them canonically. SPDX's own tools
/// check a document against its specification, and the classes of in-toto and SLSA take no field that they do not have.
const CHECK: &str = r#"
import glob, json, sys
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as Message
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
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
for name in glob.glob(sys.argv[2] + "/sbom/**/*.cdx.json", recursive=True):
    assert not (error := check(open(name).read())), f"{name}: {error!r}"
documents = glob.glob(sys.argv[2] + "/sbom/**/*.spdx.json", recursive=True)
for name in documents:
    wrong = validate_full_spdx_document(parse_file(name))
    assert not wrong, f"{name}: {[message.validation_message for message in wrong]}"
    document = parse_file(name)
    document.packages[0].spdx_id = "nonsense"
    assert validate_full_spdx_document(document), "everything is valid"
statement = json.load(open(sys.argv[2] + "/sbom/provenance.intoto.json"))
message = json_format.ParseDict(statement, Message())
Statement.copy_from_pb(message).validate()
json_format.ParseDict(statement["predicate"], Provenance())
print(len(bill["components"]), "components,", len(purls), "package URLs,", len(documents), "SPDX documents")
"#;

/// Checks the bill of materials of a bundle with the schema and the purl library.
fn check(place: &Path, tar: &Path) -> Result<()> {
    let file = place.join("bill.json");
    command::output(sealift(place)?.arg("sbom").arg(tar).arg("--output").arg(&file))?;
    let unpacked = tempfile::tempdir_in(place)?;
    let members = ["--wildcards", "sbom/*.json"];
    command::output(Command::new("tar").arg("xf").arg(tar).arg("-C").arg(unpacked.path()).args(members))?;
    let mut python = Command::new(place.join("venv/bin/python"));
    let text = command::output(python.args(["-c", CHECK]).arg(&file).arg(unpacked.path()))?;
    report(&format!("{}: {}", tar.display(), text.trim()));
    ensure!(!text.starts_with("0 "), "{text}");
    Ok(())
}

#[test]
#[ignore = "needs the real bundle, and fetches the schemas with pip: tests/run"]
fn bills_of_materials_of_real_bundles_are_valid() -> Result<()> {
    let bundle = Bundle::build("standalone", |_, _| Ok(Vec::new()))?;
    let venv = bundle.place().join("venv");
    command::output(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let mut pip = command::limited(Duration::from_secs(300), "env");
    pip.arg(venv.join("bin/python")).args(["-m", "pip", "install", "--quiet"]);
    command::output(pip.args([
        "cyclonedx-python-lib[json-validation]",
        "packageurl-python",
        "spdx-tools",
        "in-toto-attestation",
    ]))?;
    check(bundle.place(), &bundle.tar)?;
    // With crates, and without images.
    for profile in ["testing-garage", "bare-metal"] {
        let other = Bundle::build(profile, |_, _| Ok(Vec::new()))?;
        check(bundle.place(), &other.tar)?;
    }
    Ok(())
}
