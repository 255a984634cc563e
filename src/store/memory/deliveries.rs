//! Deliveries in plain collections.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{MemoryStore, Row, Stage, State};
use crate::core::change::{Kind, NewChange, PipelineId, Seq, Source, Target};
use crate::core::delivery::{
    DeliveryRecord, DeliveryState, DueDeliveries, NewDelivery, REASONED, Reason, ScanDone, Taken,
    Work,
};
use crate::core::time::Time;
use crate::store::{
    DELIVERIES_KEPT, DeliveryFilter, Listed, ListedDelivery, StageCounts, StoreFuture,
    delivery_state,
};

/// A delivery, and where its changes are once it is made.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    delivery: NewDelivery,
    made: bool,
    first: Seq,
    last: Seq,
}

/// The last delivery of each name and of each dedupe key, also where that is forgotten: what became
/// of one before it is no answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    names: BTreeMap<(Arc<str>, Arc<str>), u64>,
    dedupes: BTreeMap<(Arc<str>, PipelineId, [u8; 32]), u64>,
}

impl Keys {
    fn of_event(&self, route: &str, event: &str) -> Option<u64> {
        let key = (route.into(), event.into());
        self.names.get(&key).copied()
    }

    fn of_dedupe(&self, delivery: &NewDelivery) -> Option<u64> {
        self.dedupes.get(&Self::dedupe(delivery)?).copied()
    }

    fn dedupe(delivery: &NewDelivery) -> Option<(Arc<str>, PipelineId, [u8; 32])> {
        let route = Arc::clone(&delivery.route);
        Some((route, delivery.pipeline.clone(), delivery.dedupe_key?))
    }

    fn add(&mut self, id: u64, delivery: &NewDelivery) {
        let name = (Arc::clone(&delivery.route), Arc::clone(&delivery.event));
        self.names.insert(name, id);
        if let Some(key) = Self::dedupe(delivery) {
            self.dedupes.insert(key, id);
        }
    }

    fn forget(&mut self, surplus: u64) {
        self.names.retain(|_, id| *id > surplus);
        self.dedupes.retain(|_, id| *id > surplus);
    }
}

impl State {
    pub(super) fn append(&mut self, changes: Vec<NewChange>) -> (Seq, Seq) {
        let first = Seq(self.last_seq + 1);
        for change in changes {
            self.last_seq += 1;
            self.changes.insert(
                self.last_seq,
                Row {
                    change,
                    stage: Stage::Queued,
                    attempt: 0,
                    not_before: Time::ZERO,
                    overdue: false,
                    again: false,
                    request: None,
                },
            );
        }
        (first, Seq(self.last_seq))
    }

    fn counts(&self, kept: &Kept) -> StageCounts {
        let pipeline = &kept.delivery.pipeline;
        let rows = self.between(kept.first, kept.last);
        super::count(rows.filter(|row| row.change.pipeline == *pipeline))
    }

    fn take(&mut self, mut delivery: NewDelivery) -> Taken {
        let first = self.keys.of_dedupe(&delivery);
        let first = first
            .and_then(|id| self.deliveries.get(&id))
            .filter(|kept| {
                let known_until = kept.delivery.at.after(kept.delivery.dedupe);
                known_until.min(kept.delivery.at.after(delivery.dedupe)) > delivery.at
            });
        let mut begins = None;
        let mut open = Vec::new();
        if let Some(first) = first {
            if delivery_state(first.made, self.counts(first)) == DeliveryState::Done {
                return Taken::Duplicate;
            }
            delivery = delivery.again(first.delivery.due);
            if delivery.work == Work::Scan && first.made {
                let counts = self.counts(first);
                if counts.taken + counts.failed + counts.dropped == 0 {
                    begins = Some(first.first);
                } else {
                    open = self.open_of(first, &delivery);
                }
            }
        }
        let (made, first, last, count) = match &delivery.work {
            Work::Scan => {
                let count = open.len();
                let first = begins.unwrap_or_else(|| self.queue(open).0);
                (false, first, Seq(0), count)
            }
            Work::Changes(changes) if delivery.due <= delivery.at => {
                let (first, last) = self.queue(changes.clone());
                (true, first, last, changes.len())
            }
            Work::Changes(changes) => (false, Seq(0), Seq(0), changes.len()),
        };
        self.last_delivery += 1;
        self.keys.add(self.last_delivery, &delivery);
        let kept = Kept {
            delivery,
            made,
            first,
            last,
        };
        self.deliveries.insert(self.last_delivery, kept);
        Taken::New(count)
    }

