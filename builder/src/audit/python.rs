//! Which wheels have newer versions on the Python index.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use anyhow::Result;
use pep440_rs::{Version, VersionSpecifiers};
use sealift_deployment::bundle::{Manifest, Wheel};
use sealift_deployment::profile::Profile;
use sealift_deployment::ui::Ui;
use sealift_layers::ingredients::wheel::WheelFileName;

use super::components::Images;
use super::finding::{Kind, Outdated};
use crate::lock;
use crate::parallel::in_parallel;
use crate::python::simple::Listed;
use crate::python::tags::Target;
use crate::resolve;
use crate::servers::Servers;

/// Pages that are fetched at a time.
const AT_A_TIME: usize = 8;

/// The wheels with newer versions, and those that could not be compared, with the reason.
///
/// # Errors
/// An index cannot be reached, or its page is malformed.
pub(super) fn compare(
    (profile, locked): (&Profile, &lock::Platform),
    manifest: &Manifest,
    servers: &Servers<'_>,
    ui: &Ui,
) -> Result<(Vec<Outdated>, Vec<String>)> {
    // Before there are bars: whether there is an index at all.
    servers.python_indexes()?;
    let pythons = pythons(profile, manifest)?;
    let phase = ui.steps("Checking", manifest.wheels.len() as u64);
    let look_up = |wheel: &Wheel| {
        let entry = locked.wheels.iter().find(|entry| entry.file_name() == wheel.file);
        let found = match entry {
            Some(entry) if entry.local => Err("it is a file of the profile, of no index"),
            _ => {
                phase.item(&wheel.name);
                let listed = servers.listing(&wheel.name, entry.and_then(|entry| entry.index.as_deref()))?;
                listed.ok_or("no index has it")
            }
        };
        phase.inc(1);
        let of_image = |name: &str| pythons.get(name).filter(|_| has(manifest, name, wheel));
        let targets: Vec<&Target> = pythons.keys().filter_map(|name| of_image(name)).collect();
        Ok(found.map(|listed| newest(&wheel.version, &listed, &targets)))
    };
    // One before all: a server that does not answer is not asked for each.
    let (first, others) = manifest.wheels.split_at(manifest.wheels.len().min(1));
    let mut found = in_parallel(1, first, look_up)?;
    found.extend(in_parallel(AT_A_TIME, others, look_up)?);
    phase.finish(&sealift_deployment::ui::count(manifest.wheels.len(), "wheel"));
    let (mut outdated, mut not_checked) = (Vec::new(), Vec::new());
    let images = Images::with(manifest, |image| &image.wheels);
    for (wheel, found) in manifest.wheels.iter().zip(found) {
        match found {
            Err(why) => not_checked.push(format!("the wheel {} {}: {why}", wheel.name, wheel.version)),
            Ok(None) => {}
            Ok(Some(newest)) => outdated.push(Outdated {
                kind: Kind::Wheel,
                name: wheel.name.clone(),
                source: None,
                version: wheel.version.clone(),
                newest,
                archive: None,
                security: false,
                images: images.of(&wheel.file),
            }),
        }
    }
    Ok((outdated, not_checked))
}

/// The Python of each image that has one.
fn pythons<'m>(profile: &Profile, manifest: &'m Manifest) -> Result<BTreeMap<&'m str, Target>> {
    let of = |name: &str| profile.model.images.get(name)?.venv.as_ref();
    let images = manifest.images.iter().filter_map(|image| Some((image.name.as_str(), of(&image.name)?)));
    images.map(|(name, venv)| Ok((name, resolve::target_in(venv, manifest)?))).collect()
}

/// Whether an image has a wheel.
fn has(manifest: &Manifest, image: &str, wheel: &Wheel) -> bool {
    manifest.images.iter().any(|other| other.name == image && other.wheels.contains(&wheel.file))
}

