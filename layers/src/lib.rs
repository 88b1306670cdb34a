//! Ingredients in, layers and OCI images out.
//!
//! Data runs one way, and each step is a module:
//!
//! ```text
//! package, wheel, files ...      a source
//!     | ingredients
//!     v
//! Tree                           path -> entry; contents are references, nothing is read yet
//!     | tree::Tree::merge        all ingredients of a layer
//!     | tree::overlay            fits the layers below
//!     | layer::write             tar, compression and digests in one pass
//!     v
//! Layer, Listing                 digest, diff ID, size; what the layer contains
//!     | image::Image::new
//!     v
//! Image                          configuration and manifest
//!     | archive::documents, archive::write
//!     v
//! archive                        one tar that podman and Docker load
//!     | validate::validate
//!     v
//! Report                         every broken invariant, found from the bytes
//! ```
//!
//! The library is pure: it opens no network connection and no terminal, and reads neither clock nor environment. Callers
//! pass open files and sinks. The same inputs give the same bytes on any machine, with any number of threads.
//!
//! # Example
//!
//! An image of two layers, where the second one is on top of the first:
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::Arc;
//!
//! use sealift_layers::codec::Codec;
//! use sealift_layers::image::{Image, ImageLayer, ImageSpec};
//! use sealift_layers::ingredients::accounts::{self, Account};
//! use sealift_layers::listing::Listing;
//! use sealift_layers::platform::{Architecture, Platform};
//! use sealift_layers::tree::{Entry, Overlap, SourceFile, Tree, TreePath, overlay};
//! use sealift_layers::limits::Limits;
//! use sealift_layers::validate::{Depth, validate};
//! use sealift_layers::{archive, layer, tar};
//!
//! let options = layer::Options { epoch: 1_700_000_000, file_digests: true, codec: Codec::Gzip, jobs: 2 };
//!
//! // Ingredient -> Tree: the accounts of the image.
//! let account = Account { name: "web".into(), uid: 1000, gid: 1000, home: "/srv".into() };
//! let base = overlay(accounts::tree(&[account])?, &Listing::new(), Overlap::MustAgree)?;
//! // Tree -> Layer.
//! let mut base_blob = Vec::new();
//! let base = layer::write(base, options, &mut base_blob)?;
//!
//! // A file for the layer above. Its parent directory has the metadata of the layer below.
//! let mut tree = Tree::new();
//! tree.insert(TreePath::new("etc/motd")?, Entry::file("hello\n", 0o644, &Arc::from("example")));
//! let top = overlay(tree, &base.listing, Overlap::MustAgree)?;
//! let mut top_blob = Vec::new();
//! let top = layer::write(top, options, &mut top_blob)?;
//!
//! // Layers -> Image.
//! let blobs = BTreeMap::from([(base.layer.digest, base_blob), (top.layer.digest, top_blob)]);
//! let image = Image::new(ImageSpec {
//!     entrypoint: vec!["/bin/hello".into()],
//!     layers: vec![
//!         ImageLayer { layer: base.layer, created_by: "accounts".into() },
//!         ImageLayer { layer: top.layer, created_by: "greeting".into() },
//!     ],
//!     ..ImageSpec::new("localhost/hello:1", Platform::linux(Architecture::Amd64))
//! })?;
//!
//! // Images -> archive.
//! let parts = archive::documents(&[image], |digest| Ok(blobs[&digest].clone().into()))?;
//! let mut bytes = Vec::new();
//! archive::write(parts, &Tree::new(), options.epoch, |_| false, &mut bytes)?;
//!
//! // And back: the archive is valid.
//! let files = tar::read(&Arc::new(SourceFile::Memory(bytes)), &"archive".into())?;
//! let report = validate(&files, Depth::Blobs, Limits::default());
//! assert_eq!(report.images[0].name, "localhost/hello:1");
//! assert!(report.violations.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod archive;
pub mod codec;
pub mod decompress;
pub mod digest;
pub mod escape;
pub mod image;
pub mod ingredients;
pub mod json;
pub mod layer;
pub mod license;
pub mod limits;
pub mod listing;
pub mod platform;
pub mod programs;
pub mod secrets;
pub mod tar;
pub mod tree;
pub mod validate;
pub mod zip;
