//! Warnings: what a profile may mean, but seldom does.

use toml::Spanned;
use toml::de::DeTable;

use super::super::document::Document;
use super::super::model::{Image, Model, Protocol, Service};
use super::super::sources::Sources;
use super::super::suggest;
use super::plain_secrets;
use super::secret_paths;
use super::unused::unused;
use crate::diagnostic::Diagnostic;

/// What `model` states and nothing in it uses, secrets in plain text, files that services lack, services that cannot reach
/// what they wait for, and published ports that nothing seems to listen on. `table` is what it was read from.
pub(in crate::profile) fn doubtful(sources: &Sources, table: DeTable<'_>, model: &Model) -> Vec<Diagnostic> {
    let document = Document::new(table);
    let mut list = unused(sources, &document, model);
    list.extend(plain_secrets::found(&document, model));
    list.extend(secret_paths::absent(sources, &document, model));
    list.extend(apart(model));
    list.extend(misspelt_placeholders(&document, model));
    for (name, service) in &model.services {
        if let Some(image) = model.images.get(&service.image) {
            list.extend(unlisted_ports(&document, model, name.get_ref(), service, image));
            list.extend(unlisted_check(&document, name.get_ref(), service, image));
        }
    }
    list
}

/// Services that wait for another one which goes on running, and share no network with it: its name is unknown to them.
fn apart(model: &Model) -> Vec<Diagnostic> {
    let mut list = Vec::new();
    for (name, service) in &model.services {
        for other in service.depends_on.services() {
            let Some(awaited) = model.services.get(other) else { continue };
            let shares =
                |network: &Spanned<String>| awaited.networks.iter().any(|own| own.get_ref() == network.get_ref());
            let on_host = service.host_network.is_some() || awaited.host_network.is_some();
            if model.networks.is_empty() || on_host || awaited.runs_once() || service.networks.iter().any(shares) {
                continue;
            }
            let message = format!("`{}` waits for `{}` and is on no network with it", name.get_ref(), other.get_ref());
            let hint = "it cannot reach it: add a network of the one to `networks` of the other";
            list.push(Diagnostic::new(other.span(), message, hint));
        }
    }
    list
}

/// The TCP ports that a service publishes and that are not among those that its image declares, if it declares any. They
/// may be incomplete.
fn unlisted_ports(
    document: &Document<'_>,
    model: &Model,
    name: &str,
    service: &Service,
    image: &Image,
) -> Vec<Diagnostic> {
    if image.ports.is_empty() {
        return Vec::new();
    }
    let listed: Vec<String> = image.ports.iter().map(u16::to_string).collect();
    let (image_name, listed) = (service.image.get_ref(), listed.join(", "));
    let is_tcp = |port: &str| model.site.ports.get(port).filter(|port| port.protocol == Protocol::Tcp);
    let published = service.publish.iter().filter_map(|(port, inside)| Some((port, *inside, is_tcp(port.get_ref())?)));
    // Of ports in a row, all are meant or none.
    let unlisted = published.filter(|(_, inside, port)| {
        let mut row = *inside..=port.last(*inside);
        !row.any(|number| image.ports.contains(&number))
    });
    let diagnostic = |(port, inside, _): (&Spanned<String>, u16, _)| {
        let span = document.value(&["services", name, "publish", port.get_ref()]);
        let message = format!("`{name}` publishes its port {inside}, which image `{image_name}` does not declare");
        let hint =
            format!("its `ports`: {listed}; name one of those, or add {inside} to them if its program listens there");
        Diagnostic::new(span, message, hint)
    };
    unlisted.map(diagnostic).collect()
}

/// The health check of a service at a port that is not among those that its image declares, if it declares any.
fn unlisted_check(document: &Document<'_>, name: &str, service: &Service, image: &Image) -> Option<Diagnostic> {
    let health = service.health.as_ref()?;
    let port = health.http.as_ref().map(|check| check.port).or(health.tcp.as_ref().map(|check| check.port))?;
    if image.ports.is_empty() || image.ports.contains(&port) {
        return None;
    }
    let listed: Vec<String> = image.ports.iter().map(u16::to_string).collect();
    let (image_name, listed) = (service.image.get_ref(), listed.join(", "));
    let message = format!("the health check of `{name}` asks port {port}, which image `{image_name}` does not declare");
    let hint = format!("its `ports`: {listed}; name one of those, or add {port} to them if its program listens there");
    Some(Diagnostic::new(document.value(&["services", name, "health"]), message, hint))
}

/// Where a task may get a value of the site from.
const OF_SITE: &str = "a task has its arguments only; its service has values of the site in an env file, `NAME={{ host }}` in \
                       [site.templates], and a script of the image reads them as $NAME";

/// Words in braces of the commands of tasks that are nearly the name of an argument, which would be appended, or those of a value
/// of the site.
fn misspelt_placeholders(document: &Document<'_>, model: &Model) -> Vec<Diagnostic> {
    let mut list = Vec::new();
    for (name, task) in &model.tasks {
        let in_command = |argument: &&str| task.command.iter().any(|word| word.contains(&format!("{{{argument}")));
        let names = task.arguments.iter().map(|argument| argument.get_ref().name.as_str());
        let appended: Vec<&str> = names.filter(|argument| !in_command(argument)).collect();
        let in_braces =
            task.command.iter().flat_map(|word| word.split('{').skip(1)).filter_map(|part| part.split_once('}'));
        let is_argument = |word: &str| task.arguments.iter().any(|argument| argument.get_ref().name == word);
        for (word, _) in in_braces {
            let hint = match suggest::nearest(word, appended.iter().copied()) {
                Some(near) => format!("did you mean `{{{near}}}`?"),
                None if is_of_site(word) && !is_argument(word) => OF_SITE.to_owned(),
                None => continue,
            };
            let message = format!("`{{{word}}}` is no argument of the task `{}`, and stays as it is", name.get_ref());
            let span = document.value(&["tasks", name.get_ref(), "command"]);
            list.push(Diagnostic::new(span, message, hint));
        }
    }
    list
}

/// Whether templates read a value of the site by this name.
fn is_of_site(word: &str) -> bool {
    ["host", "url_host", "mail_host"].contains(&word)
        || ["settings.", "ports.", "secrets."].iter().any(|group| word.starts_with(group))
}
