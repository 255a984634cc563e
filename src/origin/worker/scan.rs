//! What a scan does: begins, walks in steps, waits for the looks that were put off, and ends. When one
//! begins is decided in `scans`; the looking itself is in `examine`.

use super::scans::Running;
use super::scope::Scope;
use super::sweep::Sweep;
use super::{End, Worker};
use crate::core::change::Source;
use crate::core::time::Time;
use crate::origin::settings::{CHUNK, POLL, ROOT_CHECK};
use crate::origin::status::ScanReason;
use crate::origin::watch::hints::Cause;
use crate::sink::FileChange;

impl Worker {
    /// Begins the scan that waits, if it is time and none runs.
    pub(super) fn start_scan(&mut self, now: Time) {
        let polls = self.polls_all();
        let Some(begun) = self.scans.take_due(polls, now) else {
            return;
        };
        self.begin_round();
        self.context.inbox.links.clear();
        self.context.scanning(true);
        self.report.count_scan(begun.reason);
        let mut sweep = Sweep::new(
            self.names.resolver(),
            &self.context.ignore,
            self.observer().as_ref(),
            self.context.index().clone(),
            b"",
            Cause::Scan(begun.reason),
            self.context.clock.now(),
        );
        let baseline = !self.scope.is_complete();
        sweep.baseline = baseline.then_some(self.watching.armed_at());
        sweep.doubt = self.filesystems.take_doubt();
        tracing::debug!(origin = %self.context.settings.name, reason = begun.reason.as_str(), "scan");
        self.scans.begin(begun, sweep, baseline);
    }

    /// Goes on with the scan that runs. Returns whether there is more to do at once.
    pub(super) fn step_scan(&mut self, entries: usize) -> Result<bool, End> {
        let Some(mut sweep) = self.scans.take_sweep() else {
            self.check_tail()?;
            return Ok(false);
        };
        let more = self.sweep(&mut sweep, entries)?;
        self.commit()?;
        if more {
            self.scans.go_on(sweep);
            return Ok(true);
        }
        let now = self.context.clock.now();
        let settings = &self.context.settings;
        let patience = settings.write_wait + settings.gone_after + ROOT_CHECK;
        let walked = self.scans.walked(sweep.files, now.after(patience), now);
        if let Some((started, baseline)) = walked.map(Running::walk) {
            self.walked(started, baseline)?;
        }
        Ok(true)
    }

    /// Everything was walked once. `baseline`: for the first time.
    fn walked(&mut self, started: Time, baseline: bool) -> Result<(), End> {
        if baseline || self.scope.former().is_some() {
            let scope = Scope::of(&self.context.settings).written();
            self.context.write(|index| index.set_indexed(&scope))?;
            self.scope.completed();
            self.reading.recount(&self.context)?;
        }
        self.end_round();
        let root = self.presence.root();
        self.filesystems
            .scanned(&self.context, root, &self.losses)?;
        self.count_files()?;
        self.context.scanning(false);
        self.judge_losses(started)
    }

    fn check_tail(&mut self) -> Result<(), End> {
        let inbox = &self.context.inbox;
        let scans = |cause| matches!(cause, Cause::Scan(_));
        let left = || inbox.lock().hints.any(|hint| scans(hint.cause));
        match self.scans.take_ended(self.context.clock.now(), left) {
            Some(ended) => self.end_scan(ended),
            None => Ok(()),
        }
    }

    /// Ends a scan, and answers all that wait for it.
    fn end_scan(&mut self, ended: Running) -> Result<(), End> {
        // Looks that were put off may have found what was held.
        self.judge_losses(ended.started())?;
        self.count_files()?;
        let now = self.context.clock.now();
        let took = now.since(ended.started());
        let summary = ended.summary(self.losses.is_holding(), now);
        tracing::info!(
            origin = %self.context.settings.name, reason = summary.reason.as_str(), files = summary.files,
            new = summary.new, changed = summary.changed, gone = summary.gone, held = summary.held,
            took = ?took, "scanned"
        );
        self.report.set_scanned(summary);
        if let Some(observer) = &self.context.settings.observer {
            observer.scanned(took);
        }
        // What gets the answer finds the same in the status.
        self.publish();
        ended.answer(summary);
        let rescan = self.context.settings.rescan;
        let wait = if self.polls_all() {
            POLL.max(took.saturating_mul(10)).min(rescan)
        } else {
            rescan
        };
        self.scans.set_next(now.after(wait));
        Ok(())
    }

    /// Gives up the scan that runs: the root it looks at is no longer the root. It waits again.
    pub(super) fn abort_scan(&mut self) {
        if let Some(sweep) = self.scans.abort() {
            self.context.scanning(false);
            self.filesystems.give_back(sweep.doubt);
        }
    }

    /// Counts what was committed.
    pub(super) fn count_changes(&mut self, changes: &[FileChange]) {
        debug_assert!(changes.len() <= CHUNK + 1, "a batch is bounded");
        let drift = |change: &&FileChange| {
            change.source != Source::Watch && *change.detail == *ScanReason::Rescan.as_str()
        };
        let drift = changes.iter().filter(drift).count();
        self.report.count_drift(drift as u64);
        self.scans.count(changes);
    }
}
