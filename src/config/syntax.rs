//! How a value is written in the file: reads it, says why it may be refused, writes it, and describes
//! it. The syntaxes of the key tables are put together from these.

use std::marker::PhantomData;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::shape::Shape;
use super::value::{Complaint, Number, Value, a_type, complain, read_size, text};
use super::{range, size};

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
    pub(super) fn whole(
        raw: &Spanned<DeValue<'_>>,
        why: impl Into<String>,
        hint: impl Into<String>,
    ) -> Vec<Self> {
        Self::of(
            raw,
            Complaint {
                why: why.into(),
                hint: hint.into(),
            },
        )
    }

    fn of(raw: &Spanned<DeValue<'_>>, complaint: Complaint) -> Vec<Self> {
        vec![Self {
            item: None,
            span: raw.span(),
            complaint,
        }]
    }
}

/// A way to write a value.
pub(super) trait Syntax {
    /// The value that is read.
    type Value;

    /// Reads it, or says everything that is wrong with it.
    fn read(&self, raw: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<Wrong>>;

    /// Writes it as [`Syntax::read`] takes it.
    fn written(&self, value: &Self::Value) -> toml::Value;

    /// What it may look like.
    fn shape(&self) -> Shape;
}

/// See [`scalar`].
struct Scalar<T, R> {
    read: R,
    written: fn(&T) -> toml::Value,
    shape: Shape,
    value: PhantomData<T>,
}

impl<T, R: Fn(&DeValue<'_>) -> Result<T, Complaint>> Syntax for Scalar<T, R> {
    type Value = T;

    fn read(&self, raw: &Spanned<DeValue<'_>>) -> Result<T, Vec<Wrong>> {
        (self.read)(raw.get_ref()).map_err(|complaint| Wrong::of(raw, complaint))
    }

    fn written(&self, value: &T) -> toml::Value {
        (self.written)(value)
    }

    fn shape(&self) -> Shape {
        self.shape.clone()
    }
}

/// A value that is no list.
pub(super) fn scalar<T>(
    shape: Shape,
    read: impl Fn(&DeValue<'_>) -> Result<T, Complaint>,
    written: fn(&T) -> toml::Value,
) -> impl Syntax<Value = T> {
    Scalar {
        read,
        written,
        shape,
        value: PhantomData,
    }
}

/// A value of a type that has one way to be written.
pub(super) fn value<T: Value>() -> impl Syntax<Value = T> {
    scalar(T::shape(), T::read, T::written)
}

/// As [`value`], where `check` may refuse it.
pub(super) fn checked<T: Value>(
    shape: Shape,
    check: impl Fn(&T) -> Result<(), Complaint>,
) -> impl Syntax<Value = T> {
    let read = move |raw: &DeValue<'_>| {
        let value = T::read(raw)?;
        check(&value).map(|()| value)
    };
    scalar(shape, read, T::written)
}

/// A whole number, with the unit that it counts.
pub(super) fn number<T: Number>(
    range: RangeInclusive<u64>,
    unit: &'static str,
) -> impl Syntax<Value = T> {
    let shape = Shape::Number {
        range: range.clone(),
        unit,
    };
    checked(shape, move |number: &T| {
        range::number(range.clone())(&number.number())
    })
}

/// A duration.
pub(super) fn time(range: RangeInclusive<Duration>) -> impl Syntax<Value = Duration> {
    checked(Shape::Time(range.clone()), move |time| {
        range::time(range.clone())(time)
    })
}

/// A size in bytes.
pub(super) fn bytes(range: RangeInclusive<u64>) -> impl Syntax<Value = u64> {
    let shape = Shape::Size(range.clone());
    let read = move |raw: &DeValue<'_>| {
        let bytes = read_size(raw)?;
        if range.contains(&bytes) {
            return Ok(bytes);
        }
        let (least, most) = (size::written(*range.start()), size::written(*range.end()));
        complain(
            "is out of range",
            format!("write \"{least}\" to \"{most}\""),
        )
    };
    scalar(shape, read, |bytes| {
        toml::Value::String(size::written(*bytes))
    })
}

