//! One pipeline as the planner sees it: its queue, its trouble, and when its cache may be emptied
//! as a whole.
//!
//! `all_above` counts all assets that are ready, not one batch: ten batches of 1,500 assets that wait for
//! the rate limit are the backlog that it is about.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::PipelineSettings;
use super::cooldown::Cooldown;
use super::drain_rate::DrainRate;
use super::parts::Parts;
use super::purge_damper::PurgeDamper;
use super::size::Size;
use crate::core::agreement::Compared;
use crate::core::asset::Asset;
use crate::core::backoff::Backoff;
use crate::core::change::Seq;
use crate::core::pause::Pause;
use crate::core::purge::{AllReason, Refusal, Scope};
use crate::core::queue::{Entry, PendingAll, Queue};
use crate::core::time::Time;

/// A batch stays open while a scan runs, but not longer than this.
const SCAN_HOLD: Duration = Duration::from_mins(5);

/// The API refuses this pipeline, or can't purge it now; others go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The last refusal.
    pub(super) refusal: Refusal,
    pub(super) since: Time,
    /// When it came.
    at: Time,
    failures: u32,
    pub(super) retry_at: Time,
}

/// What the next request is made of.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) scope: Scope,
    /// When the first of it was noticed.
    pub(super) first_seen: Time,
    /// When the last of it came to the queue.
    pub(super) queued: Time,
    /// How often it came to nothing before.
    pub(super) attempt: u32,
    /// Whether a request for some of it was overdue.
    pub(super) overdue: bool,
    /// Half of which refused batch it is.
    pub(super) trial: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) settings: PipelineSettings,
    pub(super) queue: Queue,
    /// Halves of refused batches; their assets are queued, too.
    pub(super) parts: Parts,
    pub(super) size: Size,
    pub(super) drain_rate: DrainRate,
    pub(super) damper: PurgeDamper,
    /// When the last change came; all that is known at a start came before it.
    changed: Time,
    pub(super) trouble: Option<Refused>,
    /// Why the last request came to nothing.
    pub(super) fruitless: String,
    /// Who holds it back; some may have ended by themselves.
    pub(super) pauses: Vec<Pause>,
    pub(super) scans: u32,
    /// The open batch waits until then for what is still looked at.
    held: Time,
    /// How far the live nodes of a fleet agree; `None`: they have not said it yet.
    pub(super) agreement: Option<BTreeMap<Arc<str>, Compared>>,
    /// Since when the open batch would be closed but for the nodes.
    calm: Option<Time>,
    pub(super) cooldown: Cooldown,
}

impl Pipeline {
    pub(super) fn new(settings: PipelineSettings, last_all: Option<Time>, now: Time) -> Self {
        Self {
            size: Size::new(settings.max_assets),
            damper: PurgeDamper::new(settings.hot_interval),
            cooldown: Cooldown::new(settings.all_cooldown, last_all),
            settings,
            queue: Queue::default(),
            parts: Parts::default(),
            drain_rate: DrainRate::default(),
            changed: now,
            trouble: None,
            fruitless: String::new(),
            pauses: Vec::new(),
            scans: 0,
            held: Time::ZERO,
            agreement: None,
            calm: None,
        }
    }

    /// Queues a changed asset. One that is hot waits, unless a person asks.
    pub(super) fn add(&mut self, asset: Asset, mut entry: Entry, now: Time) {
        self.changed = now;
        if !entry.manual {
            entry.not_before = entry.not_before.max(self.damper.holds(&asset));
        }
        self.queue.add(asset, entry, now);
    }

    /// Queues a purge of everything.
    pub(super) fn add_all(&mut self, all: PendingAll, now: Time) {
        self.changed = now;
        self.queue.add_all(all, now);
    }

    pub(super) const fn scanning(&mut self, running: bool) {
        if running {
            self.scans += 1;
        } else {
            self.scans = self.scans.saturating_sub(1);
        }
    }

