//! An image: its configuration and manifest (OCI image-spec 1.1) over finished layers.

use std::collections::BTreeMap;

use oci_spec::OciSpecError;
use oci_spec::image::{
    Arch, Config, ConfigBuilder, Descriptor, HistoryBuilder, ImageConfigurationBuilder, ImageManifestBuilder,
    MediaType, Os, RootFsBuilder, SCHEMA_VERSION, Sha256Digest,
};

use crate::digest::Digest;
use crate::json::canonical;
use crate::layer::Layer;

/// What an image is to be.
#[derive(Clone, Debug, Default)]
pub struct Recipe {
    /// Full name and tag, such as `localhost/parsec-server:3.10.0`.
    pub name: String,
    /// Architecture as Go and OCI name it (`amd64`); the system is Linux.
    pub architecture: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// `UID:GID`.
    pub user: String,
    /// The program and its fixed arguments.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub command: Vec<String>,
    /// Working directory.
    pub workdir: Option<String>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Ports, as `6777/tcp`.
    pub ports: Vec<String>,
    /// Paths of volumes.
    pub volumes: Vec<String>,
    /// Such as `SIGINT`.
    pub stop_signal: Option<String>,
    /// Labels of the configuration and annotations of the manifest.
    pub labels: BTreeMap<String, String>,
    /// The layers, bottom first, each with the words that history has for it.
    pub layers: Vec<(Layer, String)>,
}

/// A finished image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Full name and tag.
    pub name: String,
    /// The configuration document.
    pub config: Vec<u8>,
    /// The manifest document.
    pub manifest: Vec<u8>,
    /// The layers, bottom first.
    pub layers: Vec<Layer>,
    /// Architecture.
    pub architecture: String,
}

impl Image {
    /// Puts an image together.
    ///
    /// # Errors
    /// When a document of `oci-spec` lacks a field, or the date is out of range.
    pub fn new(recipe: Recipe) -> Result<Self, OciSpecError> {
        let created =
            timestamp(recipe.created).ok_or_else(|| OciSpecError::Other("the epoch is no date".to_owned()))?;
        let history = recipe
            .layers
            .iter()
            .map(|(_, title)| HistoryBuilder::default().created(&*created).created_by(title.as_str()).build());
        let diff_ids: Vec<String> = recipe.layers.iter().map(|(layer, _)| layer.diff_id.to_string()).collect();
        let configuration = ImageConfigurationBuilder::default()
            .created(&*created)
            .architecture(Arch::from(recipe.architecture.as_str()))
            .os(Os::Linux)
            .rootfs(RootFsBuilder::default().typ("layers").diff_ids(diff_ids).build()?)
            .history(history.collect::<Result<Vec<_>, _>>()?)
            .config(config(&recipe)?)
            .build()?;
        let config = canonical(&configuration);

        let layers: Vec<Layer> = recipe.layers.into_iter().map(|(layer, _)| layer).collect();
        let manifest = ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageManifest)
            .config(descriptor(MediaType::ImageConfig, Digest::of(&config), config.len() as u64))
            .layers(
                layers
                    .iter()
                    .map(|layer| descriptor(MediaType::from(layer.media_type.as_str()), layer.digest, layer.size))
                    .collect::<Vec<_>>(),
            );
        let mut manifest = manifest.build()?;
        if !recipe.labels.is_empty() {
            manifest.set_annotations(Some(recipe.labels.into_iter().collect()));
        }
        let manifest = canonical(&manifest);
        Ok(Self { name: recipe.name, config, manifest, layers, architecture: recipe.architecture })
    }

    /// The image's ID on podman and on Docker's classic store: the digest of its configuration.
    #[must_use]
    pub fn config_digest(&self) -> Digest {
        Digest::of(&self.config)
    }

    /// The image's digest: that of its manifest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }
}

fn config(recipe: &Recipe) -> Result<Config, OciSpecError> {
    let mut config = ConfigBuilder::default()
        .user(&*recipe.user)
        .env(recipe.env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>())
        .entrypoint(recipe.entrypoint.clone());
    if !recipe.command.is_empty() {
        config = config.cmd(recipe.command.clone());
    }
    if let Some(workdir) = &recipe.workdir {
        config = config.working_dir(&**workdir);
    }
    if !recipe.ports.is_empty() {
        config = config.exposed_ports(recipe.ports.clone());
    }
    if !recipe.volumes.is_empty() {
        config = config.volumes(recipe.volumes.clone());
    }
    if let Some(signal) = &recipe.stop_signal {
        config = config.stop_signal(&**signal);
    }
    let mut config = config.build()?;
    if !recipe.labels.is_empty() {
        config.set_labels(Some(recipe.labels.clone().into_iter().collect()));
    }
    Ok(config)
}

/// Seconds since 1970 as RFC 3339 has them, in UTC; `None` past the year 9999.
#[must_use]
pub fn timestamp(seconds: u64) -> Option<String> {
    jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok().map(|time| time.to_string())
}

pub(crate) fn descriptor(media_type: MediaType, digest: Digest, size: u64) -> Descriptor {
    let sha256: Sha256Digest = digest.hex().parse().expect("64 hex digits");
    Descriptor::new(media_type, size, sha256)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn recipe(layer: Layer) -> Recipe {
        Recipe {
            name: "localhost/hello:1".into(),
            architecture: "amd64".into(),
            created: 1_600_000_000,
            user: "1234:1234".into(),
            entrypoint: vec!["/bin/hello".into()],
            env: [("PATH".into(), "/usr/bin".into()), ("A".into(), "1".into())].into(),
            ports: vec!["80/tcp".into()],
            labels: ["b", "a", "c"].map(|l| (format!("org.opencontainers.image.{l}"), l.to_owned())).into(),
            layers: vec![(layer, "files".into())],
            ..Recipe::default()
        }
    }

    #[test]
    fn documents_are_canonical() {
        let digest = Digest::of(b"");
        let layer = Layer {
            digest,
            size: 5,
            diff_id: digest,
            unpacked: 9,
            media_type: "application/vnd.oci.image.layer.v1.tar+gzip".into(),
        };
        let image = Image::new(recipe(layer)).unwrap();
        insta::assert_snapshot!(String::from_utf8(image.config).unwrap(), @r#"{"architecture":"amd64","config":{"Entrypoint":["/bin/hello"],"Env":["A=1","PATH=/usr/bin"],"ExposedPorts":{"80/tcp":{}},"Labels":{"org.opencontainers.image.a":"a","org.opencontainers.image.b":"b","org.opencontainers.image.c":"c"},"User":"1234:1234"},"created":"2020-09-13T12:26:40Z","history":[{"created":"2020-09-13T12:26:40Z","created_by":"files"}],"os":"linux","rootfs":{"diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],"type":"layers"}}"#);
        insta::assert_snapshot!(String::from_utf8(image.manifest).unwrap(), @r#"{"annotations":{"org.opencontainers.image.a":"a","org.opencontainers.image.b":"b","org.opencontainers.image.c":"c"},"config":{"digest":"sha256:26bdc806341bae4ef18620bf4711c7484b1177f6637a3eb83da7ec70a0172882","mediaType":"application/vnd.oci.image.config.v1+json","size":479},"layers":[{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":5}],"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}"#);
    }
}
