//! Rounds of hints: when the next one is due, and whether hints come in faster than they are followed.

use std::time::Duration;

use crate::core::time::Time;

/// The shortest time between two rounds of hints, unless they are full.
pub(super) const ROUND: Duration = Duration::from_millis(20);
/// Hints that come in faster than they are followed hold a batch open for so long at most.
const HOLD: Duration = Duration::from_secs(30);

/// When hints are followed.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// No round before this.
    next: Time,
    /// Since when hints come in faster than they are followed.
    behind: Option<Time>,
    /// The batch is held open.
    holding: bool,
}

impl Rounds {
    /// No round is made before this.
    pub(super) const fn next(&self) -> Time {
        self.next
    }

    /// A round took all that was due: a stream of events is taken in rounds that are worth a
    /// transaction.
    pub(super) fn ended(&mut self, now: Time) {
        self.next = now.after(ROUND);
    }

    /// While hints come in faster than they are followed, more of the same deploy is to come: its
    /// batch is held open, though not for ever. `scan_waits`: so many hints that they became a scan
    /// hold the batch too; once it runs, it does so itself. Returns a new state.
    pub(super) fn hold(&mut self, behind: bool, scan_waits: bool, now: Time) -> Option<bool> {
        let behind = behind || (self.holding && scan_waits);
        let since = behind.then(|| self.behind.unwrap_or(now));
        let hold = since.is_some_and(|since| now.since(since) < HOLD);
        self.behind = since;
        let differs = hold != self.holding;
        self.holding = hold;
        differs.then_some(hold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_000_000);

    #[test]
    fn a_flood_holds_the_batch_open_and_not_for_ever() {
        let mut rounds = Rounds::default();
        assert_eq!(rounds.hold(true, false, NOW), Some(true));
        assert_eq!(rounds.hold(true, false, NOW.after(HOLD / 2)), None);
        assert_eq!(rounds.hold(true, false, NOW.after(HOLD)), Some(false));
        assert_eq!(rounds.hold(false, false, NOW.after(HOLD)), None);
    }

    #[test]
    fn a_scan_that_a_flood_led_to_holds_it_too() {
        let mut rounds = Rounds::default();
        assert_eq!(rounds.hold(false, true, NOW), None);
        assert_eq!(rounds.hold(true, false, NOW), Some(true));
        assert_eq!(rounds.hold(false, true, NOW), None);
        assert_eq!(rounds.hold(false, false, NOW), Some(false));
    }
}
