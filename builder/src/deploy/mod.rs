//! What the host needs beside the images: containers, as the engine makes them and as compose does, or units; and the
//! operator's README. Pure functions of the profile and what the host decides.

pub mod compose;
pub mod container;
pub mod readme;
pub mod systemd;

use crate::profile::model::Model;

/// The variable of `.env` that names of containers, volumes and the network start with; without it they start with
/// [`project_name`].
pub const PROJECT_VARIABLE: &str = "SEALIFT_PROJECT";

/// The full name of an image, with host and tag, which podman and Docker both keep as it is:
/// `localhost/parsec-server:3.10.0`.
///
/// The image's own name follows the product's, unless it starts with that anyway. Characters of the version that a tag
/// cannot have become `-`.
#[must_use]
pub fn image_name(model: &Model, image: &str) -> String {
    let product = model.product.get_ref();
    let own = image == product || image.strip_prefix(product.as_str()).is_some_and(|rest| rest.starts_with('-'));
    let name = if own { image.to_owned() } else { format!("{product}-{image}") };
    let tag: String = model.version.get_ref().chars().map(|c| if is_tag(c) { c } else { '-' }).collect();
    format!("localhost/{name}:{tag}")
}

fn is_tag(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

/// The name of the deployment on a host: product and profile. It stays the same across versions, as the data does.
#[must_use]
pub fn project_name(model: &Model) -> String {
    format!("{}-{}", model.product.get_ref(), model.name.get_ref()).to_lowercase()
}

/// The bundle's file name: `parsec-standalone-3.10.0-linux-amd64.tar`. `platform` is as OCI writes it (`linux/amd64`).
#[must_use]
pub fn bundle_name(model: &Model, platform: &str) -> String {
    format!("{}-{}-{}.tar", project_name(model), model.version.get_ref(), platform.replace('/', "-"))
}

/// The profile of `sample.toml`.
#[cfg(test)]
pub(crate) fn sample() -> Model {
    toml::from_str(include_str!("sample.toml")).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let model = sample();
        assert_eq!(image_name(&model, "web"), "localhost/shop-web:1.2.0-b1");
        assert_eq!(image_name(&model, "shop-database"), "localhost/shop-database:1.2.0-b1");
        assert_eq!(image_name(&model, "shop"), "localhost/shop:1.2.0-b1");
        assert_eq!(image_name(&model, "shopper"), "localhost/shop-shopper:1.2.0-b1");
        assert_eq!(bundle_name(&model, "linux/arm64/v8"), "shop-small-1.2.0+b1-linux-arm64-v8.tar");
    }
}
