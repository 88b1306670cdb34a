//! What the operator has to provide: settings without a default, and folders of the host.

use super::markdown;
use crate::profile::model::{Model, Service};
use crate::profile::setting::Kind;

/// The settings that have to be set, each with a command; empty where there are none.
pub(super) fn required(model: &Model) -> String {
    let needed = model.site.settings.iter().filter(|(_, setting)| setting.required);
    let rows: String = needed
        .map(|(name, setting)| {
            let value = match setting.kind {
                Kind::Port | Kind::Integer | Kind::Boolean => "VALUE",
                Kind::List => "[\"VALUE\"]",
                Kind::Tables => {
                    return format!("| `{name}` | {} | in an editor |\n", markdown::text(setting.summary()));
                }
                _ => "\"VALUE\"",
            };
            let command = format!("sed -i 's,^{name} = .*,{name} = {value},' site/settings.toml");
            format!("| `{name}` | {} | {} |\n", markdown::text(setting.summary()), markdown::code(&command))
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let text = "
- These settings have no default. The first `./sealift up` writes `site/settings.toml` and asks for them; set them, and run it again:

| setting | what it is | command |
| --- | --- | --- |
";
    format!("{text}{rows}")
}

/// The folders of the host that services have, and who has to own them; empty where there are none.
pub(super) fn folders(model: &Model) -> String {
    let rows = model.services.iter().flat_map(|(name, service)| {
        service.paths.iter().map(move |(setting, path)| {
            let (may, owner) = (if path.is_writable() { "write" } else { "read" }, owner(model, service));
            format!(
                "| `{}` | `{}` | {} | {may} | {owner} |\n",
                setting.get_ref(),
                name.get_ref(),
                markdown::code(path.path())
            )
        })
    });
    let rows: String = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    let text = "
- Folders of this host that services have. The settings in `site/settings.toml` name them. Each has to exist, and the user of its
  service has to be able to use it (with rootless podman: `podman unshare chown UID:GID FOLDER`):

| setting | service | path in the container | it may | user |
| --- | --- | --- | --- | --- |
";
    format!("{text}{rows}")
}

/// The user of a service as numbers where the profile has them, else its name in the image.
fn owner(model: &Model, service: &Service) -> String {
    let image = &model.images[&service.image];
    let user = service.user.as_ref().unwrap_or(&image.user).get_ref().as_str();
    let known = image.users.iter().find(|known| known.name.get_ref() == user).map(|known| (known.uid, known.gid));
    match (user, known) {
        (_, Some((uid, gid))) => format!("{uid}:{gid}"),
        ("nobody", None) => "65534:65534".to_owned(),
        (numbers, None) if numbers.starts_with(|c: char| c.is_ascii_digit()) => numbers.to_owned(),
        (name, None) => format!("`{name}` of the image"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::sample;

    #[test]
    fn the_operator_sees_what_to_provide() {
        let mut model = sample();
        let setting = |text: &str| toml::from_str(text).unwrap();
        model.site.settings = [
            ("mail".to_owned(), setting("title = \"The mail server\\nmore\"\nkind = \"host\"\nrequired = true")),
            ("share".to_owned(), setting("title = \"The share\"\nkind = \"folder\"\ndefault = \"/srv\"")),
        ]
        .into();
        insta::assert_snapshot!(required(&model), @r#"
        - These settings have no default. The first `./sealift up` writes `site/settings.toml` and asks for them; set them, and run it again:

        | setting | what it is | command |
        | --- | --- | --- |
        | `mail` | The mail server | `sed -i 's,^mail = .*,mail = "VALUE",' site/settings.toml` |
        "#);
        assert_eq!(folders(&model), "");
        let paths = toml::from_str::<std::collections::BTreeMap<_, _>>("share = { path = \"/data\", writable = true }");
        model.services.get_mut("shop-web").unwrap().paths = paths.unwrap();
        insta::assert_snapshot!(folders(&model), @r"
        - Folders of this host that services have. The settings in `site/settings.toml` name them. Each has to exist, and the user of its
          service has to be able to use it (with rootless podman: `podman unshare chown UID:GID FOLDER`):

        | setting | service | path in the container | it may | user |
        | --- | --- | --- | --- | --- |
        | `share` | `shop-web` | `/data` | write | 1000:1000 |
        ");
        model.site.settings.clear();
        assert_eq!(required(&model), "");
    }
}
