//! Deliveries: taken, waited for, and looked up.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::delivery_keys::{DeliveryKeys, event_key};
use super::{history, int, time, uint};
use crate::core::asset::Asset;
use crate::core::change::{Kind, NewChange, PipelineId, Source, Target};
use crate::core::delivery::{
    DeliveryProgress, DeliveryRecord, DeliveryState, DueDeliveries, Phase, REASONED, Reason,
    ScanDone,
};
use crate::core::time::Time;
use crate::store::sql;
use crate::store::{DELIVERIES_KEPT, StageCounts, delivery_state};

mod take;

pub(super) use take::Taker;
use take::queue_changes;

fn asked(pipeline: &PipelineId, asset: Option<String>, detail: &str, seen: Time) -> NewChange {
    NewChange {
        pipeline: pipeline.clone(),
        target: asset.map_or(Target::All, |asset| {
            Target::Asset(Asset::from_stored(&asset))
        }),
        kind: Kind::Asked,
        source: Source::Webhook,
        detail: detail.into(),
        file: None,
        seen,
    }
}

fn asset_of(change: &NewChange) -> Option<&str> {
    match &change.target {
        Target::Asset(asset) => Some(asset.as_str()),
        Target::All => None,
    }
}

/// Where a delivery's changes are.
struct Progress {
    pipeline: String,
    stage: String,
    due: Time,
    first: i64,
    last: i64,
}

impl Progress {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            pipeline: row.get("pipeline")?,
            stage: row.get("stage")?,
            due: time(row.get("due")?),
            first: row.get("first")?,
            last: row.get("last")?,
        })
    }

    fn counts(&self, connection: &Connection) -> rusqlite::Result<StageCounts> {
        connection.prepare_cached(sql::change::STAGES)?.query_row(
            params![self.first, self.last, self.pipeline],
            history::stage_counts,
        )
    }

    /// Why what is not purged is not.
    fn reasons(&self, connection: &Connection) -> rusqlite::Result<Vec<Reason>> {
        let mut found = connection.prepare_cached(sql::delivery::REASONS)?;
        let mut rows = found.query(params![self.first, self.last, self.pipeline, int(REASONED)])?;
        let mut reasons = Vec::new();
        while let Some(row) = rows.next()? {
            let (asset, request): (Option<String>, Option<i64>) =
                (row.get("asset")?, row.get("request")?);
            let reason = Reason {
                stage: row.get("stage")?,
                request: request.map(uint),
                remote_id: row.get("remote_id")?,
                why: row.get("why")?,
                assets: asset.into_iter().collect(),
            };
            Reason::add(&mut reasons, reason);
        }
        Ok(reasons)
    }

    fn state(&self, connection: &Connection) -> rusqlite::Result<DeliveryState> {
        let made = self.stage == "made";
        Ok(delivery_state(made, self.counts(connection)?))
    }
}

/// The last number that a delivery was given; 0: none was.
fn last_id(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(sql::delivery::LAST)?
        .query_row([], |row| row.get(0))
}

