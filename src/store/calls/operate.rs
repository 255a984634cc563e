//! What a person does with the queue: pauses, retries, drops; and queues without a pipeline.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{queue, verify};
use crate::core::change::{Change, PipelineId, Seq};
use crate::core::pause::{Holder, LONGEST_OUTAGE, Pause, Retry};
use crate::core::purge::AllReason;
use crate::core::time::Time;
use crate::store::db::{Db, Value, int, values};
use crate::store::sql;
use crate::store::{Orphan, StoreError};

/// Every pause, whether it still holds or not.
pub(in crate::store) fn pauses(db: &dyn Db) -> Result<Vec<Pause>, StoreError> {
    db.query(sql::pause::PAUSES, &[], |row| {
        Ok(Pause {
            pipeline: row.get("pipeline")?,
            holder: Holder::parse(row.get("holder")?),
            who: row.get("who")?,
            reason: row.get("reason")?,
            since: row.get("since")?,
            length: row.get::<Option<_>>("length")?.map(Duration::from_millis),
            until: row.get("until")?,
        })
    })
}

pub(in crate::store) fn pause(db: &dyn Db, pause: &Pause) -> Result<(), StoreError> {
    let length = pause.length.map(|length| int(length.as_millis()));
    db.execute(
        sql::pause::PAUSE,
        &values![
            &pause.pipeline,
            pause.holder.as_str(),
            &pause.reason,
            pause.since,
            length,
            pause.until,
            &pause.who,
        ],
    )?;
    Ok(())
}

pub(in crate::store) fn resume(
    db: &dyn Db,
    pipeline: &PipelineId,
    holder: &Holder,
    now: Time,
) -> Result<bool, StoreError> {
    let outage = int(LONGEST_OUTAGE.as_millis());
    db.execute(
        sql::pause::END_PAUSES,
        &values![now, Holder::Operator.as_str(), outage],
    )?;
    let ended = db.execute(sql::pause::RESUME, &values![pipeline, holder.as_str()])?;
    Ok(ended > 0)
}

pub(in crate::store) fn retry(
    db: &dyn Db,
    what: &Retry,
    limit: usize,
) -> Result<Vec<Change>, StoreError> {
    let (sql, of) = match what {
        Retry::Pipeline(pipeline) => (sql::change::RETRY_PIPELINE, Value::from(pipeline)),
        Retry::Request(request) => (sql::change::RETRY_REQUEST, Value::from(*request)),
    };
    let mut changes: Vec<Change> = db.query(sql, &values![of, limit], queue::change)?;
    changes.sort_by_key(|change| change.seq);
    Ok(changes)
}

pub(in crate::store) fn drop_queue(
    db: &dyn Db,
    pipeline: &PipelineId,
    limit: usize,
) -> Result<u64, StoreError> {
    let later = drop_later(db, pipeline)?;
    let everything = db.execute(sql::request::UNQUEUE_ALL, &values![pipeline])?;
    verify::forget(db, pipeline)?;
    let changes = db.execute(sql::change::DROP, &values![pipeline, limit])?;
    Ok((later + everything + changes) as u64)
}

/// What deliveries wait to queue becomes changes that are dropped, so that a question about such a
/// delivery has an answer.
fn drop_later(db: &dyn Db, pipeline: &PipelineId) -> Result<usize, StoreError> {
    let waiting: Vec<u64> = db.query(sql::delivery::WAITING_OF, &values![pipeline], |row| {
        row.get("id")
    })?;
    let mut dropped = 0;
    for id in waiting {
        let before = queue::last_seq(db)?;
        let made = db.execute(sql::change::DROP_WAITING, &values![id, before])?;
        let last = Seq(before.0 + made as u64);
        db.execute(sql::delivery::MADE, &values![id, before.next(), last])?;
        db.execute(sql::delivery::CLEAR_TARGETS, &values![id])?;
        dropped += made;
    }
    Ok(dropped)
}

/// Steps from pipeline to pipeline in the indexes, so that a long queue costs nothing.
pub(in crate::store) fn orphans(
    db: &dyn Db,
    known: &[PipelineId],
) -> Result<Vec<Orphan>, StoreError> {
    let mut ids = Vec::new();
    let mut at = PipelineId::new("");
    while let Some(next) =
        db.value::<Option<PipelineId>>(sql::change::NEXT_PIPELINE, &values![&at])?
    {
        if !known.contains(&next) {
            ids.push(next.clone());
        }
        at = next;
    }
    ids.into_iter().map(|id| orphan(db, id)).collect()
}

fn orphan(db: &dyn Db, id: PipelineId) -> Result<Orphan, StoreError> {
    Ok(Orphan {
        queued_changes: db.value(sql::change::COUNT_QUEUED, &values![&id])?,
        failed_changes: db.value(sql::change::COUNT_FAILED, &values![&id])?,
        queued_all: db.optional(sql::request::QUEUED_ALL_OF, &values![&id], |row| {
            row.word("reason", AllReason::parse)
        })?,
        id,
    })
}

/// Notes share a table with what the queue knows of itself.
pub(in crate::store) fn key_of(key: &str) -> String {
    format!("note:{key}")
}

pub(in crate::store) fn noted(db: &dyn Db, key: &str) -> Result<Option<String>, StoreError> {
    meta(db, &key_of(key))
}

/// What the queue knows of itself under a key.
pub(in crate::store) fn meta(db: &dyn Db, key: &str) -> Result<Option<String>, StoreError> {
    db.optional(sql::meta::VALUE, &values![key], |row| row.get("value"))
}

/// The name of this queue, and the API it is for. A new one takes `api_url`.
pub(in crate::store) fn identity(
    db: &dyn Db,
    api_url: &str,
) -> Result<(String, String), StoreError> {
    let known = |key: &str, new: &dyn Fn() -> String| {
        if let Some(known) = meta(db, key)? {
            return Ok(known);
        }
        let new = new();
        db.execute(sql::meta::INSERT, &values![key, &new])?;
        Ok(new)
    };
    let epoch = known("epoch", &|| uuid::Uuid::new_v4().to_string())?;
    Ok((epoch, known("api_url", &|| api_url.to_owned())?))
}

pub(in crate::store) fn note(
    db: &dyn Db,
    key: &str,
    word: &str,
) -> Result<Option<String>, StoreError> {
    let before = noted(db, key)?;
    db.execute(sql::meta::SET, &values![&key_of(key), word])?;
    Ok(before)
}

/// The note of the queues that are full.
pub(in crate::store) const FULL: &str = "full";

/// Notes which queues are full.
pub(in crate::store) fn set_full(
    db: &dyn Db,
    full: &BTreeSet<PipelineId>,
) -> Result<(), StoreError> {
    let ids: Vec<&str> = full.iter().map(PipelineId::as_str).collect();
    note(db, FULL, &ids.join(" ")).map(drop)
}

/// The queues that are full, of such a note.
pub(in crate::store) fn full_of(noted: &str) -> BTreeSet<PipelineId> {
    noted.split_whitespace().map(PipelineId::new).collect()
}
