//! Comparing a bundle with the one that was built again.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use sealift_deployment::bundle::{Bundle, BundleImage, MANIFEST, SUMS, sbom};
use sealift_layers::archive::{INDEX, MANIFEST as IMAGES, blob_path};
use sealift_layers::codec::Codec;
use sealift_layers::limits::PROBLEMS;
use sealift_layers::validate::Violation;

use super::{content, layers};
use crate::store::Store;

/// How `given` differs from `made`, which was built again: images by layer and path, all other files by their lines.
/// Signatures are not compared, nor is a site that the host has made.
///
/// # Errors
/// A file cannot be read.
pub(super) fn bundles(given: &Bundle, made: &Bundle, store: &Store) -> Result<Vec<Violation>> {
    let mut found = images(given, made, store)?;
    let (one, other) = (sums(given)?, sums(made)?);
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differing = names.into_iter().filter(|name| one.get(*name) != other.get(*name) && !name.starts_with("blobs/"));
    let (bills, others): (Vec<&String>, Vec<&String>) = differing.partition(|name| name.starts_with(sbom::FOLDER));
    // These state the digests of images.
    let derived: &[&str] = if found.is_empty() { &[] } else { &[MANIFEST, INDEX, IMAGES] };
    for name in others.into_iter().filter(|name| !derived.contains(&name.as_str())) {
        compare_file((given, made), name, &mut found)?;
    }
    // They follow from everything else.
    if found.is_empty() {
        for name in bills {
            compare_file((given, made), name, &mut found)?;
        }
    }
    if found.is_empty() && one != other {
        add(&mut found, SUMS.to_owned(), "lists other blobs than those of its images".to_owned());
    }
    Ok(found)
}

fn compare_file((given, made): (&Bundle, &Bundle), name: &str, found: &mut Vec<Violation>) -> Result<()> {
    match (content::of(given, name)?, content::of(made, name)?) {
        (Some(one), Some(other)) => {
            let is_json = name.ends_with(".json");
            let documents = if is_json { content::document(one)?.zip(content::document(other)?) } else { None };
            match documents {
                Some((one, other)) if one != other => {
                    for (at, how) in content::values(&one, &other) {
                        add(found, name.to_owned(), format!("{at}: {how}"));
                    }
                }
                _ => add(found, name.to_owned(), content::difference(one, other)?),
            }
        }
        (Some(_), None) => add(found, name.to_owned(), "is not there when it is built again".to_owned()),
        (None, _) => add(found, name.to_owned(), "is missing: it is there when it is built again".to_owned()),
    }
    Ok(())
}

fn add(found: &mut Vec<Violation>, file: String, message: String) {
    if found.len() < PROBLEMS {
        found.push(Violation { file, message });
    }
}

/// The lines of `SHA256SUMS`: file to digest.
fn sums(bundle: &Bundle) -> Result<BTreeMap<String, String>> {
    let Some(content) = content::of(bundle, SUMS)? else { return Ok(BTreeMap::new()) };
    let text = String::from_utf8(content.read()?)?;
    let lines = text.lines().filter_map(|line| line.split_once("  "));
    Ok(lines.map(|(digest, name)| (name.to_owned(), digest.to_owned())).collect())
}

fn images(given: &Bundle, made: &Bundle, store: &Store) -> Result<Vec<Violation>> {
    let of = |bundle: &Bundle| -> Vec<BundleImage> {
        bundle.manifest.as_ref().map(|manifest| manifest.images.clone()).unwrap_or_default()
    };
    let mut found = Vec::new();
    let made_images = of(made);
    for image in of(given) {
        match made_images.iter().find(|other| other.name == image.name) {
            Some(other) => compare_image((given, &image), (made, other), store, &mut found)?,
            None => add(&mut found, format!("image {}", image.name), "is not there when it is built again".to_owned()),
        }
    }
    Ok(found)
}

fn compare_image(
    (given, image): (&Bundle, &BundleImage),
    (made, other): (&Bundle, &BundleImage),
    store: &Store,
    found: &mut Vec<Violation>,
) -> Result<()> {
    let name = format!("image {}", image.name);
    if image.layers.len() != other.layers.len() {
        let message = format!("has {} layers, built again {}", image.layers.len(), other.layers.len());
        add(found, name.clone(), message);
    }
    let before = found.len();
    let manifests = (content::json(given, &blob_path(image.digest))?, content::json(made, &blob_path(other.digest))?);
    for (number, (one, two)) in image.layers.iter().zip(&other.layers).enumerate() {
        if one.digest == two.digest {
            continue;
        }
        let media_type = manifests.0["layers"][number]["mediaType"].as_str().unwrap_or_default();
        let codec = Codec::of_media_type(media_type).unwrap_or_default();
        let layer = format!("{name}, layer {} ({})", number + 1, one.title);
        for (path, what) in layers::differences((given, one), (made, two), codec, store)? {
            let at = path.map_or_else(|| layer.clone(), |path| format!("{layer}: /{path}"));
            add(found, at, what);
        }
    }
    if found.len() > before {
        return Ok(());
    }
    let documents = [
        (
            "configuration",
            content::json(given, &blob_path(image.config))?,
            content::json(made, &blob_path(other.config))?,
        ),
        ("manifest", manifests.0, manifests.1),
    ];
    for (what, one, two) in documents {
        for (at, how) in content::values(&one, &two) {
            add(found, format!("{name}, {what}"), format!("{at}: {how}"));
        }
    }
    Ok(())
}
