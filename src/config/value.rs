//! Types of values: how each is read from TOML, why it may be refused, and how it is written.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use crate::core::change::Kind;
use crate::core::mapping::{Encoding, Pages};
use crate::origin::{Compare, FollowSymlinks, WatchMode};

use super::model::{Group, Percent};
use super::shape::Shape;
use super::suggestion::nearest;
use super::{duration, size};

/// Why a value is refused, and what to write instead.
#[derive(Clone, Debug)]
pub(super) struct Complaint {
    /// The end of a sentence that begins with the value.
    pub(super) why: String,
    /// What to do.
    pub(super) hint: String,
}

/// Makes a [`Complaint`].
pub(super) fn complain<T>(why: impl Into<String>, hint: impl Into<String>) -> Result<T, Complaint> {
    Err(Complaint {
        why: why.into(),
        hint: hint.into(),
    })
}

/// A type of value.
pub(super) trait Value: Sized {
    /// Reads it.
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint>;

    /// Writes it as [`Value::read`] takes it.
    fn written(&self) -> toml::Value;

    /// What it may look like.
    fn shape() -> Shape;
}

/// A whole number.
pub(super) trait Number: Value {
    /// Itself.
    fn number(&self) -> u64;
}

/// The text of a string value.
pub(super) fn text<'v>(value: &'v DeValue<'_>, hint: &str) -> Result<&'v str, Complaint> {
    value.as_str().map_or_else(
        || complain(format!("is {}, not a string", a_type(value)), hint),
        Ok,
    )
}

/// `an integer`, `a table`: what a value is.
pub(super) fn a_type(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

impl Value for u64 {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        let Some(integer) = value.as_integer() else {
            return complain("is not a whole number", "write a number without quotes");
        };
        match Self::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Ok(number),
            Err(_) if integer.as_str().starts_with('-') => {
                complain("is below zero", "write a number that is not negative")
            }
            Err(_) => complain("is too large", "write a smaller number"),
        }
    }

    fn written(&self) -> toml::Value {
        toml::Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
    }

    fn shape() -> Shape {
        Shape::Number {
            range: 0..=u64::MAX,
            unit: "",
        }
    }
}

impl Value for usize {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        Self::try_from(u64::read(value)?).or_else(|_| complain("is too large", "write less"))
    }

    fn written(&self) -> toml::Value {
        toml::Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
    }

    fn shape() -> Shape {
        u64::shape()
    }
}

impl Value for NonZeroU32 {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        let number = u64::read(value)?;
        let Ok(number) = u32::try_from(number) else {
            return complain("is too large", "write a smaller number");
        };
        Self::new(number).map_or_else(
            || complain("would let nothing through", "write at least 1"),
            Ok,
        )
    }

    fn written(&self) -> toml::Value {
        toml::Value::Integer(self.get().into())
    }

    fn shape() -> Shape {
        u64::shape()
    }
}

impl Number for usize {
    fn number(&self) -> u64 {
        u64::try_from(*self).unwrap_or(u64::MAX)
    }
}

impl Number for NonZeroU32 {
    fn number(&self) -> u64 {
        self.get().into()
    }
}

impl Value for bool {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        value.as_bool().map_or_else(
            || complain("is neither true nor false", "write true or false"),
            Ok,
        )
    }

    fn written(&self) -> toml::Value {
        (*self).into()
    }

    fn shape() -> Shape {
        Shape::Boolean
    }
}

impl Value for Duration {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        const HINT: &str =
            "write a whole number and a unit, ms, s, m, h or d, in quotes, such as \"30s\"";
        if matches!(value, DeValue::Integer(_)) {
            return complain("has no unit", HINT);
        }
        duration::parse(text(value, HINT)?).map_or_else(|| complain("is not a duration", HINT), Ok)
    }

    fn written(&self) -> toml::Value {
        toml::Value::String(duration::written(*self))
    }

    fn shape() -> Shape {
        Shape::Time(Self::ZERO..=Self::MAX)
    }
}

/// Reads a size in bytes.
pub(super) fn read_size(value: &DeValue<'_>) -> Result<u64, Complaint> {
    const HINT: &str = "write a whole number and a unit, B, kB, MB, GB, KiB, MiB or GiB, in quotes, such as \"5 MiB\"";
    if matches!(value, DeValue::Integer(_)) {
        return complain("has no unit", HINT);
    }
    size::parse(text(value, HINT)?).map_or_else(|| complain("is not a size", HINT), Ok)
}

impl Value for String {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        let text = text(value, "write it in quotes")?;
        if text.is_empty() {
            return complain("is empty", "write something, or remove the line");
        }
        if text.chars().any(char::is_control) {
            return complain("holds a control character", "remove it");
        }
        Ok(text.to_owned())
    }

    fn written(&self) -> toml::Value {
        toml::Value::String(self.clone())
    }

    fn shape() -> Shape {
        Shape::pattern("a text", "^[^\\u0000-\\u001f\\u007f]+$")
    }
}

