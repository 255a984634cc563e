//! The status of an origin, as its worker keeps and publishes it.

use tokio::sync::watch;

use crate::origin::status::{Held, OriginStatus, ScanReason, ScanSummary};

/// The status, and where it is published.
pub(super) struct Report {
    status: OriginStatus,
    published: watch::Sender<OriginStatus>,
}

impl Report {
    pub(super) const fn new(status: OriginStatus, published: watch::Sender<OriginStatus>) -> Self {
        Self { status, published }
    }

    /// Counts a scan, or a look at a directory.
    pub(super) fn count_scan(&mut self, reason: ScanReason) {
        *self.status.scans.entry(reason).or_default() += 1;
    }

    /// Counts files that were written and have the same bytes.
    pub(super) const fn count_unchanged(&mut self, files: u64) {
        self.status.unchanged_total += files;
    }

    /// Counts changes that no event reported.
    pub(super) const fn count_drift(&mut self, changes: u64) {
        self.status.drift_total += changes;
    }

    /// What the watch lost and delivered so far.
    pub(super) const fn set_events(&mut self, lost: u64, hints: u64) {
        self.status.lost_events = lost;
        self.status.hints_total = hints;
    }

    pub(super) const fn set_files(&mut self, files: u64) {
        self.status.indexed_files = files;
    }

    pub(super) fn set_held(&mut self, held: Option<Held>) {
        self.status.held = held;
    }

    pub(super) const fn held(&self) -> Option<&Held> {
        self.status.held.as_ref()
    }

    pub(super) const fn set_scanned(&mut self, summary: ScanSummary) {
        self.status.last_scan = Some(summary);
    }

    /// Publishes the status, with what `fill` sets in it, if it differs from the published one.
    pub(super) fn publish(&mut self, fill: impl FnOnce(&mut OriginStatus)) {
        fill(&mut self.status);
        self.status.publish(&self.published);
    }
}
