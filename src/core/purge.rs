//! Purge requests: what is sent, its stages, and how it can end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::asset::Asset;
use super::change::{PipelineId, Seq};
use super::pause::Pause;
pub use super::refusal::Refusal;
use super::time::Time;

/// The local number of a purge request, from 1, never used twice in a state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Why a pipeline's whole cache is purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllReason {
    /// A person asked for it.
    Manual,
    /// A rule with `purge = "all"` matched a changed file.
    Rule,
    /// A webhook asked for it.
    Webhook,
    /// A batch held more than `all_above` assets.
    Count,
    /// The backlog would have needed longer than `all_after` to drain.
    Backlog,
    /// The queue of the pipeline reached its cap.
    QueueCap,
    /// What changed can't be known: a database was lost.
    Loss,
    /// It was purged before, and `repurge_after` wants it once more.
    Again,
}

impl AllReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Manual,
        Self::Rule,
        Self::Webhook,
        Self::Count,
        Self::Backlog,
        Self::QueueCap,
        Self::Loss,
        Self::Again,
    ];

    /// The word for it in the database, metrics and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Rule => "rule",
            Self::Webhook => "webhook",
            Self::Count => "count",
            Self::Backlog => "backlog",
            Self::QueueCap => "queue_cap",
            Self::Loss => "loss",
            Self::Again => "again",
        }
    }

    /// Reads what [`AllReason::as_str`] wrote.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// Who wants it.
    #[must_use]
    pub const fn by(self) -> AllBy {
        match self {
            Self::Manual => AllBy::Person,
            Self::Webhook => AllBy::Delivery,
            Self::Rule
            | Self::Count
            | Self::Backlog
            | Self::QueueCap
            | Self::Loss
            | Self::Again => AllBy::Edgepurge,
        }
    }
}

/// Who wants a pipeline's whole cache to be purged, first the one who waits least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AllBy {
    /// A person, who does not wait.
    Person,
    /// A delivery, which waits for the cool-down as it is configured.
    Delivery,
    /// edgepurge's own decision: it waits longer and longer while it repeats.
    Edgepurge,
}

/// What one purge request purges. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// These assets. Each with the last change of it that the request covers: a later one of the
    /// same asset needs a request of its own.
    Assets(BTreeMap<Asset, Seq>),
    /// Everything of the pipeline: every change up to and with `through`.
    All {
        /// Why.
        reason: AllReason,
        /// The last change that it covers.
        through: Seq,
    },
}

impl Scope {
    /// The word for it in metrics and output: `assets` or `all`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Assets(_) => "assets",
            Self::All { .. } => "all",
        }
    }

    /// Whether the API's list could not distinguish the two.
    #[must_use]
    pub fn names_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Assets(ours), Self::Assets(theirs)) => ours.keys().eq(theirs.keys()),
            (Self::All { .. }, Self::All { .. }) => true,
            _ => false,
        }
    }

    /// The last change it covers.
    #[must_use]
    pub fn last(&self) -> Seq {
        match self {
            Self::Assets(assets) => assets.values().copied().max().unwrap_or(Seq(0)),
            Self::All { through, .. } => *through,
        }
    }
}

/// A purge request as the API lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The API's id for it.
    pub id: String,
    /// Whose cache.
    pub pipeline: PipelineId,
    /// The assets it purges; `None`: everything.
    pub assets: Option<BTreeSet<String>>,
    /// Its status.
    pub status: RemoteStatus,
    /// When it was made, by the API's clock.
    pub created: Option<Time>,
}

impl Listed {
    /// Whether it purges exactly this of this pipeline.
    #[must_use]
    pub fn is_for(&self, pipeline: &PipelineId, scope: &Scope) -> bool {
        self.pipeline == *pipeline
            && match (&self.assets, scope) {
                (None, Scope::All { .. }) => true,
                (Some(listed), Scope::Assets(assets)) => {
                    assets.keys().map(Asset::as_str).eq(listed)
                }
                _ => false,
            }
    }
}

/// A page of the API's list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedPage {
    /// What is on it.
    pub requests: Vec<Listed>,
    /// How many there are on all pages together.
    pub total: u64,
}

/// How many requests are asked for on one page of the list.
pub const PAGE: usize = 100;

/// What the API says of a purge request. A word that is not known is [`RemoteStatus::Unknown`],
/// never done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteStatus {
    /// Not finished.
    Pending,
    /// The cache has forgotten it.
    Done,
    /// It came to nothing; the API does not say why.
    Error,
    /// A word that this version does not know.
    Unknown,
}

