//! What a person does with the queue: pauses, retries, drops; and queues without a pipeline.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};

use super::history::pipeline;
use super::queue::{change, word};
use super::{int, queue, time, uint};
use crate::core::change::{Change, PipelineId};
use crate::core::pause::{Holder, LONGEST_OUTAGE, Pause, Retry};
use crate::core::purge::AllReason;
use crate::core::time::Time;
use crate::store::Orphan;
use crate::store::sql;

/// Every pause, whether it still holds or not.
pub(in crate::store) fn pauses(connection: &Connection) -> rusqlite::Result<Vec<Pause>> {
    connection
        .prepare_cached(sql::pause::PAUSES)?
        .query_map([], |row| {
            let holder: String = row.get("holder")?;
            let length: Option<i64> = row.get("length")?;
            let until: Option<i64> = row.get("until")?;
            Ok(Pause {
                pipeline: pipeline(row)?,
                holder: Holder::parse(&holder),
                who: row.get("who")?,
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
        .prepare_cached(sql::pause::PAUSE)?
        .execute(params![
            pause.pipeline.as_str(),
            pause.holder.as_str(),
            pause.reason,
            int(pause.since.millis()),
            length,
            pause.until.map(|until| int(until.millis())),
            pause.who,
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
        .prepare_cached(sql::pause::END_PAUSES)?
        .execute(params![
            int(now.millis()),
            Holder::Operator.as_str(),
            int(LONGEST_OUTAGE.as_millis())
        ])?;
    let ended = connection
        .prepare_cached(sql::pause::RESUME)?
        .execute([pipeline.as_str(), holder.as_str()])?;
    Ok(ended > 0)
}

pub(in crate::store) fn retry(
    connection: &Connection,
    what: &Retry,
    limit: usize,
) -> rusqlite::Result<Vec<Change>> {
    let limit = int(limit);
    let (sql, of): (_, &dyn ToSql) = match what {
        Retry::Pipeline(pipeline) => (sql::change::RETRY_PIPELINE, &pipeline.as_str()),
        Retry::Request(request) => (sql::change::RETRY_REQUEST, &int(*request)),
    };
    let mut changes: Vec<Change> = connection
        .prepare_cached(sql)?
        .query_map(params![of, limit], change)?
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
        .prepare_cached(sql::request::UNQUEUE_ALL)?
        .execute([pipeline.as_str()])?;
    super::verify::forget(connection, pipeline)?;
    let changes = connection
        .prepare_cached(sql::change::DROP)?
        .execute(params![pipeline.as_str(), int(limit)])?;
    Ok((later + everything + changes) as u64)
}

/// What deliveries wait to queue becomes changes that are dropped, so that a question about such a
/// delivery has an answer.
fn drop_later(connection: &Connection, pipeline: &PipelineId) -> rusqlite::Result<usize> {
    let waiting: Vec<i64> = connection
        .prepare_cached(sql::delivery::WAITING_OF)?
        .query_map([pipeline.as_str()], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut dropped = 0;
    for id in waiting {
        let before = queue::last_seq(connection)?;
        dropped += connection
            .prepare_cached(sql::change::DROP_WAITING)?
            .execute(params![id, int(before.0)])?;
        let last = queue::last_seq(connection)?;
        connection
            .prepare_cached(sql::delivery::MADE)?
            .execute(params![id, int(before.next().0), int(last.0)])?;
        connection
            .prepare_cached(sql::delivery::CLEAR_TARGETS)?
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
            .prepare_cached(sql::change::NEXT_PIPELINE)?
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
        .prepare_cached(sql::request::QUEUED_ALL_OF)?
        .query_row([id.as_str()], |row: &Row<'_>| {
            word(row, "reason", AllReason::parse)
        })
        .optional()?;
    Ok(Orphan {
        queued_changes: count(sql::change::COUNT_QUEUED)?,
        failed_changes: count(sql::change::COUNT_FAILED)?,
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
        .prepare_cached(sql::meta::VALUE)?
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
        .prepare_cached(sql::meta::SET)?
        .execute([key_of(key).as_str(), word])?;
    Ok(before)
}
