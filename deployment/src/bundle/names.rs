//! Names of a bundle's own files.

use crate::files::is_unfinished;

/// The bundle's own table of contents.
pub const MANIFEST: &str = "bundle.json";
/// Digests of all files, in the format of `sha256sum -c`. A host changes those of the site.
pub const SUMS: &str = "SHA256SUMS";
/// Symbolic links, if there are any: one line `PATH<TAB>TARGET` for each.
pub const LINKS: &str = "LINKS";
/// The folder of the site.
pub(super) const SITE: &str = "site";
/// The variables of the compose file, which a host writes together with the site.
pub(super) const ENV: &str = ".env";

/// Whether the file or folder at `path` belongs to an installation: a host makes or changes it.
pub(super) fn is_of_site(path: &str) -> bool {
    let unfinished = || path.strip_prefix('.').is_some_and(|name| name.starts_with(ENV)) && is_unfinished(path);
    path == SITE || path == ENV || path.starts_with("site/") || unfinished()
}
