//! Python: the index of this machine, the distributions of a virtual environment, and the wheel of each.
//!
//! `uv` resolves requirements; it is needed only to make a lock. The rest is done here: evaluating markers and tags, and
//! choosing one wheel of each distribution.

pub mod explain;
pub mod index;
pub mod local;
pub mod pylock;
pub mod requirements;
pub mod requires;
pub mod resolve;
mod settings;
pub mod simple;
pub mod tags;