    /// What the scans of a delivery's first found, as far as it is not done: no scan finds it again.
    fn open_of(&self, first: &Kept, again: &NewDelivery) -> Vec<NewChange> {
        let rows = self
            .between(first.first, first.last)
            .filter(|row| row.change.pipeline == again.pipeline && row.stage != Stage::Done);
        let targets: BTreeSet<Target> = rows.map(|row| row.change.target.clone()).collect();
        let asked = |target| NewChange {
            pipeline: again.pipeline.clone(),
            target,
            kind: Kind::Asked,
            source: Source::Webhook,
            detail: Arc::clone(&again.what),
            file: None,
            seen: again.due,
        };
        targets.into_iter().map(asked).collect()
    }

    /// As in `SQLite`: what is queued in one run already, and not told, is not queued twice.
    fn queue(&mut self, changes: Vec<NewChange>) -> (Seq, Seq) {
        let queued: Option<Vec<u64>> = changes
            .iter()
            .map(|change| {
                let same = |row: &Row| {
                    row.stage == Stage::Queued
                        && row.not_before == Time::ZERO
                        && row.change.pipeline == change.pipeline
                        && row.change.target == change.target
                };
                let told = self.told.load(Ordering::Relaxed);
                let mut rows = self.changes.range(told + 1..).rev();
                rows.find(|(_, row)| same(row)).map(|(seq, _)| *seq)
            })
            .collect();
        if let Some(queued) = queued
            && let (Some(first), Some(last)) = (queued.iter().min(), queued.iter().max())
            && last - first + 1 == queued.len() as u64
        {
            return (Seq(*first), Seq(*last));
        }
        self.append(changes)
    }

    /// Why what is not purged is not.
    fn reasons(&self, kept: &Kept) -> Vec<Reason> {
        let of = |row: &Row| row.request.and_then(|id| self.requests.get(&id));
        let told = |row: &&Row| match row.stage {
            Stage::Failed | Stage::Dropped => true,
            Stage::Queued => of(row).is_some_and(|request| !request.why.is_empty()),
            Stage::Taken | Stage::Done => false,
        };
        let rows = self.between(kept.first, kept.last);
        let rows = rows.filter(|row| row.change.pipeline == kept.delivery.pipeline);
        let mut reasons = Vec::new();
        for row in rows.filter(told).take(REASONED) {
            let request = of(row);
            let asset = match &row.change.target {
                Target::Asset(asset) => Some(asset.to_string()),
                Target::All => None,
            };
            let reason = Reason {
                stage: row.stage.as_str().to_owned(),
                request: row.request,
                remote_id: request.and_then(|request| request.remote_id.clone()),
                why: request.map_or_else(String::new, |request| request.why.clone()),
                assets: asset.into_iter().collect(),
            };
            Reason::add(&mut reasons, reason);
        }
        reasons
    }

    fn record(&self, kept: &Kept) -> DeliveryRecord {
        let counts = self.counts(kept);
        let waiting = match &kept.delivery.work {
            Work::Changes(changes) if !kept.made => changes.len() as u64,
            _ => 0,
        };
        DeliveryRecord {
            event: kept.delivery.event.to_string(),
            state: delivery_state(kept.made, counts),
            what: kept.delivery.what.to_string(),
            at: kept.delivery.at,
            queued: counts.queued + waiting,
            submitted: counts.taken,
            done: counts.done,
            failed: counts.failed + counts.dropped,
            reasons: self.reasons(kept),
        }
    }

