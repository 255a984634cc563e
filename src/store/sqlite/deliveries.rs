//! Deliveries: taken, waited for, and told about.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

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

/// Commits a delivery with what it asks for, unless it came before and is done.
pub(super) fn take(connection: &Connection, delivery: &NewDelivery) -> rusqlite::Result<Taken> {
    let first = first(connection, delivery)?;
    let again = match &first {
        Some(first) if first.state(connection)? == DeliveryState::Done => {
            return Ok(Taken::Duplicate);
        }
        first => first.as_ref().map(|first| delivery.again(first.due)),
    };
    let delivery = again.as_ref().unwrap_or(delivery);
    let now = delivery.due <= delivery.at;
    let (stage, first, last, count) = match &delivery.work {
        Work::Scan => match open_of(connection, delivery, first.as_ref())? {
            Open::Here(first) => ("scan", first, Seq(0), 0),
            Open::Again(changes) => {
                let (first, _) = queue_changes(connection, &delivery.pipeline, &changes)?;
                ("scan", first, Seq(0), changes.len())
            }
        },
        Work::Changes(changes) if now => {
            let (first, last) = queue_changes(connection, &delivery.pipeline, changes)?;
            ("made", first, last, changes.len())
        }
        Work::Changes(changes) => ("waiting", Seq(0), Seq(0), changes.len()),
    };
    let dedupe = delivery.dedupe_key.as_ref();
    connection
        .prepare_cached(
            "INSERT INTO delivery (event_key, dedupe_key, route, event, dedupe, pipeline, what, at,
                                   due, known, stage, first, last)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            event_key(&delivery.route, &delivery.event),
            dedupe.map(short),
            &*delivery.route,
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
    if let (Work::Changes(changes), false) = (&delivery.work, now) {
        let id = connection.last_insert_rowid();
        let mut insert =
            connection.prepare_cached("INSERT INTO delivery_target VALUES (?1, ?2, ?3)")?;
        for change in changes {
            insert.execute(params![id, asset_of(change), &*change.detail])?;
        }
    }
    Ok(Taken::New(count))
}

/// The last delivery that this one repeats.
fn first(connection: &Connection, delivery: &NewDelivery) -> rusqlite::Result<Option<Progress>> {
    let Some(key) = &delivery.dedupe_key else {
        return Ok(None);
    };
    connection
        .prepare_cached(
            "SELECT pipeline, stage, due, first, last FROM delivery INDEXED BY delivery_dedupe
             WHERE dedupe_key = ?1 AND dedupe = ?2 AND route = ?3 AND known > ?4 AND pipeline = ?5
               AND at > ?6
             ORDER BY id DESC LIMIT 1",
        )?
        .query_row(
            params![
                short(key),
                key,
                &*delivery.route,
                int(delivery.at.millis()),
                delivery.pipeline.as_str(),
                // What is known for longer by a former setting is not known by this one.
                int(delivery.at.millis()).saturating_sub(int(delivery.dedupe.as_millis())),
            ],
            Progress::read,
        )
        .optional()
}

/// What the scans of a delivery's first found, as far as it is not done: no scan finds it again.
enum Open {
    /// It is all queued, from here on.
    Here(Seq),
    /// Some of it is in flight or given up: this has to be queued.
    Again(Vec<NewChange>),
}

fn open_of(
    connection: &Connection,
    delivery: &NewDelivery,
    first: Option<&Progress>,
) -> rusqlite::Result<Open> {
    let Some(first) = first.filter(|first| first.stage == "made") else {
        return Ok(Open::Again(Vec::new()));
    };
    let counts = first.counts(connection)?;
    if counts.taken + counts.failed + counts.dropped == 0 {
        return Ok(Open::Here(Seq(uint(first.first))));
    }
    let changes = connection
        .prepare_cached(
            "SELECT DISTINCT asset FROM change
             WHERE seq BETWEEN ?1 AND ?2 AND pipeline = ?3 AND stage <> 'done'
             ORDER BY asset IS NULL, asset",
        )?
        .query_map(params![first.first, first.last, first.pipeline], |row| {
            let asset: Option<String> = row.get(0)?;
            Ok(asked(
                &delivery.pipeline,
                asset,
                &delivery.what,
                delivery.due,
            ))
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Open::Again(changes))
}

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

/// Queues changes and tells the numbers they have. Where all of them are queued already, in one
/// run, and no request for them came to nothing, they are those: a request that is opened after
/// this commit covers both.
fn queue_changes(
    connection: &Connection,
    pipeline: &PipelineId,
    changes: &[NewChange],
) -> rusqlite::Result<(Seq, Seq)> {
    if let Some(run) = queued_run(connection, pipeline, changes)? {
        return Ok(run);
    }
    let appended = queue::append(connection, changes)?;
    Ok((appended.first, appended.last))
}

fn queued_run(
    connection: &Connection,
    pipeline: &PipelineId,
    changes: &[NewChange],
) -> rusqlite::Result<Option<(Seq, Seq)>> {
    if changes.is_empty() || changes.len() > SHARED {
        return Ok(None);
    }
    let mut find = connection.prepare_cached(
        "SELECT max(seq) FROM change INDEXED BY change_queued_asset
         WHERE stage = 'queued' AND pipeline = ?1 AND asset IS ?2 AND not_before = 0",
    )?;
    let (mut first, mut last) = (Seq(u64::MAX), Seq(0));
    for change in changes {
        let found: Option<i64> = find
            .query_row(params![pipeline.as_str(), asset_of(change)], |row| {
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

/// Eight bytes of a hash, as a number for an index.
fn short(hash: &[u8; 32]) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    i64::from_le_bytes(bytes)
}

fn event_key(route: &str, event: &str) -> i64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(route.as_bytes());
    hasher.update(&[0]);
    hasher.update(event.as_bytes());
    short(hasher.finalize().as_bytes())
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
    route: &str,
    event: &str,
) -> rusqlite::Result<Option<DeliveryRecord>> {
    let found = connection
        .prepare_cached(
            "SELECT id, pipeline, stage, due, first, last, what, at FROM delivery
             WHERE event_key = ?1 AND route = ?2 AND event = ?3 ORDER BY id DESC LIMIT 1",
        )?
        .query_row(params![event_key(route, event), route, event], |row| {
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

/// Brings nearer what a clock that was set back, or a smaller delay, leaves too far ahead.
pub(super) fn begin(
    connection: &Connection,
    delays: &BTreeMap<String, Duration>,
    now: Time,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE delivery SET due = ?1 + max(due - at, 0), known = ?1 + max(known - at, 0), at = ?1
             WHERE at > ?1",
        )?
        .execute([int(now.millis())])?;
    let mut nearer = connection.prepare_cached(
        "UPDATE delivery SET due = ?2 WHERE stage <> 'made' AND route = ?1 AND due > ?2",
    )?;
    for (route, delay) in delays {
        nearer.execute(params![route, int(now.after(*delay).millis())])?;
    }
    Ok(())
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
pub(super) fn release(connection: &Connection, now: Time, limit: usize) -> rusqlite::Result<usize> {
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
                Ok(asked(&pipeline, asset, &detail, now))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let (first, last) = queue_changes(connection, &pipeline, &changes)?;
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

/// Forgets what is made and can't be repeated any more: what is older than `before`, and what there
/// is more of than anybody asks for.
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
                 WHERE stage = 'made' AND known <= ?2
                   AND (at < ?1 OR id <= (SELECT max(id) FROM delivery) - ?3)
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
