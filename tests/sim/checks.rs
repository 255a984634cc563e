//! What must hold: at every moment, and at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use edgepurge::core::asset::Asset;
use edgepurge::core::change::{Change, PipelineId, Seq, Source, Target};
use edgepurge::core::purge::{AllReason, Decision, Limit, Outcome, RequestId, Scope};
use edgepurge::core::time::Time;

use crate::edge::HOST;
use crate::world::{World, now};

/// A request, as its decisions tell it.
#[derive(Clone, Debug)]
struct Known {
    pipeline: PipelineId,
    scope: Scope,
    opened: u64,
}

/// What was decided, and what of it is still to be checked.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    requests: BTreeMap<RequestId, Known>,
    /// Which request has which id of the API.
    remote: BTreeMap<String, RequestId>,
    /// When each pipeline's last `all` was accepted, in real time.
    last_all: BTreeMap<PipelineId, u64>,
    /// When the clock was last set, in real time.
    stepped: u64,
    /// How often a request for this change was given up as overdue.
    overdue: BTreeMap<(PipelineId, Asset, Seq), u32>,
    /// When the asset that changes all the time was purged and nobody had asked for it, by pipeline,
    /// in real time.
    heat: BTreeMap<PipelineId, Vec<u64>>,
    /// The last change of each pipeline whose batch may have waited for nodes for long enough.
    waited: BTreeMap<PipelineId, Seq>,
    checked_calls: usize,
    met: BTreeMap<&'static str, u64>,
}

/// What the API says of assets that it will never take.
pub(crate) const INVALID: &str = "invalid argument(s)";

/// So many purges of an asset may follow each other at once.
const USUAL: u64 = 8;

/// What many histories have to meet.
pub(crate) const MEETS: [&str; 73] = [
    "a batch waits for a look",
    "a batch waits for nodes",
    "a deploy begins",
    "a deploy dies",
    "a deploy is done",
    "a deploy renews its lease",
    "a failover with loss",
    "a file arrives later",
    "a file never agrees",
    "a leader learns of a failover",
    "a leader leaves",
    "a loss at a start",
    "a node dies",
    "a node freezes",
    "a node gives up a file",
    "a node is cut off",
    "a node is healed",
    "a node is not waited for",
    "a node joins",
    "a node takes over",
    "a question while requests wait",
    "adopted",
    "all: backlog",
    "all: count",
    "all: loss",
    "all: manual",
    "all: queue_cap",
    "all: rule",
    "all: webhook",
    "an ask is withdrawn",
    "an orphaned queue returns",
    "asked again",
    "asked of the leader",
    "brought again",
    "committed again",
    "damped",
    "doubt that found nothing",
    "an all in parts",
    "dropped",
    "given up for others",
    "halved",
    "held up after the commit",
    "held up before the commit",
    "hot",
    "in flight while paused",
    "in flight without its pipeline",
    "it ends without a start",
    "its time was over",
    "list read",
    "max_assets learned",
    "more is lost than the ring has",
    "paused for a time",
    "paused until resumed",
    "purged after the wait for nodes",
    "purged once more",
    "purged when all nodes had it",
    "rate learned",
    "refused as full",
    "restart",
    "resumed",
    "retried",
    "retried while paused",
    "search of several pages",
    "settled: done",
    "settled: error",
    "settled: failed",
    "settled: overdue",
    "settled: vanished",
    "shared what is queued",
    "superseded",
    "the wire is full",
    "unclear",
    "unready",
];

impl Ledger {
    pub(crate) fn meet(&mut self, what: &'static str) {
        *self.met.entry(what).or_default() += 1;
    }

