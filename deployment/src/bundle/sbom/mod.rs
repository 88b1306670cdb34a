//! The software bill of materials of a bundle, in CycloneDX 1.6: a pure function of `bundle.json`.
//!
//! It contains the artifacts of the lock, without licenses and without the dependencies between packages and wheels, which
//! `bundle.json` does not have. The references of store paths are included.

pub mod cyclonedx;
mod purl;

use std::collections::{BTreeMap, BTreeSet};

use sealift_layers::digest::Digest;
use sealift_layers::image::timestamp;
use sealift_layers::ingredients::nix_store;

use self::cyclonedx::{Bom, Component, Dependency, Kind, Metadata, Tools};
use super::manifest::{BundleImage, Manifest};
use crate::profile::model::Deployed;

/// Reference of the bundle itself.
const BUNDLE: &str = "bundle";
/// Reference of the distribution.
const SYSTEM: &str = "system";
/// Reference of the program in the bundle.
const PROGRAM: &str = "program:sealift";

/// The bill of the bundle that `manifest` describes. `program` is the digest of the program in the bundle, if it has one.
/// The same bundle and the same version of Sealift give the same bill.
#[must_use]
pub fn of(manifest: &Manifest, program: Option<Digest>) -> Bom {
    bill_of_materials(env!("CARGO_PKG_VERSION"), manifest, program)
}

fn bill_of_materials(version: &str, manifest: &Manifest, program: Option<Digest>) -> Bom {
    let mut components = components(manifest);
    components.extend(program.map(|digest| {
        // Not `manifest.sealift`, the version of the program that built the bundle.
        let own = manifest.program.iter().find(|made| made.name == "sealift");
        let program = Component::new(Kind::Application, "sealift").known_as(PROGRAM.to_owned()).hash(digest);
        own.into_iter().fold(program, |program, own| program.version(&own.version))
    }));
    if program.is_some() {
        components.extend(program_crates(manifest));
    }
    components.sort_by(|one, other| one.bom_ref.cmp(&other.bom_ref));
    let mut bom = Bom {
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: String::new(),
        version: 1,
        metadata: Metadata {
            timestamp: timestamp(manifest.epoch),
            tools: Tools { components: vec![Component::new(Kind::Application, "sealift").version(version)] },
            component: bundle(manifest),
        },
        components,
        dependencies: dependencies(manifest, program.is_some()),
    };
    bom.serial_number = serial_number(&bom);
    bom
}

/// A UUID of version 8 (RFC 9562, section 5.8) from the SHA-256 of the rest of the bill: equal bills have the same one.
fn serial_number(bom: &Bom) -> String {
    let text = serde_json::to_string(bom).expect("a bill has string keys");
    let mut hex = Digest::of(text.as_bytes()).hex();
    hex.truncate(32);
    hex.replace_range(12..13, "8");
    // The two highest bits of this digit are the variant: 10.
    let digit = u8::from_str_radix(&hex[16..17], 16).unwrap_or_default();
    hex.replace_range(16..17, &format!("{:x}", 8 | digit & 3));
    let [a, b, c, d, e] = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| &hex[range]);
    format!("urn:uuid:{a}-{b}-{c}-{d}-{e}")
}

/// The bundle as a whole, with the exclusions.
fn bundle(manifest: &Manifest) -> Component {
    let Manifest { product, profile, version, platform, .. } = manifest;
    let bundle = Component::new(Kind::Application, &format!("{product}-{profile}")).known_as(BUNDLE.to_owned());
    let bundle = Component { description: Some(manifest.title.clone()), ..bundle.version(version) };
    let bundle = bundle.property("product", product).property("profile", profile).property("platform", platform);
    manifest.excluded.iter().fold(bundle, |bundle, (what, why)| bundle.property("excluded", format!("{what}: {why}")))
}

