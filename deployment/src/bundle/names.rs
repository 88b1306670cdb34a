//! Names of a bundle's own files.

/// The bundle's own table of contents.
pub const MANIFEST: &str = "bundle.json";
/// Digests of all files except those of the site, in the format of `sha256sum -c`.
pub const SUMS: &str = "SHA256SUMS";
/// Symbolic links, if there are any: one line `PATH<TAB>TARGET` for each.
pub const LINKS: &str = "LINKS";
