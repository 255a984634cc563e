//! What waiting deliveries want to have looked at: whole origins, or objects of a bucket by their names. In
//! memory; the deliveries themselves are on disk. What is not known here is looked at as a whole: after a
//! start, past [`MAX_NAMES`], and where it is in doubt whether a delivery was committed.
//!
//! A delivery is added before it is committed, with the time of that; its row is not due before. So what a
//! snapshot lacks belongs to no delivery that was due before the snapshot.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::core::change::PipelineId;
use crate::core::delivery::{Names, Taken};
use crate::core::time::Time;

/// The most names that wait to be looked at of a pipeline; past them its buckets are listed.
const MAX_NAMES: usize = 1_000;
/// The most deliveries that are kept apart of a pipeline.
const MAX_DELIVERIES: usize = 10_000;

/// What is to be looked at; the later in this order includes what comes before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// What is named in the buckets of the pipeline; its directories as a whole.
    Names(Names),
    /// All of its origins.
    Listing,
    /// All of its origins, and once more when nothing changes there.
    Scans,
}

impl Wanted {
    /// Looks at these, unless there are too many.
    #[must_use]
    pub fn of(names: Names) -> Self {
        if names.len() > MAX_NAMES {
            return Self::Listing;
        }
        Self::Names(names)
    }

    /// What includes both.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Scans, _) | (_, Self::Scans) => Self::Scans,
            (Self::Listing, _) | (_, Self::Listing) => Self::Listing,
            (Self::Names(mut names), Self::Names(more)) => {
                names.extend(more);
                Self::of(names)
            }
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Names(names) => names.len(),
            Self::Listing | Self::Scans => 0,
        }
    }
}

/// What a delivery wants.
#[derive(Debug)]
struct Entry {
    wanted: Wanted,
    due: Time,
    /// Whether it is committed.
    taken: bool,
}

/// The deliveries of a pipeline, by number.
#[derive(Debug, Default)]
struct Pending {
    entries: BTreeMap<u64, Entry>,
    next: u64,
    /// The number before which there may be deliveries that have no entry.
    unknown: Option<u64>,
}

impl Pending {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// What the waiting deliveries of a pipeline want, at a moment.
#[derive(Debug)]
pub struct ToLook {
    /// Those that were due before then are in it.
    pub before: Time,
    /// What all of them want together.
    pub wanted: Wanted,
    /// Those that were committed by then, and when each is due.
    taken: Vec<(u64, Time)>,
    unknown: Option<u64>,
}

/// A delivery that is on its way to the store. Where that ends in an error, or breaks off, what waits is not known
/// any more.
#[derive(Debug)]
pub(super) struct Added<'l> {
    looks: &'l Looks,
    pipeline: PipelineId,
    /// Its number; 0 once it has ended.
    number: u64,
}

impl Added<'_> {
    /// The store has answered.
    pub(super) fn end(mut self, taken: Taken) {
        let number = std::mem::take(&mut self.number);
        self.looks.end(&self.pipeline, number, Some(taken));
    }
}

