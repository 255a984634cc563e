//! How fast a pipeline's backlog has drained in the last minutes, and how long it would still need.

use std::collections::VecDeque;
use std::time::Duration;

use crate::core::time::Time;

/// What happened longer ago does not count.
const MEMORY: Duration = Duration::from_mins(5);
/// The memory has pieces of this length.
const PIECE: Duration = Duration::from_secs(15);
/// Less time with a backlog than this says nothing.
const LEAST: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
struct Piece {
    began: Time,
    /// How long there was a backlog that could have been sent.
    busy: Duration,
    /// Assets that the API took.
    assets: usize,
}

/// The pace of a pipeline. Time without a backlog, or in which nothing may be sent, does not count:
/// it says nothing about how fast the API takes what it is sent.
#[derive(Clone, Debug, Default)]
pub(super) struct DrainRate(VecDeque<Piece>);

impl DrainRate {
    fn piece(&mut self, now: Time) -> &mut Piece {
        while self
            .0
            .front()
            .is_some_and(|piece| now.since(piece.began) > MEMORY)
        {
            self.0.pop_front();
        }
        let fresh = self
            .0
            .back()
            .is_none_or(|piece| now.since(piece.began) >= PIECE);
        if fresh {
            self.0.push_back(Piece {
                began: now,
                busy: Duration::ZERO,
                assets: 0,
            });
        }
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    /// There was a backlog for so long.
    pub(super) fn busy(&mut self, lasted: Duration, now: Time) {
        self.piece(now).busy += lasted.min(MEMORY);
    }

    /// The API took so many assets.
    pub(super) fn took(&mut self, assets: usize, now: Time) {
        self.piece(now).assets += assets;
    }

    /// How long a backlog of so many assets would need to drain; `None`: not known yet. Where
    /// nothing was taken at all, as if `least` had been.
    pub(super) fn drains_in(&self, backlog: usize, least: usize, now: Time) -> Option<Duration> {
        let recent = || {
            self.0
                .iter()
                .filter(|piece| now.since(piece.began) <= MEMORY)
        };
        let busy: Duration = recent().map(|piece| piece.busy).sum();
        if busy < LEAST {
            return None;
        }
        let assets: usize = recent().map(|piece| piece.assets).sum();
        let backlog = u32::try_from(backlog).unwrap_or(u32::MAX);
        let assets = u32::try_from(assets.max(least).max(1)).unwrap_or(u32::MAX);
        Some(busy.saturating_mul(backlog) / assets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    #[test]
    fn only_time_with_a_backlog_counts() {
        let mut drain_rate = DrainRate::default();
        drain_rate.took(5, at(0));
        assert_eq!(
            drain_rate.drains_in(1_000, 5, at(100)),
            None,
            "it was idle since"
        );
        for second in 100..120 {
            drain_rate.busy(Duration::from_secs(1), at(second));
            drain_rate.took(10, at(second));
        }
        let drains = drain_rate.drains_in(1_000, 5, at(120)).unwrap();
        assert_eq!(drains.as_secs(), 97, "20 s for 205 assets");
        assert_eq!(
            drain_rate.drains_in(1_000, 5, at(500)),
            None,
            "that was long ago"
        );
    }

    #[test]
    fn a_backlog_that_does_not_move_at_all_counts_as_one_request() {
        let mut drain_rate = DrainRate::default();
        for second in 0..60 {
            drain_rate.busy(Duration::from_secs(1), at(second));
        }
        let drains = drain_rate.drains_in(100, 5, at(60)).unwrap();
        assert_eq!(drains.as_secs(), 1_200);
    }
}
