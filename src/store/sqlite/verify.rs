//! What follows on a purge: looks at the edge, and another purge.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::history::pipeline;
use super::queue::word;
use super::{int, queue, time, uint};
use crate::core::asset::Asset;
use crate::core::change::{PipelineId, Seq};
use crate::core::purge::RequestId;
use crate::core::queue::QUEUE_CAP;
use crate::core::time::Time;
use crate::core::verify::{
    Check, FollowUp, FollowUps, FollowedUp, Follows, LONGEST_WAIT, Looked, SAMPLE, Seen, Then,
    WAITING, Word,
};
use crate::store::sql;

mod known;

pub(in crate::store) use known::known;

pub(in crate::store) fn begin(
    connection: &Connection,
    follows: &[Follows],
    now: Time,
) -> rusqlite::Result<()> {
    let verified = follows.iter().filter(|one| one.verify);
    let verified: Vec<&str> = verified.map(|one| one.pipeline.as_str()).collect();
    let known = connection
        .prepare(sql::verify::PIPELINES)?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    for pipeline in known {
        if !verified.contains(&pipeline.as_str()) {
            connection.execute(sql::verify::FORGET, [pipeline])?;
        }
    }
    connection.execute(sql::verify::SOONER, [int(now.after(LONGEST_WAIT).millis())])?;
    for one in follows {
        let id = one.pipeline.as_str();
        match one.repurge_after {
            Some(after) => connection.execute(
                sql::verify::SOONER_REPURGE,
                params![id, int(now.after(after).millis())],
            )?,
            None => connection.execute(sql::verify::FORGET_REPURGE, [id])?,
        };
        if !one.verify && one.repurge_after.is_none() {
            connection.execute(sql::request::UNFOLLOW_ALL, [id])?;
        }
    }
    Ok(())
}

