//! Types of values: how each is read from TOML, why it may be refused, and how it is written.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use crate::core::change::Kind;
use crate::core::mapping::{Encoding, Pages};
use crate::core::suggestion::nearest;
use crate::origin::{Compare, FollowSymlinks, WatchMode};

use super::model::{Group, Percent};
use super::shape::Shape;
use super::syntax::{Syntax, parsed, scalar};
use super::{range, size};

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

/// The numbers that keys have.
pub(super) trait Number: Sized + 'static {
    /// Makes it.
    fn of(number: u64) -> Result<Self, Complaint>;

    /// Itself.
    fn number(&self) -> u64;
}

impl Number for usize {
    fn of(number: u64) -> Result<Self, Complaint> {
        Self::try_from(number).or_else(|_| complain("is too large", "write less"))
    }

    fn number(&self) -> u64 {
        u64::try_from(*self).unwrap_or(u64::MAX)
    }
}

impl Number for NonZeroU32 {
    fn of(number: u64) -> Result<Self, Complaint> {
        let Ok(number) = u32::try_from(number) else {
            return complain("is too large", "write a smaller number");
        };
        Self::new(number).map_or_else(
            || complain("would let nothing through", "write at least 1"),
            Ok,
        )
    }

    fn number(&self) -> u64 {
        self.get().into()
    }
}

/// A whole number, with the unit that it counts.
pub(super) fn number<T: Number>(range: RangeInclusive<u64>, unit: &'static str) -> Syntax<T> {
    let shape = Shape::Number {
        range: range.clone(),
        unit,
    };
    let read = |raw: &DeValue<'_>| T::of(read_number(raw)?);
    scalar(shape.clone(), read, |value| {
        i64::try_from(value.number()).unwrap_or(i64::MAX)
    })
    .checked(shape, move |value| {
        if range.contains(&value.number()) {
            return Ok(());
        }
        range::out_of(range.start(), range.end())
    })
}

fn read_number(value: &DeValue<'_>) -> Result<u64, Complaint> {
    let Some(integer) = value.as_integer() else {
        return complain("is not a whole number", "write a number without quotes");
    };
    match u64::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(number) => Ok(number),
        Err(_) if integer.as_str().starts_with('-') => {
            complain("is below zero", "write a number that is not negative")
        }
        Err(_) => complain("is too large", "write a smaller number"),
    }
}

/// `true` or `false`.
pub(super) fn boolean() -> Syntax<bool> {
    let read = |raw: &DeValue<'_>| {
        raw.as_bool().map_or_else(
            || complain("is neither true nor false", "write true or false"),
            Ok,
        )
    };
    scalar(Shape::Boolean, read, |value| *value)
}

/// Reads a size in bytes.
pub(super) fn read_size(value: &DeValue<'_>) -> Result<u64, Complaint> {
    const HINT: &str = "write a whole number and a unit, B, kB, MB, GB, KiB, MiB or GiB, in quotes, such as \"5 MiB\"";
    if matches!(value, DeValue::Integer(_)) {
        return complain("has no unit", HINT);
    }
    size::parse(text(value, HINT)?).map_or_else(|| complain("is not a size", HINT), Ok)
}

/// A text that is not empty and can be shown.
pub(super) fn line() -> Syntax<String> {
    let shape = Shape::pattern("a text", "^[^\\u0000-\\u001f\\u007f]+$");
    let parse = |text: &str| {
        if text.is_empty() {
            return complain("is empty", "write something, or remove the line");
        }
        if text.chars().any(char::is_control) {
            return complain("holds a control character", "remove it");
        }
        Ok(text.to_owned())
    };
    parsed(shape, "write it in quotes", parse, String::clone)
}

/// What a path may look like.
pub(super) const PATH: Shape = Shape::pattern("an absolute path", "^/");

/// An absolute path.
pub(super) fn path() -> Syntax<PathBuf> {
    const HINT: &str = "write the whole path, from / on, in quotes";
    let parse = |path: &str| {
        if path.contains('\0') {
            return complain("holds a zero byte", HINT);
        }
        if !Path::new(path).is_absolute() {
            return complain("is not an absolute path", HINT);
        }
        Ok(PathBuf::from(path))
    };
    parsed(PATH, HINT, parse, |path| path.display().to_string())
}

/// A percentage.
pub(super) fn percent() -> Syntax<Percent> {
    const HINT: &str = "write a whole number from 0 to 100 and %, in quotes, such as \"50%\"";
    let shape = Shape::pattern("0% to 100%", "^0*(100|[0-9]?[0-9])%$");
    let parse = |text: &str| {
        text.strip_suffix('%')
            .filter(|number| number.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|number| number.trim_end().parse().ok())
            .and_then(Percent::new)
            .map_or_else(|| complain("is not a percentage", HINT), Ok)
    };
    parsed(shape, HINT, parse, |percent| format!("{}%", percent.get()))
}

/// A group of this machine, by name or number.
pub(super) fn group() -> Syntax<Group> {
    let shape = Shape::Any(vec![
        Shape::text("the name of a group"),
        Shape::Number {
            range: 0..=u64::from(u32::MAX),
            unit: "its number",
        },
    ]);
    scalar(shape, read_group, |group| group.name.clone())
}

fn read_group(value: &DeValue<'_>) -> Result<Group, Complaint> {
    const HINT: &str = "write the name or the number of the group that the web server runs as, such as \"www-data\" or \"nginx\"; `id -g -n USER` tells it";
    let name = match value {
        DeValue::Integer(_) => read_number(value)?.to_string(),
        _ => text(value, HINT)?.to_owned(),
    };
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        return name.parse().map_or_else(
            |_| complain("is too large for the number of a group", HINT),
            |id| {
                Ok(Group {
                    name: name.clone(),
                    id,
                })
            },
        );
    }
    match nix::unistd::Group::from_name(&name) {
        Ok(Some(group)) => Ok(Group {
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

/// A value that is one of a few words.
pub(super) trait Words: Copy + PartialEq + 'static {
    /// Each word with what it stands for.
    const WORDS: &'static [(&'static str, Self)];
}

/// One of the words of a type.
pub(super) fn words<T: Words>() -> Syntax<T> {
    word_of(T::WORDS.to_vec())
}

/// One of these words, each with what it stands for.
pub(super) fn word_of<T: Copy + PartialEq + 'static>(
    meanings: Vec<(&'static str, T)>,
) -> Syntax<T> {
    let shape = Shape::Words(meanings.iter().map(|(word, _)| *word).collect());
    let written = meanings.clone();
    let read = move |raw: &DeValue<'_>| read_word(raw, &meanings);
    scalar(shape, read, move |value: &T| {
        let word = written.iter().find(|(_, one)| one == value);
        word.map_or("", |(word, _)| *word)
    })
}

fn read_word<T: Copy>(value: &DeValue<'_>, meanings: &[(&'static str, T)]) -> Result<T, Complaint> {
    let words: Vec<&str> = meanings.iter().map(|(word, _)| *word).collect();
    let one_of = format!("write one of {}", quoted(&words));
    let text = text(value, &one_of)?;
    if let Some((_, value)) = meanings.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let hint = nearest(text, words.iter().copied()).map_or_else(
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
