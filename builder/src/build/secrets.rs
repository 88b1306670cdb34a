//! No secret in a layer: private keys in the files of any build, and in a build for a site, the texts of its secrets.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use sealift_deployment::failure::Failure;
use sealift_deployment::site::Site;
use sealift_deployment::ui::{self, Ui};
use sealift_layers::digest::Digest;
use sealift_layers::secrets::{Found, Scanner};
use sealift_layers::tree::{Pattern, TreePath};

use crate::plan::{FinishedLayers, Image, Layer, Plan};
use crate::store::Store;

/// Libraries of Debian with keys for their own tests at run time, which everybody has: package, and path.
const KNOWN: [(&str, &str); 1] = [("libgnutls", "/usr/lib/*/libgnutls.so.*")];

/// Checks the layers of `plan`. Those that the store has are known; for a site, all are read.
///
/// # Errors
/// A file has a private key that the profile does not allow, or a secret of the site.
pub(super) fn check(
    plan: &Plan<'_>,
    layers: &FinishedLayers,
    store: &Store,
    site: Option<&Site>,
    ui: &Ui,
) -> Result<()> {
    let profile = plan.inputs.profile;
    let known = site.map(|site| site.secret_texts(&profile.model, &profile.sources)).transpose()?;
    let mut scanner = known.map(|known| {
        let known: Vec<(&str, &[u8])> = known.iter().map(|(name, text)| (name.as_str(), text.as_slice())).collect();
        Scanner::new(&known)
    });
    let mut of_site: BTreeMap<Digest, Found> = BTreeMap::new();
    let mut errors = BTreeSet::new();
    for image in &plan.images {
        let mut published = BTreeSet::new();
        let mut allowed = Allowed::of(plan, image);
        for layer in &image.layers {
            let blob = layers.record(&layer.key).layer.digest;
            let mut found = store.private_keys(&layer.key, blob, plan.inputs.options.codec)?;
            found.retain(|path, _| !allowed.has(path) && !source(path).is_some_and(|source| allowed.has(&source)));
            if let Some(scanner) = &mut scanner {
                let of_site = match of_site.entry(blob) {
                    std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                    std::collections::btree_map::Entry::Vacant(new) => {
                        let mut found = store.search(blob, plan.inputs.options.codec, scanner)?;
                        // The keys that anybody's files have were looked for before.
                        found.values_mut().for_each(|found| found.retain(|what| !what.starts_with("a private key")));
                        new.insert(found)
                    }
                };
                for (path, what) in of_site.iter() {
                    found.entry(path.clone()).or_default().extend(what.iter().cloned());
                }
            }
            found.retain(|_, what| !what.is_empty());
            let sources: BTreeSet<TreePath> = found.keys().cloned().collect();
            found.retain(|path, _| !source(path).is_some_and(|source| sources.contains(&source)));
            for (line, is_published) in told(plan, layer, store, found)? {
                match is_published {
                    true => published.insert(line),
                    false => errors.insert(format!("  image {}: {line}", image.name)),
                };
            }
        }
        if let Some(first) = published.first() {
            let more = match published.len() - 1 {
                0 => String::new(),
                more => format!(", and so have {}", ui::count(more, "other file")),
            };
            let why = "Debian publishes it, so it protects nothing; `allow-secrets` silences this";
            ui.warn(&format!("image {}: {first}{more}: {why}", image.name));
        }
        for pattern in allowed.unused() {
            ui.warn(&format!("image {}: allow-secrets: no private key is at `{pattern}`", image.name));
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    let count = ui::count(errors.len(), "file");
    let lines: Vec<String> = errors.into_iter().collect();
    // Never the line for a secret of a site.
    let key = lines.iter().find(|line| line.contains(" has a private key"));
    let path = key.and_then(|line| line.split_once(": ")?.1.split(" of ").next());
    let allow = path.map(|path| format!(": allow-secrets = {{ \"{path}\" = \"REASON\" }}")).unwrap_or_default();
    let hint = format!(
        "whoever gets the bundle or an image gets them: leave the file out with `drop`; a key that everybody may have, such as \
         one for tests in a program, is allowed with its reason in `allow-secrets` of the image{allow}"
    );
    Err(Failure::failed(format!("the images would have secrets in {count}:\n{}", lines.join("\n"))).hint(hint).into())
}

/// The Python source of a file with bytecode (PEP 3147), which has the texts of its source.
fn source(path: &TreePath) -> Option<TreePath> {
    let (folder, name) = path.as_str().split_once("__pycache__/")?;
    let module = name.strip_suffix(".pyc")?.split('.').next()?;
    TreePath::new(&format!("{folder}{module}.py")).ok()
}

/// A line for each file, and whether Debian publishes it: such a key is nobody's secret.
fn told(plan: &Plan<'_>, layer: &Layer, store: &Store, found: Found) -> Result<Vec<(String, bool)>> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let listing = store.listing(&layer.key)?;
    let line = |(path, what): (TreePath, BTreeSet<String>)| {
        let origin = listing.get(&path).map_or("", |entry| entry.origin.as_str());
        let is_known = |(package, pattern): &(&str, &str)| {
            origin.starts_with(&format!("package {package}")) && Pattern::new(pattern).matches(&path)
        };
        if KNOWN.iter().any(is_known) {
            return None;
        }
        let what: Vec<String> = what.into_iter().collect();
        let is_key = what.iter().all(|what| what.starts_with("a private key"));
        let is_published = is_key && is_of_debian(plan, origin);
        Some((format!("/{path} of {origin} has {}", what.join(", ")), is_published))
    };
    Ok(found.into_iter().filter_map(line).collect())
}

/// Whether a file of this origin is in a package that Debian itself has signed: of an archive that says so, and whose key is on
/// the machine's keyring of Debian's archives, not one of the profile.
fn is_of_debian(plan: &Plan<'_>, origin: &str) -> bool {
    let name = origin.strip_prefix("package ").and_then(|rest| rest.split(' ').next());
    let Some(package) = name.and_then(|name| plan.inputs.package(name).ok()) else { return false };
    let debian = plan.inputs.profile.model.debian.get_ref();
    let archive = package.archive.as_ref().and_then(|name| debian.archives.get(name.as_str()));
    let has_own_key = debian.keyring.is_some() || archive.is_some_and(|archive| archive.keyring.is_some());
    plan.inputs.lock.vendor(package).is_none() && !has_own_key
}

/// The patterns of `allow-secrets` for an image, and whether each was needed. Those of the base may be for other images.
struct Allowed {
    own: BTreeMap<String, (Pattern, bool)>,
    base: Vec<Pattern>,
}

impl Allowed {
    fn of(plan: &Plan<'_>, image: &Image) -> Self {
        let model = &plan.inputs.profile.model;
        let own = plan.inputs.model(&image.name).allow_secrets.keys();
        let own = own.map(|pattern| (pattern.get_ref().clone(), (Pattern::new(pattern.get_ref()), false)));
        let base = model.base.allow_secrets.keys().map(|pattern| Pattern::new(pattern.get_ref()));
        Self { own: own.collect(), base: base.collect() }
    }

    fn has(&mut self, path: &TreePath) -> bool {
        let mut is_allowed = self.base.iter().any(|pattern| pattern.matches(path));
        for (pattern, is_used) in self.own.values_mut() {
            if pattern.matches(path) {
                (is_allowed, *is_used) = (true, true);
            }
        }
        is_allowed
    }

    fn unused(&self) -> impl Iterator<Item = &String> {
        self.own.iter().filter(|(_, (_, is_used))| !is_used).map(|(pattern, _)| pattern)
    }
}
