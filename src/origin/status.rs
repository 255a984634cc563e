//! The status of an origin, as `status` shows it: what is serialized here is that document.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::core::alarm::Alarm;
use crate::core::time::Time;
use crate::core::website::Website;

/// Why an origin is scanned. Ordered: of two that wait, the later in this order names the scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScanReason {
    /// The background scan.
    Rescan,
    /// There are no events here, so it is looked at every few seconds.
    Poll,
    /// A directory appeared, vanished or was renamed, or holds too many hints to keep apart.
    Directory,
    /// An operator asked.
    Request,
    /// A deploy webhook asked.
    Webhook,
    /// The process started.
    Start,
    /// A watch ended on its own: unmounted, or the root is another directory now.
    LostWatch,
    /// The kernel's queue of events overflowed.
    Overflow,
}

impl ScanReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Rescan,
        Self::Poll,
        Self::Directory,
        Self::Request,
        Self::Webhook,
        Self::Start,
        Self::LostWatch,
        Self::Overflow,
    ];

    /// The word for it in metrics, history and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rescan => "rescan",
            Self::Poll => "poll",
            Self::Directory => "directory",
            Self::Request => "request",
            Self::Webhook => "webhook",
            Self::Start => "start",
            Self::LostWatch => "lost_watch",
            Self::Overflow => "overflow",
        }
    }
}

/// What a scan of a whole origin found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanSummary {
    /// Why it ran.
    pub reason: ScanReason,
    /// When it began; not written.
    #[serde(skip)]
    pub began: Time,
    /// When it ended.
    pub ended: Time,
    /// How long it took, in milliseconds, waiting for files in writing and for absent files included.
    pub took_ms: u64,
    /// Files seen.
    pub files: u64,
    /// Files found new.
    pub new: u64,
    /// Files found changed.
    pub changed: u64,
    /// Files found gone.
    pub gone: u64,
    /// Whether so many were gone that none of it was taken over.
    pub held: bool,
}

impl ScanSummary {
    /// Adds what a scan found that was made after this one, for the same.
    pub fn and(&mut self, again: Self) {
        *self = Self {
            began: self.began,
            took_ms: self.took_ms.saturating_add(again.took_ms),
            new: self.new + again.new,
            changed: self.changed + again.changed,
            gone: self.gone + again.gone,
            ..again
        };
    }
}

/// Files that are gone, and whose loss is not believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// How many are absent.
    pub files: u64,
    /// The first of them, below the root.
    pub first: String,
    /// The directory below the root whose filesystem is not mounted any more, where that is why.
    pub unmounted: Option<String>,
}

/// What a file waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// It is being written: for its end, or for `write_wait`.
    Writing,
    /// It is so large that it is read beside everything else.
    Reading,
}

/// A file that is not known now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingFile {
    /// Its path below the root.
    pub path: String,
    /// What it waits for.
    pub state: WaitsFor,
    /// Since when.
    pub since: Time,
    /// Bytes read, and bytes in all, while it is being read.
    pub read: Option<(u64, u64)>,
}

/// A path as it is shown. A name may hold any bytes.
#[must_use]
pub fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// What a look at named objects of a bucket found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookSummary {
    /// When it ended.
    pub ended: Time,
    /// Objects that it looked at.
    pub objects: u64,
    /// The first of them.
    pub first: String,
    /// Those found new.
    pub new: u64,
    /// Those found changed.
    pub changed: u64,
    /// Those found gone.
    pub gone: u64,
}

/// What only an origin that is a bucket has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketStatus {
    /// Calls to the bucket since the start.
    pub calls_total: u64,
    /// Objects that were looked at since the start because deliveries named them.
    #[serde(default)]
    pub named_total: u64,
    /// The last of these looks.
    #[serde(default)]
    pub last_look: Option<LookSummary>,
    /// Objects whose headers are not read yet: one that is written again counts as changed.
    pub unread_headers: u64,
    /// Keys that the last complete listing had and that are no paths, so that they are left out.
    pub refused_keys: u64,
    /// The first of them.
    pub first_refused: Option<String>,
    /// Its website configuration, as it was read last; `None`: it is no website, or it was never read.
    #[serde(default)]
    pub website: Option<Website>,
    /// Whether that was ever read.
    #[serde(default)]
    pub website_read: bool,
    /// Why it could not be read the last time.
    #[serde(default)]
    pub website_trouble: Option<String>,
}

