//! What follows on a purge: looks at the edge, and another purge.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::history::pipeline;
use super::queue::word;
use super::{int, time, uint};
use crate::core::asset::Asset;
use crate::core::change::{PipelineId, Seq};
use crate::core::purge::RequestId;
use crate::core::queue::QUEUE_CAP;
use crate::core::time::Time;
use crate::core::verify::{
    Check, FollowUp, FollowUps, FollowedUp, Follows, LONGEST_WAIT, Looked, SAMPLE, Seen, Then,
    WAITING, Word,
};

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
        .prepare("SELECT DISTINCT pipeline FROM verification")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    for pipeline in known {
        if !verified.contains(&pipeline.as_str()) {
            connection.execute("DELETE FROM verification WHERE pipeline = ?1", [pipeline])?;
        }
    }
    connection.execute(
        "UPDATE verification SET due = min(due, ?1)",
        [int(now.after(LONGEST_WAIT).millis())],
    )?;
    for one in follows {
        let id = one.pipeline.as_str();
        match one.repurge_after {
            Some(after) => connection.execute(
                "UPDATE repurge SET due = min(due, ?2) WHERE pipeline = ?1",
                params![id, int(now.after(after).millis())],
            )?,
            None => connection.execute("DELETE FROM repurge WHERE pipeline = ?1", [id])?,
        };
        if !one.verify && one.repurge_after.is_none() {
            connection.execute(
                "UPDATE request SET follow = 0 WHERE follow = 1 AND pipeline = ?1",
                [id],
            )?;
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
        .prepare_cached(
            "SELECT id, through, stage FROM request INDEXED BY request_follow
             WHERE follow = 1 AND pipeline = ?1 ORDER BY id LIMIT ?2",
        )?
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
                repurge(connection, plan, (request, through), due)?;
            }
        } else {
            // Nobody waits for a purge that will not be.
            connection
                .prepare_cached(
                    "DELETE FROM verification WHERE pipeline = ?1 AND stage = 'purging' AND EXISTS
                         (SELECT 1 FROM change WHERE change.seq = verification.seq
                          AND change.request = ?2)",
                )?
                .execute(params![plan.pipeline.as_str(), request])?;
        }
        connection
            .prepare_cached("UPDATE request SET follow = 0 WHERE id = ?1")?
            .execute([request])?;
        followed.requests += 1;
    }
    Ok(followed)
}

/// The assets of a request are to be looked at. Tells how many there is no room for.
fn enrol(
    connection: &Connection,
    plan: &FollowUp,
    request: i64,
    through: Option<i64>,
) -> rusqlite::Result<u64> {
    let (id, now) = (plan.pipeline.as_str(), int(plan.now.millis()));
    let most = through.map_or(-1, |_| int(SAMPLE));
    let assets: Vec<(String, i64, i64, Option<i64>)> = connection
        .prepare_cached(
            "SELECT asset, max(seq), min(seen), max(CASE WHEN path IS NOT NULL THEN seq END)
             FROM change INDEXED BY change_request
             WHERE request = ?1 AND asset IS NOT NULL GROUP BY asset ORDER BY max(seq) DESC LIMIT ?2",
        )?
        .query_map(params![request, most], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let waiting: i64 = connection
        .prepare_cached("SELECT count(*) FROM verification WHERE pipeline = ?1")?
        .query_row([id], |row| row.get(0))?;
    let (mut waiting, mut left_out) = (uint(waiting), 0);
    let mut known = connection
        .prepare_cached("SELECT 1 FROM verification WHERE pipeline = ?1 AND asset = ?2")?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO verification (pipeline, asset, seq, cause, request, seen, round, tries, stage, due)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, 'probe', ?7)
         ON CONFLICT (pipeline, asset) DO UPDATE
         SET seq = max(verification.seq, excluded.seq),
             cause = coalesce(excluded.cause, verification.cause), request = excluded.request,
             seen = min(verification.seen, excluded.seen), tries = 0, stage = 'probe',
             due = excluded.due",
    )?;
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
            .prepare_cached(
                "UPDATE verification SET request = ?2, tries = 0, stage = 'probe', due = ?4
                 WHERE pipeline = ?1 AND stage <> 'probe' AND seq <= ?3",
            )?
            .execute(params![id, request, through, now])?;
    }
    Ok(left_out)
}

