//! Requests: what is unsettled, and the history.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::queue::word;
use super::{decide, int, listing, operate, time, uint};
use crate::core::asset::Asset;
use crate::core::change::{PipelineId, Seq, Source};
use crate::core::purge::{
    AllReason, Learned, Limit, OpenRequest, QueuedAll, REMEMBERED_IDS, RequestId, Scope, Unsettled,
};
use crate::core::time::Time;
use crate::store::sql;
use crate::store::sql::listing::REQUESTS;
use crate::store::{Listed, RequestFilter, RequestRecord, StageCounts};

/// The last number that a request was given.
pub(super) const LAST_REQUEST: &str = "last_request";

pub(in crate::store) fn unsettled(connection: &Connection) -> rusqlite::Result<Unsettled> {
    let last: Option<String> = connection
        .query_row(sql::meta::VALUE, [LAST_REQUEST], |row| row.get(0))
        .optional()?;
    let requests: Vec<OpenRequest> = connection
        .prepare_cached(sql::request::UNSETTLED)?
        .query_map([], |row| open_request(connection, row))?
        .collect::<rusqlite::Result<_>>()?;
    let all = connection
        .prepare_cached(sql::request::QUEUED_ALL)?
        .query_map([], |row| {
            Ok(QueuedAll {
                pipeline: pipeline(row)?,
                reason: word(row, "reason", AllReason::parse)?,
                since: time(row.get("since")?),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let last_all = connection
        .prepare_cached(sql::request::LAST_ALL)?
        .query_map([], |row| Ok((pipeline(row)?, time(row.get("at")?))))?
        .collect::<rusqlite::Result<_>>()?;
    let learned = connection
        .prepare_cached(sql::request::LEARNED)?
        .query_map([], |row| {
            let what: String = row.get("what")?;
            Ok(Learned {
                limit: match what.as_str() {
                    decide::MAX_ASSETS => Limit::MaxAssets(pipeline(row)?),
                    _ => Limit::Rate,
                },
                value: uint(row.get("value")?),
                at: time(row.get("at")?),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Unsettled {
        last_request: last.and_then(|last| last.parse().ok()).unwrap_or(0),
        all,
        last_all,
        learned,
        settled_remote_ids: settled_remote_ids(connection, &requests)?,
        pauses: operate::pauses(connection)?,
        requests,
    })
}

/// The API's ids that can't be those of requests of unknown outcome, since others had them.
fn settled_remote_ids(
    connection: &Connection,
    unsettled: &[OpenRequest],
) -> rusqlite::Result<Vec<String>> {
    if unsettled.iter().all(|open| open.remote_id.is_some()) {
        return Ok(Vec::new());
    }
    let mut newest: Vec<String> = connection
        .prepare_cached(sql::request::SETTLED_REMOTE_IDS)?
        .query_map([int(REMEMBERED_IDS)], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    newest.reverse();
    Ok(newest)
}

pub(in crate::store) fn pipeline(row: &Row<'_>) -> rusqlite::Result<PipelineId> {
    let id: String = row.get("pipeline")?;
    Ok(PipelineId::new(&id))
}

fn open_request(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<OpenRequest> {
    let id = uint(row.get("id")?);
    let through: Option<i64> = row.get("through")?;
    let scope = match through {
        Some(through) => Scope::All {
            reason: word(row, "reason", AllReason::parse)?,
            through: Seq(uint(through)),
        },
        None => Scope::Assets(assets(connection, id)?),
    };
    Ok(OpenRequest {
        id: RequestId(id),
        pipeline: pipeline(row)?,
        scope,
        remote_id: row.get("remote_id")?,
        first_seen: time(row.get("first_seen")?),
        opened: time(row.get("opened")?),
        attempt: row.get("attempt")?,
        overdue: row.get("overdue")?,
        api_since: row.get::<_, Option<i64>>("api_since")?.map(time),
    })
}

fn assets(connection: &Connection, request: u64) -> rusqlite::Result<BTreeMap<Asset, Seq>> {
    connection
        .prepare_cached(sql::request::ASSETS)?
        .query_map([int(request)], |row| {
            let asset: String = row.get("asset")?;
            Ok((Asset::from_stored(&asset), Seq(uint(row.get("seq")?))))
        })?
        .collect()
}

pub(in crate::store) fn requests(
    connection: &Connection,
    filter: &RequestFilter,
) -> rusqlite::Result<Listed<RequestRecord>> {
    let pipeline = filter.pipeline.as_ref().map(PipelineId::as_str);
    let asset = filter.asset.as_ref().map(Asset::as_str);
    let id = filter.id.map(int);
    let from = filter.from.map(|from| int(from.millis()));
    let source = filter.source.map(Source::as_str);
    let text = filter.text.as_deref().map(pattern);
    let values = [
        listing::value(pipeline.as_ref()),
        listing::value(filter.status.as_ref()),
        listing::value(id.as_ref()),
        listing::value(filter.remote_id.as_ref()),
        listing::value(asset.as_ref()),
        listing::value(from.as_ref()),
        listing::value(source.as_ref()),
        listing::value(text.as_ref()),
    ];
    listing::listed(connection, &REQUESTS, values, filter.slice, |row| {
        record(connection, row)
    })
}

/// What `LIKE` finds a text with.
fn pattern(text: &str) -> String {
    let mut pattern = "%".to_owned();
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern + "%"
}

pub(in crate::store) fn record(
    connection: &Connection,
    row: &Row<'_>,
) -> rusqlite::Result<RequestRecord> {
    let id = uint(row.get("id")?);
    let reason: Option<String> = row.get("reason")?;
    let moment = |column| -> rusqlite::Result<Option<Time>> {
        Ok(row.get::<_, Option<i64>>(column)?.map(time))
    };
    Ok(RequestRecord {
        id,
        remote_id: row.get("remote_id")?,
        pipeline_id: pipeline(row)?,
        status: row.get("stage")?,
        all: reason.is_some(),
        reason,
        assets: assets(connection, id)?
            .into_keys()
            .map(|asset| asset.to_string())
            .collect(),
        attempt: row.get("attempt")?,
        first_seen: time(row.get("first_seen")?),
        created_at: time(row.get("opened")?),
        accepted_at: moment("accepted")?,
        settled_at: moment("settled")?,
        why: row.get("why")?,
    })
}

/// Reads queued, taken, done, failed and dropped, in that order.
pub(in crate::store) fn stage_counts(row: &Row<'_>) -> rusqlite::Result<StageCounts> {
    Ok(StageCounts {
        queued: uint(row.get(0)?),
        taken: uint(row.get(1)?),
        done: uint(row.get(2)?),
        failed: uint(row.get(3)?),
        dropped: uint(row.get(4)?),
    })
}

pub(in crate::store) fn stages(
    connection: &Connection,
    pipeline: Option<&PipelineId>,
    first: Seq,
    last: Seq,
) -> rusqlite::Result<StageCounts> {
    connection.prepare_cached(sql::change::STAGES)?.query_row(
        params![int(first.0), int(last.0), pipeline.map(PipelineId::as_str)],
        stage_counts,
    )
}

pub(in crate::store) fn requests_of(
    connection: &Connection,
    first: Seq,
    last: Seq,
) -> rusqlite::Result<Vec<u64>> {
    connection
        .prepare_cached(sql::change::REQUESTS)?
        .query_map(params![int(first.0), int(last.0)], |row| {
            Ok(uint(row.get(0)?))
        })?
        .collect()
}

pub(in crate::store) fn failed_assets(
    connection: &Connection,
) -> rusqlite::Result<BTreeMap<PipelineId, u64>> {
    connection
        .prepare_cached(sql::change::FAILED_ASSETS)?
        .query_map([], |row| Ok((pipeline(row)?, uint(row.get("failed")?))))?
        .collect()
}

/// Goes by what settled, which an index has in order: what is not old is not looked at.
pub(in crate::store) fn prune(
    connection: &Connection,
    before: Time,
    limit: usize,
) -> rusqlite::Result<u64> {
    let before = int(before.millis());
    let mut left = limit;
    for sql in [sql::change::PRUNE_DONE, sql::change::PRUNE_DROPPED] {
        let deleted: Vec<(String, Option<String>, i64)> = connection
            .prepare_cached(sql)?
            .query_map(params![before, int(left)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        left = left.saturating_sub(deleted.len());
        if let Some(seq) = deleted.iter().map(|(_, _, seq)| *seq).max() {
            connection
                .prepare_cached(sql::change::KEEP_LAST)?
                .execute([seq])?;
        }
        let mut last = BTreeMap::new();
        for (pipeline, origin, seq) in deleted {
            if let Some(origin) = origin {
                let known = last.entry((pipeline, origin)).or_insert(seq);
                *known = seq.max(*known);
            }
        }
        for ((pipeline, origin), seq) in last {
            connection
                .prepare_cached(sql::change::NOTE_PRUNED)?
                .execute(params![pipeline, origin, seq])?;
        }
    }
    let deleted = connection
        .prepare_cached(sql::request::PRUNE)?
        .execute(params![before, int(left)])?;
    left = left.saturating_sub(deleted);
    Ok((limit - left) as u64)
}

/// The last change of each origin's files that is not in the history any more.
pub(in crate::store) fn pruned(
    connection: &Connection,
) -> rusqlite::Result<BTreeMap<(PipelineId, String), Seq>> {
    connection
        .prepare(sql::change::PRUNED)?
        .query_map([], |row| {
            let seq: i64 = row.get("seq")?;
            Ok(((pipeline(row)?, row.get("origin")?), Seq(uint(seq))))
        })?
        .collect()
}
