//! How a value is written in the file: reads it, says why it may be refused, writes it, and describes
//! it. The tables of keys put their syntaxes together from these.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::shape::Shape;
use super::value::{Complaint, a_type, complain, read_size, text};
use super::{duration, range, size};

/// What is wrong with a value, or with an item of a list.
#[derive(Debug)]
pub(super) struct Wrong {
    /// Which item, from 0; `None` where it is the value as a whole.
    pub(super) item: Option<usize>,
    /// Where that is.
    pub(super) span: Range<usize>,
    /// What is said about it.
    pub(super) complaint: Complaint,
}

impl Wrong {
    /// A value that is wrong as a whole.
    fn whole(raw: &Spanned<DeValue<'_>>, complaint: Complaint) -> Vec<Self> {
        vec![Self {
            item: None,
            span: raw.span(),
            complaint,
        }]
    }
}

type Read<T> = dyn Fn(&Spanned<DeValue<'_>>) -> Result<T, Vec<Wrong>>;

/// A way to write a value.
pub(super) struct Syntax<T> {
    read: Box<Read<T>>,
    written: Box<dyn Fn(&T) -> toml::Value>,
    shape: Shape,
}

/// A value that is no list.
pub(super) fn scalar<T, V: Into<toml::Value>>(
    shape: Shape,
    read: impl Fn(&DeValue<'_>) -> Result<T, Complaint> + 'static,
    written: impl Fn(&T) -> V + 'static,
) -> Syntax<T> {
    Syntax {
        read: Box::new(move |raw| read(raw.get_ref()).map_err(|found| Wrong::whole(raw, found))),
        written: Box::new(move |value| written(value).into()),
        shape,
    }
}

/// A value that is read from a text; `hint` is for what is none.
pub(super) fn parsed<T, V: Into<toml::Value>>(
    shape: Shape,
    hint: &'static str,
    parse: impl Fn(&str) -> Result<T, Complaint> + 'static,
    written: impl Fn(&T) -> V + 'static,
) -> Syntax<T> {
    scalar(shape, move |raw| parse(text(raw, hint)?), written)
}

/// A duration.
pub(super) fn time(range: RangeInclusive<Duration>) -> Syntax<Duration> {
    const HINT: &str =
        "write a whole number and a unit, ms, s, m, h or d, in quotes, such as \"30s\"";
    let shape = Shape::Time(range.clone());
    let read = |raw: &DeValue<'_>| {
        if raw.is_integer() {
            return complain("has no unit", HINT);
        }
        duration::parse(text(raw, HINT)?).map_or_else(|| complain("is not a duration", HINT), Ok)
    };
    scalar(shape.clone(), read, |time| duration::written(*time)).checked(shape, move |time| {
        if range.contains(time) {
            return Ok(());
        }
        in_quotes(
            &duration::written(*range.start()),
            &duration::written(*range.end()),
        )
    })
}

/// Out of range, where the limits are texts.
fn in_quotes(least: &str, most: &str) -> Result<(), Complaint> {
    range::out_of(format!("\"{least}\""), format!("\"{most}\""))
}

/// A size in bytes.
pub(super) fn bytes(range: RangeInclusive<u64>) -> Syntax<u64> {
    let shape = Shape::Size(range.clone());
    scalar(shape.clone(), read_size, |bytes| size::written(*bytes)).checked(shape, move |bytes| {
        if range.contains(bytes) {
            return Ok(());
        }
        in_quotes(&size::written(*range.start()), &size::written(*range.end()))
    })
}

/// A list; `hint` is for what is none.
pub(super) fn list<T: 'static>(hint: &'static str, item: Syntax<T>) -> Syntax<Vec<T>> {
    let shape = item.shape.clone().list();
    list_of(hint, item, shape, false)
}

/// As [`list`], or one item without brackets.
pub(super) fn one_or_list<T: 'static>(hint: &'static str, item: Syntax<T>) -> Syntax<Vec<T>> {
    let shape = Shape::Any(vec![item.shape.clone(), item.shape.clone().list()]);
    list_of(hint, item, shape, true)
}

