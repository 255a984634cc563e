//! What a kind makes of a delivery, before the route's settings are applied to it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use axum::http::HeaderMap;

use super::branch::Ref;
use super::content::{listed, printable};
use super::environment::Environment;
use super::paths::Listed;

/// What a kind reads a delivery from.
#[derive(Clone, Copy, Debug)]
pub(in crate::webhook) struct Input<'d> {
    pub(in crate::webhook) headers: &'d HeaderMap,
    pub(in crate::webhook) body: &'d [u8],
    /// Which events count.
    pub(in crate::webhook) events: Events<'d>,
    /// Whether the list of files is wanted.
    pub(in crate::webhook) files: bool,
}

/// The events that a route is for.
#[derive(Clone, Copy, Debug)]
pub(in crate::webhook) struct Events<'d> {
    /// The configuration's.
    pub(in crate::webhook) configured: Option<&'d [String]>,
    /// The kind's own choice.
    pub(in crate::webhook) default: &'static [&'static str],
}

impl Events<'_> {
    /// What counts, for people.
    pub(in crate::webhook) fn shown(self) -> String {
        match self.configured {
            Some(names) => listed(names.iter().map(String::as_str)),
            None => listed(self.default.iter().copied()),
        }
    }

    /// Whether an event counts. An empty list takes every event; a `*` at the end every ending.
    pub(in crate::webhook) fn want(self, name: &str) -> bool {
        match self.configured {
            Some(names) => names.iter().any(|pattern| matches(pattern, name)),
            None => {
                self.default.is_empty() || self.default.iter().any(|pattern| matches(pattern, name))
            }
        }
    }
}

/// Whether an event is the one that a pattern names; a `*` at its end takes any ending.
pub(in crate::webhook) fn matches(pattern: &str, name: &str) -> bool {
    pattern
        .strip_suffix('*')
        .map_or(pattern == name, |start| name.starts_with(start))
}

/// A delivery as its kind reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::webhook) struct Reading {
    /// The event in the kind's own words.
    pub(in crate::webhook) what: String,
    /// The sender's id of the delivery, unsigned.
    pub(in crate::webhook) id: Option<String>,
    /// What distinguishes this event from every other, if it is signed.
    pub(in crate::webhook) identity: Identity,
    /// The names and addresses of the repository (bucket, site) that it is about; one of them may be
    /// pinned. The first is the one that is shown.
    pub(in crate::webhook) repository: Vec<String>,
    /// The refs that it is about, where it says so.
    pub(in crate::webhook) refs: Vec<Ref>,
    /// What ran, where it reports the end of a run.
    pub(in crate::webhook) run: Option<Run>,
    /// Where something was deployed to; `None` of an event that is about no deployment. Empty where
    /// the sender does not say.
    pub(in crate::webhook) environments: Option<Vec<Environment>>,
    /// Whether it asks for nothing because the route is not for such events.
    pub(in crate::webhook) unwanted: bool,
    /// What it asks for.
    pub(in crate::webhook) ask: Ask,
}

/// A workflow, a job, a build or a check that ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::webhook) struct Run {
    /// Its names: what people call it, its file, its key.
    pub(in crate::webhook) names: Vec<String>,
    /// Whether a pull request started it, or a queue of such: it ran before anything was merged.
    pub(in crate::webhook) proposed: bool,
}

/// What distinguishes an event from every other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::webhook) enum Identity {
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
pub(in crate::webhook) enum Ask {
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
    pub(in crate::webhook) fn listed(files: Listed) -> Self {
        match files.complete() {
            Ok(files) => Self::Files(files),
            Err(why) => Self::Unlisted(why),
        }
    }
}

impl Reading {
    /// An event that asks for something; more is said about it by its fields.
    pub(in crate::webhook) fn of(what: &str, ask: Ask) -> Self {
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
    pub(in crate::webhook) fn nothing(what: &str, why: impl Into<Cow<'static, str>>) -> Self {
        Self::of(what, Ask::Nothing(why.into()))
    }

    /// An event that the route is not for.
    pub(in crate::webhook) fn unwanted(what: &str) -> Self {
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
