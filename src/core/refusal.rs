//! Why the API did not do what was asked, whatever its words for that are.

use std::fmt;
use std::time::Duration;

use super::alarm::AlarmKind;

/// Why the API did not do what was asked, classed by what must be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too many calls (429): every call waits (`Retry-After` within limits), then one probe; the
    /// rate halves.
    RateLimited {
        /// How long the API asked to wait, where it said so.
        retry_after: Option<Duration>,
    },
    /// The API, or the way to it, is in trouble (5xx, an answer of something in between,
    /// connection, DNS, timeout before anything was sent): every call waits, then one probe, without
    /// end.
    Transient(String),
    /// The call may have been carried out (timeout, connection lost after it was sent, an answer
    /// that can't be read): as `Transient`; a create is searched for in the API's list, and sent again
    /// if it is not there.
    UnknownOutcome(String),
    /// The key is not accepted (401): nothing is sent until it is; the key is read again before each
    /// probe. The alarm is raised at once.
    Unauthorized(String),
    /// This pipeline may not be purged, or does not exist (403, and 404 on create): it waits, others
    /// go on. The alarm is raised at once.
    Forbidden(String),
    /// This pipeline can't be purged now (a lock, a quota, a precondition, another state to wait
    /// for): it waits, others go on. The alarm is raised at once, while something waits.
    Unready(String),
    /// The request was not taken, and nothing says that an asset is to blame: it is sent again,
    /// with backoff, and others of the pipeline go on.
    Unclear(String),
    /// There is no such purge request (404 or 410 on get): its changes are queued again.
    NotFound(String),
    /// The API will never take these assets, in its own words: the batch is halved until single
    /// assets are refused, and those fail. Only this class fails anything, halves a batch or teaches
    /// a size.
    Invalid(String),
}

/// What a class of refusals means, as the methods of [`Refusal`] tell.
struct Treatment {
    class: &'static str,
    alarm: AlarmKind,
    concerns_all: bool,
    passes: bool,
}

impl Refusal {
    /// The class, as the label of metrics.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        self.treatment().class
    }

    /// The kind of the alarm that it leads to.
    #[must_use]
    pub const fn alarm(&self) -> AlarmKind {
        self.treatment().alarm
    }

    /// Whether it says that the API as a whole can't or won't serve now.
    #[must_use]
    pub const fn concerns_all(&self) -> bool {
        self.treatment().concerns_all
    }

    /// Whether trying again later may help without a person.
    #[must_use]
    pub const fn passes(&self) -> bool {
        self.treatment().passes
    }

    const fn treatment(&self) -> Treatment {
        use AlarmKind as Alarm;
        let (class, alarm, concerns_all, passes) = match self {
            Self::RateLimited { .. } => ("rate_limited", Alarm::RateLimited, true, true),
            Self::Transient(_) => ("transient", Alarm::Api, true, true),
            Self::UnknownOutcome(_) => ("unknown_outcome", Alarm::Api, true, true),
            Self::Unauthorized(_) => ("unauthorized", Alarm::Unauthorized, true, false),
            Self::Forbidden(_) => ("forbidden", Alarm::Forbidden, false, false),
            Self::Unready(_) => ("unready", Alarm::Unready, false, true),
            Self::Unclear(_) => ("unclear", Alarm::Fruitless, false, false),
            Self::NotFound(_) => ("not_found", Alarm::Fruitless, false, false),
            Self::Invalid(_) => ("invalid", Alarm::Failed, false, false),
        };
        Treatment {
            class,
            alarm,
            concerns_all,
            passes,
        }
    }

    /// The same, with its words changed.
    #[must_use]
    pub fn map_words(mut self, change: impl FnOnce(&str) -> String) -> Self {
        match &mut self {
            Self::RateLimited { .. } => {}
            Self::Transient(why)
            | Self::UnknownOutcome(why)
            | Self::Unauthorized(why)
            | Self::Forbidden(why)
            | Self::Unready(why)
            | Self::Unclear(why)
            | Self::NotFound(why)
            | Self::Invalid(why) => *why = change(why),
        }
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RateLimited { retry_after: None } => f.write_str("too many calls (429)"),
            Self::RateLimited {
                retry_after: Some(wait),
            } => write!(f, "too many calls (429), wait {} s", wait.as_secs()),
            Self::Transient(why)
            | Self::UnknownOutcome(why)
            | Self::Unauthorized(why)
            | Self::Forbidden(why)
            | Self::Unready(why)
            | Self::Unclear(why)
            | Self::NotFound(why)
            | Self::Invalid(why) => f.write_str(why),
        }
    }
}
