//! The text of a configuration file: from byte offsets to lines, columns and excerpts. Masks what
//! may be a secret before it is shown.

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

    /// Whether a line is, or was meant as, a `[header]`.
    pub(super) fn is_header(&self, line: usize) -> bool {
        self.text
            .get(self.line_range(line))
            .is_some_and(|text| text.trim_start().starts_with('['))
    }

    /// The lines below a header, up to the next one.
    pub(super) fn lines_of_table(&self, header: usize) -> Range<usize> {
        let next = (header + 1..=self.line_starts.len()).find(|line| self.is_header(*line));
        header + 1..next.unwrap_or(self.line_starts.len() + 1)
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
        if text.is_empty() || value_is_secret(key, text) {
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
        // Where the syntax is wrong, a line may be the rest of the one before it.
        let before = self
            .text
            .get(self.line_range(line.max(2) - 1))
            .unwrap_or_default();
        let secret = line_is_secret(key, text) || (key.is_empty() && line_is_secret(key, before));
        Problem {
            place: self.file.clone(),
            line: Some(line),
            column: Some(column + 1),
            key: key.to_owned(),
            value: show_value.then(|| self.written(key, span)).flatten(),
            why: why.to_owned(),
            hint: hint.to_owned(),
            excerpt: (!secret && column + width <= 2 * SHOWN)
                .then(|| (printable(text.trim_end()), width)),
        }
    }
}

/// Whether the value of a key may be a secret, or hold one.
fn value_is_secret(key: &str, value: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or_default();
    has_login(value) || (speaks_of_secret(name) && !is_path(value)) || assigns_secret(value)
}

/// Whether a line may hold a secret: it assigns one, or continues the value of a key that does.
fn line_is_secret(key: &str, line: &str) -> bool {
    let header = line.trim_start().starts_with('[') && line.trim_end().ends_with(']');
    has_login(line)
        || assigns_secret(line)
        || (!header && !line.contains('=') && value_is_secret(key, line.trim_start()))
}

/// Whether a text has `secret_key = …` in it, where … is not a path.
fn assigns_secret(text: &str) -> bool {
    let parts: Vec<&str> = text.split('=').collect();
    parts.windows(2).any(|pair| match pair {
        [name, value] => speaks_of_secret(name) && !is_path(value),
        _ => false,
    })
}

fn speaks_of_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// `"/etc/key"`: what belongs there.
fn is_path(value: &str) -> bool {
    value
        .trim_start()
        .trim_start_matches(['"', '\''])
        .starts_with('/')
}

/// `https://user:password@host`.
fn has_login(text: &str) -> bool {
    text.contains("://") && text.contains('@')
}
