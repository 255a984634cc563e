//! Problems of a configuration: where, what was written, why it can't be, and what to do.
//! Never holds a secret: what may be one is masked before a problem is made.

use std::fmt;
use std::path::Path;

use serde::Serialize;

/// One thing that is wrong with the configuration, or suspicious.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, or `environment variable NAME`.
    pub place: String,
    /// Line in the file, from 1; `None` where the problem has no place in a text.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// The key, `pipeline[0].origin[1].root`; empty where the problem is not one key's.
    pub key: String,
    /// The value as it is written in the file.
    pub value: Option<String>,
    /// Why it can't be, as the end of a sentence that begins with the value, where there is one.
    pub why: String,
    /// What to do about it.
    pub hint: String,
    /// The line of the text, and how many characters to underline.
    #[serde(skip)]
    pub(super) excerpt: Option<(String, usize)>,
}

impl Problem {
    /// A problem without a place in a text: of a file as a whole, or of the environment.
    #[must_use]
    pub fn of(place: impl Into<String>, key: &str, why: &str, hint: &str) -> Self {
        Self {
            place: place.into(),
            line: None,
            column: None,
            key: key.to_owned(),
            value: None,
            why: why.to_owned(),
            hint: hint.to_owned(),
            excerpt: None,
        }
    }

    /// A problem of a file as a whole.
    #[must_use]
    pub fn of_file(file: &Path, key: &str, why: &str, hint: &str) -> Self {
        Self::of(printable(&file.display().to_string()), key, why, hint)
    }

    /// A problem of an environment variable.
    #[must_use]
    pub fn of_variable(name: &str, key: &str, why: &str, hint: &str) -> Self {
        Self::of(format!("environment variable {name}"), key, why, hint)
    }

    /// The problem in one line, without the excerpt.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = self.place.clone();
        for number in [self.line, self.column].into_iter().flatten() {
            text.push(':');
            text.push_str(&number.to_string());
        }
        text.push_str(": ");
        if !self.key.is_empty() {
            text.push_str(&self.key);
            text.push_str(": ");
        }
        if let Some(value) = &self.value {
            text.push_str(value);
            text.push(' ');
        }
        text.push_str(&self.why);
        text.push_str("; hint: ");
        text.push_str(&self.hint);
        text
    }
}

impl Problem {
    /// The problem as compilers show theirs: what, where, the line with the place underlined, and what
    /// helps. Each part is given to `paint` with what it is.
    #[must_use]
    pub fn diagnostic(&self, word: &str, paint: impl Fn(Part, &str) -> String) -> String {
        let mut text = paint(Part::Word, &format!("{word}:"));
        let key = Some(self.key.as_str()).filter(|key| !key.is_empty());
        let key = key.map(|key| format!("{key}:"));
        let said = [key.as_deref(), self.value.as_deref(), Some(&self.why)];
        for part in said.into_iter().flatten() {
            text.push(' ');
            text.push_str(part);
        }
        let line = self.line.map_or_else(String::new, |line| line.to_string());
        let indent = " ".repeat(line.len());
        let numbers = [self.line, self.column].into_iter().flatten();
        let numbers = numbers.map(|number| format!(":{number}"));
        let (place, numbers) = (&self.place, numbers.collect::<String>());
        let frame = |text: &str| paint(Part::Frame, text);
        let mut lines = vec![text, format!("{indent}{} {place}{numbers}", frame("-->"))];
        if let (Some((excerpt, width)), Some(column)) = (&self.excerpt, self.column) {
            // A tab is as wide in the line above as in the line below.
            let tab = |c| if c == '\t' { '\t' } else { ' ' };
            let before: String = excerpt.chars().take(column - 1).map(tab).collect();
            let marks = paint(Part::Word, &"^".repeat((*width).max(1)));
            let (bar, number) = (frame("|"), frame(&line));
            lines.push(format!("{indent} {bar}"));
            lines.push(format!("{number} {bar} {excerpt}"));
            lines.push(format!("{indent} {bar} {before}{marks}"));
        }
        lines.push(format!("{indent} {} help: {}", frame("="), self.hint));
        lines.join("\n")
    }
}

/// A part of a diagnostic that may have a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `error:` or `warning:`, and the marks below the place.
    Word,
    /// The arrow, the number of the line, and what stands at its left.
    Frame,
}

/// The summary, then the line of the file with the place underlined.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())?;
        if let (Some((text, width)), Some(line), Some(column)) =
            (&self.excerpt, self.line, self.column)
        {
            // A tab is as wide in the line above as in the line below.
            let indent: String = text
                .chars()
                .take(column - 1)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            let marks = "^".repeat((*width).max(1));
            write!(f, "\n{line:>5} | {text}\n      | {indent}{marks}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The exit code that a command ends with: bad configuration.
    pub const EXIT_CODE: u8 = 78;

    /// Problems, if there are any.
    #[must_use]
    pub fn from_list(problems: Vec<Problem>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// Each problem, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Adds others.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// The problems, in the order of the file.
    #[must_use]
    pub fn into_list(self) -> Vec<Problem> {
        self.0
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// Every problem, one below the other.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A text without control characters, which could do anything to a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}
