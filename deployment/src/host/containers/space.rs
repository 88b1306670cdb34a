//! The check for free disk space.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::information::EngineInfo;
use crate::bundle::{BundleImage, BundleLayer};
use crate::finding::Findings;
use crate::machine::Machine;
use crate::ui;

/// Bytes that stay free for file systems and other programs.
const MARGIN: u64 = 64 << 20;
/// Fewer free bytes than this beside the data get a warning.
const LOW: u64 = 1 << 30;

/// Space that loading takes in one folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Need {
    folder: PathBuf,
    bytes: u64,
    /// The space is free again after loading.
    temporary: bool,
}

/// The space that an engine needs to load `images`: in its storage, and in a temporary folder.
pub(super) fn need(images: &[&BundleImage], info: &EngineInfo, machine: &Machine) -> Vec<Need> {
    if images.is_empty() {
        return Vec::new();
    }
    if let Some(folder) = &info.containerd {
        // It reads the archive as it comes, and keeps the compressed blobs beside the unpacked layers.
        let blobs: BTreeMap<_, _> = images.iter().flat_map(|image| &image.layers).map(|l| (l.digest, l.size)).collect();
        let bytes = ui::total(blobs.into_values().chain([stored_bytes(images, info)]));
        return vec![Need { folder: folder.clone(), bytes, temporary: false }];
    }
    let storage = Need { folder: info.storage.clone(), bytes: stored_bytes(images, info), temporary: false };
    vec![storage, temporary_need(images, info, machine)]
}

/// The bytes of the unpacked layers in the engine's storage.
fn stored_bytes(images: &[&BundleImage], info: &EngineInfo) -> u64 {
    // A layer that two images share is stored once, but only on top of the same layers.
    let mut seen = BTreeSet::new();
    let mut bytes: u64 = 0;
    for image in images {
        let mut stack = Vec::new();
        let mut height: u64 = 0;
        for layer in &image.layers {
            stack.push(layer.diff_id);
            height = height.saturating_add(layer.unpacked);
            if seen.insert(stack.clone()) {
                // Without overlays, each layer is a copy of everything below it.
                bytes = bytes.saturating_add(if info.driver == "vfs" { height } else { layer.unpacked });
            }
        }
    }
    bytes
}

/// The temporary space. podman copies the archive, which it gets uncompressed, and then the layers of one image at a time.
/// Docker keeps the whole archive below its own folder.
fn temporary_need(images: &[&BundleImage], info: &EngineInfo, machine: &Machine) -> Need {
    let layers = images.iter().flat_map(|image| &image.layers);
    let layers: BTreeMap<_, _> = layers.map(|layer| (layer.diff_id, layer)).collect();
    let sum = |size: fn(&BundleLayer) -> u64| ui::total(layers.values().map(|layer| size(layer)));
    let unpacked = |image: &&BundleImage| ui::total(image.layers.iter().map(|layer| layer.unpacked));
    let (folder, bytes) = match &info.temporary {
        Some(default) => {
            let folder = machine.var("TMPDIR").map_or_else(|| default.clone(), PathBuf::from);
            (folder, ui::total([sum(|layer| layer.unpacked), images.iter().map(unpacked).max().unwrap_or(0)]))
        }
        None => (info.storage.join("tmp"), sum(|layer| layer.size)),
    };
    Need { folder, bytes, temporary: true }
}

/// A file system.
#[derive(Clone, Copy, Debug)]
struct FileSystem {
    /// Device number, which no other mounted file system has.
    device: u64,
    /// Free bytes.
    free: u64,
}

/// The file system of `path`, or of the nearest folder above it that exists.
fn file_system(path: &Path) -> Option<FileSystem> {
    let existing = path.ancestors().find(|above| above.exists())?;
    let stat = rustix::fs::statvfs(existing).ok()?;
    Some(FileSystem { device: existing.metadata().ok()?.dev(), free: stat.f_bavail.saturating_mul(stat.f_frsize) })
}

/// Checks whether there is enough space. Needs on the same file system are added up.
pub(super) fn check(needs: &[Need], info: &EngineInfo, findings: &mut Findings) {
    if info.remote || !info.storage.exists() && info.temporary.is_none() {
        return findings.ok("space", "not checked: the engine keeps its images on another machine");
    }
    compare(needs, &info.storage, file_system, findings);
}

fn compare(needs: &[Need], storage: &Path, find: impl Fn(&Path) -> Option<FileSystem>, findings: &mut Findings) {
    let mut by_device: BTreeMap<u64, (FileSystem, Vec<&Need>)> = BTreeMap::new();
    for need in needs {
        let Some(found) = find(&need.folder) else { continue };
        by_device.entry(found.device).or_insert((found, Vec::new())).1.push(need);
    }
    for (found, needs) in by_device.values() {
        compare_one(*found, needs, storage, findings);
    }
    // Everything is loaded, but the data grows.
    if let Some(FileSystem { free, .. }) = find(storage).filter(|_| needs.is_empty()) {
        let message = format!("{} free for data in {}", ui::bytes(free), storage.display());
        if free < LOW {
            findings.warn("space", message, "free some space, or the database will not be able to write");
        } else {
            findings.ok("space", message);
        }
    }
}

