//! The text of a configuration file: from byte offsets to lines, columns and excerpts. Masks what
//! may be a secret before anybody sees it.

use std::ops::Range;

use super::problem::{Problem, printable};

/// As much of a value or a line as a message shows, in characters.
const SHOWN: usize = 80;

/// Words in a key that make its value a secret in all likelihood. None of the keys that exist
/// takes a secret as its value, but people paste them all the same.
const SECRET_WORDS: [&str; 6] = [
    "secret",
    "token",
    "password",
    "credential",
    "database_url",
    "access_key",
];

/// A configuration file's text with its name.
#[derive(Debug)]
pub(super) struct Document<'i> {
    file: String,
    text: &'i str,
    line_starts: Vec<usize>,
}

impl<'i> Document<'i> {
    /// A document of this text; `file` is the name that problems give.
    pub(super) fn new(file: &str, text: &'i str) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            file: printable(file),
            text,
            line_starts,
        }
    }

    /// The file's name.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// The line, from 1, of a byte offset.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    fn line_range(&self, line: usize) -> Range<usize> {
        let start = self.line_starts.get(line - 1).copied().unwrap_or_default();
        let end = self
            .line_starts
            .get(line)
            .map_or(self.text.len(), |next| next - 1);
        start..end
    }

    /// The value at `span` as it is written, shortened, in one line; `None` where it may hold a
    /// secret.
    pub(super) fn written(&self, key: &str, span: &Range<usize>) -> Option<String> {
        let text = self.text.get(span.clone())?;
        if text.is_empty() || holds_secret(key, text) {
            return None;
        }
        let first = text.lines().next().unwrap_or_default();
        let mut shown: String = printable(first).chars().take(SHOWN).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        Some(shown)
    }

    /// A problem at `span`. `key` is the key path; its value is shown unless it may be a secret.
    pub(super) fn problem(
        &self,
        key: &str,
        span: &Range<usize>,
        show_value: bool,
        why: &str,
        hint: &str,
    ) -> Problem {
        let line = self.line(span.start);
        let range = self.line_range(line);
        let column = self
            .text
            .get(range.start..span.start)
            .map_or(0, |before| before.chars().count());
        let width = self
            .text
            .get(span.start..span.end.min(range.end).max(span.start))
            .map_or(1, |marked| marked.chars().count());
        let text = self.text.get(range.clone()).unwrap_or_default();
        Problem {
            place: self.file.clone(),
            line: Some(line),
            column: Some(column + 1),
            key: key.to_owned(),
            value: show_value.then(|| self.written(key, span)).flatten(),
            why: why.to_owned(),
            hint: hint.to_owned(),
            excerpt: (!holds_secret(key, text) && column + width <= 2 * SHOWN)
                .then(|| (printable(text.trim_end()), width)),
        }
    }
}

/// Whether a value, or a line, may hold a secret: its key, or the text itself, speaks of one and
/// the value is not a path.
fn holds_secret(key: &str, text: &str) -> bool {
    let key = key.rsplit('.').next().unwrap_or_default().to_lowercase();
    let lower = text.to_lowercase();
    let speaks = |of: &str| SECRET_WORDS.iter().any(|word| of.contains(word));
    if lower.contains("://") && lower.contains('@') {
        return true;
    }
    if !speaks(&key) && !speaks(&lower) {
        return false;
    }
    let value = text.split_once('=').map_or(text, |(_, value)| value);
    let value = value.trim_start().trim_start_matches(['"', '\'']);
    // `"/…"`: a path, which is what belongs there; `[` and `]`: a header.
    !(value.starts_with('/') || value.starts_with('['))
}
