//! The read model: everything that `status`, the metrics and the page show, gathered once.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::cause::{Cause, CauseWord, causes};
use super::input::Segment;
use super::{Admin, AdminError, AdminPipeline};
use crate::core::change::PipelineId;
use crate::core::delivery::DueDeliveries;
use crate::core::pause::Pause;
use crate::core::planner::{Alarm, HotAsset, UNAUTHORIZED, View};
use crate::core::time::Time;
use crate::credentials::Credential;
use crate::origin::{self, Held, OriginStatus, ScanReason, ScanSummary, WaitingFile, WaitsFor};
use crate::store::{Orphan, RequestFilter, Slice};
use crate::webhook::{ListenerHandle, RouteStatus};

/// The alarm for assets that are given up.
pub(super) const FAILED: &str = "failed";
/// The alarm for a configuration file that is not at work.
pub(super) const CONFIG: &str = "config";
/// The alarm for a secret that was replaced while a copy of the old one is in use.
pub(super) const CREDENTIAL: &str = "credential";

/// An origin, as `status` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct OriginView {
    /// Its name in the pipeline.
    pub name: String,
    /// Whether changes are noticed: it is watched, and was compared once.
    pub armed: bool,
    /// Whether a scan of the whole origin runs.
    pub scanning: bool,
    /// Whether it is scanned every few seconds, for want of events.
    pub polling: bool,
    /// Files in the index.
    pub indexed_files: u64,
    /// Those of them whose content is not known yet.
    pub unread_files: u64,
    /// The first of them.
    pub first_unread: Option<String>,
    /// Files that are being written.
    pub writing_files: u64,
    /// The first files that are being written, and the one that is being read.
    pub waiting: Vec<WaitingView>,
    /// Files that are gone, and whose loss is not believed.
    pub held: Option<HeldView>,
    /// Directories under watch.
    pub watched_directories: u64,
    /// Directories that could not be watched.
    pub unwatched_directories: u64,
    /// Directories that can't be listed: what is in them is not known.
    pub unreadable_directories: u64,
    /// Files whose bytes can't be read: they are compared by size and times.
    pub unreadable_files: u64,
    /// The first of those.
    pub unreadable_file: Option<String>,
    /// Directories that have names which are not followed, since links lead to them in too many ways.
    pub unfollowed_directories: u64,
    /// Places that are still to be looked at.
    pub pending: u64,
    /// Times that file events were lost.
    pub lost_events: u64,
    /// Files that looked changed and held the same bytes.
    pub unchanged: u64,
    /// Changes that only a background scan found.
    pub drift: u64,
    /// Scans by reason.
    pub scans: BTreeMap<&'static str, u64>,
    /// The last scan of the whole origin.
    pub last_scan: Option<ScanView>,
    /// What an operator should act on.
    #[serde(skip)]
    pub alarms: Vec<origin::Alarm>,
}

/// A file that is not known now, as `status` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct WaitingView {
    /// Its path below the root.
    pub path: String,
    /// `writing`, or `reading`.
    pub state: CauseWord,
    /// Since when.
    pub since: Time,
    /// Bytes read, and bytes in all, while it is being read.
    pub read: Option<(u64, u64)>,
}

impl WaitingView {
    fn new(file: &WaitingFile) -> Self {
        let (state, read) = match file.waits_for {
            WaitsFor::Writer => (CauseWord::Writing, None),
            WaitsFor::Reader(read, size) => (CauseWord::Reading, Some((read, size))),
        };
        Self {
            path: String::from_utf8_lossy(&file.path).into_owned(),
            state,
            since: file.since,
            read,
        }
    }

    /// What it waits for, for a person.
    pub(super) fn text(&self) -> String {
        const MIB: u64 = 1024 * 1024;
        let (path, since) = (self.path.escape_debug(), self.since);
        match self.read {
            Some((read, size)) => format!(
                "{path} is being read since {since}, {} of {} MiB",
                read / MIB,
                size / MIB
            ),
            None => format!("{path} is being written since {since}"),
        }
    }
}

/// Files that are gone, and whose loss is not believed, as `status` shows them.
#[derive(Clone, Debug, Serialize)]
pub struct HeldView {
    /// How many.
    pub files: u64,
    /// The first of them, below the root.
    pub first: String,
    /// The directory below the root whose filesystem is not mounted any more, where that is why.
    pub unmounted: Option<String>,
}

impl HeldView {
    fn new(held: &Held) -> Self {
        let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        Self {
            files: held.files,
            first: text(&held.first),
            unmounted: held.unmounted.as_deref().map(text),
        }
    }
}

