//! The room in the queue of a pipeline that may not be purged as a whole (`all_above = "never"`): at
//! 100,000 assets, the queue takes no more.
//!
//! A caller that would queue another asset is refused at `intake/admission.rs` and comes again:
//!
//! - the commit of a look is tried again every second; its files stay unindexed, and the index remembers
//!   so that they are to be purged;
//! - a webhook is answered `503`;
//! - a manual purge ends with exit code 75.
//!
//! A purge of everything needs no room, and makes some. The alarm `queue_full` lasts until assets have
//! left. Delayed deliveries, repeated purges and `retry` are queued all the same: they were promised
//! before.
//!
//! Only the planner knows how many assets are queued, and it knows a moment after the commit. A change
//! that is committed and not counted yet takes as much room as one more asset; the last commit may exceed
//! the cap. After a start, no caller is let in until the planner has counted what was queued before. On a node
//! that does not lead, a queue is full when the leader has said so (`jobs/full.rs`).

use std::collections::{BTreeMap, VecDeque};

use super::change::{PipelineId, Seq};

/// How much is queued, as the planner counts it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// The last change that is counted.
    pub through: Seq,
    /// The assets of each pipeline that has a cap.
    pub assets: BTreeMap<PipelineId, usize>,
}

/// The room of one pipeline.
#[derive(Clone, Debug)]
pub struct Capacity {
    cap: usize,
    queued: usize,
    through: Seq,
    /// Changes that are being committed.
    coming: usize,
    /// Changes that are committed and not counted yet, by the last of each commit.
    committed: VecDeque<(Seq, usize)>,
}

impl Capacity {
    /// A queue of which nothing is known yet.
    #[must_use]
    pub const fn new(cap: usize) -> Self {
        Self {
            cap,
            queued: 0,
            through: Seq(0),
            coming: 0,
            committed: VecDeque::new(),
        }
    }

    /// The planner's count of its queue.
    pub fn counted(&mut self, queued: usize, through: Seq) {
        self.queued = queued;
        self.through = self.through.max(through);
        let through = self.through;
        self.committed.retain(|(last, _)| *last > through);
    }

    /// Whether nothing more is taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let on_their_way: usize = self.committed.iter().map(|(_, changes)| changes).sum();
        self.queued + on_their_way + self.coming >= self.cap
    }

    /// Takes room for changes, if there is any: the last ones may go beyond the cap, so that no
    /// commit is too large for an empty queue. `false`: it is full.
    pub fn take(&mut self, changes: usize) -> bool {
        if self.is_full() {
            return false;
        }
        self.coming += changes;
        true
    }

    /// They are committed, up to `last`; `None`: nothing of them was.
    pub fn taken(&mut self, changes: usize, last: Option<Seq>) {
        self.coming = self.coming.saturating_sub(changes);
        if let Some(last) = last
            && last > self.through
            && changes > 0
        {
            self.committed.push_back((last, changes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_its_way_counts_until_the_planner_has_counted_it() {
        let mut room = Capacity::new(10);
        assert!(room.take(6));
        room.taken(6, Some(Seq(6)));
        assert!(room.take(3));
        assert!(room.take(3), "the last ones may go beyond the cap");
        assert!(!room.take(1));
        room.taken(3, Some(Seq(9)));
        room.taken(3, None);
        assert!(room.take(1), "what was not committed takes no room");
        room.taken(1, Some(Seq(10)));
        assert!(!room.take(1));
        // Four of the six were the same asset.
        room.counted(3, Seq(6));
        assert!(room.take(3));
        room.taken(3, Some(Seq(13)));
        room.counted(10, Seq(13));
        assert!(!room.take(1));
        room.counted(9, Seq(13));
        assert!(room.take(100));
    }

    #[test]
    fn a_commit_that_was_counted_before_it_was_told_is_not_counted_twice() {
        let mut room = Capacity::new(2);
        assert!(room.take(1));
        room.counted(1, Seq(1));
        room.taken(1, Some(Seq(1)));
        assert!(room.take(1));
    }
}
