//! The read model: everything that `status`, the metrics and the page show, gathered once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;

use super::api::{
    Cause, CauseWord, OldestChange, OrphanStatus, PipelineStatus, Pipelines, State as Word, Status,
    WebhooksStatus,
};
use super::cause::{causes, counted, of_round};
use super::input::Segment;
use super::{Admin, AdminError, AdminPipeline, divergence};
use crate::clock::Clock;
use crate::core::alarm::{Alarm, AlarmKind, Place};
use crate::core::change::PipelineId;
use crate::core::delivery::DueDeliveries;
use crate::core::nodes::{Node, NodeState};
use crate::core::planner::View;
use crate::core::time::Time;
use crate::credentials::Credential;
use crate::fleet::FleetHandle;
use crate::origin::OriginStatus;
use crate::store::{ChangeFilter, ChangeRecord, History, Orphan, RequestFilter, Slice, StoreError};
use crate::webhook::ListenerHandle;

/// What the alarm `listen` says.
const DEAF: &str = "the queue: PostgreSQL commits, and its announcements of that do not arrive: something in between keeps \
                    them back";
/// How long the alarm lasts that commits had been forgotten.
const FORGOTTEN: Duration = Duration::from_hours(1);

impl From<&ListenerHandle> for WebhooksStatus {
    fn from(listener: &ListenerHandle) -> Self {
        Self {
            listen: listener.addresses().to_vec(),
            routes: listener.status(),
            unknown_calls: listener.unknown_calls(),
            failed_handshakes: listener.failed_handshakes(),
            certificate: listener.certificate(),
        }
    }
}

/// `GET /api/v1/status`
pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Result<Json<Status>, AdminError> {
    Ok(Json(collect(&admin).await?))
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
    let origins: Vec<Vec<OriginStatus>> = admin.pipelines.values().map(origins).collect();
    let view = admin.view().await?;
    let failed = known(admin.store.failed_assets().await)?;
    let waiting = known(admin.store.due_deliveries().await)?;
    let mut pipelines: Vec<PipelineStatus> = admin
        .pipelines
        .iter()
        .zip(origins)
        .map(|((id, pipeline), origins)| {
            pipeline_status(admin, id, pipeline, origins, &view, &failed)
        })
        .collect();
    let trees = admin.fleet.as_ref().map(FleetHandle::trees);
    for tree in trees.into_iter().flatten() {
        let mut of = pipelines.iter_mut();
        if let Some(of) = of.find(|one| one.name == tree.pipeline) {
            of.trees.push(tree);
        }
    }
    let credentials = admin.credentials.look();
    let mut alarms = alarms(admin, &view, &pipelines, &credentials);
    for pipeline in pipelines.iter().filter(|one| one.failed_assets > 0) {
        alarms.push(failed_alarm(admin, pipeline).await?);
    }
    let (now, node) = (admin.clock.now(), admin.node());
    complete(admin, &mut alarms, now);
    let nodes = admin.nodes();
    let away = admin.store.away().is_some();
    let fleet = admin.fleet.as_ref().filter(|_| away);
    let nodes_as_of = fleet.and_then(FleetHandle::observed);
    let leads = admin.fleet.as_ref().is_none_or(FleetHandle::leads);
    alarms.extend(elsewhere(admin, &nodes));
    oldest(admin, &view, &mut pipelines).await?;
    for pipeline in &mut pipelines {
        let name = pipeline.name.clone();
        let ours = || {
            let ours = |alarm: &&Alarm| alarm.pipeline.as_ref().is_none_or(|of| *of == name);
            alarms.iter().filter(ours)
        };
        let (origins, planned) = (&pipeline.origins, &pipeline.planned);
        let mut all = causes(origins, planned, pipeline.failed_assets, ours());
        all.extend(round_causes(admin, &pipeline.id, node.as_deref(), ours));
        if !leads {
            all.extend(leaders_causes(&nodes, pipeline));
        }
        all.sort_by_key(|cause| cause.word);
        pipeline.causes = all;
        pipeline.fresh = pipeline.causes.is_empty() && ours().next().is_none();
        pipeline.state = state(pipeline, ours());
    }
    // What is given up waits for a person.
    let waits = |cause: &Cause| cause.word != CauseWord::Failed;
    let waits = pipelines.iter().flat_map(|one| &one.causes).any(waits);
    let delivered = waiting == DueDeliveries::default();
    let states = pipelines.iter().map(|one| one.state);
    let alarmed = alarms.first().map(|_| Word::Trouble);
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        leads,
        nodes,
        nodes_as_of,
        now,
        started: admin.metrics.recent.began(),
        config_file: admin.config_file.clone(),
        config_read: admin.config_read,
        state: states.chain(alarmed).max().unwrap_or_default(),
        recent_since: admin.metrics.recent.since(),
        last_deliveries: known(admin.store.last_deliveries().await)?,
        api_url: admin.api_url.clone(),
        settled: !waits && delivered && view.settled() && !away,
        fresh: delivered && alarms.is_empty() && pipelines.iter().all(|one| one.fresh),
        api_rate_limit: per_second(view.api_rate_limit),
        api_limits_since: view.api_limits_since,
        api_rate_configured: per_second(view.api_rate_configured),
        api_calls_at_once: view.api_calls_at_once,
        orphaned: orphaned(admin, &view).await?,
        credentials,
        alarms,
        replayed_changes: admin.store.history().replayed,
        webhooks: admin.webhooks.as_ref().map(WebhooksStatus::from),
        pipelines,
    })
}

