//! Reading a bundle: one tar that engines load as it is, and that is a deployment directory once it is unpacked. For
//! deployments without containers it holds the image's files instead of images.

mod manifest;
mod read;
pub mod sbom;

pub use manifest::{Bytecode, Compiled, Crate, MadeImage, MadeLayer, Manifest, Package, StorePath, Toolchain, Wheel};
pub use read::{Bundle, open};

/// The bundle's own table of contents.
pub const MANIFEST: &str = "bundle.json";
/// Digests of all its files but those of the site, as `sha256sum -c` reads them.
pub const SUMS: &str = "SHA256SUMS";
/// Symbolic links, where it has any: a line `PATH<TAB>TARGET` each.
pub const LINKS: &str = "LINKS";
