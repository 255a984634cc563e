//! The queue of one pipeline: what is stale and in no request yet.
//!
//! An asset is queued once, however often it changes. It passes from the open batch, which closes
//! when the changes calm down, to the ready ones, which leave oldest first, manual ones before
//! all others; one whose purge came to nothing waits out its backoff in between. In a fleet, changed files
//! stay in the open batch until the nodes have them ([`super::agreement`]).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::asset::Asset;
use super::change::{Kind, Seq};
use super::purge::AllReason;
use super::time::Time;

/// How many assets of a pipeline are queued at most; past it, one `all` takes their place, or where
/// that may not be, what changes waits where it is.
pub const QUEUE_CAP: usize = 100_000;

/// A queued asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its last change.
    pub seq: Seq,
    /// When the first of its changes was noticed.
    pub first_seen: Time,
    /// How many requests for it came to nothing.
    pub attempt: u32,
    /// Not to be sent before this.
    pub not_before: Time,
    /// A person waits for it: it skips the debounce and goes first.
    pub manual: bool,
    /// When the last of its changes came to the queue.
    pub queued: Time,
    /// Its place in its batch.
    pub rank: Rank,
    /// Whether a request for it was still pending after `track_timeout`.
    pub overdue: bool,
    /// Whether it is not to be sent before the nodes of a fleet have it.
    pub gated: bool,
}

/// The order within a batch: what pages are made of, then the pages, so that no visitor fetches a new
/// page with old parts; what is gone last, since old pages still ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A new or changed asset that is no page.
    Part,
    /// A new or changed page.
    Page,
    /// An asset that is gone.
    Gone,
}

impl Rank {
    /// The place of an asset that changed so.
    #[must_use]
    pub fn of(asset: &Asset, kind: Kind) -> Self {
        let path = asset.as_str().split('?').next().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        let page = match name.rsplit_once('.') {
            // `/blog/` and `/blog`
            None => true,
            Some((_, extension)) => ["html", "htm", "xhtml"].contains(&extension),
        };
        match kind {
            Kind::Gone => Self::Gone,
            _ if page => Self::Page,
            _ => Self::Part,
        }
    }
}

impl Entry {
    /// The entry that stands for both: the later change, the longer wait of the user, the
    /// earlier time to send.
    fn join(self, other: Self) -> Self {
        let newer = if self.seq > other.seq { self } else { other };
        Self {
            seq: self.seq.max(other.seq),
            first_seen: self.first_seen.min(other.first_seen),
            attempt: self.attempt.max(other.attempt),
            not_before: self.not_before.min(other.not_before),
            manual: self.manual || other.manual,
            queued: self.queued.max(other.queued),
            rank: newer.rank,
            // A change that was never overdue deserves a request of its own.
            overdue: newer.overdue,
            gated: self.gated && other.gated,
        }
    }
}

/// A purge of everything that waits to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingAll {
    /// Why.
    pub reason: AllReason,
    /// Since when it is stale.
    pub since: Time,
    /// How many requests for it came to nothing.
    pub attempt: u32,
    /// Not to be sent before this.
    pub not_before: Time,
    /// Whether a request for it was still pending after `track_timeout`.
    pub overdue: bool,
}

/// The order in which ready assets leave: manual first, then batch by batch, within one by rank,
/// then oldest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    later: bool,
    batch: u64,
    rank: Rank,
    first_seen: Time,
    seq: Seq,
    asset: Asset,
}

impl Order {
    fn new(asset: Asset, kept: Kept) -> Self {
        let entry = kept.entry;
        Self {
            later: !entry.manual,
            batch: kept.batch,
            rank: entry.rank,
            first_seen: entry.first_seen,
            seq: entry.seq,
            asset,
        }
    }
}

/// An entry with the number of its batch. What comes back to the queue belongs to none: 0.
#[derive(Clone, Copy, Debug)]
struct Kept {
    entry: Entry,
    batch: u64,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    first: Time,
    last: Time,
}

/// What of the open batch waits for the nodes of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// When the first of its changes was noticed.
    pub since: Time,
    /// The first of them in the order of changes,
    pub first: Seq,
    /// and the last.
    pub last: Seq,
}

/// The queue of one pipeline.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    entries: BTreeMap<Asset, Kept>,
    /// How many batches were closed.
    batches: u64,
    /// The assets of the open batch,
    open: BTreeSet<Asset>,
    /// and those of it that wait for the nodes, too.
    gated: BTreeSet<Asset>,
    window: Option<Window>,
    gate: Option<Gate>,
    /// Those that may be sent, in order.
    ready: BTreeSet<Order>,
    /// Those that wait out a backoff, by its end.
    delayed: BTreeSet<(Time, Asset)>,
    all: Option<PendingAll>,
}

