//! Deliveries: taken, waited for, and told about.

use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, params};

use super::delivery_keys::DeliveryKeys;
use super::{history, int, queue, time, uint};
use crate::core::asset::Asset;
use crate::core::change::{Kind, NewChange, PipelineId, Seq, Source, Target};
use crate::core::delivery::{
    DeliveryRecord, DeliveryState, DueDeliveries, NewDelivery, ScanDone, Taken, Work,
};
use crate::core::time::Time;
use crate::store::{DELIVERIES_KEPT, StageCounts, delivery_state};

/// More targets than this are not looked for among what is queued already.
const SHARED: usize = 64;

/// Takes deliveries in one transaction.
pub(super) struct Taker<'c> {
    connection: &'c Connection,
    keys: &'c DeliveryKeys,
    told: &'c AtomicU64,
    insert: CachedStatement<'c>,
    /// What the delivery before asked for, and where that is queued. Nothing else is queued or opened
    /// while this transaction runs; a planner that hears of it by now does so after all of these came.
    before: Option<(PipelineId, Vec<Target>, (Seq, Seq))>,
}

impl<'c> Taker<'c> {
    pub(super) fn new(
        connection: &'c Connection,
        keys: &'c DeliveryKeys,
        told: &'c AtomicU64,
    ) -> rusqlite::Result<Self> {
        let insert = connection.prepare_cached(
            "INSERT INTO delivery (event_key, dedupe_key, route, event, dedupe, pipeline, what, at,
                                   due, known, stage, first, last)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?;
        Ok(Self {
            connection,
            keys,
            told,
            insert,
            before: None,
        })
    }

    /// Takes a delivery with what it asks for, unless it came before and is not failed.
    pub(super) fn take(&mut self, delivery: &NewDelivery) -> rusqlite::Result<Taken> {
        let (connection, route) = (self.connection, &*delivery.route);
        let dedupe = delivery.dedupe_key.as_ref();
        let dedupe_key = dedupe.map(|key| row_key(route, key));
        if is_duplicate(connection, self.keys, dedupe_key, delivery)? {
            return Ok(Taken::Duplicate);
        }
        let now = delivery.due <= delivery.at;
        let next = || queue::last_seq(connection).map(|last| Seq(last.0 + 1));
        let (stage, first, last, count) = match &delivery.work {
            Work::Scan => ("scan", next()?, Seq(0), 0),
            Work::Changes(changes) if now => {
                let (first, last) = self.queue(&delivery.pipeline, changes)?;
                ("made", first, last, changes.len())
            }
            Work::Changes(changes) => ("waiting", Seq(0), Seq(0), changes.len()),
        };
        let event_key = row_key(route, delivery.event.as_bytes());
        self.insert.execute(params![
            event_key,
            dedupe_key,
            route,
            delivery.event,
            dedupe,
            delivery.pipeline.as_str(),
            delivery.what,
            int(delivery.at.millis()),
            int(delivery.due.millis()),
            int(delivery.at.after(delivery.dedupe).millis()),
            stage,
            int(first.0),
            int(last.0),
        ])?;
        let id = connection.last_insert_rowid();
        self.keys.add(id, event_key, dedupe_key);
        if let (Work::Changes(changes), false) = (&delivery.work, now) {
            let mut insert =
                connection.prepare_cached("INSERT INTO delivery_target VALUES (?1, ?2, ?3)")?;
            for change in changes {
                insert.execute(params![id, asset_of(change), &*change.detail])?;
            }
        }
        Ok(Taken::New(count))
    }

    fn queue(
        &mut self,
        pipeline: &PipelineId,
        changes: &[NewChange],
    ) -> rusqlite::Result<(Seq, Seq)> {
        if let Some((of, targets, run)) = &self.before
            && of == pipeline
            && targets
                .iter()
                .eq(changes.iter().map(|change| &change.target))
        {
            return Ok(*run);
        }
        let run = queue_changes(self.connection, pipeline, changes, self.told)?;
        // An empty run is the end of the queue, which moves.
        self.before = (1..=SHARED).contains(&changes.len()).then(|| {
            let targets = changes.iter().map(|change| change.target.clone());
            (pipeline.clone(), targets.collect(), run)
        });
        Ok(run)
    }
}

