//! JSON pointers (RFC 6901): reads the texts at one place of a JSON document, and keeps nothing of
//! the rest. Beyond the RFC, `*` stands for every element of a list.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::content::Bounded;
use super::content::Unreadable;
use super::content::printable;
use super::content::{refuse, unreadable};

/// The most texts that are kept of one place.
const MAX_TEXTS: usize = 1000;

/// Stands for every element of a list.
const EVERY: &str = "*";

/// Texts at a place, each once; `more` where they may not be all.
pub(in crate::webhook) type Texts = Bounded<String, MAX_TEXTS>;

/// Whether a place is in a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::webhook) enum There {
    /// It is not, or is `null`.
    #[default]
    No,
    /// In some elements of a list, and in others not.
    Partly,
    /// It is.
    Yes,
}

/// A place in a JSON document, `/post/current/slug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    text: String,
    segments: Vec<String>,
}

impl Pointer {
    /// Reads a pointer; `None` where it is not one, or deeper than 16 segments. The empty pointer,
    /// which is the whole document, counts as none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut segments = Vec::new();
        for segment in text.strip_prefix('/')?.split('/') {
            let mut unescaped = String::new();
            let mut rest = segment.chars();
            while let Some(c) = rest.next() {
                unescaped.push(match c {
                    '~' => match rest.next() {
                        Some('0') => '~',
                        Some('1') => '/',
                        _ => return None,
                    },
                    c => c,
                });
            }
            segments.push(unescaped);
        }
        (segments.len() <= 16).then(|| Self {
            text: text.to_owned(),
            segments,
        })
    }

    /// The pointer as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Calls `found` with the text at this place, or with each text of the list at this place. Returns
    /// whether the place is there.
    pub(in crate::webhook) fn each(
        &self,
        body: &[u8],
        mut found: impl FnMut(&str),
    ) -> Result<There, Unreadable> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let seed = At {
            segments: &self.segments,
            found: &mut found,
        };
        let there = seed
            .deserialize(&mut json)
            .and_then(|there| json.end().map(|()| there));
        there.map_err(|error| unreadable(&printable(&self.text), &error))
    }

    /// The one text at this place, or those of every element that `*` stands for.
    pub(in crate::webhook) fn texts(&self, body: &[u8]) -> Result<Texts, Unreadable> {
        let mut texts = BTreeSet::new();
        let mut several = false;
        let mut more = false;
        let there = self.each(body, |text| {
            several |= !texts.is_empty();
            if texts.len() < MAX_TEXTS {
                texts.insert(text.to_owned());
            } else {
                more |= !texts.contains(text);
            }
        })?;
        let every = self.segments.iter().any(|segment| segment == EVERY);
        let name = || printable(&self.text);
        match there {
            There::No => refuse(&name(), "is missing"),
            _ if !every && texts.is_empty() => refuse(&name(), "is missing"),
            _ if !every && several => refuse(
                &name(),
                "has to be one text, not a list; `*` in a pointer stands for every element of one",
            ),
            there => Ok(Texts {
                items: texts.into_iter().collect(),
                more: more || there == There::Partly,
            }),
        }
    }
}

/// What is left of a pointer, and what is called with the text there.
struct At<'p, F> {
    segments: &'p [String],
    found: &'p mut F,
}

impl<'de, F: FnMut(&str)> DeserializeSeed<'de> for At<'_, F> {
    type Value = There;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<There, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&str)> Visitor<'de> for At<'_, F> {
    type Value = There;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or a list of strings")
    }

    fn visit_unit<E>(self) -> Result<There, E> {
        Ok(There::No)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<There, E> {
        if self.segments.is_empty() {
            (self.found)(text);
            return Ok(There::Yes);
        }
        Ok(There::No)
    }

    /// Ids are numbers in many payloads.
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<There, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<There, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<There, E> {
        self.scalar("a boolean")
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<There, E> {
        self.scalar("a number with a fraction")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<There, A::Error> {
        let Some((wanted, below)) = self.segments.split_first() else {
            return Err(A::Error::custom(
                "invalid type: a map, expected a string, or a list of strings",
            ));
        };
        let mut seen = false;
        let mut there = There::No;
        while let Some(key) = map.next_key::<String>()? {
            if key != *wanted {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if std::mem::replace(&mut seen, true) {
                // Which of the two would the sender have meant?
                return Err(A::Error::custom("the name is there twice"));
            }
            there = map.next_value_seed(At {
                segments: below,
                found: self.found,
            })?;
        }
        Ok(there)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<There, A::Error> {
        let Some((wanted, below)) = self.segments.split_first() else {
            while list
                .next_element_seed(Item { found: self.found })?
                .is_some()
            {}
            return Ok(There::Yes);
        };
        if wanted == EVERY {
            let mut all = None;
            while let Some(found) = list.next_element_seed(At {
                segments: below,
                found: self.found,
            })? {
                let same = all.is_none_or(|all| all == found);
                all = Some(if same { found } else { There::Partly });
            }
            // An empty list says that there is nothing.
            return Ok(all.unwrap_or(There::Yes));
        }
        // `01` and `+1` are names, and no list has those.
        let index = wanted.parse::<usize>().ok();
        let index = index.filter(|index| index.to_string() == *wanted);
        let mut there = There::No;
        let mut at = 0_usize;
        loop {
            let more = if index == Some(at) {
                let found = list.next_element_seed(At {
                    segments: below,
                    found: self.found,
                })?;
                there = found.unwrap_or_default();
                found.is_some()
            } else {
                list.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                return Ok(there);
            }
            at += 1;
        }
    }
}

impl<F> At<'_, F> {
    /// Something that is neither text nor list nor map.
    fn scalar<E: serde::de::Error>(&self, what: &str) -> Result<There, E> {
        if self.segments.is_empty() {
            return Err(E::custom(format!(
                "invalid type: {what}, expected a string, or a list of strings"
            )));
        }
        Ok(There::No)
    }
}

/// One of the texts of a list.
struct Item<'p, F> {
    found: &'p mut F,
}

impl<'de, F: FnMut(&str)> DeserializeSeed<'de> for Item<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_str(self)
    }
}

impl<F: FnMut(&str)> Visitor<'_> for Item<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        (self.found)(text);
        Ok(())
    }
}
