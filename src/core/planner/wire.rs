//! The number of concurrent calls to the API: as many as it answers without slowing down.
//!
//! It starts at 16. It grows while all places are taken and responses come about as fast as the fastest
//! one. It halves when responses come slower, or do not come; where half of them is no faster, their
//! number is not the cause, and it grows again. A call that waits for a place is not decided yet, so its
//! outcome is never in doubt. A restart forgets the number.

use std::collections::BTreeMap;
use std::time::Duration;

use super::circuit::Asked;
use crate::core::purge::Refusal;
use crate::core::time::Time;

/// Calls on the wire at most, however fast the API is: enough for 1,000 calls a second that are
/// answered in an eighth of a second.
pub const MOST_CALLS: usize = 128;
/// The places before anything is known.
const FIRST: usize = 16;
/// Never fewer: a call that hangs must not stop all others.
const LEAST: usize = 4;
/// An answer that takes twice as long as the fastest, and this, is slow.
const SLACK: Duration = Duration::from_millis(100);
/// The fastest answer of the last one or two of these counts.
const MEMORY: Duration = Duration::from_mins(1);

/// The calls on the wire, and the places for them. After each round of as many answers as there are
/// places, places are added if all were taken and the answers came fast, and halved if they were
/// slow. An answer that does not come halves them at once.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    most: usize,
    places: usize,
    out: BTreeMap<Asked, Time>,
    round: Round,
    /// How long creates took in the round that halved the places last.
    slow: Option<Duration>,
    /// The fastest create of this period, and of the one before.
    fastest: [Option<Duration>; 2],
    period: Time,
}

/// The answers to calls that were made since it began: others say nothing about the places of now.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    began: Time,
    answers: usize,
    /// How many of them created a request, and how long these took together.
    /// Questions differ too much to be compared.
    creates: u32,
    took: Duration,
    /// All places were taken once.
    full: bool,
}

impl Wire {
    pub(super) fn new(most: usize, now: Time) -> Self {
        let most = most.max(1);
        Self {
            most,
            places: FIRST.min(most),
            out: BTreeMap::new(),
            round: Round::default(),
            slow: None,
            fastest: [None; 2],
            period: now,
        }
    }

    pub(super) const fn places(&self) -> usize {
        self.places
    }

    pub(super) fn has_room(&self) -> bool {
        self.out.len() < self.places
    }

    pub(super) fn called(&mut self, call: Asked, now: Time) {
        self.out.insert(call, now);
        self.round.full |= !self.has_room();
    }

    /// A call was answered, or given up.
    pub(super) fn answered(&mut self, call: Asked, refusal: Option<&Refusal>, now: Time) {
        let Some(sent) = self.out.remove(&call) else {
            return;
        };
        let created = matches!(call, Asked::Create(_)) && refusal.is_none();
        if created {
            self.note(now.since(sent), now);
        }
        if sent < self.round.began {
            return;
        }
        self.round.answers += 1;
        if created {
            self.round.creates += 1;
            self.round.took += now.since(sent);
        }
        let lost = matches!(
            refusal,
            Some(Refusal::UnknownOutcome(_) | Refusal::Transient(_))
        );
        if lost {
            self.halve(now);
        } else if self.round.answers >= self.places {
            self.judge(now);
        }
    }

    /// A round is over.
    fn judge(&mut self, now: Time) {
        let takes = self.round.took.checked_div(self.round.creates);
        let fastest = self.fastest.into_iter().flatten().min();
        let slow = takes
            .zip(fastest)
            .filter(|(takes, fastest)| *takes > *fastest * 2 + SLACK);
        let Some((takes, _)) = slow else {
            if self.round.full {
                self.places = (self.places + self.places / 8 + 1).min(self.most);
            }
            self.slow = None;
            self.round = Round::since(now);
            return;
        };
        // Where half of the calls were no help, it is not for their number that it is slow.
        if self.slow.is_some_and(|before| takes >= before * 3 / 4) {
            self.fastest = [Some(takes), None];
            self.slow = None;
            self.round = Round::since(now);
        } else {
            self.slow = Some(takes);
            self.halve(now);
        }
    }

    fn halve(&mut self, now: Time) {
        self.places = (self.places / 2).max(LEAST.min(self.most));
        self.round = Round::since(now);
    }

