//! What is gone and not believed: a loss that the guard holds back (`core/loss.rs`), and what lay on
//! a filesystem that is not mounted any more. Counts for the guard, and asks again.

use std::time::Duration;

use super::batch::Batch;
use super::scans::Pending;
use super::{End, Worker};
use crate::core::loss::{self, LossGuard, Verdict};
use crate::core::time::Time;
use crate::origin::settings::{OriginSettings, ROOT_CHECK};
use crate::origin::status::{Held, ScanReason, shown};
use crate::origin::tree::paths::below;

/// The longest time between two scans that only ask whether a loss is over.
const LONGEST: Duration = Duration::from_mins(1);
/// Absent files asked for at each check whether they are back.
const SAMPLE: u32 = 64;

/// The losses of an origin.
#[derive(Debug)]
pub(super) struct Losses {
    guard: LossGuard,
    percent: u8,
    /// Directories of the origin that lay on a filesystem which is not mounted any more.
    vanished: Vec<Vec<u8>>,
    /// When the last of them was found to be so.
    unmounted_at: Time,
    /// A whole look since then found that this is a loss indeed.
    confirmed: bool,
    /// When to look again whether the loss is over, and how long after that.
    check: Option<(Time, Duration)>,
}

impl Losses {
    pub(super) fn new(settings: &OriginSettings) -> Self {
        Self {
            guard: LossGuard::new(settings.max_loss_percent, settings.gone_after),
            percent: settings.max_loss_percent,
            vanished: Vec::new(),
            unmounted_at: Time::ZERO,
            confirmed: false,
            check: None,
        }
    }

    /// Whether anything is held back.
    pub(super) fn is_holding(&self) -> bool {
        self.guard.is_holding() || (self.confirmed && !self.vanished.is_empty())
    }

    /// Directories whose filesystem is not mounted any more.
    pub(super) fn vanished(&self) -> &[Vec<u8>] {
        &self.vanished
    }

    pub(super) fn wakes_at(&self) -> Option<Time> {
        self.check.map(|(time, _)| time)
    }

    /// A file was found absent.
    pub(super) fn missed(&mut self, now: Time) {
        self.guard.missed(now);
    }

    /// An absent file is back.
    pub(super) fn back(&mut self, now: Time) {
        self.guard.back(now);
        self.check_soon(now);
    }

    /// What is to be done about a file that is absent.
    pub(super) fn verdict(&self, path: &[u8], since: Time, now: Time) -> Verdict {
        match self.guard.verdict(since, now) {
            Verdict::Judge | Verdict::Gone if self.has_vanished(path) => Verdict::Held,
            verdict => verdict,
        }
    }

    fn has_vanished(&self, path: &[u8]) -> bool {
        self.vanished.iter().any(|place| below(path, place))
    }

    /// Counts what was committed.
    pub(super) fn committed(&mut self, batch: &Batch, now: Time) {
        let new = batch.came();
        self.guard.came(new, now);
        if new > 0 {
            self.check_soon(now);
        }
    }

    /// Something came: what is held may be made up for.
    fn check_soon(&mut self, now: Time) {
        if let Some((time, _)) = &mut self.check {
            *time = (*time).min(now.after(ROOT_CHECK));
        }
    }

    fn check_from(&mut self, now: Time) {
        self.check
            .get_or_insert((now.after(ROOT_CHECK), ROOT_CHECK));
    }
}

/// What of the files that seem gone is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Believed {
    All,
    /// Only what the guard agreed to before.
    Accepted,
    Nothing,
}

