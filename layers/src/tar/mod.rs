//! Trees to tar and back. `write` is the only place of the project that makes tar headers.

mod read;
mod write;

pub use read::{ReadError, index};
pub use write::{DIRECTORY_TIME, append, finish, write};
