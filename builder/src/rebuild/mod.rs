//! Building a bundle again from what it says of itself, to show where its bytes come from (`sealift verify --rebuild`).
//!
//! A bundle has its profile, its lock and the program for the host. From these, and from the artifacts that the lock names,
//! everything is made again in a store of its own: no layer that the machine has already is used. Then all is compared.

mod compare;
mod content;
mod layers;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sealift_deployment::bundle::{Bundle, Form, Manifest, open_within, plain};
use sealift_deployment::failure::Failure;
use sealift_deployment::profile::Profile;
use sealift_deployment::profile::model::Deployed;
use sealift_deployment::profile::names::PROGRAM;
use sealift_deployment::site;
use sealift_deployment::ui::Ui;
use sealift_layers::codec::Codec;
use sealift_layers::digest::Digest;
use sealift_layers::limits::Limits;
use sealift_layers::tree::{Kind, TreePath};
use sealift_layers::validate::Violation;

use crate::build::{self, BuildRequest, LockPolicy, Target};
use crate::lock::requirement_files;
use crate::servers::Servers;
use crate::signing;
use crate::store::Store;

/// What a bundle is built again with.
#[derive(Debug)]
pub struct Request<'a> {
    /// The bundle. It has been verified.
    pub bundle: &'a Bundle,
    /// Its file, or the folder that it was unpacked into.
    pub path: &'a Path,
    /// Files, and folders of files, that are used instead of fetching.
    pub artifacts: Vec<PathBuf>,
    /// Folder of the paths of Nix closures.
    pub nix_store: PathBuf,
    /// Limits of what packages, wheels and crates unpack to.
    pub limits: Limits,
    /// The time in seconds since 1970, for the certificates of a bundle with a site.
    pub now: u64,
    /// Number of threads.
    pub jobs: usize,
}

/// A bundle that was built again.
#[derive(Debug)]
pub struct Rebuilt {
    /// Digest of its file, which has no signatures.
    pub digest: Digest,
    /// Number of the artifacts that it was made of.
    pub artifacts: usize,
    /// How the bundle differs from it, apart from signatures; nothing when both have the same bytes.
    pub differences: Vec<Violation>,
}

/// Builds a bundle again and compares. Artifacts are taken from `store`, which keeps those that are fetched; its layers are
/// not.
///
/// # Errors
/// It is no bundle, an artifact is not available, or the build fails.
pub fn rebuild(request: &Request<'_>, servers: &Servers<'_>, store: &Store, ui: &Ui) -> Result<Rebuilt> {
    let Some(manifest) = &request.bundle.manifest else {
        let message = format!("{} is not a bundle: nothing in it says how it was built", request.path.display());
        return Err(Failure::usage(message).hint("name a file that `sealift build` wrote").into());
    };
    let place = store.temporary_directory()?;
    let made = place.path().join("bundle.tar");
    let artifacts = build_again(request, manifest, place.path(), &made, (servers, store), ui)
        .with_context(|| format!("{} cannot be built again", request.path.display()))?;
    let rebuilt = open_within(&made, request.bundle.limits)?;
    let mut differences = compare::bundles(request.bundle, &rebuilt, store)?;
    if differences.is_empty()
        && request.bundle.form == Form::Archive
        && !signing::is_same_unsigned(request.path, &made)?
    {
        let message = "has the same files as the bundle that was built again, but other bytes around them".to_owned();
        differences.push(Violation { file: "the archive".to_owned(), message });
    }
    let digest = Digest::of_reader(fs_err::File::open(&made)?)?.digest;
    Ok(Rebuilt { digest, artifacts, differences })
}

/// Builds the bundle into the file `made`, in a new store in the folder `place`. Returns the number of artifacts.
fn build_again(
    request: &Request<'_>,
    manifest: &Manifest,
    place: &Path,
    made: &Path,
    (servers, store): (&Servers<'_>, &Store),
    ui: &Ui,
) -> Result<usize> {
    extract(request.bundle, place)?;
    let argument = place.join("profile").display().to_string();
    let profile = Profile::find(&argument)?;
    refuse_outside(&profile)?;
    let site = if manifest.site.is_empty() {
        None
    } else {
        Some(site::load(&place.join("site"), &profile.model, request.now.cast_signed())?)
    };
    let program = Some(place.join(PROGRAM)).filter(|program| program.exists());
    let mut again = BuildRequest {
        profile: &profile,
        platform: manifest.platform.parse()?,
        codec: codec(request, manifest)?,
        site,
        lock: LockPolicy::Keep,
        artifacts: request.artifacts.clone(),
        with: Vec::new(),
        layers_from: Vec::new(),
        epoch: Some(manifest.epoch),
        nix_store: request.nix_store.clone(),
        limits: request.limits,
        now: request.now,
        jobs: request.jobs,
        target: Target::Bundle { output: Some(made.to_owned()), program, own_program: None, key: None },
    };
    let artifacts = build::gather(&again, servers, store, ui)?;
    let count = artifacts.len();
    again.artifacts.extend(artifacts);
    build::run(&again, servers, &Store::open(&place.join("store"))?, ui)?;
    Ok(count)
}

/// Refuses a profile that reads files of this machine. Requirements and wheels may be outside of the folder of a profile whose
/// author builds it; of what is in a bundle, nothing is there.
fn refuse_outside(profile: &Profile) -> Result<()> {
    for venv in profile.model.images.values().filter_map(|image| image.venv.as_ref()) {
        let wheels = venv.wheels.iter().map(|path| profile.sources.path(path.get_ref()));
        for path in wheels.chain(requirement_files(profile, venv)) {
            if path.exists() && !profile.sources.contain(&path) {
                let message = format!("its profile names {}, which is not in the bundle", path.display());
                let hint = "do not use it: no bundle that can be built again elsewhere has such a profile";
                return Err(Failure::verification(message).hint(hint).into());
            }
        }
    }
    Ok(())
}

/// Writes the parts of the bundle that it is built from: profile, site and program.
fn extract(bundle: &Bundle, place: &Path) -> Result<()> {
    for (path, entry) in bundle.files.iter() {
        let Kind::File(content) = &entry.kind else { continue };
        let name = path.as_str();
        if !(name == PROGRAM || name.starts_with("profile/") || name.starts_with("site/")) {
            continue;
        }
        let target = place.join(name);
        if let Some(folder) = target.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let mut file = fs_err::File::create(&target)?;
        content.copy_to(&mut file)?;
        fs_err::set_permissions(&target, PermissionsExt::from_mode(entry.mode))?;
    }
    Ok(())
}

/// How the layers of a bundle are compressed, or for one without images the whole.
fn codec(request: &Request<'_>, manifest: &Manifest) -> Result<Codec> {
    if manifest.deployment == Deployed::Systemd {
        let is_packed = request.bundle.form == Form::Archive;
        return Ok(if is_packed { plain(request.path, request.limits)?.1 } else { Codec::default() });
    }
    let Some(image) = manifest.images.first() else { return Ok(Codec::default()) };
    let document = content::json(request.bundle, &sealift_layers::archive::blob_path(image.digest))?;
    let media_type = document["layers"][0]["mediaType"].as_str().unwrap_or_default();
    Ok(Codec::of_media_type(media_type).unwrap_or_default())
}

/// The path of a file in a bundle, whose names are all paths of trees.
fn path(name: &str) -> Result<TreePath> {
    Ok(TreePath::new(name)?)
}