    pub(super) fn list_deliveries(&self, filter: &DeliveryFilter) -> Listed<ListedDelivery> {
        let wanted = |delivery: &NewDelivery| {
            (filter.pipeline.as_ref()).is_none_or(|one| *one == delivery.pipeline)
                && (filter.route.as_deref()).is_none_or(|route| *route == *delivery.route)
        };
        let kept = self.deliveries.iter();
        let kept = kept.filter(|(_, kept)| wanted(&kept.delivery));
        let records = kept.map(|(id, kept)| {
            let record = ListedDelivery {
                id: *id,
                route: kept.delivery.route.to_string(),
                pipeline_id: kept.delivery.pipeline.clone(),
                record: self.record(kept),
            };
            (*id, record)
        });
        filter.slice.of(records.collect())
    }

    /// What deliveries wait to queue is dropped; tells how many changes that are.
    pub(super) fn drop_later(&mut self, pipeline: &PipelineId) -> u64 {
        let waiting: Vec<(u64, Vec<NewChange>)> = self
            .deliveries
            .iter()
            .filter(|(_, kept)| !kept.made && kept.delivery.pipeline == *pipeline)
            .filter_map(|(id, kept)| match &kept.delivery.work {
                Work::Changes(changes) => Some((*id, changes.clone())),
                Work::Scan => None,
            })
            .collect();
        let mut dropped = 0;
        for (id, changes) in waiting {
            let (first, last) = self.append(changes);
            for seq in first.0..=last.0 {
                if let Some(row) = self.changes.get_mut(&seq) {
                    row.stage = Stage::Dropped;
                    dropped += 1;
                }
            }
            if let Some(kept) = self.deliveries.get_mut(&id) {
                (kept.made, kept.first, kept.last) = (true, first, last);
            }
        }
        dropped
    }

    /// The first delivery that a change is counted to.
    pub(super) fn delivery_of(&self, pipeline: &PipelineId, seq: Seq) -> Option<(String, String)> {
        let counted = |kept: &&Kept| {
            kept.made
                && kept.delivery.pipeline == *pipeline
                && (kept.first..=kept.last).contains(&seq)
        };
        let kept = self.deliveries.values().filter(counted);
        kept.min_by_key(|kept| kept.last).map(|kept| {
            (
                kept.delivery.route.to_string(),
                kept.delivery.event.to_string(),
            )
        })
    }

    fn release_due(&mut self, now: Time, limit: usize) -> usize {
        let ready: Vec<(u64, Vec<NewChange>)> = self
            .deliveries
            .iter()
            .filter(|(_, kept)| !kept.made && kept.delivery.due <= now)
            .filter_map(|(id, kept)| match &kept.delivery.work {
                Work::Changes(changes) => Some((*id, changes.clone())),
                Work::Scan => None,
            })
            .take(limit)
            .collect();
        let count = ready.len();
        for (id, mut changes) in ready {
            for change in &mut changes {
                change.seen = now;
            }
            let (first, last) = self.queue(changes);
            if let Some(kept) = self.deliveries.get_mut(&id) {
                (kept.made, kept.first, kept.last) = (true, first, last);
            }
        }
        count
    }

    fn scanned(&mut self, scan: &ScanDone) {
        let unsettled = self
            .changes
            .iter()
            .find(|(_, row)| {
                row.change.pipeline == scan.pipeline
                    && matches!(row.stage, Stage::Queued | Stage::Taken)
            })
            .map(|(seq, _)| Seq(*seq));
        for kept in self.deliveries.values_mut() {
            let waits = !kept.made && kept.delivery.work == Work::Scan;
            if waits && kept.delivery.pipeline == scan.pipeline && kept.delivery.due <= scan.through
            {
                kept.made = true;
                kept.first = unsettled.map_or(kept.first, |seq| seq.min(kept.first));
                kept.last = scan.last;
            }
        }
    }

