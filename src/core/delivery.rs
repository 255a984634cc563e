//! Deliveries: what a webhook asked for, and what became of it.
//!
//! **Repetitions.** A repetition of a delivery that is done answers `200` and queues nothing. Before that
//! it is queued again and answers `202`; the event's name then leads to the last of them.
//!
//! - **Still queued, or waiting**: the repetition takes the same place, and costs no request. A `delay`
//!   begins with the event, not with its repetition: what repeats a delivery that waits is due with it,
//!   and where that time has passed, at once.
//! - **In flight, or given up**: its assets are queued once more.
//! - **A scan** that has not begun serves both. A scan that has begun is made again, since the store
//!   does not know how far it is; that reads, and purges only what differs. The second scan can't find
//!   what the first one found, since the index has it: what of that is in flight or given up is queued
//!   with it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::asset::Asset;
use super::cause::{Cause, CauseWord};
use super::change::{NewChange, PipelineId, Seq};
use super::time::Time;

/// An authentic delivery, before it is committed: as its route reads it, and then as it is queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery<W = Work> {
    /// Where it came in: a configured path.
    pub route: Arc<str>,
    /// The name that its sender knows it by, or one made from its content.
    pub event: Arc<str>,
    /// What is the same for a repeated delivery; `None` where none can be recognised.
    pub dedupe_key: Option<[u8; 32]>,
    /// How long a repeated delivery is recognised.
    pub dedupe: Duration,
    /// The event, in its sender's words, printable: for the history.
    pub what: Arc<str>,
    /// The pipeline whose cache is stale.
    pub pipeline: PipelineId,
    /// When it came.
    pub at: Time,
    /// When what it asks for takes effect; not before `at`.
    pub due: Time,
    /// What it asks for.
    pub work: W,
}

impl NewDelivery<Intent> {
    /// The same, with what it asks for as it is queued.
    #[must_use]
    pub fn queued(self, work: Work) -> NewDelivery {
        NewDelivery {
            route: self.route,
            event: self.event,
            dedupe_key: self.dedupe_key,
            dedupe: self.dedupe,
            what: self.what,
            pipeline: self.pipeline,
            at: self.at,
            due: self.due,
            work,
        }
    }
}

impl NewDelivery {
    /// Whether what it asks for is not queued with it, but waits for its time, or for a scan.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(self.work, Work::Scan) || self.due > self.at
    }

    /// The same, of which the first is not done, and was due at `first`: what it asks for is due
    /// with that, or now. A delay begins with the event, not with each time that it is sent.
    #[must_use]
    pub fn again(&self, first: Time) -> Self {
        let due = self.due.min(first.max(self.at));
        let mut again = Self {
            due,
            ..self.clone()
        };
        if let Work::Changes(changes) = &mut again.work {
            for change in changes {
                change.seen = due;
            }
        }
        again
    }
}

/// What a delivery asks for, as its route reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Everything of the pipeline.
    All,
    /// These assets, at least one.
    Assets(Vec<Asset>),
    /// Files by their paths below an origin's root, without a leading `/`. They pass the mapping.
    Files(Vec<Vec<u8>>),
    /// The same, where none of them is a directory: objects of a bucket.
    Objects(Vec<Vec<u8>>),
    /// Scans of the pipeline's origins, of which there is at least one.
    Scan,
}

/// What deliveries name in a bucket: each by its path below the bucket's prefix, or by its whole key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Objects.
    pub objects: BTreeSet<Vec<u8>>,
    /// Objects or directories.
    pub paths: BTreeSet<Vec<u8>>,
}

impl Names {
    /// What a delivery names; `None` where it asks for something else.
    #[must_use]
    pub fn of(intent: &Intent) -> Option<Self> {
        let set = |names: &[Vec<u8>]| names.iter().cloned().collect();
        let mut all = Self::default();
        match intent {
            Intent::Files(names) => all.paths = set(names),
            Intent::Objects(names) => all.objects = set(names),
            Intent::All | Intent::Assets(_) | Intent::Scan => return None,
        }
        Some(all)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len() + self.paths.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds those of another delivery.
    pub fn extend(&mut self, other: Self) {
        self.objects.extend(other.objects);
        self.paths.extend(other.paths);
    }
}

/// What a delivery asks for, as it is queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// These changes, queued when the delivery is due. None at all where its files map to nothing.
    Changes(Vec<NewChange>),
    /// Scans of the pipeline's origins, or looks at what it names there, when the delivery is due.
    Scan,
}

/// What was made of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is on disk, with so many changes; 0 where a scan will find them.
    New(usize),
    /// It came before, and what it asked for is done.
    Duplicate,
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It waits for its time, for a scan, or for a purge request.
    Queued,
    /// All that it asked for is in purge requests that are not settled.
    Submitted,
    /// All that it asked for is purged.
    Done,
    /// Some of it is given up; a person has to act.
    Failed,
}