/// The newest version, if it is newer than `own`, with a wheel that one of the `targets` could install. Versions before a release
/// count only where `own` is one; those that were withdrawn do not count.
fn newest(own: &str, listed: &[Listed], targets: &[&Target]) -> Option<String> {
    let own = Version::from_str(own).ok()?;
    let files = listed.iter().filter(|file| !file.is_yanked);
    let files = files.filter(|file| targets.iter().any(|target| installs(target, file)));
    let versions = files.filter_map(|file| Some(file.file_name.parse::<WheelFileName>().ok()?.version));
    let counts = |version: &Version| *version > own && (own.any_prerelease() || !version.any_prerelease());
    versions.filter(counts).max().map(|version| version.to_string())
}

/// Whether a Python can install a file. As for pip, versions of Python that are malformed exclude none.
fn installs(target: &Target, file: &Listed) -> bool {
    let specifiers = file.requires_python.as_deref().and_then(|text| text.parse::<VersionSpecifiers>().ok());
    let is_fit = file.file_name.parse::<WheelFileName>().is_ok_and(|name| target.rank(&name).is_some());
    is_fit && specifiers.is_none_or(|specifiers| target.satisfies(&specifiers))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(python: &str) -> Target {
        Target::new(python, "linux/amd64".parse().unwrap(), "2.36").unwrap()
    }

    #[test]
    fn the_newest_release_that_was_not_withdrawn() {
        let listed = |name: &str, is_yanked| Listed { file_name: name.to_owned(), is_yanked, requires_python: None };
        let newest = |own: &str, files: &[Listed]| super::newest(own, files, &[&target("3.11")]);
        let files = [
            listed("a-1.9-py3-none-any.whl", false),
            listed("a-1.10-py3-none-any.whl", false),
            listed("a-1.11-py3-none-any.whl", true),
            listed("a-2.0rc1-py3-none-any.whl", false),
            listed("a-3.0.tar.gz", false),
            listed("nonsense", false),
        ];
        assert_eq!(newest("1.9", &files).as_deref(), Some("1.10"));
        assert_eq!(newest("1.10", &files), None);
        assert_eq!(newest("1.10rc1", &files).as_deref(), Some("2.0rc1"));
        assert_eq!(newest("1.10+local", &files), None);
        assert_eq!(newest("?", &files), None);
    }

    /// A version that needs another Python was offered, which no bundle with this one could have.
    #[test]
    fn the_newest_that_the_python_of_an_image_could_install() {
        let listed = |name: &str, python: &str| Listed {
            file_name: format!("a-{name}.whl"),
            is_yanked: false,
            requires_python: (!python.is_empty()).then(|| python.to_owned()),
        };
        let files = [
            listed("1.1-py3-none-any", ">=3.9"),
            listed("1.2-py3-none-any", ">= 3.11.4, <4"),
            listed("1.3-py3-none-any", "3.x"),
            listed("1.4-cp312-cp312-manylinux_2_28_x86_64", ">=3.10"),
            listed("1.5-cp310-abi3-manylinux_2_36_x86_64", ""),
            listed("1.6-py3-none-any", ">=3.12"),
            listed("1.7-cp311-cp311-manylinux_2_38_x86_64", ""),
            listed("1.8-cp311-cp311-win_amd64", ""),
            listed("1.9-cp313-cp313-manylinux_2_28_x86_64", ">=3.13"),
        ];
        let of = |pythons: &[&str]| {
            let targets: Vec<Target> = pythons.iter().map(|python| target(python)).collect();
            newest("1.0", &files, &targets.iter().collect::<Vec<_>>()).unwrap_or_default()
        };
        assert_eq!(of(&["3.8"]), "1.3", "what is malformed excludes none");
        assert_eq!(of(&["3.11"]), "1.5");
        assert_eq!(of(&["3.12"]), "1.6");
        assert_eq!(of(&["3.11", "3.13"]), "1.9", "one of the images");
    }
}