fn compare_one(found: FileSystem, needs: &[&Need], storage: &Path, findings: &mut Findings) {
    let folders: Vec<String> = needs.iter().map(|need| need.folder.display().to_string()).collect();
    let bytes = ui::total(needs.iter().map(|need| need.bytes).chain([MARGIN]));
    let (folders, bytes_text, free) = (folders.join(" and "), ui::bytes(bytes), ui::bytes(found.free));
    if bytes <= found.free {
        return findings.ok("space", format!("{bytes_text} for the images, {free} free in {folders}"));
    }
    let hint = match needs.iter().find(|need| need.temporary) {
        Some(need) if !need.folder.starts_with(storage) => {
            "free some space, or set a larger folder for temporary files: TMPDIR=/some/folder"
        }
        _ => "free some space there; to remove unused images: podman image prune, docker image prune",
    };
    findings.error("space", format!("the images need {bytes_text} in {folders}, but only {free} are free"), hint);
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealift_layers::digest::Digest;

    fn image(layers: &[(&str, u64, u64)]) -> BundleImage {
        let digest = Digest::of(b"");
        let layer = |&(name, size, unpacked): &(&str, u64, u64)| {
            let digest = Digest::of(name.as_bytes());
            BundleLayer { title: name.into(), digest, size, diff_id: digest, unpacked }
        };
        BundleImage {
            name: String::new(),
            reference: String::new(),
            digest,
            config: digest,
            layers: layers.iter().map(layer).collect(),
            packages: Vec::new(),
            wheels: Vec::new(),
            archives: Vec::new(),
            store_paths: Vec::new(),
        }
    }

    fn info(driver: &str, temporary: Option<&str>) -> EngineInfo {
        EngineInfo {
            rootless: false,
            architecture: "amd64".into(),
            storage: "/storage".into(),
            containerd: None,
            driver: driver.into(),
            temporary: temporary.map(PathBuf::from),
            log_driver: String::new(),
            runtime: String::new(),
            ids: None,
            remapped: false,
            selinux: false,
            remote: false,
        }
    }

    fn bytes(info: &EngineInfo, variables: &[(&str, &str)]) -> Vec<(String, u64)> {
        let (one, other) = (image(&[("base", 10, 30), ("a", 1, 2)]), image(&[("base", 10, 30), ("b", 5, 7)]));
        let needs = need(&[&one, &other], info, &Machine::of(Path::new("/"), variables));
        needs.into_iter().map(|need| (need.folder.display().to_string(), need.bytes)).collect()
    }

    #[test]
    fn shared_layers_count_once() {
        let podman = info("overlay", Some("/var/tmp"));
        assert_eq!(bytes(&podman, &[]), [("/storage".into(), 39), ("/var/tmp".into(), 39 + 37)]);
        assert_eq!(bytes(&podman, &[("TMPDIR", "/big")])[1].0, "/big");
        assert_eq!(bytes(&info("vfs", Some("/t")), &[])[0].1, 30 + 32 + 37);
        assert_eq!(bytes(&info("overlay2", None), &[]), [("/storage".into(), 39), ("/storage/tmp".into(), 16)]);
        assert_eq!(need(&[], &podman, &Machine::of(Path::new("/"), &[])), []);
        let containerd = EngineInfo { containerd: Some("/containerd".into()), ..info("overlayfs", None) };
        assert_eq!(bytes(&containerd, &[]), [("/containerd".into(), 39 + 16)]);
    }

    #[test]
    fn needs_on_one_disk_are_added_up() {
        let gigabyte = 1_000_000_000;
        let need = |folder: &str, temporary| Need { folder: folder.into(), bytes: gigabyte, temporary };
        let needs = [need("/storage", false), need("/var/tmp", true)];
        let look = |devices: [u64; 2]| {
            let mut findings = Findings::default();
            let find = |path: &Path| {
                let device = devices[usize::from(path == Path::new("/var/tmp"))];
                Some(FileSystem { device, free: gigabyte * 3 / 2 })
            };
            compare(&needs, Path::new("/storage"), find, &mut findings);
            findings.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(look([1, 2]), @r"
        ok: space: 1.1 GB for the images, 1.5 GB free in /storage
        ok: space: 1.1 GB for the images, 1.5 GB free in /var/tmp
        ");
        insta::assert_snapshot!(look([1, 1]), @r"
        error: space: the images need 2.1 GB in /storage and /var/tmp, but only 1.5 GB are free
          hint: free some space, or set a larger folder for temporary files: TMPDIR=/some/folder
        ");
    }
}
