//! Reading a bundle: a tar archive that engines load unchanged, and that is a deployment directory when it is unpacked. For
//! deployments without containers it contains the image's files instead of images.

pub mod licenses;
mod manifest;
mod members;
mod names;
mod read;
pub mod sbom;
pub mod signatures;
mod system;
mod verify;

pub use manifest::{
    ArchiveFile, BundleImage, BundleLayer, Bytecode, Compiled, Crate, License, Manifest, Package, ProgramCrate,
    SiteMember, Source, StorePath, Toolchain, Wheel, Written,
};
pub use names::{LINKS, MANIFEST, SUMS};
pub use read::{Bundle, Form, TABLE_LIMIT, open, open_trusted, open_within, plain};
pub use system::System;
pub use verify::too_large;
