//! Archives of files: `.deb` files in the profile's folder.

use std::path::Path;

use anyhow::{Context as _, Result};
use sealift_deployment::files::{self, sorted_dir};
use sealift_deployment::profile::{Profile, model};
use sealift_layers::digest::{Digest, Measured};
use sealift_layers::ingredients::deb;
use sealift_layers::tree::SourceFile;
use toml::Spanned;

use crate::servers::PackageIndex;

/// The index of an archive of files, as `dpkg-scanpackages` makes it: paths are relative to the profile's folder.
pub(super) fn index(profile: &Profile, archive: &model::Archive) -> Result<PackageIndex> {
    let mut text = Vec::new();
    for file in &archive.files {
        let before = text.len();
        add(profile, file, file.get_ref().trim_end_matches('/').trim_start_matches("./"), &mut text)?;
        if text.len() == before {
            let message = format!("`{}` has no .deb files", file.get_ref());
            return Err(profile.diagnostic_at(file.span(), message, "name a .deb file, or a folder of them"));
        }
    }
    let label = archive.files.iter().map(|file| file.get_ref().as_str()).collect::<Vec<_>>().join(", ");
    // Names of maintainers and descriptions may have any encoding. The fields that are used are ASCII.
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(PackageIndex { path: label, sha256: Digest::of(text.as_bytes()), size: text.len() as u64, text })
}

/// Adds the stanzas of the file or of the folder's files, at any depth.
fn add(profile: &Profile, named: &Spanned<String>, path: &str, text: &mut Vec<u8>) -> Result<()> {
    let place = profile.sources.path(path);
    if !place.exists() {
        let message = format!("the file `{path}` does not exist");
        let hint = format!("paths are relative to the profile's folder, {}", profile.directory.display());
        return Err(profile.diagnostic_at(named.span(), message, hint));
    }
    if place.is_dir() {
        for inner in sorted_dir(&place)? {
            let name = inner.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if inner.is_dir() || name.ends_with(".deb") {
                add(profile, named, &format!("{path}/{name}"), text)?;
            }
        }
        return Ok(());
    }
    let stanza = stanza(&place, path).with_context(|| format!("cannot read the package {}", place.display()))?;
    text.extend(stanza);
    Ok(())
}

fn stanza(place: &Path, path: &str) -> Result<Vec<u8>> {
    let file = files::open(place)?;
    let Measured { digest, size } = Digest::of_reader(&file)?;
    let mut stanza = deb::control_stanza(&SourceFile::new(file.into_parts().0))?;
    stanza.truncate(stanza.trim_ascii_end().len());
    stanza.extend(format!("\nFilename: {path}\nSize: {size}\nSHA256: {}\n\n", digest.hex()).into_bytes());
    Ok(stanza)
}
