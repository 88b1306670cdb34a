//! What contains and needs what.

use std::collections::{BTreeMap, BTreeSet};

use super::super::manifest::Manifest;
use super::components::{archive_ref, crate_ref, deb_ref, image_ref, program_ref, store_ref, wheel_ref};
use super::cyclonedx::Dependency;
use super::{BUNDLE, PROGRAM, SYSTEM};

pub(super) fn dependencies(manifest: &Manifest, program: bool) -> Vec<Dependency> {
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
    // Without a licence, nothing is known of what it depends on either.
    for package in manifest.packages.iter().filter(|package| package.license.is_some()) {
        graph.insert(deb_ref(&package.name), package.depends_on.iter().map(|name| deb_ref(name)).collect());
    }
    for wheel in manifest.wheels.iter().filter(|wheel| wheel.license.is_some()) {
        graph.insert(wheel_ref(&wheel.file), wheel.depends_on.iter().map(|file| wheel_ref(file)).collect());
    }
    for path in &manifest.store_paths {
        graph.insert(store_ref(&path.name), path.references.iter().map(|name| store_ref(name)).collect());
    }
    graph.into_iter().map(|(from, depends_on)| Dependency { from, depends_on }).collect()
}
