//! An image: its configuration and manifest (OCI image-spec 1.1) over finished layers.
//!
//! ```
//! use sealift_layers::image::{Image, ImageSpec};
//! use sealift_layers::platform::{Architecture, Platform};
//!
//! let image = Image::new(ImageSpec {
//!     entrypoint: vec!["/bin/hello".into()],
//!     ..ImageSpec::new("localhost/hello:1", Platform::linux(Architecture::Amd64))
//! })?;
//! assert!(String::from_utf8(image.config)?.starts_with(r#"{"architecture":"amd64""#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;

use oci_spec::OciSpecError;
use oci_spec::image::{
    Arch, Config, ConfigBuilder, Descriptor, HistoryBuilder, ImageConfiguration, ImageConfigurationBuilder,
    ImageManifest, ImageManifestBuilder, MediaType, Os, RootFsBuilder, SCHEMA_VERSION, Sha256Digest,
};

use crate::digest::Digest;
use crate::json::canonical;
use crate::layer::Layer;
use crate::platform::Platform;

/// What an image is made from.
#[derive(Clone, Debug)]
pub struct ImageSpec {
    /// Full name and tag, such as `localhost/parsec-server:3.10.0`.
    pub name: String,
    /// Operating system and architecture.
    pub platform: Platform,
    /// Time of creation, in seconds since 1970.
    pub created: u64,
    /// User and group that the program runs as: `UID:GID`.
    pub user: String,
    /// The program and its fixed arguments.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub command: Vec<String>,
    /// Working directory.
    pub workdir: Option<String>,
    /// Environment variables, name to value.
    pub env: BTreeMap<String, String>,
    /// Exposed ports, such as `6777/tcp`.
    pub ports: Vec<String>,
    /// Absolute paths of volumes.
    pub volumes: Vec<String>,
    /// Signal that stops the program, such as `SIGINT`.
    pub stop_signal: Option<String>,
    /// Labels of the configuration, which are also the annotations of the manifest.
    pub labels: BTreeMap<String, String>,
    /// The layers, bottom first.
    pub layers: Vec<ImageLayer>,
}

/// A layer of an image.
#[derive(Clone, Debug)]
pub struct ImageLayer {
    /// The finished layer.
    pub layer: Layer,
    /// Description in the history of the image (`created_by`).
    pub created_by: String,
}

impl ImageSpec {
    /// A specification without layers, created at second 0 of 1970; every other field is empty.
    #[must_use]
    pub fn new(name: impl Into<String>, platform: Platform) -> Self {
        Self {
            name: name.into(),
            platform,
            created: 0,
            user: String::new(),
            entrypoint: Vec::new(),
            command: Vec::new(),
            workdir: None,
            env: BTreeMap::new(),
            ports: Vec::new(),
            volumes: Vec::new(),
            stop_signal: None,
            labels: BTreeMap::new(),
            layers: Vec::new(),
        }
    }
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
    /// Operating system and architecture.
    pub platform: Platform,
}