/// Reads the last delivery of this name.
pub(in crate::store) fn find<T>(
    connection: &Connection,
    keys: &DeliveryKeys,
    route: &str,
    event: &str,
    read: fn(&Connection, &Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    keys.renew(connection)?;
    let Some(id) = keys.of_event(event_key(route, event)) else {
        return Ok(None);
    };
    connection
        .prepare_cached(sql::delivery::OF_EVENT)?
        .query_row(params![id, route, event], |row| read(connection, row))
        .optional()
}

/// How far a delivery is, from its row.
pub(in crate::store) fn progress(
    connection: &Connection,
    row: &Row<'_>,
) -> rusqlite::Result<DeliveryProgress> {
    let (record, progress) = (record(connection, row)?, Progress::read(row)?);
    let (phase, last) = match progress.stage.as_str() {
        "waiting" => (Phase::Delayed, progress.last),
        // What was noticed since it came.
        "scan" => (Phase::Scanning, i64::MAX),
        _ => (record.state.into(), progress.last),
    };
    let id: i64 = row.get("id")?;
    let (assets, requests): (i64, i64) = connection
        .prepare_cached(sql::delivery::COVERED)?
        .query_row(
            params![progress.first, last, progress.pipeline, id],
            |row| Ok((row.get("assets")?, row.get("requests")?)),
        )?;
    Ok(DeliveryProgress {
        phase,
        due: progress.due,
        assets: uint(assets),
        requests: uint(requests),
        causes: Vec::new(),
        record,
    })
}

/// What became of a delivery, from its row.
pub(in crate::store) fn record(
    connection: &Connection,
    row: &Row<'_>,
) -> rusqlite::Result<DeliveryRecord> {
    let (id, progress): (i64, _) = (row.get("id")?, Progress::read(row)?);
    let counts = progress.counts(connection)?;
    let waiting: i64 = connection
        .prepare_cached(sql::delivery::COUNT_TARGETS)?
        .query_row([id], |row| row.get(0))?;
    Ok(DeliveryRecord {
        event: row.get("event")?,
        state: delivery_state(progress.stage == "made", counts),
        what: row.get("what")?,
        at: time(row.get("at")?),
        queued: counts.queued + uint(waiting),
        submitted: counts.taken,
        done: counts.done,
        failed: counts.failed + counts.dropped,
        reasons: progress.reasons(connection)?,
    })
}

/// Brings nearer what a clock that was set back, or a smaller delay, leaves too far ahead.
pub(in crate::store) fn begin(
    connection: &Connection,
    delays: &BTreeMap<String, Duration>,
    now: Time,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(sql::delivery::CLAMP)?
        .execute([int(now.millis())])?;
    let mut nearer = connection.prepare_cached(sql::delivery::NEARER)?;
    for (route, delay) in delays {
        nearer.execute(params![route, int(now.after(*delay).millis())])?;
    }
    Ok(())
}

/// When the first of each sort is due.
pub(in crate::store) fn due(connection: &Connection) -> rusqlite::Result<DueDeliveries> {
    let changes: Option<i64> = connection
        .prepare_cached(sql::delivery::FIRST_DUE)?
        .query_row([], |row| row.get(0))?;
    let scans = connection
        .prepare_cached(sql::delivery::FIRST_SCANS)?
        .query_map([], |row| {
            let pipeline: String = row.get("pipeline")?;
            Ok((PipelineId::new(&pipeline), time(row.get("due")?)))
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(DueDeliveries {
        changes: changes.map(time),
        scans,
    })
}

/// Queues the changes of deliveries that are due, at most `limit` deliveries. Returns how many.
pub(in crate::store) fn release(
    connection: &Connection,
    now: Time,
    limit: usize,
    told: &AtomicU64,
) -> rusqlite::Result<usize> {
    let ready: Vec<(i64, String)> = connection
        .prepare_cached(sql::delivery::READY)?
        .query_map(params![int(now.millis()), int(limit)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut targets = connection.prepare_cached(sql::delivery::TARGETS)?;
    let mut made = connection.prepare_cached(sql::delivery::MADE)?;
    let mut clear = connection.prepare_cached(sql::delivery::CLEAR_TARGETS)?;
    for (id, pipeline) in &ready {
        let pipeline = PipelineId::new(pipeline);
        let changes: Vec<NewChange> = targets
            .query_map([id], |row| {
                let asset: Option<String> = row.get(0)?;
                let detail: String = row.get(1)?;
                Ok(asked(&pipeline, asset, &detail, now))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let (first, last) = queue_changes(connection, &pipeline, &changes, told)?;
        made.execute(params![id, int(first.0), int(last.0)])?;
        clear.execute([id])?;
    }
    Ok(ready.len())
}

/// Deliveries that waited for these scans are made: of what the scans found, and of what was
/// noticed of the same deploy before and is not purged yet.
pub(in crate::store) fn scanned(connection: &Connection, scan: &ScanDone) -> rusqlite::Result<()> {
    let unsettled: Option<i64> = connection
        .prepare_cached(sql::change::FIRST_UNSETTLED)?
        .query_row([scan.pipeline.as_str()], |row| row.get(0))?;
    connection
        .prepare_cached(sql::delivery::SCANNED)?
        .execute(params![
            scan.pipeline.as_str(),
            int(scan.through.millis()),
            unsettled.unwrap_or(i64::MAX),
            int(scan.last.0),
        ])?;
    Ok(())
}

/// Forgets what is made: what is older than `before` and can't be repeated any more, and what there is
/// more of than is kept.
pub(in crate::store) fn prune(
    connection: &Connection,
    before: Time,
    now: Time,
    limit: usize,
) -> rusqlite::Result<u64> {
    let last = last_id(connection)?;
    let deleted = connection
        .prepare_cached(sql::delivery::PRUNE)?
        .execute(params![
            int(before.millis()),
            int(now.millis()),
            int(DELIVERIES_KEPT),
            int(limit)
        ])?;
    if deleted > 0 {
        connection
            .prepare_cached(sql::delivery::KEEP_LAST)?
            .execute([last])?;
    }
    Ok(deleted as u64)
}
