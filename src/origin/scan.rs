//! Scans of a whole origin: at most one runs and one waits. Owns when they begin, what they count
//! and when they are done; the looking itself is in `examine`.

use std::time::Duration;

use tokio::sync::oneshot;

use super::hints::Cause;
use super::scope::Scope;
use super::settings::{CHUNK, POLL, ROOT_CHECK};
use super::status::{ScanReason, ScanSummary};
use super::sweep::Sweep;
use super::worker::{End, Worker};
use crate::core::change::Kind;
use crate::core::time::Time;
use crate::sink::FileChange;

/// How often the end of a scan's looks that were put off is looked for.
const TAIL_CHECK: Duration = Duration::from_millis(100);

/// A scan that has to be made.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) reason: ScanReason,
    pub(super) not_before: Time,
    /// It makes up for an overflow.
    pub(super) overflow: bool,
    pub(super) accept_loss: bool,
    pub(super) answers: Vec<oneshot::Sender<ScanSummary>>,
}

impl Pending {
    pub(super) const fn new(reason: ScanReason) -> Self {
        Self {
            reason,
            not_before: Time::ZERO,
            overflow: false,
            accept_loss: false,
            answers: Vec::new(),
        }
    }
}

/// A scan that runs.
#[derive(Debug)]
pub(super) struct Running {
    /// `None` when everything was walked, and only looks that were put off are left; and while a step of
    /// it is made.
    sweep: Option<Sweep>,
    walking: bool,
    reason: ScanReason,
    started: Time,
    tail_check: Time,
    /// Looks that are put off for longer than this are not waited for.
    give_up: Time,
    accept_loss: bool,
    baseline: bool,
    files: u64,
    counts: [u64; 3],
    answers: Vec<oneshot::Sender<ScanSummary>>,
}

impl Running {
    pub(super) const fn walking(&self) -> bool {
        self.walking
    }

    /// The files that it has looked at.
    pub(super) const fn files(&self) -> u64 {
        self.files
    }

    pub(super) const fn accepts_loss(&self) -> bool {
        self.accept_loss
    }

    pub(super) fn wakes_at(&self) -> Option<Time> {
        (!self.walking).then_some(self.tail_check)
    }
}

impl Worker {
    /// Asks for a scan: joins the one that waits, if one does.
    pub(super) fn want(&mut self, mut wanted: Pending) {
        match &mut self.pending {
            None => self.pending = Some(wanted),
            Some(pending) => {
                pending.reason = pending.reason.max(wanted.reason);
                pending.not_before = pending.not_before.min(wanted.not_before);
                pending.overflow |= wanted.overflow;
                pending.accept_loss |= wanted.accept_loss;
                pending.answers.append(&mut wanted.answers);
            }
        }
    }

    /// Begins the scan that waits, if it is time and none runs.
    pub(super) fn start_scan(&mut self, now: Time) {
        if self.next_rescan.is_some_and(|time| time <= now) {
            self.next_rescan = None;
            self.want(Pending::new(if self.polls_all() {
                ScanReason::Poll
            } else {
                ScanReason::Rescan
            }));
        }
        if self.running.as_ref().is_some_and(Running::walking) {
            return;
        }
        let Some(pending) = self.pending.take_if(|pending| pending.not_before <= now) else {
            return;
        };
        // What the scan before still waits for, this one finds too.
        let before = self
            .running
            .take()
            .filter(|before| !before.answers.is_empty());
        let (mut answers, counts) =
            before.map_or_else(Default::default, |before| (before.answers, before.counts));
        answers.extend(pending.answers);
        if pending.overflow {
            self.overflow_at = now;
        }
        self.begin_round();
        self.closed.clear();
        self.inbox.links.clear();
        self.committer.sink.scanning(&self.settings.pipeline, true);
        *self.status.scans.entry(pending.reason).or_default() += 1;
        let started = self.clock.now();
        let mut sweep = Sweep::new(
            &self.resolver(),
            &self.ignore,
            self.cover().as_ref(),
            self.committer.index.clone(),
            b"",
            Cause::Scan(pending.reason),
            started,
        );
        sweep.baseline = (!self.indexed).then_some(self.armed_at);
        sweep.doubt = std::mem::take(&mut self.doubt);
        self.running = Some(Running {
            sweep: Some(sweep),
            walking: true,
            reason: pending.reason,
            started,
            tail_check: started,
            give_up: started,
            accept_loss: pending.accept_loss,
            baseline: !self.indexed,
            files: 0,
            counts,
            answers,
        });
        tracing::debug!(origin = %self.settings.name, reason = pending.reason.as_str(), "scan");
    }

