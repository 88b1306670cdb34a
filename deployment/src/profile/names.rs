//! Names that several modules share: of images, projects, bundle files, compose variables, and of the site's files in
//! services.

use sealift_layers::codec::Codec;

use super::model::{Deployed, Groups, Model, Service, SitePort, Template, Venv};

/// The program in a bundle's folder.
pub const PROGRAM: &str = "sealift";

/// The variable of `.env` with the prefix of the names of containers, volumes and the network. Default: [`project_name`].
pub const PROJECT_VARIABLE: &str = "SEALIFT_PROJECT";

/// The variable of `.env` that compose takes the project's name from: always the same as [`PROJECT_VARIABLE`].
pub const COMPOSE_PROJECT_VARIABLE: &str = "COMPOSE_PROJECT_NAME";

/// The certificate of the site's private authority.
pub(crate) const CA_CERTIFICATE: &str = "custom-ca.crt";

/// The full name of an image, with host and tag, which podman and Docker keep unchanged:
/// `localhost/parsec-server:3.10.0`.
///
/// The product is put before the image's name, unless the name starts with it. Characters of the version that are not
/// allowed in a tag become `-`.
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

/// The name of the deployment on a host: product and profile. It is the same for all versions, as they share data.
#[must_use]
pub fn project_name(model: &Model) -> String {
    format!("{}-{}", model.product.get_ref(), model.name.get_ref()).to_lowercase()
}

/// Product, profile, version and platform, for file names: `parsec-standalone-3.10.0-linux-amd64`.
/// `platform` is in the notation of OCI (`linux/amd64`).
#[must_use]
pub fn bundle_name(model: &Model, platform: &str) -> String {
    let (product, name, version) = (model.product.get_ref(), model.name.get_ref(), model.version.get_ref());
    format!("{product}-{name}-{version}-{}", platform.replace('/', "-"))
}

/// The bundle's file name: `parsec-standalone-3.10.0-linux-amd64.tar`. With images, only the layers are compressed; without
/// containers the whole file is compressed with `codec`, and has its extension.
#[must_use]
pub fn bundle_file(model: &Model, platform: &str, codec: Codec) -> String {
    let compressed = match (model.deployment, codec) {
        (Deployed::Compose, _) | (_, Codec::None) => "",
        (Deployed::Systemd, Codec::Gzip) => ".gz",
        (Deployed::Systemd, Codec::Zstd) => ".zst",
    };
    format!("{}.tar{compressed}", bundle_name(model, platform))
}

/// The compose variable with the port on the host: `SEALIFT_HTTPS_PORT` for the port `https`.
#[must_use]
pub fn port_variable(name: &str) -> String {
    format!("SEALIFT_{}_PORT", variable(name))
}

/// The compose variable with the last port on the host, for a site port of several: `SEALIFT_MEDIA_LAST_PORT`.
#[must_use]
pub fn last_port_variable(name: &str) -> String {
    format!("SEALIFT_{}_LAST_PORT", variable(name))
}

/// The compose variable with the address on the host: `SEALIFT_HTTPS_ADDRESS` for the port `https`.
#[must_use]
pub fn address_variable(name: &str) -> String {
    format!("SEALIFT_{}_ADDRESS", variable(name))
}

/// The compose variable with a folder of the host: `SEALIFT_MEDIA_PATH` for the setting `media`.
#[must_use]
pub fn path_variable(name: &str) -> String {
    format!("SEALIFT_{}_PATH", variable(name))
}

/// The compose variable that states whether a network is internal, `true` or `false`: `SEALIFT_OUTSIDE_INTERNAL` for the
/// network `outside`. Only networks whose condition depends on settings have one.
#[must_use]
pub fn internal_variable(name: &str) -> String {
    format!("SEALIFT_{}_INTERNAL", variable(name))
}

fn variable(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// The address of a port on the host, in the syntax of compose: IPv6 in brackets.
#[must_use]
pub fn published_address(port: &SitePort) -> String {
    bracketed(&port.address)
}

/// An address as it stands before the `:` of a port: IPv6 in brackets, which it may have already.
#[must_use]
pub(crate) fn bracketed(address: &str) -> String {
    if address.contains(':') && !address.starts_with('[') { format!("[{address}]") } else { address.to_owned() }
}

/// Default address and port of a published port on the host.
pub(crate) fn default_port(model: &Model, name: &str, inside: u16) -> (String, u16) {
    let port = model.site.ports.get(name);
    port.map_or_else(|| ("0.0.0.0".to_owned(), inside), |port| (published_address(port), port.default))
}

/// The site's path of a secret.
#[must_use]
pub(crate) fn secret_path(name: &str) -> String {
    format!("secrets/{name}")
}

/// The site's path of a file that services name in their `secrets`: `NAME.key` and `NAME.crt` of a certificate,
/// `NAME.crt` of trusted authorities, `custom-ca.crt`, or a secret. `None` for other names.
#[must_use]
pub fn mounted_path(model: &Model, name: &str) -> Option<String> {
    let site = &model.site;
    if name == CA_CERTIFICATE {
        return site.authority.as_ref().map(|_| name.to_owned());
    }
    if name.strip_suffix(".crt").is_some_and(|trusted| site.trusted.contains_key(trusted)) {
        return Some(format!("tls/{name}"));
    }
    let certificate = name.strip_suffix(".key").or_else(|| name.strip_suffix(".crt"));
    if certificate.is_some_and(|certificate| site.certificates.contains_key(certificate)) {
        return Some(format!("tls/{name}"));
    }
    site.secrets.contains_key(name).then(|| secret_path(name))
}

/// The folder of a site with copies of files that several groups read.
pub(crate) const BY_GROUP: &str = "by-group";

/// The site's path of the copy of a file that `group` reads.
#[must_use]
pub(crate) fn copy_path(path: &str, group: u32) -> String {
    format!("{BY_GROUP}/{group}/{path}")
}

/// The groups that read the file of a site at `path`.
#[must_use]
pub(crate) fn groups_of<'m>(model: &'m Model, path: &str) -> Option<&'m Groups> {
    let site = &model.site;
    if let Some(secret) = path.strip_prefix("secrets/") {
        return site.secrets.get(secret).map(|secret| &secret.group);
    }
    if let Some(name) = path.strip_prefix("tls/").and_then(|name| name.strip_suffix(".key")) {
        return site.certificates.get(name).map(|certificate| &certificate.key_group);
    }
    site.templates.get(path).map(|template| &template.group)
}

