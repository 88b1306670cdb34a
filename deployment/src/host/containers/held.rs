//! Whether the engine holds the bundle's images byte by byte, and not only images of their names and IDs.

use std::collections::BTreeSet;
use std::io::Read;

use anyhow::Result;
use sealift_layers::digest::Digest;
use sealift_layers::limits::Within;
use sealift_layers::tar::{MemberKind, Members, Stream};

use super::context::Containers;
use super::load;
use crate::bundle::BundleImage;
use crate::finding::Findings;
use crate::ui::{self, Ui};

/// Hint for images that are not what they must be.
const LOAD_AGAIN: &str = "stop the services, remove the image from the engine, and let ./sealift up load it again";

/// Bytes that an archive of an image may have besides twice its layers: documents and headers.
const SURPLUS: u64 = 4 << 20;

/// Has the engine give out each image of the bundle, and compares the digests of its configuration and of its layers.
///
/// # Errors
/// When the engine cannot be asked. What differs is a finding.
pub(super) fn compare(containers: &Containers<'_>, ui: &Ui, findings: &mut Findings) -> Result<()> {
    let images = &containers.deployment.manifest.images;
    let missing = load::missing(containers)?;
    let phase = ui.phase("Comparing images", images.iter().map(size).sum());
    for image in images {
        let name = image.reference.as_str();
        let found = if missing.iter().any(|missing| missing.reference == name) {
            vec![format!("{} does not have it, or has another one of this name", containers.engine.program())]
        } else {
            match containers.engine.output(&["image", "save", name], |output| digests(output, image)) {
                Ok(Ok(found)) => differences(image, &found),
                Ok(Err(error)) | Err(error) => vec![format!("cannot be read: {error:#}")],
            }
        };
        phase.inc(size(image));
        if found.is_empty() {
            findings.ok(name, format!("{} match", ui::count(image.layers.len(), "layer")));
        }
        found.into_iter().for_each(|message| findings.error(name, message, LOAD_AGAIN));
    }
    phase.finish(&ui::count(images.len(), "image"));
    Ok(())
}

/// The size of the layers of an image in bytes.
fn size(image: &BundleImage) -> u64 {
    image.layers.iter().map(|layer| layer.unpacked).sum()
}

/// The digests of the configuration and layers of `image` that files in an archive of images have: a docker-archive with tars,
/// or an OCI layout with blobs. Another image under its name may be of any size: not much more is read than the image has.
fn digests(archive: impl Read, image: &BundleImage) -> Result<BTreeSet<Digest>> {
    let own = image.layers.iter().flat_map(|layer| [layer.diff_id, layer.digest]).chain([image.config]);
    let own: BTreeSet<Digest> = own.collect();
    let most = size(image).saturating_mul(2).saturating_add(SURPLUS);
    let mut members = Members::new(Stream(Within::new(archive, most)));
    let mut found = BTreeSet::new();
    while let Some(member) = members.next()? {
        if member.kind == MemberKind::File {
            let digest = Digest::of_reader(&mut members)?.digest;
            found.extend(Some(digest).filter(|digest| own.contains(digest)));
        }
    }
    Ok(found)
}

/// What `image` has and the archive with these digests lacks. Engines give out layers as tars, or as the blobs that they got.
fn differences(image: &BundleImage, found: &BTreeSet<Digest>) -> Vec<String> {
    let config = (!found.contains(&image.config)).then(|| "its configuration is another".to_owned());
    let layers = image.layers.iter().filter(|layer| !found.contains(&layer.diff_id) && !found.contains(&layer.digest));
    config.into_iter().chain(layers.map(|layer| format!("its layer `{}` is another", layer.title))).collect()
}

#[cfg(test)]
mod tests {
    use sealift_layers::tar::Writer;
    use sealift_layers::tree::{Entry, TreePath};

    use super::*;
    use crate::bundle::BundleLayer;

    /// An archive with files of these contents.
    fn archive(contents: &[&str]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), 0);
        for (number, content) in contents.iter().enumerate() {
            let path = TreePath::new(&format!("folder/{number}.tar")).unwrap();
            writer.append(&path, &Entry::file(*content, 0o644, &"test".into())).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn a_layer_is_there_as_a_tar_or_as_a_blob() {
        let digest = |text: &str| Digest::of(text.as_bytes());
        let layer = |name: &str| BundleLayer {
            title: name.to_owned(),
            digest: digest(&format!("{name} packed")),
            size: 1,
            diff_id: digest(name),
            unpacked: 1,
        };
        let image = BundleImage {
            reference: "localhost/a:1".to_owned(),
            config: digest("config"),
            digest: digest("manifest"),
            layers: vec![layer("base"), layer("certificates")],
            ..crate::host::testing::image("a")
        };
        let found = |contents: &[&str]| differences(&image, &digests(&archive(contents)[..], &image).unwrap());
        assert_eq!(found(&["base", "config", "certificates packed", "more"]), [] as [String; 0]);
        assert_eq!(found(&["base", "config", "certificates of others"]), ["its layer `certificates` is another"]);
        assert_eq!(found(&["base packed", "certificates"]), ["its configuration is another"]);
        assert!(digests(&archive(&["base"])[..514], &image).is_err());
        // What is not of the image takes no memory, and not all of it is read.
        assert!(digests(&archive(&["x", "y"])[..], &image).unwrap().is_empty());
        let endless = std::iter::repeat(archive(&["more"])[..1024].to_vec()).flatten();
        let error = digests(Endless(Box::new(endless)), &image).unwrap_err();
        assert_eq!(format!("{error:#}"), "the tar archive is damaged: it unpacks to more than 4194308 bytes");
    }

    /// An archive without end.
    struct Endless(Box<dyn Iterator<Item = u8>>);

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            Ok(buffer.iter_mut().zip(&mut self.0).map(|(place, byte)| *place = byte).count())
        }
    }
}
