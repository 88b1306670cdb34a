//! A deployment without containers: programs in `bin/`, and units of systemd that run them.
//!
//! The image's files are in `root/` of the bundle's folder, which may be anywhere: programs find it relative to themselves.
//! The image's Python is run by the image's own dynamic loader with the image's own libraries, independent of the host's.
//! `/PATH` of the image is `root/PATH` here. `/run/secrets/NAME` is `root/run/secrets/NAME`, a link into the site; under
//! systemd it is a credential, so that the service's user cannot read the site and does not have to be created.

mod files;
mod launcher;
mod paths;
pub mod readme;
mod script;
#[cfg(test)]
pub(crate) mod tests;
mod unit;

pub use files::{TextFile, files};
pub use launcher::{launcher, libraries};
pub use paths::{FOLDER, GENERATED, ROOT, health_path, links, run_path, task_path, timer_path, unit_path};
