//! How far a clock is from that of the database, which all nodes go by. Only what is shown depends on it.

use std::time::Duration;

use super::time::Time;

/// So far apart clocks may be.
pub const APART: Duration = Duration::from_secs(5);
/// An answer that took longer says too little of the time when it was made.
const SLOW: Duration = Duration::from_secs(1);

/// The time on the database's machine, which came in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The time.
    pub time: Time,
    /// How long the answer took.
    pub took: Duration,
}

impl Reading {
    /// The time there when the answer was here.
    #[must_use]
    pub fn now(&self) -> Time {
        self.time.after(self.took / 2)
    }

    /// How a clock that showed this time when the answer was here is wrong, in words: `60 min behind`; `None`:
    /// it is right, as far as can be said.
    #[must_use]
    pub fn wrong(&self, shown: Time) -> Option<String> {
        let (ahead, behind) = (shown.since(self.now()), self.now().since(shown));
        let apart = ahead.max(behind);
        let word = if ahead > behind { "ahead" } else { "behind" };
        // Rounded, so that it is the same at each beat.
        let said = match apart.as_secs() {
            seconds @ ..120 => format!("{seconds} s {word}"),
            seconds => format!("{} min {word}", (seconds + 30) / 60),
        };
        (self.took <= SLOW && apart > APART).then_some(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_clock_that_is_more_than_five_seconds_apart_is_wrong() {
        let reading = Reading {
            time: at(10_000),
            took: Duration::from_millis(200),
        };
        assert_eq!(reading.now(), Time::from_millis(10_000_100));
        assert_eq!(reading.wrong(at(10_005)), None);
        assert_eq!(reading.wrong(at(9_996)), None);
        assert_eq!(reading.wrong(at(13_601)).as_deref(), Some("60 min ahead"));
        assert_eq!(reading.wrong(at(6_400)).as_deref(), Some("60 min behind"));
        let slow = Reading {
            took: Duration::from_secs(4),
            ..reading
        };
        assert_eq!(slow.wrong(at(6_400)), None, "it may have waited anywhere");
    }
}
