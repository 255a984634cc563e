//! Pushes, as GitHub and those who follow its form describe them: whether the files that a push
//! lists are all that it changed. When in doubt they are not.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::branch::is_zero;
use super::content::unreadable;
use super::delivery::Unreadable;
use super::paths::Listed;
use super::reading::Ask;

/// The payload of a push; `R` is how its sender describes a repository.
#[derive(Deserialize)]
pub(super) struct Push<'b, R> {
    #[serde(rename = "ref")]
    pub(super) reference: String,
    pub(super) before: String,
    pub(super) after: String,
    #[serde(default)]
    pub(super) created: Option<bool>,
    #[serde(default)]
    pub(super) deleted: Option<bool>,
    #[serde(default)]
    pub(super) forced: Option<bool>,
    #[serde(default, alias = "total_commits_count")]
    pub(super) total_commits: Option<usize>,
    #[serde(alias = "project")]
    pub(super) repository: R,
    /// Read only where the files are wanted.
    #[serde(borrow, default)]
    commits: Option<&'b RawValue>,
}

/// When the files of a push are trusted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files {
    /// Whether it drops commits; `None` where nobody knows.
    pub(super) forced: Option<bool>,
    /// Whether it makes its branch; `None` where that is not said.
    pub(super) created: Option<bool>,
    /// How many commits there have to be, where that is said.
    pub(super) commits: Option<usize>,
    /// The most commits that are never cut.
    pub(super) most_commits: usize,
    /// The most files of one commit that are never cut.
    pub(super) most_files: usize,
}

impl<R> Push<'_, R> {
    /// Whether it removes its branch or tag.
    pub(super) fn is_deletion(&self) -> bool {
        is_zero(&self.after)
    }

    /// The files, if the push lists all that it changed.
    pub(super) fn files(&self, rule: &Files) -> Result<Ask, Unreadable> {
        let doubt = if rule.created == Some(true) || is_zero(&self.before) {
            Some("the branch is new: what was there before is not known")
        } else if rule.forced == Some(true) {
            Some("the push was forced: the files of dropped commits are not listed")
        } else if rule.forced.is_none() {
            Some("the sender does not say whether the push was forced")
        } else {
            None
        };
        if let Some(why) = doubt {
            return Ok(Ask::Unlisted(why));
        }
        let Some(raw) = self.commits else {
            return Ok(Ask::Unlisted("it lists no commits"));
        };
        let mut listed = Listed::default();
        let seed = Commits {
            rule,
            listed: &mut listed,
        };
        let mut json = serde_json::Deserializer::from_str(raw.get());
        let count = seed
            .deserialize(&mut json)
            .map_err(|error| unreadable("commits", &error))?;
        if count == 0 {
            listed.cut("it lists no commits");
        }
        if count > rule.most_commits {
            listed.cut("it has more commits than are listed");
        }
        if rule.commits.is_some_and(|told| told != count) {
            listed.cut("it has more commits than are listed");
        }
        Ok(Ask::listed(listed))
    }
}

/// The list of commits; its value is how many there are.
struct Commits<'l> {
    rule: &'l Files,
    listed: &'l mut Listed,
}

impl<'de> DeserializeSeed<'de> for Commits<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<usize, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Commits<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of commits")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some(files) = list.next_element_seed(Commit {
            listed: &mut *self.listed,
        })? {
            count += 1;
            match files {
                None => self.listed.cut("a commit does not list its files"),
                Some(files) if files > self.rule.most_files => {
                    self.listed
                        .cut("a commit changes more files than are listed");
                }
                Some(_) => {}
            }
        }
        Ok(count)
    }
}

/// One commit; its value is how many files it lists, `None` where a list is missing.
struct Commit<'l> {
    listed: &'l mut Listed,
}

impl<'de> DeserializeSeed<'de> for Commit<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Commit<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a commit")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<usize>, A::Error> {
        const LISTS: [&str; 3] = ["added", "modified", "removed"];
        let mut seen = [false; LISTS.len()];
        let mut files = 0;
        while let Some(key) = map.next_key::<String>()? {
            let Some(at) = LISTS.iter().position(|list| *list == key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let paths = map.next_value_seed(Paths {
                listed: &mut *self.listed,
            })?;
            if let Some(paths) = paths {
                seen[at] = true;
                files += paths;
            }
        }
        Ok(seen.iter().all(|seen| *seen).then_some(files))
    }
}

/// A list of paths, or `null`; its value is how many there are.
struct Paths<'l> {
    listed: &'l mut Listed,
}

impl<'de> DeserializeSeed<'de> for Paths<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Paths<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of paths")
    }

    fn visit_unit<E>(self) -> Result<Option<usize>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<usize>, A::Error> {
        let mut count = 0;
        while let Some(path) = list.next_element::<std::borrow::Cow<'de, str>>()? {
            count += 1;
            self.listed.add(&path);
        }
        Ok(Some(count))
    }
}
