//! What the API's clock shows, as far as its answers say.
//!
//! Needed for one thing: to distinguish a purge request that was made after a change from one that was
//! made before it. Every answer was given between two moments of our clock, so each narrows how far
//! the API's clock can be ahead of ours. Both clocks drift, which widens it again.

use std::time::Duration;

use super::time::Time;

/// How far two clocks drift apart at most: one millisecond in so many.
const DRIFT: u64 = 5_000;

/// The API's clock is ahead of ours by at least and at most so many milliseconds, as of `at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ahead {
    least: i64,
    most: i64,
    at: Time,
}

impl Ahead {
    /// The same, later.
    fn at(self, now: Time) -> Self {
        let drift = signed(now.millis().saturating_sub(self.at.millis()) / DRIFT);
        Self {
            least: self.least.saturating_sub(drift),
            most: self.most.saturating_add(drift),
            at: self.at.max(now),
        }
    }
}

fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// What is known of the API's clock; nothing before its first answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApiTime(Option<Ahead>);

impl ApiTime {
    /// The API showed `shown`, cut down to whole `grain`s, at some moment from `sent` to `received`.
    pub fn observed(&mut self, sent: Time, received: Time, shown: Time, grain: Duration) {
        let grain = signed(u64::try_from(grain.as_millis()).unwrap_or(u64::MAX));
        let shown = signed(shown.millis());
        let seen = Ahead {
            least: shown.saturating_sub(signed(received.millis())),
            most: shown
                .saturating_add(grain)
                .saturating_sub(signed(sent.millis())),
            at: received,
        };
        let both = self.0.map(|known| {
            let known = known.at(received);
            Ahead {
                least: known.least.max(seen.least),
                most: known.most.min(seen.most),
                at: received,
            }
        });
        // What contradicts all before it means that a clock was set: only the new one counts.
        self.0 = Some(both.filter(|both| both.least <= both.most).unwrap_or(seen));
    }

    /// The latest that the API's clock can have shown at `at`; `None` while nothing is known.
    #[must_use]
    pub fn latest(&self, at: Time) -> Option<Time> {
        let most = self.0?.at(at).most;
        let latest = signed(at.millis()).saturating_add(most);
        Some(Time::from_millis(u64::try_from(latest).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MILLI: Duration = Duration::from_millis(1);

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn a_date_is_known_to_its_second_and_a_creation_to_its_way() {
        let mut clock = ApiTime::default();
        assert_eq!(clock.latest(at(0)), None);
        clock.observed(at(1_000), at(1_100), at(50_000), SECOND);
        assert_eq!(clock.latest(at(1_000)), Some(at(51_000)));
        clock.observed(at(1_000), at(1_100), at(50_300), MILLI);
        assert_eq!(clock.latest(at(1_100)), Some(at(50_401)));
    }

    #[test]
    fn a_clock_that_was_set_is_believed() {
        let mut clock = ApiTime::default();
        clock.observed(at(1_000), at(1_100), at(50_000), SECOND);
        clock.observed(at(2_000), at(2_100), at(10_000), SECOND);
        assert_eq!(clock.latest(at(2_000)), Some(at(11_000)));
    }

    proptest! {
        #[test]
        fn the_latest_is_never_too_early(
            ahead in 0_u64..10_000_000,
            calls in prop::collection::vec((0_u64..100_000, 0_u64..3_000, 0_u64..3_000, any::<bool>()), 1..30),
            wait in 0_u64..10_000_000,
        ) {
            let mut clock = ApiTime::default();
            let mut now = 0;
            for (pause, there, back, coarse) in calls {
                let sent = now + pause;
                let answered = sent + there;
                now = answered + back;
                let shown = answered + ahead;
                let (shown, grain) = if coarse { (shown / 1_000 * 1_000, SECOND) } else { (shown, MILLI) };
                clock.observed(at(sent), at(now), at(shown), grain);
                prop_assert!(clock.latest(at(now)).unwrap() >= at(now + ahead));
            }
            prop_assert!(clock.latest(at(now + wait)).unwrap() >= at(now + wait + ahead));
        }
    }
}
