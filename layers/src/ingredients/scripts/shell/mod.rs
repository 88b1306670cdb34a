//! The commands of a shell script, read without running any.
//!
//! Maintainer scripts are read as if every branch were taken, since their conditions ask about a system that is not there;
//! but for those that compare literal texts, arguments, or the default answer to a question, or ask for a file of the packages. Variables with literal values,
//! loops over literal lists, and functions where they are called are followed. A word that only a running shell knows, such
//! as the output of a command, is `None`. A value that is not literal does not replace one that is.

mod branches;
mod functions;
mod lexer;

use std::collections::{BTreeMap, BTreeSet};

use self::branches::{Branches, Known};
use self::lexer::{Piece, Token};

/// The words of a simple command (POSIX.1-2024, Shell Command Language, 2.9.1).
pub(super) type Command = Vec<Option<String>>;

/// Most commands of a script: loops multiply them.
const COMMANDS: usize = 4096;
/// Bytes of all words that a script may expand to: loops repeat them, and a value can be made of itself twice.
const EXPANDED: usize = 16 << 20;
/// What a command, an assignment or a word costs besides its bytes.
const STEP: usize = 64;
/// Longest value of a variable, in bytes. A longer one is not known.
const LONGEST: usize = 1 << 16;
/// Deepest loops and functions within each other.
const DEPTH: usize = 8;

/// Words that begin or end a compound command, after which a command may follow.
const KEYWORDS: [&str; 15] =
    ["if", "then", "elif", "else", "fi", "while", "until", "do", "done", "case", "esac", "!", "{", "}", "time"];

/// The commands of `script`. `variables` have values from outside, `arguments` are its `$1` and so on; `answers` are those
/// that questions have by default (debconf(7)). `exists` says whether a path is known to be there.
pub(super) fn commands(
    script: &str,
    variables: &[(&str, &str)],
    arguments: &[&str],
    answers: &BTreeMap<String, String>,
    exists: &dyn Fn(&str) -> bool,
) -> Vec<Command> {
    let tokens = lexer::tokens(script);
    let mut reader = Reader {
        functions: BTreeMap::new(),
        arguments: arguments.iter().map(|text| Some((*text).to_owned())).collect(),
        known: BTreeMap::new(),
        assigned: BTreeSet::new(),
        answers,
        answer: None,
        exists,
        branches: Branches::default(),
        commands: Vec::new(),
        left: EXPANDED,
    };
    for (name, value) in variables {
        reader.known.insert((*name).to_owned(), Some((*value).to_owned()));
    }
    reader.assigned = assigned(&tokens);
    reader.read(&tokens, 0);
    reader.commands
}

