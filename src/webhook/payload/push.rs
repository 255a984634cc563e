//! Pushes, as GitHub and the forges that follow its form describe them: whether the files that a push
//! lists are all that it changed.
//!
//! The list is believed if the sender says that it is complete: there is an old and a new commit; the
//! push did not create, delete or force a branch; every commit has its three lists; there are as many
//! commits as the sender counts, below its limits; and no change of `.gitmodules`. For GitHub, no commit
//! may be without files, since its lists are empty where it could not make them in time. For GitLab, no
//! file may be added, since a renamed file is listed by its new name only. GitLab, Gitea and Forgejo don't
//! say whether a push was forced, so that takes `assume_no_force_push`. In doubt it is a scan, or `all`
//! where there is no origin, with the reason.
//!
//! A listed path that is a directory of an origin, as the index has it, is a scan too: forges list a
//! submodule that moved by the path of its directory. Without an origin that can't be known.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::branch::{Ref, is_zero};
use super::content::Unreadable;
use super::content::unreadable;
use super::paths::Listed;
use super::reading::Ask;

/// The file that says where a repository has its submodules.
const SUBMODULES: &str = ".gitmodules";

/// A repository, as far as it matters.
#[derive(Deserialize)]
pub(in crate::webhook) struct Repository {
    #[serde(default)]
    pub(in crate::webhook) full_name: Option<String>,
    /// The address of its page.
    #[serde(default)]
    html_url: Option<String>,
    /// GitHub's time of the push.
    #[serde(default)]
    pub(in crate::webhook) pushed_at: Option<IgnoredAny>,
}

impl Repository {
    /// Its name and its address.
    pub(in crate::webhook) fn names(self) -> Vec<String> {
        self.full_name.into_iter().chain(self.html_url).collect()
    }
}

/// Whether `head` is another repository than `base`.
pub(in crate::webhook) fn is_foreign(head: Option<&Repository>, base: Option<&Repository>) -> bool {
    let name = |one: Option<&Repository>| one.and_then(|one| one.full_name.clone());
    name(head).is_some_and(|head| name(base).is_some_and(|base| head != base))
}

/// What GitLab calls a repository.
#[derive(Deserialize)]
pub(in crate::webhook) struct Project {
    #[serde(default)]
    path_with_namespace: Option<String>,
    /// The address of its page.
    #[serde(default)]
    web_url: Option<String>,
}

impl Project {
    /// Its name and its address.
    pub(in crate::webhook) fn names(self) -> Vec<String> {
        let name = self.path_with_namespace;
        name.into_iter().chain(self.web_url).collect()
    }
}

/// The payload of a push.
#[derive(Deserialize)]
pub(in crate::webhook) struct Push<'b> {
    #[serde(borrow, rename = "ref")]
    pub(in crate::webhook) reference: Cow<'b, str>,
    #[serde(borrow)]
    pub(in crate::webhook) before: Cow<'b, str>,
    #[serde(borrow)]
    pub(in crate::webhook) after: Cow<'b, str>,
    #[serde(default)]
    pub(in crate::webhook) created: Option<bool>,
    #[serde(default)]
    pub(in crate::webhook) deleted: Option<bool>,
    #[serde(default)]
    pub(in crate::webhook) forced: Option<bool>,
    #[serde(default)]
    total_commits: Option<usize>,
    /// GitLab's name for it.
    #[serde(default)]
    total_commits_count: Option<usize>,
    #[serde(default)]
    pub(in crate::webhook) repository: Option<Repository>,
    #[serde(default)]
    pub(in crate::webhook) project: Option<Project>,
    /// Read only where the files are wanted.
    #[serde(borrow, default)]
    commits: Option<&'b RawValue>,
}

/// What the lists of a commit may hide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::webhook) enum Hides {
    /// Nothing.
    Nothing,
    /// All files, where they were too many to be found in time: then the lists are empty.
    All,
    /// The old names of renamed files: their new ones are listed as added.
    OldNames,
}

