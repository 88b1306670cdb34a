//! `[images.NAME.nix]`: a closure of a Nix store.

use serde::Deserialize;
use toml::Spanned;

/// Default maximum number of layers of a Nix closure. Engines accept about 125 layers in an image, and each one costs time.
pub const DEFAULT_NIX_LAYERS: u32 = 60;

/// A closure of a Nix store. The image has its store paths below `/nix/store`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Nix {
    /// The output of `nix path-info --json --recursive` for it: a file of the profile.
    pub closure: Spanned<String>,
    /// Maximum number of layers.
    #[serde(default = "default_nix_layers")]
    pub layers: Spanned<u32>,
}

fn default_nix_layers() -> Spanned<u32> {
    Spanned::new(0..0, DEFAULT_NIX_LAYERS)
}
