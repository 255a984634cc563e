//! What a route has answered so far, for status and metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answer::{Answer, Outcome};
use super::refusal::Reason;
use crate::core::time::Time;

/// A route, as `status` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RouteStatus {
    /// Its path.
    pub route: String,
    /// Who sends.
    pub kind: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The last delivery that was committed since the start.
    pub last: Option<LastDelivery>,
    /// Answers since the start, by what they were.
    pub answers: BTreeMap<String, u64>,
    /// Calls since the start that were refused, by why.
    pub refusals: BTreeMap<String, u64>,
    /// The last refusal that was logged since the start.
    #[serde(default)]
    pub last_refusal: Option<LastRefusal>,
}

impl RouteStatus {
    /// What it refused since the start: `wrong × 3, timestamp × 1`.
    #[must_use]
    pub fn refused(&self) -> String {
        let counts = self.refusals.iter().filter(|(_, count)| **count > 0);
        let counts: Vec<_> = counts
            .map(|(why, count)| format!("{why} × {count}"))
            .collect();
        counts.join(", ")
    }

    /// Whether a delivery was taken after the last refusal.
    #[must_use]
    pub fn refusal_is_over(&self) -> bool {
        let refusal = self.last_refusal.as_ref().map(|refusal| refusal.at);
        self.last.as_ref().map(|last| last.at) > refusal
    }
}

/// A call that was refused, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRefusal {
    /// When the first one was since the last delivery that was committed.
    pub since: Time,
    /// When this one was.
    pub at: Time,
    /// Who sent it.
    pub client: String,
    /// Why, in a word.
    pub reason: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// A delivery that was committed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LastDelivery {
    /// Its name.
    pub event: Arc<str>,
    /// When it came.
    pub at: Time,
}

/// The counts of all routes, by their paths: who serves the same routes anew goes on with them.
#[derive(Clone, Debug, Default)]
pub struct Tallies(pub(super) BTreeMap<Arc<str>, Arc<Tally>>);

impl Tallies {
    /// The counts of a route.
    pub(super) fn of(&self, route: &str) -> Arc<Tally> {
        self.0.get(route).cloned().unwrap_or_default()
    }
}

/// Lines of one reason in one [`WINDOW`], at most.
const LINES: u32 = 10;
const WINDOW: Duration = Duration::from_mins(1);

/// A line that the log gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// How many of the same reason got none before it.
    pub(super) suppressed: u64,
    /// Whether the next ones get none for a while.
    pub(super) last: bool,
}

/// The lines of one reason.
#[derive(Debug, Default)]
struct Lines {
    began: Option<Time>,
    logged: u32,
    suppressed: u64,
}

impl Lines {
    fn next(&mut self, now: Time) -> Option<Line> {
        // A clock that was set back must not silence it.
        let runs = |began: Time| began <= now && now.since(began) < WINDOW;
        if !self.began.is_some_and(runs) {
            self.began = Some(now);
            self.logged = 0;
        }
        if self.logged >= LINES {
            self.suppressed += 1;
            return None;
        }
        self.logged += 1;
        Some(Line {
            suppressed: std::mem::take(&mut self.suppressed),
            last: self.logged == LINES,
        })
    }
}

/// The counts of a route.
#[derive(Debug, Default)]
pub(super) struct Tally {
    answers: [AtomicU64; Outcome::ALL.len()],
    refusals: [AtomicU64; Reason::ALL.len()],
    lines: [Mutex<Lines>; Reason::ALL.len()],
    last: Mutex<Option<LastDelivery>>,
    last_refusal: Mutex<Option<LastRefusal>>,
}

impl Tally {
    /// Counts an answer on its way.
    pub(super) fn answered(&self, answer: Answer) -> Answer {
        if let Some(outcome) = answer.outcome()
            && let Some(at) = Outcome::ALL.iter().position(|one| *one == outcome)
        {
            self.answers[at].fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    /// Counts why a call is refused. Returns whether that is logged.
    pub(super) fn refused(&self, why: Reason, now: Time) -> Option<Line> {
        let place = why.place();
        self.refusals.get(place)?.fetch_add(1, Ordering::Relaxed);
        let lines = self.lines.get(place)?;
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.next(now)
    }

    /// How often a call was refused for this.
    pub(super) fn count(&self, why: Reason) -> u64 {
        let count = self.refusals.get(why.place());
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Keeps a refusal that was logged; its `since` is that of those before it, if nothing was delivered
    /// meanwhile.
    pub(super) fn logged(&self, mut refusal: LastRefusal) {
        let delivered = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let delivered = delivered.as_ref().map(|last| last.at);
        let mut kept = self
            .last_refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = &*kept
            && delivered.is_none_or(|at| at < before.since)
        {
            refusal.since = before.since;
        }
        *kept = Some(refusal);
    }

    pub(super) fn delivered(&self, event: Arc<str>, at: Time) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(LastDelivery { event, at });
    }

    pub(super) fn status(&self, route: &str, kind: &'static str, pipeline: &str) -> RouteStatus {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let refusal = self
            .last_refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        RouteStatus {
            last_refusal: refusal.clone(),
            route: route.to_owned(),
            kind: kind.to_owned(),
            pipeline: pipeline.to_owned(),
            last: last.clone(),
            answers: Outcome::ALL
                .iter()
                .zip(&self.answers)
                .map(|(outcome, count)| {
                    (outcome.as_str().to_owned(), count.load(Ordering::Relaxed))
                })
                .collect(),
            refusals: Reason::of_routes()
                .map(|why| (why.as_str().to_owned(), self.count(why)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_since_the_first_after_a_delivery() {
        let tally = Tally::default();
        let refused = |at: u64| {
            let at = Time::from_millis(at);
            tally.logged(LastRefusal {
                since: at,
                at,
                client: "192.0.2.1".to_owned(),
                reason: "wrong".to_owned(),
                what: "what".to_owned(),
                remedy: "remedy".to_owned(),
            });
            let status = tally.status("/hooks/www", "generic", "www");
            status.last_refusal.unwrap().since.millis()
        };
        assert_eq!(refused(10), 10);
        assert_eq!(refused(20), 10);
        tally.delivered("event".into(), Time::from_millis(30));
        assert_eq!(refused(40), 40);
        assert_eq!(refused(50), 40);
    }

    #[test]
    fn a_flood_gets_ten_lines_a_minute_and_what_got_none_is_counted() {
        let tally = Tally::default();
        let refused =
            |second: u64| tally.refused(Reason::NoRoute, Time::from_millis(second * 1_000));
        let line = |suppressed, last| Some(Line { suppressed, last });
        for _ in 0..9 {
            assert_eq!(refused(100), line(0, false));
        }
        assert_eq!(refused(101), line(0, true));
        for _ in 0..500 {
            assert_eq!(refused(159), None);
        }
        assert_eq!(refused(160), line(500, false));
        assert_eq!(refused(161), line(0, false));
        // A clock that is set back by an hour.
        assert_eq!(refused(1), line(0, false));
        let other = tally.refused(Reason::Method, Time::from_millis(159_000));
        assert_eq!(other, line(0, false), "each reason has lines of its own");
        assert_eq!(tally.count(Reason::NoRoute), 513);
    }
}
