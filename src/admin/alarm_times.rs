//! Since when each alarm is on. What notices alarms writes it; the status reads it. Outlives a reload.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::core::alarm::{Alarm, AlarmKind};
use crate::core::time::Time;

/// One alarm: what it is about (the pipeline, the origin, another node), and the reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AlarmKey {
    /// The pipeline's name.
    pub(crate) pipeline: Option<String>,
    /// The origin's.
    pub(crate) origin: Option<String>,
    /// The other node's.
    pub(crate) about: Option<String>,
    /// The reason.
    pub(crate) reason: AlarmKind,
}

/// The alarms that are on, each since when it is known.
#[derive(Debug, Default)]
pub struct AlarmTimes(Mutex<BTreeMap<AlarmKey, Time>>);

impl AlarmTimes {
    /// The alarms that are on.
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<AlarmKey, Time>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which alarm it is.
    pub(crate) fn key(alarm: &Alarm) -> AlarmKey {
        AlarmKey {
            pipeline: alarm.pipeline.clone(),
            origin: alarm.origin.clone(),
            about: alarm.about.clone(),
            reason: alarm.reason,
        }
    }

    /// Since when an alarm is on: as its part knows, or as it was noticed.
    pub(super) fn since(&self, alarm: &Alarm, now: Time) -> Time {
        let noticed = || self.lock().get(&Self::key(alarm)).copied();
        alarm.since.or_else(noticed).unwrap_or(now)
    }
}