impl Drop for Added<'_> {
    fn drop(&mut self) {
        if self.number > 0 {
            self.looks.end(&self.pipeline, self.number, None);
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Looks {
    pipelines: Mutex<BTreeMap<PipelineId, Pending>>,
    clock: Clock,
}

impl Looks {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            pipelines: Mutex::default(),
            clock,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PipelineId, Pending>> {
        // A panic stops the process.
        self.pipelines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what a delivery wants before it is committed. Returns also the time before which it must not be due.
    pub(super) fn add(
        &self,
        pipeline: &PipelineId,
        wanted: Wanted,
        due: Time,
    ) -> (Added<'_>, Time) {
        let mut pipelines = self.lock();
        let pending = pipelines.entry(pipeline.clone()).or_default();
        let known = pending.entries.values();
        let names: usize = known.map(|entry| entry.wanted.count()).sum();
        let wanted = if names + wanted.count() > MAX_NAMES {
            Wanted::Listing
        } else {
            wanted
        };
        let number = pending.number();
        if pending.entries.len() >= MAX_DELIVERIES {
            pending.entries.retain(|_, entry| !entry.taken);
            pending.unknown = Some(number);
        }
        let at = self.clock.now();
        let entry = Entry {
            wanted,
            due: due.max(at),
            taken: false,
        };
        pending.entries.insert(number, entry);
        let added = Added {
            looks: self,
            pipeline: pipeline.clone(),
            number,
        };
        (added, at)
    }

    /// A delivery is committed, or came before; `None`: that is not known.
    fn end(&self, pipeline: &PipelineId, number: u64, taken: Option<Taken>) {
        let mut pipelines = self.lock();
        let pending = pipelines.entry(pipeline.clone()).or_default();
        match taken {
            Some(Taken::New(_)) => {
                if let Some(entry) = pending.entries.get_mut(&number) {
                    entry.taken = true;
                }
                return;
            }
            Some(Taken::Duplicate) => {}
            None => pending.unknown = Some(pending.number()),
        }
        pending.entries.remove(&number);
    }

    /// What waits by now is not known.
    pub fn forget(&self, pipeline: &PipelineId) {
        let mut pipelines = self.lock();
        let pending = pipelines.entry(pipeline.clone()).or_default();
        pending.unknown = Some(pending.number());
    }

    /// What the waiting deliveries want now. It is to be asked for before the store is asked which ones are due.
    #[must_use]
    pub fn wanted(&self, pipeline: &PipelineId) -> ToLook {
        let mut pipelines = self.lock();
        let pending = pipelines.entry(pipeline.clone()).or_default();
        let all = pending.entries.values().map(|entry| entry.wanted.clone());
        let all = all.reduce(Wanted::and);
        let taken = pending.entries.iter().filter(|(_, entry)| entry.taken);
        ToLook {
            // The last time of which nothing is added any more.
            before: self.clock.now().before(Duration::from_millis(1)),
            wanted: all
                .filter(|_| pending.unknown.is_none())
                .unwrap_or(Wanted::Scans),
            taken: taken.map(|(number, entry)| (*number, entry.due)).collect(),
            unknown: pending.unknown,
        }
    }

    /// What these deliveries want is done for those that were due until then.
    pub fn done(&self, pipeline: &PipelineId, looked: &ToLook, through: Time) {
        let mut pipelines = self.lock();
        let pending = pipelines.entry(pipeline.clone()).or_default();
        let done = looked.taken.iter().filter(|(_, due)| *due <= through);
        for (number, _) in done {
            pending.entries.remove(number);
        }
    }

    /// The store has no delivery that waited when this was asked for.
    pub fn none_waits(&self, pipeline: &PipelineId, asked: &ToLook) {
        self.done(pipeline, asked, Time::from_millis(u64::MAX));
        let mut pipelines = self.lock();
        let pending = pipelines.entry(pipeline.clone()).or_default();
        pending
            .unknown
            .take_if(|number| Some(*number) == asked.unknown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "11111111-1111-4111-8111-111111111111";

    fn names(names: &[&str]) -> Wanted {
        let objects = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        Wanted::of(Names {
            objects,
            ..Names::default()
        })
    }

    fn numbers(range: std::ops::Range<u32>) -> Wanted {
        let all: Vec<String> = range.map(|number| number.to_string()).collect();
        names(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    struct Site {
        looks: Looks,
        id: PipelineId,
    }

    impl Site {
        fn new() -> Self {
            Self {
                looks: Looks::new(Clock::start()),
                id: PipelineId::new(SITE),
            }
        }

        fn add(&self, wanted: Wanted, due: Time) {
            let (added, _) = self.looks.add(&self.id, wanted, due);
            added.end(Taken::New(0));
        }

        fn wanted(&self) -> Wanted {
            self.looks.wanted(&self.id).wanted
        }

        /// Looks at what is due until now.
        fn look(&self) {
            let looked = self.looks.wanted(&self.id);
            let now = self.looks.clock.now();
            self.looks.done(&self.id, &looked, now);
        }
    }

    #[test]
    fn what_is_named_is_looked_at_once_and_then_forgotten() {
        let site = Site::new();
        site.add(names(&["a", "b"]), Time::ZERO);
        site.add(names(&["b", "c"]), Time::ZERO);
        assert_eq!(site.wanted(), names(&["a", "b", "c"]));
        site.look();
        site.add(names(&["d"]), Time::ZERO);
        assert_eq!(site.wanted(), names(&["d"]));
    }

    #[test]
    fn what_is_not_known_is_looked_at_as_a_whole() {
        let site = Site::new();
        assert_eq!(site.wanted(), Wanted::Scans);
        site.looks.forget(&site.id);
        let before = site.looks.wanted(&site.id);
        site.add(names(&["a"]), Time::ZERO);
        site.look();
        site.add(names(&["a"]), Time::ZERO);
        assert_eq!(site.wanted(), Wanted::Scans);
        // Something more came to be unknown since then.
        site.looks.forget(&site.id);
        site.looks.none_waits(&site.id, &before);
        assert_eq!(site.wanted(), Wanted::Scans);
        let now = site.looks.wanted(&site.id);
        site.looks.none_waits(&site.id, &now);
        site.add(names(&["b"]), Time::ZERO);
        assert_eq!(site.wanted(), names(&["b"]));
    }

    #[test]
    fn too_many_names_are_one_listing_and_who_asks_for_scans_gets_them() {
        let site = Site::new();
        site.add(numbers(0..1_000), Time::ZERO);
        assert_eq!(site.wanted(), numbers(0..1_000));
        site.add(numbers(1_000..1_001), Time::ZERO);
        assert_eq!(site.wanted(), Wanted::Listing);
        site.add(Wanted::Scans, Time::ZERO);
        assert_eq!(site.wanted(), Wanted::Scans);
        site.look();
        site.add(numbers(0..1_001), Time::ZERO);
        assert_eq!(site.wanted(), Wanted::Listing);
    }

    #[test]
    fn what_is_due_later_or_not_committed_yet_is_kept() {
        let site = Site::new();
        let later = site.looks.clock.now().after(Duration::from_hours(1));
        site.add(names(&["later"]), later);
        let (uncommitted, _) = site.looks.add(&site.id, names(&["soon"]), Time::ZERO);
        site.look();
        assert_eq!(site.wanted(), names(&["later", "soon"]));
        uncommitted.end(Taken::Duplicate);
        assert_eq!(site.wanted(), names(&["later"]));
        drop(site.looks.add(&site.id, names(&["lost"]), Time::ZERO));
        assert_eq!(site.wanted(), Wanted::Scans);
    }

    #[test]
    fn more_deliveries_than_are_kept_apart_are_not_lost() {
        let site = Site::new();
        let later = site.looks.clock.now().after(Duration::from_hours(1));
        for _ in 0..=MAX_DELIVERIES {
            site.add(Wanted::Listing, later);
        }
        assert!(site.looks.lock()[&site.id].entries.len() <= MAX_DELIVERIES);
        assert_eq!(site.wanted(), Wanted::Scans);
    }
}