fn is_duplicate(
    connection: &Connection,
    keys: &DeliveryKeys,
    key: Option<i64>,
    delivery: &NewDelivery,
) -> rusqlite::Result<bool> {
    let Some(id) = key.and_then(|key| keys.of_dedupe(key)) else {
        return Ok(false);
    };
    let known = connection
        .prepare_cached(
            "SELECT pipeline, stage, first, last FROM delivery
             WHERE id = ?1 AND dedupe = ?2 AND route = ?3 AND known > ?4",
        )?
        .query_row(
            params![
                id,
                delivery.dedupe_key,
                &*delivery.route,
                int(delivery.at.millis())
            ],
            Progress::read,
        )
        .optional()?;
    match known {
        None => Ok(false),
        Some(progress) => Ok(progress.state(connection)? != DeliveryState::Failed),
    }
}

/// Queues changes and tells the numbers they have. Where all of them are queued already, in one
/// run, and the planner has not heard of them, they are those: a request that is opened after this
/// commit covers both. One that it has heard of it takes for as old as it was then, and for covered
/// by what somebody else purged since.
fn queue_changes(
    connection: &Connection,
    pipeline: &PipelineId,
    changes: &[NewChange],
    told: &AtomicU64,
) -> rusqlite::Result<(Seq, Seq)> {
    if let Some(run) = queued_run(connection, pipeline, changes, told)? {
        return Ok(run);
    }
    let appended = queue::append(connection, changes)?;
    Ok((appended.first, appended.last))
}

fn queued_run(
    connection: &Connection,
    pipeline: &PipelineId,
    changes: &[NewChange],
    told: &AtomicU64,
) -> rusqlite::Result<Option<(Seq, Seq)>> {
    if changes.is_empty() || changes.len() > SHARED {
        return Ok(None);
    }
    let mut find = connection.prepare_cached(
        "SELECT max(seq) FROM change INDEXED BY change_queued_asset
         WHERE stage = 'queued' AND pipeline = ?1 AND asset IS ?2 AND not_before = 0 AND seq > ?3",
    )?;
    let told = int(told.load(Ordering::Relaxed));
    let (mut first, mut last) = (Seq(u64::MAX), Seq(0));
    for change in changes {
        let found: Option<i64> = find
            .query_row(params![pipeline.as_str(), asset_of(change), told], |row| {
                row.get(0)
            })?;
        let Some(seq) = found else { return Ok(None) };
        first = first.min(Seq(uint(seq)));
        last = last.max(Seq(uint(seq)));
    }
    let in_one_run = last.0 - first.0 + 1 == changes.len() as u64;
    Ok(in_one_run.then_some((first, last)))
}

fn asset_of(change: &NewChange) -> Option<&str> {
    match &change.target {
        Target::Asset(asset) => Some(asset.as_str()),
        Target::All => None,
    }
}

/// A number that stands for what a delivery of a route is looked up by.
fn row_key(route: &str, of: &[u8]) -> i64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(route.as_bytes());
    hasher.update(&[0]);
    hasher.update(of);
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    i64::from_le_bytes(bytes)
}

/// Where a delivery's changes are.
struct Progress {
    pipeline: String,
    stage: String,
    first: i64,
    last: i64,
}

impl Progress {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            pipeline: row.get("pipeline")?,
            stage: row.get("stage")?,
            first: row.get("first")?,
            last: row.get("last")?,
        })
    }

    fn counts(&self, connection: &Connection) -> rusqlite::Result<StageCounts> {
        connection
            .prepare_cached(
                "SELECT count(*) FILTER (WHERE stage = 'queued'),
                        count(*) FILTER (WHERE stage = 'taken'),
                        count(*) FILTER (WHERE stage = 'done'),
                        count(*) FILTER (WHERE stage = 'failed'),
                        count(*) FILTER (WHERE stage = 'dropped')
                 FROM change WHERE seq BETWEEN ?1 AND ?2 AND pipeline = ?3",
            )?
            .query_row(
                params![self.first, self.last, self.pipeline],
                history::stage_counts,
            )
    }

    fn state(&self, connection: &Connection) -> rusqlite::Result<DeliveryState> {
        let made = self.stage == "made";
        Ok(delivery_state(made, self.counts(connection)?))
    }
}

