//! Verifying a bundle: digests, both tables of contents, `bundle.json`, `SHA256SUMS` and `LINKS`.

use std::collections::BTreeMap;

use sealift_layers::digest::{Digest, Measured};
use sealift_layers::escape::line;
use sealift_layers::limits::Limits;
use sealift_layers::tree::{Content, TreePath};
pub(super) use sealift_layers::validate::add as violate;
use sealift_layers::validate::{Depth, Report, Violation, validate};

use super::manifest::{BundleImage, BundleLayer, Manifest};
use super::names::{MANIFEST, SUMS, is_of_site};
use super::read::{Bundle, Form, content, read};
use crate::profile::model::Deployed;

impl Bundle {
    /// Checks everything: every digest and diff ID, both tables of contents, `SHA256SUMS`, that `bundle.json` describes
    /// the same images, and that there is nothing else. The site that a host made in an unpacked bundle is not part of it.
    #[must_use]
    pub fn verify(&self, depth: Depth) -> Report {
        if self.is_bare() {
            let violations = if depth >= Depth::Digests { self.verify_files() } else { Vec::new() };
            return Report { violations, ..Report::default() };
        }
        let mut report = validate(&self.files, depth, self.limits);
        if depth >= Depth::Digests {
            self.verify_files().into_iter().for_each(|found| report.violation(&found.file, found.message));
        }
        if let Some(manifest) = &self.manifest {
            verify_manifest(manifest, &mut report);
            if let Some(what) = too_large(&manifest.images, self.limits) {
                report.violation(MANIFEST, format!("states that {what}; --limit-unpacked SIZE allows more"));
            }
            let unusual = std::mem::take(&mut report.unusual);
            unusual.into_iter().for_each(|found| report.violation(&found.file, found.message));
        }
        report
    }

    /// Checks the part of [`Bundle::verify`] that concerns files other than blobs: they match `SHA256SUMS` and `LINKS`,
    /// and nothing else is there.
    #[must_use]
    pub fn verify_files(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        let Some(sums) = self.sums(&mut violations) else { return violations };
        let packed = self.form == Form::Archive;
        for (name, expected) in &sums {
            // Blobs of images are named by their digest, which was checked before.
            if (!name.starts_with("blobs/") || self.is_bare()) && (packed || !is_of_site(name)) {
                self.verify_sum(name, *expected, &mut violations);
            }
        }
        if self.manifest.is_some() {
            self.verify_members(&sums, &mut violations);
            self.verify_signatures(&mut violations);
        }
        violations
    }

    /// Checks the site of an unpacked bundle for one installation before its first start: it is the one that `SHA256SUMS`
    /// and `bundle.json` name, and nothing else. `None` for a bundle without a site.
    #[must_use]
    pub fn verify_site(&self) -> Option<Vec<Violation>> {
        if self.manifest.as_ref().is_none_or(|manifest| manifest.site.is_empty()) {
            return None;
        }
        let mut violations = Vec::new();
        let sums = self.sums(&mut violations).unwrap_or_default();
        for (name, expected) in sums.iter().filter(|(name, _)| is_of_site(name)) {
            self.verify_sum(name, *expected, &mut violations);
        }
        self.verify_site_members(&sums, &mut violations);
        Some(violations)
    }

    /// The SHA-256 of one of its files according to `SHA256SUMS`; `None` if it is not listed.
    #[must_use]
    pub fn sum(&self, name: &str) -> Option<Digest> {
        self.sums(&mut Vec::new())?.get(name).copied()
    }

    pub(super) fn is_bare(&self) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| manifest.deployment == Deployed::Systemd)
    }

    /// The lines of `SHA256SUMS`: file to digest. `None` if there are none.
    fn sums(&self, violations: &mut Vec<Violation>) -> Option<BTreeMap<String, Digest>> {
        let text = match read(&self.files, SUMS) {
            Ok(Some(bytes)) => match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(_) => {
                    violate(violations, SUMS, "is not UTF-8");
                    return None;
                }
            },
            // An image archive that is not a bundle has no sums.
            Ok(None) if self.manifest.is_none() => return None,
            Ok(None) => {
                violate(violations, SUMS, "is missing");
                return None;
            }
            Err(error) => {
                violate(violations, SUMS, format!("cannot be read: {error}"));
                return None;
            }
        };
        let mut sums = BTreeMap::new();
        // Not `lines`: `sha256sum -c` takes a carriage return for a part of the name.
        for text in text.strip_suffix('\n').unwrap_or(&text).split('\n') {
            match sum_line(text) {
                None => violate(violations, SUMS, format!("has an invalid line: `{}`", line(text))),
                Some((digest, name)) => {
                    if sums.insert(name.to_owned(), digest).is_some() {
                        violate(violations, SUMS, format!("lists {} twice", line(name)));
                    }
                }
            }
        }
        Some(sums)
    }

    fn verify_sum(&self, name: &str, expected: Digest, violations: &mut Vec<Violation>) {
        match content(&self.files, name).map(Content::digest) {
            None => violate(violations, name, format!("is listed in {SUMS}, but is missing")),
            Some(Ok(found)) if found == expected => {}
            Some(Ok(found)) => violate(violations, name, format!("has the digest {found}, which differs from {SUMS}")),
            Some(Err(error)) => violate(violations, name, format!("cannot be read: {error}")),
        }
    }
}

