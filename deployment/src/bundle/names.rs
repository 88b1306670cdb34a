//! Names of a bundle's own files.

use crate::files::is_unfinished;

/// The bundle's own table of contents.
pub const MANIFEST: &str = "bundle.json";
/// Digests of all files, in the format of `sha256sum -c`. A host changes those of the site.
pub const SUMS: &str = "SHA256SUMS";
/// Symbolic links, if there are any: one line `PATH<TAB>TARGET` for each.
pub const LINKS: &str = "LINKS";
/// Whether the file or folder at `path` belongs to an installation, whose host makes or changes it: the folder `site`, and
/// the variables of the compose file in `.env`.
pub(super) fn is_of_site(path: &str) -> bool {
    let unfinished = || path.starts_with("..env") && is_unfinished(path);
    path == "site" || path == ".env" || path.starts_with("site/") || unfinished()
}
