//! Alarms: what an operator should act on. Every kind is one line of the table below.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing an operator should act on, until it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// The name of the pipeline that it is about, set where alarms of several are listed; `None`: all
    /// pipelines.
    pub pipeline: Option<String>,
    /// The name of the origin that it is about, set as the pipeline's is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Its kind: a short word, the label of the metric.
    pub reason: AlarmKind,
    /// What, where, why, and what to do.
    pub text: String,
}

impl Alarm {
    /// An alarm that does not name its pipeline and origin yet.
    #[must_use]
    pub fn new(reason: AlarmKind, text: impl Into<String>) -> Self {
        Self {
            pipeline: None,
            origin: None,
            reason,
            text: text.into(),
        }
    }

    /// The same, with the pipeline's name.
    #[must_use]
    pub fn of_pipeline(self, name: &str) -> Self {
        Self {
            pipeline: Some(name.to_owned()),
            ..self
        }
    }
}

/// Makes [`AlarmKind`] of a table: the kind, its word, and whether it stalls purges.
macro_rules! alarm_kinds {
    ($($(#[$text:meta])+ $kind:ident $word:literal $stalls:literal,)+) => {
        /// The kinds of alarms.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum AlarmKind {
            $($(#[$text])+ #[serde(rename = $word)] $kind,)+
        }

        impl AlarmKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// The word for it in logs, metrics and output.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)+
                }
            }

            /// Whether it says why what is queued or in flight stays so.
            #[must_use]
            pub const fn stalls(self) -> bool {
                match self {
                    $(Self::$kind => $stalls,)+
                }
            }
        }
    };
}

alarm_kinds! {
    /// The file of the configuration is refused, and the configuration of before is at work.
    Config "config" false,
    /// A secret was replaced while a copy of the old one is in use.
    Credential "credential" false,
    /// The API does not answer, or answers with an error of its own.
    Api "api" true,
    /// The API limits the rate again and again.
    RateLimited "rate_limited" true,
    /// The API does not accept the secret key.
    Unauthorized "unauthorized" true,
    /// The secret key may not purge this pipeline.
    Forbidden "forbidden" true,
    /// The API takes no purge of this pipeline yet.
    Unready "unready" true,
    /// Several purge requests in a row came to nothing.
    Fruitless "fruitless" true,
    /// A purge request is pending for too long.
    Overdue "overdue" true,
    /// The status of a purge request can't be asked for.
    Untracked "untracked" true,
    /// Assets are given up.
    Failed "failed" false,
    /// The whole cache is purged again and again.
    AllRepeats "all_repeats" false,
    /// The queue takes nothing more.
    QueueFull "queue_full" false,
    /// Changes of an origin can't be committed.
    Commit "commit" false,
    /// The filesystem of an origin does not answer.
    Hung "hung" false,
    /// Links lead to a directory in too many ways.
    Links "links" false,
    /// So many files of an origin are gone at once that they are held back.
    Loss "loss" false,
    /// The root of an origin is not there.
    RootMissing "root_missing" false,
    /// Directories or files of an origin can't be read.
    Unreadable "unreadable" false,
    /// An origin can't be watched.
    Watch "watch" false,
    /// Some directories of an origin can't be watched, since a limit of the system is reached.
    WatchLimit "watch_limit" false,
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
