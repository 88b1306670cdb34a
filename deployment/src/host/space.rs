//! Whether the images fit.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::answers::Facts;
use crate::bundle::{MadeImage, MadeLayer};
use crate::finding::Findings;
use crate::machine::Machine;
use crate::ui;

/// What is left over for file systems and for what else is going on, in bytes.
const MARGIN: u64 = 64 << 20;
/// Less than this beside the data is worth a warning, in bytes.
const LITTLE: u64 = 1 << 30;

/// How many bytes loading takes, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Need {
    place: PathBuf,
    bytes: u64,
    /// They are free again afterwards.
    passing: bool,
}

/// What an engine needs to load `images`.
pub(super) fn need(images: &[&MadeImage], facts: &Facts, machine: &Machine) -> Vec<Need> {
    if images.is_empty() {
        return Vec::new();
    }
    let layers = images.iter().flat_map(|image| &image.layers);
    let layers: BTreeMap<_, _> = layers.map(|layer| (layer.diff_id, layer)).collect();
    // A layer that two images have is kept once, but only on the same layers below.
    let mut seen = BTreeSet::new();
    let mut unpacked = 0;
    for image in images {
        let mut below = Vec::new();
        let mut height = 0;
        for layer in &image.layers {
            below.push(layer.diff_id);
            height += layer.unpacked;
            if seen.insert(below.clone()) {
                // Without overlays, each layer is a copy of all that is below it.
                unpacked += if facts.driver == "vfs" { height } else { layer.unpacked };
            }
        }
    }
    let storage = Need { place: facts.storage.clone(), bytes: unpacked, passing: false };
    // podman copies the archive, which it gets uncompressed, and then the layers of one image at a time. Docker has the
    // whole archive below its own folder.
    let largest: u64 =
        images.iter().map(|image| image.layers.iter().map(|layer| layer.unpacked).sum()).max().unwrap_or(0);
    let sum = |size: fn(&MadeLayer) -> u64| layers.values().map(|layer| size(layer)).sum::<u64>();
    let (place, bytes) = match &facts.temporary {
        Some(own) => {
            let place = machine.var("TMPDIR").map_or_else(|| own.clone(), PathBuf::from);
            (place, sum(|layer| layer.unpacked) + largest)
        }
        None => (facts.storage.join("tmp"), sum(|layer| layer.size)),
    };
    vec![storage, Need { place, bytes, passing: true }]
}

/// A file system: what tells it from others, and its free bytes.
type Volume = (u64, u64);

/// The file system of the nearest folder at or above `path` that is there.
fn volume(path: &Path) -> Option<Volume> {
    let there = path.ancestors().find(|above| above.exists())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    Some((there.metadata().ok()?.dev(), stat.f_bavail * stat.f_frsize))
}

/// Looks whether what loading needs is there; what lies on one file system is added up.
pub(super) fn check(needs: &[Need], facts: &Facts, findings: &mut Findings) {
    if facts.remote || !facts.storage.exists() && facts.temporary.is_none() {
        return findings.ok("space", "the engine keeps its images elsewhere: not looked at");
    }
    compare(needs, &facts.storage, volume, findings);
}