impl Image {
    /// Makes the configuration and the manifest.
    ///
    /// # Errors
    /// If `created` is after the year 9999, or `oci-spec` rejects a value.
    pub fn new(spec: ImageSpec) -> Result<Self, OciSpecError> {
        let config = canonical(&configuration(&spec)?);
        let layers: Vec<Layer> = spec.layers.into_iter().map(|layer| layer.layer).collect();
        let mut manifest = manifest(&config, &layers)?;
        if !spec.labels.is_empty() {
            manifest.set_annotations(Some(spec.labels.into_iter().collect()));
        }
        let manifest = canonical(&manifest);
        Ok(Self { name: spec.name, config, manifest, layers, platform: spec.platform })
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

/// The configuration document of an image.
fn configuration(spec: &ImageSpec) -> Result<ImageConfiguration, OciSpecError> {
    let created = timestamp(spec.created).ok_or_else(|| OciSpecError::Other("the epoch is not a date".to_owned()))?;
    let history = spec
        .layers
        .iter()
        .map(|layer| HistoryBuilder::default().created(&*created).created_by(layer.created_by.as_str()).build());
    let diff_ids: Vec<String> = spec.layers.iter().map(|layer| layer.layer.diff_id.to_string()).collect();
    ImageConfigurationBuilder::default()
        .created(&*created)
        .architecture(Arch::from(spec.platform.architecture().as_str()))
        .os(Os::Linux)
        .rootfs(RootFsBuilder::default().typ("layers").diff_ids(diff_ids).build()?)
        .history(history.collect::<Result<Vec<_>, _>>()?)
        .config(execution(spec)?)
        .build()
}

/// The manifest of an image with this configuration document.
fn manifest(config: &[u8], layers: &[Layer]) -> Result<ImageManifest, OciSpecError> {
    let layers: Vec<Descriptor> = layers
        .iter()
        .map(|layer| descriptor(MediaType::from(layer.media_type.as_str()), layer.digest, layer.size))
        .collect();
    ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(descriptor(MediaType::ImageConfig, Digest::of(config), config.len() as u64))
        .layers(layers)
        .build()
}

/// The part of the configuration that says how the image is run.
fn execution(spec: &ImageSpec) -> Result<Config, OciSpecError> {
    let mut config = ConfigBuilder::default()
        .user(&*spec.user)
        .env(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>())
        .entrypoint(spec.entrypoint.clone());
    if !spec.command.is_empty() {
        config = config.cmd(spec.command.clone());
    }
    if let Some(workdir) = &spec.workdir {
        config = config.working_dir(&**workdir);
    }
    if !spec.ports.is_empty() {
        config = config.exposed_ports(spec.ports.clone());
    }
    if !spec.volumes.is_empty() {
        config = config.volumes(spec.volumes.clone());
    }
    if let Some(signal) = &spec.stop_signal {
        config = config.stop_signal(&**signal);
    }
    let mut config = config.build()?;
    if !spec.labels.is_empty() {
        config.set_labels(Some(spec.labels.clone().into_iter().collect()));
    }
    Ok(config)
}

/// A time in seconds since 1970 as RFC 3339 text in UTC (`2020-09-13T12:26:40Z`); `None` after the year 9999.
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
    use crate::platform::Architecture;

    pub(crate) fn spec(layer: Layer) -> ImageSpec {
        ImageSpec {
            created: 1_600_000_000,
            user: "1234:1234".into(),
            entrypoint: vec!["/bin/hello".into()],
            env: [("PATH".into(), "/usr/bin".into()), ("A".into(), "1".into())].into(),
            ports: vec!["80/tcp".into()],
            labels: ["b", "a", "c"].map(|l| (format!("org.opencontainers.image.{l}"), l.to_owned())).into(),
            layers: vec![ImageLayer { layer, created_by: "files".into() }],
            ..ImageSpec::new("localhost/hello:1", Platform::linux(Architecture::Amd64))
        }
    }

    #[test]
    fn documents_have_sorted_keys_and_no_white_space() {
        let digest = Digest::of(b"");
        let layer = Layer {
            digest,
            size: 5,
            diff_id: digest,
            unpacked: 9,
            media_type: "application/vnd.oci.image.layer.v1.tar+gzip".into(),
        };
        let image = Image::new(spec(layer)).unwrap();
        insta::assert_snapshot!(String::from_utf8(image.config).unwrap(), @r#"{"architecture":"amd64","config":{"Entrypoint":["/bin/hello"],"Env":["A=1","PATH=/usr/bin"],"ExposedPorts":{"80/tcp":{}},"Labels":{"org.opencontainers.image.a":"a","org.opencontainers.image.b":"b","org.opencontainers.image.c":"c"},"User":"1234:1234"},"created":"2020-09-13T12:26:40Z","history":[{"created":"2020-09-13T12:26:40Z","created_by":"files"}],"os":"linux","rootfs":{"diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],"type":"layers"}}"#);
        insta::assert_snapshot!(String::from_utf8(image.manifest).unwrap(), @r#"{"annotations":{"org.opencontainers.image.a":"a","org.opencontainers.image.b":"b","org.opencontainers.image.c":"c"},"config":{"digest":"sha256:26bdc806341bae4ef18620bf4711c7484b1177f6637a3eb83da7ec70a0172882","mediaType":"application/vnd.oci.image.config.v1+json","size":479},"layers":[{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":5}],"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}"#);
    }

    #[test]
    fn a_date_after_the_year_9999_is_an_error() {
        assert_eq!(timestamp(1_600_000_000).as_deref(), Some("2020-09-13T12:26:40Z"));
        assert_eq!(timestamp(u64::MAX), None);
        let spec = ImageSpec { created: u64::MAX, ..ImageSpec::new("x", Platform::linux(Architecture::Arm64)) };
        assert!(Image::new(spec).is_err());
    }
}
