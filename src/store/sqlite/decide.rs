//! The planner's decisions.

use rusqlite::{Connection, params};

use super::{failed, int, operate};
use crate::core::change::PipelineId;
use crate::core::purge::{Decision, Learned, Limit, Outcome, RequestId, Scope};
use crate::core::time::Time;
use crate::store::StoreError;

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
        } => open(
            connection,
            *request,
            pipeline,
            scope,
            (*first_seen, *at, *api_since),
        )
        .map(|()| true),
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
            .prepare_cached(
                "INSERT INTO queued_all (pipeline, reason, since) VALUES (?1, ?2, ?3)
                 ON CONFLICT (pipeline) DO UPDATE
                 SET reason = excluded.reason, since = excluded.since",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    pipeline.as_str(),
                    reason.as_str(),
                    int(since.millis())
                ])
            })
            .map(|_| true),
        Decision::Follow { request } => connection
            .prepare_cached("UPDATE request SET follow = 1 WHERE id = ?1")
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

fn open(
    connection: &Connection,
    id: RequestId,
    pipeline: &PipelineId,
    scope: &Scope,
    (first_seen, at, api_since): (Time, Time, Option<Time>),
) -> rusqlite::Result<()> {
    let (reason, through) = match scope {
        Scope::Assets(_) => (None, None),
        Scope::All { reason, through } => (Some(reason.as_str()), Some(int(through.0))),
    };
    connection
        .prepare_cached(
            "INSERT INTO request (id, pipeline, reason, through, stage, attempt, first_seen,
                                  opened, api_since, why)
             VALUES (?1, ?2, ?3, ?4, 'submitting', 0, ?5, ?6, ?7, '')",
        )?
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
        .prepare_cached(operate::SET)?
        .execute(["last_request", &id.0.to_string()])?;
    match scope {
        Scope::Assets(assets) => {
            let mut name = connection.prepare_cached(
                "INSERT INTO request_asset (request, asset, seq) VALUES (?1, ?2, ?3)",
            )?;
            let mut take = connection.prepare_cached(
                "UPDATE change SET stage = 'taken', request = ?1
                 WHERE stage = 'queued' AND pipeline = ?2 AND asset = ?3 AND seq <= ?4",
            )?;
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
                .prepare_cached(
                    "UPDATE change SET stage = 'taken', request = ?1
                     WHERE stage = 'queued' AND pipeline = ?2 AND seq <= ?3",
                )?
                .execute(params![int(id.0), pipeline.as_str(), through])?;
            connection
                .prepare_cached("DELETE FROM queued_all WHERE pipeline = ?1")?
                .execute([pipeline.as_str()])?;
        }
    }
    connection
        .prepare_cached(
            "UPDATE request SET (attempt, overdue) =
                 (SELECT coalesce(max(attempt), 0), coalesce(max(overdue), 0)
                  FROM change WHERE request = ?1) WHERE id = ?1",
        )?
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
        .prepare_cached(
            "UPDATE request SET stage = 'accepted', remote_id = ?2, accepted = ?3
             WHERE id = ?1 AND settled IS NULL",
        )?
        .execute(params![id, remote_id, at])?;
    // Only an `all` that the API took has emptied a cache.
    connection
        .prepare_cached(
            "INSERT INTO last_all (pipeline, at)
             SELECT pipeline, ?2 FROM request WHERE id = ?1 AND through IS NOT NULL
             ON CONFLICT (pipeline) DO UPDATE SET at = excluded.at",
        )?
        .execute(params![id, at])?;
    Ok(rows > 0)
}

fn learn(connection: &Connection, learned: &Learned) -> rusqlite::Result<()> {
    let (what, pipeline) = match &learned.limit {
        Limit::Rate => (RATE, ""),
        Limit::MaxAssets(pipeline) => (MAX_ASSETS, pipeline.as_str()),
    };
    connection
        .prepare_cached(
            "INSERT INTO learned (what, pipeline, value, at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (what, pipeline) DO UPDATE SET value = excluded.value, at = excluded.at",
        )?
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
        .prepare_cached(
            "UPDATE request SET stage = ?2, why = ?3, settled = ?4
             WHERE id = ?1 AND settled IS NULL",
        )?
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
                .prepare_cached(
                    "UPDATE change SET stage = 'queued', attempt = ?2, not_before = ?3,
                                       overdue = max(overdue, ?4)
                     WHERE request = ?1 AND stage = 'taken'",
                )?
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
        .prepare_cached("UPDATE change SET stage = ?2 WHERE request = ?1 AND stage = 'taken'")?
        .execute(params![int(id.0), stage])?;
    if outcome == Outcome::Done {
        // A later done that covers an asset clears its failure.
        connection
            .prepare_cached(
                "UPDATE change SET stage = 'done', request = ?1
                 WHERE stage = 'failed'
                   AND pipeline = (SELECT pipeline FROM request WHERE id = ?1)
                   AND (seq <= (SELECT through FROM request WHERE id = ?1)
                        OR seq <= (SELECT seq FROM request_asset
                                   WHERE request = ?1 AND asset = change.asset))",
            )?
            .execute([int(id.0)])?;
    }
    Ok(())
}
