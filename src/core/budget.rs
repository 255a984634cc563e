//! The rate at which the API may be called: a token bucket that starts empty.

use super::time::Time;

/// One call, in thousandths of a token: a rate of r calls a second adds r of these a millisecond,
/// so that the arithmetic is exact.
const CALL: u64 = 1_000;

/// A token bucket. It starts empty, so that restarts never add up to more than the rate.
#[derive(Clone, Debug)]
pub struct Budget {
    per_second: u64,
    capacity: u64,
    level: u64,
    filled: Time,
}

impl Budget {
    /// A bucket of `burst` calls that fills at `per_second`, empty at `now`. Both count as at
    /// least 1.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, now: Time) -> Self {
        Self {
            per_second: u64::from(per_second.max(1)),
            capacity: u64::from(burst.max(1)) * CALL,
            level: 0,
            filled: now,
        }
    }

    fn fill(&mut self, now: Time) {
        let millis = u64::try_from(now.since(self.filled).as_millis()).unwrap_or(u64::MAX);
        let gained = millis.saturating_mul(self.per_second);
        self.level = self.level.saturating_add(gained).min(self.capacity);
        self.filled = self.filled.max(now);
    }

    /// Takes one call, if there is one.
    pub fn take(&mut self, now: Time) -> bool {
        self.fill(now);
        if self.level < CALL {
            return false;
        }
        self.level -= CALL;
        true
    }

    /// The earliest time from `now` on at which [`Budget::take`] succeeds.
    #[must_use]
    pub fn next(&self, now: Time) -> Time {
        let mut bucket = self.clone();
        bucket.fill(now);
        let missing = CALL.saturating_sub(bucket.level);
        let millis = missing.div_ceil(self.per_second);
        now.max(self.filled)
            .after(std::time::Duration::from_millis(millis))
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
