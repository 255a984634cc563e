//! What was purged in the last day, of each pipeline, in bounded memory: at most 25 histograms of an
//! hour each, and the counts since midnight. A start fills it from the history.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::core::time::Time;

/// How far back the percentiles go.
pub const DAY: Duration = Duration::from_hours(24);
const HOUR: u64 = 3_600_000;
/// Hours that a day can touch.
const HOURS: u64 = 25;
/// A bin ends at the fourth root of two times the end of the one before, so that a percentile is off by a
/// tenth at most.
const PER_OCTAVE: f64 = 4.0;
/// The first bin ends here, in milliseconds;
const FIRST: f64 = 10.0;
/// the last begins above a day.
const BINS: usize = 96;

/// A purge request that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// When.
    pub at: Time,
    /// How long after its first change the edge was fresh; `None`: that is counted apart.
    pub fresh: Option<Duration>,
    /// The assets that it purged; none for a purge of everything.
    pub assets: u64,
    /// Whether it purged everything.
    pub all: bool,
}

/// What was purged of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentStatus {
    /// Half of what was purged in the last 24 h was fresh so long after its change, in milliseconds;
    /// `None`: nothing was.
    pub fresh_p50_ms: Option<u64>,
    /// 95 of a hundred were.
    pub fresh_p95_ms: Option<u64>,
    /// Assets purged since midnight, local time.
    pub assets_today: u64,
    /// Purge requests that are done since midnight.
    pub requests_today: u64,
    /// Those of them that purged everything.
    pub all_today: u64,
    /// When the last purge request was done, as far as the history goes.
    pub last_purge: Option<Time>,
}

/// The last day of all pipelines, by their names.
#[derive(Debug)]
pub struct Recent {
    clock: Clock,
    began: Time,
    zone: TimeZone,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    restored: bool,
    pipelines: BTreeMap<String, Pipeline>,
}

#[derive(Debug, Default)]
struct Pipeline {
    /// In order of the hour.
    hours: VecDeque<(u64, Box<[u32]>)>,
    day: Option<Date>,
    assets: u64,
    requests: u64,
    all: u64,
    last: Option<Time>,
}

impl Default for Recent {
    fn default() -> Self {
        let clock = Clock::start();
        Self {
            began: clock.now(),
            clock,
            zone: TimeZone::system(),
            inner: Mutex::default(),
        }
    }
}

impl Recent {
    /// Since when it counts by itself.
    #[must_use]
    pub const fn began(&self) -> Time {
        self.began
    }

    /// From when on it knows what was purged: since the start, until what came before it is restored.
    #[must_use]
    pub fn since(&self) -> Time {
        let day = self.clock.now().before(DAY);
        if self.lock().restored {
            day
        } else {
            self.began.max(day)
        }
    }

    /// A request is done; a purge of everything where `assets` is `None`.
    pub(super) fn done(&self, pipeline: &str, assets: Option<u64>) {
        let settled = Settled {
            at: self.clock.now(),
            fresh: None,
            assets: assets.unwrap_or(0),
            all: assets.is_none(),
        };
        self.restore(pipeline, &settled);
    }

    /// The edge is fresh, so long after a change.
    pub(super) fn fresh(&self, pipeline: &str, fresh: Duration) {
        let now = self.clock.now();
        let mut inner = self.lock();
        let pipeline = inner.pipelines.entry(pipeline.to_owned()).or_default();
        pipeline.fresh(fresh, now);
    }

    /// A request of the history that is done.
    pub fn restore(&self, pipeline: &str, settled: &Settled) {
        let date = self.date(settled.at);
        let mut inner = self.lock();
        let pipeline = inner.pipelines.entry(pipeline.to_owned()).or_default();
        pipeline.done(settled, date);
    }

    /// The last request that is done, which may be older than a day.
    pub fn restore_last(&self, pipeline: &str, at: Time) {
        let mut inner = self.lock();
        let pipeline = inner.pipelines.entry(pipeline.to_owned()).or_default();
        pipeline.last = pipeline.last.max(Some(at));
    }

    /// The whole history of the day before the start is restored.
    pub fn restored(&self) {
        self.lock().restored = true;
    }

