//! Properties that hold for any bytes, one function for each kind of input from outside.
//!
//! A function panics when its property does not hold. It is called in two ways: by libFuzzer (`fuzz/` at the root of the
//! repository), for as long as one likes, and by `tests/tests/fuzz.rs`, for the seeds and a fixed number of changes of them.
//!
//! No property is only "it does not panic": what is accepted must come back the same when it is written and read again, an
//! order must be one, limits must hold, and a second reading must give what the first one gave.

#![allow(clippy::unwrap_used, reason = "a property that does not hold is a panic")]

pub mod bills;
pub mod binaries;
pub mod debian;
pub mod deployment;
pub mod machine;
pub mod mutation;
pub mod packages;
pub mod python;
pub mod seeds;
mod seeds_bills;
mod seeds_machine;
pub mod texts;

/// A kind of input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of the program in `fuzz/fuzz_targets` and of the folder in `fuzz/seeds`.
    pub name: &'static str,
    /// The property.
    pub check: fn(&[u8]),
    /// Its seeds.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! targets {
    ($($module:ident: $($name:ident)*;)*) => {
        /// All kinds of input.
        pub const TARGETS: &[Target] =
            &[$($(Target { name: stringify!($name), check: $module::$name, seeds: seeds::$name },)*)*];
    };
}

targets! {
    packages: ar deb control tar wheel wheel_members record entry_points closure;
    binaries: decompress programs scripts ldconf ldcache;
    debian: versions relations stanzas packages release clearsign signature;
    python: requirements pylock index_page wheel_name;
    deployment: lock profile settings env bundle manifest sums;
    texts: paths numbers;
    machine: certificate site_record apt_sources python_settings nar;
    bills: licenses advisories;
}

/// The input as text, if it is UTF-8.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// The parts of a text between lines of `%`: for inputs that consist of several files.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n%\n")
}

/// A file in memory with this content.
///
/// # Panics
/// The kernel has no memory for it.
fn file(data: &[u8]) -> std::fs::File {
    use std::io::{Seek as _, Write as _};
    let mut file = empty_file();
    file.write_all(data).and_then(|()| file.rewind()).expect("a file in memory");
    file
}

/// An empty file in memory.
fn empty_file() -> std::fs::File {
    rustix::fs::memfd_create("fuzz", rustix::fs::MemfdFlags::CLOEXEC).expect("a file in memory").into()
}