fn components(manifest: &Manifest) -> Vec<Component> {
    let distro = manifest.system.as_ref().map(|system| format!("{}-{}", system.id, system.version)).unwrap_or_default();
    let packages = manifest.packages.iter().map(|package| {
        let component = Component::new(Kind::Library, &package.name).known_as(deb_ref(&package.name));
        let component = component.version(&package.version).hash(package.sha256).purl(purl::deb(package, &distro));
        let component = package.source.iter().fold(component, |component, source| {
            component.trivy("SrcName", &source.name).trivy("SrcVersion", &source.version)
        });
        package.archive.iter().fold(component, |component, archive| component.property("archive", archive))
    });
    let wheels = manifest.wheels.iter().map(|wheel| {
        let component = Component::new(Kind::Library, &wheel.name).known_as(wheel_ref(&wheel.file));
        let purl = purl::pypi(&wheel.name, &wheel.version);
        component.version(&wheel.version).hash(wheel.sha256).purl(purl).property("file", &wheel.file)
    });
    let archives = manifest.archives.iter().map(|archive| {
        let component = Component::new(Kind::Application, &archive.name).known_as(archive_ref(&archive.file));
        let purl = purl::generic(&archive.name, &archive.version, archive.sha256);
        component.version(&archive.version).hash(archive.sha256).purl(purl).property("file", &archive.file)
    });
    let crates = manifest.crates.iter().map(|made| {
        let component = Component::new(Kind::Application, &made.name).known_as(crate_ref(&made.image, &made.name));
        let component = component.version(&made.version).hash(made.sha256).purl(purl::cargo(&made.name, &made.version));
        let component = component.property("binary", &made.binary);
        made.features.iter().fold(component, |component, feature| component.property("feature", feature))
    });
    let store_paths = manifest.store_paths.iter().map(|path| {
        let label = Label::of(nix_store::without_hash(&path.name));
        let hash = path.name.split_once('-').map_or("", |(hash, _)| hash);
        let component = Component::new(Kind::Library, label.name).known_as(store_ref(&path.name));
        let component = Component { version: label.version.map(str::to_owned), ..component };
        // Not in `hashes`, which are of files: this is the hash of a Nix archive of a tree.
        component
            .purl(purl::nix(label.name, label.version, label.output, hash))
            .property("nix:store-path", format!("/nix/store/{}", path.name))
            .property("nix:nar-hash", path.nar_hash.to_string())
            .property("nix:nar-size", path.nar_size.to_string())
    });
    let images = manifest.images.iter().map(|made| image(manifest, made));
    // Scanners take no more than one, and match no package without it.
    let system = manifest.system.iter().map(|system| {
        Component::new(Kind::OperatingSystem, &system.id).known_as(SYSTEM.to_owned()).version(&system.version)
    });
    images.chain(system).chain(packages).chain(wheels).chain(crates).chain(archives).chain(store_paths).collect()
}

/// The crates of the program in the bundle, other than the program itself.
fn program_crates(manifest: &Manifest) -> impl Iterator<Item = Component> {
    manifest.program.iter().filter(|made| made.name != "sealift").map(|made| {
        let reference = program_ref(&format!("{} {}", made.name, made.version));
        let component = Component::new(Kind::Library, &made.name).known_as(reference).version(&made.version);
        match made.sha256 {
            Some(digest) => component.hash(digest).purl(purl::cargo(&made.name, &made.version)),
            None => component,
        }
    })
}

/// An image; without containers the folder in its place, without digests, as the bundle does not contain the image.
fn image(manifest: &Manifest, made: &BundleImage) -> Component {
    if manifest.deployment == Deployed::Systemd {
        let folder = Component::new(Kind::Application, &made.name).known_as(image_ref(&made.name));
        return folder.version(&manifest.version);
    }
    let last = made.reference.rsplit('/').next().unwrap_or_default();
    let (name, tag) = last.split_once(':').unwrap_or((last, ""));
    let architecture = manifest.platform.rsplit('/').next().unwrap_or_default();
    Component::new(Kind::Container, &made.name)
        .known_as(image_ref(&made.name))
        .version(if tag.is_empty() { &manifest.version } else { tag })
        .hash(made.digest)
        .purl(purl::oci(name, tag, made.digest, architecture))
        .property("reference", &made.reference)
        .property("config-digest", made.config.to_string())
}

