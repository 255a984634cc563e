//! Verification: what a response of the edge means for a purge that is done, and what follows.
//!
//! Pure: the probe (`crate::verify`) fetches, the store remembers, this module decides. It compares the
//! response with what the history knows of the files behind the asset: each change carries the hash of
//! the new content and of the content before. It knows what the last 64 requests for the asset, and the
//! last 64 for everything, covered. `docs/verify.md` has the table of verdicts.
//!
//! | stage of an asset | meaning | leaves by |
//! |---|---|---|
//! | `probe` | its purge is done: to be fetched through the edge at its time | a verdict; while the edge is silent, a later time |
//! | `again` | stale: to be purged again at its time | its time (→ `purging`) |
//! | `purging` | a purge of it is queued or in flight | that is done (→ `probe`) or failed (→ gone) |
//!
//! **A cached 404.** A visitor who came before a file existed left a 404 at the edge. The URLs of a file
//! itself are that of its name, and for a page of a directory that of the directory, in every spelling of
//! the same bytes: if the file is served at all, it is served there. So a 404 at such a URL is purged
//! again, and a 403 where the file is new or its mode lets others read it since. After the last round the
//! asset is unverified and not failed, since the origin may not serve that URL. The store remembers it
//! (`verified.absent`), so that later changes of a URL that is never served cost one purge each, until
//! the file is gone and comes back as a new one. A response without a body is an empty file for status
//! 200 only.
//!
//! **Several nodes.** Where the edge has old bytes, or none, and a live node has not got the change yet, that is no
//! verdict: the edge is asked again. The last bytes of a live node that differ from those of the others are not purged
//! again either: it would not help, and the alarm `diverged` says so.
//!
//! **No comparison.** An asset is not fetched if no file is known behind it (a purge by hand, or a webhook
//! whose file is not in the last 64 requests), or if the file's content was not read (`compare =
//! "metadata"`, or the first index is not complete). While a later change of the asset is queued or in
//! flight, that change's purge is verified instead. Unverified assets are counted (`unverified_total`),
//! and `explain` shows the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::asset::Asset;
use super::change::{ContentHash, Kind, PipelineId, Seq};
use super::lease::NodeId;
use super::purge::RequestId;
use super::time::Time;

mod egress;

pub use egress::Egress;

/// How many assets of a pipeline wait to be verified; past it a purge is not verified, and is
/// counted.
pub const WAITING: usize = 10_000;
/// How many of the assets that an `all` took with it are verified.
pub const SAMPLE: usize = 20;
/// A stale asset is purged again so much later; after the last of these it is failed.
const AGAIN: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(8),
    Duration::from_secs(20),
];
/// An edge that did not answer is asked again so much later.
const RETRY: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(30),
];
/// No look is further ahead than this.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// An asset that is to be fetched through the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Whose cache.
    pub pipeline: PipelineId,
    /// What was purged.
    pub asset: Asset,
    /// The last change of it that the purge covered.
    pub seq: Seq,
    /// The last change of it with a file behind it.
    pub cause: Option<Seq>,
    /// The request that purged it.
    pub request: RequestId,
    /// When it was noticed to be stale.
    pub seen: Time,
    /// How often it was purged again, since the edge still had old bytes.
    pub round: u32,
    /// How often the edge did not answer, since the last purge.
    pub tries: u32,
    /// When to look.
    pub due: Time,
}

/// A change of a file behind an asset, as the history has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// The node whose file it is.
    pub node: Option<NodeId>,
    /// The origin's name.
    pub origin: Arc<str>,
    /// The path below the origin's root.
    pub path: Vec<u8>,
    /// What became of the file.
    pub kind: Kind,
    /// The hash of its content then.
    pub hash: Option<ContentHash>,
    /// The hash of its content before.
    pub former: Option<ContentHash>,
}

/// What is known of the bytes behind an asset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The files, with whether each is there.
    pub files: BTreeMap<(Arc<str>, Vec<u8>), bool>,
    /// What they hold.
    pub current: BTreeSet<ContentHash>,
    /// What they held.
    pub former: BTreeSet<ContentHash>,
    /// What each node had of them last, as far as it noticed.
    pub of_nodes: BTreeSet<(NodeId, ContentHash)>,
    /// Whether one of them is there and its bytes were never read.
    pub unread: bool,
    /// Whether one of them was not there before.
    pub is_new: bool,
    /// A later change of the asset that is not purged yet.
    pub newer: Option<Seq>,
    /// When it was last verified, the edge kept saying that there is no such file, and none came anew
    /// since.
    pub absent: bool,
}

/// The nodes that an edge fetches from; none where there is one alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    /// Those that live.
    pub nodes: BTreeSet<NodeId>,
    /// The names of those of them that have not got the files of a change yet.
    pub lacking: Vec<Arc<str>>,
}

/// How an asset belongs to the files behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Url {
    /// It is what one of them answers at, if it is served at all, and that one is there.
    Own,
    /// The same, and none of those is there: a compressed copy of it may be, or what a rule is about.
    Gone,
    /// Another, which may be served or not.
    Other,
}

