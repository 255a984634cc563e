//! Pauses: who holds a pipeline's purges back, and until when.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::change::PipelineId;
use super::time::Time;

/// How long a deploy's pause lasts unless it is renewed: so long after its process died, the
/// pipeline goes on.
pub const LEASE: Duration = Duration::from_mins(1);

/// A lease that ended longer ago is not given its time again at a start: its deploy is gone.
pub(crate) const LONGEST_OUTAGE: Duration = Duration::from_mins(10);

/// What holds a pipeline back. A pipeline is paused while anything does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A person: until resumed, or for a time.
    Operator,
    /// A deploy, by a name that it chose: as long as it renews its lease.
    Deploy(String),
}

impl Holder {
    /// The word for it in the database and in output.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Operator => "operator",
            Self::Deploy(lease) => lease,
        }
    }

    /// Reads what [`Holder::as_str`] wrote.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "operator" => Self::Operator,
            lease => Self::Deploy(lease.to_owned()),
        }
    }
}

impl Serialize for Holder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Operator => "operator",
            Self::Deploy(_) => "deploy",
        })
    }
}

/// A deploy's name is not written, so that none is read.
impl<'de> Deserialize<'de> for Holder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(Self::parse(&word))
    }
}

/// One reason why nothing is sent for a pipeline. Changes queue meanwhile, and requests in flight
/// are tracked to their end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Whose purges; not written, and empty where it was read.
    #[serde(skip)]
    pub pipeline: PipelineId,
    /// Who holds them back.
    pub holder: Holder,
    /// Who paused, in words: a user, or the session of the page with its address. Empty: not known.
    #[serde(default)]
    pub who: String,
    /// Why, in words; may be empty.
    pub reason: String,
    /// Since when.
    pub since: Time,
    /// For how long from its last renewal on; `None`: until resumed.
    #[serde(skip)]
    pub length: Option<Duration>,
    /// When it ends by itself; `None`: when resumed.
    pub until: Option<Time>,
}

impl Pause {
    /// A pause that begins, or is renewed, now.
    #[must_use]
    pub fn begin(
        pipeline: PipelineId,
        holder: Holder,
        reason: String,
        length: Option<Duration>,
        now: Time,
    ) -> Self {
        Self {
            pipeline,
            holder,
            who: String::new(),
            reason,
            since: now,
            length,
            until: length.map(|length| now.after(length)),
        }
    }

    /// The same, with who paused.
    #[must_use]
    pub fn by(self, who: String) -> Self {
        Self { who, ..self }
    }

    /// What holds, with who did it: `paused by alice`, `paused by a deploy of ci`.
    #[must_use]
    pub fn what(&self) -> String {
        let who = self.who.escape_debug();
        match (&self.holder, self.who.is_empty()) {
            (Holder::Operator, true) => "paused".to_owned(),
            (Holder::Operator, false) => format!("paused by {who}"),
            (Holder::Deploy(_), true) => "paused by a deploy".to_owned(),
            (Holder::Deploy(_), false) => format!("paused by a deploy of {who}"),
        }
    }

    /// What ends it.
    #[must_use]
    pub fn remedy(&self, pipeline: &str) -> String {
        match self.holder {
            Holder::Operator => format!("`edgepurge resume {pipeline}`, once the reason is over"),
            Holder::Deploy(_) => "nothing: it ends with the deploy".to_owned(),
        }
    }

    /// As it holds after a restart: no deadline is further ahead than was asked for, and a deploy
    /// that could not renew its lease while no daemon listened gets the time to do so, unless that
    /// lasted very long.
    #[must_use]
    pub fn restored(mut self, now: Time) -> Self {
        self.since = self.since.min(now);
        self.until = match (&self.holder, self.until, self.length) {
            (Holder::Deploy(_), Some(until), _) if now.since(until) > LONGEST_OUTAGE => Some(until),
            (Holder::Deploy(_), Some(_), length) => Some(now.after(length.unwrap_or(LEASE))),
            (Holder::Operator, Some(until), Some(length)) => Some(until.within(now, length)),
            (_, until, _) => until,
        };
        self
    }

    /// Whether it has ended by itself and holds after no start either: it may be forgotten.
    #[must_use]
    pub fn is_over(&self, now: Time) -> bool {
        let outage = match self.holder {
            Holder::Operator => Duration::ZERO,
            Holder::Deploy(_) => LONGEST_OUTAGE,
        };
        self.until.is_some_and(|until| until.after(outage) <= now)
    }

    /// Whether it still holds.
    #[must_use]
    pub fn holds(&self, now: Time) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} since {}", self.what(), self.since)?;
        match (&self.holder, self.until) {
            (Holder::Deploy(_), Some(until)) => write!(f, ", at least until {until}")?,
            (Holder::Operator, Some(until)) => write!(f, " until {until}")?,
            (_, None) => write!(f, " until resumed")?,
        }
        if self.reason.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", self.reason)
    }
}

/// What is to be tried again at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Retry {
    /// Everything of a pipeline that is failed.
    Pipeline(PipelineId),
    /// What one request failed with, by its local number.
    Request(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(holder: Holder, length: Option<Duration>) -> Pause {
        let now = Time::from_millis(1_000_000);
        Pause::begin(PipelineId::new("www"), holder, String::new(), length, now)
    }

    #[test]
    fn a_pause_holds_until_its_time_or_until_resumed() {
        let timed = pause(Holder::Operator, Some(Duration::from_secs(10)));
        assert!(timed.holds(Time::from_millis(1_009_999)));
        assert!(!timed.holds(Time::from_millis(1_010_000)));
        let open = pause(Holder::Operator, None);
        assert!(open.holds(Time::from_millis(u64::MAX)));
    }

    #[test]
    fn a_clock_that_was_set_back_prolongs_no_pause() {
        let timed = pause(Holder::Operator, Some(Duration::from_secs(10)));
        let now = Time::from_millis(5_000);
        let restored = timed.restored(now);
        assert_eq!(restored.until, Some(Time::from_millis(15_000)));
        assert_eq!(restored.since, now);
    }

    #[test]
    fn a_restart_prolongs_no_pause_of_a_person_and_gives_a_deploy_its_minute() {
        let later = Time::from_millis(1_500_000);
        let timed = pause(Holder::Operator, Some(Duration::from_secs(10)));
        assert!(!timed.restored(later).holds(later));
        let lease = pause(Holder::Deploy("d".to_owned()), Some(LEASE));
        assert_eq!(
            lease.clone().restored(later).until,
            Some(later.after(LEASE))
        );
        let next_week = later.after(Duration::from_hours(168));
        assert!(!lease.restored(next_week).holds(next_week));
    }
}
