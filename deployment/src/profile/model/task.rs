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
    /// The operator's arguments. Their values replace `{NAME}` in the command; those that it does not name are appended in
    /// this order.
    #[serde(default)]
    pub arguments: Vec<Spanned<Argument>>,
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

/// An argument of a task, written as its name; the last one as `NAME...` if it has any number of values.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Whether it has any number of values, none included. Each is a word of its own.
    pub repeated: bool,
}

impl From<String> for Argument {
    fn from(text: String) -> Self {
        match text.strip_suffix(REPEATED) {
            Some(name) => Self { name: name.to_owned(), repeated: true },
            None => Self { name: text, repeated: false },
        }
    }
}

/// The end of the name of an argument that has any number of values.
const REPEATED: &str = "...";

impl Argument {
    /// As the profile writes it: `options...`.
    #[must_use]
    pub fn written(&self) -> String {
        format!("{}{}", self.name, if self.repeated { REPEATED } else { "" })
    }

    /// What stands for its values in a command: `{options...}`.
    #[must_use]
    pub fn placeholder(&self) -> String {
        format!("{{{}}}", self.written())
    }

    /// What stands for its values in a usage line: `NAME`, `[OPTIONS...]`.
    #[must_use]
    pub fn usage(&self) -> String {
        let name = self.written().to_uppercase();
        if self.repeated { format!("[{name}]") } else { name }
    }
}

/// A part of a word of a task's command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// As it is.
    Text(&'a str),
    /// The value of an argument, by its number. A repeated one is a word of its own.
    Argument(usize),
}

impl Task {
    /// The command with these values of the arguments.
    #[must_use]
    pub fn words(&self, values: &[String]) -> Vec<String> {
        let word = |parts: Vec<Part<'_>>| -> Vec<String> {
            if let [Part::Argument(at)] = parts[..]
                && self.is_repeated(at)
            {
                return values.get(at..).unwrap_or_default().to_vec();
            }
            let text = |part| match part {
                Part::Text(text) => text,
                Part::Argument(at) => values.get(at).map_or("", String::as_str),
            };
            vec![parts.into_iter().map(text).collect()]
        };
        self.parts().into_iter().flat_map(word).collect()
    }

    /// Whether the argument with this number has any number of values.
    #[must_use]
    pub fn is_repeated(&self, at: usize) -> bool {
        self.arguments.get(at).is_some_and(|argument| argument.get_ref().repeated)
    }

    /// How many values it needs, and whether it takes more.
    #[must_use]
    pub fn needs(&self) -> (usize, bool) {
        let repeated = self.arguments.last().is_some_and(|last| last.get_ref().repeated);
        (self.arguments.len() - usize::from(repeated), repeated)
    }

    /// The arguments with their values, in their order. A repeated one is there for each of its values.
    pub fn values_of<'v>(&'v self, values: &'v [String]) -> impl Iterator<Item = (&'v str, &'v str)> {
        let (needed, repeated) = self.needs();
        let last = self.arguments.last().filter(|_| repeated);
        let names = self.arguments.iter().take(needed).chain(std::iter::repeat_n(last, values.len()).flatten());
        names.map(|argument| argument.get_ref().name.as_str()).zip(values.iter().map(String::as_str))
    }

    /// The task called `name` with what stands for its arguments: `dump DATABASE [OPTIONS...]`.
    #[must_use]
    pub fn usage(&self, name: &str) -> String {
        let arguments = self.arguments.iter().map(|argument| argument.get_ref().usage());
        std::iter::once(name.to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
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
        let names: Vec<String> = self.arguments.iter().map(|name| name.get_ref().placeholder()).collect();
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
        // Any number of values, none included, are as many words: where the command has them, or at its end.
        let text =
            "command = [\"pg_dump\", \"{options...}\", \"{database}\"]\narguments = [\"database\", \"options...\"]";
        assert_eq!(words(text, &["shop"]), "pg_dump|shop");
        assert_eq!(words(text, &["shop", "--clean", "-t", "a b"]), "pg_dump|--clean|-t|a b|shop");
        let text = "command = [\"occ\"]\narguments = [\"words...\"]";
        assert_eq!(words(text, &[]), "occ");
        assert_eq!(words(text, &["user:list", "--output=json"]), "occ|user:list|--output=json");
    }

    #[test]
    fn a_repeated_argument_is_there_for_each_of_its_values() {
        let text = "title = \"\"\nservice = \"a\"\narguments = [\"one\", \"others...\"]";
        let task: Task = toml::from_str(text).unwrap();
        assert_eq!(task.usage("do"), "do ONE [OTHERS...]");
        assert_eq!(task.needs(), (1, true));
        let values = ["1".to_owned(), "2".to_owned(), "3".to_owned()];
        let pairs = |count: usize| task.values_of(&values[..count]).collect::<Vec<_>>();
        assert_eq!(pairs(1), [("one", "1")]);
        assert_eq!(pairs(3), [("one", "1"), ("others", "2"), ("others", "3")]);
    }
}
