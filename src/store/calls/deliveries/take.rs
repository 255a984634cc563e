//! Deliveries on their way into the queue, and what repeats one of them.

use std::borrow::Cow;

use super::{Progress, asked};
use crate::core::change::{NewChange, PipelineId, Seq, Target};
use crate::core::delivery::{DeliveryState, NewDelivery, Taken, Work};
use crate::store::StoreError;
use crate::store::calls::delivery_keys::{self, DeliveryKeys, event_key};
use crate::store::calls::queue::{self, Pulled};
use crate::store::commits::Counts;
use crate::store::db::{Db, Value, int, values};
use crate::store::sql;

/// More targets than this are not looked for among what is queued already.
const SHARED: usize = 64;

/// Takes deliveries in one transaction. Their rows and changes are written together, which costs less: before
/// one of them is looked for, and by [`Taker::finish`].
pub(in crate::store) struct Taker<'d> {
    db: &'d dyn Db,
    keys: &'d DeliveryKeys,
    pulled: &'d Pulled,
    rows: Vec<Row<'d>>,
    /// The number of the last delivery.
    last: i64,
    changes: Vec<NewChange>,
    /// What was written of them.
    counts: Counts,
    /// The number of the last change.
    last_change: Seq,
    /// What the delivery before asked for, and where that is queued. Nothing else is queued or opened
    /// while this transaction runs; a planner that pulls it by now does so after all of these came.
    before: Option<(PipelineId, Vec<Target>, (Seq, Seq))>,
}

impl<'d> Taker<'d> {
    /// For these deliveries, which come next.
    pub(in crate::store) fn new(
        db: &'d dyn Db,
        keys: &'d DeliveryKeys,
        pulled: &'d Pulled,
        coming: impl Iterator<Item = &'d NewDelivery>,
    ) -> Result<Self, StoreError> {
        keys.renew(db, coming)?;
        Ok(Self {
            db,
            keys,
            pulled,
            rows: Vec::new(),
            last: super::last_id(db)?,
            changes: Vec::new(),
            counts: Counts::default(),
            last_change: queue::last_seq(db)?,
            before: None,
        })
    }

    /// Takes a delivery with what it asks for, unless it came before and is done.
    pub(in crate::store) fn take(
        &mut self,
        delivery: &'d NewDelivery,
    ) -> Result<Taken, StoreError> {
        let dedupe_key = dedupe_key(delivery);
        let first = self.first(dedupe_key, delivery)?;
        let delivery = match &first {
            Some(first) if first.state(self.db)? == DeliveryState::Done => {
                return Ok(Taken::Duplicate);
            }
            Some(first) => Cow::Owned(delivery.again(first.due)),
            None => Cow::Borrowed(delivery),
        };
        let now = delivery.due <= delivery.at;
        let (stage, first, last, count) = match &delivery.work {
            Work::Scan => match open_of(self.db, &delivery, first.as_ref())? {
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
            Work::Changes(changes) => (WAITING, Seq(0), Seq(0), changes.len()),
        };
        let event_key = event_key(&delivery.route, &delivery.event);
        self.last += 1;
        let id = self.last;
        self.rows.push(Row {
            id,
            delivery,
            stage,
            first,
            last,
        });
        self.keys.add(id, event_key, dedupe_key);
        Ok(Taken::New(count))
    }

    /// Writes what is taken. Returns the number of the last change, and how many changes there are.
    pub(in crate::store) fn finish(mut self) -> Result<(Seq, Counts), StoreError> {
        self.write()?;
        Ok((self.last_change, self.counts))
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.write_changes()?;
        let rows = std::mem::take(&mut self.rows);
        self.db
            .many(sql::delivery::INSERT, rows.iter().map(Row::values))?;
        self.db.many(
            sql::delivery::ADD_TARGET,
            rows.iter().flat_map(Row::targets),
        )
    }

    fn write_changes(&mut self) -> Result<(), StoreError> {
        let changes = std::mem::take(&mut self.changes);
        let first = Seq(self.last_change.next().0 - changes.len() as u64);
        self.counts.add(&changes);
        queue::append_from(self.db, None, first, &changes)
    }

    /// The last delivery that this one repeats.
    fn first(
        &mut self,
        key: Option<i64>,
        delivery: &NewDelivery,
    ) -> Result<Option<Progress>, StoreError> {
        let Some(id) = key.and_then(|key| self.keys.of_dedupe(key)) else {
            return Ok(None);
        };
        self.write()?;
        // What is known for longer by a former setting is not known by this one.
        let since = int(delivery.at.millis()).saturating_sub(int(delivery.dedupe.as_millis()));
        self.db.optional(
            sql::delivery::OF_DEDUPE,
            &values![
                id,
                delivery.dedupe_key.as_ref(),
                &*delivery.route,
                delivery.at,
                &delivery.pipeline,
                since,
            ],
            Progress::read,
        )
    }

    /// The numbers of changes that are queued already, or are queued now: see [`queued_run`].
    fn run_of(
        &mut self,
        pipeline: &PipelineId,
        changes: &[NewChange],
    ) -> Result<(Seq, Seq), StoreError> {
        if let Some(pulled) = self.pulled.last() {
            self.write_changes()?;
            if let Some(run) = queued_run(self.db, pipeline, changes, pulled)? {
                return Ok(run);
            }
        }
        let first = self.last_change.next();
        self.changes.extend_from_slice(changes);
        self.last_change.0 += changes.len() as u64;
        Ok((first, self.last_change))
    }

    fn queue(
        &mut self,
        pipeline: &PipelineId,
        changes: &[NewChange],
    ) -> Result<(Seq, Seq), StoreError> {
        if let Some((of, targets, run)) = &self.before
            && of == pipeline
            && targets
                .iter()
                .eq(changes.iter().map(|change| &change.target))
        {
            return Ok(*run);
        }
        let run = self.run_of(pipeline, changes)?;
        // An empty run is the end of the queue, which moves.
        self.before = (1..=SHARED).contains(&changes.len()).then(|| {
            let targets = changes.iter().map(|change| change.target.clone());
            (pipeline.clone(), targets.collect(), run)
        });
        Ok(run)
    }
}

/// The stage of a delivery whose changes are kept with it until they are due.
const WAITING: &str = "waiting";

/// A delivery as it is written, with the numbers of its changes.
struct Row<'d> {
    id: i64,
    delivery: Cow<'d, NewDelivery>,
    stage: &'static str,
    first: Seq,
    last: Seq,
}

