//! The only reader of clocks.

use crate::core::time::Time;

/// Tells the time: the wall clock as it was at the start, carried on by the monotonic clock. It
/// never goes backwards while the process runs, and a step of the wall clock does not move it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall_at_start: Time,
    started: tokio::time::Instant,
}

impl Clock {
    /// Starts a clock from the wall clock. A wall clock before 1970 counts as 1970.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads clocks"
    )]
    pub fn start() -> Self {
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            wall_at_start: Time::ZERO.after(wall),
            started: tokio::time::Instant::now(),
        }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.wall_at_start.after(self.started.elapsed())
    }

    /// The instant to sleep until for a time of this clock.
    #[must_use]
    pub fn instant(&self, time: Time) -> tokio::time::Instant {
        self.started + time.since(self.wall_at_start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_with_the_monotonic_clock() {
        let clock = Clock::start();
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(clock.now().since(before), Duration::from_secs(3));
        let later = before.after(Duration::from_secs(10));
        assert_eq!(
            clock.instant(later) - clock.instant(before),
            Duration::from_secs(10)
        );
    }
}
