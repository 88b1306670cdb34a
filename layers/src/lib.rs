//! Ingredients in, layers and OCI images out.
//!
//! The library is pure: it opens the files it is handed and writes to the sinks it is given, but it never touches the
//! network, a terminal, the clock or the environment. The same inputs give the same bytes on any machine, whatever the
//! number of threads.

pub mod archive;
pub mod codec;
pub mod digest;
pub mod image;
pub mod ingredients;
pub mod json;
pub mod layer;
pub mod listing;
pub mod platform;
pub mod tar;
pub mod tree;
pub mod validate;