/// An origin as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each shown on its own"
)]
pub struct OriginStatus {
    /// Its name in the pipeline.
    pub name: Arc<str>,
    /// Whether changes are noticed: watches are in place (or the mode has none), and the first scan is
    /// done.
    pub armed: bool,
    /// Whether a scan of the whole origin runs.
    pub scanning: bool,
    /// The files that the scan which runs has looked at.
    #[serde(default)]
    pub scanned_files: u64,
    /// Whether it is scanned every few seconds, for want of events.
    pub polling: bool,
    /// Files in the index.
    pub indexed_files: u64,
    /// Those of them whose content is not known yet: after a first scan they are read in the
    /// background, and large ones when they rest. Until then every sign of a write is a change.
    pub unread_files: u64,
    /// The first of them, below the root.
    pub first_unread: Option<String>,
    /// Whether some of them can be read now.
    #[serde(skip)]
    pub reading: bool,
    /// Files that are being written.
    pub writing_files: u64,
    /// The first of the files that are being written, and the one that is being read.
    pub waiting: Vec<WaitingFile>,
    /// Files that are gone, and whose loss is not believed.
    pub held: Option<Held>,
    /// Directories under watch, as the last whole scan counted them.
    pub watched_directories: u64,
    /// Directories that could not be watched.
    pub unwatched_directories: u64,
    /// Directories that can't be listed: what is in them is not known.
    pub unreadable_directories: u64,
    /// Files whose bytes can't be read: they are compared by size and times.
    pub unreadable_files: u64,
    /// The first of those.
    pub unreadable_file: Option<String>,
    /// Directories that have names which are not followed, since links lead to them in too many ways.
    pub unfollowed_directories: u64,
    /// Places that are still to be looked at; a second look at a file that was written a moment
    /// ago is not counted.
    #[serde(rename = "pending")]
    pub pending_hints: u64,
    /// Hints taken from events since the start.
    #[serde(skip)]
    pub hints_total: u64,
    /// Times the kernel said that it dropped events.
    pub lost_events: u64,
    /// Files that looked changed and held the same bytes.
    #[serde(rename = "unchanged")]
    pub unchanged_total: u64,
    /// Changes that only the background scan found.
    #[serde(rename = "drift")]
    pub drift_total: u64,
    /// Scans by reason.
    pub scans: BTreeMap<ScanReason, u64>,
    /// The last scan of the whole origin.
    pub last_scan: Option<ScanSummary>,
    /// What only a bucket has; `None` for a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<BucketStatus>,
    /// What an operator should act on.
    #[serde(skip)]
    pub alarms: Vec<Alarm>,
}

impl OriginStatus {
    /// What it does, in a word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match (self.armed, self.scanning) {
            (_, true) => "scanning",
            (true, false) if self.polling => "polling",
            (true, false) => "watching",
            (false, false) => "starting",
        }
    }

    /// Whether a start need not wait for it: changes are noticed, or an alarm says why not.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.armed || !self.alarms.is_empty()
    }

    /// Adds what was counted before this origin was started anew. Afterwards every reason of a scan has
    /// its count.
    pub(super) fn count_on(&mut self, before: &Self) {
        self.lost_events += before.lost_events;
        self.hints_total += before.hints_total;
        self.unchanged_total += before.unchanged_total;
        self.drift_total += before.drift_total;
        for reason in ScanReason::ALL {
            *self.scans.entry(reason).or_default() +=
                before.scans.get(&reason).copied().unwrap_or(0);
        }
    }
}

impl OriginStatus {
    /// Publishes it, if it differs from the published one.
    pub(in crate::origin) fn publish(&self, to: &watch::Sender<Self>) {
        to.send_if_modified(|old| {
            let differs = old != self;
            if differs {
                old.clone_from(self);
            }
            differs
        });
    }
}

/// Why a scan was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// Too many wait for a scan already: try again.
    #[error("too many scans of this origin are waited for; try again")]
    Busy,
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}