/// The text of a word that is no more than unquoted text.
fn plain(token: &Token) -> Option<&str> {
    match token {
        Token::Word(pieces) => match &pieces[..] {
            [Piece::Text { text, is_quoted: false }] => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// The name that a word assigns to.
fn assignment(token: &Token) -> Option<&str> {
    let Token::Word(pieces) = token else { return None };
    let Some(Piece::Text { text, is_quoted: false }) = pieces.first() else { return None };
    text.split_once('=').map(|(name, _)| name).filter(|name| is_name(name))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Variables that the script itself sets. Any other one comes from elsewhere.
fn assigned(tokens: &[Token]) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = tokens.iter().filter_map(assignment).map(str::to_owned).collect();
    let loops = tokens.windows(2).filter(|pair| plain(&pair[0]) == Some("for"));
    names.extend(loops.filter_map(|pair| plain(&pair[1])).map(str::to_owned));
    names
}

/// Whether a name is that of an argument, or of all of them.
fn is_parameter(text: &str) -> bool {
    matches!(text.as_bytes(), [b'1'..=b'9' | b'@' | b'*'])
}

struct Reader<'a> {
    /// The bodies of functions that are defined so far.
    functions: BTreeMap<String, &'a [Token]>,
    /// `$1` and so on, of the script or the function that is read.
    arguments: Vec<Option<String>>,
    /// Values; `None` where only a running shell knows it.
    known: BTreeMap<String, Option<String>>,
    assigned: BTreeSet<String>,
    answers: &'a BTreeMap<String, String>,
    /// The answer to the last question.
    answer: Option<&'a str>,
    exists: &'a dyn Fn(&str) -> bool,
    branches: Branches,
    commands: Vec<Command>,
    /// What is left of [`EXPANDED`].
    left: usize,
}

impl<'a> Reader<'a> {
    fn read(&mut self, tokens: &'a [Token], depth: usize) {
        let mut left = tokens;
        while !left.is_empty() && self.commands.len() < COMMANDS && self.left > 0 {
            self.spend(0);
            if let Some((name, body, after)) = functions::definition(left) {
                if self.branches.are_read() {
                    self.functions.insert(name.to_owned(), body);
                }
                left = after;
                continue;
            }
            let end = left.iter().position(|token| *token == Token::End).unwrap_or(left.len());
            let (mut words, rest) = left.split_at(end);
            while let [first, more @ ..] = words
                && let Some(word) = plain(first).filter(|word| KEYWORDS.contains(word))
            {
                self.branches.keyword(word);
                words = more;
            }
            self.branches
                .command(words, &Known { answer: self.answer, arguments: &self.arguments, exists: self.exists });
            left = rest.get(1..).unwrap_or_default();
            match words {
                [] => {}
                [first, name, ..] if plain(first) == Some("for") => {
                    let (body, after) = body(left);
                    left = after;
                    let is_read = depth < DEPTH && self.branches.are_read();
                    if let Some(name) = plain(name).filter(|_| is_read) {
                        self.repeat(name, words.get(3..).unwrap_or_default(), body, depth);
                    }
                }
                words if self.branches.are_read() => self.simple(words, depth),
                _ => {}
            }
        }
    }

    fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes.saturating_add(STEP));
    }

    fn repeat(&mut self, name: &str, values: &[Token], body: &'a [Token], depth: usize) {
        for value in self.expand(values) {
            self.spend(0);
            self.known.insert(name.to_owned(), value);
            self.read(body, depth + 1);
        }
    }

    fn simple(&mut self, mut words: &[Token], depth: usize) {
        let is_declaration = |word: &Token| matches!(plain(word), Some("export" | "local" | "readonly"));
        if let [first, more @ ..] = words
            && is_declaration(first)
        {
            words = more;
        }
        let count = words.iter().take_while(|word| assignment(word).is_some()).count();
        let (assignments, words) = words.split_at(count);
        if words.is_empty() {
            for word in assignments {
                self.assign(word);
            }
            return;
        }
        let command = self.expand(words);
        self.ask(&command);
        let program = command.first().and_then(Option::as_deref);
        if let Some(body) = program.and_then(|name| self.functions.get(name)) {
            self.call(body, command[1..].to_vec(), depth);
            return;
        }
        match program {
            Some("unset") => {
                for name in command.into_iter().flatten() {
                    self.known.remove(&name);
                }
            }
            Some("shift") => drop(self.arguments.drain(..1.min(self.arguments.len()))),
            _ => self.commands.push(command),
        }
    }

    /// The commands of a function, with its arguments.
    fn call(&mut self, body: &'a [Token], arguments: Vec<Option<String>>, depth: usize) {
        if depth < DEPTH {
            let arguments = arguments.into_iter().map(|text| text.filter(|text| text.len() <= LONGEST)).collect();
            let outer = std::mem::replace(&mut self.arguments, arguments);
            let branches = std::mem::take(&mut self.branches);
            self.read(body, depth + 1);
            (self.arguments, self.branches) = (outer, branches);
        }
    }

    /// Commands of debconf answer into the variable `RET`.
    fn ask(&mut self, command: &Command) {
        match command.split_first() {
            Some((Some(program), words)) if program == "db_get" => {
                let question = words.first().and_then(Option::as_deref);
                self.answer = question.and_then(|question| self.answers.get(question)).map(String::as_str);
            }
            Some((Some(program), _)) if program.starts_with("db_") => self.answer = None,
            _ => {}
        }
    }

    fn assign(&mut self, word: &Token) {
        let (Token::Word(pieces), Some(name)) = (word, assignment(word)) else { return };
        let mut value = Some(String::new());
        for piece in pieces {
            let part = match piece {
                Piece::Text { text, .. } => Some(text.clone()),
                Piece::Variable { name, default, .. } => self.value(name, default.as_deref()),
                Piece::Field { name, delimiter, number } => self.field(name, *delimiter, *number),
                Piece::Unknown => None,
            };
            self.spend(part.as_ref().map_or(0, String::len));
            value = value.zip(part).map(|(value, part)| value + &part).filter(|value| value.len() <= LONGEST);
        }
        let value = value.and_then(|text| text.split_once('=').map(|(_, value)| value.to_owned()));
        match self.known.get_mut(name) {
            Some(known) if value.is_none() && known.is_some() => {}
            _ => drop(self.known.insert(name.to_owned(), value)),
        }
    }

    fn value(&self, name: &str, default: Option<&str>) -> Option<String> {
        if is_parameter(name) {
            let value = functions::parameter(name, &self.arguments)?;
            return Some(if value.is_empty() { default.unwrap_or_default().to_owned() } else { value });
        }
        match (self.known.get(name), default) {
            (Some(value), None) => value.clone(),
            (Some(value), Some(default)) => {
                value.as_ref().map(|value| if value.is_empty() { default.to_owned() } else { value.clone() })
            }
            (None, Some(default)) => Some(default.to_owned()),
            (None, None) => self.assigned.contains(name).then(String::new),
        }
    }

    /// A part of a variable's value; all of it if it has no delimiter (cut(1)).
    fn field(&self, name: &str, delimiter: char, number: usize) -> Option<String> {
        let value = self.value(name, None)?;
        if !value.contains(delimiter) {
            return Some(value);
        }
        Some(value.split(delimiter).nth(number - 1).unwrap_or_default().to_owned())
    }

    /// As [`Self::value`], and spends its bytes, and as many words as it may be split into.
    fn known_value(&mut self, name: &str, default: Option<&str>) -> Option<String> {
        let value = self.value(name, default)?;
        self.spend(value.len().saturating_mul(STEP / 2));
        Some(value)
    }

    /// Words with the values of their variables. Those of unquoted ones are split at blanks.
    fn expand(&mut self, tokens: &[Token]) -> Command {
        let mut words = Vec::new();
        let mut is_file = false;
        for token in tokens {
            match token {
                Token::Redirection => is_file = true,
                Token::Word(_) if is_file => is_file = false,
                Token::Word(pieces) => self.expand_word(pieces, &mut words),
                Token::End | Token::Parentheses => {}
            }
        }
        words
    }

    fn expand_word(&mut self, pieces: &[Piece], words: &mut Command) {
        // The word so far; the outer `None`: nothing of it yet.
        let mut word: Option<Option<String>> = None;
        let join = |word: &mut Option<Option<String>>, part: Option<&str>| {
            let before = word.take().unwrap_or_else(|| Some(String::new()));
            *word = Some(before.zip(part).map(|(before, part)| before + part));
        };
        for piece in pieces {
            if self.left == 0 {
                join(&mut word, None);
                break;
            }
            match piece {
                Piece::Text { text, .. } => {
                    self.spend(text.len());
                    join(&mut word, Some(text));
                }
                Piece::Unknown => join(&mut word, None),
                Piece::Field { name, delimiter, number } => {
                    let part = self.field(name, *delimiter, *number);
                    self.spend(part.as_ref().map_or(0, String::len));
                    join(&mut word, part.as_deref());
                }
                // Each argument is a word.
                Piece::Variable { name, .. } if name == "@" => {
                    for (index, argument) in self.arguments.clone().into_iter().enumerate() {
                        self.spend(argument.as_ref().map_or(0, String::len));
                        if index > 0 {
                            words.extend(word.take());
                        }
                        join(&mut word, argument.as_deref());
                    }
                }
                Piece::Variable { name, default, is_quoted } => match self.known_value(name, default.as_deref()) {
                    None => join(&mut word, None),
                    Some(value) if *is_quoted => join(&mut word, Some(&value)),
                    Some(value) => {
                        for (index, part) in value.split_ascii_whitespace().enumerate() {
                            if index > 0 || value.starts_with(char::is_whitespace) {
                                words.extend(word.take());
                            }
                            join(&mut word, Some(part));
                        }
                    }
                },
            }
        }
        words.extend(word);
    }
}

/// The commands between `do` and its `done`, and what follows.
fn body(tokens: &[Token]) -> (&[Token], &[Token]) {
    let (mut depth, mut start, mut begins) = (0_usize, 0, true);
    for (index, token) in tokens.iter().enumerate() {
        let word = plain(token).filter(|_| begins);
        match word {
            Some("do") => {
                depth += 1;
                if depth == 1 {
                    start = index + 1;
                }
            }
            Some("done") => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return (tokens.get(start..index).unwrap_or_default(), &tokens[index + 1..]);
                }
            }
            _ => {}
        }
        begins = *token == Token::End || word.is_some_and(|word| KEYWORDS.contains(&word));
    }
    (tokens.get(start..).unwrap_or_default(), &[])
}

#[cfg(test)]
mod tests;
