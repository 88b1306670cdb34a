//! What a profile states and nothing in it uses.

use std::collections::BTreeSet;

use super::super::document::Document;
use super::super::model::{Internal, Model};
use super::super::sources::Sources;
use super::super::template::{Reads, expression_reads, identifier, reads};
use crate::diagnostic::Diagnostic;
use crate::files;

/// The settings and secrets of `model` that nothing reads.
pub(super) fn unused(sources: &Sources, document: &Document<'_>, model: &Model) -> Vec<Diagnostic> {
    let mut list = Vec::new();
    let read = of_templates(sources, model, "settings");
    let rules = model.site.rules.values().map(|rule| rule.test.as_str());
    let networks = model.networks.values().filter_map(|network| match &network.internal {
        Internal::When(test) => Some(test.as_str()),
        Internal::Always(_) => None,
    });
    let read: Vec<Reads> = read
        .into_iter()
        .chain(rules.chain(networks).filter_map(|test| expression_reads("settings", test).ok()))
        .collect();
    let folders = model.host_paths();
    for name in model.site.settings.keys().filter(|name| !is_read(&read, name) && !folders.contains(name.as_str())) {
        let hint = "read it in a template: {{ settings.NAME }}; or remove it: operators would be asked for nothing";
        let hint = hint.replace("NAME", &identifier(name));
        list.push(Diagnostic::new(
            document.key(&["site", "settings", name]),
            format!("nothing uses the setting `{name}`"),
            hint,
        ));
    }
    let read = of_templates(sources, model, "secrets");
    let mounted: BTreeSet<&str> =
        model.services.values().flat_map(|service| &service.secrets).map(|name| name.get_ref().as_str()).collect();
    let headers: Vec<&String> = model.endpoints.values().flat_map(|endpoint| endpoint.headers.values()).collect();
    let passwords: BTreeSet<&str> = model
        .endpoints
        .values()
        .filter_map(|endpoint| Some(endpoint.basic.as_ref()?.secret.get_ref().as_str()))
        .collect();
    for name in model.site.secrets.keys().filter(|name| !passwords.contains(name.as_str())) {
        let in_header = headers.iter().any(|header| header.contains(&format!("{{secrets.{name}}}")));
        if !mounted.contains(name.as_str()) && !in_header && !is_read(&read, name) {
            let hint = "name it among the `secrets` of a service, read it in a secret template, or remove it";
            let span = document.key(&["site", "secrets", name]);
            list.push(Diagnostic::new(span, format!("nothing uses the secret `{name}`"), hint));
        }
    }
    list
}

/// What each template reads of `group`; one that cannot be read has an error of its own.
fn of_templates(sources: &Sources, model: &Model, group: &str) -> Vec<Reads> {
    let templates = model.site.templates.values();
    let read = templates.filter_map(|template| {
        let source = template.source.get_ref();
        reads(group, source, &files::read_text(&sources.path(source)).ok()?).ok()
    });
    read.collect()
}

fn is_read(read: &[Reads], name: &str) -> bool {
    read.iter().any(|reads| reads.all || reads.names.contains(&identifier(name)))
}
