//! Functions, and the arguments that they and scripts have (POSIX.1-2024, Shell Command Language, 2.9.5 and 2.5.1).

use super::lexer::Token;
use super::{KEYWORDS, plain};

/// The function that `tokens` begin with: its name, the commands between its braces, and what follows.
pub(super) fn definition(tokens: &[Token]) -> Option<(&str, &[Token], &[Token])> {
    let [name, Token::Parentheses, rest @ ..] = tokens else { return None };
    let name = plain(name)?;
    let start = rest.iter().position(|token| *token != Token::End)?;
    if plain(&rest[start]) != Some("{") {
        return None;
    }
    let body = &rest[start + 1..];
    let (mut depth, mut begins) = (1_usize, true);
    for (index, token) in body.iter().enumerate() {
        let word = plain(token).filter(|_| begins);
        match word {
            Some("{") => depth += 1,
            Some("}") => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((name, &body[..index], &body[index + 1..]));
        }
        begins = matches!(token, Token::End | Token::Parentheses) || word.is_some_and(|word| KEYWORDS.contains(&word));
    }
    Some((name, body, &[]))
}

/// The value of `$1`, or of `$@`. `None`: only a running shell knows it.
pub(super) fn parameter(name: &str, arguments: &[Option<String>]) -> Option<String> {
    match name.parse::<usize>() {
        Ok(number) => arguments.get(number - 1).cloned().unwrap_or_else(|| Some(String::new())),
        Err(_) => Some(arguments.iter().cloned().collect::<Option<Vec<String>>>()?.join(" ")),
    }
}
