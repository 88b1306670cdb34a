//! Reads the text of a script: words, operators and what is expanded.

use std::collections::{BTreeMap, BTreeSet};

/// The most commands of a script.
const COMMANDS: usize = 256;
/// The longest name, in bytes.
const NAME: usize = 128;
/// The most substitutions within each other.
const DEPTH: usize = 32;

#[derive(Default)]
pub(super) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// Substitutions that are open.
    depth: usize,
    in_backticks: bool,
    /// It runs the text of other files.
    pub(super) has_sources: bool,
    pub(super) called: BTreeSet<String>,
    /// Names that the script asks for or defines.
    pub(super) known: BTreeSet<String>,
    /// Variables with their values; `None` for one that has several, or one that is expanded.
    variables: BTreeMap<String, Option<String>>,
}

/// Where in a command a word stands.
#[derive(Clone, Copy, Default, PartialEq)]
enum Place {
    /// The command itself.
    #[default]
    Command,
    /// After a word that starts the next one, as `exec` does: options may come first.
    AfterStarter,
    /// A name that the script asks for.
    Asked,
    /// A name that becomes a function.
    Function,
    Argument,
}

/// A word without its quotes.
struct Word {
    text: String,
    /// Nothing in it is expanded.
    is_literal: bool,
}

/// What has been read of a list of commands.
#[derive(Default)]
struct State {
    place: Place,
    /// Commands that count if no `||` follows.
    open: Vec<String>,
    /// Documents that begin at the next line: what ends them.
    documents: Vec<String>,
    groups: usize,
    cases: usize,
    /// What is read is a pattern of `case`.
    in_pattern: bool,
    last: String,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), ..Self::default() }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn starts_with(&self, text: &[u8]) -> bool {
        self.text.get(self.at..).is_some_and(|rest| rest.starts_with(text))
    }

    /// Reads commands up to the character that ends a substitution, or to the end of the text.
    pub(super) fn list(&mut self, end: Option<u8>) {
        self.depth += 1;
        if self.depth > DEPTH {
            self.at = self.text.len();
        }
        let mut state = State::default();
        while let Some(byte) = self.peek(0) {
            if end == Some(byte) && state.groups == 0 && state.cases == 0 {
                self.at += 1;
                break;
            }
            self.step(byte, &mut state);
        }
        self.close(&mut state);
        self.depth -= 1;
    }

    fn step(&mut self, byte: u8, state: &mut State) {
        match byte {
            b' ' | b'\t' | b'\r' => self.at += 1,
            b'\\' if self.peek(1) == Some(b'\n') => self.at += 2,
            b'#' => self.skip_line(),
            b'\n' => {
                self.at += 1;
                for end in std::mem::take(&mut state.documents) {
                    self.skip_document(&end);
                }
                self.close(state);
            }
            b'&' if self.starts_with(b"&>") => self.at += 1,
            b'&' if self.starts_with(b"&&") => {
                self.at += 2;
                state.place = Place::Command;
            }
            b';' | b'&' => {
                state.in_pattern = state.cases > 0 && (self.starts_with(b";;") || self.starts_with(b";&"));
                self.at += if state.in_pattern { 2 } else { 1 };
                self.close(state);
            }
            b'|' => {
                if self.starts_with(b"||") {
                    state.open.clear();
                    self.at += 1;
                }
                self.at += 1;
                state.place = Place::Command;
            }
            b'(' if state.in_pattern => self.at += 1,
            b'(' if self.starts_with(b"((") => self.skip_arithmetic(),
            b'(' => {
                self.at += 1;
                state.groups += 1;
                state.place = Place::Command;
            }
            b')' => {
                self.at += 1;
                self.close(state);
                if !std::mem::take(&mut state.in_pattern) {
                    state.groups = state.groups.saturating_sub(1);
                    state.place = Place::Argument;
                }
            }
            b'<' | b'>' => self.redirection(state),
            _ => self.next_word(state),
        }
    }

    /// Ends a command.
    fn close(&mut self, state: &mut State) {
        for name in state.open.drain(..) {
            if self.called.len() < COMMANDS {
                self.called.insert(name);
            }
        }
        (state.place, state.last) = (Place::Command, String::new());
    }

    fn next_word(&mut self, state: &mut State) {
        let start = self.at;
        let Word { mut text, mut is_literal } = self.word();
        if !is_literal && let Some(value) = self.of_variable(start) {
            (text, is_literal) = (value, true);
        }
        if self.at == start {
            // A backtick without its partner.
            self.at += 1;
            return;
        }
        let is_descriptor = text.bytes().all(|byte| byte.is_ascii_digit()) && matches!(self.peek(0), Some(b'<' | b'>'));
        if is_descriptor {
            return;
        }
        match state.place {
            Place::Command if state.in_pattern && text != "esac" => {}
            Place::Command | Place::AfterStarter => self.command(&text, is_literal, state),
            Place::Asked => drop(self.known.insert(text.clone())),
            Place::Function => {
                self.known.insert(text.clone());
                if self.starts_with(b"()") {
                    self.at += 2;
                }
                state.place = Place::Command;
            }
            // `[ -x PROGRAM ]`
            Place::Argument if state.last == "-x" => {
                self.known.insert(text.rsplit('/').next().unwrap_or_default().to_owned());
            }
            Place::Argument => {}
        }
        state.last = text;
    }

    fn command(&mut self, text: &str, is_literal: bool, state: &mut State) {
        let was = std::mem::replace(&mut state.place, Place::Argument);
        if let Some(name) = assigned(text) {
            state.place = was;
            self.assign(name, text, is_literal);
            if self.peek(0) == Some(b'(') {
                self.skip_array();
            }
            return;
        }
        if was == Place::AfterStarter && (text.starts_with('-') || ["-a", "-u"].contains(&state.last.as_str())) {
            let is_question = state.last == "command" && (text.starts_with("-v") || text.starts_with("-V"));
            state.place = if is_question { Place::Asked } else { was };
            return;
        }
        if !is_literal {
            return;
        }
        match text {
            "if" | "then" | "elif" | "else" | "while" | "until" | "do" | "!" | "{" | "time" => {
                state.place = Place::Command
            }
            "case" => (state.cases, state.in_pattern) = (state.cases + 1, true),
            "esac" => (state.cases, state.in_pattern) = (state.cases.saturating_sub(1), false),
            "for" | "select" | "fi" | "done" | "}" => {}
            "[[" => self.skip_to(b" ]]"),
            "function" => state.place = Place::Function,
            "type" | "which" | "hash" => state.place = Place::Asked,
            "exec" | "command" | "builtin" | "eval" => state.place = Place::AfterStarter,
            "." | "source" => (self.has_sources, state.place) = (true, Place::AfterStarter),
            name if self.starts_with(b"(") || self.starts_with(b" (") => {
                self.known.insert(name.to_owned());
                self.skip_to(b")");
                state.place = Place::Command;
            }
            name if is_name(name) => {
                let is_sourced = [".", "source"].contains(&state.last.as_str());
                if !is_sourced || name.starts_with('/') {
                    state.open.push(name.to_owned());
                }
                if ["env", "nohup", "setsid"].contains(&name.rsplit('/').next().unwrap_or(name)) {
                    state.place = Place::AfterStarter;
                }
            }
            _ => {}
        }
    }

    /// Keeps the value of a variable: `text` is `NAME=VALUE`. One that has several values has none that is known.
    fn assign(&mut self, name: &str, text: &str, is_literal: bool) {
        let value = text[name.len()..].strip_prefix('=').filter(|_| is_literal).map(str::to_owned);
        if self.variables.len() >= COMMANDS {
            return;
        }
        let kept = self.variables.entry(name.to_owned()).or_insert_with(|| value.clone());
        if *kept != value {
            *kept = None;
        }
    }

    /// What the word that begins at `start` and has been read stands for: `$NAME`, or `"${NAME}/PATH"`, of a variable whose value is
    /// known.
    fn of_variable(&self, start: usize) -> Option<String> {
        let word = str::from_utf8(self.text.get(start..self.at)?).ok()?;
        let word = word.strip_prefix('"').and_then(|word| word.strip_suffix('"')).unwrap_or(word).strip_prefix('$')?;
        let (name, rest) = match word.strip_prefix('{') {
            Some(word) => word.split_once('}')?,
            None => word.split_at(word.find('/').unwrap_or(word.len())),
        };
        let value = self.variables.get(name)?.as_ref()?;
        Some(format!("{value}{rest}")).filter(|text| is_name(text))
    }

    fn redirection(&mut self, state: &mut State) {
        let start = self.at;
        while let Some(b'<' | b'>') = self.peek(0) {
            self.at += 1;
        }
        if self.peek(0) == Some(b'(') {
            self.at += 1;
            return self.list(Some(b')'));
        }
        let is_document = &self.text[start..self.at] == b"<<";
        if let Some(b'&' | b'|' | b'-') = self.peek(0) {
            self.at += 1;
        }
        while let Some(b' ' | b'\t') = self.peek(0) {
            self.at += 1;
        }
        let Word { text, .. } = self.word();
        if is_document && !text.is_empty() {
            state.documents.push(text);
        }
    }

    fn word(&mut self) -> Word {
        let (mut text, mut is_literal) = (Vec::new(), true);
        while let Some(byte) = self.peek(0) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>' => break,
                b'`' if self.in_backticks => break,
                b'\\' => {
                    text.extend(self.peek(1).filter(|next| *next != b'\n'));
                    self.at += 2;
                }
                b'\'' => {
                    let rest = &self.text[self.at + 1..];
                    let length = rest.iter().position(|byte| *byte == b'\'').unwrap_or(rest.len());
                    text.extend(&rest[..length]);
                    self.at += length + 2;
                }
                b'"' => {
                    self.at += 1;
                    is_literal &= self.quoted(&mut text);
                }
                b'$' | b'`' => {
                    is_literal = false;
                    self.expansion();
                }
                _ => {
                    is_literal &= !matches!(byte, b'*' | b'?' | b'~');
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
        Word { text: String::from_utf8_lossy(&text).into_owned(), is_literal }
    }

    /// Reads up to the closing quote. Returns whether nothing is expanded.
    fn quoted(&mut self, text: &mut Vec<u8>) -> bool {
        let mut is_literal = true;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'"' => {
                    self.at += 1;
                    break;
                }
                b'\\' => {
                    text.extend(self.peek(1));
                    self.at += 2;
                }
                b'$' | b'`' => {
                    is_literal = false;
                    self.expansion();
                }
                _ => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
        is_literal
    }

    /// Reads `$…` or a command in backticks.
    fn expansion(&mut self) {
        if self.peek(0) == Some(b'`') {
            self.at += 1;
            if !self.in_backticks {
                self.in_backticks = true;
                self.list(Some(b'`'));
                self.in_backticks = false;
            }
        } else if self.starts_with(b"$((") {
            self.at += 1;
            self.skip_arithmetic();
        } else if self.starts_with(b"$(") {
            self.at += 2;
            let outer = std::mem::take(&mut self.in_backticks);
            self.list(Some(b')'));
            self.in_backticks = outer;
        } else if self.starts_with(b"${") {
            self.at += 2;
            self.parameter();
        } else {
            self.at += 1;
        }
    }

    /// Reads up to the brace that closes `${`.
    fn parameter(&mut self) {
        self.depth += 1;
        if self.depth > DEPTH {
            self.at = self.text.len();
        }
        while let Some(byte) = self.peek(0) {
            match byte {
                b'}' => {
                    self.at += 1;
                    break;
                }
                b'\\' => self.at += 2,
                b'$' | b'`' => self.expansion(),
                _ => self.at += 1,
            }
        }
        self.depth -= 1;
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    /// Goes on behind the next `end`, or to the end of the text.
    fn skip_to(&mut self, end: &[u8]) {
        while self.at < self.text.len() && !self.starts_with(end) {
            self.at += 1;
        }
        self.at = (self.at + end.len()).min(self.text.len());
    }

    fn skip_document(&mut self, end: &str) {
        while self.at < self.text.len() {
            let start = self.at;
            self.skip_line();
            let line = String::from_utf8_lossy(&self.text[start..self.at]);
            self.at += 1;
            if line.trim_start_matches('\t') == end {
                break;
            }
        }
    }

    /// Skips parentheses with what is in them.
    fn skip_arithmetic(&mut self) {
        let mut open = 0_usize;
        while let Some(byte) = self.peek(0) {
            self.at += 1;
            match byte {
                b'(' => open += 1,
                b')' if open <= 1 => break,
                b')' => open -= 1,
                _ => {}
            }
        }
    }

    /// Skips the values of an array.
    fn skip_array(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            match byte {
                b')' => {
                    self.at += 1;
                    break;
                }
                b'#' => self.skip_line(),
                _ => {
                    let start = self.at;
                    self.word();
                    self.at = self.at.max(start + 1);
                }
            }
        }
    }
}

/// The name of the variable that a word assigns to.
fn assigned(text: &str) -> Option<&str> {
    let (name, _) = text.split_once('=')?;
    let name = name.strip_suffix('+').unwrap_or(name);
    let name = name.split_once('[').map_or(name, |(name, _)| name);
    let is_variable = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_variable.then_some(name)
}

pub(super) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.+/".contains(&byte);
    let is_from_root = text.starts_with('/') && text.len() > 1;
    text.len() <= NAME
        && text.bytes().all(plain)
        && (is_from_root || !text.contains('/') && text.starts_with(|first: char| first.is_ascii_alphabetic()))
}
