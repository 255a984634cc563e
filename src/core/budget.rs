//! The rate of calls to the API: a token bucket that starts empty, and whose rate is learned.
//!
//! A 429 halves the rate, once for all calls that it refused together, down to one call in two seconds.
//! Without a 429 the rate grows by a hundredth of the configured rate every five seconds, up to the
//! configured rate. So the rate stays near a limit that is not documented. The burst shrinks with the
//! rate. The store keeps the learned rate (table `learned`); only time raises it again.
//!
//! A quarter of the burst is reserved for submitting requests. While requests wait to be sent, one status
//! call follows every 25 of them, or every eighth where 25 take longer than three seconds
//! (`core/planner/dispatch.rs`). At `max_in_flight`, status calls may use the reserve too: only they make
//! room.

use std::time::Duration;

use super::time::Time;

/// One call, in millionths: a rate of r thousandths of a call a second adds r of these a
/// millisecond, so that the arithmetic is exact.
const CALL: u64 = 1_000_000;
/// The rate never falls below one call in two seconds: slower, it would take hours to notice that
/// the API has recovered.
const FLOOR: u64 = 500;
/// How often a learned rate grows,
const GROWTH_EVERY: Duration = Duration::from_secs(5);
/// and by which part of the configured rate.
const GROWTH_PART: u64 = 100;
/// Which part of the burst is kept for submitting while only polls are due.
const RESERVE_PART: u64 = 4;

/// A token bucket. It starts empty, so that restarts never add up to more than the rate.
#[derive(Clone, Debug)]
pub struct Budget {
    /// The configured rate, in thousandths of a call a second.
    ceiling: u64,
    /// The learned one.
    rate: u64,
    /// Since when it grows.
    grown: Time,
    /// When it was last the configured one.
    limited: Time,
    burst: u64,
    level: u64,
    filled: Time,
}