/// What became of the last delivery of this name.
pub(super) fn find(
    connection: &Connection,
    keys: &DeliveryKeys,
    route: &str,
    event: &str,
) -> rusqlite::Result<Option<DeliveryRecord>> {
    let Some(id) = keys.of_event(row_key(route, event.as_bytes())) else {
        return Ok(None);
    };
    let found = connection
        .prepare_cached(
            "SELECT id, pipeline, stage, first, last, what, at FROM delivery
             WHERE id = ?1 AND route = ?2 AND event = ?3",
        )?
        .query_row(params![id, route, event], |row| {
            let at = time(row.get("at")?);
            let (id, what): (i64, String) = (row.get("id")?, row.get("what")?);
            Ok((id, what, at, Progress::read(row)?))
        })
        .optional()?;
    let Some((id, what, at, progress)) = found else {
        return Ok(None);
    };
    let counts = progress.counts(connection)?;
    let waiting: i64 = connection
        .prepare_cached("SELECT count(*) FROM delivery_target WHERE delivery = ?1")?
        .query_row([id], |row| row.get(0))?;
    Ok(Some(DeliveryRecord {
        event: event.to_owned(),
        state: delivery_state(progress.stage == "made", counts),
        what,
        at,
        queued: counts.queued + uint(waiting),
        submitted: counts.taken,
        done: counts.done,
        failed: counts.failed + counts.dropped,
    }))
}

/// When the first of each sort is due.
pub(super) fn due(connection: &Connection) -> rusqlite::Result<DueDeliveries> {
    let changes: Option<i64> = connection
        .prepare_cached("SELECT min(due) FROM delivery WHERE stage = 'waiting'")?
        .query_row([], |row| row.get(0))?;
    let scans = connection
        .prepare_cached(
            "SELECT pipeline, min(due) AS due FROM delivery WHERE stage = 'scan' GROUP BY pipeline",
        )?
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

/// Queues the changes of deliveries that are due, at most `limit` deliveries, and tells how many.
pub(super) fn release(
    connection: &Connection,
    now: Time,
    limit: usize,
    told: &AtomicU64,
) -> rusqlite::Result<usize> {
    let ready: Vec<(i64, String)> = connection
        .prepare_cached(
            "SELECT id, pipeline FROM delivery WHERE stage = 'waiting' AND due <= ?1
             ORDER BY id LIMIT ?2",
        )?
        .query_map(params![int(now.millis()), int(limit)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut targets = connection
        .prepare_cached("SELECT asset, detail FROM delivery_target WHERE delivery = ?1")?;
    let mut made = connection.prepare_cached(
        "UPDATE delivery SET stage = 'made', first = ?2, last = ?3 WHERE id = ?1",
    )?;
    let mut clear = connection.prepare_cached("DELETE FROM delivery_target WHERE delivery = ?1")?;
    for (id, pipeline) in &ready {
        let pipeline = PipelineId::new(pipeline);
        let changes: Vec<NewChange> = targets
            .query_map([id], |row| {
                let asset: Option<String> = row.get(0)?;
                let detail: String = row.get(1)?;
                Ok(NewChange {
                    pipeline: pipeline.clone(),
                    target: asset.map_or(Target::All, |asset| {
                        Target::Asset(Asset::from_stored(&asset))
                    }),
                    kind: Kind::Asked,
                    source: Source::Webhook,
                    detail: detail.into(),
                    file: None,
                    seen: now,
                })
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
pub(super) fn scanned(connection: &Connection, scan: &ScanDone) -> rusqlite::Result<()> {
    let unsettled: Option<i64> = connection
        .prepare_cached(
            "SELECT min(seq) FROM (
                 SELECT min(seq) AS seq FROM change INDEXED BY change_queued_asset
                 WHERE stage = 'queued' AND pipeline = ?1
                 UNION ALL
                 SELECT min(seq) FROM change WHERE request IN
                     (SELECT id FROM request WHERE settled IS NULL AND pipeline = ?1))",
        )?
        .query_row([scan.pipeline.as_str()], |row| row.get(0))?;
    connection
        .prepare_cached(
            "UPDATE delivery SET stage = 'made', first = min(first, ?3), last = ?4
             WHERE stage = 'scan' AND pipeline = ?1 AND due <= ?2",
        )?
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
pub(super) fn prune(
    connection: &Connection,
    before: Time,
    now: Time,
    limit: usize,
) -> rusqlite::Result<u64> {
    let deleted = connection
        .prepare_cached(
            "DELETE FROM delivery WHERE id IN (
                 SELECT id FROM delivery
                 WHERE stage = 'made'
                   AND (id <= (SELECT max(id) FROM delivery) - ?3 OR (known <= ?2 AND at < ?1))
                 ORDER BY id LIMIT ?4)",
        )?
        .execute(params![
            int(before.millis()),
            int(now.millis()),
            int(DELIVERIES_KEPT),
            int(limit)
        ])?;
    Ok(deleted as u64)
}
