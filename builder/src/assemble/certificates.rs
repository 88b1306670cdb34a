//! The layer of CA certificates: those of Debian's package and those of the site.

use anyhow::Result;
use sealift_layers::ingredients::certs;
use sealift_layers::listing::Listing;
use sealift_layers::tree::Tree;

use super::ingredient::{Ingredient, Made};
use super::workshop::{Workshop, overlay_replacing};
use crate::inputs::{Artifact, ImageInputs};
use crate::store::{Builder, Store};

/// The package whose certificates are trusted.
const PACKAGE: &str = "ca-certificates";

/// The package without whose script Java trusts nobody.
const JAVA: &str = "ca-certificates-java";

/// The bundle of all certificates that the image trusts. In `bundle.json`, the package is described by its own layer.
#[derive(Debug)]
struct Certificates;

/// The layer of certificates, if the image has the package or the site has authorities of its own.
pub(super) fn layers(image: ImageInputs<'_>) -> Result<Vec<Box<dyn Ingredient>>> {
    let has_any = image.has_package(PACKAGE) || !image.inputs.options.authorities.is_empty();
    Ok(if has_any { vec![Box::new(Certificates)] } else { Vec::new() })
}

impl Ingredient for Certificates {
    fn title(&self) -> String {
        "CA certificates".to_owned()
    }

    fn key(&self, image: ImageInputs<'_>, key: Builder) -> Result<Builder> {
        let mut key = key.field("content", "certificates");
        if image.has_package(PACKAGE) {
            key = key.field("package", image.inputs.package(PACKAGE)?.sha256);
        }
        if image.has_package(JAVA) {
            key = key.field("java", 1);
        }
        let authorities = image.inputs.options.authorities.iter();
        Ok(authorities.fold(key, |key, authority| key.field("file", &authority.file_name).field("pem", &authority.pem)))
    }

    fn needs<'a>(&self, image: ImageInputs<'a>, _store: &Store) -> Result<Vec<Artifact<'a>>> {
        let package = image.has_package(PACKAGE).then(|| image.inputs.package(PACKAGE)).transpose()?;
        Ok(package.map(Artifact::Package).into_iter().collect())
    }

    fn make<'a>(&'a self, workshop: &mut Workshop<'_>, image: ImageInputs<'a>, lower: &Listing) -> Result<Made<'a>> {
        let package = match image.has_package(PACKAGE) {
            true => workshop.open_packages(&[PACKAGE.to_owned()])?[0].tree.clone(),
            false => Tree::new(),
        };
        let mut tree = certs::tree(&package, &image.inputs.options.authorities)?;
        if image.has_package(JAVA) {
            certs::add_java(&mut tree)?;
        }
        Ok(overlay_replacing(tree, lower)?.into())
    }
}
