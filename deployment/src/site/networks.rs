//! What containers have by the settings of a site: networks with a condition, and folders of the host.

use std::collections::BTreeMap;

use anyhow::Result;
use minijinja::{Environment, context};

use super::values::SettingValues;
use crate::failure::Failure;
use crate::profile::model::{Internal, Model};
use crate::profile::setting::Value;
use crate::profile::template::identifier;

/// Whether each network with a condition is internal for these settings, by name.
///
/// # Errors
/// [`Failure::usage`] when a condition cannot be evaluated.
pub(super) fn internal(model: &Model, settings: &SettingValues) -> Result<BTreeMap<String, bool>> {
    let values = model.site.settings.keys().filter_map(|name| Some((identifier(name), settings.get(name)?)));
    let values = minijinja::Value::from_pairs(values.map(|(name, value)| (name, minijinja::Value::from(value))));
    let mut networks = BTreeMap::new();
    for (name, network) in &model.networks {
        let Internal::When(test) = &network.internal else { continue };
        let environment = Environment::new();
        let result = environment
            .compile_expression(test)
            .and_then(|test| test.eval(context! { settings => values.clone() }))
            .map_err(|error| {
                Failure::usage(format!("the condition of the network `{}` cannot be evaluated", name.get_ref()))
                    .because(error)
            })?;
        networks.insert(name.get_ref().clone(), result.is_true());
    }
    Ok(networks)
}

/// The folders of the host that services have, by the names of their settings. Those that are not set are left out.
pub(super) fn host_paths(model: &Model, settings: &SettingValues) -> BTreeMap<String, String> {
    let path = |name: &str| match settings.get(name)? {
        Value::Text(path) => Some((name.to_owned(), path.clone())),
        _ => None,
    };
    model.host_paths().into_iter().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_decide() {
        let text = include_str!("../profile/sample.toml")
            .replace("internal = \"true\"", "internal = \"not settings.mail_host\"");
        let text = text + "\n[site.settings.mail-host]\ntitle = \"The mail server\"\nkind = \"host\"\n";
        let model: Model = toml::from_str(&text).unwrap();
        let outside = |value: Value| {
            let settings = SettingValues::new([("mail-host".to_owned(), value)].into());
            internal(&model, &settings).unwrap()
        };
        assert_eq!(outside(Value::None), [("outside".to_owned(), true)].into());
        assert_eq!(outside(Value::Text("mail.example.com".into())), [("outside".to_owned(), false)].into());
    }
}