impl Row<'_> {
    fn values(&self) -> [Value<'_>; 12] {
        let delivery = &*self.delivery;
        values![
            &*delivery.route,
            &delivery.pipeline,
            &*delivery.what,
            self.stage,
            &*delivery.event,
            delivery.dedupe_key.as_ref(),
            delivery.at,
            delivery.due,
            delivery.at.after(delivery.dedupe),
            self.first,
            self.last,
            self.id,
        ]
    }

    /// What it will queue when it is due.
    fn targets(&self) -> impl Iterator<Item = [Value<'_>; 4]> {
        let changes = match &self.delivery.work {
            Work::Changes(changes) if self.stage == WAITING => changes.as_slice(),
            _ => &[],
        };
        let changes = changes.iter().zip(1_i64..);
        changes
            .map(|(change, position)| values![self.id, position, &change.target, &*change.detail])
    }
}

fn dedupe_key(delivery: &NewDelivery) -> Option<i64> {
    let key = delivery.dedupe_key.as_ref()?;
    let pipeline = delivery.pipeline.as_str();
    Some(delivery_keys::dedupe_key(&delivery.route, pipeline, key))
}

/// What the scans of a delivery's first found, as far as it is not done: no scan finds it again.
enum Open {
    /// It is all queued, from here on.
    Here(Seq),
    /// Some of it is in flight or given up: this has to be queued.
    Again(Vec<NewChange>),
}

fn open_of(
    db: &dyn Db,
    delivery: &NewDelivery,
    first: Option<&Progress>,
) -> Result<Open, StoreError> {
    let Some(first) = first.filter(|first| first.stage == "made") else {
        return Ok(Open::Again(Vec::new()));
    };
    let counts = first.counts(db)?;
    if counts.taken + counts.failed + counts.dropped == 0 {
        return Ok(Open::Here(first.first));
    }
    let of = values![first.first, first.last, &first.pipeline];
    let changes = db.query(sql::change::UNDONE_ASSETS, &of, |row| {
        let target = row.get("asset")?;
        Ok(asked(
            &delivery.pipeline,
            target,
            &delivery.what,
            delivery.due,
        ))
    })?;
    Ok(Open::Again(changes))
}

/// The numbers of changes where all of them are queued already, in one run, and the planner has surely not
/// pulled them: a request that is opened after this commit covers both. One that it has pulled it takes for as
/// old as it was then, and for covered by another request since.
pub(super) fn queued_run(
    db: &dyn Db,
    pipeline: &PipelineId,
    changes: &[NewChange],
    pulled: Seq,
) -> Result<Option<(Seq, Seq)>, StoreError> {
    if !(1..=SHARED).contains(&changes.len()) {
        return Ok(None);
    }
    let (mut first, mut last) = (Seq(u64::MAX), Seq(0));
    for change in changes {
        let found = match &change.target {
            Target::Asset(asset) => {
                db.value(sql::change::QUEUED_SINCE, &values![pipeline, asset, pulled])
            }
            Target::All => db.value(sql::change::ALL_QUEUED_SINCE, &values![pipeline, pulled]),
        };
        let Some(seq) = found? else { return Ok(None) };
        first = first.min(seq);
        last = last.max(seq);
    }
    let in_one_run = last.0 - first.0 + 1 == changes.len() as u64;
    Ok(in_one_run.then_some((first, last)))
}