impl DeliveryState {
    /// The word for it in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Submitted => "submitted",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRecord {
    /// The name that its sender knows it by.
    pub event: String,
    /// How far it is.
    pub state: DeliveryState,
    /// The event, in its sender's words.
    pub what: String,
    /// When it came.
    pub at: Time,
    /// The nodes that it was scanned without, since they were silent; empty: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub without: String,
    /// Changes that wait for its time, or for a purge request.
    pub queued: u64,
    /// Changes in purge requests that are not settled.
    pub submitted: u64,
    /// Changes that are purged.
    pub done: u64,
    /// Changes that are given up.
    pub failed: u64,
    /// Why what is given up, or was tried and waits, is not purged; the first of it.
    pub reasons: Vec<Reason>,
}

/// How far a delivery is, in more detail than its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Its `delay` is not over.
    Delayed,
    /// The origins are scanned for it, twice, or the objects that it names are looked at.
    Scanning,
    /// Some of it waits for a purge request.
    Queued,
    /// All of it is in purge requests that are not settled.
    Submitted,
    /// All of it is purged.
    Done,
    /// Some of it is given up.
    Failed,
}

impl Phase {
    /// The word for it in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Scanning => "scanning",
            Self::Queued => "queued",
            Self::Submitted => "submitted",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl From<DeliveryState> for Phase {
    fn from(state: DeliveryState) -> Self {
        match state {
            DeliveryState::Queued => Self::Queued,
            DeliveryState::Submitted => Self::Submitted,
            DeliveryState::Done => Self::Done,
            DeliveryState::Failed => Self::Failed,
        }
    }
}

/// The answer to a question about a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryProgress {
    /// What became of it.
    #[serde(flatten)]
    pub record: DeliveryRecord,
    /// How far it is.
    pub phase: Phase,
    /// When what it asks for takes effect.
    pub due: Time,
    /// Assets that it covers, as far as they are known.
    pub assets: u64,
    /// Purge requests that have some of it.
    pub requests: u64,
    /// What its pipeline waits for; none where it has ended.
    pub causes: Vec<Cause>,
}

impl DeliveryProgress {
    /// The same, with what the pipeline waits for now.
    #[must_use]
    pub fn waiting_for(mut self, causes: Vec<Cause>, now: Time) -> Self {
        if matches!(self.phase, Phase::Delayed | Phase::Scanning) && self.due > now {
            self.phase = Phase::Delayed;
            let text = "its delay is not over".to_owned();
            let until = Some(self.due);
            self.causes = vec![Cause {
                word: CauseWord::Delay,
                text,
                until,
            }];
        } else {
            self.causes = causes;
            // What was given up before is no part of it.
            self.causes.retain(|cause| cause.word != CauseWord::Failed);
        }
        self
    }

    /// Whether nothing more becomes of it by itself.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::Failed)
    }
}

/// The most reasons that are reported of a delivery,
const REASONS: usize = 20;
/// and so many assets of each;
const ASSETS: usize = 100;
/// for that, so many changes are looked at.
pub const REASONED: usize = 2_000;

/// Why changes are not purged: what their last purge request came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// `failed` or `dropped` where they are given up, `queued` where it is tried again.
    pub stage: String,
    /// The local number of the request; `None` where a person dropped them.
    pub request: Option<u64>,
    /// The API's id for it, where it took it.
    pub remote_id: Option<String>,
    /// Why it came to nothing, in the API's words.
    pub why: String,
    /// The assets, the first hundred; none where everything was to be purged.
    pub assets: Vec<String>,
}

impl Reason {
    /// Adds a change, in order of sequence, to the reason that it shares with others.
    pub fn add(reasons: &mut Vec<Self>, mut change: Self) {
        if change.stage == "dropped" {
            (change.request, change.remote_id) = (None, None);
            "a person dropped it".clone_into(&mut change.why);
        } else if change.why.is_empty() {
            // Verification gave it up.
            "it was purged, and the edge kept old bytes; see `edgepurge explain`"
                .clone_into(&mut change.why);
        }
        let same =
            |known: &&mut Self| known.stage == change.stage && known.request == change.request;
        if let Some(known) = reasons.iter_mut().find(same) {
            let new = change.assets.into_iter();
            let new = new.filter(|asset| !known.assets.contains(asset));
            let new: Vec<String> = new
                .take(ASSETS.saturating_sub(known.assets.len()))
                .collect();
            known.assets.extend(new);
        } else if reasons.len() < REASONS {
            reasons.push(change);
        }
    }
}

/// Deliveries that wait for their time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueDeliveries {
    /// When the first that holds changes is due.
    pub changes: Option<Time>,
    /// When each pipeline's first that wants a scan is due.
    pub scans: Vec<(PipelineId, Time)>,
}

impl DueDeliveries {
    /// When the first delivery of a pipeline is due that waits for a scan.
    #[must_use]
    pub fn due_scan(&self, pipeline: &PipelineId) -> Option<Time> {
        let mut scans = self.scans.iter();
        scans.find(|(id, _)| id == pipeline).map(|(_, due)| *due)
    }
}

/// What a scan for deliveries came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanDone {
    /// The pipeline that was scanned.
    pub pipeline: PipelineId,
    /// Deliveries that were due until then are served,
    pub through: Time,
    /// and of those the ones up to this number.
    pub delivery: u64,
    /// The last change that the scans committed.
    pub last: Seq,
    /// The nodes that were silent, and not scanned.
    pub without: String,
}
