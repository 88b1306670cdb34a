//! Where a bundle comes from: an in-toto statement (in-toto attestation framework, "Statement" v1) with a predicate of SLSA
//! (slsa.dev, "Provenance" v1).
//!
//! Every bundle has one as a file, for its `bundle.json` and its images. A signed one is for `SHA256SUMS`, which has the
//! digests of all files, and is added later. Both follow from `bundle.json`, the lock and the digests alone: the same bundle has
//! the same statements. There is no time. The source of the program in the bundle is in them by its digest, which its
//! build computed (`build/main.rs`), and not by a revision, which a build without the repository's history does not know.

use std::collections::BTreeMap;

use sealift_deployment::bundle::{Manifest, sbom};
use sealift_layers::digest::Digest;
use serde_json::{Value, json};

use crate::lock::{Debian, Lock};

/// What a statement is made of.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    /// The bundle's `bundle.json`.
    pub(crate) manifest: &'a Manifest,
    /// Its lock.
    pub(crate) lock: &'a Lock,
    /// What the statement is about: names and digests.
    pub(crate) subjects: &'a [(String, Digest)],
    /// Its files by name: profile, lock and program are looked up.
    pub(crate) files: &'a BTreeMap<String, Digest>,
}

/// The profile in a bundle.
pub(crate) const PROFILE: &str = "profile/profile.toml";
/// The lock in a bundle.
pub(crate) const LOCK: &str = "profile/sealift.lock";
/// How this program builds bundles. The number grows when the fields below change their meaning.
const BUILD_TYPE: &str = "urn:sealift:bundle:1";
/// Who builds.
const BUILDER: &str = "urn:sealift";

/// The statement, as compact JSON with sorted keys.
pub(crate) fn statement(facts: &Facts<'_>) -> String {
    let Facts { manifest, lock, subjects, files } = facts;
    let mut dependencies: Vec<Value> = Vec::new();
    for name in [PROFILE, LOCK] {
        dependencies.extend(files.get(name).map(|digest| json!({ "name": name, "digest": sha256(*digest) })));
    }
    if let Some(platform) = lock.platforms.get(&manifest.platform) {
        dependencies.push(index("debian", &platform.debian));
        dependencies.extend(platform.archives.iter().map(|(name, archive)| index(name, archive)));
    }
    let bill = sbom::of(manifest, files.get("sealift").copied());
    for component in &bill.components {
        let Some(hash) = component.hashes.first() else { continue };
        let is_own = component.bom_ref.as_deref().is_some_and(|name| name.starts_with("image:"));
        if is_own {
            continue;
        }
        let mut dependency = json!({ "name": component.name, "digest": { "sha256": hash.content } });
        if let Some(purl) = &component.purl {
            dependency["uri"] = purl.as_str().into();
        }
        dependencies.push(dependency);
    }
    for made in &manifest.program {
        let name = format!("source of {} {}", made.name, made.version);
        dependencies.extend(made.source.map(|source| json!({ "name": name, "digest": { "dirHash": source.hex() } })));
    }
    let images: Vec<Value> = manifest
        .images
        .iter()
        .map(|image| json!({ "name": image.reference, "digest": sha256(image.digest) }))
        .collect();
    let subjects: Vec<Value> =
        subjects.iter().map(|(name, digest)| json!({ "name": name, "digest": sha256(*digest) })).collect();
    let mut internal = json!({ "epoch": manifest.epoch });
    let parts = [
        ("written", serde_json::to_value(&manifest.written)),
        ("bytecode", serde_json::to_value(&manifest.bytecode)),
        ("compiled", serde_json::to_value(&manifest.compiled)),
    ];
    for (name, value) in parts {
        if let Some(value) = value.ok().filter(|value| !value.is_null()) {
            internal[name] = value;
        }
    }
    let text = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "product": manifest.product,
                    "profile": manifest.profile,
                    "version": manifest.version,
                    "platform": manifest.platform,
                    "forOneInstallation": !manifest.site.is_empty(),
                },
                "internalParameters": internal,
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": { "id": BUILDER, "version": { "sealift": manifest.sealift } },
                "byproducts": images,
            },
        },
    });
    text.to_string()
}

/// A signed index of a Debian archive.
fn index(name: &str, archive: &Debian) -> Value {
    json!({
        "name": format!("{name}: {}", archive.suite),
        "digest": sha256(archive.release),
        "annotations": { "date": archive.date, "signedBy": archive.signed_by },
    })
}

fn sha256(digest: Digest) -> Value {
    json!({ "sha256": digest.hex() })
}
