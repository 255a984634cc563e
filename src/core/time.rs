//! Points in time, as the core and the store know them.

use std::fmt;
use std::time::Duration;

/// A point in time: milliseconds since the Unix epoch.
///
/// One type for what is scheduled and what is stored. It is always a parameter in the core; only
/// [`crate::clock`] makes one from a clock, and never lets it go backwards while the process runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(u64);

impl Time {
    /// The Unix epoch: earlier than anything that happens.
    pub const ZERO: Self = Self(0);

    /// A time from milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The time `wait` later; saturates, and rounds up to whole milliseconds so that a deadline is
    /// never early.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        let millis = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// The time `wait` earlier; the epoch when there is none.
    #[must_use]
    pub fn before(self, wait: Duration) -> Self {
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// This stored deadline, but no further ahead of `now` than `limit`: a clock that was set back,
    /// or a setting that was made smaller, must not leave a wait that is longer than any setting.
    #[must_use]
    pub fn within(self, now: Self, limit: Duration) -> Self {
        self.min(now.after(limit))
    }
}

/// RFC 3339 in UTC with milliseconds.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(timestamp) => write!(f, "{timestamp:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads what [`Time`]'s `Serialize` wrote.
impl<'de> serde::Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let timestamp = jiff::Timestamp::deserialize(deserializer)?;
        u64::try_from(timestamp.as_millisecond())
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_early() {
        let start = Time::from_millis(10);
        assert_eq!(start.after(Duration::from_micros(1)), Time::from_millis(11));
        assert_eq!(start.after(Duration::from_millis(5)), Time::from_millis(15));
    }

    #[test]
    fn a_stored_deadline_is_clamped_to_its_setting() {
        let now = Time::from_millis(1_000);
        let far = Time::from_millis(1_000_000);
        assert_eq!(
            far.within(now, Duration::from_secs(2)),
            Time::from_millis(3_000)
        );
        assert_eq!(Time::ZERO.within(now, Duration::from_secs(2)), Time::ZERO);
    }

    #[test]
    fn it_prints_as_rfc_3339_and_is_read_from_that() {
        assert_eq!(
            Time::from_millis(1_500).to_string(),
            "1970-01-01T00:00:01.500Z"
        );
        let written = serde_json::to_string(&Time::from_millis(1_500)).unwrap();
        let read: Time = serde_json::from_str(&written).unwrap();
        assert_eq!(read, Time::from_millis(1_500));
    }
}