/// When the files of a push are trusted.
#[derive(Clone, Copy, Debug)]
pub(in crate::webhook) struct Files {
    /// Whether the push must say that it drops no commits; otherwise the configuration says so.
    pub(in crate::webhook) says_forced: bool,
    /// Whether the push must say how many commits it has.
    pub(in crate::webhook) says_count: bool,
    /// The most commits that are never cut.
    pub(in crate::webhook) listed_commits: usize,
    /// The most files of one commit that are never cut.
    pub(in crate::webhook) listed_paths: usize,
    /// What its lists may hide although they are there.
    pub(in crate::webhook) hides: Hides,
}

impl Push<'_> {
    /// Whether it removes its branch or tag.
    pub(super) fn is_deletion(&self) -> bool {
        self.deleted == Some(true) || is_zero(&self.after)
    }

    /// What it asks for: nothing where it removes something; its files where they are `wanted`.
    pub(in crate::webhook) fn ask(&self, wanted: bool, rule: &Files) -> Result<Ask, Unreadable> {
        if self.is_deletion() {
            return Ok(Ask::Nothing("a branch or tag was deleted".into()));
        }
        if !wanted {
            return Ok(Ask::Unlisted("not asked for"));
        }
        self.files(rule)
    }

    /// The files, if the push lists all that it changed.
    fn files(&self, rule: &Files) -> Result<Ask, Unreadable> {
        let doubt = if Ref::parse(&self.reference) == Ref::Other {
            Some("it is not a push to a branch")
        } else if self.created == Some(true) || is_zero(&self.before) {
            Some("the branch is new: what was there before is not known")
        } else if self.forced == Some(true) {
            Some("the push was forced: the files of dropped commits are not listed")
        } else if rule.says_forced && self.forced.is_none() {
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
        let stated = self.total_commits.or(self.total_commits_count);
        let counted = !rule.says_count || stated == Some(count);
        if count > rule.listed_commits || !counted {
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
                Some(Counted { files: 0, .. }) if self.rule.hides == Hides::All => {
                    self.listed
                        .cut("a commit lists no files: it may be one that has too many");
                }
                Some(Counted { added, .. }) if added > 0 && self.rule.hides == Hides::OldNames => {
                    self.listed.cut(
                        "a commit adds files: one of them may be a renamed one, whose old name is not listed",
                    );
                }
                Some(Counted { files, .. }) if files > self.rule.listed_paths => {
                    self.listed
                        .cut("a commit changes more files than are listed");
                }
                Some(_) => {}
            }
        }
        Ok(count)
    }
}

/// How many files a commit lists.
struct Counted {
    files: usize,
    /// Those of them that are listed as added.
    added: usize,
}

/// One commit; its value is `None` where a list is missing.
struct Commit<'l> {
    listed: &'l mut Listed,
}

impl<'de> DeserializeSeed<'de> for Commit<'_> {
    type Value = Option<Counted>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<Counted>, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Commit<'_> {
    type Value = Option<Counted>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a commit")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<Counted>, A::Error> {
        const LISTS: [&str; 3] = ["added", "modified", "removed"];
        let mut seen = [false; LISTS.len()];
        let mut counts = [0; LISTS.len()];
        while let Some(key) = map.next_key::<String>()? {
            let Some(at) = LISTS.iter().position(|list| *list == key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let paths = map.next_value_seed(Paths {
                listed: &mut *self.listed,
            })?;
            if let (Some(paths), Some(seen), Some(count)) =
                (paths, seen.get_mut(at), counts.get_mut(at))
            {
                *seen = true;
                *count += paths;
            }
        }
        let [added, modified, removed] = counts;
        let counted = Counted {
            files: added + modified + removed,
            added,
        };
        Ok(seen.iter().all(|seen| *seen).then_some(counted))
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
        while let Some(path) = list.next_element::<String>()? {
            count += 1;
            if path == SUBMODULES {
                self.listed
                    .cut("it adds, moves or removes a submodule, whose files are not listed");
            }
            self.listed.add(&path);
        }
        Ok(Some(count))
    }
}
