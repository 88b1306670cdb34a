//! Networks whose condition depends on the settings of a site.

use std::collections::BTreeMap;

use anyhow::Result;
use minijinja::{Environment, context};

use super::values::SettingValues;
use crate::failure::Failure;
use crate::profile::model::{Internal, Model};
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::setting::Value;

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
