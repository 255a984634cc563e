//! Deliveries: taken, waited for, and looked up.

use std::collections::BTreeMap;
use std::time::Duration;

use super::delivery_keys::DeliveryKeys;
use super::history;
use super::queue::{self, Pulled};
use crate::core::change::{Kind, NewChange, PipelineId, Seq, Source, Target};
use crate::core::delivery::{
    DeliveryProgress, DeliveryRecord, DeliveryState, DueDeliveries, Phase, REASONED, Reason,
    ScanDone,
};
use crate::core::time::Time;
use crate::store::commits::Counts;
use crate::store::db::{Db, Row, values};
use crate::store::sql;
use crate::store::{Appended, DELIVERIES_KEPT, StageCounts, StoreError, delivery_state};

mod take;

pub(in crate::store) use take::Taker;
use take::queued_run;

fn asked(pipeline: &PipelineId, target: Target, detail: &str, seen: Time) -> NewChange {
    NewChange {
        pipeline: pipeline.clone(),
        target,
        kind: Kind::Asked,
        source: Source::Webhook,
        detail: detail.into(),
        file: None,
        seen,
    }
}

/// Where a delivery's changes are.
struct Progress {
    pipeline: PipelineId,
    stage: String,
    due: Time,
    first: Seq,
    last: Seq,
}

impl Progress {
    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            pipeline: row.get("pipeline")?,
            stage: row.get("stage")?,
            due: row.get("due")?,
            first: row.get("first")?,
            last: row.get("last")?,
        })
    }

    fn counts(&self, db: &dyn Db) -> Result<StageCounts, StoreError> {
        history::stages(db, Some(&self.pipeline), self.first, self.last)
    }

    /// Why what is not purged is not.
    fn reasons(&self, db: &dyn Db) -> Result<Vec<Reason>, StoreError> {
        let mut reasons = Vec::new();
        let of = values![self.first, self.last, &self.pipeline, REASONED];
        db.each_row(sql::delivery::REASONS, &of, &mut |row| {
            let asset: Option<String> = row.get("asset")?;
            let reason = Reason {
                stage: row.get("stage")?,
                request: row.get("request")?,
                remote_id: row.get("remote_id")?,
                why: row.get("why")?,
                assets: asset.into_iter().collect(),
            };
            Reason::add(&mut reasons, reason);
            Ok(())
        })?;
        Ok(reasons)
    }

    fn state(&self, db: &dyn Db) -> Result<DeliveryState, StoreError> {
        let made = self.stage == "made";
        Ok(delivery_state(made, self.counts(db)?))
    }
}

/// The last number that a delivery was given; 0: none was.
pub(super) fn last_id(db: &dyn Db) -> Result<i64, StoreError> {
    db.value(sql::delivery::LAST, &[])
}