impl Worker {
    /// Whether what seems gone may be believed: the root is the one it was, nothing was unmounted, and
    /// not too much is gone at once.
    pub(super) fn may_go(&mut self, now: Time) -> Result<Believed, End> {
        if !self.presence.is_still(&self.context.settings.root) {
            self.presence.check_by(now);
            return Ok(Believed::Nothing);
        }
        if self.scans.accepts_loss() {
            self.losses.guard.accept(now);
            self.losses.vanished.clear();
            return Ok(Believed::All);
        }
        self.check_mounts();
        if self.batch.gone_below(&self.losses.vanished) {
            // A scan follows, and looks at the others again.
            return Ok(Believed::Nothing);
        }
        if self.batch.judged() == 0 {
            return Ok(Believed::All);
        }
        let (files, absent) = self.context.index().counts()?;
        let judged = match self.losses.guard.judged_until() {
            Some(until) => self.context.index().count_absent_until(until)?,
            None => 0,
        };
        let open = absent.saturating_sub(judged);
        let present = files.saturating_sub(absent);
        if self.losses.guard.may_go(present, open, now) {
            return Ok(Believed::All);
        }
        self.losses.check_from(now);
        self.count_held()?;
        Ok(Believed::Accepted)
    }

    /// A filesystem below these paths of the origin is not mounted any more: what is absent there is
    /// held until a whole look has counted it.
    pub(super) fn unmounted(&mut self, places: Vec<Vec<u8>>, now: Time) {
        if places.is_empty() {
            return;
        }
        self.losses.vanished.extend(places);
        self.losses.vanished.sort();
        self.losses.vanished.dedup();
        self.losses.confirmed = false;
        self.losses.unmounted_at = now;
        self.losses.check_from(now);
    }

    /// What is mounted again is not lost any more.
    fn drop_mounted(&mut self) {
        let mounted = self.filesystems.mounted_places(&self.context.inbox);
        self.losses
            .vanished
            .retain(|place| !mounted.contains(place));
    }

    /// Judges once more what is held. `looked`: every file was looked at since then.
    pub(super) fn judge_losses(&mut self, looked: Option<Time>) -> Result<(), End> {
        if self.losses.guard.is_holding() {
            let until = self.losses.guard.held_until().unwrap_or_default();
            let held = self.context.index().count_absent_until(until)?;
            let now = self.context.clock.now();
            if self.losses.guard.is_over(held, looked.is_some(), now) {
                self.loss_over();
            }
        }
        if !self.losses.vanished.is_empty() {
            let before = self.losses.vanished.len();
            self.drop_mounted();
            if looked.is_some_and(|since| since >= self.losses.unmounted_at) {
                let mut lost = Vec::new();
                for place in std::mem::take(&mut self.losses.vanished) {
                    let (files, absent) = self.context.index().counts_below(&place)?;
                    if loss::vanished(absent, files, self.losses.percent) {
                        lost.push(place);
                    }
                }
                self.losses.vanished = lost;
                self.losses.confirmed = true;
            }
            if self.losses.vanished.len() < before {
                self.loss_over();
            }
        }
        self.count_held()
    }

    /// While a loss is held back: are the files back?
    pub(super) fn check_losses(&mut self, now: Time) -> Result<(), End> {
        let Some((time, wait)) = self.losses.check else {
            return Ok(());
        };
        if time > now || self.scans.is_running() {
            return Ok(());
        }
        self.judge_losses(None)?;
        if !self.losses.guard.is_holding() && self.losses.vanished.is_empty() {
            self.losses.check = None;
            return Ok(());
        }
        let resolver = self.resolver();
        let back = self
            .context
            .index()
            .some_absent(SAMPLE)?
            .iter()
            .any(|path| matches!(resolver.see(path), Ok(Some(_))));
        let wait = if back {
            self.scans.want(Pending::new(ScanReason::LostWatch));
            (wait * 2).min(LONGEST)
        } else {
            wait
        };
        self.losses.check = Some((now.after(wait), wait));
        Ok(())
    }

    /// What is absent now may go: look at all of it again.
    fn loss_over(&mut self) {
        self.scans.want(Pending::new(ScanReason::LostWatch));
    }

    /// Counts what is held, for the status.
    fn count_held(&mut self) -> Result<(), End> {
        let held = if self.losses.is_holding() {
            let first = self.context.index().some_absent(1)?.pop();
            Some(Held {
                files: self.context.index().counts()?.1,
                first: shown(&first.unwrap_or_default()),
                unmounted: self.losses.vanished.first().map(|path| shown(path)),
            })
        } else {
            None
        };
        self.report.set_held(held);
        Ok(())
    }
}
