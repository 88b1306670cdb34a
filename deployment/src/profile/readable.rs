//! Which files of the site the program of a service can read.

use toml::Spanned;

use super::model::{Deployed, Model, Service};
use super::names;
use crate::diagnostic::Diagnostic;

/// The files of the site that `service` mounts and that its program cannot read. `own` are its groups, that of its user first.
pub(super) fn problems(model: &Model, service: &Service, own: &[u32]) -> Vec<Diagnostic> {
    let secrets = service.secrets.iter().filter_map(|name| Some((name, names::mounted_path(model, name.get_ref())?)));
    let rendered = service.config_files.keys().map(|name| (name, name.get_ref().clone()));
    secrets.chain(rendered).filter_map(|(name, path)| problem(model, (name, &path), service, own)).collect()
}

/// Why the program of `service` cannot read the file of the site at `path`, which is `name` in the profile; `None` if it can.
pub(super) fn problem(
    model: &Model,
    (name, path): (&Spanned<String>, &str),
    service: &Service,
    own: &[u32],
) -> Option<Diagnostic> {
    let is_root = service.root.is_some() || service.privileged.is_some();
    if model.deployment == Deployed::Systemd || is_root {
        return None;
    }
    let groups = &names::groups_of(model, path)?.0;
    if groups.is_empty() {
        return only_root(model, (name, path), service, own);
    }
    if own.iter().any(|group| groups.contains(group)) {
        return None;
    }
    let list = |groups: &[u32]| groups.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let message = format!(
        "the service cannot read `{}`: it is of the group {}, the service of {}",
        name.get_ref(),
        list(groups),
        list(own)
    );
    let all: Vec<u32> = groups.iter().copied().chain(own.first().copied()).collect();
    let own = own.first().map_or("NUMBER".to_owned(), u32::to_string);
    let hint =
        format!("write {own} in its place; or, if services of several groups read it, all of them: [{}]", list(&all));
    Some(Diagnostic::new(name.span(), message, hint))
}

/// As [`problem`], for a file without a group.
fn only_root(
    model: &Model,
    (name, path): (&Spanned<String>, &str),
    service: &Service,
    own: &[u32],
) -> Option<Diagnostic> {
    let is_open = names::mode_of(model, path).is_none_or(|mode| mode & 0o004 != 0);
    let image = model.images.get(&service.image).filter(|_| !is_open)?;
    let user = service.user.as_ref().unwrap_or(&image.user).get_ref();
    if user.split(':').next() == Some("0") {
        return None;
    }
    let group = own.first().map_or("NUMBER".to_owned(), u32::to_string);
    let message = format!("the service cannot read `{}`: only root can, and its user is {user}", name.get_ref());
    let key =
        if path.ends_with(".key") { "key-mode = \"0640\"` and `key-group" } else { "mode = \"0640\"` and `group" };
    let hint = format!("give it to the group of the service: `{key} = {group}`");
    Some(Diagnostic::new(name.span(), message, hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of a package's group is known once its image is made: a service that runs as the package's user started,
    /// and could not read its password.
    #[test]
    fn the_number_of_a_package_s_group_is_told() {
        let mut model = crate::profile::sample();
        let path = "secrets/database-password";
        model.site.secrets.get_mut("database-password").unwrap().group.0.clear();
        let mut service = model.services["shop-database"].clone();
        service.user = Some(Spanned::new(0..0, "postgres".to_owned()));
        let found = |model: &Model, own: &[u32]| {
            let list = problems(model, &service, own);
            list.into_iter().map(|problem| format!("{}; {}", problem.message, problem.hint)).collect::<Vec<_>>()
        };
        assert!(names::mode_of(&model, path).is_some());
        insta::assert_snapshot!(found(&model, &[104]).join("\n"), @r#"the service cannot read `database-password`: only root can, and its user is postgres; give it to the group of the service: `mode = "0640"` and `group = 104`"#);
        model.site.secrets.get_mut("database-password").unwrap().group.0 = vec![104];
        assert_eq!(found(&model, &[104, 5]), Vec::<String>::new());
        insta::assert_snapshot!(found(&model, &[105]).join("\n"), @"the service cannot read `database-password`: it is of the group 104, the service of 105; write 105 in its place; or, if services of several groups read it, all of them: [104, 105]");
    }
}