/// What is wrong with the sizes of the layers of `images`: they unpack to more than `limits` allow. Engines believe what they
/// are given, so that a small file could fill the disk.
#[must_use]
pub fn too_large(images: &[BundleImage], limits: Limits) -> Option<String> {
    let layers: BTreeMap<Digest, &BundleLayer> =
        images.iter().flat_map(|image| &image.layers).map(|layer| (layer.digest, layer)).collect();
    let sum =
        |size: fn(&BundleLayer) -> u64| layers.values().fold(0, |sum: u64, layer| sum.saturating_add(size(layer)));
    for layer in layers.values() {
        let (packed, unpacked, limit) = (layer.size, layer.unpacked, limits.bundle(layer.size));
        if unpacked > limit {
            let BundleLayer { digest, .. } = layer;
            return Some(format!(
                "the layer {digest} of {packed} bytes unpacks to {unpacked}, more than the {limit} that are allowed"
            ));
        }
    }
    let (packed, unpacked) = (sum(|layer| layer.size), sum(|layer| layer.unpacked));
    let limit = limits.bundle(packed);
    (unpacked > limit)
        .then(|| format!("the layers of {packed} bytes unpack to {unpacked}, more than the {limit} that are allowed"))
}

/// `bundle.json` must describe exactly the images of `index.json`.
fn verify_manifest(manifest: &Manifest, report: &mut Report) {
    let Report { images, violations, .. } = report;
    for image in &manifest.images {
        let name = &image.reference;
        let layers = image.layers.iter().map(|layer| Measured { digest: layer.digest, size: layer.size });
        match images.iter().find(|found| found.name == *name) {
            None => violate(violations, MANIFEST, format!("has the image {name}, which is not in index.json")),
            Some(found) if (found.digest, found.config_digest) != (image.digest, image.config) => {
                violate(violations, MANIFEST, format!("has digests of the image {name} that differ from index.json"));
            }
            Some(found) if !layers.eq(found.layers.iter().copied()) => {
                violate(violations, MANIFEST, format!("has layers of the image {name} that differ from its manifest"));
            }
            Some(_) => {}
        }
    }
    for found in images.iter() {
        if !manifest.images.iter().any(|image| image.reference == found.name) {
            violate(violations, MANIFEST, format!("lacks the image {}", found.name));
        }
    }
}

/// Digest and name in a line of `SHA256SUMS`. The name is a path in the form that members have.
fn sum_line(line: &str) -> Option<(Digest, &str)> {
    let (hex, name) = line.split_once("  ")?;
    let digest = hex.parse().ok()?;
    TreePath::new(name).is_ok_and(|path| path.as_str() == name).then_some((digest, name))
}

#[cfg(test)]
mod tests {
    use sealift_layers::tree::{Entry, Tree};

    use super::*;
    use crate::bundle::members::tests::manifest;
    use crate::bundle::names::LINKS;

    /// A bundle without containers that has these files and links.
    fn bare(files: &[(&str, &str)], links: &[(&str, &str)]) -> Bundle {
        let mut tree = Tree::new();
        let origin = "test".into();
        for (path, text) in files {
            let content = Content::from(text.as_bytes().to_vec());
            tree.insert(TreePath::new(path).unwrap(), Entry::file(content, 0o644, &origin));
        }
        for (path, target) in links {
            tree.insert(TreePath::new(path).unwrap(), Entry::symlink((*target).to_owned(), &origin));
        }
        Bundle {
            files: tree,
            form: Form::Folder { owner: 0 },
            oddities: Vec::new(),
            limits: Limits::default(),
            signature: None,
            manifest: Some(manifest("systemd")),
        }
    }

    fn violations(bundle: &Bundle) -> String {
        bundle.verify(Depth::Digests).violations.iter().map(|violation| format!("{violation}\n")).collect()
    }

