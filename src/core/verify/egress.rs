//! The budget of bytes that may be fetched through an edge, since the edge bills them.
//!
//! A bucket holds half of an hour's bytes and fills with the other half in an hour, so that no hour costs
//! more than the limit. Bytes of a piece beyond the budget become a debt. An asset that meets an empty
//! bucket is unverified; what the bucket earns later pays for a sample.

use crate::core::time::Time;

/// Milliseconds in which a full hour's half is earned, twice: the unit of the level.
const UNITS: i128 = 7_200_000;

/// A budget of bytes an hour: a bucket of half of it, which fills with the other half in an hour.
/// So no hour ever costs more than all of it, and once the bucket is empty, what it earns pays for
/// a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Egress {
    per_hour: u64,
    /// In bytes / [`UNITS`]; below zero when more came than was left.
    level: i128,
    at: Time,
}

impl Egress {
    /// A full one.
    #[must_use]
    pub fn new(per_hour: u64, now: Time) -> Self {
        let mut full = Self {
            per_hour,
            level: 0,
            at: now,
        };
        full.level = full.most();
        full
    }

    /// One that goes on with what was left of it. A clock that was set back earns nothing.
    #[must_use]
    pub fn restored(per_hour: u64, left: i64, at: Time, now: Time) -> Self {
        let mut restored = Self {
            per_hour,
            level: i128::from(left).saturating_mul(UNITS),
            at: at.min(now),
        };
        restored.level = restored.level.min(restored.most());
        restored.earn(now);
        restored
    }

    fn most(&self) -> i128 {
        i128::from(self.per_hour) * (UNITS / 2)
    }

    fn earn(&mut self, now: Time) {
        let earned = i128::from(self.per_hour)
            .saturating_mul(i128::try_from(now.since(self.at).as_millis()).unwrap_or(i128::MAX));
        self.level = self.level.saturating_add(earned).min(self.most());
        self.at = self.at.max(now);
    }

    /// How many bytes may be read now; below zero when more came than was left.
    #[must_use]
    pub fn left(&mut self, now: Time) -> i64 {
        self.earn(now);
        i64::try_from(self.level.div_euclid(UNITS)).unwrap_or(0)
    }

    /// Takes so many bytes, or what is left; how many.
    pub fn take(&mut self, bytes: u64, now: Time) -> u64 {
        let taken = bytes.min(u64::try_from(self.left(now)).unwrap_or(0));
        self.owe(taken);
        taken
    }

    /// More came than was taken: that is owed.
    pub fn owe(&mut self, bytes: u64) {
        let bytes = i128::from(bytes).saturating_mul(UNITS);
        self.level = self.level.saturating_sub(bytes);
    }

    /// Gives back what was taken and did not come.
    pub fn give_back(&mut self, bytes: u64) {
        let bytes = i128::from(bytes).saturating_mul(UNITS);
        self.level = self.level.saturating_add(bytes).min(self.most());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_hour_costs_more_than_the_budget(
            per_hour in 1_000_u64..1_000_000,
            steps in proptest::collection::vec((0_u64..600_000, 1_u64..500_000, any::<bool>()), 1..80),
        ) {
            let mut now = Time::from_millis(50_000);
            let mut egress = Egress::new(per_hour, now);
            let mut spent: Vec<(Time, u64)> = Vec::new();
            for (pause, wanted, restarts) in steps {
                now = Time::from_millis(now.millis() + pause);
                if restarts {
                    let left = egress.left(now);
                    egress = Egress::restored(per_hour, left, now, now);
                }
                let taken = egress.take(wanted, now);
                let bytes = taken - taken / 3;
                egress.give_back(taken - bytes);
                spent.push((now, bytes));
                let hour = spent.iter().filter(|(at, _)| now.since(*at).as_secs() < 3_600);
                let sum: u64 = hour.map(|(_, bytes)| bytes).sum();
                prop_assert!(sum <= per_hour, "{sum} of {per_hour}");
            }
        }
    }

    #[test]
    fn an_empty_bucket_earns_a_sample() {
        let at = Time::from_millis;
        let mut egress = Egress::new(2_000, at(0));
        assert_eq!(egress.take(1_200, at(0)), 1_000);
        assert_eq!(egress.left(at(0)), 0);
        assert_eq!(egress.left(at(1_800_000)), 500);
        assert_eq!(egress.left(at(90_000_000)), 1_000);
        egress.owe(1_500);
        assert_eq!(
            egress.left(at(90_000_000)),
            -500,
            "what came too much is owed"
        );
    }

    #[test]
    fn a_clock_that_was_set_back_earns_nothing() {
        let at = Time::from_millis;
        let mut egress = Egress::restored(2_000, 7, at(9_000_000), at(1_000));
        assert_eq!(egress.left(at(1_000)), 7);
    }
}