    fn note(&mut self, took: Duration, now: Time) {
        if now.since(self.period) >= MEMORY {
            self.fastest = [None, self.fastest[0]];
            self.period = now;
        }
        self.fastest[0] = Some(self.fastest[0].map_or(took, |fastest| fastest.min(took)));
    }
}

impl Round {
    fn since(began: Time) -> Self {
        Self {
            began,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::purge::RequestId;

    /// An API that answers each call after so long, and takes only so many in a second. Runs it with
    /// calls without end, and returns the places after each second.
    fn places(wire: &mut Wire, began: u64, seconds: u64, takes: u64, a_second: u64) -> Vec<usize> {
        let mut calls = BTreeMap::<(u64, u64), Asked>::new();
        let (mut number, mut free) = (began * 1_000, 0);
        let mut places = Vec::new();
        for now in began..began + seconds * 1_000 {
            while let Some((at, call)) = calls.first_key_value().map(|(key, call)| (*key, *call))
                && at.0 <= now
            {
                calls.remove(&at);
                wire.answered(call, None, Time::from_millis(now));
            }
            while wire.has_room() {
                number += 1;
                let call = Asked::Create(RequestId(number));
                wire.called(call, Time::from_millis(now));
                free = free.max(now * a_second) + 1_000;
                calls.insert((now.max(free / a_second) + takes, number), call);
            }
            if (now + 1) % 1_000 == 0 {
                places.push(wire.places());
            }
        }
        places
    }

    #[test]
    fn an_api_that_answers_fast_gets_as_many_calls_as_it_may() {
        let mut wire = Wire::new(100, Time::ZERO);
        assert_eq!(wire.places(), 16);
        let places = places(&mut wire, 0, 20, 200, 1_000_000);
        assert_eq!(places.last(), Some(&100), "{places:?}");
    }

    #[test]
    fn an_api_that_slows_down_when_it_is_called_more_gets_no_more_than_it_takes() {
        // 100 calls a second, each 50 ms: five at once are all it can do.
        let mut wire = Wire::new(MOST_CALLS, Time::ZERO);
        let places = places(&mut wire, 0, 120, 50, 100);
        assert!(places.iter().all(|places| *places <= 32), "{places:?}");
        assert!(places.iter().all(|places| *places >= 5), "{places:?}");
    }

    #[test]
    fn answers_that_do_not_come_halve_the_places_once_and_they_grow_again() {
        let mut wire = Wire::new(MOST_CALLS, Time::ZERO);
        places(&mut wire, 0, 10, 200, 1_000_000);
        let (before, now) = (wire.places(), Time::from_millis(20_000));
        let mut wire = Wire {
            out: BTreeMap::new(),
            ..wire
        };
        let calls: Vec<Asked> = (0..before as u64)
            .map(|n| Asked::Get(RequestId(n)))
            .collect();
        for call in &calls {
            wire.called(*call, now);
        }
        assert!(!wire.has_room());
        let lost = Refusal::UnknownOutcome("timeout".to_owned());
        for call in &calls {
            wire.answered(*call, Some(&lost), now.after(Duration::from_secs(30)));
        }
        assert_eq!(wire.places(), before / 2, "they were one failure");
        let grown = places(&mut wire, 60_000, 10, 200, 1_000_000);
        assert!(grown.last() > Some(&(before / 2)), "{grown:?}");
        for second in 100..200 {
            let now = Time::from_millis(second * 1_000);
            let call = Asked::Get(RequestId(second));
            wire.out.clear();
            wire.called(call, now);
            wire.answered(call, Some(&lost), now.after(Duration::from_millis(1)));
        }
        assert_eq!(wire.places(), 4);
    }

    #[test]
    fn an_api_that_has_become_slower_for_other_reasons_gets_its_calls_all_the_same() {
        let mut wire = Wire::new(MOST_CALLS, Time::ZERO);
        places(&mut wire, 0, 10, 20, 1_000_000);
        wire.out.clear();
        let slower = places(&mut wire, 10_000, 60, 1_000, 1_000_000);
        assert!(slower.iter().all(|places| *places >= 16), "{slower:?}");
        assert_eq!(slower.last(), Some(&MOST_CALLS), "{slower:?}");
    }
}