    pub(crate) fn met(&self) -> BTreeMap<&'static str, u64> {
        self.met.clone()
    }

    fn meet_decision(&mut self, decision: &Decision) {
        match decision {
            Decision::Open {
                scope: Scope::All { reason, .. },
                ..
            } => self.meet(match reason {
                AllReason::Manual => "all: manual",
                AllReason::Rule => "all: rule",
                AllReason::Webhook => "all: webhook",
                AllReason::Count => "all: count",
                AllReason::Backlog => "all: backlog",
                AllReason::QueueCap => "all: queue_cap",
                AllReason::Loss => "all: loss",
                AllReason::Again => "all: again",
            }),
            Decision::Settled { outcome, why, .. } => {
                self.meet(match outcome {
                    Outcome::Done => "settled: done",
                    Outcome::Error => "settled: error",
                    Outcome::Vanished => "settled: vanished",
                    Outcome::Overdue => "settled: overdue",
                    Outcome::Unsent => "settled: unsent",
                    Outcome::Failed => "settled: failed",
                });
                for (word, what) in [
                    ("not in the API's list", "doubt that found nothing"),
                    ("in halves", "halved"),
                    ("others wait", "given up for others"),
                ] {
                    if why.contains(word) {
                        self.meet(what);
                    }
                }
            }
            Decision::Learn(learned) => self.meet(match learned.limit {
                Limit::Rate => "rate learned",
                Limit::MaxAssets(_) => "max_assets learned",
            }),
            Decision::Open { .. }
            | Decision::Accepted { .. }
            | Decision::QueueAll { .. }
            | Decision::Follow { .. } => {}
        }
    }

    pub(crate) fn decided(&mut self, decision: &Decision, moment: u64) {
        self.meet_decision(decision);
        if let Decision::Open {
            request,
            pipeline,
            scope,
            ..
        } = decision
        {
            let known = Known {
                pipeline: pipeline.clone(),
                scope: scope.clone(),
                opened: moment,
            };
            self.requests.insert(*request, known);
        }
    }

    /// What was waited for by the old clock may be over by the new one.
    pub(crate) fn clock_stepped(&mut self, real: u64) {
        self.last_all.clear();
        self.stepped = real;
    }

    /// The store has forgotten what was decided after a moment.
    pub(crate) fn went_back(&mut self, moment: u64, real: u64) {
        self.requests.retain(|_, known| known.opened <= moment);
        self.remote.clear();
        self.overdue.clear();
        self.clock_stepped(real);
        self.cooled(None);
    }

    /// A person wants these to be tried again, as if nothing had been.
    pub(crate) fn retried(&mut self, change: &Change) {
        self.meet("retried");
        if let Target::Asset(asset) = &change.target {
            let key = (change.pipeline.clone(), asset.clone(), change.seq);
            self.overdue.remove(&key);
        }
    }

    /// What was hot is not, any more: it was forgotten, or a person said so.
    pub(crate) fn cooled(&mut self, pipeline: Option<&PipelineId>) {
        self.heat
            .retain(|id, _| pipeline.is_some_and(|of| of != id));
    }

    pub(crate) fn last_request(&self) -> u64 {
        self.requests.keys().next_back().map_or(0, |last| last.0)
    }

    pub(crate) fn opened(&self, request: RequestId) -> Option<u64> {
        self.requests.get(&request).map(|known| known.opened)
    }
}

/// The asset that changes all the time.
const RESTLESS: &str = "/restless.json";

/// When a request is opened, before it is committed with others: those decided before it.
pub(crate) fn opens(
    world: &mut World,
    before: &[Decision],
    decision: &Decision,
) -> Result<(), String> {
    if let Decision::Settled { request, .. } = decision
        && let Some(known) = world.ledger.requests.get(request)
    {
        let pipeline = known.pipeline.clone();
        if world.holds.holder(&pipeline, world.wall()).is_some() {
            world.ledger.meet("in flight while paused");
        }
        if !world.configured(&pipeline) {
            world.ledger.meet("in flight without its pipeline");
        }
    }
    let Decision::Open {
        request,
        pipeline,
        scope,
        ..
    } = decision
    else {
        return Ok(());
    };
    if let Some(holder) = world.holds.holder(pipeline, world.wall()) {
        return Err(format!(
            "{request} is opened, and {holder:?} holds {pipeline}"
        ));
    }
    let settings = world.settings.iter().find(|known| known.id == *pipeline);
    let Some(settings) = settings else {
        return Err(format!(
            "{request} is of {pipeline}, which is not configured"
        ));
    };
    let Scope::Assets(assets) = scope else {
        return Ok(());
    };
    if assets.is_empty() || assets.len() > settings.max_assets {
        return Err(format!("{} assets in {request}", assets.len()));
    }
    if let Some(wait) = settings.fleet_wait
        && !comes_back(world, before, pipeline)
    {
        nodes_have(world, *request, pipeline, assets, wait)?;
    }
    let restless = Asset::from_stored(RESTLESS);
    match assets.get(&restless) {
        // It is tried again: see `damped`.
        Some(_) if comes_back(world, before, pipeline) => Ok(()),
        Some(seq) => damped(world, pipeline, &Target::Asset(restless), *seq),
        None => Ok(()),
    }
}

