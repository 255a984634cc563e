//! What a route has answered so far, for status and metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::Refused;
use super::answer::{Answer, Outcome};
use crate::core::time::Time;

/// A route, as `status` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct RouteStatus {
    /// Its path.
    pub route: String,
    /// Who sends.
    pub kind: &'static str,
    /// The pipeline's name.
    pub pipeline: String,
    /// The last delivery that was committed since the start.
    pub last: Option<LastDelivery>,
    /// Answers since the start, by what they were.
    pub answers: BTreeMap<&'static str, u64>,
    /// Calls since the start that were not authentic, by why.
    pub refusals: BTreeMap<&'static str, u64>,
}

/// A delivery that was committed.
#[derive(Clone, Debug, Serialize)]
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

/// The counts of a route.
#[derive(Debug, Default)]
pub(super) struct Tally {
    answers: [AtomicU64; Outcome::ALL.len()],
    refusals: [AtomicU64; Refused::ALL.len()],
    last: Mutex<Option<LastDelivery>>,
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

    /// Counts why a call is not authentic.
    pub(super) fn refused(&self, why: Refused) {
        if let Some(at) = Refused::ALL.iter().position(|one| *one == why) {
            self.refusals[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn delivered(&self, event: Arc<str>, at: Time) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(LastDelivery { event, at });
    }

    pub(super) fn status(&self, route: &str, kind: &'static str, pipeline: &str) -> RouteStatus {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        RouteStatus {
            route: route.to_owned(),
            kind,
            pipeline: pipeline.to_owned(),
            last: last.clone(),
            answers: Outcome::ALL
                .iter()
                .zip(&self.answers)
                .map(|(outcome, count)| (outcome.as_str(), count.load(Ordering::Relaxed)))
                .collect(),
            refusals: Refused::ALL
                .iter()
                .zip(&self.refusals)
                .map(|(why, count)| (why.as_str(), count.load(Ordering::Relaxed)))
                .collect(),
        }
    }
}