fn compare(needs: &[Need], storage: &Path, volume: impl Fn(&Path) -> Option<Volume>, findings: &mut Findings) {
    let mut together: BTreeMap<u64, (u64, u64, Vec<&Need>)> = BTreeMap::new();
    for need in needs {
        let Some((device, free)) = volume(&need.place) else { continue };
        let entry = together.entry(device).or_insert((free, 0, Vec::new()));
        entry.1 += need.bytes;
        entry.2.push(need);
    }
    for (free, bytes, needs) in together.values() {
        let places: Vec<String> = needs.iter().map(|need| need.place.display().to_string()).collect();
        let (places, wanted) = (places.join(" and "), ui::bytes(bytes + MARGIN));
        if bytes + MARGIN <= *free {
            findings.ok("space", format!("{wanted} for the images, {} free in {places}", ui::bytes(*free)));
            continue;
        }
        let message = format!("the images need {wanted} in {places}, and {} are free", ui::bytes(*free));
        let hint = match needs.iter().find(|need| need.passing) {
            Some(need) if !need.place.starts_with(storage) => {
                "free some space, or name a folder with more for what is unpacked in passing: TMPDIR=/some/folder"
            }
            _ => "free some space there; images that nothing runs any more: podman image prune, docker image prune",
        };
        findings.error("space", message, hint);
    }
    // All is loaded: the data still grows.
    if let Some((_, free)) = volume(storage).filter(|_| needs.is_empty()) {
        let message = format!("{} free in {}, where the data is", ui::bytes(free), storage.display());
        if free < LITTLE {
            findings.warn("space", message, "free some space before the database cannot write any more");
        } else {
            findings.ok("space", message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealift_layers::digest::Digest;

    fn image(layers: &[(&str, u64, u64)]) -> MadeImage {
        let digest = Digest::of(b"");
        let layer = |&(name, size, unpacked): &(&str, u64, u64)| {
            let digest = Digest::of(name.as_bytes());
            MadeLayer { title: name.into(), digest, size, diff_id: digest, unpacked }
        };
        MadeImage {
            name: String::new(),
            reference: String::new(),
            digest,
            config: digest,
            layers: layers.iter().map(layer).collect(),
            packages: Vec::new(),
            wheels: Vec::new(),
            store_paths: Vec::new(),
        }
    }

    fn facts(driver: &str, temporary: Option<&str>) -> Facts {
        Facts {
            rootless: false,
            architecture: "amd64".into(),
            storage: "/storage".into(),
            driver: driver.into(),
            temporary: temporary.map(PathBuf::from),
            runtime: String::new(),
            ids: None,
            remote: false,
        }
    }

    fn bytes(facts: &Facts, variables: &[(&str, &str)]) -> Vec<(String, u64)> {
        let (one, other) = (image(&[("base", 10, 30), ("a", 1, 2)]), image(&[("base", 10, 30), ("b", 5, 7)]));
        let needs = need(&[&one, &other], facts, &Machine::of(Path::new("/"), variables));
        needs.into_iter().map(|need| (need.place.display().to_string(), need.bytes)).collect()
    }

    #[test]
    fn shared_layers_count_once() {
        let podman = facts("overlay", Some("/var/tmp"));
        assert_eq!(bytes(&podman, &[]), [("/storage".into(), 39), ("/var/tmp".into(), 39 + 37)]);
        assert_eq!(bytes(&podman, &[("TMPDIR", "/big")])[1].0, "/big");
        assert_eq!(bytes(&facts("vfs", Some("/t")), &[])[0].1, 30 + 32 + 37);
        assert_eq!(bytes(&facts("overlay2", None), &[]), [("/storage".into(), 39), ("/storage/tmp".into(), 16)]);
        assert_eq!(need(&[], &podman, &Machine::of(Path::new("/"), &[])), []);
    }

    #[test]
    fn one_disk_has_to_hold_both() {
        let gigabyte = 1_000_000_000;
        let need = |place: &str, passing| Need { place: place.into(), bytes: gigabyte, passing };
        let needs = [need("/storage", false), need("/var/tmp", true)];
        let look = |devices: [u64; 2]| {
            let mut findings = Findings::default();
            let volume = |path: &Path| Some((devices[usize::from(path == Path::new("/var/tmp"))], gigabyte * 3 / 2));
            compare(&needs, Path::new("/storage"), volume, &mut findings);
            findings.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(look([1, 2]), @r"
        ok: space: 1.1 GB for the images, 1.5 GB free in /storage
        ok: space: 1.1 GB for the images, 1.5 GB free in /var/tmp
        ");
        insta::assert_snapshot!(look([1, 1]), @r"
        error: space: the images need 2.1 GB in /storage and /var/tmp, and 1.5 GB are free
          hint: free some space, or name a folder with more for what is unpacked in passing: TMPDIR=/some/folder
        ");
    }
}
