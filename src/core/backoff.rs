//! How long to wait before trying again.

use std::time::Duration;

/// Exponential backoff with jitter: the n-th wait lies between half of `first · 2ⁿ⁻¹` and the whole
/// of it, and never above `cap`. It never ends: nothing is given up because of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
}

impl Backoff {
    /// The waits between attempts at what the API refused for now: 1 s, doubling, at most 5 min.
    pub const API: Self = Self {
        first: Duration::from_secs(1),
        cap: Duration::from_mins(5),
    };

    /// The waits between attempts of a background job: 5 s, doubling, at most a minute.
    pub const JOB: Self = Self {
        first: Duration::from_secs(5),
        cap: Duration::from_mins(1),
    };

    /// Waits of `first`, doubling, at most `cap`.
    #[must_use]
    pub const fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap }
    }

    /// The longest wait.
    #[must_use]
    pub const fn cap(self) -> Duration {
        self.cap
    }

    /// The wait after `failures` failures in a row (at least one is assumed), jittered by `rng`.
    #[must_use]
    pub fn wait(self, failures: u32, rng: &mut fastrand::Rng) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let whole = self.first.saturating_mul(1 << doublings).min(self.cap);
        let half = whole / 2;
        let spread = u64::try_from(half.as_millis()).unwrap_or(u64::MAX - 1);
        half + Duration::from_millis(rng.u64(0..=spread))
    }

    /// A wait that the API asked for, within this backoff's limits.
    #[must_use]
    pub fn clamp(self, asked: Duration) -> Duration {
        asked.clamp(self.first, self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn waits_grow_to_the_cap_and_stay_within_half_and_whole(failures in 0_u32.., seed: u64) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let wait = Backoff::API.wait(failures, &mut rng);
            let whole = 2_f64.powi(i32::try_from(failures.clamp(1, 30) - 1).unwrap()).min(300.0);
            prop_assert!(wait.as_secs_f64() >= whole / 2.0 - 0.001);
            prop_assert!(wait.as_secs_f64() <= whole);
        }
    }

    #[test]
    fn what_the_api_asks_for_is_honoured_within_limits() {
        let clamp = |seconds| Backoff::API.clamp(Duration::from_secs(seconds)).as_secs();
        assert_eq!([clamp(0), clamp(7), clamp(100_000)], [1, 7, 300]);
    }
}
