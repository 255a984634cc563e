//! What a value may look like: for the JSON schema, and in words for the manual.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};

use super::value::quoted;
use super::{duration, size};

/// The texts and numbers that a key takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// `true` or `false`.
    Boolean,
    /// A text that is not empty.
    Text {
        /// What it is, `an absolute path`.
        what: &'static str,
        /// A regular expression that it matches as a whole or in part, as JSON schemas have them.
        pattern: Option<&'static str>,
    },
    /// A whole number.
    Number {
        /// From the least to the most.
        range: RangeInclusive<u64>,
        /// What is counted, `calls per second`.
        unit: &'static str,
    },
    /// A duration.
    Time(RangeInclusive<Duration>),
    /// A size in bytes.
    Size(RangeInclusive<u64>),
    /// One of these.
    Words(Vec<&'static str>),
    /// A list.
    List {
        /// Each of its items.
        item: Box<Shape>,
        /// Its least length.
        least: usize,
    },
    /// Any of these.
    Any(Vec<Shape>),
}

impl Shape {
    /// A text of any form.
    pub(super) const fn text(what: &'static str) -> Self {
        Self::Text {
            what,
            pattern: None,
        }
    }

    /// A text that matches a regular expression.
    pub(super) const fn pattern(what: &'static str, pattern: &'static str) -> Self {
        Self::Text {
            what,
            pattern: Some(pattern),
        }
    }

    /// A list of this.
    pub(super) fn list(self) -> Self {
        Self::List {
            item: Box::new(self),
            least: 0,
        }
    }

    /// With at least one item, where it is a list.
    pub(super) fn filled(self) -> Self {
        match self {
            Self::List { item, .. } => Self::List { item, least: 1 },
            Self::Any(shapes) => Self::Any(shapes.into_iter().map(Self::filled).collect()),
            other => other,
        }
    }

    /// The JSON schema.
    pub(super) fn schema(&self) -> Value {
        match self {
            Self::Boolean => json!({ "type": "boolean" }),
            Self::Text { pattern: None, .. } => json!({ "type": "string" }),
            Self::Text {
                pattern: Some(pattern),
                ..
            } => json!({ "type": "string", "pattern": pattern }),
            Self::Number { range, .. } => json!({
                "type": "integer", "minimum": range.start(), "maximum": range.end(),
            }),
            Self::Time(_) => json!({ "type": "string", "pattern": "^[0-9]+ *(ms|s|m|h|d)$" }),
            Self::Size(_) => json!({
                "type": "string", "pattern": "^[0-9]+ *(B|kB|MB|GB|KiB|MiB|GiB)$",
            }),
            Self::Words(words) => json!({ "type": "string", "enum": words }),
            Self::List { item, least } => json!({
                "type": "array", "items": item.schema(), "minItems": least,
            }),
            Self::Any(shapes) => {
                let schemas: Vec<Value> = shapes.iter().map(Self::schema).collect();
                json!({ "anyOf": schemas })
            }
        }
    }

    /// What it is in words, `a duration, 1s to 30d`.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Boolean => "true or false".to_owned(),
            Self::Text { what, .. } => (*what).to_owned(),
            Self::Number { unit, .. } => format!("{unit}{}", self.in_range()),
            Self::Time(_) => format!("a duration{}", self.in_range()),
            Self::Size(_) => format!("a size{}", self.in_range()),
            Self::Words(words) => quoted(words),
            Self::List { item, .. } => format!("a list; each item is {}", item.words()),
            Self::Any(shapes) => {
                let words: Vec<String> = shapes.iter().map(Self::words).collect();
                words.join(", or ")
            }
        }
    }

    fn in_range(&self) -> String {
        self.range()
            .map_or_else(String::new, |(least, most)| format!(", {least} to {most}"))
    }

    /// The least and the most, as they are written; `None` where there is no limit to speak of.
    pub(super) fn range(&self) -> Option<(String, String)> {
        match self {
            Self::Number { range, .. } if *range.end() < u64::from(u32::MAX) => {
                Some((range.start().to_string(), range.end().to_string()))
            }
            Self::Time(range) => Some((
                duration::written(*range.start()),
                duration::written(*range.end()),
            )),
            Self::Size(range) => Some((size::written(*range.start()), size::written(*range.end()))),
            Self::Any(shapes) => shapes.iter().find_map(Self::range),
            _ => None,
        }
    }
}