/// Reads the last delivery of this name.
pub(in crate::store) fn find<T>(
    db: &dyn Db,
    keys: &DeliveryKeys,
    route: &str,
    event: &str,
    read: fn(&dyn Db, &Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let Some(id) = keys.find(db, route, event)? else {
        return Ok(None);
    };
    db.optional(sql::delivery::OF_EVENT, &values![id, route, event], |row| {
        read(db, row)
    })
}

/// How far a delivery is, from its row.
pub(in crate::store) fn progress(
    db: &dyn Db,
    row: &Row<'_>,
) -> Result<DeliveryProgress, StoreError> {
    let (record, progress) = (record(db, row)?, Progress::read(row)?);
    let (phase, last) = match progress.stage.as_str() {
        "waiting" => (Phase::Delayed, progress.last),
        // What was noticed since it came.
        "scan" => (Phase::Scanning, Seq(i64::MAX as u64)),
        _ => (record.state.into(), progress.last),
    };
    let id: i64 = row.get("id")?;
    let of = values![progress.first, last, &progress.pipeline, id];
    let (assets, requests) = db.one(sql::delivery::COVERED, &of, |row| {
        Ok((row.get("assets")?, row.get("requests")?))
    })?;
    Ok(DeliveryProgress {
        phase,
        due: progress.due,
        assets,
        requests,
        causes: Vec::new(),
        record,
    })
}

/// What became of a delivery, from its row.
pub(in crate::store) fn record(db: &dyn Db, row: &Row<'_>) -> Result<DeliveryRecord, StoreError> {
    let (id, progress): (i64, _) = (row.get("id")?, Progress::read(row)?);
    let counts = progress.counts(db)?;
    let waiting: u64 = db.value(sql::delivery::COUNT_TARGETS, &values![id])?;
    Ok(DeliveryRecord {
        event: row.get("event")?,
        state: delivery_state(progress.stage == "made", counts),
        what: row.get("what")?,
        at: row.get("at")?,
        without: row.get("without")?,
        queued: counts.queued + waiting,
        submitted: counts.taken,
        done: counts.done,
        failed: counts.failed + counts.dropped,
        reasons: progress.reasons(db)?,
    })
}

/// Brings nearer what a clock that was set back, or a smaller delay, leaves too far ahead.
pub(in crate::store) fn begin(
    db: &dyn Db,
    delays: &BTreeMap<String, Duration>,
    now: Time,
) -> Result<(), StoreError> {
    db.execute(sql::delivery::CLAMP, &values![now])?;
    let nearer = delays
        .iter()
        .map(|(route, delay)| values![route, now.after(*delay)]);
    db.many(sql::delivery::NEARER, nearer)
}

/// When the first of each sort is due.
pub(in crate::store) fn due(db: &dyn Db) -> Result<DueDeliveries, StoreError> {
    Ok(DueDeliveries {
        changes: db.value(sql::delivery::FIRST_DUE, &[])?,
        scans: db.query(sql::delivery::FIRST_SCANS, &[], |row| {
            Ok((row.get("pipeline")?, row.get("due")?))
        })?,
    })
}

/// Queues the changes of deliveries that are due, at most `limit` deliveries. Returns how many.
pub(in crate::store) fn release(
    db: &dyn Db,
    now: Time,
    limit: usize,
    pulled: &Pulled,
) -> Result<(usize, Counts), StoreError> {
    let mut counts = Counts::default();
    let ready: Vec<(i64, PipelineId)> =
        db.query(sql::delivery::READY, &values![now, limit], |row| {
            Ok((row.get("id")?, row.get("pipeline")?))
        })?;
    // What this transaction queues no planner can have pulled.
    let pulled = pulled.last().map_or_else(|| queue::last_seq(db), Ok)?;
    for (id, pipeline) in &ready {
        let changes: Vec<NewChange> = db.query(sql::delivery::TARGETS, &values![*id], |row| {
            let (target, detail) = (row.get("asset")?, row.get("detail")?);
            Ok(asked(pipeline, target, detail, now))
        })?;
        let (first, last) = if let Some(run) = queued_run(db, pipeline, &changes, pulled)? {
            run
        } else {
            let Appended { first, last } = queue::append(db, None, &changes)?;
            counts.add(&changes);
            (first, last)
        };
        db.execute(sql::delivery::MADE, &values![*id, first, last])?;
        db.execute(sql::delivery::CLEAR_TARGETS, &values![*id])?;
    }
    Ok((ready.len(), counts))
}

/// Deliveries that waited for these scans are made: of what the scans found, and of what was
/// noticed of the same deploy before and is not purged yet.
pub(in crate::store) fn scanned(db: &dyn Db, scan: &ScanDone) -> Result<(), StoreError> {
    let unsettled: Option<i64> =
        db.value(sql::change::FIRST_UNSETTLED, &values![&scan.pipeline])?;
    let unsettled = unsettled.unwrap_or(i64::MAX);
    db.execute(
        sql::delivery::SCANNED,
        &values![
            &scan.pipeline,
            scan.through,
            unsettled,
            scan.last,
            scan.delivery,
            &scan.without
        ],
    )?;
    Ok(())
}

/// Forgets what is made: what is older than `before` and can't be repeated any more, and what there is
/// more of than is kept.
pub(in crate::store) fn prune(
    db: &dyn Db,
    before: Time,
    now: Time,
    limit: usize,
) -> Result<u64, StoreError> {
    let last = last_id(db)?;
    let deleted = db.execute(
        sql::delivery::PRUNE,
        &values![before, now, DELIVERIES_KEPT, limit],
    )?;
    if deleted > 0 {
        db.execute(sql::delivery::KEEP_LAST, &values![last])?;
    }
    Ok(deleted as u64)
}