    fn sums(files: &[(&str, &str)]) -> String {
        files.iter().map(|(name, text)| format!("{}  {name}\n", Digest::of(text.as_bytes()).hex())).collect()
    }

    #[test]
    fn files_and_links_that_match_are_accepted() {
        let listed = [("bin/a", "a"), (LINKS, "bin/b\ta\n")];
        let sums = sums(&listed);
        let files = [&listed[..], &[(SUMS, &sums), (".env", "X=1"), ("site/settings.toml", "")]].concat();
        assert_eq!(violations(&bare(&files, &[("bin/b", "a")])), "");
    }

    #[test]
    fn changed_missing_and_unlisted_files_are_reported() {
        let sums = sums(&[("a", "a"), ("gone", "x")]) + "nonsense\n";
        insta::assert_snapshot!(violations(&bare(&[(SUMS, &sums), ("a", "changed"), ("more", "x")], &[])), @"
        SHA256SUMS: has an invalid line: `nonsense`
        a: has the digest sha256:d67e2e944994496c8d8ec76eed0cf9f09679448d584b532bebf941852a37f5ed, which differs from SHA256SUMS
        gone: is listed in SHA256SUMS, but is missing
        more: is not listed in SHA256SUMS
        ");
        insta::assert_snapshot!(violations(&bare(&[("a", "a")], &[])), @"SHA256SUMS: is missing");
    }

    #[test]
    fn links_that_differ_are_reported() {
        let table = "a\tone\nb\tone\n";
        let sums = sums(&[(LINKS, table)]);
        let bundle = bare(&[(SUMS, &sums), (LINKS, table)], &[("a", "two"), ("c", "one")]);
        insta::assert_snapshot!(violations(&bundle), @"
        a: points to two instead of one, which is listed in LINKS
        c: is a link that is not listed in LINKS
        b: is listed in LINKS, but is missing
        ");
    }

    #[test]
    fn layers_may_not_state_more_than_the_limits() {
        let layer = |size: u64, unpacked: u64| {
            let layer = serde_json::json!({
                "title": "t", "digest": Digest::of(&size.to_le_bytes()), "size": size, "diff-id": Digest::of(b"b"), "unpacked": unpacked,
            });
            let image = serde_json::json!({
                "name": "i", "reference": "i:1", "digest": Digest::of(b"c"), "config": Digest::of(b"d"),
                "layers": [layer], "packages": [],
            });
            serde_json::from_value::<BundleImage>(image).unwrap()
        };
        assert_eq!(too_large(&[layer(1, 1 << 30)], Limits::default()), None);
        // A layer of several images is stored once.
        assert_eq!(too_large(&[layer(1, 1 << 30), layer(1, 1 << 30)], Limits::default()), None);
        let one = [layer(1, (1 << 30) + 1)];
        assert!(
            too_large(&one, Limits::default())
                .unwrap()
                .ends_with("of 1 bytes unpacks to 1073741825, more than the 1073741824 that are allowed")
        );
        assert_eq!(too_large(&one, Limits { unpacked: Some(2 << 30) }), None);
        let two = [layer(1, 1 << 29), layer(2, (1 << 29) + 1)];
        let expected = "the layers of 3 bytes unpack to 1073741825, more than the 1073741824 that are allowed";
        assert_eq!(too_large(&two, Limits::default()).as_deref(), Some(expected));
        assert!(too_large(&[layer(u64::MAX, u64::MAX)], Limits::default()).is_none());
    }

    /// `sha256sum -c` looked for another file than `verify`.
    #[test]
    fn lines_that_sha256sum_reads_otherwise_are_refused() {
        let sums = sums(&[("a", "a")]).replace('\n', "\r\n");
        let found = violations(&bare(&[(SUMS, &sums), ("a", "a")], &[]));
        assert!(found.contains("a\\r: is listed in SHA256SUMS, but is missing"), "{found}");
    }

    /// Nothing looked at the blobs of a bundle that called itself one without containers.
    #[test]
    fn every_file_of_a_bundle_without_containers_is_compared() {
        let sums = sums(&[("blobs/sha256/x", "x")]);
        let found = violations(&bare(&[(SUMS, &sums), ("blobs/sha256/x", "changed")], &[]));
        assert!(found.contains("blobs/sha256/x: has the digest"), "{found}");
    }

    #[test]
    fn sum_of_a_listed_file_is_found() {
        let sums = sums(&[("sealift", "x")]);
        let bundle = bare(&[(SUMS, &sums)], &[]);
        assert_eq!(bundle.sum("sealift"), Some(Digest::of(b"x")));
        assert_eq!(bundle.sum("other"), None);
    }
}