    fn begin(&mut self, delays: &BTreeMap<String, Duration>, now: Time) {
        for kept in self.deliveries.values_mut() {
            let delivery = &mut kept.delivery;
            if delivery.at > now {
                delivery.due = now.after(delivery.due.since(delivery.at));
                delivery.at = now;
            }
            if let Some(delay) = delays.get(&*delivery.route)
                && !kept.made
            {
                delivery.due = delivery.due.within(now, *delay);
            }
        }
    }

    fn due(&self) -> DueDeliveries {
        let mut due = DueDeliveries::default();
        let mut scans: BTreeMap<PipelineId, Time> = [].into();
        for kept in self.deliveries.values().filter(|kept| !kept.made) {
            let at = kept.delivery.due;
            match kept.delivery.work {
                Work::Changes(_) => due.changes = Some(due.changes.map_or(at, |due| due.min(at))),
                Work::Scan => {
                    let first = scans.entry(kept.delivery.pipeline.clone()).or_insert(at);
                    *first = at.min(*first);
                }
            }
        }
        due.scans = scans.into_iter().collect();
        due
    }

    fn prune_deliveries(&mut self, before: Time, now: Time, limit: usize) -> u64 {
        let surplus = self.last_delivery.saturating_sub(DELIVERIES_KEPT as u64);
        let old: Vec<u64> = self
            .deliveries
            .iter()
            .filter(|(id, kept)| {
                let delivery = &kept.delivery;
                let old = delivery.at < before && delivery.at.after(delivery.dedupe) <= now;
                kept.made && (old || **id <= surplus)
            })
            .map(|(id, _)| *id)
            .take(limit)
            .collect();
        self.keys.forget(surplus);
        for id in &old {
            self.deliveries.remove(id);
        }
        old.len() as u64
    }
}

impl MemoryStore {
    pub(super) fn write_and_announce<T: Send + 'static>(
        &self,
        to: impl FnOnce(&mut State) -> T,
    ) -> StoreFuture<'_, T> {
        let written = self.write(|state| Ok((to(state), Seq(state.last_seq))));
        Box::pin(async move {
            let (written, last) = written.await?;
            self.announce(last);
            Ok(written)
        })
    }

    pub(super) fn take_delivery(&self, delivery: NewDelivery) -> StoreFuture<'_, Taken> {
        let waits = delivery.waits();
        let taken = self.write_and_announce(|state| state.take(delivery));
        if waits {
            self.waiting.send_replace(());
        }
        taken
    }

    pub(super) fn delivery(
        &self,
        route: &str,
        event: &str,
    ) -> StoreFuture<'_, Option<DeliveryRecord>> {
        self.read(|state| {
            let last = state.keys.of_event(route, event);
            let kept = last.and_then(|id| state.deliveries.get(&id));
            kept.map(|kept| state.record(kept))
        })
    }

    pub(super) fn begin_deliveries(
        &self,
        delays: BTreeMap<String, Duration>,
        now: Time,
    ) -> StoreFuture<'_, ()> {
        self.write(move |state| {
            state.begin(&delays, now);
            Ok(())
        })
    }

    pub(super) fn due_deliveries(&self) -> StoreFuture<'_, DueDeliveries> {
        self.read(State::due)
    }

    pub(super) fn release_deliveries(&self, now: Time, limit: usize) -> StoreFuture<'_, usize> {
        self.write_and_announce(|state| state.release_due(now, limit))
    }

    pub(super) fn scanned_for_deliveries(&self, scan: &ScanDone) -> StoreFuture<'_, ()> {
        self.write(|state| {
            state.scanned(scan);
            Ok(())
        })
    }

    pub(super) fn prune_deliveries(
        &self,
        before: Time,
        now: Time,
        limit: usize,
    ) -> StoreFuture<'_, u64> {
        self.write(|state| Ok(state.prune_deliveries(before, now, limit)))
    }
}