pub(in crate::store) fn follow_up(
    connection: &Connection,
    plan: &FollowUp,
    limit: usize,
) -> rusqlite::Result<FollowedUp> {
    let settled: Vec<(i64, Option<i64>, String)> = connection
        .prepare_cached(sql::request::TO_FOLLOW)?
        .query_map(params![plan.pipeline.as_str(), int(limit)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut followed = FollowedUp::default();
    for (request, through, stage) in settled {
        if stage == "done" {
            if plan.verify {
                followed.left_out += enrol(connection, plan, request, through)?;
            }
            if let Some(due) = plan.repurge {
                let purged = Purged { request, through };
                repurge(connection, plan, purged, due)?;
            }
        } else {
            // Nothing follows on a purge that will not be.
            connection
                .prepare_cached(sql::verify::FORGET_OF_REQUEST)?
                .execute(params![plan.pipeline.as_str(), request])?;
        }
        connection
            .prepare_cached(sql::request::UNFOLLOW)?
            .execute([request])?;
        followed.requests += 1;
    }
    Ok(followed)
}

/// The assets of a request are to be looked at. Returns how many there is no room for.
fn enrol(
    connection: &Connection,
    plan: &FollowUp,
    request: i64,
    through: Option<i64>,
) -> rusqlite::Result<u64> {
    let (id, now) = (plan.pipeline.as_str(), int(plan.now.millis()));
    let most = through.map_or(i64::MAX, |_| int(SAMPLE));
    let assets: Vec<(String, i64, i64, Option<i64>)> = connection
        .prepare_cached(sql::change::ASSETS_OF_REQUEST)?
        .query_map(params![request, most], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let waiting: i64 = connection
        .prepare_cached(sql::verify::COUNT)?
        .query_row([id], |row| row.get(0))?;
    let (mut waiting, mut left_out) = (uint(waiting), 0);
    let mut known = connection.prepare_cached(sql::verify::IS_THERE)?;
    let mut insert = connection.prepare_cached(sql::verify::ENROL)?;
    for (asset, seq, seen, cause) in assets {
        if !known.exists(params![id, asset])? {
            if waiting >= WAITING as u64 {
                left_out += 1;
                continue;
            }
            waiting += 1;
        }
        insert.execute(params![id, asset, seq, cause, request, seen, now])?;
    }
    if let Some(through) = through {
        // What waited for a purge of its own had one.
        connection
            .prepare_cached(sql::verify::PROBE_AFTER_ALL)?
            .execute(params![id, request, through, now])?;
    }
    Ok(left_out)
}

/// A request that is done, and for one of everything the last change that it covers.
#[derive(Clone, Copy)]
struct Purged {
    request: i64,
    through: Option<i64>,
}

/// What a request purged is purged once more, unless that was the second time.
fn repurge(
    connection: &Connection,
    plan: &FollowUp,
    purged: Purged,
    due: Time,
) -> rusqlite::Result<()> {
    let Purged { request, through } = purged;
    let (id, due) = (plan.pipeline.as_str(), int(due.millis()));
    let everything = |seq: i64| -> rusqlite::Result<()> {
        connection
            .prepare_cached(sql::verify::REPURGE_ALL)?
            .execute(params![id, seq, due])?;
        Ok(())
    };
    if let Some(through) = through {
        let asked: bool = connection
            .prepare_cached(sql::change::WAS_ASKED)?
            .query_row([request], |row| row.get(0))?;
        return if asked { everything(through) } else { Ok(()) };
    }
    connection
        .prepare_cached(sql::verify::REPURGE)?
        .execute(params![id, request, due])?;
    let waiting: i64 = connection
        .prepare_cached(sql::verify::COUNT_REPURGE)?
        .query_row([id], |row| row.get(0))?;
    if waiting > int(QUEUE_CAP) {
        connection.execute(sql::verify::FORGET_REPURGE, [id])?;
        everything(0)?;
    }
    Ok(())
}

pub(in crate::store) fn follow_ups(
    connection: &Connection,
    of: &[PipelineId],
    checks: usize,
) -> rusqlite::Result<FollowUps> {
    let unplanned = connection
        .prepare_cached(sql::request::PIPELINES_TO_FOLLOW)?
        .query_map([], pipeline)?
        .collect::<rusqlite::Result<_>>()?;
    let mut next = Vec::new();
    for pipeline in of {
        let mut select = connection.prepare_cached(sql::verify::PROBES)?;
        for found in select.query_map(params![pipeline.as_str(), int(checks)], check)? {
            next.push(found?);
        }
    }
    next.sort_by_key(|check: &Check| check.due);
    let again: Option<i64> = connection
        .prepare_cached(sql::verify::NEXT_AGAIN)?
        .query_row([], |row| row.get(0))?;
    Ok(FollowUps {
        unplanned,
        checks: next,
        again: again.map(time),
    })
}

fn check(row: &Row<'_>) -> rusqlite::Result<Check> {
    let asset: String = row.get("asset")?;
    Ok(Check {
        pipeline: pipeline(row)?,
        asset: Asset::from_stored(&asset),
        seq: Seq(uint(row.get("seq")?)),
        cause: row
            .get::<_, Option<i64>>("cause")?
            .map(|seq| Seq(uint(seq))),
        request: RequestId(uint(row.get("request")?)),
        seen: time(row.get("seen")?),
        round: row.get("round")?,
        tries: row.get("tries")?,
        due: time(row.get("due")?),
    })
}

pub(in crate::store) fn purge_again(
    connection: &Connection,
    now: Time,
    limit: usize,
) -> rusqlite::Result<usize> {
    type Due = (String, String, i64, bool);
    let due: Vec<Due> = connection
        .prepare_cached(sql::verify::DUE)?
        .query_map(params![int(now.millis()), int(limit)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let numbers = queue::last_seq(connection)?.next().0..;
    for ((pipeline, asset, seq, stale), number) in due.iter().zip(numbers) {
        let number = int(number);
        let detail = if *stale {
            "stale at the edge"
        } else {
            "repurge_after"
        };
        connection
            .prepare_cached(sql::change::ASK_AGAIN)?
            .execute(params![
                pipeline,
                asset,
                seq,
                detail,
                int(now.millis()),
                number
            ])?;
        if *stale {
            connection
                .prepare_cached(sql::verify::PURGING)?
                .execute(params![pipeline, asset, number])?;
        } else {
            connection
                .prepare_cached(sql::verify::REPURGED)?
                .execute(params![pipeline, asset])?;
        }
    }
    Ok(due.len())
}

pub(in crate::store) fn looked(connection: &Connection, looked: &Looked) -> rusqlite::Result<bool> {
    let check = &looked.check;
    let (id, asset) = (check.pipeline.as_str(), check.asset.as_str());
    let request = int(check.request.0);
    let (stage, due, seq, tries) = match looked.then {
        Then::Over | Then::Failed => (None, check.due, check.seq, check.tries),
        Then::Again(due) => (Some("again"), due, check.seq, check.tries),
        Then::Retry(due) => (Some("probe"), due, check.seq, check.tries + 1),
        Then::Wait(seq) => (Some("purging"), looked.at, seq, check.tries),
    };
    let wanted = match stage {
        None => connection
            .prepare_cached(sql::verify::OVER)?
            .execute(params![id, asset, request])?,
        Some(stage) => connection
            .prepare_cached(sql::verify::LOOKED)?
            .execute(params![
                id,
                asset,
                request,
                stage,
                int(due.millis()),
                int(seq.0),
                tries
            ])?,
    };
    if wanted == 0 {
        return Ok(false);
    }
    if matches!(looked.then, Then::Failed) {
        connection
            .prepare_cached(sql::change::FAIL)?
            .execute([int(check.seq.0)])?;
    }
    if !matches!(looked.then, Then::Wait(_)) {
        connection
            .prepare_cached(sql::verify::VERDICT)?
            .execute(params![
                request,
                asset,
                int(looked.at.millis()),
                looked.word.as_str(),
                looked.why,
                looked.absent
            ])?;
    }
    Ok(true)
}

/// What the edge had after a request.
pub(in crate::store) fn seen(
    connection: &Connection,
    request: u64,
    asset: &str,
) -> rusqlite::Result<Option<Seen>> {
    connection
        .prepare_cached(sql::verify::VERDICT_OF)?
        .query_row(params![int(request), asset], |row| {
            Ok(Seen {
                at: time(row.get("at")?),
                verdict: word(row, "verdict", Word::parse)?,
                why: row.get("why")?,
            })
        })
        .optional()
}

/// Nothing follows on the purges of a pipeline any more.
pub(in crate::store) fn forget(
    connection: &Connection,
    pipeline: &PipelineId,
) -> rusqlite::Result<()> {
    for sql in [sql::verify::FORGET, sql::verify::FORGET_REPURGE] {
        connection
            .prepare_cached(sql)?
            .execute([pipeline.as_str()])?;
    }
    Ok(())
}