impl Known {
    /// What the history has of an asset, oldest change first.
    #[must_use]
    pub fn new(history: impl IntoIterator<Item = Past>, newer: Option<Seq>) -> Self {
        let (mut last, mut lasts) = (BTreeMap::new(), BTreeMap::new());
        let mut former = BTreeSet::new();
        for past in history {
            former.extend(past.former);
            former.extend(past.hash);
            if let Some(node) = past.node {
                let of_node = (node, Arc::clone(&past.origin), past.path.clone());
                lasts.insert(of_node, past.hash);
            }
            last.insert((past.origin, past.path), (past.kind, past.hash));
        }
        let there = |kind| kind != Kind::Gone;
        let current: BTreeSet<ContentHash> = last.values().filter_map(|(_, hash)| *hash).collect();
        Self {
            unread: last
                .values()
                .any(|(kind, hash)| there(*kind) && hash.is_none()),
            former: former.difference(&current).copied().collect(),
            is_new: last.values().any(|(kind, _)| *kind == Kind::New),
            files: last
                .into_iter()
                .map(|(file, (kind, _))| (file, there(kind)))
                .collect(),
            of_nodes: lasts
                .into_iter()
                .filter_map(|((node, ..), hash)| Some((node, hash?)))
                .collect(),
            current,
            newer,
            absent: false,
        }
    }

    /// Why it is no use to ask the edge, if it is none.
    #[must_use]
    pub fn useless(&self) -> Option<&'static str> {
        if self.files.is_empty() {
            return Some("no file is known behind it");
        }
        if self.is_gone() && self.former.is_empty() {
            return Some("what its file held was never read");
        }
        self.unread
            .then_some("the content of its file is not compared, or was not read yet")
    }

    fn is_gone(&self) -> bool {
        !self.files.values().any(|there| *there)
    }

    /// What an answer says.
    #[must_use]
    pub fn judge(&self, answer: &Answer, url: Url) -> Verdict {
        let unverified = |why: String, look| Verdict::Unverified { why, look };
        let (status, hash, objects, bytes) = match answer {
            Answer::Silent(why) => return Verdict::Silent(why.clone()),
            Answer::Unread(why) => return unverified(why.clone(), false),
            Answer::Body {
                status,
                hash,
                objects,
                bytes,
            } => (*status, hash, objects, *bytes),
        };
        let is_in = |known: &BTreeSet<ContentHash>| {
            known.contains(hash) || objects.iter().any(|object| known.contains(object))
        };
        // No body at all is what a redirect has, and says nothing of an empty file.
        let is_of_a_file = status == OK || bytes > 0;
        match status {
            _ if is_of_a_file && is_in(&self.current) => Verdict::Fresh,
            // Whatever the page says: it may be a copy of what was there.
            404 | 410 if self.is_gone() || url == Url::Gone => Verdict::Fresh,
            _ if is_of_a_file && is_in(&self.former) => Verdict::Stale,
            OK => unverified("the edge has bytes that were never seen".to_owned(), true),
            // It is not what was there.
            _ if self.is_gone() => Verdict::Fresh,
            404 | 410 if url == Url::Own => self.missing(status),
            // The rights of the file may have changed since; else the edge refuses every visitor.
            403 if url == Url::Own && (self.is_new || self.former.is_empty()) => {
                self.missing(status)
            }
            _ => unverified(format!("the edge answers {status}"), false),
        }
    }

    /// The same, where several nodes serve the files: the edge may have fetched from any of them. What one has that
    /// lacks the change is purged again when it has it. A file of which a node has its own bytes for good stays as it
    /// is, however often it is purged.
    #[must_use]
    pub fn judge_among(&self, answer: &Answer, url: Url, serving: &Serving) -> Verdict {
        let verdict = self.judge(answer, url);
        if !matches!(verdict, Verdict::Stale | Verdict::Missing { .. }) {
            return verdict;
        }
        if !serving.lacking.is_empty() {
            return Verdict::Silent(format!("not yet on {}", serving.lacking.join(", ")));
        }
        let has = |node: &NodeId| match answer {
            Answer::Body { hash, .. } => self.of_nodes.contains(&(*node, *hash)),
            Answer::Silent(_) | Answer::Unread(_) => false,
        };
        if serving.nodes.iter().any(has) {
            let why = "a node has other bytes than the others, and the edge has those".to_owned();
            return Verdict::Unverified { why, look: false };
        }
        verdict
    }

    /// The edge says that there is no file at its own URL, and there is.
    const fn missing(&self, status: u16) -> Verdict {
        Verdict::Missing {
            status,
            usual: self.absent,
        }
    }
}

/// The status of an answer that is a file.
const OK: u16 = 200;