fn dependencies(manifest: &Manifest, program: bool) -> Vec<Dependency> {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut all: BTreeSet<String> = manifest.images.iter().map(|image| image_ref(&image.name)).collect();
    all.extend(program.then(|| PROGRAM.to_owned()));
    all.extend(manifest.system.is_some().then(|| SYSTEM.to_owned()));
    graph.insert(BUNDLE.to_owned(), all);
    for image in &manifest.images {
        let crates = manifest.crates.iter().filter(|made| made.image == image.name);
        let held = (image.packages.iter().map(|name| deb_ref(name)))
            .chain(image.wheels.iter().map(|file| wheel_ref(file)))
            .chain(crates.map(|made| crate_ref(&made.image, &made.name)))
            .chain(image.archives.iter().map(|file| archive_ref(file)))
            .chain(image.store_paths.iter().map(|name| store_ref(name)));
        graph.insert(image_ref(&image.name), held.collect());
    }
    for made in manifest.program.iter().filter(|_| program) {
        let needed = made.depends_on.iter().map(|other| program_ref(other));
        graph.insert(program_ref(&format!("{} {}", made.name, made.version)), needed.collect());
    }
    for path in &manifest.store_paths {
        graph.insert(store_ref(&path.name), path.references.iter().map(|name| store_ref(name)).collect());
    }
    graph.into_iter().map(|(from, depends_on)| Dependency { from, depends_on }).collect()
}

fn image_ref(name: &str) -> String {
    format!("image:{name}")
}

fn deb_ref(name: &str) -> String {
    format!("deb:{name}")
}

/// The file name is part of it: images with different versions of Python may have different wheels of one version.
fn wheel_ref(file: &str) -> String {
    format!("wheel:{file}")
}

/// The image is part of it: images may have the same crate with different features.
fn crate_ref(image: &str, name: &str) -> String {
    format!("crate:{image}:{name}")
}

/// An archive, by its path in the lock.
fn archive_ref(file: &str) -> String {
    format!("archive:{file}")
}

/// A crate of the program in the bundle, by name and version.
fn program_ref(crate_: &str) -> String {
    match crate_.split_once(' ') {
        Some(("sealift", _)) => PROGRAM.to_owned(),
        Some((name, version)) => format!("program:{name}@{version}"),
        None => format!("program:{crate_}"),
    }
}

fn store_ref(name: &str) -> String {
    format!("nix:{name}")
}

/// The parts of the name of a store path, by the conventions of nixpkgs.
#[derive(Debug, PartialEq, Eq)]
struct Label<'a> {
    name: &'a str,
    version: Option<&'a str>,
    output: Option<&'a str>,
}