/// See [`or_word`].
struct OrWord<S> {
    syntax: S,
    word: &'static str,
}

impl<S: Syntax> Syntax for OrWord<S> {
    type Value = Option<S::Value>;

    fn read(&self, raw: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<Wrong>> {
        if raw.get_ref().as_str() == Some(self.word) {
            return Ok(None);
        }
        self.syntax.read(raw).map(Some)
    }

    fn written(&self, value: &Self::Value) -> toml::Value {
        value.as_ref().map_or_else(
            || toml::Value::String(self.word.to_owned()),
            |value| self.syntax.written(value),
        )
    }

    fn shape(&self) -> Shape {
        self.syntax.shape().or(self.word)
    }
}

/// A value, or a word for none.
pub(super) fn or_word<S: Syntax>(
    word: &'static str,
    syntax: S,
) -> impl Syntax<Value = Option<S::Value>> {
    OrWord { syntax, word }
}

/// See [`list`].
pub(super) struct List<S> {
    hint: &'static str,
    item: S,
    /// What is said of an empty one.
    empty: Option<(&'static str, &'static str)>,
    /// Whether one item may stand there without a list.
    one: bool,
    /// Whether a list of one is written without brackets.
    alone: bool,
}

/// A list; `hint` is for what is none.
pub(super) const fn list<S: Syntax>(hint: &'static str, item: S) -> List<S> {
    List {
        hint,
        item,
        empty: None,
        one: false,
        alone: false,
    }
}

/// As [`list`], or one item without brackets.
pub(super) const fn one_or_list<S: Syntax>(hint: &'static str, item: S) -> List<S> {
    List {
        hint,
        item,
        empty: None,
        one: true,
        alone: false,
    }
}

impl<S: Syntax> List<S> {
    /// At least one item: why an empty list is refused, and the hint.
    pub(super) fn filled(self, why: &'static str, hint: &'static str) -> Self {
        Self {
            empty: Some((why, hint)),
            ..self
        }
    }

    /// One item is written without brackets.
    pub(super) fn one_alone(self) -> Self {
        Self {
            alone: true,
            ..self
        }
    }
}

impl<S: Syntax> Syntax for List<S> {
    type Value = Vec<S::Value>;

    fn read(&self, raw: &Spanned<DeValue<'_>>) -> Result<Self::Value, Vec<Wrong>> {
        let Some(items) = raw.get_ref().as_array() else {
            if self.one {
                return Ok(vec![self.item.read(raw)?]);
            }
            let why = format!("is {}, not a list", a_type(raw.get_ref()));
            return Err(Wrong::whole(raw, why, self.hint));
        };
        let mut values = Vec::new();
        let mut wrongs = Vec::new();
        for (at, item) in items.iter().enumerate() {
            match self.item.read(item) {
                Ok(value) => values.push(value),
                Err(wrong) => wrongs.extend(wrong.into_iter().map(|wrong| Wrong {
                    item: Some(at),
                    ..wrong
                })),
            }
        }
        if !wrongs.is_empty() {
            return Err(wrongs);
        }
        match self.empty {
            Some((why, hint)) if values.is_empty() => Err(Wrong::whole(raw, why, hint)),
            _ => Ok(values),
        }
    }

    fn written(&self, value: &Self::Value) -> toml::Value {
        if let (true, [one]) = (self.alone, value.as_slice()) {
            return self.item.written(one);
        }
        let items = value.iter().map(|item| self.item.written(item));
        toml::Value::Array(items.collect())
    }

    fn shape(&self) -> Shape {
        let list = Shape::List {
            item: Box::new(self.item.shape()),
            least: usize::from(self.empty.is_some()),
        };
        if self.one {
            return Shape::Any(vec![self.item.shape(), list]);
        }
        list
    }
}

/// An item of a list, or a value, that is read from a text.
pub(super) fn parsed<T>(
    shape: Shape,
    hint: &'static str,
    parse: impl Fn(&str) -> Result<T, Complaint>,
    written: fn(&T) -> toml::Value,
) -> impl Syntax<Value = T> {
    scalar(shape, move |raw| parse(text(raw, hint)?), written)
}
