//! What a kind makes of a delivery, before the route's settings are applied to it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use axum::http::HeaderMap;

use super::branch::Ref;
use super::environment::Environment;
use super::paths::Listed;
use super::printable::{listed, printable};

/// What a kind reads a delivery from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'d> {
    pub(super) headers: &'d HeaderMap,
    pub(super) body: &'d [u8],
    /// Which events count.
    pub(super) events: Events<'d>,
    /// Whether anybody wants the list of files.
    pub(super) files: bool,
}

/// The events that a route is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Events<'d> {
    /// The configuration's.
    pub(super) configured: Option<&'d [String]>,
    /// The kind's own choice.
    pub(super) default: &'static [&'static str],
}

impl Events<'_> {
    /// What counts, for people.
    pub(super) fn shown(self) -> String {
        match self.configured {
            Some(names) => listed(names.iter().map(String::as_str)),
            None => listed(self.default.iter().copied()),
        }
    }

    /// Whether an event counts. An empty list takes every event; a `*` at the end every ending.
    pub(super) fn want(self, name: &str) -> bool {
        match self.configured {
            Some(names) => names.iter().any(|pattern| matches(pattern, name)),
            None => {
                self.default.is_empty() || self.default.iter().any(|pattern| matches(pattern, name))
            }
        }
    }
}

/// Whether an event is the one that a pattern names; a `*` at its end takes any ending.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    pattern
        .strip_suffix('*')
        .map_or(pattern == name, |start| name.starts_with(start))
}

/// A delivery as its kind reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// The event in the kind's own words.
    pub(super) what: String,
    /// The sender's id of the delivery, which nobody vouches for.
    pub(super) id: Option<String>,
    /// What tells this event from every other, if it is signed.
    pub(super) identity: Identity,
    /// The names and addresses of the repository (bucket, site) that it is about; one of them may be
    /// pinned. The first is the one that is shown.
    pub(super) repository: Vec<String>,
    /// The refs that it is about, where it says so.
    pub(super) refs: Vec<Ref>,
    /// What ran, where it tells of the end of something that runs.
    pub(super) run: Option<Run>,
    /// Where something was deployed to; `None` of an event that is about no deployment. Empty where
    /// the sender does not say.
    pub(super) environments: Option<Vec<Environment>>,
    /// Whether it asks for nothing because the route is not for such events.
    pub(super) unwanted: bool,
    /// What it asks for.
    pub(super) ask: Ask,
}

/// A workflow, a job, a build or a check that ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// Its names: what people call it, its file, its key.
    pub(super) names: Vec<String>,
    /// Whether a pull request started it, or a queue of such: it ran before anything was merged.
    pub(super) proposed: bool,
}

/// What tells an event from every other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// Nothing that is signed.
    None,
    /// The id that the signature covers.
    SignedId,
    /// All of what is signed: it names its event.
    SignedBytes,
    /// This id in the signed body.
    InBody(String),
}

/// What a delivery asks for, as far as its kind knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Nothing, and why.
    Nothing(Cow<'static, str>),
    /// Something was deployed; why it is not known which files.
    Unlisted(&'static str),
    /// These files changed.
    Files(BTreeSet<String>),
    /// A scan, in so many words.
    Scan,
    /// Everything, in so many words.
    All,
}

impl Ask {
    /// The files of a list, if it is complete.
    pub(super) fn listed(files: Listed) -> Self {
        match files.complete() {
            Ok(files) => Self::Files(files),
            Err(why) => Self::Unlisted(why),
        }
    }
}

impl Reading {
    /// An event that asks for something; more is said about it by its fields.
    pub(super) fn of(what: &str, ask: Ask) -> Self {
        Self {
            what: printable(what),
            id: None,
            identity: Identity::None,
            repository: Vec::new(),
            refs: Vec::new(),
            run: None,
            environments: None,
            unwanted: false,
            ask,
        }
    }

    /// An event that asks for nothing.
    pub(super) fn nothing(what: &str, why: impl Into<Cow<'static, str>>) -> Self {
        Self::of(what, Ask::Nothing(why.into()))
    }

    /// An event that the route is not for.
    pub(super) fn unwanted(what: &str) -> Self {
        let why = format!(
            "the event {} is not among the route's events",
            printable(what)
        );
        Self {
            unwanted: true,
            ..Self::nothing(what, why)
        }
    }
}
