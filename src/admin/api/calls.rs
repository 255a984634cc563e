//! What operators ask of a running daemon, and its answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::core::pause::Pause;
use crate::origin::ScanSummary;

/// Why a call was not done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// Why, for a person.
    pub error: String,
    /// A word that a program can go by.
    pub class: String,
}

/// What is to be purged: assets or URLs, or everything.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurgeBody {
    /// The pipeline's name or id.
    pub pipeline: String,
    /// Assets, or URLs of them. One that is spelled out (`/%e6%97%a5/`) is purged exactly so, another
    /// one in every spelling that the pipeline's `encoding` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<String>,
    /// Globs over assets, expanded over the index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub globs: Vec<String>,
    /// Everything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// What was queued: the changes, committed to disk.
#[derive(Debug, Serialize, Deserialize)]
pub struct PurgeAnswer {
    /// The pipeline's name.
    pub pipeline: String,
    /// How many changes.
    pub changes: u64,
    /// How many assets the globs matched.
    #[serde(default)]
    pub matched: u64,
    /// What was given and is not purged just as it was given, and the assets that it is purged as. Only
    /// the first ones.
    #[serde(default)]
    pub spelled: BTreeMap<String, Vec<String>>,
    /// The first's sequence number.
    pub first: u64,
    /// The last's.
    pub last: u64,
}

/// Which pipeline's origins are to be scanned.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanBody {
    /// The pipeline's name or id.
    pub pipeline: String,
    /// A loss that the guard holds back counts as real.
    #[serde(default)]
    pub accept_loss: bool,
    /// On which node, of several that share the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// What the scans found; committed to disk.
#[derive(Debug, Serialize, Deserialize)]
pub struct ScanAnswer {
    /// The pipeline's name.
    pub pipeline: String,
    /// Each of its origins, on each node.
    pub origins: Vec<OriginScan>,
    /// Nodes that were silent, and not scanned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<String>,
}

/// What the scan of an origin found.
#[derive(Debug, Serialize, Deserialize)]
pub struct OriginScan {
    /// The node that it is on, of several that share the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The origin's name.
    pub name: String,
    /// What was found.
    #[serde(flatten)]
    pub scan: ScanSummary,
}

/// Which pipeline is waited for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitQuery {
    /// The pipeline's name or id.
    pub pipeline: String,
    /// Nodes that are not waited for, with commas between their names.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub without: String,
}

/// Where the queue stands.
#[derive(Debug, Serialize, Deserialize)]
pub struct WaitAnswer {
    /// The pipeline's name.
    pub pipeline: String,
    /// The last change that was committed.
    pub last: u64,
    /// Moves when a database may have forgotten changes: those that come again have other numbers.
    #[serde(default)]
    pub history: u64,
    /// Why what is gone is not believed, if it is not.
    pub held: Option<String>,
    /// Nodes that were silent: what changed there is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<String>,
}

/// Up to which change of a pipeline everything has to be settled.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettledQuery {
    /// The pipeline's name or id.
    pub pipeline: String,
    /// The change.
    pub last: u64,
    /// As it was when that was the last one.
    #[serde(default)]
    pub history: u64,
}

/// Whether it is.
#[derive(Debug, Serialize, Deserialize)]
pub struct SettledAnswer {
    /// The pipeline's name.
    pub pipeline: String,
    /// Whether all of it is purged or given up.
    pub settled: bool,
    /// Assets of the pipeline that are given up.
    pub failed_assets: u64,
}

/// Which pipeline is to be paused, and how.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseBody {
    /// The pipeline's name or id.
    pub pipeline: String,
    /// For so many seconds; left out: until resumed, and a minute for a lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Why, for others to read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The name of a lease: the pause lasts a minute at most, and the same call renews it. Beside
    /// it, pauses of others hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
}

/// Which pause is to end.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeBody {
    /// The pipeline's name or id.
    pub pipeline: String,
    /// The lease that ends; left out: the pause of a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
}

/// What holds a pipeline back now.
#[derive(Debug, Serialize, Deserialize)]
pub struct PauseAnswer {
    /// The pipeline's name.
    pub pipeline: String,
    /// Whether it was paused before, in the same way.
    pub was_paused: bool,
    /// Whether it is paused now, by anything.
    pub paused: bool,
    /// Every pause that holds.
    pub pauses: Vec<Pause>,
    /// The last change that was committed.
    pub last: u64,
}

/// What is to be tried again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryBody {
    /// A pipeline's name or id, a request's local number, or its id at the API.
    pub target: String,
}

/// Whose queue is to be dropped.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropBody {
    /// The pipeline's name or id.
    pub pipeline: String,
    /// The same again: what is dropped stays stale.
    pub confirm: String,
}

/// How many changes were queued again, or dropped.
#[derive(Debug, Serialize, Deserialize)]
pub struct CountAnswer {
    /// The pipeline's name; its id where it is in the configuration no more.
    pub pipeline: String,
    /// How many changes.
    pub changes: u64,
}

/// Which node is to be forgotten.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgetBody {
    /// Its name.
    pub node: String,
}
