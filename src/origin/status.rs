//! What an origin tells about itself: read by the admin page, the metrics and the readiness check.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::time::Time;

/// Why an origin is scanned. Ordered: of two that wait, the later in this order names the scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScanReason {
    /// The background scan.
    Rescan,
    /// There are no events here, so it is looked at every few seconds.
    Poll,
    /// A directory appeared, vanished or was renamed, or holds too many hints to keep apart.
    Directory,
    /// Somebody asked.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanSummary {
    /// Why it ran.
    pub reason: ScanReason,
    /// When it began.
    pub at: Time,
    /// How long it took, waiting for files in writing and for absent files included.
    pub took: Duration,
    /// Files seen.
    pub files: u64,
    /// Directories seen.
    pub directories: u64,
    /// Files it found new.
    pub new: u64,
    /// Files it found changed.
    pub changed: u64,
    /// Files it found gone.
    pub gone: u64,
    /// Too many files were gone at once: nothing of that was taken over.
    pub held: bool,
}

/// The alarm for files that are gone, and whose loss is not believed.
pub const LOSS: &str = "loss";

/// The alarm for an origin whose root is not there.
pub const ROOT_MISSING: &str = "root_missing";

/// One thing an operator should act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// A stable word for metrics.
    pub reason: &'static str,
    /// What, where, why, and what to do.
    pub text: String,
}

impl Alarm {
    /// Every reason.
    pub const REASONS: [&str; 8] = [
        "commit",
        "hung",
        "links",
        LOSS,
        ROOT_MISSING,
        "unreadable",
        "watch",
        "watch_limit",
    ];
}

/// Files that are gone, and whose loss is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// How many are absent.
    pub files: u64,
    /// The first of them, below the root.
    pub first: Vec<u8>,
    /// The directory below the root whose filesystem is not mounted any more, where that is why.
    pub unmounted: Option<Vec<u8>>,
}

/// What a file waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// It is being written: for its end, or for `write_wait`.
    Writer,
    /// It is so large that it is read beside everything else: bytes read, and bytes in all.
    Reader(u64, u64),
}

/// A file that is not known now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingFile {
    /// Its path below the root.
    pub path: Vec<u8>,
    /// What it waits for.
    pub waits_for: WaitsFor,
    /// Since when.
    pub since: Time,
}

/// An origin as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each shown on its own"
)]
pub struct OriginStatus {
    /// Changes are noticed from now on: watches are in place (or the mode has none), and the first
    /// scan is done.
    pub armed: bool,
    /// There are no events here, or not enough: it is scanned every few seconds.
    pub polling: bool,
    /// Directories under watch, as the last whole scan counted them.
    pub watched_directories: u64,
    /// Directories that could not be watched.
    pub unwatched_directories: u64,
    /// Directories that have names which are not followed, since links lead to them in too many ways.
    pub unfollowed_directories: u64,
    /// Directories that can't be listed: what is in them is not known.
    pub unreadable_directories: u64,
    /// Files whose bytes can't be read: they are compared by size and times.
    pub unreadable_files: u64,
    /// The first of those.
    pub unreadable_file: Option<String>,
    /// Files in the index.
    pub indexed_files: u64,
    /// Those of them whose content is not known yet: after a first scan they are read in the
    /// background, and large ones when they rest. Until then every sign of a write is a change.
    pub unread_files: u64,
    /// The first of them, below the root.
    pub first_unread: Option<Vec<u8>>,
    /// Whether some of them can be read now.
    pub reading: bool,
    /// The last scan of the whole origin.
    pub last_scan: Option<ScanSummary>,
    /// A scan of the whole origin runs.
    pub scanning: bool,
    /// Places that are still to be looked at; a second look at a file that was written a moment
    /// ago is not counted.
    pub pending_hints: u64,
    /// Times the kernel said that it dropped events.
    pub lost_events: u64,
    /// Hints taken from events since the start.
    pub hints_total: u64,
    /// Files that looked changed and held the same bytes.
    pub unchanged_total: u64,
    /// Changes that only the background scan found.
    pub drift_total: u64,
    /// Scans by reason.
    pub scans: BTreeMap<ScanReason, u64>,
    /// Files that are gone, and whose loss is not believed.
    pub held: Option<Held>,
    /// Files that are being written.
    pub writing_files: u64,
    /// The first of the files that are being written, and the one that is being read.
    pub waiting: Vec<WaitingFile>,
    /// What an operator should act on.
    pub alarms: Vec<Alarm>,
}

impl OriginStatus {
    /// Whether nobody has to wait for it at a start: changes are noticed, or an alarm says why not.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.armed || !self.alarms.is_empty()
    }

    /// Adds what was counted before this origin was started anew.
    pub(super) fn count_on(&mut self, before: &Self) {
        self.lost_events += before.lost_events;
        self.hints_total += before.hints_total;
        self.unchanged_total += before.unchanged_total;
        self.drift_total += before.drift_total;
        for (reason, count) in &before.scans {
            *self.scans.entry(*reason).or_default() += count;
        }
    }
}