/// Nothing is purged before each node has it that was there all the time, unless its batch has waited for long
/// enough, or it was asked for, or tried before. A later change of what is ready already waits for no node.
fn nodes_have(
    world: &mut World,
    request: RequestId,
    pipeline: &PipelineId,
    assets: &BTreeMap<Asset, Seq>,
    wait: Duration,
) -> Result<(), String> {
    let rows = now(world.store.queued_after(Seq(0), usize::MAX));
    let rows: Vec<Change> = rows
        .into_iter()
        .filter(|row| row.pipeline == *pipeline)
        .collect();
    // Another node's clock may be a second ahead.
    let wall = world.wall().after(Duration::from_secs(1));
    if rows.iter().any(|row| wall.since(row.seen) >= wait) {
        world.ledger.meet("purged after the wait for nodes");
        let last = world.appended.keys().next_back().copied();
        let last = last.unwrap_or(Seq(0));
        world.ledger.waited.insert(pipeline.clone(), last);
        return Ok(());
    }
    let waited = world.ledger.waited.get(pipeline).copied();
    for (asset, last) in assets.iter().filter(|(asset, _)| asset.as_str() != HOST) {
        let target = Target::Asset(asset.clone());
        let of = rows
            .iter()
            .filter(|row| row.target == target && row.seq <= *last);
        let of: Vec<&Change> = of.collect();
        let asked = |row: &&Change| {
            let noticed = matches!(row.source, Source::Watch | Source::Scan);
            !noticed || row.again || row.attempt > 0 || row.not_before > Time::ZERO
        };
        let Some(first) = of
            .first()
            .filter(|first| Some(first.seq) > waited && !of.iter().any(asked))
        else {
            continue;
        };
        let Some(appended) = world.appended.get(&first.seq) else {
            continue;
        };
        // All that is gone is the same, whichever version it was.
        let gone = |row: &&Change| {
            let appended = world.appended.get(&row.seq);
            appended.is_none_or(|of| of.version.is_none_or(|(_, there)| !there))
        };
        let Some((version, _)) = appended.version.filter(|_| !of.iter().any(gone)) else {
            continue;
        };
        let key = (pipeline.clone(), asset.to_string());
        if let Some(node) = world.lacks(&key, version, appended.real) {
            return Err(format!(
                "{request} purges {asset}, and {node:?} has not got it"
            ));
        }
        world.ledger.meet("purged when all nodes had it");
    }
    Ok(())
}

/// Whether one of these decisions queues what was in flight again.
fn comes_back(world: &World, before: &[Decision], pipeline: &PipelineId) -> bool {
    before.iter().any(|decision| match decision {
        Decision::Settled {
            request, outcome, ..
        } => {
            let known = world.ledger.requests.get(request);
            *outcome != Outcome::Done && known.is_some_and(|known| known.pipeline == *pipeline)
        }
        _ => false,
    })
}

/// An asset that changes all the time is purged once in `hot_interval`, but for the first few. Trying
/// again is no change, and a person does not wait.
fn damped(
    world: &mut World,
    pipeline: &PipelineId,
    target: &Target,
    seq: Seq,
) -> Result<(), String> {
    let settings = world.settings.iter().find(|known| known.id == *pipeline);
    let Some(interval) = settings.and_then(|known| known.hot_interval) else {
        return Ok(());
    };
    let rows = now(world.store.queued_after(Seq(0), usize::MAX));
    let rows = rows
        .into_iter()
        .filter(|row| row.pipeline == *pipeline && row.target == *target && row.seq <= seq);
    let rows: Vec<Change> = rows.collect();
    let again = |row: &Change| row.attempt > 0 || row.not_before > Time::ZERO;
    let asked = |row: &Change| row.source == Source::Manual;
    if rows.iter().any(|row| again(row) || asked(row)) {
        return Ok(());
    }
    let (real, interval) = (world.real, interval.as_secs() * 1_000);
    let purges = world.ledger.heat.entry(pipeline.clone()).or_default();
    purges.push(real);
    let mut damped = false;
    for (count, first) in (1_u64..).zip(purges.iter().rev()) {
        let allowed = USUAL + (real - first) / interval;
        if count > allowed {
            return Err(format!(
                "{target:?} is purged {count} times in {} ms",
                real - first
            ));
        }
        damped |= count == allowed;
    }
    if damped {
        world.ledger.meet("damped");
    }
    Ok(())
}