impl Value for PathBuf {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        const HINT: &str = "write the whole path, from / on, in quotes";
        let path = text(value, HINT)?;
        if path.contains('\0') {
            return complain("holds a zero byte", HINT);
        }
        if !Path::new(path).is_absolute() {
            return complain("is not an absolute path", HINT);
        }
        Ok(Self::from(path))
    }

    fn written(&self) -> toml::Value {
        toml::Value::String(self.display().to_string())
    }

    fn shape() -> Shape {
        Shape::pattern("an absolute path", "^/")
    }
}

impl Value for Percent {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        const HINT: &str = "write a whole number from 0 to 100 and %, in quotes, such as \"50%\"";
        let text = text(value, HINT)?;
        text.strip_suffix('%')
            .filter(|number| number.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|number| number.trim_end().parse().ok())
            .and_then(Self::new)
            .map_or_else(|| complain("is not a percentage", HINT), Ok)
    }

    fn written(&self) -> toml::Value {
        toml::Value::String(format!("{}%", self.get()))
    }

    fn shape() -> Shape {
        Shape::pattern("0% to 100%", "^0*(100|[0-9]?[0-9])%$")
    }
}

impl Value for Group {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        const HINT: &str = "write the name or the number of the group that the web server runs as, such as \"www-data\" or \"nginx\"; `id -g -n USER` tells it";
        let name = match value {
            DeValue::Integer(_) => u64::read(value)?.to_string(),
            _ => text(value, HINT)?.to_owned(),
        };
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
            return name.parse().map_or_else(
                |_| complain("is too large for the number of a group", HINT),
                |id| {
                    Ok(Self {
                        name: name.clone(),
                        id,
                    })
                },
            );
        }
        match nix::unistd::Group::from_name(&name) {
            Ok(Some(group)) => Ok(Self {
                name,
                id: group.gid.as_raw(),
            }),
            Ok(None) => complain("is no group of this machine", HINT),
            Err(error) => complain(
                format!("can't be looked up among the groups of this machine ({error})"),
                "write its number",
            ),
        }
    }

    fn written(&self) -> toml::Value {
        toml::Value::String(self.name.clone())
    }

    fn shape() -> Shape {
        Shape::Any(vec![
            Shape::text("the name of a group"),
            Shape::Number {
                range: 0..=u64::from(u32::MAX),
                unit: "its number",
            },
        ])
    }
}

/// A value that is one of a few words.
pub(super) trait Words: Copy + PartialEq + 'static {
    /// Each word with what it stands for.
    const WORDS: &'static [(&'static str, Self)];
}

impl<T: Words> Value for T {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        word_of(value, T::WORDS.iter().copied())
    }

    fn written(&self) -> toml::Value {
        let word = T::WORDS.iter().find(|(_, value)| value == self);
        toml::Value::String(word.map_or_else(String::new, |(word, _)| (*word).to_owned()))
    }

    fn shape() -> Shape {
        Shape::Words(T::WORDS.iter().map(|(word, _)| *word).collect())
    }
}

/// What the one of these words that is written stands for.
pub(super) fn word_of<T>(
    value: &DeValue<'_>,
    words: impl Iterator<Item = (&'static str, T)> + Clone,
) -> Result<T, Complaint> {
    let names: Vec<&str> = words.clone().map(|(word, _)| word).collect();
    let one_of = format!("write one of {}", quoted(&names));
    let text = text(value, &one_of)?;
    let mut words = words;
    if let Some((_, meaning)) = words.find(|(word, _)| *word == text) {
        return Ok(meaning);
    }
    let hint = nearest(text, names.iter().copied()).map_or_else(
        || one_of.clone(),
        |word| format!("did you mean \"{word}\"? Else {one_of}"),
    );
    complain("is not a word that is known here", hint)
}

/// `"a", "b" or "c"`.
pub(super) fn quoted(words: &[&str]) -> String {
    let mut text = String::new();
    for (at, word) in words.iter().enumerate() {
        if at > 0 {
            text.push_str(if at + 1 == words.len() { " or " } else { ", " });
        }
        text.push('"');
        text.push_str(word);
        text.push('"');
    }
    text
}

impl Words for Pages {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("exact", Self::Exact),
        ("directory", Self::Directory),
        ("clean", Self::Clean),
    ];
}

impl Words for Encoding {
    const WORDS: &'static [(&'static str, Self)] =
        &[("canonical", Self::Canonical), ("both", Self::Both)];
}

impl Words for Compare {
    const WORDS: &'static [(&'static str, Self)] =
        &[("content", Self::Content), ("metadata", Self::Metadata)];
}

impl Words for WatchMode {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("poll", Self::Poll),
        ("off", Self::Off),
    ];
}

impl Words for FollowSymlinks {
    const WORDS: &'static [(&'static str, Self)] =
        &[("any", Self::Any), ("root", Self::Root), ("no", Self::No)];
}

/// Not [`Kind::Asked`]: no file is behind that.
impl Words for Kind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("new", Self::New),
        ("changed", Self::Changed),
        ("gone", Self::Gone),
    ];
}