    /// Whether it is.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        self.lock().restored
    }

    /// What was purged of a pipeline.
    #[must_use]
    pub fn status(&self, pipeline: &str) -> RecentStatus {
        let now = self.clock.now();
        let today = self.date(now);
        let inner = self.lock();
        let status = inner.pipelines.get(pipeline);
        status.map_or_else(RecentStatus::default, |one| one.status(now, today))
    }

    fn date(&self, at: Time) -> Option<Date> {
        let millis = i64::try_from(at.millis()).ok()?;
        let timestamp = jiff::Timestamp::from_millisecond(millis).ok()?;
        Some(self.zone.to_datetime(timestamp).date())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipeline {
    fn done(&mut self, settled: &Settled, date: Option<Date>) {
        if let Some(fresh) = settled.fresh {
            self.fresh(fresh, settled.at);
        }
        self.last = self.last.max(Some(settled.at));
        if date < self.day {
            return;
        }
        if date > self.day {
            (self.day, self.assets, self.requests, self.all) = (date, 0, 0, 0);
        }
        self.assets += settled.assets;
        self.requests += 1;
        self.all += u64::from(settled.all);
    }

    fn fresh(&mut self, fresh: Duration, at: Time) {
        let hour = at.millis() / HOUR;
        let place = match self.hours.binary_search_by_key(&hour, |(hour, _)| *hour) {
            Ok(place) => place,
            Err(place) => {
                self.hours.insert(place, (hour, vec![0; BINS].into()));
                place
            }
        };
        if let Some((_, bins)) = self.hours.get_mut(place)
            && let Some(bin) = bins.get_mut(bin(fresh))
        {
            *bin = bin.saturating_add(1);
        }
        let newest = self.hours.back().map_or(0, |(hour, _)| *hour);
        self.hours.retain(|(hour, _)| newest - hour < HOURS);
    }

    fn status(&self, now: Time, today: Option<Date>) -> RecentStatus {
        let from = now.before(DAY).millis() / HOUR;
        let mut bins = [0_u64; BINS];
        for (_, hour) in self.hours.iter().filter(|(hour, _)| *hour >= from) {
            for (sum, count) in bins.iter_mut().zip(hour) {
                *sum += u64::from(*count);
            }
        }
        let same_day = self.day == today;
        let counted = |count: u64| if same_day { count } else { 0 };
        RecentStatus {
            fresh_p50_ms: percentile(&bins, 50),
            fresh_p95_ms: percentile(&bins, 95),
            assets_today: counted(self.assets),
            requests_today: counted(self.requests),
            all_today: counted(self.all),
            last_purge: self.last,
        }
    }
}

/// The bin that a duration is counted in.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "clamped to the number of bins before"
)]
fn bin(of: Duration) -> usize {
    let octaves = (of.as_secs_f64() * 1_000.0 / FIRST).max(1.0).log2();
    (octaves * PER_OCTAVE).ceil().min(BINS as f64 - 1.0) as usize
}

/// The middle of the bin in which so many of a hundred end, in milliseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a duration of at most some days, in milliseconds"
)]
fn percentile(bins: &[u64], percent: u64) -> Option<u64> {
    let total: u64 = bins.iter().sum();
    let rank = (total * percent).div_ceil(100);
    let mut sum = 0;
    let at = bins.iter().position(|count| {
        sum += count;
        sum >= rank && rank > 0
    })?;
    Some((FIRST * 2.0_f64.powf((at as f64 - 0.5) / PER_OCTAVE)).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(at: Time, fresh: u64, assets: u64) -> Settled {
        Settled {
            at,
            fresh: Some(Duration::from_millis(fresh)),
            assets,
            all: assets == 0,
        }
    }

    #[test]
    fn half_and_95_of_a_hundred_are_told_to_a_tenth() {
        let recent = Recent::default();
        for millis in 1..=1_000 {
            recent.fresh("www", Duration::from_millis(millis * 10));
        }
        let status = recent.status("www");
        let near = |value: Option<u64>, truth: u64| {
            let value = value.unwrap();
            assert!(value.abs_diff(truth) * 10 <= truth, "{value} for {truth}");
        };
        near(status.fresh_p50_ms, 5_000);
        near(status.fresh_p95_ms, 9_500);
        assert_eq!(recent.status("other"), RecentStatus::default());
    }

    #[test]
    fn what_is_older_than_a_day_counts_no_more_and_takes_no_memory() {
        let recent = Recent::default();
        let now = recent.began();
        for hours in (0..500_u64).rev() {
            let then = now.before(Duration::from_hours(hours));
            // Slow ones were long ago.
            let fresh = if hours > 25 { 60_000 } else { 100 };
            recent.restore("www", &settled(then, fresh, 1));
        }
        let status = recent.status("www");
        assert!(status.fresh_p95_ms.unwrap() < 150, "{status:?}");
        assert!(status.requests_today <= 25);
        assert_eq!(status.last_purge, Some(now));
        let hours = recent.lock().pipelines["www"].hours.len();
        assert!(hours <= 25, "{hours}");
    }

    #[test]
    fn what_came_before_the_start_is_counted_once_it_is_restored() {
        let recent = Recent::default();
        assert_eq!(recent.since(), recent.began());
        recent.done("www", Some(3));
        let long_ago = Time::from_millis(1);
        for name in ["www", "idle"] {
            recent.restore_last(name, long_ago);
        }
        assert!(recent.status("www").last_purge > Some(long_ago));
        assert_eq!(recent.status("idle").last_purge, Some(long_ago));
        recent.restored();
        assert!(recent.since() < recent.began());
        recent.done("www", None);
        let status = recent.status("www");
        let today = (status.assets_today, status.requests_today, status.all_today);
        assert_eq!(today, (3, 2, 1));
    }

    #[test]
    fn any_duration_has_a_bin() {
        for wait in [Duration::ZERO, Duration::from_millis(10), Duration::MAX] {
            assert!(bin(wait) < BINS);
        }
    }
}
