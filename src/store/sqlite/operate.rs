//! What a person does with the queue: pauses, retries, drops; and queues without a pipeline.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::history::pipeline;
use super::queue::{change, word};
use super::{int, queue, time, uint};
use crate::core::change::{Change, PipelineId};
use crate::core::pause::{Holder, LONGEST_OUTAGE, Pause, Retry};
use crate::core::purge::AllReason;
use crate::core::time::Time;
use crate::store::Orphan;

/// Sets the value of a key.
pub(super) const SET: &str = "INSERT INTO meta (key, value) VALUES (?1, ?2)
     ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/// Every pause, whether it still holds or not.
pub(in crate::store) fn pauses(connection: &Connection) -> rusqlite::Result<Vec<Pause>> {
    connection
        .prepare_cached(
            "SELECT pipeline, holder, reason, since, length, until FROM pause
             ORDER BY pipeline, holder",
        )?
        .query_map([], |row| {
            let holder: String = row.get("holder")?;
            let length: Option<i64> = row.get("length")?;
            let until: Option<i64> = row.get("until")?;
            Ok(Pause {
                pipeline: pipeline(row)?,
                holder: Holder::parse(&holder),
                reason: row.get("reason")?,
                since: time(row.get("since")?),
                length: length.map(|millis| Duration::from_millis(uint(millis))),
                until: until.map(time),
            })
        })?
        .collect()
}

pub(in crate::store) fn pause(connection: &Connection, pause: &Pause) -> rusqlite::Result<()> {
    let length = pause.length.map(|length| int(length.as_millis()));
    connection
        .prepare_cached(
            "INSERT INTO pause (pipeline, holder, reason, since, length, until)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (pipeline, holder) DO UPDATE
             SET reason = excluded.reason, since = excluded.since, length = excluded.length,
                 until = excluded.until",
        )?
        .execute(params![
            pause.pipeline.as_str(),
            pause.holder.as_str(),
            pause.reason,
            int(pause.since.millis()),
            length,
            pause.until.map(|until| int(until.millis())),
        ])?;
    Ok(())
}

pub(in crate::store) fn resume(
    connection: &Connection,
    pipeline: &PipelineId,
    holder: &Holder,
    now: Time,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "DELETE FROM pause WHERE until <= ?1 - CASE WHEN holder = ?2 THEN 0 ELSE ?3 END",
        )?
        .execute(params![
            int(now.millis()),
            Holder::Operator.as_str(),
            int(LONGEST_OUTAGE.as_millis())
        ])?;
    let ended = connection
        .prepare_cached("DELETE FROM pause WHERE pipeline = ?1 AND holder = ?2")?
        .execute([pipeline.as_str(), holder.as_str()])?;
    Ok(ended > 0)
}

pub(in crate::store) fn retry(
    connection: &Connection,
    what: &Retry,
    limit: usize,
) -> rusqlite::Result<Vec<Change>> {
    let (pipeline, request) = match what {
        Retry::Pipeline(pipeline) => (Some(pipeline.as_str()), None),
        Retry::Request(request) => (None, Some(int(*request))),
    };
    let failed = match what {
        Retry::Pipeline(_) => {
            "SELECT seq FROM change INDEXED BY change_failed
             WHERE stage = 'failed' AND pipeline = ?1 AND ?2 IS NULL LIMIT ?3"
        }
        Retry::Request(_) => {
            "SELECT seq FROM change INDEXED BY change_request
             WHERE stage = 'failed' AND request = ?2 AND ?1 IS NULL LIMIT ?3"
        }
    };
    let mut changes: Vec<Change> = connection
        .prepare_cached(&format!(
            "UPDATE change SET stage = 'queued', attempt = 0, not_before = 0, overdue = 0
             WHERE seq IN ({failed})
             RETURNING seq, pipeline, asset, kind, source, detail, seen, attempt, not_before,
                       overdue, again"
        ))?
        .query_map(params![pipeline, request, int(limit)], change)?
        .collect::<rusqlite::Result<_>>()?;
    changes.sort_by_key(|change| change.seq);
    Ok(changes)
}

pub(in crate::store) fn drop_queue(
    connection: &Connection,
    pipeline: &PipelineId,
    limit: usize,
) -> rusqlite::Result<u64> {
    let later = drop_later(connection, pipeline)?;
    let everything = connection
        .prepare_cached("DELETE FROM queued_all WHERE pipeline = ?1")?
        .execute([pipeline.as_str()])?;
    super::verify::forget(connection, pipeline)?;
    let changes = connection
        .prepare_cached(
            "UPDATE change SET stage = 'dropped' WHERE seq IN (
                 SELECT seq FROM change INDEXED BY change_queued_asset
                 WHERE stage = 'queued' AND pipeline = ?1
                 UNION ALL
                 SELECT seq FROM change INDEXED BY change_failed
                 WHERE stage = 'failed' AND pipeline = ?1
                 LIMIT ?2)",
        )?
        .execute(params![pipeline.as_str(), int(limit)])?;
    Ok((later + everything + changes) as u64)
}

