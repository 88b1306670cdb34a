//! Tokens of a shell script (POSIX.1-2024, Shell Command Language, 2.3).

use super::{is_name, is_parameter};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Word(Vec<Piece>),
    /// What ends a command: a newline, `;`, `&&`, `)` ...
    End,
    /// The next word names a file.
    Redirection,
    /// `()` after a word: its function follows.
    Parentheses,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Text {
        text: String,
        is_quoted: bool,
    },
    Variable {
        name: String,
        default: Option<String>,
        is_quoted: bool,
    },
    /// A part of a variable's value, from 1: `$(echo $name | cut -d: -f1)`.
    Field {
        name: String,
        delimiter: char,
        number: usize,
    },
    Unknown,
}

/// The tokens of a script.
pub(super) fn tokens(script: &str) -> Vec<Token> {
    Lexer { text: script.chars().collect(), at: 0, documents: Vec::new() }.tokens()
}

struct Lexer {
    text: Vec<char>,
    at: usize,
    /// Delimiters of here-documents that begin at the next line, and whether tabs before them count.
    documents: Vec<(String, bool)>,
}

impl Lexer {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += 1;
        c
    }

    fn tokens(mut self) -> Vec<Token> {
        let mut tokens = Vec::new();
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' => self.at += 1,
                '\\' if self.text.get(self.at + 1) == Some(&'\n') => self.at += 2,
                '#' => self.skip_line(),
                '\n' => {
                    self.at += 1;
                    tokens.push(Token::End);
                    self.skip_documents();
                }
                '(' if matches!(tokens.last(), Some(Token::Word(_))) && self.is_closed() => {
                    self.skip_to(')');
                    tokens.push(Token::Parentheses);
                }
                ';' | '&' | '|' | '(' | ')' => {
                    self.at += 1;
                    tokens.push(Token::End);
                }
                '<' | '>' => self.redirection(&mut tokens),
                _ => {
                    let word = self.word();
                    let is_descriptor = matches!(&word[..], [Piece::Text { text, is_quoted: false }]
                        if text.chars().all(|c| c.is_ascii_digit()));
                    if !(is_descriptor && matches!(self.peek(), Some('<' | '>'))) {
                        tokens.push(Token::Word(word));
                    }
                }
            }
        }
        tokens
    }

    /// Whether `(` is followed by blanks and `)` only.
    fn is_closed(&self) -> bool {
        self.text[self.at + 1..].iter().find(|c| !matches!(c, ' ' | '\t')) == Some(&')')
    }

    fn skip_to(&mut self, last: char) {
        while self.next().is_some_and(|c| c != last) {}
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.at += 1;
        }
    }

    fn line(&mut self) -> String {
        let start = self.at.min(self.text.len());
        self.skip_line();
        let line = self.text[start..self.at].iter().collect();
        self.at += 1;
        line
    }

    fn skip_documents(&mut self) {
        for (delimiter, is_indented) in std::mem::take(&mut self.documents) {
            while self.at < self.text.len() {
                let line = self.line();
                let line = if is_indented { line.trim_start_matches('\t') } else { &line };
                if line == delimiter {
                    break;
                }
            }
        }
    }

    fn redirection(&mut self, tokens: &mut Vec<Token>) {
        let start = self.at;
        while self.peek().is_some_and(|c| "<>&|".contains(c)) {
            self.at += 1;
        }
        let operator: String = self.text[start..self.at].iter().collect();
        if operator == "<<" {
            let is_indented = self.peek() == Some('-');
            self.at += usize::from(is_indented);
            while self.peek().is_some_and(|c| c == ' ' || c == '\t') {
                self.at += 1;
            }
            let delimiter: String = self
                .word()
                .iter()
                .map(|piece| match piece {
                    Piece::Text { text, .. } => text.as_str(),
                    _ => "",
                })
                .collect();
            self.documents.push((delimiter, is_indented));
        } else {
            tokens.push(Token::Redirection);
        }
    }

    /// A word: up to an unquoted blank or operator.
    fn word(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>' => break,
                '\'' => {
                    self.at += 1;
                    let mut text = String::new();
                    while let Some(c) = self.next().filter(|c| *c != '\'') {
                        text.push(c);
                    }
                    pieces.push(Piece::Text { text, is_quoted: true });
                }
                '"' => {
                    self.at += 1;
                    self.quoted(&mut pieces);
                }
                '\\' => {
                    self.at += 1;
                    match self.next() {
                        Some('\n') | None => {}
                        Some(c) => pieces.push(Piece::Text { text: c.into(), is_quoted: true }),
                    }
                }
                '$' | '`' => pieces.push(self.expansion(false)),
                c => {
                    self.at += 1;
                    match pieces.last_mut() {
                        Some(Piece::Text { text, is_quoted: false }) => text.push(c),
                        _ => pieces.push(Piece::Text { text: c.into(), is_quoted: false }),
                    }
                }
            }
        }
        pieces
    }

    /// The rest of a text in double quotes.
    fn quoted(&mut self, pieces: &mut Vec<Piece>) {
        let mut text = String::new();
        let add = |pieces: &mut Vec<Piece>, text: &mut String| {
            pieces.push(Piece::Text { text: std::mem::take(text), is_quoted: true });
        };
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    self.at += 1;
                    break;
                }
                '\\' => {
                    self.at += 1;
                    match self.next() {
                        Some('\n') | None => {}
                        Some(c) if "$`\"\\".contains(c) => text.push(c),
                        Some(c) => text.extend(['\\', c]),
                    }
                }
                '$' | '`' => {
                    add(pieces, &mut text);
                    pieces.push(self.expansion(true));
                }
                c => {
                    self.at += 1;
                    text.push(c);
                }
            }
        }
        add(pieces, &mut text);
    }

    /// What begins with `$` or a backquote.
    fn expansion(&mut self, is_quoted: bool) -> Piece {
        if self.next() == Some('`') {
            while let Some(c) = self.next().filter(|c| *c != '`') {
                self.at += usize::from(c == '\\');
            }
            return Piece::Unknown;
        }
        match self.peek() {
            Some('(') => field(&self.balanced('(', ')')).unwrap_or(Piece::Unknown),
            Some('{') => {
                let inner = self.balanced('{', '}');
                let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
                let (name, rest) = inner.split_at(end);
                let default = rest.strip_prefix(":-").or_else(|| rest.strip_prefix('-'));
                let is_literal = default.is_none_or(|text| !text.contains(['$', '`', '"', '\'']));
                let is_known = is_name(name) || is_parameter(name);
                if !is_known || !is_literal || (default.is_none() && !rest.is_empty()) {
                    return Piece::Unknown;
                }
                Piece::Variable { name: name.to_owned(), default: default.map(str::to_owned), is_quoted }
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let start = self.at;
                while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
                    self.at += 1;
                }
                let name = self.text[start..self.at].iter().collect();
                Piece::Variable { name, default: None, is_quoted }
            }
            Some(c) if c.is_ascii_digit() || "@*".contains(c) => {
                self.at += 1;
                match c {
                    '0' => Piece::Unknown,
                    c => Piece::Variable { name: c.into(), default: None, is_quoted },
                }
            }
            Some(c) if "#?$!-".contains(c) => {
                self.at += 1;
                Piece::Unknown
            }
            _ => Piece::Text { text: "$".into(), is_quoted },
        }
    }

    /// The text between `open`, which is next, and the `close` that belongs to it.
    fn balanced(&mut self, open: char, close: char) -> String {
        let (mut depth, start) = (0_usize, self.at + 1);
        while let Some(c) = self.next() {
            match c {
                '\\' => self.at += 1,
                '\'' => while self.next().is_some_and(|c| c != '\'') {},
                '"' => {
                    while let Some(c) = self.next().filter(|c| *c != '"') {
                        self.at += usize::from(c == '\\');
                    }
                }
                c if c == open => depth += 1,
                c if c == close => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                _ => {}
            }
        }
        let end = self.at.saturating_sub(1).min(self.text.len());
        self.text.get(start..end).map(|inner| inner.iter().collect()).unwrap_or_default()
    }
}

/// The command by which packages take a part of a pair, such as `echo $pair | cut -d: -f1`.
fn field(command: &str) -> Option<Piece> {
    let words: Vec<&str> = command.split_ascii_whitespace().collect();
    let ["echo", variable, "|", "cut", delimiter, number] = words[..] else { return None };
    let name = variable.trim_matches('"').strip_prefix('$').filter(|name| is_name(name))?;
    let mut delimiter = delimiter.strip_prefix("-d")?.trim_matches(['"', '\'']).chars();
    let (Some(delimiter), None) = (delimiter.next(), delimiter.next()) else { return None };
    let number = number.strip_prefix("-f")?.parse().ok().filter(|number| *number > 0)?;
    Some(Piece::Field { name: name.to_owned(), delimiter, number })
}
