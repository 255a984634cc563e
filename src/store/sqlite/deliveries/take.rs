//! Deliveries on their way into the queue, and what repeats one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};

use super::{Progress, asked, asset_of};
use crate::core::change::{NewChange, PipelineId, Seq, Target};
use crate::core::delivery::{DeliveryState, NewDelivery, Taken, Work};
use crate::store::sql;
use crate::store::sqlite::delivery_keys::{self, DeliveryKeys, event_key};
use crate::store::sqlite::{int, queue, uint};

/// More targets than this are not looked for among what is queued already.
const SHARED: usize = 64;

/// Takes deliveries in one transaction.
pub(in crate::store::sqlite) struct Taker<'c> {
    connection: &'c Connection,
    keys: &'c DeliveryKeys,
    told: &'c AtomicU64,
    insert: Insert<'c>,
    /// The number of the last delivery.
    last: i64,
    /// What the delivery before asked for, and where that is queued. Nothing else is queued or opened
    /// while this transaction runs; a planner that pulls it by now does so after all of these came.
    before: Option<(PipelineId, Vec<Target>, (Seq, Seq))>,
}

impl<'c> Taker<'c> {
    /// `told` is the last change that the planner has pulled.
    pub(in crate::store::sqlite) fn new(
        connection: &'c Connection,
        keys: &'c DeliveryKeys,
        told: &'c AtomicU64,
    ) -> rusqlite::Result<Self> {
        keys.renew(connection)?;
        let insert = Insert::new(connection)?;
        Ok(Self {
            connection,
            keys,
            told,
            insert,
            last: super::last_id(connection)?,
            before: None,
        })
    }

    /// Takes a delivery with what it asks for, unless it came before and is done.
    pub(in crate::store::sqlite) fn take(
        &mut self,
        delivery: &NewDelivery,
    ) -> rusqlite::Result<Taken> {
        let connection = self.connection;
        let dedupe_key = dedupe_key(delivery);
        let first = first(connection, self.keys, dedupe_key, delivery)?;
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
                    let (first, _) = self.queue(&delivery.pipeline, &changes)?;
                    ("scan", first, Seq(0), changes.len())
                }
            },
            Work::Changes(changes) if now => {
                let (first, last) = self.queue(&delivery.pipeline, changes)?;
                ("made", first, last, changes.len())
            }
            Work::Changes(changes) => ("waiting", Seq(0), Seq(0), changes.len()),
        };
        let event_key = event_key(&delivery.route, &delivery.event);
        self.last += 1;
        let id = self.last;
        self.insert.row(&Row {
            id,
            delivery,
            stage,
            first,
            last,
        })?;
        self.keys.add(id, event_key, dedupe_key);
        if let (Work::Changes(changes), false) = (&delivery.work, now) {
            let mut insert = connection.prepare_cached(sql::delivery::ADD_TARGET)?;
            for (change, position) in changes.iter().zip(1_i64..) {
                insert.execute(params![id, position, asset_of(change), &*change.detail])?;
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

/// A delivery as it is written, with the numbers of its changes.
struct Row<'r> {
    id: i64,
    delivery: &'r NewDelivery,
    stage: &'static str,
    first: Seq,
    last: Seq,
}

/// Writes the rows. What many deliveries have in common is bound once: to bind a text costs as much
/// as to bind all the numbers.
struct Insert<'c> {
    statement: CachedStatement<'c>,
    /// The route, the pipeline, what it says and its stage, as they are bound.
    bound: Option<(Arc<str>, PipelineId, Arc<str>, &'static str)>,
}

impl<'c> Insert<'c> {
    fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        let statement = connection.prepare_cached(sql::delivery::INSERT)?;
        Ok(Self {
            statement,
            bound: None,
        })
    }

    fn row(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let Row {
            id,
            delivery,
            stage,
            first,
            last,
        } = *row;
        let statement = &mut self.statement;
        let is_bound = self.bound.as_ref().is_some_and(|bound| {
            (&*bound.0, &bound.1, &*bound.2, bound.3)
                == (&*delivery.route, &delivery.pipeline, &*delivery.what, stage)
        });
        if !is_bound {
            statement.raw_bind_parameter(1, &*delivery.route)?;
            statement.raw_bind_parameter(2, delivery.pipeline.as_str())?;
            statement.raw_bind_parameter(3, &*delivery.what)?;
            statement.raw_bind_parameter(4, stage)?;
            self.bound = Some((
                Arc::clone(&delivery.route),
                delivery.pipeline.clone(),
                Arc::clone(&delivery.what),
                stage,
            ));
        }
        statement.raw_bind_parameter(5, &*delivery.event)?;
        statement.raw_bind_parameter(6, delivery.dedupe_key)?;
        statement.raw_bind_parameter(7, int(delivery.at.millis()))?;
        statement.raw_bind_parameter(8, int(delivery.due.millis()))?;
        statement.raw_bind_parameter(9, int(delivery.at.after(delivery.dedupe).millis()))?;
        statement.raw_bind_parameter(10, int(first.0))?;
        statement.raw_bind_parameter(11, int(last.0))?;
        statement.raw_bind_parameter(12, id)?;
        statement.raw_execute().map(drop)
    }
}

fn dedupe_key(delivery: &NewDelivery) -> Option<i64> {
    let key = delivery.dedupe_key.as_ref()?;
    let pipeline = delivery.pipeline.as_str();
    Some(delivery_keys::dedupe_key(&delivery.route, pipeline, key))
}

/// The last delivery that this one repeats.
fn first(
    connection: &Connection,
    keys: &DeliveryKeys,
    key: Option<i64>,
    delivery: &NewDelivery,
) -> rusqlite::Result<Option<Progress>> {
    let Some(id) = key.and_then(|key| keys.of_dedupe(key)) else {
        return Ok(None);
    };
    connection
        .prepare_cached(sql::delivery::OF_DEDUPE)?
        .query_row(
            params![
                id,
                delivery.dedupe_key,
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
        .prepare_cached(sql::change::UNDONE_ASSETS)?
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

/// Queues changes and returns their numbers. Where all of them are queued already, in one
/// run, and the planner has not pulled them, they are those: a request that is opened after this
/// commit covers both. One that it has pulled it takes for as old as it was then, and for covered
/// by another request since.
pub(super) fn queue_changes(
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
    let mut find = connection.prepare_cached(sql::change::QUEUED_SINCE)?;
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
