//! One pipeline as the planner sees it: its queue, its trouble, and when its cache may be emptied
//! as a whole.

use std::time::Duration;

use super::PipelineSettings;
use crate::core::backoff::Backoff;
use crate::core::change::Seq;
use crate::core::pause::Pause;
use crate::core::purge::{AllReason, Scope};
use crate::core::queue::{PendingAll, Queue};
use crate::core::time::Time;

/// A batch stays open while a scan runs, but not longer than this.
const SCAN_HOLD: Duration = Duration::from_mins(5);
/// The longest time between two requests for `all`, however often they repeat.
const LONGEST_COOLDOWN: Duration = Duration::from_mins(30);

/// The API refuses this pipeline; others go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forbidden {
    pub(super) why: String,
    pub(super) since: Time,
    failures: u32,
    retry_at: Time,
}

#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) settings: PipelineSettings,
    pub(super) queue: Queue,
    pub(super) trouble: Option<Forbidden>,
    /// Who holds it back; some may have ended by themselves.
    pub(super) pauses: Vec<Pause>,
    scans: u32,
    last_all: Option<Time>,
    /// How often an `all` came soon after another: doubles the cool-down.
    pub(super) repeats: u32,
    /// Both, before the last `all`.
    before_all: (Option<Time>, u32),
}

impl Pipeline {
    pub(super) fn new(settings: PipelineSettings, last_all: Option<Time>) -> Self {
        Self {
            settings,
            queue: Queue::default(),
            trouble: None,
            pauses: Vec::new(),
            scans: 0,
            last_all,
            repeats: 0,
            before_all: (last_all, 0),
        }
    }

    pub(super) fn scanning(&mut self, running: bool, now: Time) {
        if running {
            self.scans += 1;
        } else {
            self.scans = self.scans.saturating_sub(1);
        }
        self.advance(now);
    }

    pub(super) fn forbid(&mut self, why: String, now: Time, rng: &mut fastrand::Rng) {
        let (failures, since) = self
            .trouble
            .as_ref()
            .map_or((0, now), |trouble| (trouble.failures, trouble.since));
        let failures = failures.saturating_add(1);
        self.trouble = Some(Forbidden {
            why,
            since,
            failures,
            retry_at: now.after(Backoff::API.wait(failures, rng)),
        });
    }

    /// A probe said nothing about this pipeline: it may be tried again at once.
    pub(super) const fn probe_again(&mut self, now: Time) {
        if let Some(trouble) = &mut self.trouble {
            trouble.retry_at = now;
        }
    }

    /// Does what time alone brings: closes the batch, ends backoffs.
    pub(super) fn advance(&mut self, now: Time) {
        self.queue.wake(now);
        if self.closes().is_some_and(|at| at <= now) {
            self.queue.close();
        }
    }

    fn closes(&self) -> Option<Time> {
        if self.scans > 0 {
            return self.queue.opened().map(|first| first.after(SCAN_HOLD));
        }
        self.queue
            .closes(self.settings.debounce, self.settings.max_wait)
    }

    /// When [`Pipeline::advance`] has something to do.
    pub(super) fn moves_at(&self) -> Option<Time> {
        [self.closes(), self.queue.next_delayed()]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn cooldown(&self) -> Duration {
        self.settings
            .all_cooldown
            .saturating_mul(1 << self.repeats.min(16))
            .min(LONGEST_COOLDOWN.max(self.settings.all_cooldown))
    }

    /// When an `all` for this reason may be sent. Nobody waits for a cool-down who asked in person.
    fn all_at(&self, reason: AllReason) -> Time {
        match self.last_all {
            Some(last) if reason != AllReason::Manual => last.after(self.cooldown()),
            _ => Time::ZERO,
        }
    }

    fn pending_all_at(&self) -> Option<Time> {
        let all = self.queue.all()?;
        // Until the batch closes, more of the same deploy may come; a person does not wait.
        let batch = match all.reason {
            AllReason::Manual => None,
            _ => self.closes(),
        };
        Some(
            self.all_at(all.reason)
                .max(all.not_before)
                .max(batch.unwrap_or(Time::ZERO)),
        )
    }

    /// When the next request may be made of what is ready; `None` when nothing is.
    pub(super) fn send_at(&self, now: Time) -> Option<Time> {
        let assets = (self.queue.ready() > 0).then_some(now);
        let due = [assets, self.pending_all_at()]
            .into_iter()
            .flatten()
            .min()?;
        let trouble = self.trouble.as_ref().map(|trouble| trouble.retry_at);
        let resumed = self.resumed()?;
        Some(due.max(resumed).max(trouble.unwrap_or(Time::ZERO)))
    }

    /// When the last pause ends; `None`: when somebody resumes.
    fn resumed(&self) -> Option<Time> {
        let mut resumed = Time::ZERO;
        for pause in &self.pauses {
            resumed = resumed.max(pause.until?);
        }
        Some(resumed)
    }

    pub(super) fn sendable(&self, now: Time) -> bool {
        self.send_at(now).is_some_and(|at| at <= now)
    }

    /// Takes what the next request purges, when the first of it was noticed, and how often it
    /// came to nothing before.
    pub(super) fn take(&mut self, now: Time, cursor: Seq) -> Option<(Scope, Time, u32)> {
        if let Some(trouble) = &mut self.trouble {
            // One probe at the end of each backoff; its reply moves this on, or clears it.
            trouble.retry_at = now.after(Backoff::API.cap());
        }
        let escalates = self
            .settings
            .all_above
            .is_some_and(|above| self.queue.ready() > above)
            && self.all_at(AllReason::Count) <= now;
        let pending = self
            .pending_all_at()
            .filter(|at| *at <= now)
            .and_then(|_| self.queue.all().copied());
        let all = pending.or_else(|| {
            escalates.then_some(PendingAll {
                reason: AllReason::Count,
                since: now,
                attempt: 0,
                not_before: Time::ZERO,
            })
        });
        if let Some(PendingAll {
            reason, attempt, ..
        }) = all
        {
            let first_seen = self.queue.take_all().unwrap_or(now);
            self.remember_all(reason, now);
            let scope = Scope::All {
                reason,
                through: cursor,
            };
            return Some((scope, first_seen, attempt));
        }
        let taken = self.queue.take(self.settings.max_assets.max(1));
        let first_seen = taken.iter().map(|(_, entry)| entry.first_seen).min()?;
        let attempt = taken.iter().map(|(_, entry)| entry.attempt).max()?;
        let assets = taken
            .into_iter()
            .map(|(asset, entry)| (asset, entry.seq))
            .collect();
        Some((Scope::Assets(assets), first_seen, attempt))
    }

    fn remember_all(&mut self, reason: AllReason, now: Time) {
        self.before_all = (self.last_all, self.repeats);
        if reason != AllReason::Manual {
            let soon = self
                .last_all
                .is_some_and(|last| now.since(last) < self.cooldown().saturating_mul(2));
            self.repeats = if soon { self.repeats + 1 } else { 0 };
        }
        self.last_all = Some(now);
    }

    /// The last `all` was never taken by the API: it emptied no cache, and nothing waits for it.
    pub(super) fn forget_all(&mut self) {
        (self.last_all, self.repeats) = self.before_all;
    }
}
