//! The planner's decisions.

use super::history;
use crate::core::change::PipelineId;
use crate::core::purge::{Decision, Learned, Limit, Outcome, RequestId, Scope};
use crate::core::time::Time;
use crate::store::StoreError;
use crate::store::db::{Db, values};
use crate::store::sql;

/// What a learned limit is of, as the table has it.
pub(in crate::store) const RATE: &str = "rate";
pub(in crate::store) const MAX_ASSETS: &str = "max_assets";

pub(in crate::store) fn apply(db: &dyn Db, decision: &Decision) -> Result<(), StoreError> {
    let found = match decision {
        Decision::Open {
            request,
            pipeline,
            scope,
            first_seen,
            api_since,
            at,
        } => {
            let opened = Opened {
                id: *request,
                pipeline,
                scope,
                first_seen: *first_seen,
                at: *at,
                api_since: *api_since,
            };
            open(db, &opened)?;
            true
        }
        Decision::Accepted {
            request,
            remote_id,
            at,
        } => accept(db, *request, remote_id, *at)?,
        Decision::Settled {
            request,
            outcome,
            why,
            attempt,
            not_before,
            at,
            ..
        } => {
            let settled = values![*request, outcome.as_str(), why, *at];
            let found = db.execute(sql::request::SETTLE, &settled)? > 0;
            let all = usize::MAX;
            release(db, *request, *outcome, (*attempt, *not_before), all)?;
            if *outcome == Outcome::Done {
                // A later done that covers an asset clears its failure.
                db.execute(sql::change::CLEAR_FAILURES, &values![*request])?;
            }
            found
        }
        Decision::QueueAll {
            pipeline,
            reason,
            since,
        } => {
            let queued = values![pipeline, reason.as_str(), *since];
            db.execute(sql::request::QUEUE_ALL, &queued)?;
            true
        }
        Decision::Follow { request } => db.execute(sql::request::FOLLOW, &values![*request])? > 0,
        Decision::Learn(learned) => {
            learn(db, learned)?;
            true
        }
    };
    if found {
        return Ok(());
    }
    let text = format!("a decision about a request that is not in flight: {decision:?}");
    Err(StoreError::Failed(text.into()))
}

/// A request that is opened.
struct Opened<'o> {
    id: RequestId,
    pipeline: &'o PipelineId,
    scope: &'o Scope,
    /// When the oldest of what it covers was noticed, when it is opened, and the API's clock then.
    first_seen: Time,
    at: Time,
    api_since: Option<Time>,
}

fn open(db: &dyn Db, opened: &Opened<'_>) -> Result<(), StoreError> {
    let Opened {
        id,
        pipeline,
        scope,
        first_seen,
        at,
        api_since,
    } = *opened;
    let (reason, through) = match scope {
        Scope::Assets(_) => (None, None),
        Scope::All { reason, through } => (Some(reason.as_str()), Some(*through)),
    };
    db.execute(
        sql::request::OPEN,
        &values![id, pipeline, reason, through, first_seen, at, api_since],
    )?;
    let last = id.0.to_string();
    db.execute(sql::meta::SET, &values![history::LAST_REQUEST, &last])?;
    match scope {
        Scope::Assets(assets) => {
            let assets = assets.iter();
            let names = assets.clone().map(|(asset, seq)| values![id, asset, *seq]);
            db.many(sql::request::NAME, names)?;
            let taken = assets.map(|(asset, seq)| values![id, pipeline, asset, *seq]);
            db.many(sql::change::TAKE_ASSET, taken)?;
            db.execute(sql::request::SUM_UP, &values![id])?;
        }
        Scope::All { .. } => {
            db.execute(sql::request::UNQUEUE_ALL, &values![pipeline])?;
        }
    }
    Ok(())
}

/// A request for everything takes what it covers, at most `limit` changes. Returns how many.
pub(in crate::store) fn cover(
    db: &dyn Db,
    id: RequestId,
    limit: usize,
) -> Result<usize, StoreError> {
    let taken = db.execute(sql::change::COVER, &values![id, limit])?;
    if taken < limit {
        db.execute(sql::request::SUM_UP, &values![id])?;
    }
    Ok(taken)
}

fn accept(db: &dyn Db, id: RequestId, remote_id: &str, at: Time) -> Result<bool, StoreError> {
    let rows = db.execute(sql::request::ACCEPT, &values![id, remote_id, at])?;
    // Only an `all` that the API took has emptied a cache.
    db.execute(sql::request::EMPTIED, &values![id, at])?;
    Ok(rows > 0)
}

fn learn(db: &dyn Db, learned: &Learned) -> Result<(), StoreError> {
    let (what, pipeline) = match &learned.limit {
        Limit::Rate => (RATE, ""),
        Limit::MaxAssets(pipeline) => (MAX_ASSETS, pipeline.as_str()),
    };
    db.execute(
        sql::request::LEARN,
        &values![what, pipeline, learned.value, learned.at],
    )?;
    Ok(())
}

/// What becomes of the changes of a request that is over, of at most `limit` of them: how many. Where they are
/// queued again, with the attempts made for them and a time to wait for.
pub(in crate::store) fn release(
    db: &dyn Db,
    id: RequestId,
    outcome: Outcome,
    (attempt, not_before): (u32, Time),
    limit: usize,
) -> Result<usize, StoreError> {
    let stage = match outcome {
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::Error | Outcome::Vanished | Outcome::Overdue | Outcome::Unsent => {
            let overdue = outcome == Outcome::Overdue;
            let requeued = values![id, attempt, not_before, overdue, limit];
            return db.execute(sql::change::REQUEUE, &requeued);
        }
    };
    db.execute(sql::change::END, &values![id, stage, limit])
}