/// When a request was opened: nothing is purged for what was given up.
pub(crate) fn takes_something(world: &World, decision: &Decision) -> Result<(), String> {
    let Decision::Open {
        request,
        pipeline,
        scope: Scope::Assets(assets),
        ..
    } = decision
    else {
        return Ok(());
    };
    // It takes time, and only then there is something to find.
    if !world.dropped {
        return Ok(());
    }
    for (asset, last) in assets {
        let target = Target::Asset(asset.clone());
        let taken = world.appended.range(..=*last).rev().any(|(seq, change)| {
            change.pipeline == *pipeline
                && change.target == target
                && now(world.store.requests_of(*seq, *seq)) == [request.0]
        });
        if !taken {
            return Err(format!(
                "{request} purges {asset}, and no change asks for it"
            ));
        }
    }
    Ok(())
}

/// At every moment.
pub(crate) fn always(world: &mut World) -> Result<(), String> {
    if let Some(broken) = &world.broken {
        return Err(broken.clone());
    }
    let in_flight = world.turns.in_flight();
    if in_flight > world.limits.max_in_flight {
        return Err(format!("{in_flight} requests are in flight"));
    }
    let calls = world.node.wire.len();
    if calls > world.limits.max_calls {
        return Err(format!("{calls} calls are on the wire"));
    }
    the_rate_holds(world)?;
    world.waits_for_the_living()?;
    world.one_acts()
}

/// No window has more calls than the burst and the rate allow.
fn the_rate_holds(world: &mut World) -> Result<(), String> {
    let (calls, from) = (&world.api.calls, world.failovers.one_acts_from());
    let rate = u64::from(world.limits.requests_per_second);
    let burst = u64::from(world.limits.burst);
    // The windows that end with a new call are the only new ones.
    for last in world.ledger.checked_calls..calls.len() {
        let recent = calls[..=last].iter().rev().take(100);
        let recent = recent.take_while(|at| **at >= from);
        for (count, at) in (1_u64..).zip(recent) {
            if count * 1_000 > burst * 1_000 + (calls[last] - at) * rate {
                return Err(format!("{count} calls in {} ms", calls[last] - at));
            }
        }
    }
    world.ledger.checked_calls = calls.len();
    Ok(())
}

/// When a decision is committed, by the configuration of that moment.
pub(crate) fn decided(world: &mut World, decision: &Decision) -> Result<(), String> {
    let real = world.real;
    match decision {
        Decision::Open {
            request,
            pipeline,
            scope,
            ..
        } => opened(world, real, *request, pipeline, scope),
        Decision::Accepted {
            request, remote_id, ..
        } => {
            if let Some(other) = world.ledger.remote.insert(remote_id.clone(), *request)
                && other != *request
            {
                return Err(format!("{request} and {other} are both {remote_id}"));
            }
            if let Some(known) = world.ledger.requests.get(request)
                && matches!(known.scope, Scope::All { .. })
                && real > world.ledger.stepped
            {
                let pipeline = known.pipeline.clone();
                world.ledger.last_all.insert(pipeline, real);
            }
            Ok(())
        }
        Decision::Settled {
            request,
            outcome: Outcome::Overdue,
            ..
        } => given_up(world, *request),
        Decision::Settled {
            request,
            outcome: Outcome::Failed,
            why,
            ..
        } if why != INVALID && !why.contains("others wait") => Err(format!(
            "{request} fails for good, and that may pass: {why}"
        )),
        Decision::Learn(learned)
            if matches!(learned.limit, Limit::MaxAssets(_)) && !world.api.named_assets =>
        {
            Err(format!("{learned:?}, and no asset was ever refused"))
        }
        _ => Ok(()),
    }
}

fn opened(
    world: &World,
    real: u64,
    request: RequestId,
    pipeline: &PipelineId,
    scope: &Scope,
) -> Result<(), String> {
    let settings = world.settings.iter().find(|known| known.id == *pipeline);
    let Some(settings) = settings else {
        return Err(format!("{request} is of no pipeline"));
    };
    match scope {
        Scope::Assets(_) => Ok(()),
        Scope::All { reason, through } => {
            let last = world.appended.keys().next_back().copied();
            if last.is_none_or(|last| *through > last) {
                return Err(format!(
                    "{request} covers {through}, which is not there yet"
                ));
            }
            let early =
                world.ledger.last_all.get(pipeline).is_some_and(|last| {
                    u128::from(real - last) < settings.all_cooldown.as_millis()
                });
            if early && *reason != AllReason::Manual {
                return Err(format!("{request} purges everything again at once"));
            }
            Ok(())
        }
    }
}

