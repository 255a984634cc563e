//! The commits of a store: how many there were, and how long each took.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// Is given how long a commit took.
type Observer = Box<dyn Fn(Duration) + Send + Sync>;

/// Counts commits.
#[derive(Default)]
pub(in crate::store) struct Commits {
    count: AtomicU64,
    observer: OnceLock<(Clock, Observer)>,
}

impl fmt::Debug for Commits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Commits({})", self.count())
    }
}

impl Commits {
    /// From now on, each commit is timed. Only the first observer is used.
    pub(super) fn observe(&self, clock: Clock, observer: Observer) {
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
            observer(clock.running().saturating_sub(began));
        }
    }
}