/// What deliveries wait to queue becomes changes that are dropped, so that whoever asks for such a
/// delivery is told.
fn drop_later(connection: &Connection, pipeline: &PipelineId) -> rusqlite::Result<usize> {
    let waiting: Vec<i64> = connection
        .prepare_cached("SELECT id FROM delivery WHERE stage = 'waiting' AND pipeline = ?1")?
        .query_map([pipeline.as_str()], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut dropped = 0;
    for id in waiting {
        let before = queue::last_seq(connection)?;
        dropped += connection
            .prepare_cached(
                "INSERT INTO change (pipeline, asset, kind, source, detail, seen, stage, attempt,
                                     not_before)
                 SELECT delivery.pipeline, asset, 'asked', 'webhook', detail, delivery.at, 'dropped',
                        0, 0
                 FROM delivery_target JOIN delivery ON delivery.id = delivery_target.delivery
                 WHERE delivery.id = ?1",
            )?
            .execute([id])?;
        let last = queue::last_seq(connection)?;
        connection
            .prepare_cached(
                "UPDATE delivery SET stage = 'made', first = ?2, last = ?3 WHERE id = ?1",
            )?
            .execute(params![id, int(before.0 + 1), int(last.0)])?;
        connection
            .prepare_cached("DELETE FROM delivery_target WHERE delivery = ?1")?
            .execute([id])?;
    }
    Ok(dropped)
}

/// Steps from pipeline to pipeline in the indexes, so that a long queue costs nothing.
pub(in crate::store) fn orphans(
    connection: &Connection,
    known: &[PipelineId],
) -> rusqlite::Result<Vec<Orphan>> {
    let mut ids = Vec::new();
    let mut at = String::new();
    loop {
        let next: Option<String> = connection
            .prepare_cached(
                "SELECT min(id) FROM (
                     SELECT min(pipeline) AS id FROM change INDEXED BY change_queued_asset
                     WHERE stage = 'queued' AND pipeline > ?1
                     UNION ALL
                     SELECT min(pipeline) FROM change INDEXED BY change_failed
                     WHERE stage = 'failed' AND pipeline > ?1
                     UNION ALL SELECT min(pipeline) FROM queued_all WHERE pipeline > ?1) AS first",
            )?
            .query_row([&at], |row| row.get(0))?;
        let Some(next) = next else { break };
        at.clone_from(&next);
        let id = PipelineId::new(&next);
        if !known.contains(&id) {
            ids.push(id);
        }
    }
    ids.into_iter().map(|id| orphan(connection, id)).collect()
}

fn orphan(connection: &Connection, id: PipelineId) -> rusqlite::Result<Orphan> {
    let count = |sql: &str| -> rusqlite::Result<u64> {
        let count: i64 = connection
            .prepare_cached(sql)?
            .query_row([id.as_str()], |row| row.get(0))?;
        Ok(uint(count))
    };
    let queued_all = connection
        .prepare_cached("SELECT reason FROM queued_all WHERE pipeline = ?1")?
        .query_row([id.as_str()], |row: &Row<'_>| {
            word(row, "reason", AllReason::parse)
        })
        .optional()?;
    Ok(Orphan {
        queued_changes: count(
            "SELECT count(*) FROM change INDEXED BY change_queued_asset
             WHERE stage = 'queued' AND pipeline = ?1",
        )?,
        failed_changes: count(
            "SELECT count(*) FROM change INDEXED BY change_failed
             WHERE stage = 'failed' AND pipeline = ?1",
        )?,
        queued_all,
        id,
    })
}

/// Notes share a table with what the queue knows of itself.
fn key_of(key: &str) -> String {
    format!("note:{key}")
}

pub(in crate::store) fn noted(
    connection: &Connection,
    key: &str,
) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key_of(key)], |row| row.get(0))
        .optional()
}

pub(in crate::store) fn note(
    connection: &Connection,
    key: &str,
    word: &str,
) -> rusqlite::Result<Option<String>> {
    let before = noted(connection, key)?;
    connection
        .prepare_cached(SET)?
        .execute([key_of(key).as_str(), word])?;
    Ok(before)
}