/// A scan, as `status` shows it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ScanView {
    /// Why it ran.
    pub reason: &'static str,
    /// When it ended.
    pub ended: Time,
    /// How long it took.
    pub took_ms: u64,
    /// Files seen.
    pub files: u64,
    /// Files found new.
    pub new: u64,
    /// Files found changed.
    pub changed: u64,
    /// Files found gone.
    pub gone: u64,
    /// Whether so many were gone that nothing was purged.
    pub held: bool,
}

impl From<ScanSummary> for ScanView {
    fn from(scan: ScanSummary) -> Self {
        Self {
            reason: scan.reason.as_str(),
            ended: scan.at.after(scan.took),
            took_ms: u64::try_from(scan.took.as_millis()).unwrap_or(u64::MAX),
            files: scan.files,
            new: scan.new,
            changed: scan.changed,
            gone: scan.gone,
            held: scan.held,
        }
    }
}

impl OriginView {
    fn new(name: &str, status: OriginStatus) -> Self {
        Self {
            name: name.to_owned(),
            armed: status.armed,
            scanning: status.scanning,
            polling: status.polling,
            indexed_files: status.indexed_files,
            unread_files: status.unread_files,
            first_unread: status
                .first_unread
                .map(|path| String::from_utf8_lossy(&path).into_owned()),
            writing_files: status.writing_files,
            waiting: status.waiting.iter().map(WaitingView::new).collect(),
            held: status.held.as_ref().map(HeldView::new),
            watched_directories: status.watched_directories,
            unwatched_directories: status.unwatched_directories,
            unreadable_directories: status.unreadable_directories,
            unreadable_files: status.unreadable_files,
            unreadable_file: status.unreadable_file,
            unfollowed_directories: status.unfollowed_directories,
            pending: status.pending_hints,
            lost_events: status.lost_events,
            unchanged: status.unchanged_total,
            drift: status.drift_total,
            scans: ScanReason::ALL
                .iter()
                .map(|reason| {
                    let count = status.scans.get(reason).copied().unwrap_or(0);
                    (reason.as_str(), count)
                })
                .collect(),
            last_scan: status.last_scan.map(ScanView::from),
            alarms: status.alarms,
        }
    }
}

/// A pipeline, as `status` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct PipelineStatus {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: PipelineId,
    /// Assets queued.
    pub queued_assets: usize,
    /// Why a purge of everything is queued, if one is.
    pub queued_all: Option<&'static str>,
    /// When the oldest queued change was noticed.
    pub oldest_queued: Option<Time>,
    /// Purge requests in flight.
    pub in_flight: usize,
    /// Assets given up, until a later purge of them is done.
    pub failed_assets: u64,
    /// Assets in a request, where the API was found to take fewer than are configured.
    pub learned_max_assets: Option<usize>,
    /// The assets that change all the time and are purged less often; the slowest first.
    pub hot: Vec<HotAsset>,
    /// Whether nothing is sent, since somebody holds it back.
    pub paused: bool,
    /// Who does.
    pub pauses: Vec<Pause>,
    /// Its origins.
    pub origins: Vec<OriginView>,
    /// Whether nothing is queued, in flight or failed, every origin is seen, and no alarm is on.
    pub fresh: bool,
    /// What it waits for.
    pub causes: Vec<Cause>,
}

/// A pipeline that left the configuration, as `status` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct OrphanStatus {
    /// What is left of it.
    #[serde(flatten)]
    pub left: Orphan,
    /// Purge requests in flight.
    pub in_flight: usize,
}

/// The webhook listener, as `status` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct WebhooksView {
    /// Where it listens.
    pub listen: Vec<String>,
    /// Its routes.
    pub routes: Vec<RouteStatus>,
    /// Calls since the start that were of no route.
    pub unknown_calls: u64,
}

impl From<&ListenerHandle> for WebhooksView {
    fn from(listener: &ListenerHandle) -> Self {
        Self {
            listen: listener.addresses().to_vec(),
            routes: listener.status(),
            unknown_calls: listener.unknown_calls(),
        }
    }
}

/// The whole status.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The version that runs.
    pub version: &'static str,
    /// The time.
    pub now: Time,
    /// The API's URL.
    pub api_url: String,
    /// Whether no pipeline and no delivery waits for anything: every change is noticed and purged, or
    /// given up.
    pub settled: bool,
    /// Whether each pipeline is fresh, and no alarm is on.
    pub fresh: bool,
    /// The calls a second that the API is found to take; what is configured while it takes that.
    pub api_rate_limit: f64,
    /// How many calls may be on the wire at once, as fast as the API answers now.
    pub api_calls_at_once: usize,
    /// The pipelines.
    pub pipelines: Vec<PipelineStatus>,
    /// What is left of pipelines that are in the configuration no more: kept until they return, or
    /// somebody drops it.
    pub orphaned: Vec<OrphanStatus>,
    /// The webhook listener; `None` where no pipeline has a webhook.
    pub webhooks: Option<WebhooksView>,
    /// The secrets that are copies of systemd's.
    pub credentials: Vec<Credential>,
    /// What an operator should act on.
    pub alarms: Vec<AlarmView>,
}