    /// The API refuses the pipeline, in answer to a request that was opened at a time. Requests that
    /// were on their way together are refused together: that counts as one refusal.
    pub(super) fn refused(
        &mut self,
        refusal: Refusal,
        opened: Time,
        now: Time,
        rng: &mut fastrand::Rng,
    ) {
        if self.trouble.as_ref().is_some_and(|known| opened < known.at) {
            return;
        }
        let (failures, since) = self
            .trouble
            .as_ref()
            .map_or((0, now), |known| (known.failures, known.since));
        let failures = failures.saturating_add(1);
        self.trouble = Some(Refused {
            refusal,
            since,
            at: now,
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

    /// Does what time alone brings: closes the batch, ends backoffs. Returns how long what closed of it had
    /// waited for the nodes.
    pub(super) fn advance(&mut self, now: Time) -> Option<Duration> {
        self.pauses.retain(|pause| pause.holds(now));
        self.queue.wake(now);
        self.parts.prune(|asset| self.queue.holds(asset));
        if self.queue.gate().is_none() {
            self.calm = None;
        }
        let calm = self.closes().is_none_or(|at| at <= now);
        let over = self.gate_ends().is_some_and(|at| at <= now);
        let closes = self.is_full() || over || (calm && self.queue.is_open());
        if !closes {
            return None;
        }
        let (gated, agreed) = (self.queue.gate().is_some(), over || self.agrees());
        self.queue.close(agreed);
        if gated && !agreed {
            self.calm = self.calm.or(Some(now));
            return None;
        }
        let calm = self.calm.take();
        gated.then(|| now.since(calm.unwrap_or(now)))
    }

    /// Whether nothing more is to be queued, since no `all` may take its place.
    pub(super) fn is_full(&self) -> bool {
        self.settings.all_above.is_none() && self.queue.len() >= self.settings.queue_cap
    }

    pub(super) fn closes(&self) -> Option<Time> {
        if self.scans > 0 {
            return self.queue.opened().map(|first| first.after(SCAN_HOLD));
        }
        let (debounce, max_wait) = (self.settings.debounce, self.settings.max_wait);
        let closes = self.queue.closes(debounce, max_wait)?;
        let latest = self.queue.opened()?.after(max_wait);
        Some(closes.max(self.held.min(latest)))
    }

    /// When the batch closes that closes now, unless what happened before then is still looked at.
    pub(super) fn closing(&self, now: Time) -> Option<Time> {
        let (debounce, max_wait) = (self.settings.debounce, self.settings.max_wait);
        let calm = self.queue.closes(debounce, max_wait)?;
        let waits = now < self.queue.opened()?.after(max_wait);
        (waits && self.closes()? <= now).then_some(calm)
    }

    /// The open batch waits until then, but not longer than `max_wait`.
    pub(super) const fn hold(&mut self, until: Time) {
        self.held = until;
    }

    /// Whether every live node has what of the open batch waits for that.
    pub(super) fn agrees(&self) -> bool {
        self.queue.gate().is_none() || (self.agreement.is_some() && self.awaited().next().is_none())
    }

    /// The live nodes that have not got all of the open batch, as far as they said.
    pub(super) fn awaited(&self) -> impl Iterator<Item = &Arc<str>> {
        let gate = self.queue.gate();
        let lacks =
            move |node: &Compared| gate.is_some_and(|gate| !node.has(gate.first, gate.last));
        let nodes = self.agreement.iter().flatten();
        nodes
            .filter(move |(_, node)| lacks(node))
            .map(|(name, _)| name)
    }

    /// The nodes that are waited for where they have not got all of it.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.agreement.iter().flat_map(BTreeMap::keys)
    }

    /// When the open batch waits no longer for nodes.
    pub(super) fn gate_ends(&self) -> Option<Time> {
        Some(self.queue.gate()?.since.after(self.settings.fleet_wait?))
    }

    /// When [`Pipeline::advance`] has something to do.
    pub(super) fn moves_at(&self) -> Option<Time> {
        [self.closes(), self.gate_ends(), self.queue.next_delayed()]
            .into_iter()
            .flatten()
            .min()
    }

    fn pending_all_at(&self) -> Option<Time> {
        let all = self.queue.all()?;
        // Until the batch closes, more of the same deploy may come; a person does not wait.
        let batch = match all.reason {
            AllReason::Manual => None,
            _ => self.closes(),
        };
        Some(
            self.cooldown
                .ends(all.reason)
                .max(all.not_before)
                .max(batch.unwrap_or(Time::ZERO)),
        )
    }

    /// When the next request may be made of what is ready; `None` when nothing is.
    pub(super) fn send_at(&self, now: Time) -> Option<Time> {
        let assets = (self.queue.ready() > 0 || !self.parts.is_empty()).then_some(now);
        let due = [assets, self.pending_all_at()]
            .into_iter()
            .flatten()
            .min()?;
        let trouble = self.trouble.as_ref().map(|trouble| trouble.retry_at);
        let resumed = self.resumed()?;
        Some(due.max(resumed).max(trouble.unwrap_or(Time::ZERO)))
    }

    /// When the last pause ends; `None`: with `resume`.
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

    /// Takes what the next request purges.
    pub(super) fn take(&mut self, now: Time, cursor: Seq) -> Option<Taken> {
        if let Some(trouble) = &mut self.trouble {
            // One probe at the end of each backoff; its reply moves this on, or clears it.
            trouble.retry_at = now.after(Backoff::API.cap());
        }
        if let Some(all) = self.due_all(now) {
            self.parts.clear();
            let first_seen = self.queue.take_all().unwrap_or(now);
            self.cooldown.sent(all.reason, now);
            return Some(Taken {
                scope: Scope::All {
                    reason: all.reason,
                    through: cursor,
                },
                first_seen,
                queued: self.changed,
                attempt: all.attempt,
                overdue: all.overdue,
                trial: None,
            });
        }
        while let Some(part) = self.parts.next() {
            let entries = self.queue.take_these(&part.assets);
            if let Some(taken) = self.taken(entries, Some(part.trial), now) {
                return Some(taken);
            }
        }
        let entries = self.queue.take(self.size.most(now));
        self.taken(entries, None, now)
    }

    fn taken(
        &mut self,
        entries: Vec<(Asset, Entry)>,
        trial: Option<u64>,
        now: Time,
    ) -> Option<Taken> {
        self.size.sent(entries.len(), now);
        // Trying again is no change.
        for (asset, _) in entries.iter().filter(|(_, entry)| entry.attempt == 0) {
            self.damper.purged(asset, now);
        }
        let each = || entries.iter().map(|(_, entry)| entry);
        Some(Taken {
            first_seen: each().map(|entry| entry.first_seen).min()?,
            queued: each().map(|entry| entry.queued).max()?,
            attempt: each().map(|entry| entry.attempt).max()?,
            overdue: each().any(|entry| entry.overdue),
            trial,
            scope: Scope::Assets(
                entries
                    .into_iter()
                    .map(|(asset, entry)| (asset, entry.seq))
                    .collect(),
            ),
        })
    }

    /// The `all` that is sent now: one that was asked for, or one that takes the place of a backlog.
    fn due_all(&self, now: Time) -> Option<PendingAll> {
        if self.pending_all_at().is_some_and(|at| at <= now) {
            return self.queue.all().copied();
        }
        let reason = self.escalates(now)?;
        (self.cooldown.ends(reason) <= now).then_some(PendingAll {
            reason,
            since: now,
            attempt: 0,
            not_before: Time::ZERO,
            overdue: false,
        })
    }

    /// Why the backlog is better purged as a whole, if it is. Each setting answers for itself alone.
    fn escalates(&self, now: Time) -> Option<AllReason> {
        let (ready, most) = (self.queue.ready(), self.size.most(now));
        if self.settings.all_above.is_some_and(|above| ready > above) {
            return Some(AllReason::Count);
        }
        // What one request can say needs no other.
        let slow = self.settings.all_after.is_some_and(|after| {
            ready > most
                && self
                    .drain_rate
                    .drains_in(ready, most, now)
                    .is_some_and(|drains| drains > after)
        });
        slow.then_some(AllReason::Backlog)
    }
}