impl Budget {
    /// A bucket of `burst` calls that fills at `per_second`, empty at `now`. Both count as at
    /// least 1.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, now: Time) -> Self {
        let ceiling = u64::from(per_second.max(1)) * 1_000;
        Self {
            ceiling,
            rate: ceiling,
            grown: now,
            limited: now,
            burst: u64::from(burst.max(1)) * CALL,
            level: 0,
            filled: now,
        }
    }

    /// Goes on with a rate that was learned at `learned`, perhaps by another process: it has grown
    /// since.
    pub fn remember(&mut self, rate: u64, learned: Time, now: Time) {
        self.rate = rate.clamp(self.floor(), self.ceiling);
        self.grown = learned.min(now);
        self.limited = self.grown;
        self.grow(now);
    }

    /// The rate now, in thousandths of a call a second.
    #[must_use]
    pub const fn rate(&self) -> u64 {
        self.rate
    }

    /// What it has grown to at `now`.
    #[must_use]
    pub fn rate_at(&self, now: Time) -> u64 {
        let mut bucket = self.clone();
        bucket.grow(now);
        bucket.rate
    }

    /// Since when the rate is lower than the configured one; `None`: it is not.
    #[must_use]
    pub fn limited_since(&self, now: Time) -> Option<Time> {
        (self.rate_at(now) < self.ceiling).then_some(self.limited)
    }

    fn floor(&self) -> u64 {
        FLOOR.min(self.ceiling)
    }

    /// Halves the rate: the API said that it is too much.
    pub fn limited(&mut self, now: Time) {
        self.fill(now);
        if self.rate == self.ceiling {
            self.limited = now;
        }
        self.rate = (self.rate / 2).max(self.floor());
        self.grown = now;
        self.level = self.level.min(self.capacity());
    }

    /// As many calls at once as the rate is worth: half the rate, half the burst; never less than
    /// one.
    fn capacity(&self) -> u64 {
        let share = u128::from(self.burst) * u128::from(self.rate) / u128::from(self.ceiling);
        u64::try_from(share).unwrap_or(u64::MAX).max(CALL)
    }

    fn grow(&mut self, now: Time) {
        let steps = now.since(self.grown).as_millis() / GROWTH_EVERY.as_millis();
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        if steps == 0 {
            return;
        }
        let step = (self.ceiling / GROWTH_PART).max(1);
        self.rate = self
            .rate
            .saturating_add(steps.saturating_mul(step))
            .min(self.ceiling);
        let grown = u32::try_from(steps).unwrap_or(u32::MAX);
        self.grown = self
            .grown
            .after(GROWTH_EVERY.saturating_mul(grown))
            .min(now);
    }

    fn fill(&mut self, now: Time) {
        let millis = u64::try_from(now.since(self.filled).as_millis()).unwrap_or(u64::MAX);
        let gained = millis.saturating_mul(self.rate);
        self.level = self.level.saturating_add(gained).min(self.capacity());
        self.filled = self.filled.max(now);
        self.grow(now);
    }

    /// What stays for submitting while only polls are due.
    fn reserve(&self) -> u64 {
        self.capacity() / RESERVE_PART / CALL * CALL
    }

    /// Takes one call, if there is one.
    pub fn take(&mut self, now: Time) -> bool {
        self.take_above(0, now)
    }

    /// Takes one call, if there is one beside the reserve.
    pub fn take_sparing(&mut self, now: Time) -> bool {
        self.take_above(self.reserve(), now)
    }

    fn take_above(&mut self, spared: u64, now: Time) -> bool {
        self.fill(now);
        if self.level < CALL + spared {
            return false;
        }
        self.level -= CALL;
        true
    }

    /// The earliest time from `now` on at which [`Budget::take`] succeeds.
    #[must_use]
    pub fn next(&self, now: Time) -> Time {
        self.next_above(|_| 0, now)
    }

    /// The earliest time from `now` on at which [`Budget::take_sparing`] succeeds.
    #[must_use]
    pub fn next_sparing(&self, now: Time) -> Time {
        self.next_above(Self::reserve, now)
    }

    fn next_above(&self, spared: fn(&Self) -> u64, now: Time) -> Time {
        let mut bucket = self.clone();
        bucket.fill(now);
        let missing = (CALL + spared(&bucket)).saturating_sub(bucket.level);
        // At the rate that fills it until then; it may have grown by now, for what comes after.
        let millis = missing.div_ceil(self.rate);
        now.max(self.filled).after(Duration::from_millis(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_starts_empty_and_fills_to_the_burst() {
        let start = Time::from_millis(1_000);
        let mut budget = Budget::new(10, 3, start);
        assert!(!budget.take(start));
        assert_eq!(budget.next(start), Time::from_millis(1_100));
        let later = Time::from_millis(60_000);
        assert_eq!((0..9).filter(|_| budget.take(later)).count(), 3);
    }

    #[test]
    fn a_refusal_halves_the_rate_down_to_the_floor_and_it_grows_back_slowly() {
        let at = |seconds: u64| Time::from_millis(seconds * 1_000);
        let mut budget = Budget::new(10, 20, Time::ZERO);
        assert_eq!(budget.rate(), 10_000);
        budget.limited(at(1));
        assert_eq!(budget.rate(), 5_000);
        // Half the rate, half the burst.
        assert_eq!((0..30).filter(|_| budget.take(at(6))).count(), 10);
        assert_eq!(
            budget.rate(),
            5_100,
            "a hundredth of the configured rate in 5 s"
        );
        for _ in 0..20 {
            budget.limited(at(10));
        }
        assert_eq!(budget.rate(), 500);
        assert!(!budget.take(at(300)) || budget.rate() < 10_000);
        budget.take(at(600));
        assert_eq!(budget.rate(), 10_000, "and never above what is configured");
        let mut slow = Budget::new(1, 1, Time::ZERO);
        slow.limited(at(1));
        slow.limited(at(1));
        assert_eq!(slow.rate(), 500);
    }

    #[test]
    fn a_learned_rate_goes_on_after_a_restart_and_a_clock_set_back_does_not_freeze_it() {
        let at = |seconds: u64| Time::from_millis(seconds * 1_000);
        let mut budget = Budget::new(10, 20, at(100));
        budget.remember(2_000, at(90), at(100));
        assert_eq!(budget.rate(), 2_200);
        budget.remember(2_000, at(9_000), at(100));
        budget.take(at(105));
        assert_eq!(budget.rate(), 2_100);
        budget.remember(99_000, at(90), at(100));
        assert_eq!(budget.rate(), 10_000, "the configuration was lowered");
    }

    #[test]
    fn polls_leave_a_reserve_to_those_who_submit() {
        let mut budget = Budget::new(10, 20, Time::ZERO);
        let later = Time::from_millis(60_000);
        assert_eq!((0..30).filter(|_| budget.take_sparing(later)).count(), 15);
        let next = budget.next_sparing(later);
        assert_eq!(next.since(later).as_millis(), 100);
        assert_eq!((0..30).filter(|_| budget.take(later)).count(), 5);
        let mut single = Budget::new(10, 1, Time::ZERO);
        assert!(
            single.take_sparing(later),
            "a burst of one has nothing to spare"
        );
    }

    proptest! {
        #[test]
        fn no_window_ever_sees_more_than_burst_and_rate(
            per_second in 1_u32..50, burst in 1_u32..20, steps in prop::collection::vec(0_u64..400, 1..200),
        ) {
            let mut now = Time::ZERO;
            let mut budget = Budget::new(per_second, burst, now);
            let mut taken: Vec<u64> = Vec::new();
            for step in steps {
                now = Time::from_millis(now.millis() + step);
                while budget.take(now) {
                    taken.push(now.millis());
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, until) in taken.iter().enumerate().skip(first) {
                    let calls = u64::try_from(last - first + 1).unwrap();
                    let allowed = u64::from(burst) * 1_000 + (until - from) * u64::from(per_second);
                    prop_assert!(calls * 1_000 <= allowed);
                }
            }
        }

        #[test]
        fn no_refusal_makes_it_faster(
            per_second in 1_u32..50, burst in 1_u32..20, steps in prop::collection::vec((0_u64..4_000, any::<bool>()), 1..100),
        ) {
            let mut now = Time::ZERO;
            let mut budget = Budget::new(per_second, burst, now);
            let mut taken: Vec<u64> = Vec::new();
            for (step, refused) in steps {
                now = Time::from_millis(now.millis() + step);
                if refused {
                    budget.limited(now);
                }
                let next = budget.next(now);
                prop_assert!(budget.clone().take(next));
                while budget.take(now) {
                    taken.push(now.millis());
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, until) in taken.iter().enumerate().skip(first) {
                    let calls = u64::try_from(last - first + 1).unwrap();
                    let allowed = u64::from(burst) * 1_000 + (until - from) * u64::from(per_second);
                    prop_assert!(calls * 1_000 <= allowed);
                }
            }
        }

        #[test]
        fn next_is_the_first_moment_that_works(per_second in 1_u32..2_000, wait in 0_u64..5_000) {
            let mut budget = Budget::new(per_second, 1, Time::ZERO);
            let now = Time::from_millis(wait);
            let next = budget.next(now);
            if next > now {
                prop_assert!(!budget.clone().take(Time::from_millis(next.millis() - 1)));
            }
            prop_assert!(budget.take(next));
        }
    }
}