impl<'a> Label<'a> {
    /// Splits a name without its hash. The version starts at the first digit after a dash, as in `nix-env`; only the default
    /// outputs of nixpkgs are recognized.
    fn of(text: &'a str) -> Self {
        const OUTPUTS: [&str; 10] = ["bin", "debug", "dev", "devdoc", "devman", "dist", "doc", "info", "lib", "man"];
        let start = text
            .match_indices('-')
            .map(|(at, _)| at)
            .find(|at| *at > 0 && text.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit));
        let Some(start) = start else { return Self { name: text, version: None, output: None } };
        let (name, version) = (&text[..start], &text[start + 1..]);
        match version.rsplit_once('-') {
            Some((version, output)) if OUTPUTS.contains(&output) => {
                Self { name, version: Some(version), output: Some(output) }
            }
            _ => Self { name, version: Some(version), output: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        serde_json::from_str(include_str!("sample.json")).unwrap()
    }

    fn bill(manifest: &Manifest) -> Bom {
        bill_of_materials("1.2.3", manifest, Some(Digest::of(b"program")))
    }

    #[test]
    fn one_of_everything() {
        let bom = bill(&manifest());
        insta::assert_snapshot!(serde_json::to_string_pretty(&bom).unwrap());
    }

    /// References are unique, and each refers to a component of the bill.
    #[test]
    fn the_graph_is_closed() {
        let bom = bill(&manifest());
        let known = bom.components.iter().chain([&bom.metadata.component]).filter_map(|c| c.bom_ref.clone());
        let (list, known) = (known.clone().count(), known.collect::<BTreeSet<_>>());
        assert_eq!(list, known.len());
        for dependency in &bom.dependencies {
            assert!(known.contains(&dependency.from), "{dependency:?}");
            assert!(dependency.depends_on.is_subset(&known), "{dependency:?}");
        }
    }

    #[test]
    fn the_order_of_the_manifest_does_not_matter() {
        let mut other = manifest();
        other.images.reverse();
        other.packages.reverse();
        other.wheels.reverse();
        other.crates.reverse();
        other.store_paths.reverse();
        other.images.iter_mut().for_each(|image| image.packages.reverse());
        assert_eq!(bill(&manifest()), bill(&other));
    }

    #[test]
    fn the_serial_number_is_a_uuid_of_the_content() {
        let mut numbers = BTreeSet::new();
        for epoch in 0..50 {
            let number = bill(&Manifest { epoch, ..manifest() }).serial_number;
            let parts: Vec<&str> = number.strip_prefix("urn:uuid:").unwrap().split('-').collect();
            assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{number}");
            assert!(parts[2].starts_with('8') && parts[3].starts_with(['8', '9', 'a', 'b']), "{number}");
            numbers.insert(number);
        }
        assert_eq!(numbers.len(), 50);
        let without = bill_of_materials("1.2.3", &manifest(), None);
        assert_ne!(without.serial_number, bill(&manifest()).serial_number);
    }

    /// Without containers, there is no image to have a digest.
    #[test]
    fn a_folder_in_the_place_of_an_image() {
        let bom = bill(&Manifest { deployment: Deployed::Systemd, ..manifest() });
        let folder = bom.components.iter().find(|c| c.bom_ref.as_deref() == Some("image:greeter")).unwrap();
        assert_eq!((folder.kind, folder.version.as_deref()), (Kind::Application, Some("1.2")));
        assert!(folder.hashes.is_empty() && folder.purl.is_none() && folder.properties.is_empty(), "{folder:?}");
    }

    #[test]
    fn names_of_store_paths_are_split_into_name_and_version() {
        let lines = [
            "glibc-2.40-66",
            "glibc-2.40-66-bin",
            "bash-interactive-5.2p37-man",
            "python3.13-filelock-3.18.0",
            "python3-3.13.7",
            "xz-5.8.1-rc-2",
            "nginx-1.28.0-with-lua",
            "source",
            "setup-hook.sh",
            "-1",
        ]
        .map(|text| {
            let Label { name, version, output } = Label::of(text);
            format!("{text}: {name} {} {}", version.unwrap_or("-"), output.unwrap_or("-"))
        });
        insta::assert_snapshot!(lines.join("\n"), @r"
        glibc-2.40-66: glibc 2.40-66 -
        glibc-2.40-66-bin: glibc 2.40-66 bin
        bash-interactive-5.2p37-man: bash-interactive 5.2p37 man
        python3.13-filelock-3.18.0: python3.13-filelock 3.18.0 -
        python3-3.13.7: python3 3.13.7 -
        xz-5.8.1-rc-2: xz 5.8.1-rc-2 -
        nginx-1.28.0-with-lua: nginx 1.28.0-with-lua -
        source: source - -
        setup-hook.sh: setup-hook.sh - -
        -1: -1 - -
        ");
    }
}
