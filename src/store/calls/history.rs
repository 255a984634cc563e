//! Requests: what is unsettled, and the history.

use std::collections::BTreeMap;

use super::{decide, listing, operate};
use crate::core::asset::Asset;
use crate::core::change::{PipelineId, Seq, Source};
use crate::core::lease::NodeId;
use crate::core::purge::{
    AllReason, Learned, Limit, OpenRequest, QueuedAll, REMEMBERED_IDS, RequestId, Scope, Unsettled,
};
use crate::core::time::Time;
use crate::store::db::{Db, Row, values};
use crate::store::sql;
use crate::store::sql::listing::REQUESTS;
use crate::store::{Listed, RequestFilter, RequestRecord, StageCounts, StoreError};

/// The last number that a request was given.
pub(super) const LAST_REQUEST: &str = "last_request";

pub(in crate::store) fn unsettled(db: &dyn Db) -> Result<Unsettled, StoreError> {
    let last = operate::meta(db, LAST_REQUEST)?;
    let requests: Vec<OpenRequest> =
        db.query(sql::request::UNSETTLED, &[], |row| open_request(db, row))?;
    let all = db.query(sql::request::QUEUED_ALL, &[], |row| {
        Ok(QueuedAll {
            pipeline: row.get("pipeline")?,
            reason: row.word("reason", AllReason::parse)?,
            since: row.get("since")?,
        })
    })?;
    let last_all = db.query(sql::request::LAST_ALL, &[], |row| {
        Ok((row.get("pipeline")?, row.get("at")?))
    })?;
    let learned = db.query(sql::request::LEARNED, &[], |row| {
        Ok(Learned {
            limit: match row.get("what")? {
                decide::MAX_ASSETS => Limit::MaxAssets(row.get("pipeline")?),
                _ => Limit::Rate,
            },
            value: row.get("value")?,
            at: row.get("at")?,
        })
    })?;
    Ok(Unsettled {
        last_request: last.and_then(|last| last.parse().ok()).unwrap_or(0),
        all,
        last_all,
        learned,
        settled_remote_ids: settled_remote_ids(db, &requests)?,
        pauses: operate::pauses(db)?,
        requests,
    })
}

/// The API's ids that can't be those of requests of unknown outcome, since others had them.
fn settled_remote_ids(db: &dyn Db, unsettled: &[OpenRequest]) -> Result<Vec<String>, StoreError> {
    if unsettled.iter().all(|open| open.remote_id.is_some()) {
        return Ok(Vec::new());
    }
    let newest = values![REMEMBERED_IDS];
    let mut newest: Vec<String> = db.query(sql::request::SETTLED_REMOTE_IDS, &newest, |row| {
        row.get("remote_id")
    })?;
    newest.reverse();
    Ok(newest)
}

fn open_request(db: &dyn Db, row: &Row<'_>) -> Result<OpenRequest, StoreError> {
    let id = row.get("id")?;
    let scope = match row.get("through")? {
        Some(through) => Scope::All {
            reason: row.word("reason", AllReason::parse)?,
            through,
        },
        None => Scope::Assets(assets(db, id)?),
    };
    Ok(OpenRequest {
        id: RequestId(id),
        pipeline: row.get("pipeline")?,
        scope,
        remote_id: row.get("remote_id")?,
        first_seen: row.get("first_seen")?,
        opened: row.get("opened")?,
        attempt: row.get("attempt")?,
        overdue: row.get("overdue")?,
        api_since: row.get("api_since")?,
    })
}

fn assets(db: &dyn Db, request: u64) -> Result<BTreeMap<Asset, Seq>, StoreError> {
    db.query(sql::request::ASSETS, &values![request], |row| {
        Ok((row.get("asset")?, row.get("seq")?))
    })
}

