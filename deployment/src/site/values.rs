//! The values that templates of a site read.

use std::collections::BTreeMap;
use std::fmt;

use super::public_host::PublicHost;
use crate::profile::model::Model;
use crate::profile::setting::Value;

/// The values that templates without secrets read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteParameters {
    /// The public host.
    pub host: PublicHost,
    /// Published ports by name, all of the profile's.
    pub ports: BTreeMap<String, u16>,
    /// Values of the settings.
    pub settings: SettingValues,
    /// Number of certificates in each file of trusted authorities, by name.
    pub trusted: BTreeMap<String, usize>,
    /// Paths of the files in each folder of the operator's, by the folder's name.
    pub files: BTreeMap<String, Vec<String>>,
}

impl SiteParameters {
    /// The values for an image that is not built for one site: the host `localhost`, and the profile's default ports
    /// and settings.
    #[must_use]
    pub fn defaults(model: &Model) -> Self {
        let ports = model.site.ports.iter().map(|(name, port)| (name.clone(), port.default)).collect();
        Self {
            host: "localhost".parse().expect("localhost is a host"),
            ports,
            settings: SettingValues::defaults(model),
            trusted: model.site.trusted.keys().map(|name| (name.clone(), 0)).collect(),
            files: model.site.files.keys().map(|name| (name.clone(), Vec::new())).collect(),
        }
    }
}

/// The values of all settings, by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SettingValues(BTreeMap<String, Value>);

impl fmt::Debug for SettingValues {
    /// Leaves the values out: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl SettingValues {
    pub(super) fn new(values: BTreeMap<String, Value>) -> Self {
        Self(values)
    }

    /// The values without an installation: defaults. Required settings have none.
    #[must_use]
    pub fn defaults(model: &Model) -> Self {
        let open = model.site.settings.iter().filter(|(_, setting)| !setting.required);
        Self(open.map(|(name, setting)| (name.clone(), setting.unset())).collect())
    }

    /// A value; `None` for a required setting without an installation.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}
