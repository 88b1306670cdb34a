//! Verifying a bundle: digests, both tables of contents, `bundle.json`, `SHA256SUMS` and `LINKS`.

use std::collections::{BTreeMap, BTreeSet};

use sealift_layers::digest::{Digest, Measured};
use sealift_layers::tree::{Content, Kind};
use sealift_layers::validate::{Depth, Report, Violation, validate};

use super::manifest::Manifest;
use super::names::{LINKS, MANIFEST, SUMS};
use super::read::{Bundle, content, read};
use crate::profile::model::Deployed;

impl Bundle {
    /// Checks everything: every digest and diff ID, both tables of contents, `SHA256SUMS`, and that `bundle.json` describes
    /// the same images.
    #[must_use]
    pub fn verify(&self, depth: Depth) -> Report {
        if self.is_bare() {
            let violations = if depth >= Depth::Digests { self.verify_files() } else { Vec::new() };
            return Report { violations, ..Report::default() };
        }
        let mut report = validate(&self.files, depth);
        if depth >= Depth::Digests {
            self.verify_sums(&mut report.violations);
        }
        if let Some(manifest) = &self.manifest {
            verify_manifest(manifest, &mut report);
        }
        report
    }

    /// Checks the part of [`Bundle::verify`] that concerns files other than blobs: they match `SHA256SUMS` and `LINKS`.
    #[must_use]
    pub fn verify_files(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        self.verify_sums(&mut violations);
        if self.is_bare() {
            self.verify_links(&mut violations);
        }
        violations
    }

    /// The SHA-256 of one of its files according to `SHA256SUMS`; `None` if it is not listed.
    #[must_use]
    pub fn sum(&self, name: &str) -> Option<Digest> {
        let sums = read(&self.files, SUMS).ok()??;
        let sums = String::from_utf8_lossy(&sums);
        sums.lines().filter_map(sum_line).find(|(_, listed)| *listed == name).map(|(digest, _)| digest)
    }

    fn is_bare(&self) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| manifest.deployment == Deployed::Systemd)
    }

    /// Symbolic links must be exactly those in `LINKS`: `SHA256SUMS` lists only files.
    fn verify_links(&self, violations: &mut Vec<Violation>) {
        // An unreadable file was reported by the check of the sums.
        let Ok(table) = read(&self.files, LINKS) else { return };
        let table = String::from_utf8_lossy(&table.unwrap_or_default()).into_owned();
        let expected: BTreeMap<&str, &str> = table.lines().filter_map(|line| line.split_once('\t')).collect();
        let links = self.files.iter().filter_map(|(path, entry)| match &entry.kind {
            Kind::Symlink(target) if !path.as_str().starts_with("site/") => Some((path.as_str(), target.as_str())),
            _ => None,
        });
        let found: BTreeMap<&str, &str> = links.collect();
        for (path, target) in &found {
            match expected.get(path) {
                Some(other) if other == target => {}
                Some(other) => violate(
                    violations,
                    path,
                    format!("points to {target} instead of {other}, which is listed in {LINKS}"),
                ),
                None => violate(violations, path, format!("is a link that is not listed in {LINKS}")),
            }
        }
        for path in expected.keys().filter(|path| !found.contains_key(*path)) {
            violate(violations, path, format!("is listed in {LINKS}, but is missing"));
        }
    }

    /// Files must be exactly those in `SHA256SUMS`, except those of the site.
    fn verify_sums(&self, violations: &mut Vec<Violation>) {
        let sums = match read(&self.files, SUMS) {
            Ok(Some(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            // An image archive that is not a bundle has no sums.
            Ok(None) if self.manifest.is_none() => return,
            Ok(None) => return violate(violations, SUMS, "is missing"),
            Err(error) => return violate(violations, SUMS, format!("cannot be read: {error}")),
        };
        let mut listed = BTreeSet::new();
        for line in sums.lines() {
            let Some((expected, name)) = sum_line(line) else {
                violate(violations, SUMS, format!("has an invalid line: `{line}`"));
                continue;
            };
            listed.insert(name);
            // Blobs are named by their digest, which was checked before.
            if name.starts_with("blobs/") {
                continue;
            }
            match content(&self.files, name).map(Content::digest) {
                None => violate(violations, name, format!("is listed in {SUMS}, but is missing")),
                Some(Ok(found)) if found == expected => {}
                Some(Ok(found)) => {
                    violate(violations, name, format!("has the digest {found}, which differs from {SUMS}"))
                }
                Some(Err(error)) => violate(violations, name, format!("cannot be read: {error}")),
            }
        }
        for (path, entry) in self.files.iter() {
            let path = path.as_str();
            let of_site = path == SUMS || path == ".env" || path.starts_with("site/");
            if matches!(entry.kind, Kind::File(_)) && !of_site && !listed.contains(path) {
                violate(violations, path, format!("is not listed in {SUMS}"));
            }
        }
    }
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

fn violate(violations: &mut Vec<Violation>, file: &str, message: impl Into<String>) {
    violations.push(Violation { file: file.to_owned(), message: message.into() });
}

/// Digest and name in a line of `SHA256SUMS`.
fn sum_line(line: &str) -> Option<(Digest, &str)> {
    let (hex, name) = line.split_once("  ")?;
    Some((hex.parse().ok()?, name))
}

#[cfg(test)]
mod tests {
    use sealift_layers::tree::{Entry, Tree, TreePath};

    use super::*;

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
        let manifest = serde_json::json!({
            "schema": 1, "sealift": "0", "product": "p", "profile": "p", "version": "1", "title": "t",
            "platform": "linux/amd64", "deployment": "systemd", "epoch": 0, "host": "localhost",
            "images": [], "packages": [], "wheels": [], "excluded": {},
        });
        Bundle { files: tree, manifest: Some(serde_json::from_value(manifest).unwrap()) }
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
        assert_eq!(violations(&bare(&files, &[("bin/b", "a"), ("site/c", "elsewhere")])), "");
    }

    #[test]
    fn changed_missing_and_unlisted_files_are_reported() {
        let sums = sums(&[("a", "a"), ("gone", "x")]) + "nonsense\n";
        insta::assert_snapshot!(violations(&bare(&[(SUMS, &sums), ("a", "changed"), ("more", "x")], &[])), @"
        a: has the digest sha256:d67e2e944994496c8d8ec76eed0cf9f09679448d584b532bebf941852a37f5ed, which differs from SHA256SUMS
        gone: is listed in SHA256SUMS, but is missing
        SHA256SUMS: has an invalid line: `nonsense`
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
    fn sum_of_a_listed_file_is_found() {
        let sums = sums(&[("sealift", "x")]);
        let bundle = bare(&[(SUMS, &sums)], &[]);
        assert_eq!(bundle.sum("sealift"), Some(Digest::of(b"x")));
        assert_eq!(bundle.sum("other"), None);
    }
}
