//! Bills of materials of a bundle and of its images, in CycloneDX 1.6 and SPDX 2.3: pure functions of `bundle.json`.
//!
//! They contain the artifacts of the lock, with licences, and with dependencies as far as `bundle.json` has them.

mod components;
pub mod cyclonedx;
mod graph;
mod purl;
pub mod spdx;

use std::collections::BTreeSet;

use sealift_layers::digest::{Digest, Hasher};
use sealift_layers::image::timestamp;

use self::components::{components, program_crates};
use self::cyclonedx::{Bom, Component, Dependency, Kind, Metadata, Tools};
use super::manifest::Manifest;

/// Reference of the bundle itself.
const BUNDLE: &str = "bundle";
/// Reference of the distribution.
const SYSTEM: &str = "system";
/// Reference of the program in the bundle.
const PROGRAM: &str = "program:sealift";

/// The folder of bills, licences and provenance in a bundle.
pub const FOLDER: &str = "sbom/";

/// A format of bills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// CycloneDX 1.6.
    CycloneDx,
    /// SPDX 2.3.
    Spdx,
}

/// Where the bill of an image is in the bundle; `None` for the bundle's own.
#[must_use]
pub fn path(image: Option<&str>, format: Format) -> String {
    let name = image.map_or_else(|| "bundle".to_owned(), |name| format!("images/{name}"));
    let ending = match format {
        Format::CycloneDx => "cdx",
        Format::Spdx => "spdx",
    };
    format!("{FOLDER}{name}.{ending}.json")
}

/// Where the statement of where the bundle comes from is in it: in-toto, with a predicate of SLSA.
pub const PROVENANCE: &str = "sbom/provenance.intoto.json";

/// Where the text of a licence is in the bundle.
#[must_use]
pub fn text_path(text: Digest) -> String {
    format!("{FOLDER}{}", components::license_file(text))
}

/// The bill of the bundle that `manifest` describes. `program` is the digest of the program in the bundle, if it has one.
#[must_use]
pub fn of(manifest: &Manifest, program: Option<Digest>) -> Bom {
    let mut components = components(manifest);
    components.extend(program.map(|digest| {
        // Not `manifest.sealift`, the version of the program that built the bundle.
        let own = manifest.program.iter().find(|made| made.name == "sealift");
        let program = Component::new(Kind::Application, "sealift").known_as(PROGRAM.to_owned()).hash(digest);
        let program = own.into_iter().fold(program, |program, own| program.version(&own.version));
        let program = own.into_iter().fold(program, components::program_texts);
        let license = own.and_then(|own| own.license.as_deref());
        license.into_iter().fold(program, |program, license| program.license(license, true))
    }));
    if program.is_some() {
        components.extend(program_crates(manifest));
    }
    bill(manifest, bundle(manifest), components, graph::dependencies(manifest, program.is_some()))
}

/// The bill of an image of the bundle, by its name in the profile.
#[must_use]
pub fn of_image(manifest: &Manifest, name: &str) -> Option<Bom> {
    let manifest = only(manifest, name)?;
    let subject = components::image(&manifest, manifest.images.first()?);
    let reference = subject.bom_ref.clone();
    let components = components(&manifest).into_iter().filter(|component| component.bom_ref != reference).collect();
    let mut dependencies = graph::dependencies(&manifest, false);
    dependencies.retain(|dependency| dependency.from != BUNDLE);
    for dependency in dependencies.iter_mut().filter(|one| Some(&one.from) == reference.as_ref()) {
        dependency.depends_on.extend(manifest.system.is_some().then(|| SYSTEM.to_owned()));
    }
    Some(bill(&manifest, subject, components, dependencies))
}

/// The part of the manifest that concerns one image.
fn only(manifest: &Manifest, name: &str) -> Option<Manifest> {
    let mut part = manifest.clone();
    part.images.retain(|image| image.name == name);
    let image = part.images.first()?.clone();
    // Lists of a hostile bundle have millions of names.
    let [packages, wheels, archives, store_paths] =
        [&image.packages, &image.wheels, &image.archives, &image.store_paths].map(|list| list.iter().collect());
    let has = |set: &BTreeSet<&String>, name: &String| set.contains(name);
    part.packages.retain(|package| has(&packages, &package.name));
    part.wheels.retain(|wheel| has(&wheels, &wheel.file));
    part.archives.retain(|archive| has(&archives, &archive.file));
    part.store_paths.retain(|path| has(&store_paths, &path.name));
    part.crates.retain(|made| made.image == image.name);
    part.program.clear();
    for package in &mut part.packages {
        package.depends_on.retain(|name| has(&packages, name));
    }
    for wheel in &mut part.wheels {
        wheel.depends_on.retain(|file| has(&wheels, file));
    }
    Some(part)
}

fn bill(manifest: &Manifest, subject: Component, mut components: Vec<Component>, dependencies: Vec<Dependency>) -> Bom {
    components.sort_by(|one, other| one.bom_ref.cmp(&other.bom_ref));
    let tool = Component::new(Kind::Application, "sealift").version(&manifest.sealift);
    let mut bom = Bom {
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: String::new(),
        version: 1,
        metadata: Metadata {
            timestamp: timestamp(manifest.epoch),
            tools: Tools { components: vec![tool] },
            component: subject,
        },
        components,
        dependencies,
    };
    bom.serial_number = serial_number(&bom);
    bom
}

/// A UUID of version 8 (RFC 9562, section 5.8) from the SHA-256 of the rest of the bill: equal bills have the same one.
fn serial_number(bom: &Bom) -> String {
    let mut hasher = Hasher::default();
    serde_json::to_writer(&mut hasher, bom).expect("a bill has string keys");
    let mut hex = hasher.finish().hex();
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::profile::model::Deployed;

    fn manifest() -> Manifest {
        serde_json::from_str(include_str!("sample.json")).unwrap()
    }

    fn bill(manifest: &Manifest) -> Bom {
        of(manifest, Some(Digest::of(b"program")))
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
    fn the_bill_of_an_image_has_what_is_in_it() {
        let manifest = manifest();
        let bom = of_image(&manifest, "clock").unwrap();
        assert_eq!(bom.metadata.component.name, "clock");
        let references: Vec<&str> =
            bom.components.iter().filter_map(|component| component.bom_ref.as_deref()).collect();
        assert_eq!(references, ["archive:dist/web-app-1.2.zip", "crate:clock:tick", "deb:busybox", "system"]);
        let known: BTreeSet<&str> = references.iter().copied().chain(["image:clock"]).collect();
        for dependency in &bom.dependencies {
            assert!(known.contains(dependency.from.as_str()), "{dependency:?}");
            assert!(dependency.depends_on.iter().all(|to| known.contains(to.as_str())), "{dependency:?}");
        }
        let contents = bom.dependencies.iter().find(|dependency| dependency.from == "image:clock").unwrap();
        assert_eq!(contents.depends_on.len(), references.len());
        assert!(of_image(&manifest, "other").is_none());
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
        let without = of(&manifest(), None);
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
}
