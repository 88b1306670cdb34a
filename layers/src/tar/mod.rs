//! Trees to tar archives and back. [`Writer`] is the only code of the project that makes tar headers.
//!
//! ```
//! use std::sync::Arc;
//!
//! use sealift_layers::tar;
//! use sealift_layers::tree::{Entry, SourceFile, Tree, TreePath};
//!
//! let mut tree = Tree::new();
//! tree.insert(TreePath::new("a")?, Entry::file("hello", 0o644, &"example".into()));
//! let mut bytes = Vec::new();
//! tar::write(&tree, tar::Options { epoch: 0, file_digests: false }, &mut bytes)?;
//!
//! let back = tar::read(&Arc::new(SourceFile::Memory(bytes)), &"example".into())?;
//! assert_eq!(back.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod header;
mod members;
#[cfg(test)]
mod members_tests;
mod pax;
mod read;
mod write;

pub use members::{Member, MemberKind, Members, Skip, Stream};
pub use read::{ReadError, read, read_with_oddities};
pub(crate) use write::write_watched;
pub use write::{DIRECTORY_TIME, Options, Writer, write};