/// One more request at most for what the API does not finish.
fn given_up(world: &mut World, request: RequestId) -> Result<(), String> {
    let Some(known) = world.ledger.requests.get(&request) else {
        return Err(format!("{request} was never opened"));
    };
    let Scope::Assets(assets) = known.scope.clone() else {
        return Ok(());
    };
    let pipeline = known.pipeline.clone();
    for (asset, seq) in assets {
        let key = (pipeline.clone(), asset, seq);
        let times = world.ledger.overdue.entry(key.clone()).or_default();
        *times += 1;
        if *times > 1 {
            return Err(format!("{key:?} was overdue and sent again, twice"));
        }
    }
    Ok(())
}

/// At the end, when input has stopped and the API is healthy.
pub(crate) fn at_the_end(world: &mut World) -> Result<(), String> {
    if !world.turn_to_leader() {
        return Err("all is well, and no node leads".to_owned());
    }
    let last = world.appended.keys().next_back().copied().unwrap_or(Seq(0));
    let stages = now(world.store.stages(Seq(1), last));
    if stages.queued + stages.taken > 0 {
        return Err(format!("it sleeps, and not all is settled: {stages:?}"));
    }
    if !world.view().settled() {
        return Err(format!("the planner disagrees: {:?}", world.view()));
    }
    let view = world.view();
    let alarms = view.all_alarms().map(|alarm| alarm.reason.as_str());
    let alarms: BTreeSet<&str> = alarms.collect();
    // A key that was refused is not tried before there is something to send.
    let stays = ["all_repeats", "unauthorized"];
    if alarms.iter().any(|reason| !stays.contains(reason)) {
        return Err(format!("all is well, and there are alarms: {alarms:?}"));
    }
    world.failovers.nothing_is_lost()?;
    world.facts_are_own()?;
    covered_by_later_requests(world)?;
    reasons(world)?;
    world.all_is_followed()?;
    fresh(world)
}

/// The edge serves what the origin has. What it does not is visibly failed, or was given up by a
/// person: the last change of it.
fn fresh(world: &World) -> Result<(), String> {
    for (pipeline, asset) in world.edge.stale() {
        let target = Target::Asset(Asset::from_stored(&asset));
        let last = world.appended.iter().rev().find(|(_, change)| {
            change.pipeline == pipeline && (change.target == target || change.target == Target::All)
        });
        let given_up = last.is_some_and(|(seq, _)| {
            let stages = now(world.store.stages(*seq, *seq));
            stages.failed + stages.dropped > 0
        });
        if !given_up {
            return Err(format!(
                "{asset} of {pipeline} is stale, and nothing says so"
            ));
        }
    }
    Ok(())
}

/// Every change is covered by a request that was opened after it was committed.
fn covered_by_later_requests(world: &World) -> Result<(), String> {
    for (seq, appended) in &world.appended {
        if now(world.store.stages(*seq, *seq)).dropped > 0 {
            continue;
        }
        let requests = now(world.store.requests_of(*seq, *seq));
        let [request] = requests.as_slice() else {
            return Err(format!("change {seq} is covered by {requests:?}"));
        };
        if world
            .opened(*request)
            .is_none_or(|opened| opened < appended.moment)
        {
            return Err(format!("change {seq} is covered by the earlier {request}"));
        }
    }
    Ok(())
}

/// Every `all` has a reason that can be: nobody escalates where it is forbidden to.
fn reasons(world: &World) -> Result<(), String> {
    let page = now(world.store.requests(edgepurge::store::RequestFilter {
        slice: edgepurge::store::Slice::first(usize::MAX),
        ..edgepurge::store::RequestFilter::default()
    }));
    for record in page.rows.iter().filter(|record| record.all) {
        if record
            .reason
            .as_deref()
            .and_then(AllReason::parse)
            .is_none()
        {
            return Err(format!("request {} has no reason", record.id));
        }
    }
    Ok(())
}