/// Says of each alarm of this node since when it is on, and where.
fn complete(admin: &Admin, alarms: &mut [Alarm], now: Time) {
    let node = admin.node();
    for alarm in alarms {
        if let (AlarmKind::Loss, Some(node)) = (alarm.reason, &node) {
            // The files of this node are meant, and another one may be asked.
            let whose = format!("--accept-loss --node {node}");
            alarm.text = alarm.text.replace("--accept-loss", &whose);
            alarm.remedy = alarm.remedy.replace("--accept-loss", &whose);
        }
        alarm.since = Some(admin.alarm_times.since(alarm, now));
        alarm.place = place(admin, alarm);
    }
}

/// The other nodes that a command or a delivery here waits for until they have done a round.
fn round_causes<'a, A: Iterator<Item = &'a Alarm>>(
    admin: &Admin,
    pipeline: &PipelineId,
    own: Option<&str>,
    alarms: impl Fn() -> A,
) -> Vec<Cause> {
    let awaited = admin.fleet.iter().flat_map(|fleet| fleet.awaited(pipeline));
    // What this node itself waits for, its origins say.
    let others: BTreeSet<String> = awaited.filter(|name| own != Some(&**name)).collect();
    let causes = others.iter().map(|name| of_round(name, alarms()));
    causes.collect()
}

/// What the planner of another node waits for, that leads, as it said last.
fn leaders_causes(nodes: &[Node], pipeline: &PipelineStatus) -> Vec<Cause> {
    let planned = &pipeline.planned;
    if planned.queued_assets == 0 && planned.queued_all.is_none() {
        // It has not said yet that this is over.
        return Vec::new();
    }
    let leader = nodes.iter().find(|node| node.state == NodeState::Leads);
    let waits = leader.map_or(&[][..], |leader| &leader.report.waits);
    let of = waits.iter().find(|wait| wait.pipeline == pipeline.name);
    of.map_or_else(Vec::new, |wait| wait.causes.clone())
}

/// What the store answers. While its server is away, that is nothing; an alarm says so.
pub(super) fn known<T: Default>(answer: Result<T, StoreError>) -> Result<T, StoreError> {
    match answer {
        Err(StoreError::Away(_)) => Ok(T::default()),
        answer => answer,
    }
}

/// Thousandths of a call a second, as calls a second.
fn per_second(thousandths: u64) -> f64 {
    f64::from(u32::try_from(thousandths).unwrap_or(u32::MAX)) / 1_000.0
}

