//! The only reader of clocks.

use std::time::Duration;

use crate::core::time::Time;

/// How much less than a millisecond may have passed when the clock shows one.
const ROUNDED: Duration = Duration::from_nanos(999_999);

/// The time: the wall clock as it was at the start, of this machine or of that of the database, carried on by the
/// monotonic clock. It never goes backwards while the process runs, and a step of the wall clock does not move it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall_at_start: Time,
    started: tokio::time::Instant,
}

impl Clock {
    /// Starts a clock from the wall clock.
    #[must_use]
    pub fn start() -> Self {
        Self::showing(Self::wall())
    }

    /// Starts a clock that shows this time now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads clocks"
    )]
    pub fn showing(time: Time) -> Self {
        Self {
            wall_at_start: time,
            started: tokio::time::Instant::now(),
        }
    }

    /// The wall clock of this machine. Before 1970 it counts as 1970.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads clocks"
    )]
    pub fn wall() -> Time {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Time::ZERO.after(wall.unwrap_or_default())
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.wall_at_start.after(self.started.elapsed())
    }

    /// How long the machine has run: it goes on while the machine is suspended, as the time on other
    /// machines does.
    #[must_use]
    pub fn since_boot() -> Time {
        let read = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Time::ZERO.after(read.try_into().unwrap_or_default())
    }

    /// For how long it runs, to the nanosecond: to take the time of what is short.
    #[must_use]
    pub fn running(&self) -> Duration {
        self.started.elapsed()
    }

    /// The instant to sleep until for a time of this clock: the first at which it shows that time, since
    /// it rounds up.
    #[must_use]
    pub fn instant(&self, time: Time) -> tokio::time::Instant {
        let exactly = time.since(self.wall_at_start);
        self.started + exactly.saturating_sub(ROUNDED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_with_the_monotonic_clock() {
        let clock = Clock::start();
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(clock.now().since(before), Duration::from_secs(3));
        let before = clock.now();
        let later = before.after(Duration::from_secs(10));
        assert_eq!(
            clock.instant(later) - clock.instant(before),
            Duration::from_secs(10)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_sleeps_until_a_time_is_shown_it() {
        let clock = Clock::start();
        let passed = Duration::from_micros(12_345);
        tokio::time::advance(passed).await;
        let later = clock.now().after(Duration::from_millis(7));
        let early = clock.instant(later) - Duration::from_nanos(1);
        let until = early.duration_since(clock.started);
        tokio::time::advance(until.saturating_sub(passed)).await;
        assert!(clock.now() < later);
        tokio::time::advance(Duration::from_nanos(1)).await;
        assert_eq!(clock.now(), later);
    }
}
