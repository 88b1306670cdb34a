//! Warnings: files of the site that a program is told to read, and that its service does not have.

use std::collections::BTreeSet;

use toml::Spanned;

use super::super::document::Document;
use super::super::model::{Image, Model, Service};
use super::super::names::mounted_path;
use super::super::sources::Sources;
use crate::diagnostic::Diagnostic;
use crate::files;

/// Where services find the files that they name in `secrets`.
const FOLDER: &str = "/run/secrets/";

/// A text that a program gets, and where the profile has it.
struct Text {
    place: String,
    text: String,
}

/// The paths in the texts of services, of their templates and of their images that none of their `secrets` is at.
pub(super) fn absent(sources: &Sources, document: &Document<'_>, model: &Model) -> Vec<Diagnostic> {
    let mut list = Vec::new();
    for (key, service) in &model.services {
        let name = key.get_ref().as_str();
        let mut texts = of_service(sources, model, service);
        // An image of several services has what one of them needs.
        let others = model.services.values().filter(|other| other.image == service.image).count();
        if let Some(image) = model.images.get(&service.image).filter(|_| others == 1) {
            texts.extend(of_image(sources, model, image));
        }
        let has: BTreeSet<&str> = service.secrets.iter().map(|secret| secret.get_ref().as_str()).collect();
        let mut told = BTreeSet::new();
        for Text { place, text } in &texts {
            for secret in names(text).filter(|secret| !has.contains(secret)) {
                if !told.insert(secret) {
                    continue;
                }
                let hint = match mounted_path(model, secret) {
                    Some(_) => format!("add \"{secret}\" to the `secrets` of `{name}`"),
                    None => "make it in [site.secrets] or [site.certificates], and name it in `secrets`".to_owned(),
                };
                let message = format!("`{name}` does not have {FOLDER}{secret}, which {place} names");
                let span = match service.secrets.is_empty() {
                    true => document.key(&["services", name]),
                    false => document.value(&["services", name, "secrets"]),
                };
                list.push(Diagnostic::new(span, message, hint));
            }
        }
    }
    list
}

fn of_service(sources: &Sources, model: &Model, service: &Service) -> Vec<Text> {
    let words = service.entrypoint.iter().flatten().chain(&service.command);
    let mut texts: Vec<Text> = words.map(|word| Text { place: "its command".into(), text: word.clone() }).collect();
    texts.extend(of_variables(service.environment.iter()));
    let templates = service.env_files.iter().chain(service.config_files.keys());
    texts.extend(templates.filter_map(|name| of_template(sources, model, name)));
    texts
}

fn of_image(sources: &Sources, model: &Model, image: &Image) -> Vec<Text> {
    let words = image.entrypoint.iter().chain(&image.command);
    let mut texts: Vec<Text> =
        words.map(|word| Text { place: "the command of its image".into(), text: word.clone() }).collect();
    texts.extend(of_variables(image.env.iter()));
    let templates = image.env_files.iter().chain(image.config_files.keys());
    texts.extend(templates.filter_map(|name| of_template(sources, model, name)));
    let written = image.files.iter().filter_map(|file| file.source.as_ref());
    texts.extend(written.filter_map(|source| of_file(sources, source.get_ref())));
    texts
}

fn of_variables<'m>(variables: impl Iterator<Item = (&'m String, &'m String)>) -> impl Iterator<Item = Text> {
    variables.map(|(name, value)| Text { place: format!("the variable {name}"), text: value.clone() })
}

fn of_template(sources: &Sources, model: &Model, name: &Spanned<String>) -> Option<Text> {
    of_file(sources, model.site.templates.get(name.get_ref().as_str())?.source.get_ref())
}

/// The lines of a file that are no comments. One that cannot be read has an error of its own, or is no text.
fn of_file(sources: &Sources, source: &str) -> Option<Text> {
    let text = files::read_text(&sources.path(source)).ok()?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with(['#', ';'])).collect();
    Some(Text { place: source.to_owned(), text: lines.join("\n") })
}

/// The names of the files below [`FOLDER`] in `text`.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(FOLDER).skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c)).unwrap_or(rest.len());
        // Of `/run/secrets/{{ name }}` and `/run/secrets/a/$b`, nothing is known.
        let is_whole = !rest[end..].starts_with(['/', '$', '{', '*', '%']);
        Some(rest[..end].trim_end_matches('.')).filter(|name| !name.is_empty() && is_whole)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_where_paths_end() {
        let text = "cert=/run/secrets/web.crt;key=\"/run/secrets/web.key\" /run/secrets/{{ x }} /run/secrets/a$b \
                    See /run/secrets/token. ls /run/secrets/ /run/secrets/*";
        assert_eq!(names(text).collect::<Vec<_>>(), ["web.crt", "web.key", "token"]);
    }
}
