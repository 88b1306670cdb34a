//! Which wheels have newer versions on the Python index.

use std::str::FromStr as _;

use anyhow::Result;
use pep440_rs::Version;
use sealift_deployment::bundle::{Manifest, Wheel};
use sealift_deployment::ui::Ui;
use sealift_layers::ingredients::wheel::WheelFileName;

use super::components::Images;
use super::finding::{Kind, Outdated};
use crate::lock;
use crate::parallel::in_parallel;
use crate::python::simple::Listed;
use crate::servers::Servers;

/// Pages that are fetched at a time.
const AT_A_TIME: usize = 8;

/// The wheels with newer versions, and those that could not be compared, with the reason.
///
/// # Errors
/// An index cannot be reached, or its page is malformed.
pub(super) fn compare(
    locked: &lock::Platform,
    manifest: &Manifest,
    servers: &Servers<'_>,
    ui: &Ui,
) -> Result<(Vec<Outdated>, Vec<String>)> {
    // Before there are bars: whether there is an index at all.
    servers.python_indexes()?;
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
        Ok(found.map(|listed| newest(&wheel.version, &listed)))
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

/// The newest version with a wheel, if it is newer than `own`. Versions before a release count only where `own` is one; those
/// that were withdrawn do not count.
fn newest(own: &str, listed: &[Listed]) -> Option<String> {
    let own = Version::from_str(own).ok()?;
    let files = listed.iter().filter(|file| !file.is_yanked);
    let versions = files.filter_map(|file| Some(file.file_name.parse::<WheelFileName>().ok()?.version));
    let counts = |version: &Version| *version > own && (own.any_prerelease() || !version.any_prerelease());
    versions.filter(counts).max().map(|version| version.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_release_that_was_not_withdrawn() {
        let listed = |name: &str, is_yanked| Listed { file_name: name.to_owned(), is_yanked };
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
}