/// The permission bits of a rendered template.
#[must_use]
pub fn template_mode(template: &Template) -> u32 {
    template.mode.map_or(if template.secret { 0o600 } else { 0o644 }, |mode| mode.0)
}

/// The permission bits of the file of a site at `path`, if it is a secret, a key or rendered.
#[must_use]
pub(crate) fn mode_of(model: &Model, path: &str) -> Option<u32> {
    let site = &model.site;
    if let Some(secret) = path.strip_prefix("secrets/") {
        return site.secrets.get(secret).map(|secret| secret.mode.0);
    }
    if let Some(name) = path.strip_prefix("tls/").and_then(|name| name.strip_suffix(".key")) {
        return site.certificates.get(name).map(|certificate| certificate.key_mode.0);
    }
    site.templates.get(path).map(template_mode)
}

/// The number of the user that the program of a service runs as; `None` where it is only known in its image.
#[must_use]
pub(crate) fn user_of_service(model: &Model, service: &Service) -> Option<u32> {
    let image = model.images.get(&service.image)?;
    let user = service.user.as_ref().unwrap_or(&image.user).get_ref().as_str();
    let known = image.users.iter().find(|known| known.name.get_ref() == user).map(|known| known.uid);
    let named = || if user == "nobody" { Some(65534) } else { user.split(':').next()?.parse().ok() };
    known.or_else(named)
}

/// The groups that the program of a service is in; `None` where they are only known in its image.
#[must_use]
pub(crate) fn groups_of_service(model: &Model, service: &Service) -> Option<Vec<u32>> {
    let image = model.images.get(&service.image)?;
    let user = service.user.as_ref().unwrap_or(&image.user).get_ref().as_str();
    let named = || image.users.iter().find(|known| known.name.get_ref() == user).map(|known| known.gid);
    let group = match user.split_once(':') {
        Some((_, group)) => group.parse().ok(),
        None if user == "0" => Some(0),
        None if user == "nobody" => Some(65534),
        None => named(),
    };
    Some(std::iter::once(group?).chain(service.groups.iter().copied()).collect())
}

/// The site's path of the file, or of its copy, that `service` reads in place of the one at `path`.
#[must_use]
pub(crate) fn path_for(model: &Model, service: &Service, path: &str) -> String {
    let readers = groups_of(model, path).map(|groups| groups.others()).unwrap_or_default();
    let own = groups_of_service(model, service).unwrap_or_else(|| service.groups.clone());
    let is_first = groups_of(model, path).and_then(Groups::first).is_some_and(|first| own.contains(&first));
    let copy = own.iter().find(|group| !is_first && readers.contains(group));
    copy.map_or_else(|| path.to_owned(), |group| copy_path(path, *group))
}

/// The name of a site's file in a service: the last part of its path.
#[must_use]
pub fn credential(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// A program of a venv, as named in a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The interpreter.
    Python,
    /// A script in the venv's `bin`, by its name: the interpreter runs it.
    Script,
}

/// The program of `venv` that `word`, the first of a command, refers to; `None` for other programs.
#[must_use]
pub fn program<'w>(venv: &Venv, word: &'w str) -> Option<(Program, &'w str)> {
    let name = word.strip_prefix(&format!("{}/bin/", venv.path.get_ref()));
    let python = [venv.python.get_ref(), "python3", "python"].contains(&name.unwrap_or(word));
    match name {
        Some(name) if !python => Some((Program::Script, name)),
        _ => python.then_some((Program::Python, name.unwrap_or(word))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_and_bundles() {
        let model = crate::profile::sample();
        assert_eq!(image_name(&model, "web"), "localhost/shop-web:1.2.0-b1");
        assert_eq!(image_name(&model, "shop-database"), "localhost/shop-database:1.2.0-b1");
        assert_eq!(image_name(&model, "shop"), "localhost/shop:1.2.0-b1");
        assert_eq!(image_name(&model, "shopper"), "localhost/shop-shopper:1.2.0-b1");
        assert_eq!(bundle_file(&model, "linux/arm64/v8", Codec::Gzip), "shop-small-1.2.0+b1-linux-arm64-v8.tar");
    }
}
