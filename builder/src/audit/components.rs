//! What a bundle consists of, by the names under which package indexes and advisories know it.

use std::collections::{BTreeMap, BTreeSet};

use sealift_deployment::bundle::sbom;
use sealift_deployment::bundle::{BundleImage, Manifest};
use sealift_layers::digest::Digest;
use sealift_layers::ingredients::wheel::normalize;

use super::finding::Kind;

/// Releases of Debian: number and code name.
const RELEASES: [(&str, &str); 6] =
    [("10", "buster"), ("11", "bullseye"), ("12", "bookworm"), ("13", "trixie"), ("14", "forky"), ("15", "duke")];

/// The names of the images that have each of what `list` names: packages, or files of wheels.
pub(super) struct Images<'m>(BTreeMap<&'m str, BTreeSet<&'m str>>);

impl<'m> Images<'m> {
    pub(super) fn with(manifest: &'m Manifest, list: fn(&BundleImage) -> &[String]) -> Self {
        let mut images: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for image in &manifest.images {
            for name in list(image) {
                images.entry(name).or_default().insert(&image.name);
            }
        }
        Self(images)
    }

    pub(super) fn of(&self, name: &str) -> BTreeSet<String> {
        self.0.get(name).into_iter().flatten().map(|image| (*image).to_owned()).collect()
    }
}

/// A release of Debian, as advisories name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Release {
    /// `13`: as OSV names it. None of `sid`.
    pub(super) number: Option<String>,
    /// `trixie`: as Debian's tracker names it.
    pub(super) codename: String,
}

impl Release {
    /// The release of a number or a code name; `None` for one that is not known, such as `stable`.
    fn of(name: &str) -> Option<Self> {
        let known = RELEASES.iter().find(|(number, codename)| [*number, *codename].contains(&name));
        match known {
            Some((number, codename)) => {
                Some(Self { number: Some((*number).to_owned()), codename: (*codename).to_owned() })
            }
            None => (name == "sid").then(|| Self { number: None, codename: name.to_owned() }),
        }
    }

    /// The release that a bundle's packages are of: what its images say, else the suite in its lock.
    pub(super) fn of_bundle(manifest: &Manifest, suite: &str) -> Option<Self> {
        match &manifest.system {
            Some(system) if system.id == "debian" => Self::of(&system.version),
            Some(_) => None,
            None => Self::of(suite),
        }
    }
}

/// One occurrence of a component: a file that was packed, in an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Its package URL, as in the bill of materials.
    pub(super) purl: String,
    /// That of its source package.
    pub(super) source: Option<String>,
    /// The image; `None` for the program in the bundle.
    pub(super) image: Option<Image>,
}

/// An image that a component is in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Image {
    /// Its name in the profile.
    pub(super) name: String,
    /// Its package URL; without containers it has none.
    pub(super) purl: Option<String>,
}

/// Something that advisories know: a Debian source package, a distribution, a crate.
#[derive(Clone, Debug)]
pub(super) struct Component {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) version: String,
    /// The Debian packages of the source package.
    pub(super) packages: BTreeSet<String>,
    pub(super) places: BTreeSet<Place>,
}

/// All components of a bundle, by kind and name.
pub(super) struct Components {
    all: BTreeMap<(Kind, String), Vec<Component>>,
    /// Packages that others than Debian made: no snapshot is about them.
    pub(super) of_others: usize,
}

impl Components {
    /// `program` is the digest of the program in the bundle, if it has one.
    pub(super) fn of(manifest: &Manifest, program: Option<Digest>) -> Self {
        let bill = sbom::of(manifest, program);
        let mut purls = BTreeMap::new();
        for component in bill.components {
            if let (Some(reference), Some(purl)) = (component.bom_ref, component.purl) {
                purls.insert(reference, purl);
            }
        }
        let mut found = Self { all: BTreeMap::new(), of_others: 0 };
        found.add_packages(manifest, &purls);
        let images = Images::with(manifest, |image| &image.wheels);
        for wheel in &manifest.wheels {
            let places = places(&purls, &format!("wheel:{}", wheel.file), None, images.of(&wheel.file));
            found.add(Kind::Wheel, &normalize(&wheel.name), &wheel.version, places);
        }
        for made in &manifest.crates {
            let reference = format!("crate:{}:{}", made.image, made.name);
            let places = places(&purls, &reference, None, [made.image.clone()].into());
            found.add(Kind::Crate, &made.name, &made.version, places);
        }
        for made in &manifest.program {
            let purl = purls.get(&format!("program:{}@{}", made.name, made.version));
            let place = purl.map(|purl| Place { purl: purl.clone(), source: None, image: None });
            found.add(Kind::Crate, &made.name, &made.version, place.into_iter().collect());
        }
        found
    }

    fn add_packages(&mut self, manifest: &Manifest, purls: &BTreeMap<String, String>) {
        let distro = manifest.system.as_ref().map(|system| format!("&distro={}-{}", system.id, system.version));
        let images = Images::with(manifest, |image| &image.packages);
        for package in &manifest.packages {
            if package.vendor.is_some() {
                self.of_others += 1;
                continue;
            }
            let (name, version) = package
                .source
                .as_ref()
                .map_or((&package.name, &package.version), |source| (&source.name, &source.version));
            let source =
                format!("pkg:deb/debian/{name}@{version}?arch=source{}", distro.as_deref().unwrap_or_default());
            let places = places(purls, &format!("deb:{}", package.name), Some(&source), images.of(&package.name));
            self.add(Kind::Package, name, version, places).packages.insert(package.name.clone());
        }
    }

    /// Adds places of a component. What has no package URL, such as the crates of Sealift itself, has none.
    fn add(&mut self, kind: Kind, name: &str, version: &str, places: BTreeSet<Place>) -> &mut Component {
        let versions = self.all.entry((kind, name.to_owned())).or_default();
        let at = versions.iter().position(|known| known.version == version).unwrap_or_else(|| {
            let (name, version) = (name.to_owned(), version.to_owned());
            versions.push(Component { kind, name, version, packages: BTreeSet::new(), places: BTreeSet::new() });
            versions.len() - 1
        });
        versions[at].places.extend(places);
        &mut versions[at]
    }

    /// The versions of a component.
    pub(super) fn named(&self, kind: Kind, name: &str) -> &[Component] {
        self.all.get(&(kind, name.to_owned())).map_or(&[], Vec::as_slice)
    }
}

/// The places of what has the package URL of `reference`.
fn places(
    purls: &BTreeMap<String, String>,
    reference: &str,
    source: Option<&str>,
    images: BTreeSet<String>,
) -> BTreeSet<Place> {
    let Some(purl) = purls.get(reference) else { return BTreeSet::new() };
    let place = |name: String| {
        let image = Image { purl: purls.get(&format!("image:{name}")).cloned(), name };
        Place { purl: purl.clone(), source: source.map(str::to_owned), image: Some(image) }
    };
    images.into_iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_a_number_and_a_code_name() {
        let found = |name: &str| Release::of(name).map(|found| (found.number.unwrap_or_default(), found.codename));
        assert_eq!(found("12"), found("bookworm"));
        assert_eq!(found("forky"), Some(("14".to_owned(), "forky".to_owned())));
        assert_eq!(found("sid"), Some((String::new(), "sid".to_owned())));
        assert_eq!((found("stable"), found("")), (None, None));
    }
}