async fn orphaned(admin: &Admin, view: &View) -> Result<Vec<OrphanStatus>, AdminError> {
    let mut left: BTreeMap<PipelineId, Orphan> = known(admin.orphans().await)?
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

fn origins(pipeline: &AdminPipeline) -> Vec<OriginStatus> {
    let origins = pipeline.origins.iter();
    origins.map(|(_, origin)| origin.status()).collect()
}

fn pipeline_status(
    admin: &Admin,
    id: &PipelineId,
    pipeline: &AdminPipeline,
    origins: Vec<OriginStatus>,
    view: &View,
    failed: &BTreeMap<PipelineId, u64>,
) -> PipelineStatus {
    let planned = view.pipelines.get(id).cloned().unwrap_or_default();
    PipelineStatus {
        name: pipeline.name.to_string(),
        id: id.clone(),
        failed_assets: failed.get(id).copied().unwrap_or(0),
        paused: !planned.pauses.is_empty(),
        planned,
        origins,
        fresh: false,
        causes: Vec::new(),
        state: Word::default(),
        oldest: None,
        recent: admin.metrics.recent.status(&pipeline.name),
        diverged_files: admin.diverged_files(id),
        trees: Vec::new(),
        place: pipeline.place.clone(),
    }
}

/// The state of a pipeline; these are its alarms, and those of all pipelines.
fn state<'a>(pipeline: &PipelineStatus, mut alarms: impl Iterator<Item = &'a Alarm>) -> Word {
    let waits = !pipeline.causes.is_empty();
    // What is about all pipelines is the trouble of those that it holds back: without the store, it is not known
    // what waits.
    let holds_all = |reason| matches!(reason, AlarmKind::Unauthorized | AlarmKind::Store);
    let troubles = |alarm: &Alarm| {
        alarm.pipeline.is_some() || (alarm.reason.stalls() && (waits || holds_all(alarm.reason)))
    };
    if alarms.any(troubles) {
        Word::Trouble
    } else if pipeline.origins.iter().any(|origin| !origin.armed) {
        Word::Starting
    } else if pipeline.paused {
        Word::Paused
    } else if waits {
        Word::Working
    } else {
        Word::Fresh
    }
}

/// Adds the oldest change of each pipeline.
async fn oldest(
    admin: &Admin,
    view: &View,
    pipelines: &mut [PipelineStatus],
) -> Result<(), AdminError> {
    let views = view.pipelines.iter();
    let oldest = views.filter_map(|(id, view)| Some((id, view.oldest.as_ref()?)));
    let wanted = oldest.map(|(id, oldest)| (id.clone(), oldest.stands.clone()));
    let changes = known(admin.store.oldest(wanted.collect()).await)?;
    let mut changes: BTreeMap<PipelineId, ChangeRecord> = changes
        .into_iter()
        .map(|change| (change.pipeline_id.clone(), change))
        .collect();
    for pipeline in pipelines {
        let change = changes.remove(&pipeline.id);
        let oldest = pipeline.planned.oldest.take();
        pipeline.oldest = oldest.map(|oldest| OldestChange {
            seen: oldest.seen,
            change,
        });
    }
    Ok(())
}

/// The line of the configuration that an alarm is about.
fn place(admin: &Admin, alarm: &Alarm) -> Option<Place> {
    use AlarmKind as Kind;
    let mut pipelines = admin.pipelines.values();
    let pipeline = pipelines.find(|one| alarm.pipeline.as_deref() == Some(&*one.name))?;
    match (&alarm.origin, alarm.reason) {
        (Some(_), Kind::WatchLimit | Kind::Commit) => None,
        (Some(origin), _) => pipeline.roots.get(origin.as_str()).cloned(),
        (None, Kind::Forbidden | Kind::Unready | Kind::AllRepeats | Kind::QueueFull) => {
            pipeline.place.clone()
        }
        (None, _) => None,
    }
}

/// The alarm for assets that are given up, with the reason of the last purge request that failed.
async fn failed_alarm(admin: &Admin, pipeline: &PipelineStatus) -> Result<Alarm, AdminError> {
    let filter = RequestFilter {
        pipeline: Some(pipeline.id.clone()),
        status: Some("failed".to_owned()),
        slice: Slice::first(1),
        ..RequestFilter::default()
    };
    let last = known(admin.store.requests(filter).await.map(|listed| listed.rows))?.pop();
    let (assets, name) = (counted(pipeline.failed_assets, "asset"), &pipeline.name);
    let failed = |why: String| {
        let text = format!("{assets} failed: {why}");
        Alarm::new(AlarmKind::Failed, text).of_pipeline(name)
    };
    if let Some(request) = last {
        return Ok(failed(format!("request {}: {}", request.id, request.why)));
    }
    let filter = ChangeFilter {
        pipeline: Some(pipeline.id.clone()),
        stage: Some("failed".to_owned()),
        slice: Slice::first(1),
        ..ChangeFilter::default()
    };
    let asset = known(admin.store.changes(filter).await.map(|listed| listed.rows))?.pop();
    let asset = asset.and_then(|change| change.asset).unwrap_or_default();
    let mut alarm = failed(format!(
        "purges were done, and the edge keeps old bytes of {asset}"
    ));
    alarm.remedy = format!(
        "find what keeps them, such as a cache behind the edge: `edgepurge explain {asset}`; then `edgepurge retry {name}`"
    );
    Ok(alarm)
}

