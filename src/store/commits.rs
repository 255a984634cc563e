//! The commits of a store: how many there were, how long each took, and what was appended.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::core::change::{NewChange, PipelineId, Source};

/// Gets what a store commits.
pub trait CommitObserver: Send + Sync {
    /// A transaction took so long.
    fn committed(&self, took: Duration);
    /// So many changes of a pipeline were appended, which this source has noticed.
    fn appended(&self, pipeline: &PipelineId, source: Source, changes: u64);
    /// Something was refused, since the term that it was decided in is over.
    fn fenced(&self);
}

/// How many changes a transaction appends, by pipeline and source.
#[derive(Default)]
pub(in crate::store) struct Counts(BTreeMap<(PipelineId, Source), u64>);

impl Counts {
    pub(in crate::store) fn of(changes: &[NewChange]) -> Self {
        let mut counts = Self::default();
        counts.add(changes);
        counts
    }

    pub(in crate::store) fn add(&mut self, changes: &[NewChange]) {
        let is_alike = |one: &NewChange, next: &NewChange| {
            one.source == next.source && one.pipeline == next.pipeline
        };
        for alike in changes.chunk_by(is_alike) {
            if let [first, ..] = alike {
                let of = (first.pipeline.clone(), first.source);
                *self.0.entry(of).or_default() += alike.len() as u64;
            }
        }
    }
}

/// Counts commits.
#[derive(Default)]
pub(in crate::store) struct Commits {
    count: AtomicU64,
    observer: OnceLock<(Clock, Box<dyn CommitObserver>)>,
}

impl fmt::Debug for Commits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Commits({})", self.count())
    }
}

impl Commits {
    /// From now on, each commit is timed. Only the first observer is used.
    pub(super) fn observe(&self, clock: Clock, observer: Box<dyn CommitObserver>) {
        self.observer.get_or_init(|| (clock, observer));
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// When a commit begins; `None` where nothing is timed.
    pub(in crate::store) fn begin(&self) -> Option<Duration> {
        self.observer.get().map(|(clock, _)| clock.running())
    }

    /// Counts a commit that began then.
    pub(in crate::store) fn end(&self, began: Option<Duration>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if let (Some(began), Some((clock, observer))) = (began, self.observer.get()) {
            observer.committed(clock.running().saturating_sub(began));
        }
    }

    /// Changes were committed.
    pub(in crate::store) fn appended(&self, counts: &Counts) {
        if let Some((_, observer)) = self.observer.get() {
            for ((pipeline, source), changes) in &counts.0 {
                observer.appended(pipeline, *source, *changes);
            }
        }
    }

    /// Something was refused.
    pub(in crate::store) fn fenced(&self) {
        if let Some((_, observer)) = self.observer.get() {
            observer.fenced();
        }
    }
}
