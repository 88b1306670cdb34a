//! Which files of the site the program of a service can read.

use std::collections::BTreeSet;

use toml::Spanned;

use super::model::{Deployed, Model, Service};
use super::names;
use crate::diagnostic::Diagnostic;

/// The files of the site that services mount and that their programs cannot read. `readers` has each service with its groups,
/// that of its user first.
pub(super) fn problems(model: &Model, readers: &[(&Service, Vec<u32>)]) -> Vec<Diagnostic> {
    let mut list = Vec::new();
    for (service, own) in readers {
        for (name, path) in mounted(model, service) {
            let is_reader =
                |(service, _): &&(&Service, Vec<u32>)| mounted(model, service).any(|(_, other)| other == path);
            let mut all: Vec<u32> =
                readers.iter().filter(is_reader).filter_map(|(_, own)| own.first().copied()).collect();
            all.dedup();
            list.extend(problem(model, (name, &path), service, own, &all));
        }
    }
    list
}

/// The files of the site that a service mounts: their names in the profile, and their paths.
fn mounted<'m>(model: &'m Model, service: &'m Service) -> impl Iterator<Item = (&'m Spanned<String>, String)> {
    let secrets = service.secrets.iter().filter_map(|name| Some((name, names::mounted_path(model, name.get_ref())?)));
    secrets.chain(service.config_files.keys().map(|name| (name, name.get_ref().clone())))
}

/// Why the program of `service` cannot read the file of the site at `path`, which is `name` in the profile; `None` if it can.
/// `all` are the groups that have to read it.
pub(super) fn problem(
    model: &Model,
    (name, path): (&Spanned<String>, &str),
    service: &Service,
    own: &[u32],
    all: &[u32],
) -> Option<Diagnostic> {
    let is_root = service.root.is_some() || service.privileged.is_some();
    if model.deployment == Deployed::Systemd || is_root {
        return None;
    }
    let groups = &names::groups_of(model, path)?.0;
    if groups.is_empty() {
        return only_root(model, (name, path), service, all);
    }
    if let Some(group) = own.iter().find(|group| groups.contains(group)) {
        return unknown_copy(model, (name, path), service, own, *group);
    }
    let list = |groups: &[u32]| groups.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let message = format!(
        "the service cannot read `{}`: it is of the group {}, the service of {}",
        name.get_ref(),
        list(groups),
        list(own)
    );
    let mut all = [groups, all].concat();
    let mut seen = BTreeSet::new();
    all.retain(|group| seen.insert(*group));
    let own = own.first().map_or("NUMBER".to_owned(), u32::to_string);
    let hint =
        format!("write {own} in its place; or, if services of several groups read it, all of them: [{}]", list(&all));
    Some(Diagnostic::new(name.span(), message, hint))
}

/// As [`problem`], for a file that has `group`, which the program is in. A file has one group, and copies for the others: hosts know
/// which one a service reads by what the profile says of its groups, and not of accounts that packages make.
fn unknown_copy(
    model: &Model,
    (name, path): (&Spanned<String>, &str),
    service: &Service,
    own: &[u32],
    group: u32,
) -> Option<Diagnostic> {
    let groups = names::groups_of(model, path)?;
    let mounted = names::path_for(model, service, path);
    let is_own = |other: &u32| match mounted == path {
        true => groups.first() == Some(*other),
        false => mounted == names::copy_path(path, *other),
    };
    if own.iter().any(is_own) {
        return None;
    }
    let image = model.images.get(&service.image)?;
    let user = service.user.as_ref().unwrap_or(&image.user).get_ref();
    let message = format!("the service would not get the copy of `{}` that the group {group} reads", name.get_ref());
    let hint = format!("its user {user} is of a package: say its group in the service, too: `groups = [{group}]`");
    Some(Diagnostic::new(name.span(), message, hint))
}

/// As [`problem`], for a file without a group.
fn only_root(
    model: &Model,
    (name, path): (&Spanned<String>, &str),
    service: &Service,
    all: &[u32],
) -> Option<Diagnostic> {
    let is_open = names::mode_of(model, path).is_none_or(|mode| mode & 0o004 != 0);
    let image = model.images.get(&service.image).filter(|_| !is_open)?;
    let user = service.user.as_ref().unwrap_or(&image.user).get_ref();
    if user.split(':').next() == Some("0") {
        return None;
    }
    let group = match all {
        [] => "NUMBER".to_owned(),
        [one] => one.to_string(),
        several => format!("{several:?}"),
    };
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
            let list = problems(model, &[(&service, own.to_vec())]);
            list.into_iter().map(|problem| format!("{}; {}", problem.message, problem.hint)).collect::<Vec<_>>()
        };
        assert!(names::mode_of(&model, path).is_some());
        insta::assert_snapshot!(found(&model, &[104]).join("\n"), @r#"the service cannot read `database-password`: only root can, and its user is postgres; give it to the group of the service: `mode = "0640"` and `group = 104`"#);
        model.site.secrets.get_mut("database-password").unwrap().group.0 = vec![104];
        assert_eq!(found(&model, &[104, 5]), Vec::<String>::new());
        insta::assert_snapshot!(found(&model, &[105]).join("\n"), @"the service cannot read `database-password`: it is of the group 104, the service of 105; write 105 in its place; or, if services of several groups read it, all of them: [104, 105]");
    }

    /// The build asked for both numbers, and the service of the second one could not read its password.
    #[test]
    fn a_copy_for_a_package_s_account_needs_the_number_of_its_group() {
        let mut model = crate::profile::sample();
        model.site.secrets.get_mut("database-password").unwrap().group.0.clear();
        let mut service = model.services["shop-database"].clone();
        service.user = Some(Spanned::new(0..0, "mysql".to_owned()));
        let mut other = service.clone();
        other.user = Some(Spanned::new(0..0, "www-data".to_owned()));
        let found = |model: &Model, service: &Service| {
            let list = problems(model, &[(service, vec![545]), (&other, vec![33])]);
            list.into_iter().map(|problem| format!("{}; {}", problem.message, problem.hint)).collect::<Vec<_>>()
        };
        let hint = "`mode = \"0640\"` and `group = [545, 33]`";
        assert_eq!(found(&model, &service).iter().filter(|text| text.ends_with(hint)).count(), 2);
        model.site.secrets.get_mut("database-password").unwrap().group.0 = vec![33, 545];
        insta::assert_snapshot!(found(&model, &service).join("\n"), @"the service would not get the copy of `database-password` that the group 545 reads; its user mysql is of a package: say its group in the service, too: `groups = [545]`");
        service.groups = vec![545];
        assert_eq!(found(&model, &service), Vec::<String>::new());
        assert_eq!(
            names::path_for(&model, &service, "secrets/database-password"),
            "by-group/545/secrets/database-password"
        );
    }
}