/// What the edge answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A whole body.
    Body {
        /// The HTTP status.
        status: u16,
        /// The hash of the body.
        hash: ContentHash,
        /// What stands for an object with this body, and for one with the `ETag` that came (`core/etag.rs`); none
        /// where no origin is a bucket.
        objects: Vec<ContentHash>,
        /// How long it is.
        bytes: u64,
    },
    /// Nothing about the asset: no connection, no end in time, a 5xx, a 429. Why.
    Silent(String),
    /// More than may be read. Why.
    Unread(String),
}

/// What an answer says of an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The edge has what the origin has.
    Fresh,
    /// The edge has what the origin had.
    Stale,
    /// The edge says that there is no such file, or refuses it to every visitor, and it is there: what it had
    /// before the file came, or its origin does not serve this URL.
    Missing {
        /// The HTTP status.
        status: u16,
        /// It said so before, however often it was purged.
        usual: bool,
    },
    /// Neither can be said.
    Unverified {
        /// Why.
        why: String,
        /// Whether the file should be looked at again.
        look: bool,
    },
    /// The edge did not answer: it is asked again.
    Silent(String),
}

/// A verdict's word in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// The edge had what the origin has.
    Fresh,
    /// The edge had what the origin had.
    Stale,
    /// Neither could be said.
    Unverified,
}

impl Word {
    /// Every word.
    pub const ALL: [Self; 3] = [Self::Fresh, Self::Stale, Self::Unverified];

    /// The word in the database, and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Unverified => "unverified",
        }
    }

    /// Reads what [`Word::as_str`] wrote.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

/// What follows on a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Over,
    /// Its changes are failed: it was purged again and again, and stays stale.
    Failed,
    /// It is purged again then.
    Again(Time),
    /// The edge is asked again then.
    Retry(Time),
    /// A later change is on its way: its purge is verified instead.
    Wait(Seq),
}

/// A look that was made, to be committed before anything is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// What was looked at.
    pub check: Check,
    /// When.
    pub at: Time,
    /// What the history says of it.
    pub word: Word,
    /// Why, in words; empty for fresh.
    pub why: String,
    /// Given up, since the edge keeps saying that there is no such file.
    pub absent: bool,
    /// What follows.
    pub then: Then,
}

impl Check {
    /// What follows on a verdict.
    #[must_use]
    pub fn looked(self, verdict: &Verdict, newer: Option<Seq>, now: Time) -> Looked {
        let at = |waits: [Duration; 3], done: u32| {
            let wait = waits.get(usize::try_from(done).unwrap_or(usize::MAX));
            wait.map(|wait| now.after(*wait))
        };
        let mut absent = false;
        let (word, why, then) = match verdict {
            Verdict::Fresh => (Word::Fresh, String::new(), Then::Over),
            Verdict::Missing { status, usual } => {
                let round = at(AGAIN, self.round).filter(|_| !usual);
                absent = round.is_none();
                match round {
                    Some(due) => (
                        Word::Stale,
                        format!("the edge answers {status}, and its file is there"),
                        Then::Again(due),
                    ),
                    // Whether the origin serves it is unknown.
                    None => (
                        Word::Unverified,
                        format!(
                            "the edge answers {status}, however often it is purged; \
                             perhaps its origin does not serve this URL"
                        ),
                        Then::Over,
                    ),
                }
            }
            Verdict::Stale => {
                let then = at(AGAIN, self.round).map_or(Then::Failed, Then::Again);
                let why = match then {
                    Then::Failed => "the edge keeps old bytes, however often it is purged",
                    _ => "the edge has old bytes",
                };
                (Word::Stale, why.to_owned(), then)
            }
            Verdict::Unverified { why, .. } => (Word::Unverified, why.clone(), Then::Over),
            Verdict::Silent(why) => {
                let then = at(RETRY, self.tries).map_or(Then::Over, Then::Retry);
                (Word::Unverified, why.clone(), then)
            }
        };
        Looked {
            check: self,
            at: now,
            word,
            why,
            absent,
            then: newer.map_or(then, Then::Wait),
        }
    }
}

/// A look, as the history records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// When.
    pub at: Time,
    /// What it found.
    pub verdict: Word,
    /// Why, in words; empty for fresh.
    pub why: String,
}

/// What is to follow on the settled requests of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp {
    /// Whose.
    pub pipeline: PipelineId,
    /// Whether the edge is looked at.
    pub verify: bool,
    /// When it is purged once more, if it is.
    pub repurge: Option<Time>,
    /// Now.
    pub now: Time,
}

/// What is configured to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follows {
    /// Whose.
    pub pipeline: PipelineId,
    /// Whether the edge is looked at.
    pub verify: bool,
    /// How much later it is purged once more, if it is.
    pub repurge_after: Option<Duration>,
}

/// What was planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FollowedUp {
    /// For so many requests.
    pub requests: usize,
    /// So many assets are not verified, since too many wait.
    pub left_out: u64,
}

/// What is to be done, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowUps {
    /// Pipelines with settled requests on which nothing was planned yet.
    pub unplanned: Vec<PipelineId>,
    /// The next looks, the earliest first.
    pub checks: Vec<Check>,
    /// When the next purge is to be made again.
    pub again: Option<Time>,
}

#[cfg(test)]
mod tests;
