//! The planner's decisions.

use rusqlite::{Connection, params};

use super::{failed, history, int};
use crate::core::change::PipelineId;
use crate::core::purge::{Decision, Learned, Limit, Outcome, RequestId, Scope};
use crate::core::time::Time;
use crate::store::StoreError;
use crate::store::sql;

/// What a learned limit is of, as the table has it.
pub(in crate::store) const RATE: &str = "rate";
pub(in crate::store) const MAX_ASSETS: &str = "max_assets";

pub(in crate::store) fn apply(
    connection: &Connection,
    decision: &Decision,
) -> Result<(), StoreError> {
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
            open(connection, &opened).map(|()| true)
        }
        Decision::Accepted {
            request,
            remote_id,
            at,
        } => accept(connection, *request, remote_id, *at),
        Decision::Settled {
            request,
            outcome,
            why,
            attempt,
            not_before,
            at,
        } => settle(connection, *request, *outcome, why, *at).and_then(|found| {
            release(connection, *request, *outcome, *attempt, *not_before)?;
            Ok(found)
        }),
        Decision::QueueAll {
            pipeline,
            reason,
            since,
        } => connection
            .prepare_cached(sql::request::QUEUE_ALL)
            .and_then(|mut insert| {
                insert.execute(params![
                    pipeline.as_str(),
                    reason.as_str(),
                    int(since.millis())
                ])
            })
            .map(|_| true),
        Decision::Follow { request } => connection
            .prepare_cached(sql::request::FOLLOW)
            .and_then(|mut mark| mark.execute([int(request.0)]))
            .map(|rows| rows > 0),
        Decision::Learn(learned) => learn(connection, learned).map(|()| true),
    };
    match found {
        Ok(true) => Ok(()),
        Ok(false) => {
            let text = format!("a decision about a request that is not in flight: {decision:?}");
            Err(StoreError::Failed(text.into()))
        }
        Err(error) => Err(failed(error)),
    }
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

fn open(connection: &Connection, opened: &Opened<'_>) -> rusqlite::Result<()> {
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
        Scope::All { reason, through } => (Some(reason.as_str()), Some(int(through.0))),
    };
    connection
        .prepare_cached(sql::request::OPEN)?
        .execute(params![
            int(id.0),
            pipeline.as_str(),
            reason,
            through,
            int(first_seen.millis()),
            int(at.millis()),
            api_since.map(|since| int(since.millis()))
        ])?;
    connection
        .prepare_cached(sql::meta::SET)?
        .execute([history::LAST_REQUEST, &id.0.to_string()])?;
    match scope {
        Scope::Assets(assets) => {
            let mut name = connection.prepare_cached(sql::request::NAME)?;
            let mut take = connection.prepare_cached(sql::change::TAKE_ASSET)?;
            for (asset, seq) in assets {
                name.execute(params![int(id.0), asset.as_str(), int(seq.0)])?;
                take.execute(params![
                    int(id.0),
                    pipeline.as_str(),
                    asset.as_str(),
                    int(seq.0)
                ])?;
            }
        }
        Scope::All { .. } => {
            connection
                .prepare_cached(sql::change::TAKE_ALL)?
                .execute(params![int(id.0), pipeline.as_str(), through])?;
            connection
                .prepare_cached(sql::request::UNQUEUE_ALL)?
                .execute([pipeline.as_str()])?;
        }
    }
    connection
        .prepare_cached(sql::request::SUM_UP)?
        .execute([int(id.0)])?;
    Ok(())
}

fn accept(
    connection: &Connection,
    id: RequestId,
    remote_id: &str,
    at: Time,
) -> rusqlite::Result<bool> {
    let (id, at) = (int(id.0), int(at.millis()));
    let rows = connection
        .prepare_cached(sql::request::ACCEPT)?
        .execute(params![id, remote_id, at])?;
    // Only an `all` that the API took has emptied a cache.
    connection
        .prepare_cached(sql::request::EMPTIED)?
        .execute(params![id, at])?;
    Ok(rows > 0)
}

fn learn(connection: &Connection, learned: &Learned) -> rusqlite::Result<()> {
    let (what, pipeline) = match &learned.limit {
        Limit::Rate => (RATE, ""),
        Limit::MaxAssets(pipeline) => (MAX_ASSETS, pipeline.as_str()),
    };
    connection
        .prepare_cached(sql::request::LEARN)?
        .execute(params![
            what,
            pipeline,
            int(learned.value),
            int(learned.at.millis())
        ])?;
    Ok(())
}

fn settle(
    connection: &Connection,
    id: RequestId,
    outcome: Outcome,
    why: &str,
    at: Time,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(sql::request::SETTLE)?
        .execute(params![int(id.0), outcome.as_str(), why, int(at.millis())])
        .map(|rows| rows > 0)
}

/// What becomes of the changes of a request that is over.
fn release(
    connection: &Connection,
    id: RequestId,
    outcome: Outcome,
    attempt: u32,
    not_before: Time,
) -> rusqlite::Result<()> {
    let stage = match outcome {
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::Error | Outcome::Vanished | Outcome::Overdue | Outcome::Unsent => {
            connection
                .prepare_cached(sql::change::REQUEUE)?
                .execute(params![
                    int(id.0),
                    attempt,
                    int(not_before.millis()),
                    outcome == Outcome::Overdue
                ])?;
            return Ok(());
        }
    };
    connection
        .prepare_cached(sql::change::END)?
        .execute(params![int(id.0), stage])?;
    if outcome == Outcome::Done {
        // A later done that covers an asset clears its failure.
        connection
            .prepare_cached(sql::change::CLEAR_FAILURES)?
            .execute([int(id.0)])?;
    }
    Ok(())
}