/// What a request purged is purged once more, unless that was the second time.
fn repurge(
    connection: &Connection,
    plan: &FollowUp,
    (request, through): (i64, Option<i64>),
    due: Time,
) -> rusqlite::Result<()> {
    let (id, due) = (plan.pipeline.as_str(), int(due.millis()));
    let everything = |seq: i64| -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO repurge (pipeline, asset, seq, due) VALUES (?1, '', ?2, ?3)
                 ON CONFLICT (pipeline, asset) DO UPDATE SET seq = excluded.seq, due = excluded.due",
            )?
            .execute(params![id, seq, due])?;
        Ok(())
    };
    if let Some(through) = through {
        let asked: bool = connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM change WHERE request = ?1 AND again = 0)
                     OR NOT EXISTS (SELECT 1 FROM change WHERE request = ?1)",
            )?
            .query_row([request], |row| row.get(0))?;
        return if asked { everything(through) } else { Ok(()) };
    }
    connection
        .prepare_cached(
            "INSERT INTO repurge (pipeline, asset, seq, due)
             SELECT ?1, asset, max(seq), ?3 FROM change INDEXED BY change_request
             WHERE request = ?2 AND asset IS NOT NULL AND again = 0 GROUP BY asset
             ON CONFLICT (pipeline, asset) DO UPDATE SET seq = excluded.seq, due = excluded.due",
        )?
        .execute(params![id, request, due])?;
    let waiting: i64 = connection
        .prepare_cached("SELECT count(*) FROM repurge WHERE pipeline = ?1")?
        .query_row([id], |row| row.get(0))?;
    if waiting > int(QUEUE_CAP) {
        connection.execute("DELETE FROM repurge WHERE pipeline = ?1", [id])?;
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
        .prepare_cached(
            "SELECT DISTINCT pipeline FROM request INDEXED BY request_follow WHERE follow = 1",
        )?
        .query_map([], pipeline)?
        .collect::<rusqlite::Result<_>>()?;
    let mut next = Vec::new();
    for pipeline in of {
        let mut select = connection.prepare_cached(
            "SELECT pipeline, asset, seq, cause, request, seen, round, tries, due
             FROM verification INDEXED BY verification_probe
             WHERE stage = 'probe' AND pipeline = ?1 ORDER BY due LIMIT ?2",
        )?;
        for found in select.query_map(params![pipeline.as_str(), int(checks)], check)? {
            next.push(found?);
        }
    }
    next.sort_by_key(|check: &Check| check.due);
    let again: Option<i64> = connection
        .prepare_cached(
            "SELECT min(due) FROM (
                 SELECT min(due) AS due FROM verification INDEXED BY verification_due
                 WHERE stage = 'again'
                 UNION ALL SELECT min(due) FROM repurge) AS next",
        )?
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
        .prepare_cached(
            "SELECT pipeline, asset, seq, stale FROM (
                 SELECT pipeline, asset, seq, 1 AS stale FROM verification INDEXED BY verification_due
                 WHERE stage = 'again' AND due <= ?1
                 UNION ALL
                 SELECT pipeline, asset, seq, 0 FROM repurge WHERE due <= ?1) AS due LIMIT ?2",
        )?
        .query_map(params![int(now.millis()), int(limit)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    for (pipeline, asset, seq, stale) in &due {
        let detail = if *stale {
            "stale at the edge"
        } else {
            "repurge_after"
        };
        connection
            .prepare_cached(
                "INSERT INTO change (pipeline, asset, kind, source, detail, seen, stage, attempt,
                                     not_before, again)
                 VALUES (?1, nullif(?2, ''), 'asked',
                         coalesce((SELECT source FROM change WHERE seq = ?3), 'watch'), ?4, ?5,
                         'queued', 0, 0, 1)",
            )?
            .execute(params![pipeline, asset, seq, detail, int(now.millis())])?;
        let number = connection.last_insert_rowid();
        if *stale {
            connection
                .prepare_cached(
                    "UPDATE verification SET stage = 'purging', round = round + 1, seq = ?3
                     WHERE pipeline = ?1 AND asset = ?2",
                )?
                .execute(params![pipeline, asset, number])?;
        } else {
            connection
                .prepare_cached("DELETE FROM repurge WHERE pipeline = ?1 AND asset = ?2")?
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
            .prepare_cached(
                "DELETE FROM verification
                 WHERE pipeline = ?1 AND asset = ?2 AND request = ?3 AND stage = 'probe'",
            )?
            .execute(params![id, asset, request])?,
        Some(stage) => connection
            .prepare_cached(
                "UPDATE verification SET stage = ?4, due = ?5, seq = ?6, tries = ?7
                 WHERE pipeline = ?1 AND asset = ?2 AND request = ?3 AND stage = 'probe'",
            )?
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
            .prepare_cached("UPDATE change SET stage = 'failed' WHERE seq = ?1 AND stage = 'done'")?
            .execute([int(check.seq.0)])?;
    }
    if !matches!(looked.then, Then::Wait(_)) {
        connection
            .prepare_cached(
                "INSERT INTO verified (request, asset, at, verdict, why, absent)
                 SELECT id, ?2, ?3, ?4, ?5, ?6 FROM request WHERE id = ?1
                 ON CONFLICT (request, asset) DO UPDATE
                 SET at = excluded.at, verdict = excluded.verdict, why = excluded.why,
                     absent = excluded.absent",
            )?
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
        .prepare_cached("SELECT at, verdict, why FROM verified WHERE request = ?1 AND asset = ?2")?
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
    for sql in [
        "DELETE FROM verification WHERE pipeline = ?1",
        "DELETE FROM repurge WHERE pipeline = ?1",
    ] {
        connection
            .prepare_cached(sql)?
            .execute([pipeline.as_str()])?;
    }
    Ok(())
}
