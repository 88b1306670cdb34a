//! Branches of `if` that are never taken: their conditions compare texts, arguments, or the default answer to a question, or
//! ask for a file that the packages have.

use super::lexer::{Piece, Token};
use super::{functions, is_parameter, plain};

/// Longest argument that is compared with a text, in bytes. A longer one is not known.
const COMPARED: usize = 64;

/// What conditions may ask about.
pub(super) struct Known<'a> {
    /// The answer to the last question.
    pub(super) answer: Option<&'a str>,
    /// Those of the script or function.
    pub(super) arguments: &'a [Option<String>],
    /// Whether a path is known to be there.
    pub(super) exists: &'a dyn Fn(&str) -> bool,
}

/// The `if` commands around the place where the reader is, outermost first.
#[derive(Default)]
pub(super) struct Branches(Vec<Branch>);

struct Branch {
    /// Between `if` or `elif` and `then`.
    is_condition: bool,
    /// Commands of the condition so far.
    commands: usize,
    is_negated: bool,
    /// What its condition is, if it is known.
    holds: Option<bool>,
    /// A condition before this one is known to hold.
    is_over: bool,
    is_read: bool,
}

impl Branches {
    /// Whether the commands here may be run.
    pub(super) fn are_read(&self) -> bool {
        self.0.iter().all(|branch| branch.is_read)
    }

    /// A word that begins, divides or ends a compound command.
    pub(super) fn keyword(&mut self, word: &str) {
        let new =
            Branch { is_condition: true, commands: 0, is_negated: false, holds: None, is_over: false, is_read: true };
        match (word, self.0.last_mut()) {
            ("if", _) => self.0.push(new),
            ("fi", _) => drop(self.0.pop()),
            ("!", Some(branch)) if branch.is_condition => branch.is_negated = !branch.is_negated,
            ("then", Some(branch)) => {
                branch.is_condition = false;
                branch.is_read = !branch.is_over && branch.holds != Some(false);
            }
            ("elif", Some(branch)) => {
                let is_over = branch.is_over || branch.holds == Some(true);
                *branch = Branch { is_over, is_read: !is_over, ..new };
            }
            ("else", Some(branch)) => branch.is_read = !branch.is_over && branch.holds != Some(true),
            _ => {}
        }
    }

    /// A simple command, which may be the condition.
    pub(super) fn command(&mut self, words: &[Token], known: &Known<'_>) {
        let Some(branch) = self.0.last_mut().filter(|branch| branch.is_condition && !words.is_empty()) else { return };
        branch.commands += 1;
        // Of several, nobody knows here how they are joined.
        let known = compared(words, known).filter(|_| branch.commands == 1);
        branch.holds = known.map(|holds| holds != branch.is_negated);
    }
}

/// The result of `[ A = B ]`, `test A != B`, or of one of these with only one text, or a file that is there (test(1)).
fn compared(words: &[Token], known: &Known<'_>) -> Option<bool> {
    let words = match words {
        [first, words @ .., last] if plain(first) == Some("[") && plain(last) == Some("]") => words,
        [first, words @ ..] if plain(first) == Some("test") => words,
        _ => return None,
    };
    let words: Vec<String> = words.iter().map(|word| literal(word, known)).collect::<Option<_>>()?;
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [one, "=" | "==", other] => Some(one == other),
        [one, "!=", other] => Some(one != other),
        ["-n", text] => Some(!text.is_empty()),
        ["-z", text] => Some(text.is_empty()),
        // What is not there now may be made before the script runs.
        ["-e" | "-f" | "-r", path] => (known.exists)(path).then_some(true),
        _ => None,
    }
}

/// The text of a word whose only variables are the answer and arguments: other values may depend on branches that are not
/// known.
fn literal(word: &Token, known: &Known<'_>) -> Option<String> {
    let Token::Word(pieces) = word else { return None };
    let text = |piece: &Piece| match piece {
        Piece::Text { text, .. } => Some(text.clone()),
        Piece::Variable { name, default: None, .. } if name == "RET" => known.answer.map(str::to_owned),
        // A script of another maker may repeat a long one without end.
        Piece::Variable { name, default: None, .. } if is_parameter(name) && !matches!(name.as_str(), "@" | "*") => {
            functions::parameter(name, known.arguments).filter(|text| text.len() <= COMPARED)
        }
        _ => None,
    };
    pieces.iter().map(text).collect()
}