/// That a bucket is a website of which the mapping does not purge everything.
fn website_alarm(admin: &Admin, id: &PipelineId, origin: &OriginStatus) -> Option<Alarm> {
    let website = origin.bucket.as_ref()?.website.as_ref()?;
    let missing = admin.intake.pipeline(id)?.uncovered(&origin.name, website);
    (!missing.is_empty()).then(|| Alarm::new(AlarmKind::Website, missing.join("; ")))
}

/// The alarms that the other nodes report. What a silent one said last may be over.
fn elsewhere<'a>(admin: &'a Admin, nodes: &'a [Node]) -> impl Iterator<Item = Alarm> + 'a {
    let others = nodes.iter().filter(|node| {
        let own = node
            .observed
            .is_some_and(|(id, _)| id == admin.store.node());
        node.state.is_live() && !own
    });
    others.flat_map(|node| {
        let alarms = node.report.alarms.iter().cloned();
        alarms.map(|alarm| Alarm {
            node: Some(node.name.clone()),
            ..alarm
        })
    })
}

/// The alarm of commits that the database has forgotten lately.
fn forgotten(history: History) -> Option<Alarm> {
    let lately = |at: &Time| Clock::since_boot().since(*at) < FORGOTTEN;
    history.at.filter(lately)?;
    let text = format!(
        "PostgreSQL forgot {} of this node in a failover or a restore; they are committed again",
        counted(history.forgotten, "commit")
    );
    Some(Alarm::new(AlarmKind::Replication, text))
}

/// Every alarm but those of assets that are given up, each with the names of what it is about.
fn alarms(
    admin: &Admin,
    view: &View,
    pipelines: &[PipelineStatus],
    credentials: &[Credential],
) -> Vec<Alarm> {
    let away = admin.store.away();
    let away = away.map(|why| Alarm::new(AlarmKind::Store, format!("the queue: {why}")));
    let is_deaf = admin.store.subscribe_others().borrow().is_deaf;
    let deaf = is_deaf.then(|| Alarm::new(AlarmKind::Listen, DEAF));
    let forgotten = forgotten(admin.store.history());
    let fleet = admin.fleet.iter().flat_map(FleetHandle::alarms);
    let known = away.into_iter().chain(deaf).chain(forgotten).chain(fleet);
    let mut alarms: Vec<Alarm> = known.chain(view.alarms.clone()).collect();
    if let Some(key) = &admin.key {
        let refused = alarms.iter_mut();
        for alarm in refused.filter(|alarm| alarm.reason == AlarmKind::Unauthorized) {
            alarm.text = format!("{}; the key is from: {key}", alarm.text);
            alarm.remedy = key.renewal();
        }
    }
    for (id, planned) in &view.pipelines {
        let name = admin.name(id);
        let ours = planned.alarms.iter().cloned();
        alarms.extend(ours.map(|alarm| alarm.of_pipeline(&name)));
    }
    if let Some(why) = admin.reloads.failure() {
        let text =
            format!("the configuration of before is at work, since the file's is refused: {why}");
        alarms.push(Alarm::new(AlarmKind::Config, text));
    }
    let replaced = credentials.iter().filter_map(Credential::alarm);
    alarms.extend(replaced.map(|text| Alarm::new(AlarmKind::Credential, text)));
    let certificate = admin
        .webhooks
        .as_ref()
        .and_then(ListenerHandle::certificate);
    let due = certificate.and_then(|certificate| certificate.alarm(admin.clock.now()));
    alarms.extend(due.map(|text| Alarm::new(AlarmKind::Certificate, text)));
    for pipeline in pipelines {
        let diverged = divergence::alarms(admin, pipeline).into_iter();
        alarms.extend(diverged.map(|alarm| alarm.of_pipeline(&pipeline.name)));
        for origin in &pipeline.origins {
            let served = website_alarm(admin, &pipeline.id, origin);
            alarms.extend(origin.alarms.iter().cloned().chain(served).map(|alarm| {
                let mut alarm = alarm.of_pipeline(&pipeline.name);
                alarm.text = format!("origin {}: {}", origin.name, alarm.text);
                alarm.origin = Some(origin.name.to_string());
                alarm
            }));
        }
    }
    alarms
}
