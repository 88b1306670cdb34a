//! The `drop` and `keep` patterns of a profile: which of them match something. One that matches nothing is a mistake, or a
//! leftover from another version of a package.

use std::collections::BTreeSet;

use sealift_deployment::profile::model;
use sealift_layers::tree::{Pattern, TreePath};

use crate::plan::{FinishedLayers, Plan};

/// Adds those of `patterns` that match one of `paths` to `matched`. The paths are those that a `drop` pattern matches: another
/// one cannot match others, and a `keep` pattern that matches none of them keeps nothing.
pub(super) fn add_matches<'a>(
    patterns: impl IntoIterator<Item = &'a str>,
    paths: &BTreeSet<TreePath>,
    matched: &mut BTreeSet<String>,
) {
    for text in patterns {
        let pattern = Pattern::new(text);
        if !matched.contains(text) && paths.iter().any(|path| pattern.matches(path)) {
            matched.insert(text.to_owned());
        }
    }
}

/// A warning for each pattern of the profile that matches nothing in the layers of `plan`. There is none if layers in the
/// store do not say which patterns match: older versions of this program made them.
pub fn warnings(plan: &Plan<'_>, finished: &FinishedLayers) -> Vec<String> {
    let profile = &plan.inputs.profile.model;
    let mut all: BTreeSet<&str> = BTreeSet::new();
    let mut warnings = Vec::new();
    for image in &plan.images {
        let mut own: BTreeSet<&str> = BTreeSet::new();
        for layer in image.layers.iter().filter(|layer| layer.ingredient.opens().is_some()) {
            let Some(matched) = &finished.record(&layer.key).remarks.matched else { return Vec::new() };
            own.extend(matched.iter().map(String::as_str));
        }
        let unmatched = own_only(plan, &plan.inputs.model(&image.name).drop);
        warnings.extend(unmatched.filter(|text| !own.contains(text.as_str())).map(|text| {
            format!(
                "the pattern `{text}` in `drop` of the image {} matches no path of its packages and wheels",
                image.name
            )
        }));
        all.extend(own);
    }
    // Patterns of the base may be for images that are not part of this plan.
    if plan.images.len() == profile.images.len() {
        let model::Base { drop, keep, .. } = &profile.base;
        for (list, patterns) in [("drop", drop), ("keep", keep)] {
            let unmatched = own_only(plan, patterns).filter(|text| !all.contains(text.as_str()));
            warnings.extend(unmatched.map(|text| {
                format!("the pattern `{text}` in `{list}` of the base matches no path of the packages and wheels")
            }));
        }
    }
    warnings
}

/// The patterns that the profile itself states. One that it extends may have them for packages that this one has not.
fn own_only<'a>(plan: &Plan<'a>, patterns: &'a [toml::Spanned<String>]) -> impl Iterator<Item = &'a String> {
    let profile = plan.inputs.profile;
    patterns.iter().filter(|pattern| profile.is_own(&pattern.span())).map(toml::Spanned::get_ref)
}