    /// Goes on with the scan that runs. Returns whether there is more to do at once.
    pub(super) fn step_scan(&mut self, entries: usize) -> Result<bool, End> {
        let Some(running) = &mut self.running else {
            return Ok(false);
        };
        let Some(mut sweep) = running.sweep.take() else {
            self.check_tail()?;
            return Ok(false);
        };
        let more = self.sweep(&mut sweep, entries)?;
        self.commit()?;
        let now = self.clock.now();
        let Some(running) = &mut self.running else {
            return Ok(true);
        };
        running.files = sweep.files;
        if more {
            running.sweep = Some(sweep);
            return Ok(true);
        }
        running.walking = false;
        running.tail_check = now;
        running.give_up = now
            .after(self.settings.write_wait)
            .after(self.settings.gone_after)
            .after(ROOT_CHECK);
        self.walked()?;
        Ok(true)
    }

    /// Everything was walked once.
    fn walked(&mut self) -> Result<(), End> {
        let baseline = self
            .running
            .as_ref()
            .is_some_and(|running| running.baseline);
        if baseline || self.former.is_some() {
            let scope = Scope::of(&self.settings).written();
            let mut status = self.trouble_reporter();
            self.committer
                .write(&mut status, |index| index.set_indexed(&scope))?;
            self.indexed = true;
            self.former = None;
            self.count_unread()?;
        }
        let looked = self.running.as_ref().map(|running| running.started);
        self.end_round();
        self.renumbered = None;
        self.keep_surroundings()?;
        self.count_files()?;
        self.committer.sink.scanning(&self.settings.pipeline, false);
        self.judge_losses(looked)
    }

    fn check_tail(&mut self) -> Result<(), End> {
        let now = self.clock.now();
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        if running.tail_check > now {
            return Ok(());
        }
        running.tail_check = now.after(TAIL_CHECK);
        let left = self
            .inbox
            .lock()
            .hints
            .any(|mark| matches!(mark.cause, Cause::Scan(_)));
        if !left || now >= running.give_up {
            self.end_scan()?;
        }
        Ok(())
    }

    /// Ends the scan that runs, and answers whoever waits for it.
    fn end_scan(&mut self) -> Result<(), End> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        // Looks that were put off may have found what was held.
        self.judge_losses(Some(running.started))?;
        self.count_files()?;
        let now = self.clock.now();
        let took = now.since(running.started);
        let [new, changed, gone] = running.counts;
        let summary = ScanSummary {
            reason: running.reason,
            began: running.started,
            ended: now,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            files: running.files,
            new,
            changed,
            gone,
            held: self.losses.is_holding(),
        };
        tracing::info!(
            origin = %self.settings.name, reason = summary.reason.as_str(), files = summary.files,
            new, changed, gone, held = summary.held, took = ?took, "scanned"
        );
        self.status.last_scan = Some(summary);
        if let Some(observer) = &self.settings.observer {
            observer.scanned(took);
        }
        // Whoever gets the answer finds the same in the status.
        self.publish();
        for answer in running.answers {
            if answer.send(summary).is_err() {
                tracing::debug!("whoever asked for the scan has gone away");
            }
        }
        let wait = if self.polls_all() {
            POLL.max(took.saturating_mul(10)).min(self.settings.rescan)
        } else {
            self.settings.rescan
        };
        self.next_rescan = Some(now.after(wait));
        Ok(())
    }

    /// Gives up the scan that runs: the root it looks at is no longer the root. It waits again.
    pub(super) fn abort_scan(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        if let Some(sweep) = running.sweep {
            self.committer.sink.scanning(&self.settings.pipeline, false);
            self.doubt.add(sweep.doubt);
        }
        self.want(Pending {
            accept_loss: running.accept_loss,
            answers: running.answers,
            ..Pending::new(running.reason)
        });
    }

    /// Counts what was committed.
    pub(super) fn count_changes(&mut self, changes: &[FileChange]) {
        for change in changes {
            let slot = match change.kind {
                Kind::New => 0,
                Kind::Gone => 2,
                Kind::Changed | Kind::Asked => 1,
            };
            if change.source == crate::core::change::Source::Watch {
                continue;
            }
            if *change.detail == *ScanReason::Rescan.as_str() {
                self.status.drift_total += 1;
            }
            if let Some(running) = &mut self.running {
                running.counts[slot] += 1;
            }
        }
        debug_assert!(changes.len() <= CHUNK + 1, "a batch is bounded");
    }
}
