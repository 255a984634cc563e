//! The status: what `status`, the metrics, the log and systemd show.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::core::alarm::{Alarm, Place};
use crate::core::cause::Cause;
use crate::core::change::PipelineId;
use crate::core::nodes::{Node, Trees};
use crate::core::planner::PipelineView;
use crate::core::time::Time;
use crate::credentials::Credential;
use crate::metrics::RecentStatus;
use crate::origin::OriginStatus;
use crate::store::{ChangeRecord, ListedDelivery, Orphan};
use crate::webhook::{CertificateStatus, RouteStatus};

/// The whole status.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The version that runs.
    pub version: String,
    /// The time.
    pub now: Time,
    /// When the process started.
    #[serde(default)]
    pub started: Time,
    /// The file of the configuration.
    #[serde(default)]
    pub config_file: PathBuf,
    /// When that was read.
    #[serde(default)]
    pub config_read: Time,
    /// All in a word: the worst of the pipelines' states, and trouble where an alarm is on.
    #[serde(default)]
    pub state: State,
    /// From when on the percentiles and counts of the pipelines know what was purged: 24 h ago, or the
    /// start until the history is read.
    #[serde(default)]
    pub recent_since: Time,
    /// The API's URL.
    pub api_url: String,
    /// Whether no pipeline and no delivery waits for anything: every change is noticed and purged, or
    /// given up.
    pub settled: bool,
    /// Whether each pipeline is fresh, and no alarm is on.
    pub fresh: bool,
    /// The calls a second that the API is found to take; what is configured while it takes that.
    pub api_rate_limit: f64,
    /// The calls a second that are configured.
    #[serde(default)]
    pub api_rate_configured: f64,
    /// Since when the API is found to take fewer; `None`: it takes them.
    #[serde(default)]
    pub api_limits_since: Option<Time>,
    /// How many calls may be on the wire at once, as fast as the API answers now.
    pub api_calls_at_once: usize,
    /// Whether this node plans and sends.
    #[serde(default = "alone")]
    pub leads: bool,
    /// The nodes that share the queue; none where it is this node's alone.
    #[serde(default)]
    pub nodes: Vec<Node>,
    /// When the nodes were read last, where they can't be read now; `None`: they are as they are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_as_of: Option<Time>,
    /// The pipelines.
    pub pipelines: Vec<PipelineStatus>,
    /// What is left of pipelines that are in the configuration no more: kept until they return, or
    /// it is dropped.
    pub orphaned: Vec<OrphanStatus>,
    /// The webhook listener; `None` where no pipeline has a webhook.
    pub webhooks: Option<WebhooksStatus>,
    /// The last delivery of each route, as far as it is among the last thousand.
    #[serde(default)]
    pub last_deliveries: Vec<ListedDelivery>,
    /// The secrets that are copies of systemd's.
    pub credentials: Vec<Credential>,
    /// What an operator should act on, on this node and on the others that run.
    pub alarms: Vec<Alarm>,
    /// Changes that the database had forgotten and this node has committed again, since its start.
    #[serde(default)]
    pub replayed_changes: u64,
}

/// An older daemon is alone.
const fn alone() -> bool {
    true
}

impl Status {
    /// What follows the rate of calls to the API: its unit, the rate that is configured, and, where the API limits
    /// it, what that means.
    #[must_use]
    pub fn api_rate(&self) -> String {
        let limited = self.api_limits_since.map_or(
            "",
            |_| ": the API limits the rate, which grows back by itself",
        );
        let configured = self.api_rate_configured;
        format!("calls a second (configured: {configured:.1}){limited}")
    }

    /// The alarms of this node.
    pub fn own_alarms(&self) -> impl Iterator<Item = &Alarm> {
        self.alarms.iter().filter(|alarm| alarm.node.is_none())
    }

    /// The pipeline of this name or id.
    #[must_use]
    pub fn pipeline(&self, name: &str) -> Option<&PipelineStatus> {
        let mut pipelines = self.pipelines.iter();
        pipelines.find(|one| one.name == name || one.id.as_str() == name)
    }
}

/// The pipelines, as [`Status`] has them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pipelines {
    /// Each of the configuration.
    pub pipelines: Vec<PipelineStatus>,
}

/// A pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PipelineStatus {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: PipelineId,
    /// What the planner does with it.
    #[serde(flatten)]
    pub planned: PipelineView,
    /// Assets given up, until a later purge of them is done.
    pub failed_assets: u64,
    /// Files that are not the same on this node of a fleet and on others, and are not waited for.
    #[serde(default)]
    pub diverged_files: usize,
    /// How the files of its directories compare on the nodes that have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trees: Vec<Trees>,
    /// Whether nothing is sent, since a pause holds it back.
    pub paused: bool,
    /// Its state in a word.
    #[serde(default)]
    pub state: State,
    /// The oldest change that is not settled, and why it was made.
    #[serde(default)]
    pub oldest: Option<OldestChange>,
    /// What was purged in the last day.
    #[serde(default)]
    pub recent: RecentStatus,
    /// Where its id is in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Its origins.
    pub origins: Vec<OriginStatus>,
    /// Whether nothing is queued, in flight or failed, every origin is seen, and no alarm is on.
    pub fresh: bool,
    /// What it waits for.
    pub causes: Vec<Cause>,
}

/// How it stands with a pipeline, or with all, in a word; the worst is the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// All that changed is purged.
    #[default]
    Fresh,
    /// A pause holds back what changes.
    Paused,
    /// Changes are on their way.
    Working,
    /// An origin is not watched and compared yet.
    Starting,
    /// A person has to act.
    Trouble,
}

impl State {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Paused => "paused",
            Self::Working => "working",
            Self::Starting => "starting",
            Self::Trouble => "trouble",
        }
    }
}

/// The oldest change of a pipeline that is not settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldestChange {
    /// When it was noticed.
    pub seen: Time,
    /// The change, where the history has it.
    pub change: Option<ChangeRecord>,
}

/// A pipeline that left the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OrphanStatus {
    /// What is left of it.
    #[serde(flatten)]
    pub left: Orphan,
    /// Purge requests in flight.
    pub in_flight: usize,
}

/// The webhook listener.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WebhooksStatus {
    /// Where it listens.
    pub listen: Vec<String>,
    /// Its routes.
    pub routes: Vec<RouteStatus>,
    /// Calls since the start that were of no route.
    pub unknown_calls: u64,
    /// TLS handshakes since the start that came to nothing.
    #[serde(default)]
    pub failed_handshakes: u64,
    /// Its certificate, where TLS is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,
}
