//! The commands of a shell script, read without running any.
//!
//! Maintainer scripts are read as if every branch were taken, since their conditions ask about a system that is not there.
//! Variables with literal values and loops over literal lists are followed. A word that only a running shell knows, such
//! as the output of a command, is `None`. A value that is not literal does not replace one that is.

use std::collections::{BTreeMap, BTreeSet};

/// The words of a simple command (POSIX.1-2024, Shell Command Language, 2.9.1).
pub(super) type Command = Vec<Option<String>>;

/// Most commands of a script: loops multiply them.
const COMMANDS: usize = 4096;
/// Deepest loops within loops.
const DEPTH: usize = 8;

/// Words that begin or end a compound command, after which a command may follow.
const KEYWORDS: [&str; 15] =
    ["if", "then", "elif", "else", "fi", "while", "until", "do", "done", "case", "esac", "!", "{", "}", "time"];

/// The commands of `script`. `variables` have values from outside.
pub(super) fn commands(script: &str, variables: &[(&str, &str)]) -> Vec<Command> {
    let tokens = Lexer { text: script.chars().collect(), at: 0, documents: Vec::new() }.tokens();
    let mut reader = Reader { known: BTreeMap::new(), assigned: BTreeSet::new(), commands: Vec::new() };
    for (name, value) in variables {
        reader.known.insert((*name).to_owned(), Some((*value).to_owned()));
    }
    reader.assigned = assigned(&tokens);
    reader.read(&tokens, 0);
    reader.commands
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(Vec<Piece>),
    /// What ends a command: a newline, `;`, `&&`, `)` ...
    End,
    /// The next word names a file.
    Redirection,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text { text: String, is_quoted: bool },
    Variable { name: String, default: Option<String>, is_quoted: bool },
    Unknown,
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
            Some('(') => {
                self.balanced('(', ')');
                Piece::Unknown
            }
            Some('{') => {
                let inner = self.balanced('{', '}');
                let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
                let (name, rest) = inner.split_at(end);
                let default = rest.strip_prefix(":-").or_else(|| rest.strip_prefix('-'));
                let is_literal = default.is_none_or(|text| !text.contains(['$', '`', '"', '\'']));
                if !is_name(name) || !is_literal || (default.is_none() && !rest.is_empty()) {
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
            Some(c) if c.is_ascii_digit() || "@*#?$!-".contains(c) => {
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

struct Reader {
    /// Values; `None` where only a running shell knows it.
    known: BTreeMap<String, Option<String>>,
    assigned: BTreeSet<String>,
    commands: Vec<Command>,
}

impl Reader {
    fn read(&mut self, tokens: &[Token], depth: usize) {
        let mut left = tokens;
        while !left.is_empty() && self.commands.len() < COMMANDS {
            let end = left.iter().position(|token| *token == Token::End).unwrap_or(left.len());
            let (mut words, rest) = left.split_at(end);
            while let [first, more @ ..] = words
                && plain(first).is_some_and(|word| KEYWORDS.contains(&word))
            {
                words = more;
            }
            left = rest.get(1..).unwrap_or_default();
            match words {
                [] => {}
                [first, name, ..] if plain(first) == Some("for") => {
                    let (body, after) = body(left);
                    left = after;
                    if let Some(name) = plain(name).filter(|_| depth < DEPTH) {
                        self.repeat(name, words.get(3..).unwrap_or_default(), body, depth);
                    }
                }
                words => self.simple(words),
            }
        }
    }

    fn repeat(&mut self, name: &str, values: &[Token], body: &[Token], depth: usize) {
        for value in self.expand(values) {
            self.known.insert(name.to_owned(), value);
            self.read(body, depth + 1);
        }
    }

    fn simple(&mut self, mut words: &[Token]) {
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
        if command.first().is_some_and(|first| first.as_deref() == Some("unset")) {
            for name in command.into_iter().flatten() {
                self.known.remove(&name);
            }
        } else {
            self.commands.push(command);
        }
    }

    fn assign(&mut self, word: &Token) {
        let (Token::Word(pieces), Some(name)) = (word, assignment(word)) else { return };
        let mut value = Some(String::new());
        for piece in pieces {
            let part = match piece {
                Piece::Text { text, .. } => Some(text.clone()),
                Piece::Variable { name, default, .. } => self.value(name, default.as_deref()),
                Piece::Unknown => None,
            };
            value = value.zip(part).map(|(value, part)| value + &part);
        }
        let value = value.and_then(|text| text.split_once('=').map(|(_, value)| value.to_owned()));
        match self.known.get_mut(name) {
            Some(known) if value.is_none() && known.is_some() => {}
            _ => drop(self.known.insert(name.to_owned(), value)),
        }
    }

    fn value(&self, name: &str, default: Option<&str>) -> Option<String> {
        match (self.known.get(name), default) {
            (Some(value), None) => value.clone(),
            (Some(value), Some(default)) => {
                value.as_ref().map(|value| if value.is_empty() { default.to_owned() } else { value.clone() })
            }
            (None, Some(default)) => Some(default.to_owned()),
            (None, None) => self.assigned.contains(name).then(String::new),
        }
    }

    /// Words with the values of their variables. Those of unquoted ones are split at blanks.
    fn expand(&self, tokens: &[Token]) -> Command {
        let mut words = Vec::new();
        let mut is_file = false;
        for token in tokens {
            match token {
                Token::Redirection => is_file = true,
                Token::Word(_) if is_file => is_file = false,
                Token::Word(pieces) => self.expand_word(pieces, &mut words),
                Token::End => {}
            }
        }
        words
    }

    fn expand_word(&self, pieces: &[Piece], words: &mut Command) {
        // The word so far; the outer `None`: nothing of it yet.
        let mut word: Option<Option<String>> = None;
        let join = |word: &mut Option<Option<String>>, part: Option<&str>| {
            let before = word.take().unwrap_or_else(|| Some(String::new()));
            *word = Some(before.zip(part).map(|(before, part)| before + part));
        };
        for piece in pieces {
            match piece {
                Piece::Text { text, .. } => join(&mut word, Some(text)),
                Piece::Unknown => join(&mut word, None),
                Piece::Variable { name, default, is_quoted } => match self.value(name, default.as_deref()) {
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
mod tests {
    use super::*;

    /// One command a line; `?` is a word that only a running shell knows.
    fn read(script: &str) -> String {
        let words = |command: Command| -> String {
            let words: Vec<String> = command.into_iter().map(|word| word.unwrap_or_else(|| "?".into())).collect();
            words.join(" ")
        };
        commands(script, &[("DPKG_ROOT", "")]).into_iter().map(words).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn lines_continue_and_quotes_and_variables_are_followed() {
        let script = r#"
            base=/usr/lib/jvm; man="$base/man"  # a comment
            update-alternatives --install "${base}/x" 'a b' \
                $man/1 ${PRIO:-10} >/dev/null 2>&1 || true
            echo $(date; echo ")") `pwd` "$1" $RET "$DPKG_ROOT/etc" "a\"$"
        "#;
        insta::assert_snapshot!(read(script), @r#"
        update-alternatives --install /usr/lib/jvm/x a b /usr/lib/jvm/man/1 10
        true
        echo ? ? ? ? /etc a"$
        "#);
    }

    /// The priority of a foreign architecture replaced the one that counts.
    #[test]
    fn a_value_that_is_not_literal_does_not_replace_one() {
        let script = "p=2111\nif [ x ]; then p=$(expr $p - 1); fi\nq=$(x)\nset $p $q\n";
        insta::assert_snapshot!(read(script), @r"
        [ x ]
        set 2111 ?
        ");
    }

    #[test]
    fn loops_over_lists_are_unrolled() {
        let script = "tools='java jpackage'\nfor i in $tools keytool; do\n unset s || true\n if [ -e $i ]; then s=\"--slave /$i \\\n  $i\"; fi\n \
                      for j in 1; do install $i$j $s; done\ndone\nfor b in $(ls); do rm $b; done; end\n";
        let kept: Vec<String> =
            read(script).lines().filter(|line| !line.starts_with(['[', 't'])).map(str::to_owned).collect();
        insta::assert_snapshot!(kept.join("\n"), @r"
        install java1 --slave /java java
        install jpackage1 --slave /jpackage jpackage
        install keytool1 --slave /keytool keytool
        rm ?
        end
        ");
    }

    #[test]
    fn here_documents_and_labels_are_no_commands() {
        let script = "cat <<-EOF > /x\n\trm -r /\n\tEOF\ncase \"$1\" in\n configure|triggered) ucf a b;;\nesac\nf() { chown \"$1\" x; }\n";
        insta::assert_snapshot!(read(script), @r"
        cat
        ? in
        configure
        triggered
        ucf a b
        f
        chown ? x
        ");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "[a-z\\n ;|&()<>$`{}\"'\\\\=#-]{0,200}") {
            commands(&text, &[]);
        }
    }
}
