//! What must hold: at every moment, and at the end.

use edgepurge::core::change::Seq;
use edgepurge::core::purge::{AllReason, Decision, RequestId, Scope};
use edgepurge::store::{RequestFilter, Store as _};

use crate::world::{World, now};

/// At every moment.
pub(crate) fn always(world: &mut World) -> Result<(), String> {
    let unsettled = now(world.store.unsettled()).requests.len();
    if unsettled > world.limits.max_in_flight {
        return Err(format!("{unsettled} requests are in flight"));
    }
    // The calls of the last moments: the window that ends now is the only new one.
    let calls = &world.api.calls;
    let rate = u64::from(world.limits.requests_per_second);
    let burst = u64::from(world.limits.burst);
    if let Some(last) = calls.last() {
        for (count, at) in (1_u64..).zip(calls.iter().rev().take(300)) {
            if count * 1_000 > burst * 1_000 + (last - at) * rate {
                return Err(format!("{count} calls in {} ms", last - at));
            }
        }
    }
    for (_, decision) in world.decisions.drain(..) {
        if let Decision::Open {
            pipeline, scope, ..
        } = &decision
        {
            let most = world
                .settings
                .iter()
                .find(|settings| settings.id == *pipeline)
                .map_or(0, |settings| settings.max_assets);
            match scope {
                Scope::Assets(assets) if assets.is_empty() => {
                    return Err("an empty request".to_owned());
                }
                Scope::Assets(assets) if assets.len() > most => {
                    return Err(format!("{} assets in a request", assets.len()));
                }
                _ => {}
            }
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
    covered_by_later_requests(world)?;
    reasons(world)?;
    // What is stale must be visibly failed.
    let failed = now(world.store.failed_assets());
    for (pipeline, asset) in world.api.stale() {
        if failed.get(&pipeline).is_none_or(|count| *count == 0) {
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
        let requests = now(world.store.requests_of(*seq, *seq));
        let [request] = requests.as_slice() else {
            return Err(format!("change {seq} is covered by {requests:?}"));
        };
        let opened = world.opened.get(&RequestId(*request));
        if opened.is_none_or(|opened| opened < appended) {
            return Err(format!("change {seq} is covered by the earlier {request}"));
        }
    }
    Ok(())
}

/// Every `all` has a reason that can be: nobody escalates where it is forbidden to.
fn reasons(world: &World) -> Result<(), String> {
    let page = now(world.store.requests(RequestFilter {
        limit: usize::MAX,
        ..RequestFilter::default()
    }));
    for record in page.purge_requests.iter().filter(|record| record.all) {
        let reason = record.reason.as_deref().and_then(AllReason::parse);
        let never = world
            .settings
            .iter()
            .any(|settings| settings.id == record.pipeline_id && settings.all_above.is_none());
        match reason {
            None => return Err(format!("request {} has no reason", record.id)),
            Some(AllReason::Count) if never => {
                return Err(format!(
                    "request {} escalates against the settings",
                    record.id
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
