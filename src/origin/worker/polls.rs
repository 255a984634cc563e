//! Polls of the directories that are not watched, where the rest is: one directory at a time, with all
//! below it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::core::time::Time;
use crate::origin::settings::POLL;

/// The polls of an origin.
#[derive(Debug, Default)]
pub(super) struct Polls {
    /// When the next one begins; while one runs, when it began.
    due: Time,
    /// The directories that it has not come to.
    left: VecDeque<Vec<u8>>,
}

impl Polls {
    pub(super) const fn due(&self) -> Time {
        self.due
    }

    /// Whether a poll is in the middle.
    pub(super) fn is_running(&self) -> bool {
        !self.left.is_empty()
    }

    /// Something else looks at all of them.
    pub(super) fn give_up(&mut self) {
        self.left.clear();
    }

    /// A poll of these directories begins.
    pub(super) fn begin(&mut self, tops: Vec<Vec<u8>>, now: Time) {
        self.left = tops.into();
        self.due = now;
    }

    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        self.left.pop_front()
    }

    /// A poll came to the last directory: the next one waits ten times as long as it took, within
    /// bounds.
    pub(super) fn end(&mut self, longest: Duration, now: Time) {
        let wait = POLL.max(now.since(self.due).saturating_mul(10));
        self.due = now.after(wait.min(longest));
    }

    /// A scan came to all of them.
    pub(super) fn scanned(&mut self, now: Time) {
        self.due = now.after(POLL);
    }
}