/// How a purge request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The API says done.
    Done,
    /// The API says error, or did not take it and does not say what is wrong with it; its changes
    /// are queued again.
    Error,
    /// The API no longer knows it; its changes are queued again.
    Vanished,
    /// Still pending after `track_timeout`; its changes are queued again.
    Overdue,
    /// The API did not take it, or whether it did is unknown; its changes are queued again.
    Unsent,
    /// The API will never take it; its changes are failed, and need a person.
    Failed,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 6] = [
        Self::Done,
        Self::Error,
        Self::Vanished,
        Self::Overdue,
        Self::Unsent,
        Self::Failed,
    ];

    /// The word for it in the database, metrics and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Error => "error",
            Self::Vanished => "vanished",
            Self::Overdue => "overdue",
            Self::Unsent => "unsent",
            Self::Failed => "failed",
        }
    }

    /// Reads what [`Outcome::as_str`] wrote.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    }
}

/// A decision of the planner, to be committed before it is acted upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A request is made of queued changes and is about to be sent: its stage is `submitting`.
    ///
    /// With [`Scope::Assets`] it takes the queued changes of those assets up to each one's
    /// sequence; with [`Scope::All`] every queued change of the pipeline up to `through`, and it
    /// ends a [`Decision::QueueAll`] of the pipeline.
    Open {
        /// The new request.
        request: RequestId,
        /// Whose cache.
        pipeline: PipelineId,
        /// What it purges.
        scope: Scope,
        /// When the first of its changes was noticed.
        first_seen: Time,
        /// A request in the API's list that was made earlier than this, by the API's clock, can't
        /// be this one; `None`: none there can be recognised as it.
        api_since: Option<Time>,
        /// Now.
        at: Time,
    },
    /// The API took it: its stage is `accepted`.
    Accepted {
        /// The request.
        request: RequestId,
        /// The API's id for it.
        remote_id: String,
        /// Now.
        at: Time,
    },
    /// It is over. `Done`: its changes are done, and so are failed ones of the same assets.
    /// `Failed`: its changes are failed. Else they are queued again.
    Settled {
        /// The request.
        request: RequestId,
        /// How it ended.
        outcome: Outcome,
        /// Why, in words; empty for `Done`.
        why: String,
        /// Attempts made for its changes, where they are queued again.
        attempt: u32,
        /// Not to be sent again before this, where they are queued again.
        not_before: Time,
        /// Whether it was for everything: then its changes may be many.
        all: bool,
        /// Now.
        at: Time,
    },
    /// The whole pipeline is to be purged, though no queued change says so: an escalation that
    /// waits, or a request for `all` that came to nothing. Kept until the next `Open` of `all`.
    QueueAll {
        /// Whose cache.
        pipeline: PipelineId,
        /// Why.
        reason: AllReason,
        /// Since when it is stale.
        since: Time,
    },
    /// It is done or failed, and something follows on that: a look at the edge, another purge.
    /// Comes with its [`Decision::Settled`].
    Follow {
        /// The request.
        request: RequestId,
    },
    /// The API has taught how far it goes.
    Learn(Learned),
}

/// The API's undocumented limits, as learned from its answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// Calls a second, in thousandths.
    Rate,
    /// Assets in a purge request of this pipeline.
    MaxAssets(PipelineId),
}

/// A limit that was learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// Which.
    pub limit: Limit,
    /// How much.
    pub value: u64,
    /// When.
    pub at: Time,
}

/// A request that was not settled when the process stopped, as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRequest {
    /// The request.
    pub id: RequestId,
    /// Whose cache.
    pub pipeline: PipelineId,
    /// What it purges.
    pub scope: Scope,
    /// The API's id for it; `None` while its stage is `submitting`: whether it was sent is unknown.
    pub remote_id: Option<String>,
    /// When the first of its changes was noticed.
    pub first_seen: Time,
    /// When it was opened.
    pub opened: Time,
    /// How many requests for its changes came to nothing before it.
    pub attempt: u32,
    /// Whether one of them was overdue.
    pub overdue: bool,
    /// What [`Decision::Open`] said of the API's clock.
    pub api_since: Option<Time>,
}

/// An `all` that waits ([`Decision::QueueAll`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedAll {
    /// Whose cache.
    pub pipeline: PipelineId,
    /// Why.
    pub reason: AllReason,
    /// Since when it is stale.
    pub since: Time,
}

/// What the planner starts from: everything that is not settled. Queued changes come after it, in
/// order, as they do in life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// The number of the last request ever made.
    pub last_request: u64,
    /// Requests in flight, or of unknown outcome.
    pub requests: Vec<OpenRequest>,
    /// Pipelines that wait for an `all`.
    pub all: Vec<QueuedAll>,
    /// When each pipeline last opened an `all`.
    pub last_all: BTreeMap<PipelineId, Time>,
    /// What was learned of the API.
    pub learned: Vec<Learned>,
    /// Where the outcome of a request is unknown: the API's ids of those that settled, the newest
    /// [`REMEMBERED_IDS`], oldest first. None of them is the one looked for.
    pub settled_remote_ids: Vec<String>,
    /// Who holds a pipeline back.
    pub pauses: Vec<Pause>,
}

/// How many of the API's ids are remembered as ours after they settled.
pub const REMEMBERED_IDS: usize = 1_000;
