//! The parts of a bundle.

use sealift_deployment::site::Site;
use sealift_layers::image::Image;

use super::program::HostProgram;
use crate::lock::Lock;
use crate::plan::{FinishedLayers, Plan};
use crate::signing::SigningKey;

/// Origin of the bundle's own files, for messages.
pub(super) const ORIGIN: &str = "bundle";

/// The contents of a bundle.
#[derive(Clone, Copy, Debug)]
pub struct Bundle<'a> {
    /// The plan.
    pub plan: &'a Plan<'a>,
    /// The lock that it was made from.
    pub lock: &'a Lock,
    /// The plan's images.
    pub images: &'a [Image],
    /// Their layers.
    pub layers: &'a FinishedLayers,
    /// The site, if the bundle is for a single installation.
    pub site: Option<&'a Site>,
    /// The program for the host ([`super::program::choose`]).
    pub program: Option<&'a HostProgram>,
    /// The key that signs the bundle.
    pub key: Option<&'a SigningKey>,
    /// Number of threads that compress, where the bundle as a whole is compressed.
    pub jobs: usize,
}