impl Queue {
    /// How many assets are queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing at all is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.all.is_none()
    }

    /// Whether an asset is queued.
    #[must_use]
    pub fn holds(&self, asset: &Asset) -> bool {
        self.entries.contains_key(asset)
    }

    /// How many assets may be sent now.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// The purge of everything that waits.
    #[must_use]
    pub const fn all(&self) -> Option<&PendingAll> {
        self.all.as_ref()
    }

    /// When the oldest queued change was noticed.
    fn oldest(&self) -> Option<Time> {
        let entries = self.entries.values().map(|kept| kept.entry.first_seen);
        let open = self.window.map(|window| window.first);
        let all = self.all.map(|all| all.since);
        entries.chain(open).chain(all).min()
    }

    /// The asset whose change was noticed first of those that are queued.
    #[must_use]
    pub fn oldest_asset(&self) -> Option<(&Asset, Time)> {
        let entries = self.entries.iter();
        entries
            .map(|(asset, kept)| (asset, kept.entry.first_seen))
            .min_by_key(|(_, seen)| *seen)
    }

    /// Until when the next of those waits that are hot, and of those that came to nothing.
    #[must_use]
    pub fn delayed_until(&self) -> [Option<Time>; 2] {
        let mut until = [None; 2];
        for (at, asset) in &self.delayed {
            let attempt = self.entries.get(asset).map_or(0, |kept| kept.entry.attempt);
            let next = &mut until[usize::from(attempt > 0)];
            *next = next.or(Some(*at));
            if until.iter().all(Option::is_some) {
                break;
            }
        }
        until
    }

    /// The highest number of attempts that came to nothing for anything queued.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        let delayed = self
            .delayed
            .iter()
            .filter_map(|(_, asset)| self.entries.get(asset))
            .map(|kept| kept.entry.attempt);
        let ready = self
            .ready
            .iter()
            .take(100)
            .filter_map(|order| self.entries.get(&order.asset))
            .map(|kept| kept.entry.attempt);
        let all = self.all.map(|all| all.attempt);
        delayed.chain(ready).chain(all).max().unwrap_or(0)
    }

    /// Queues a changed asset.
    pub fn add(&mut self, asset: Asset, entry: Entry, now: Time) {
        let known = self.remove(&asset);
        let was_open = known.is_some_and(|(_, open)| open);
        let (seen, seq) = (entry.first_seen, entry.seq);
        let is_new = known.is_none();
        let entry = known.map_or(entry, |(known, _)| known.entry.join(entry));
        let batch = known.map_or(0, |(known, _)| known.batch);
        let kept = Kept { entry, batch };
        if entry.not_before > now {
            self.delayed.insert((entry.not_before, asset.clone()));
            self.entries.insert(asset, kept);
        } else if entry.attempt == 0 && !entry.manual && (is_new || was_open) {
            self.touch(seen.min(now));
            if entry.gated {
                if is_new && self.gated.is_empty() {
                    self.gate = None;
                }
                self.hold(seen.min(now), seq);
                self.gated.insert(asset.clone());
            } else {
                self.open.insert(asset.clone());
            }
            self.entries.insert(asset, kept);
        } else {
            self.insert_ready(asset, kept);
        }
    }

    /// Queues a purge of everything. A batch that is open closes first, so that what belongs to
    /// the same deploy is absorbed; a manual one does not wait.
    pub fn add_all(&mut self, all: PendingAll, now: Time) {
        let fresh = self.all.is_none();
        self.all = Some(self.all.map_or(all, |known| PendingAll {
            // The one who waits least is served.
            reason: if all.reason.by() < known.reason.by() {
                all.reason
            } else {
                known.reason
            },
            since: known.since.min(all.since),
            attempt: known.attempt.max(all.attempt),
            not_before: known.not_before.min(all.not_before),
            overdue: known.overdue && all.overdue,
        }));
        if fresh && all.attempt == 0 && matches!(all.reason, AllReason::Rule | AllReason::Webhook) {
            self.touch(all.since.min(now));
        }
    }

    /// A change of the open batch was noticed.
    fn touch(&mut self, seen: Time) {
        let window = self.window.unwrap_or(Window {
            first: seen,
            last: seen,
        });
        self.window = Some(Window {
            first: window.first.min(seen),
            last: window.last.max(seen),
        });
    }

    /// A change waits for the nodes.
    fn hold(&mut self, seen: Time, seq: Seq) {
        let gate = self.gate.get_or_insert(Gate {
            since: seen,
            first: seq,
            last: seq,
        });
        gate.since = gate.since.min(seen);
        gate.first = gate.first.min(seq);
        gate.last = gate.last.max(seq);
    }

    fn insert_ready(&mut self, asset: Asset, kept: Kept) {
        self.ready.insert(Order::new(asset.clone(), kept));
        self.entries.insert(asset, kept);
    }

    fn remove(&mut self, asset: &Asset) -> Option<(Kept, bool)> {
        let (asset, kept) = self.entries.remove_entry(asset)?;
        let open = self.open.remove(&asset) || self.gated.remove(&asset);
        self.delayed.remove(&(kept.entry.not_before, asset.clone()));
        self.ready.remove(&Order::new(asset, kept));
        Some((kept, open))
    }

    /// When the open batch closes, if no further change comes.
    #[must_use]
    pub fn closes(&self, debounce: Duration, max_wait: Duration) -> Option<Time> {
        let window = self.window?;
        Some(
            window
                .last
                .after(debounce)
                .min(window.first.after(max_wait)),
        )
    }

    /// When the first change of the open batch was noticed.
    #[must_use]
    pub fn opened(&self) -> Option<Time> {
        self.window.map(|window| window.first)
    }

    /// Whether a batch is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.window.is_some() || !self.gated.is_empty()
    }

    /// What of the open batch waits for the nodes.
    #[must_use]
    pub fn gate(&self) -> Option<Gate> {
        self.gate.filter(|_| !self.gated.is_empty())
    }

    /// Closes the batch: its assets are ready, but for those that wait for the nodes, unless these have
    /// them.
    pub fn close(&mut self, agreed: bool) {
        self.window = None;
        self.batches += 1;
        let mut closed = std::mem::take(&mut self.open);
        if agreed {
            closed.append(&mut self.gated);
        }
        if self.gated.is_empty() {
            self.gate = None;
        }
        for asset in closed {
            if let Some(kept) = self.entries.get_mut(&asset) {
                kept.batch = self.batches;
                self.ready.insert(Order::new(asset, *kept));
            }
        }
    }

    /// The next end of a backoff.
    #[must_use]
    pub fn next_delayed(&self) -> Option<Time> {
        self.delayed.first().map(|(until, _)| *until)
    }

    /// Makes those ready whose backoff is over.
    pub fn wake(&mut self, now: Time) {
        while let Some((until, _)) = self.delayed.first() {
            if *until > now {
                break;
            }
            let Some((_, asset)) = self.delayed.pop_first() else {
                break;
            };
            if let Some(kept) = self.entries.get(&asset).copied() {
                self.insert_ready(asset, kept);
            }
        }
    }

    /// Ends every backoff: what waits for one is ready.
    pub fn end_backoffs(&mut self, now: Time) {
        if let Some(all) = &mut self.all {
            all.not_before = now.min(all.not_before);
        }
        for (_, asset) in std::mem::take(&mut self.delayed) {
            if let Some(mut entry) = self.entries.get(&asset).copied() {
                entry.entry.not_before = now;
                self.insert_ready(asset, entry);
            }
        }
    }

    /// Whether a manual purge is ready.
    #[must_use]
    pub fn manual_ready(&self) -> bool {
        self.ready.first().is_some_and(|order| !order.later)
            || self
                .all
                .is_some_and(|all| all.reason == AllReason::Manual && all.attempt == 0)
    }

    /// Takes up to `most` ready assets, in order.
    pub fn take(&mut self, most: usize) -> Vec<(Asset, Entry)> {
        let mut taken = Vec::new();
        while taken.len() < most {
            let Some(Order { asset, .. }) = self.ready.pop_first() else {
                break;
            };
            if let Some(kept) = self.entries.remove(&asset) {
                taken.push((asset, kept.entry));
            }
        }
        taken
    }

    /// Takes those of these assets that are queued, wherever in it they are.
    pub fn take_these<'a>(
        &mut self,
        assets: impl IntoIterator<Item = &'a Asset>,
    ) -> Vec<(Asset, Entry)> {
        let taken = assets
            .into_iter()
            .filter_map(|asset| Some((asset.clone(), self.remove(asset)?.0.entry)))
            .collect();
        if self.open.is_empty() && self.gated.is_empty() && self.all.is_none() {
            self.window = None;
        }
        taken
    }

    /// Takes everything for one `all`: returns when the first of it was noticed.
    pub fn take_all(&mut self) -> Option<Time> {
        let oldest = self.oldest();
        *self = Self {
            batches: self.batches,
            ..Self::default()
        };
        oldest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBOUNCE: Duration = Duration::from_millis(500);
    const MAX_WAIT: Duration = Duration::from_secs(10);

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn asset(name: &str) -> Asset {
        Asset::from_stored(name)
    }

    fn entry(seq: u64, seen: u64) -> Entry {
        Entry {
            seq: Seq(seq),
            first_seen: at(seen),
            attempt: 0,
            not_before: Time::ZERO,
            manual: false,
            queued: at(seen),
            rank: Rank::Part,
            overdue: false,
            gated: false,
        }
    }

    fn names(taken: &[(Asset, Entry)]) -> Vec<&str> {
        taken.iter().map(|(asset, _)| asset.as_str()).collect()
    }

    #[test]
    fn a_batch_closes_when_changes_calm_down_or_max_wait_after_the_first() {
        let mut queue = Queue::default();
        queue.add(asset("/a"), entry(1, 1_000), at(1_000));
        assert_eq!(queue.closes(DEBOUNCE, MAX_WAIT), Some(at(1_500)));
        queue.add(asset("/b"), entry(2, 1_400), at(1_400));
        assert_eq!(queue.closes(DEBOUNCE, MAX_WAIT), Some(at(1_900)));
        for step in 0..30 {
            let now = 1_400 + step * 400;
            queue.add(asset("/b"), entry(3 + step, now), at(now));
        }
        assert_eq!(queue.closes(DEBOUNCE, MAX_WAIT), Some(at(11_000)));
    }

    #[test]
    fn an_asset_that_changes_again_is_queued_once_with_its_last_change() {
        let mut queue = Queue::default();
        queue.add(asset("/a"), entry(1, 1_000), at(1_000));
        queue.add(asset("/a"), entry(2, 1_100), at(1_100));
        queue.close(true);
        queue.add(asset("/a"), entry(3, 1_900), at(1_900));
        assert_eq!(queue.len(), 1);
        let taken = queue.take(5);
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].1.seq, Seq(3));
        assert_eq!(taken[0].1.first_seen, at(1_000));
        assert!(queue.is_empty());
    }

    #[test]
    fn manual_ones_go_first_then_the_oldest() {
        let mut queue = Queue::default();
        queue.add(asset("/new"), entry(2, 2_000), at(2_000));
        queue.add(asset("/old"), entry(1, 1_000), at(2_000));
        let manual = Entry {
            manual: true,
            ..entry(3, 3_000)
        };
        queue.add(asset("/asked"), manual, at(3_000));
        assert!(
            queue.manual_ready(),
            "a person does not wait for a debounce"
        );
        queue.close(true);
        assert_eq!(names(&queue.take(5)), ["/asked", "/old", "/new"]);
    }

    #[test]
    fn a_batch_leaves_parts_first_then_pages_then_what_is_gone_and_before_the_next_batch() {
        let mut queue = Queue::default();
        let kinds = [
            ("/old.css", Kind::Gone),
            ("/", Kind::Changed),
            ("/a.html", Kind::New),
            ("/app.js?v=1", Kind::New),
            ("/a.css", Kind::Changed),
        ];
        for (seq, (name, kind)) in (1..).zip(kinds) {
            let rank = Rank::of(&asset(name), kind);
            queue.add(
                asset(name),
                Entry {
                    rank,
                    ..entry(seq, seq)
                },
                at(seq),
            );
        }
        queue.close(true);
        queue.add(asset("/next.css"), entry(9, 9), at(9));
        queue.close(true);
        assert_eq!(
            names(&queue.take(6)),
            [
                "/app.js?v=1",
                "/a.css",
                "/",
                "/a.html",
                "/old.css",
                "/next.css"
            ]
        );
    }

    #[test]
    fn what_came_to_nothing_waits_out_its_backoff() {
        let mut queue = Queue::default();
        let failed = Entry {
            attempt: 1,
            not_before: at(5_000),
            ..entry(1, 1_000)
        };
        queue.add(asset("/a"), failed, at(4_000));
        queue.wake(at(4_999));
        assert_eq!(queue.ready(), 0);
        assert_eq!(queue.next_delayed(), Some(at(5_000)));
        queue.wake(at(5_000));
        assert_eq!(names(&queue.take(1)), ["/a"]);
    }

    #[test]
    fn the_oldest_is_known_wherever_it_waits() {
        let mut queue = Queue::default();
        assert_eq!(queue.oldest(), None);
        queue.add(asset("/open"), entry(2, 2_000), at(2_000));
        assert_eq!(queue.oldest(), Some(at(2_000)));
        let failed = Entry {
            attempt: 1,
            not_before: at(9_000),
            ..entry(1, 1_000)
        };
        queue.add(asset("/delayed"), failed, at(2_000));
        assert_eq!(queue.oldest(), Some(at(1_000)));
        assert_eq!(queue.take_all(), Some(at(1_000)));
        assert!(queue.is_empty());
    }
}
