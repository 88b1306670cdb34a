//! Errors in a profile or settings file, shown with file, line, caret, message and hint.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use sealift_layers::escape;

/// An error at one place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Range of bytes of the file.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it; empty for none.
    pub hint: String,
}

impl Diagnostic {
    /// A diagnostic at `span`, a range of bytes.
    pub fn new(span: Range<usize>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { span, message: message.into(), hint: hint.into() }
    }
}

/// A file, for messages.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name in messages.
    pub file: String,
    /// The complete text of the file.
    pub text: String,
}

/// All errors in a file, or in several files that form one document, in their order. The kind of this error is
/// [`Usage`](crate::failure::Kind::Usage).
#[derive(Debug)]
pub struct Diagnostics {
    parts: Vec<Part>,
    list: Vec<Diagnostic>,
    is_warning: bool,
}

impl Diagnostics {
    /// `file` is the name in messages, `text` the contents.
    pub fn new(file: impl Into<String>, text: impl Into<String>, list: Vec<Diagnostic>) -> Self {
        Self::across(vec![Part { file: file.into(), text: text.into() }], list)
    }

    /// Spans are ranges of the concatenated texts of `parts`, with one byte between each two.
    pub(crate) fn across(parts: Vec<Part>, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.span.end));
        Self { parts, list, is_warning: false }
    }

    /// The same as warnings.
    #[must_use]
    pub(crate) fn as_warnings(self) -> Self {
        Self { is_warning: true, ..self }
    }

    /// File and line of `span`: `profile.toml:22`.
    pub(crate) fn line(&self, span: &Range<usize>) -> String {
        let (part, span) = self.place(span);
        format!("{}:{}", part.file, shown(&part.text, &span).0)
    }

    /// The diagnostics in the chain of `error`, if there are any.
    #[must_use]
    pub fn within(error: &anyhow::Error) -> Option<&Self> {
        error.chain().find_map(|cause| cause.downcast_ref())
    }

    /// The text with ANSI colors and a newline at its end.
    #[must_use]
    pub fn styled(&self) -> String {
        self.render(&Renderer::styled())
    }

    /// The part in which `span` begins, and the range within its text.
    fn place(&self, span: &Range<usize>) -> (&Part, Range<usize>) {
        let mut start = 0;
        let mut parts = self.parts.iter().peekable();
        while let Some(part) = parts.next() {
            let end = part.text.len();
            if span.start <= start + end || parts.peek().is_none() {
                let within = |at: usize| at.saturating_sub(start).min(end);
                return (part, within(span.start)..within(span.end));
            }
            start += end + 1;
        }
        unreachable!("there is at least one part")
    }

    fn render(&self, renderer: &Renderer) -> String {
        let rendered = self.list.iter().take(LISTED).map(|diagnostic| {
            let (part, span) = self.place(&diagnostic.span);
            let (line, shown) = shown(&part.text, &span);
            let span = span.start - shown.start..span.end.min(shown.end) - shown.start;
            let (source, file) = (visible(&part.text[shown]), escape::line(&part.file));
            let (message, hint) = (escape::lines(&diagnostic.message), escape::lines(&diagnostic.hint));
            let snippet =
                Snippet::source(&*source).path(&*file).line_start(line).annotation(AnnotationKind::Primary.span(span));
            let level = if self.is_warning { Level::WARNING } else { Level::ERROR };
            let mut group = level.primary_title(&*message).element(snippet);
            if !hint.is_empty() {
                group = group.element(Level::HELP.with_name("hint").message(&*hint));
            }
            renderer.render(&[group]) + "\n"
        });
        let mut text = rendered.collect::<Vec<_>>().join("\n");
        if let Some(more) = self.list.len().checked_sub(LISTED).filter(|more| *more > 0) {
            text.push_str(&format!("\nand {more} more\n"));
        }
        text
    }
}

/// How many of them are shown.
const LISTED: usize = 100;
/// How many bytes of a line are shown before and after the place that is meant.
const AROUND: usize = 500;

/// The number of the line in which `span` begins, and the range of the text that is shown: that line, or the part of a long
/// one around the place.
fn shown(text: &str, span: &Range<usize>) -> (usize, Range<usize>) {
    let mut begin = span.start.min(text.len());
    while !text.is_char_boundary(begin) {
        begin -= 1;
    }
    let (before, after) = text.split_at(begin);
    let line = 1 + before.matches('\n').count();
    let mut start = before.rfind('\n').map_or(0, |at| at + 1).max(begin.saturating_sub(AROUND));
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let mut end = begin + after.find('\n').unwrap_or(after.len()).min(AROUND);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (line, start..end)
}

/// The text of a file with marks in place of what a terminal would act on. Each has as many bytes, so that spans stay.
fn visible(text: &str) -> Cow<'_, str> {
    let is_unsafe = |c: char| escape::is_unsafe(c) && !matches!(c, '\n' | '\r' | '\t');
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mark = |c: char| match c.len_utf8() {
        _ if !is_unsafe(c) => c,
        1 => '?',
        2 => '\u{bf}',
        _ => char::REPLACEMENT_CHARACTER,
    };
    Cow::Owned(text.chars().map(mark).collect())
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}

impl std::error::Error for Diagnostics {}