/// An alarm, with the pipeline's name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AlarmView {
    /// The pipeline's name; `None`: all pipelines'.
    pub pipeline: Option<String>,
    /// The origin's name, where it is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// A short word, the label of the metric.
    pub reason: String,
    /// What, why, and what to do.
    pub text: String,
}

/// `GET /api/v1/status`
pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Result<Json<Status>, AdminError> {
    Ok(Json(collect(&admin).await?))
}

/// The pipelines, as [`Status`] has them.
#[derive(Debug, Serialize)]
pub(super) struct Pipelines {
    pipelines: Vec<PipelineStatus>,
}

/// `GET /api/v1/pipelines`
pub(super) async fn pipelines(
    State(admin): State<Arc<Admin>>,
) -> Result<Json<Pipelines>, AdminError> {
    let pipelines = collect(&admin).await?.pipelines;
    Ok(Json(Pipelines { pipelines }))
}

/// `GET /api/v1/pipelines/{pipeline}`: one, by name or id.
pub(super) async fn pipeline(
    State(admin): State<Arc<Admin>>,
    Segment(name): Segment<String>,
) -> Result<Json<PipelineStatus>, AdminError> {
    let (id, _) = admin.pipeline(&name)?;
    let mut pipelines = collect(&admin).await?.pipelines.into_iter();
    pipelines
        .find(|pipeline| pipeline.id == *id)
        .map(Json)
        .ok_or_else(|| AdminError::NotFound(format!("there is no pipeline `{name}`")))
}

/// Gathers the status.
pub(super) async fn collect(admin: &Admin) -> Result<Status, AdminError> {
    // In the direction that changes flow: what left the origins is in the engine's view.
    let origins: Vec<Vec<OriginView>> = admin.pipelines.values().map(origins).collect();
    let view = admin.view().await?;
    let failed = admin.store.failed_assets().await?;
    let waiting = admin.store.due_deliveries().await?;
    let pipelines: Vec<PipelineStatus> = admin
        .pipelines
        .iter()
        .zip(origins)
        .map(|((id, pipeline), origins)| pipeline_status(id, pipeline, origins, &view, &failed))
        .collect();
    let mut pipelines = pipelines;
    let credentials = admin.credentials.look();
    let mut alarms = alarms(admin, view.alarms.clone(), &pipelines, &credentials);
    for pipeline in pipelines.iter().filter(|one| one.failed_assets > 0) {
        alarms.push(failed_alarm(admin, pipeline).await?);
    }
    for pipeline in &mut pipelines {
        let name = pipeline.name.clone();
        let ours = || {
            let ours = |alarm: &&AlarmView| alarm.pipeline.as_ref().is_none_or(|of| *of == name);
            alarms.iter().filter(ours)
        };
        pipeline.causes = causes(pipeline, ours());
        pipeline.fresh = pipeline.causes.is_empty() && ours().next().is_none();
    }
    // What is given up waits for a person.
    let waits = |cause: &Cause| cause.word != CauseWord::Failed;
    let waits = pipelines.iter().flat_map(|one| &one.causes).any(waits);
    let delivered = waiting == DueDeliveries::default();
    Ok(Status {
        version: env!("CARGO_PKG_VERSION"),
        now: admin.clock.now(),
        api_url: admin.api_url.clone(),
        settled: !waits && delivered && view.settled(),
        fresh: delivered && alarms.is_empty() && pipelines.iter().all(|one| one.fresh),
        api_rate_limit: per_second(view.api_rate_limit),
        api_calls_at_once: view.api_calls_at_once,
        orphaned: orphaned(admin, &view).await?,
        credentials,
        alarms,
        webhooks: admin.webhooks.as_ref().map(WebhooksView::from),
        pipelines,
    })
}

/// Thousandths of a call a second, as calls a second.
fn per_second(thousandths: u64) -> f64 {
    f64::from(u32::try_from(thousandths).unwrap_or(u32::MAX)) / 1_000.0
}

