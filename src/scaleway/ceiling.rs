//! The hard ceiling of calls per second. It is the last guard in front of the network: it knows
//! nothing of what is sent, and holds whatever the planner thinks.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::clock::Clock;
use crate::core::time::Time;

/// The crate's clock, as the limiter reads it.
#[derive(Clone, Debug)]
struct Ticks(Clock);

impl governor::clock::Clock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.now().since(Time::ZERO).into()
    }
}

/// So many calls per second, and so many at once.
pub(super) struct Ceiling {
    limiter: RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Nanos>>,
    ticks: Ticks,
}

impl Ceiling {
    /// Starts with an empty bucket, so that a process that is started again and again does not get
    /// a new burst each time.
    pub(super) fn new(per_second: NonZeroU32, burst: NonZeroU32, clock: Clock) -> Self {
        let ticks = Ticks(clock);
        let limiter = RateLimiter::direct_with_clock(
            Quota::per_second(per_second).allow_burst(burst),
            ticks.clone(),
        );
        // A full bucket holds exactly one burst, so taking it cannot fail.
        drop(limiter.check_n(burst));
        Self { limiter, ticks }
    }

    /// Waits until one more call fits.
    pub(super) async fn ready(&self) {
        while let Err(not_yet) = self.limiter.check() {
            let wait = not_yet.wait_time_from(self.ticks.now());
            // The clock has whole milliseconds: a shorter sleep would only spin.
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_second(calls: u32, burst: u32) -> (Ceiling, Clock) {
        let clock = Clock::start();
        let limit = |n| NonZeroU32::new(n).unwrap();
        (Ceiling::new(limit(calls), limit(burst), clock), clock)
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_held_from_the_first_call_on() {
        let (ceiling, clock) = per_second(10, 5);
        let start = clock.now();
        for _ in 0..20 {
            ceiling.ready().await;
        }
        let took = clock.now().since(start);
        assert!(took >= Duration::from_millis(1_990), "{took:?}");
        assert!(took <= Duration::from_millis(2_050), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_rest_one_burst_goes_at_once_and_no_more() {
        let (ceiling, clock) = per_second(10, 5);
        tokio::time::advance(Duration::from_mins(1)).await;
        let start = clock.now();
        for _ in 0..5 {
            ceiling.ready().await;
        }
        assert_eq!(clock.now(), start);
        ceiling.ready().await;
        assert!(clock.now().since(start) >= Duration::from_millis(95));
    }
}
