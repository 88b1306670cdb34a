//! Checks of `[images.NAME.archives.NAME]`.

use std::collections::BTreeMap;

use sealift_layers::ingredients::archive::Format;
use toml::Spanned;

use super::super::model::{ArchiveFile, Image, digest};
use super::super::words;
use super::Check;

/// How many archives an image may have: each is a layer, and engines accept about 125 of them.
const MAX_ARCHIVES: usize = 50;

impl Check<'_> {
    /// Checks an archive of the image `image_name`.
    pub(super) fn archive_file(
        &mut self,
        image_name: &str,
        image: &Image,
        name: &Spanned<String>,
        archive: &ArchiveFile,
    ) {
        self.name(name.span(), name.get_ref(), "an archive");
        if image.archives.keys().nth(MAX_ARCHIVES) == Some(name) {
            let message = format!("the image `{image_name}` has too many archives");
            self.report(name.span(), message, format!("at most {MAX_ARCHIVES} are possible"));
        }
        if !words::is_release(archive.version.get_ref()) {
            let message = format!("`{}` is not a version", archive.version.get_ref());
            self.report(archive.version.span(), message, "use letters, digits, `.`, `-`, `_`, `+` and `~`");
        }
        // Hosts read the profile without the file.
        let before = self.diagnostics.len();
        self.release_side_source(&archive.file);
        let text = archive.file.get_ref();
        if self.diagnostics.len() == before && text.split('/').any(|part| matches!(part, "" | ".")) {
            let hint = "write the name of the file, or its path without `.` and doubled `/`";
            self.report(archive.file.span(), format!("`{text}` is not the path of a file"), hint);
        }
        if let Some(sha256) = &archive.sha256
            && digest(sha256.get_ref()).is_none()
        {
            let message = format!("`{}` is not a SHA-256", sha256.get_ref());
            self.report(sha256.span(), message, "write the 64 hexadecimal digits that `sha256sum` prints");
        }
        if let Some(owner) = &archive.owner {
            // It is part of the layer's key, which is made before the layers below are.
            self.known_account(owner, image, false);
        }
        if let Some(mode) = archive.mode.filter(|mode| mode.0 > 0o777) {
            let span = self.document.value(&["images", image_name, "archives", name.get_ref(), "mode"]);
            let message = format!("mode {:04o} has special bits", mode.0);
            self.report(span, message, "files of an archive get permissions only: at most \"0777\"");
        }
        self.archive_place(image_name, name, archive);
    }

    /// Checks where the archive goes, and what of it.
    fn archive_place(&mut self, image: &str, name: &Spanned<String>, archive: &ArchiveFile) {
        if !(archive.unpack && archive.path.get_ref() == "/") {
            self.image_path(archive.path.span(), archive.path.get_ref());
        }
        if archive.unpack {
            let file_name = archive.file.get_ref();
            if Format::of(file_name).is_none() {
                let message = format!("`{file_name}` does not have the name of an archive");
                let hint = "zip archives, and tar archives that are plain or compressed with gzip, xz, zstd or bzip2 are unpacked, \
                            such as site-1.2.zip and site-1.2.tar.gz; write unpack = false for a file";
                self.report(archive.file.span(), message, hint);
            }
            if archive.drop.is_empty()
                && let Some(keep) = archive.keep.first()
            {
                let hint = "such as drop = [\"**\"] to leave out all others";
                self.report(keep.span(), "`keep` is about what `drop` matches, and there is no `drop`", hint);
            }
            return;
        }
        let given = [
            ("strip", archive.strip > 0),
            ("drop", !archive.drop.is_empty()),
            ("keep", !archive.keep.is_empty()),
            ("programs", !archive.programs.is_empty()),
        ];
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            let span = self.document.key(&["images", image, "archives", name.get_ref(), key]);
            let hint = "remove it, or unpack = false; `mode` is that of the file";
            self.report(span, format!("a file that is not unpacked has no `{key}`"), hint);
        }
    }

    /// Checks that a file is the same archive in all images: the lock has it once.
    pub(super) fn archive_versions(&mut self) {
        let mut known: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
        let mut wrong = Vec::new();
        for (name, archive) in self.model.images.values().flat_map(|image| &image.archives) {
            let own = (name.get_ref().as_str(), archive.version.get_ref().as_str());
            let other = *known.entry(archive.file.get_ref()).or_insert(own);
            if other != own {
                let (name, version) = other;
                let message = format!("the file `{}` is also the archive `{name}` {version}", archive.file.get_ref());
                wrong.push((archive.file.span(), message));
            }
        }
        for (span, message) in wrong {
            self.report(span, message, "use one name and one version for a file");
        }
    }
}
