//! The purge requests that were made, and when each one settles. Pure: time is a parameter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::core::change::PipelineId;
use crate::core::time::Time;

/// What a purge request purges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurgeTarget {
    /// These paths, each with its query.
    Assets(Vec<String>),
    /// Everything of the pipeline.
    All,
}

/// Where a purge request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeStatus {
    /// The cache still has it.
    Pending,
    /// The cache has forgotten it.
    Done,
    /// It came to nothing; the cache still has it.
    Error,
}

impl PurgeStatus {
    /// The API's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Error => "error",
        }
    }
}

/// A purge request that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeRecord {
    /// Its id, a UUID.
    pub id: String,
    /// Whose cache.
    pub pipeline: PipelineId,
    /// What it purges.
    pub target: PurgeTarget,
    /// Where it is.
    pub status: PurgeStatus,
    /// When it was made.
    pub created: Time,
    /// When it settled.
    pub settled: Option<Time>,
    /// When it was made, in nanoseconds since the Unix epoch: no two alike, in order.
    pub(super) created_nanos: u64,
    /// Whether the cache forgets what it names.
    pub(super) forgets: bool,
}

/// How a purge request is going to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Done,
    Error,
    /// Done, it says, and the cache has it still.
    Kept,
    Never,
}

/// The requests, oldest first. At most `limit`; beyond, the oldest that is settled goes.
#[derive(Debug)]
pub(super) struct Ledger {
    records: BTreeMap<u64, PurgeRecord>,
    numbers: BTreeMap<String, u64>,
    due: BTreeSet<(Time, u64)>,
    fates: BTreeMap<u64, Fate>,
    last: u64,
    last_nanos: u64,
    limit: usize,
}

impl Ledger {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            records: BTreeMap::new(),
            numbers: BTreeMap::new(),
            due: BTreeSet::new(),
            fates: BTreeMap::new(),
            last: 0,
            last_nanos: 0,
            limit,
        }
    }

    /// Makes a request that settles after `delay`, unless its fate is never to.
    pub(super) fn create(
        &mut self,
        pipeline: PipelineId,
        target: PurgeTarget,
        fate: Fate,
        delay: Duration,
        now: Time,
    ) -> String {
        while self.records.len() >= self.limit {
            let settled = self
                .records
                .iter()
                .find(|(_, record)| record.settled.is_some());
            let Some(number) = settled
                .or_else(|| self.records.iter().next())
                .map(|(number, _)| *number)
            else {
                break;
            };
            self.remove(number);
        }
        self.last += 1;
        let number = self.last;
        // The clock counts milliseconds; the API shows nanoseconds that differ.
        let nanos = now.millis().saturating_mul(1_000_000) + (number * 7_919) % 1_000_000;
        self.last_nanos = nanos.max(self.last_nanos + 1);
        let record = PurgeRecord {
            id: uuid::Uuid::new_v4().to_string(),
            pipeline,
            target,
            status: PurgeStatus::Pending,
            created: now,
            settled: None,
            created_nanos: self.last_nanos,
            forgets: fate != Fate::Kept,
        };
        let id = record.id.clone();
        self.numbers.insert(id.clone(), number);
        self.records.insert(number, record);
        if fate != Fate::Never {
            self.due.insert((now.after(delay), number));
            self.fates.insert(number, fate);
        }
        id
    }

    /// When the next request settles.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Settles what is due, and says what that was, in order.
    pub(super) fn settle(&mut self, now: Time) -> Vec<PurgeRecord> {
        let mut settled = Vec::new();
        while let Some((_, number)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.pop_first();
            let fate = self.fates.remove(&number);
            if let Some(record) = self.records.get_mut(&number) {
                record.status = match fate {
                    Some(Fate::Error) => PurgeStatus::Error,
                    _ => PurgeStatus::Done,
                };
                record.settled = Some(now);
                settled.push(record.clone());
            }
        }
        settled
    }

    pub(super) fn get(&self, id: &str) -> Option<&PurgeRecord> {
        self.records.get(self.numbers.get(id)?)
    }

    /// Forgets a request; it never settles.
    pub(super) fn forget(&mut self, id: &str) {
        if let Some(number) = self.numbers.get(id).copied() {
            self.remove(number);
        }
    }

    /// Every request, oldest first.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &PurgeRecord> {
        self.records.values()
    }

    fn remove(&mut self, number: u64) {
        if let Some(record) = self.records.remove(&number) {
            self.numbers.remove(&record.id);
        }
        if self.fates.remove(&number).is_some() {
            self.due.retain(|(_, other)| *other != number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn make(ledger: &mut Ledger, fate: Fate) -> String {
        let pipeline = PipelineId::new("p");
        ledger.create(pipeline, PurgeTarget::All, fate, SECOND, NOW)
    }

    #[test]
    fn each_request_meets_its_fate_and_not_before_its_time() {
        let mut ledger = Ledger::new(10);
        let done = make(&mut ledger, Fate::Done);
        let error = make(&mut ledger, Fate::Error);
        let never = make(&mut ledger, Fate::Never);
        assert_eq!(ledger.next_due(), Some(NOW.after(SECOND)));
        assert!(ledger.settle(Time::from_millis(1_999)).is_empty());
        assert_eq!(ledger.settle(Time::from_millis(2_000)).len(), 2);
        let status = |id: &str| ledger.get(id).unwrap().status;
        assert_eq!(status(&done), PurgeStatus::Done);
        assert_eq!(status(&error), PurgeStatus::Error);
        assert_eq!(status(&never), PurgeStatus::Pending);
        assert_eq!(ledger.next_due(), None);
    }

    #[test]
    fn the_history_is_bounded_and_drops_the_oldest_settled_first() {
        let mut ledger = Ledger::new(3);
        let open = make(&mut ledger, Fate::Never);
        let settled = make(&mut ledger, Fate::Done);
        ledger.settle(NOW.after(SECOND));
        for _ in 0..2 {
            make(&mut ledger, Fate::Done);
        }
        assert!(ledger.get(&settled).is_none());
        assert!(ledger.get(&open).is_some());
        assert_eq!(ledger.all().count(), 3);
        for _ in 0..3 {
            make(&mut ledger, Fate::Done);
        }
        assert_eq!((ledger.all().count(), ledger.due.len()), (3, 3));
    }

    #[test]
    fn no_two_are_created_at_the_same_nanosecond() {
        let mut ledger = Ledger::new(2_000);
        for _ in 0..1_000 {
            make(&mut ledger, Fate::Done);
        }
        let times: Vec<u64> = ledger.all().map(|record| record.created_nanos).collect();
        assert!(times.is_sorted_by(|a, b| a < b));
    }
}