async fn orphaned(admin: &Admin, view: &View) -> Result<Vec<OrphanStatus>, AdminError> {
    let mut left: BTreeMap<PipelineId, Orphan> = admin
        .orphans()
        .await?
        .into_iter()
        .map(|orphan| (orphan.id.clone(), orphan))
        .collect();
    let flying = view
        .pipelines
        .iter()
        .filter(|(id, pipeline)| pipeline.in_flight > 0 && !admin.pipelines.contains_key(*id));
    for (id, _) in flying {
        left.entry(id.clone()).or_insert_with(|| Orphan {
            id: id.clone(),
            queued_changes: 0,
            queued_all: None,
            failed_changes: 0,
        });
    }
    let orphans = left.into_values().map(|left| OrphanStatus {
        in_flight: view.pipelines.get(&left.id).map_or(0, |one| one.in_flight),
        left,
    });
    Ok(orphans.collect())
}

fn origins(pipeline: &AdminPipeline) -> Vec<OriginView> {
    pipeline
        .origins
        .iter()
        .map(|(name, origin)| OriginView::new(name, origin.status()))
        .collect()
}

fn pipeline_status(
    id: &PipelineId,
    pipeline: &AdminPipeline,
    origins: Vec<OriginView>,
    view: &View,
    failed: &BTreeMap<PipelineId, u64>,
) -> PipelineStatus {
    let planned = view.pipelines.get(id).cloned().unwrap_or_default();
    PipelineStatus {
        name: pipeline.name.to_string(),
        id: id.clone(),
        queued_assets: planned.queued_assets,
        queued_all: planned.queued_all,
        oldest_queued: planned.oldest_queued,
        in_flight: planned.in_flight,
        failed_assets: failed.get(id).copied().unwrap_or(0),
        learned_max_assets: planned.learned_max_assets,
        hot: planned.hot,
        paused: !planned.pauses.is_empty(),
        pauses: planned.pauses,
        origins,
        fresh: false,
        causes: Vec::new(),
    }
}

/// The alarm for assets that are given up, with the reason of the last purge request that failed.
async fn failed_alarm(admin: &Admin, pipeline: &PipelineStatus) -> Result<AlarmView, AdminError> {
    let filter = RequestFilter {
        pipeline: Some(pipeline.id.clone()),
        status: Some("failed".to_owned()),
        slice: Slice::first(1),
        ..RequestFilter::default()
    };
    let last = admin.store.requests(filter).await?.rows.pop();
    let why = last.map_or_else(
        || "the edge keeps old bytes; see `edgepurge explain`".to_owned(),
        |request| format!("request {}: {}", request.id, request.why),
    );
    let (assets, name) = (pipeline.failed_assets, &pipeline.name);
    Ok(AlarmView {
        pipeline: Some(name.clone()),
        origin: None,
        reason: FAILED.to_owned(),
        text: format!(
            "{assets} assets are failed, and may be stale: {why}; when that is mended, \
             `edgepurge retry {name}`"
        ),
    })
}

fn alarms(
    admin: &Admin,
    planned: Vec<Alarm>,
    pipelines: &[PipelineStatus],
    credentials: &[Credential],
) -> Vec<AlarmView> {
    let name = |id: &PipelineId| {
        admin
            .pipelines
            .get(id)
            .map_or_else(|| id.to_string(), |pipeline| pipeline.name.to_string())
    };
    let mut alarms: Vec<AlarmView> = planned
        .into_iter()
        .map(|alarm| AlarmView {
            pipeline: alarm.pipeline.as_ref().map(name),
            origin: None,
            reason: alarm.reason.to_owned(),
            text: match &admin.key {
                Some(key) if alarm.reason == UNAUTHORIZED => {
                    format!("{}; the key is from: {key}; {}", alarm.text, key.renewal())
                }
                _ => alarm.text,
            },
        })
        .collect();
    if let Some(why) = admin.reloads.failure() {
        alarms.push(AlarmView {
            pipeline: None,
            origin: None,
            reason: CONFIG.to_owned(),
            text: format!(
                "the configuration of before is at work, since the file's is refused: {why}"
            ),
        });
    }
    alarms.extend(credentials.iter().filter_map(|credential| {
        Some(AlarmView {
            pipeline: None,
            origin: None,
            reason: CREDENTIAL.to_owned(),
            text: credential.alarm()?,
        })
    }));
    for pipeline in pipelines {
        for origin in &pipeline.origins {
            for alarm in &origin.alarms {
                alarms.push(AlarmView {
                    pipeline: Some(pipeline.name.clone()),
                    origin: Some(origin.name.clone()),
                    reason: alarm.reason.to_owned(),
                    text: format!("origin {}: {}", origin.name, alarm.text),
                });
            }
        }
    }
    alarms
}
