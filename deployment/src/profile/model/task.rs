//! `[tasks.NAME]`: commands and requests that operators can run.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::request::Request;
use crate::profile::setting::Setting;

/// A command in a service's container, or a request to a service, that operators can run.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Task {
    /// One line of help.
    pub title: String,
    /// The service in whose container it runs.
    pub service: Spanned<String>,
    /// With `run = "exec"` the program and its arguments; with `"once"` arguments that replace those of the service.
    #[serde(default)]
    pub command: Vec<String>,
    /// With `run = "once"`: the program and its fixed arguments, in the place of the entrypoint of the service.
    #[serde(default)]
    pub entrypoint: Vec<String>,
    /// The request that it is, in the place of a command.
    pub request: Option<Request>,
    /// Names of the operator's arguments. Their values replace `{NAME}` in the command; those that it does not name are
    /// appended in this order.
    #[serde(default)]
    pub arguments: Vec<Spanned<String>>,
    /// What values arguments may have, by name. Others may be any text.
    #[serde(default)]
    pub values: BTreeMap<String, Setting>,
    /// Whether it gets the operator's terminal as it is.
    #[serde(default)]
    pub terminal: bool,
    /// The container that it runs in.
    #[serde(default)]
    pub run: Run,
    /// When it runs automatically.
    pub on: Option<On>,
}

/// A part of a word of a task's command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// As it is.
    Text(&'a str),
    /// The value of an argument, by its number.
    Argument(usize),
}

impl Task {
    /// The command with these values of the arguments.
    #[must_use]
    pub fn words(&self, values: &[String]) -> Vec<String> {
        let word = |parts: Vec<Part<'_>>| -> String {
            let text = |part| match part {
                Part::Text(text) => text,
                Part::Argument(at) => values.get(at).map_or("", String::as_str),
            };
            parts.into_iter().map(text).collect()
        };
        self.parts().into_iter().map(word).collect()
    }

    /// The arguments of `compose run` for it, with these values of the arguments.
    #[must_use]
    pub fn by_hand(&self, values: &[String]) -> String {
        let service = std::iter::once(self.service.get_ref().clone());
        let words = match self.entrypoint.split_first() {
            None => service.chain(self.words(values)).collect::<Vec<_>>(),
            Some((program, fixed)) => {
                let options = ["--entrypoint".to_owned(), program.clone()].into_iter();
                options.chain(service).chain(fixed.iter().cloned()).chain(self.words(values)).collect()
            }
        };
        words.join(" ")
    }

    /// The words of the command, with the places of the arguments.
    #[must_use]
    pub fn parts(&self) -> Vec<Vec<Part<'_>>> {
        let mut words: Vec<_> = self.command.iter().map(|word| self.parts_of(word)).collect();
        let named = |at: &usize| words.iter().flatten().any(|part| *part == Part::Argument(*at));
        let others: Vec<usize> = (0..self.arguments.len()).filter(|at| !named(at)).collect();
        words.extend(others.into_iter().map(|at| vec![Part::Argument(at)]));
        words
    }

    fn parts_of<'a>(&self, mut word: &'a str) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        let names: Vec<String> = self.arguments.iter().map(|name| format!("{{{}}}", name.get_ref())).collect();
        let first = |word: &str| {
            let found = names.iter().enumerate().filter_map(|(at, name)| Some((word.find(name.as_str())?, at)));
            found.min()
        };
        while let Some((start, at)) = first(word) {
            parts.extend((start > 0).then(|| Part::Text(&word[..start])));
            parts.push(Part::Argument(at));
            word = &word[start + names[at].len()..];
        }
        if !word.is_empty() || parts.is_empty() {
            parts.push(Part::Text(word));
        }
        parts
    }
}

/// The container that a task runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Run {
    /// The running container of the service.
    #[default]
    Exec,
    /// A new container with the service's options, removed afterwards.
    Once,
}

/// When a task runs automatically.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// In `sealift up`, before the service starts; not if the service is running already.
    Up,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_stand_where_the_command_names_them() {
        let words = |text: &str, values: &[&str]| {
            let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            toml::from_str::<Task>(&format!("title = \"\"\nservice = \"a\"\n{text}")).unwrap().words(&values).join("|")
        };
        let text =
            "command = [\"psql\", \"--set=db={name}\", \"{other}\", \"\", \"{x}\"]\narguments = [\"last\", \"name\"]";
        assert_eq!(words(text, &["z", "shop"]), "psql|--set=db=shop|{other}||{x}|z");
        // A value is no template.
        let text = "command = [\"a\", \"{one}{two}\"]\narguments = [\"one\", \"two\"]";
        assert_eq!(words(text, &["{two}", "2"]), "a|{two}2");
    }
}
