//! What the maintainer scripts of packages would have made: see [`sealift_layers::ingredients::scripts`].

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use sealift_layers::ingredients::deb;
use sealift_layers::ingredients::scripts::{self, Below, Diversion, Outcome, Script};
use sealift_layers::listing::Listing;
use sealift_layers::platform::Architecture;
use sealift_layers::tree::{Pattern, Tree, TreePath};

use crate::inputs::ImageInputs;
use crate::plan::{FinishedLayers, Plan};
use crate::store::layer::Remarks;

/// Reads the scripts of `packages`, whose files are in `tree`. `read_below` returns the contents of a file in the layers
/// below, `is_dropped` whether the profile leaves a path out.
pub(super) fn apply(
    tree: &mut Tree,
    packages: &[Arc<deb::Package>],
    lower: &Listing,
    architecture: Architecture,
    read_below: impl Fn(&TreePath) -> Result<Vec<u8>>,
    is_dropped: &dyn Fn(&TreePath) -> bool,
) -> Result<Outcome> {
    let read = |path: &TreePath| read_below(path).map_err(io::Error::other);
    let below = Below { listing: lower, read: &read, is_dropped };
    scripts::apply(&of(packages), tree, &below, architecture)
        .context("cannot make what maintainer scripts would have made")
}

/// The diversions of the files of `packages`: their own, and those of packages below.
pub(super) fn diversions(packages: &[Arc<deb::Package>], below: &[Diversion]) -> Vec<Diversion> {
    let mut all = scripts::diversions(&of(packages));
    all.extend_from_slice(below);
    all
}

fn of(packages: &[Arc<deb::Package>]) -> Vec<Script<'_>> {
    let scripts = packages.iter().map(|package| Script {
        package: &package.control.name,
        preinst: &package.preinst,
        postinst: &package.postinst,
        answers: &package.answers,
    });
    scripts.collect()
}

/// A line for each package of which something is not done, unless the profile says why that is fine.
pub(super) fn warnings(image: ImageInputs<'_>, remarks: &Remarks) -> Vec<String> {
    let allowed = &image.inputs.profile.model.debian.get_ref().allow_unapplied;
    let allowed: Vec<Pattern> = allowed.keys().map(|name| Pattern::new(name.get_ref())).collect();
    let is_allowed =
        |package: &str| TreePath::new(package).is_ok_and(|name| allowed.iter().any(|pattern| pattern.matches(&name)));
    let left = remarks.left.iter().filter(|(package, _)| !is_allowed(package));
    left.map(|(package, kinds)| {
        let kinds = kinds.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        format!("{package}: {kinds}: not applied, as maintainer scripts are not run; if that is fine, write why in debian.allow-unapplied")
    })
    .collect()
}

/// A warning for each pattern of `allow-unapplied` that allows nothing in the images of the profile.
pub fn unused_allowances(plan: &Plan<'_>, finished: &FinishedLayers) -> Vec<String> {
    let profile = &plan.inputs.profile.model;
    // They may be for images that are not part of this plan.
    if plan.images.len() != profile.images.len() {
        return Vec::new();
    }
    let layers = plan.images.iter().flat_map(|image| &image.layers);
    let left = layers.flat_map(|layer| finished.record(&layer.key).remarks.left.keys());
    let left: BTreeSet<TreePath> = left.filter_map(|name| TreePath::new(name).ok()).collect();
    let matches = |text: &str| left.iter().any(|name| Pattern::new(text).matches(name));
    let unused = profile.debian.get_ref().allow_unapplied.keys().filter(|text| !matches(text.get_ref()));
    unused.map(|text| format!("allow-unapplied: everything of `{}` is applied", text.get_ref())).collect()
}
