//! What becomes of a batch that the API refuses for good: it is halved, and the halves are sent on
//! their own, down to single assets. If both halves of one pass, it was too large; else the asset
//! that is refused alone is the bad one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::core::asset::Asset;

/// Half of a refused batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) assets: BTreeSet<Asset>,
    /// Which refused batch it is half of.
    pub(super) trial: u64,
}

/// A refused batch of which not all is known.
#[derive(Clone, Copy, Debug)]
struct Trial {
    passed: u8,
    /// The size of the largest half that passed.
    largest: usize,
}

/// The halves that wait. As many as assets were refused, at most.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    waiting: VecDeque<Part>,
    trials: BTreeMap<u64, Trial>,
    last: u64,
}

impl Parts {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Halves a refused batch.
    pub(super) fn halve(&mut self, assets: BTreeSet<Asset>) {
        self.last += 1;
        let trial = self.last;
        let fresh = Trial {
            passed: 0,
            largest: 0,
        };
        self.trials.insert(trial, fresh);
        let larger = assets.len().div_ceil(2);
        let mut assets = assets.into_iter();
        let first = assets.by_ref().take(larger).collect();
        for assets in [first, assets.collect()] {
            self.waiting.push_back(Part { assets, trial });
        }
    }

    /// A half that was not judged is sent again.
    pub(super) fn again(&mut self, part: Part) {
        self.waiting.push_front(part);
    }

    pub(super) fn next(&mut self) -> Option<Part> {
        self.waiting.pop_front()
    }

    /// Forgets halves of which nothing is queued any more; their batches teach nothing.
    pub(super) fn prune(&mut self, queued: impl Fn(&Asset) -> bool) {
        let trials = &mut self.trials;
        self.waiting.retain(|part| {
            let wanted = part.assets.iter().any(&queued);
            if !wanted {
                trials.remove(&part.trial);
            }
            wanted
        });
    }

    /// A half of so many assets passed: returns the size of the largest half if both did.
    pub(super) fn passed(&mut self, trial: u64, size: usize) -> Option<usize> {
        let known = self.trials.get_mut(&trial)?;
        known.passed += 1;
        known.largest = known.largest.max(size);
        if known.passed < 2 {
            return None;
        }
        self.trials.remove(&trial).map(|trial| trial.largest)
    }

    /// A half was refused as well: the batch was not only too large.
    pub(super) fn refused(&mut self, trial: u64) {
        self.trials.remove(&trial);
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.trials.clear();
    }
}
