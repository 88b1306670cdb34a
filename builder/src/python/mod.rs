//! Python: which index this machine uses, which distributions an environment is made of, and which wheel of each.
//!
//! Resolution is `uv`'s work, and needed only to make a lock. Everything after it is decided here: the markers, the
//! tags, and the one file of each distribution.

pub mod index;
pub mod pylock;
pub mod resolve;
pub mod simple;
pub mod tags;
