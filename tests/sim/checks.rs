//! What must hold: at every moment, and at the end.

use std::collections::{BTreeMap, BTreeSet};

use edgepurge::core::asset::Asset;
use edgepurge::core::change::{PipelineId, Seq, Target};
use edgepurge::core::purge::{AllReason, Decision, Limit, Outcome, RequestId, Scope};
use edgepurge::store::Store as _;

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
    checked_calls: usize,
    met: BTreeMap<&'static str, u64>,
    news: Vec<(u64, Decision)>,
}

/// What many histories have to meet.
pub(crate) const MEETS: [&str; 20] = [
    "adopted",
    "all: backlog",
    "all: count",
    "all: manual",
    "all: rule",
    "all: webhook",
    "doubt that found nothing",
    "given up for others",
    "halved",
    "hot",
    "list read",
    "max_assets learned",
    "rate learned",
    "restart",
    "search of several pages",
    "settled: done",
    "settled: error",
    "settled: failed",
    "settled: overdue",
    "settled: vanished",
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

    pub(crate) fn decided(&mut self, decision: &Decision, moment: u64, real: u64) {
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
        self.news.push((real, decision.clone()));
    }

    /// What was waited for by the old clock may be over by the new one.
    pub(crate) fn clock_stepped(&mut self, real: u64) {
        self.last_all.clear();
        self.stepped = real;
    }

    pub(crate) fn opened(&self, request: RequestId) -> Option<u64> {
        self.requests.get(&request).map(|known| known.opened)
    }
}

/// At every moment.
pub(crate) fn always(world: &mut World) -> Result<(), String> {
    let unsettled = now(world.store.unsettled()).requests.len();
    if unsettled > world.limits.max_in_flight {
        return Err(format!("{unsettled} requests are in flight"));
    }
    the_rate_holds(world)?;
    for (real, decision) in std::mem::take(&mut world.ledger.news) {
        decided(world, real, &decision)?;
    }
    Ok(())
}

/// No window has more calls than the burst and the rate allow.
fn the_rate_holds(world: &mut World) -> Result<(), String> {
    let calls = &world.api.calls;
    let rate = u64::from(world.limits.requests_per_second);
    let burst = u64::from(world.limits.burst);
    // The windows that end with a new call are the only new ones.
    for last in world.ledger.checked_calls..calls.len() {
        for (count, at) in (1_u64..).zip(calls[..=last].iter().rev().take(100)) {
            if count * 1_000 > burst * 1_000 + (calls[last] - at) * rate {
                return Err(format!("{count} calls in {} ms", calls[last] - at));
            }
        }
    }
    world.ledger.checked_calls = calls.len();
    Ok(())
}

fn decided(world: &mut World, real: u64, decision: &Decision) -> Result<(), String> {
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
    // A reload that comes right after may have removed it.
    let settings = world.all.iter().find(|known| known.id == *pipeline);
    let Some(settings) = settings else {
        return Err(format!("{request} is of no pipeline"));
    };
    match scope {
        Scope::Assets(assets) if assets.is_empty() => Err("an empty request".to_owned()),
        Scope::Assets(assets) if assets.len() > 6 => {
            Err(format!("{} assets in a request", assets.len()))
        }
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
    let last = world.appended.keys().next_back().copied().unwrap_or(Seq(0));
    let stages = now(world.store.stages(Seq(1), last));
    if stages.queued + stages.taken > 0 {
        return Err(format!("it sleeps, and not all is settled: {stages:?}"));
    }
    if !world.view().settled() {
        return Err(format!("the planner disagrees: {:?}", world.view()));
    }
    let alarms: BTreeSet<&str> = world
        .view()
        .alarms
        .iter()
        .map(|alarm| alarm.reason)
        .collect();
    if alarms.iter().any(|reason| *reason != "all_repeats") {
        return Err(format!("all is well, and there are alarms: {alarms:?}"));
    }
    covered_by_later_requests(world)?;
    reasons(world)?;
    fresh(world)
}

/// The edge serves what the origin has. What it does not is visibly failed: that very change.
fn fresh(world: &World) -> Result<(), String> {
    let failed: BTreeSet<(PipelineId, String)> = world
        .appended
        .iter()
        .filter(|(seq, _)| now(world.store.stages(**seq, **seq)).failed > 0)
        .filter_map(|(_, change)| match &change.target {
            Target::Asset(asset) => Some((change.pipeline.clone(), asset.to_string())),
            Target::All => None,
        })
        .collect();
    let failed_all: BTreeSet<&PipelineId> = world
        .appended
        .iter()
        .filter(|(_, change)| change.target == Target::All)
        .filter(|(seq, _)| now(world.store.stages(**seq, **seq)).failed > 0)
        .map(|(_, change)| &change.pipeline)
        .collect();
    for stale in world.edge.stale() {
        if !failed.contains(&stale) && !failed_all.contains(&stale.0) {
            return Err(format!("{stale:?} is stale, and nothing says so"));
        }
    }
    Ok(())
}

/// Every change is covered by a request that was opened after it was committed.
fn covered_by_later_requests(world: &World) -> Result<(), String> {
    for (seq, appended) in &world.appended {
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
        limit: usize::MAX,
        ..edgepurge::store::RequestFilter::default()
    }));
    for record in page.purge_requests.iter().filter(|record| record.all) {
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
