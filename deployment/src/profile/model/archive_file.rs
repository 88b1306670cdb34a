//! `[images.NAME.archives.NAME]`: an archive of files, or a single file, that no package has.

use sealift_layers::digest::Digest;
use serde::Deserialize;
use toml::Spanned;

use super::mode::Mode;

/// An archive that is unpacked into an image, or a file that is put into it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ArchiveFile {
    /// Its version, for people and for the bill of materials.
    pub version: Spanned<String>,
    /// Its path in the profile's folder, or below the folders and servers for archives that the machine is set up to use.
    pub file: Spanned<String>,
    /// The SHA-256 that it must have when it is locked, in 64 hexadecimal digits.
    pub sha256: Option<Spanned<String>>,
    /// The image has it only in builds that it is given to (`build --with`).
    #[serde(default)]
    pub optional: bool,
    /// It is given to this build.
    #[serde(skip)]
    pub given: bool,
    /// Image path of the folder that it is unpacked into, or of the file.
    pub path: Spanned<String>,
    /// Whether it is unpacked.
    #[serde(default = "unpack")]
    pub unpack: bool,
    /// How many first components the paths in the archive lose.
    #[serde(default)]
    pub strip: u8,
    /// What is left out: paths below `path`, with the wildcards of [`Image::drop`](super::Image::drop).
    #[serde(default)]
    pub drop: Vec<Spanned<String>>,
    /// What stays although a pattern of `drop` matches it.
    #[serde(default)]
    pub keep: Vec<Spanned<String>>,
    /// Files that are programs though the archive does not say so, as those that were made on Windows do not.
    #[serde(default)]
    pub programs: Vec<Spanned<String>>,
    /// Permission bits of files, in octal. Programs and folders can also be executed by those who may read. Default: `0644`.
    pub mode: Option<Mode>,
    /// `UID:GID` or a user's name. Default: root.
    pub owner: Option<Spanned<String>>,
}

fn unpack() -> bool {
    true
}

impl ArchiveFile {
    /// Whether the image has it.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !self.optional || self.given
    }

    /// The SHA-256 that the profile states, if it is one.
    #[must_use]
    pub fn pinned(&self) -> Option<Digest> {
        self.sha256.as_ref().and_then(|text| digest(text.get_ref()))
    }
}

/// A SHA-256 in hexadecimal digits, as `sha256sum` prints it, or with `sha256:` before them.
pub(in crate::profile) fn digest(text: &str) -> Option<Digest> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    format!("sha256:{hex}").parse().ok()
}