fn list_of<T: 'static>(
    hint: &'static str,
    item: Syntax<T>,
    shape: Shape,
    or_one: bool,
) -> Syntax<Vec<T>> {
    let Syntax { read, written, .. } = item;
    Syntax {
        read: Box::new(move |raw| match raw.get_ref().as_array() {
            Some(items) => read_items(items, &read),
            None if or_one => Ok(vec![read(raw)?]),
            None => {
                let why = format!("is {}, not a list", a_type(raw.get_ref()));
                let hint = hint.to_owned();
                Err(Wrong::whole(raw, Complaint { why, hint }))
            }
        }),
        written: Box::new(move |items| toml::Value::Array(items.iter().map(&written).collect())),
        shape,
    }
}

/// The items, or everything that is wrong with any of them.
fn read_items<T>(items: &[Spanned<DeValue<'_>>], read: &Read<T>) -> Result<Vec<T>, Vec<Wrong>> {
    let mut values = Vec::new();
    let mut wrongs = Vec::new();
    for (at, item) in items.iter().enumerate() {
        match read(item) {
            Ok(value) => values.push(value),
            Err(found) => wrongs.extend(found.into_iter().map(|wrong| Wrong {
                item: Some(at),
                ..wrong
            })),
        }
    }
    if wrongs.is_empty() {
        return Ok(values);
    }
    Err(wrongs)
}

impl<T: 'static> Syntax<T> {
    /// Reads a value, or says everything that is wrong with it.
    pub(super) fn read(&self, raw: &Spanned<DeValue<'_>>) -> Result<T, Vec<Wrong>> {
        (self.read)(raw)
    }

    /// Writes a value as [`Syntax::read`] takes it.
    pub(super) fn written(&self, value: &T) -> toml::Value {
        (self.written)(value)
    }

    /// What a value may look like.
    pub(super) const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What else is refused of it; `shape` is what is left.
    pub(super) fn checked(
        self,
        shape: Shape,
        check: impl Fn(&T) -> Result<(), Complaint> + 'static,
    ) -> Self {
        Self {
            read: Box::new(move |raw| {
                let value = (self.read)(raw)?;
                match check(&value) {
                    Ok(()) => Ok(value),
                    Err(found) => Err(Wrong::whole(raw, found)),
                }
            }),
            shape,
            ..self
        }
    }

    /// What is said of a value of another type than this one, which is named as by [`a_type`].
    pub(super) fn of_type(
        self,
        name: &'static str,
        complaint: impl Fn() -> Complaint + 'static,
    ) -> Self {
        Self {
            read: Box::new(move |raw| {
                if a_type(raw.get_ref()) == name {
                    return (self.read)(raw);
                }
                Err(Wrong::whole(raw, complaint()))
            }),
            ..self
        }
    }

    /// A value, or a word for none.
    pub(super) fn or_word(self, word: &'static str) -> Syntax<Option<T>> {
        let Self {
            read,
            written,
            shape,
        } = self;
        Syntax {
            read: Box::new(move |raw| match raw.get_ref().as_str() {
                Some(text) if text == word => Ok(None),
                _ => read(raw).map(Some),
            }),
            written: Box::new(move |value| value.as_ref().map_or_else(|| word.into(), &written)),
            shape: Shape::Any(vec![shape, Shape::Words(vec![word])]),
        }
    }

    /// A value, or a list that `made` makes one; `of` is the list of such a value.
    pub(super) fn or_list<I: 'static>(
        self,
        list: Syntax<Vec<I>>,
        made: fn(Vec<I>) -> T,
        of: fn(&T) -> Option<&Vec<I>>,
    ) -> Self {
        let shape = Shape::Any(vec![self.shape, list.shape]);
        let (read, written) = (self.read, self.written);
        Self {
            read: Box::new(move |raw| match raw.get_ref() {
                DeValue::Array(_) => (list.read)(raw).map(made),
                _ => read(raw),
            }),
            written: Box::new(move |value| of(value).map_or_else(|| written(value), &list.written)),
            shape,
        }
    }
}

impl<T: 'static> Syntax<Vec<T>> {
    /// At least one item: why an empty list is refused, and the hint.
    pub(super) fn filled(self, why: &'static str, hint: &'static str) -> Self {
        let shape = self.shape.clone().filled();
        self.checked(shape, move |items| match items.as_slice() {
            [] => complain(why, hint),
            _ => Ok(()),
        })
    }

    /// One item is written without brackets.
    pub(super) fn one_alone(self) -> Self {
        let written = self.written;
        Self {
            written: Box::new(move |items| match written(items) {
                toml::Value::Array(mut items) if items.len() == 1 => items.remove(0),
                items => items,
            }),
            ..self
        }
    }
}