pub(in crate::store) fn requests(
    db: &dyn Db,
    filter: &RequestFilter,
) -> Result<Listed<RequestRecord>, StoreError> {
    let text = filter.text.as_deref().map(pattern);
    let values = values![
        filter.pipeline.as_ref(),
        filter.status.as_ref(),
        filter.id,
        filter.remote_id.as_ref(),
        filter.asset.as_ref(),
        filter.from,
        filter.source.map(Source::as_str),
        text.as_deref(),
    ];
    listing::listed(db, &REQUESTS, values, filter.slice, |row| record(db, row))
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

pub(in crate::store) fn record(db: &dyn Db, row: &Row<'_>) -> Result<RequestRecord, StoreError> {
    let id = row.get("id")?;
    let reason: Option<String> = row.get("reason")?;
    Ok(RequestRecord {
        id,
        remote_id: row.get("remote_id")?,
        pipeline_id: row.get("pipeline")?,
        status: row.get("stage")?,
        all: reason.is_some(),
        reason,
        assets: assets(db, id)?
            .into_keys()
            .map(|asset| asset.to_string())
            .collect(),
        attempt: row.get("attempt")?,
        first_seen: row.get("first_seen")?,
        created_at: row.get("opened")?,
        accepted_at: row.get("accepted")?,
        settled_at: row.get("settled")?,
        why: row.get("why")?,
    })
}

pub(in crate::store) fn stages(
    db: &dyn Db,
    pipeline: Option<&PipelineId>,
    first: Seq,
    last: Seq,
) -> Result<StageCounts, StoreError> {
    db.one(
        sql::change::STAGES,
        &values![first, last, pipeline],
        |row| {
            Ok(StageCounts {
                queued: row.get("queued")?,
                taken: row.get("taken")?,
                done: row.get("done")?,
                failed: row.get("failed")?,
                dropped: row.get("dropped")?,
            })
        },
    )
}

pub(in crate::store) fn requests_of(
    db: &dyn Db,
    first: Seq,
    last: Seq,
) -> Result<Vec<u64>, StoreError> {
    db.query(sql::change::REQUESTS, &values![first, last], |row| {
        row.get("request")
    })
}

pub(in crate::store) fn failed_assets(
    db: &dyn Db,
) -> Result<BTreeMap<PipelineId, u64>, StoreError> {
    db.query(sql::change::FAILED_ASSETS, &[], |row| {
        Ok((row.get("pipeline")?, row.get("failed")?))
    })
}

/// Goes by what settled, which an index has in order: what is not old is not looked at.
pub(in crate::store) fn prune(db: &dyn Db, before: Time, limit: usize) -> Result<u64, StoreError> {
    let mut left = limit;
    for sql in [sql::change::PRUNE_DONE, sql::change::PRUNE_DROPPED] {
        let (mut deleted, mut highest, mut last) = (0, Seq(0), BTreeMap::new());
        db.each_row(sql, &values![before, left], &mut |row| {
            let seq: Seq = row.get("seq")?;
            deleted += 1;
            highest = seq.max(highest);
            let of: (Option<NodeId>, Option<String>) = (row.get("node")?, row.get("origin")?);
            if let (Some(node), Some(origin)) = of {
                let pipeline: PipelineId = row.get("pipeline")?;
                let known = last.entry((node, pipeline, origin)).or_insert(seq);
                *known = seq.max(*known);
            }
            Ok(())
        })?;
        left = left.saturating_sub(deleted);
        db.execute(sql::change::KEEP_LAST, &values![highest])?;
        let last = last.iter();
        let pruned =
            last.map(|((node, pipeline, origin), seq)| values![*node, pipeline, origin, *seq]);
        db.many(sql::change::NOTE_PRUNED, pruned)?;
    }
    left = left.saturating_sub(db.execute(sql::request::PRUNE, &values![before, left])?);
    Ok((limit - left) as u64)
}

/// The last change of a node's files, for each origin, that is not in the history any more.
pub(in crate::store) fn pruned(
    db: &dyn Db,
    node: NodeId,
) -> Result<BTreeMap<(PipelineId, String), Seq>, StoreError> {
    db.query(sql::change::PRUNED, &values![node], |row| {
        Ok(((row.get("pipeline")?, row.get("origin")?), row.get("seq")?))
    })
}
