//! What is gone and not believed: a loss that the guard holds back (`core/loss.rs`), and what lay on
//! a filesystem that is not mounted any more. Counts for the guard, and asks again.

use std::time::Duration;

use super::End;
use super::batch::Batch;
use super::context::Context;
use super::filesystems::Filesystems;
use crate::core::loss::{self, LossGuard, Verdict};
use crate::core::time::Time;
use crate::origin::settings::{OriginSettings, ROOT_CHECK};
use crate::origin::status::{Held, shown};
use crate::origin::tree::paths::below;
use crate::origin::tree::resolver::Resolver;

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

impl Losses {
    /// What is absent now is meant so: it may go.
    pub(super) fn accept(&mut self, now: Time) {
        self.guard.accept(now);
        self.vanished.clear();
    }

    /// Whether what seems gone in a batch may be believed: nothing was unmounted there, and not too much
    /// is gone at once.
    pub(super) fn believes(
        &mut self,
        context: &Context,
        batch: &Batch,
        now: Time,
    ) -> Result<Believed, End> {
        if batch.gone_below(&self.vanished) {
            // A scan follows, and looks at the others again.
            return Ok(Believed::Nothing);
        }
        if batch.judged() == 0 {
            return Ok(Believed::All);
        }
        let (files, absent) = context.index().counts()?;
        let judged = match self.guard.judged_until() {
            Some(until) => context.index().count_absent_until(until)?,
            None => 0,
        };
        let open = absent.saturating_sub(judged);
        let present = files.saturating_sub(absent);
        if self.guard.may_go(present, open, now) {
            return Ok(Believed::All);
        }
        self.check_from(now);
        Ok(Believed::Accepted)
    }

    /// A filesystem below these paths of the origin is not mounted any more: what is absent there is
    /// held until a whole look has counted it.
    pub(super) fn unmounted(&mut self, places: Vec<Vec<u8>>, now: Time) {
        if places.is_empty() {
            return;
        }
        self.vanished.extend(places);
        self.vanished.sort();
        self.vanished.dedup();
        self.confirmed = false;
        self.unmounted_at = now;
        self.check_from(now);
    }

    /// Judges once more what is held. `looked`: every file was looked at since then. Returns whether some
    /// of it is over: what is absent now may go, and all of it is to be looked at again.
    pub(super) fn judge(
        &mut self,
        context: &Context,
        filesystems: &Filesystems,
        looked: Option<Time>,
    ) -> Result<bool, End> {
        let mut over = false;
        if self.guard.is_holding() {
            let until = self.guard.held_until().unwrap_or_default();
            let held = context.index().count_absent_until(until)?;
            over = self
                .guard
                .is_over(held, looked.is_some(), context.clock.now());
        }
        if self.vanished.is_empty() {
            return Ok(over);
        }
        let before = self.vanished.len();
        // What is mounted again is not lost any more.
        let mounted = filesystems.mounted_places(&context.inbox);
        self.vanished.retain(|place| !mounted.contains(place));
        if looked.is_some_and(|since| since >= self.unmounted_at) {
            let mut lost = Vec::new();
            for place in std::mem::take(&mut self.vanished) {
                let (files, absent) = context.index().counts_below(&place)?;
                if loss::vanished(absent, files, self.percent) {
                    lost.push(place);
                }
            }
            self.vanished = lost;
            self.confirmed = true;
        }
        Ok(over || self.vanished.len() < before)
    }

    /// While a loss is held back, from time to time: are the files back? Returns whether all of the
    /// origin is to be looked at again.
    pub(super) fn check(
        &mut self,
        context: &Context,
        filesystems: &Filesystems,
        resolver: &Resolver,
        now: Time,
    ) -> Result<bool, End> {
        let Some((_, wait)) = self.check else {
            return Ok(false);
        };
        let over = self.judge(context, filesystems, None)?;
        if !self.guard.is_holding() && self.vanished.is_empty() {
            self.check = None;
            return Ok(over);
        }
        let absent = context.index().some_absent(SAMPLE)?;
        let back = absent
            .iter()
            .any(|path| matches!(resolver.see(path), Ok(Some(_))));
        let wait = if back { (wait * 2).min(LONGEST) } else { wait };
        self.check = Some((now.after(wait), wait));
        Ok(over || back)
    }

    /// What is held, for the status.
    pub(super) fn held(&self, context: &Context) -> Result<Option<Held>, End> {
        if !self.is_holding() {
            return Ok(None);
        }
        let first = context.index().some_absent(1)?.pop();
        Ok(Some(Held {
            files: context.index().counts()?.1,
            first: shown(&first.unwrap_or_default()),
            unmounted: self.vanished.first().map(|path| shown(path)),
        }))
    }
}

/// The text of the alarm about what is held.
pub(super) fn alarm(context: &Context, resolver: &Resolver, held: &Held) -> String {
    let (origin, pipeline) = (&context.settings.name, &context.settings.pipeline);
    let first = held.first.escape_debug();
    let why = match &held.unmounted {
        Some(place) => format!(
            "the filesystem at {} is not mounted any more, and {} files of origin `{origin}` are gone with it ({first} is the first)",
            resolver.real(place.as_bytes()).display(),
            held.files
        ),
        None => format!(
            "{} files of origin `{origin}` are gone at once ({first} is the first), more than {} % of what was there, and too few new ones came in their place",
            held.files, context.settings.max_loss_percent
        ),
    };
    format!(
        "{why}: nothing of that is purged and the index is kept, until the files are back, or `edgepurge scan {pipeline} --apply --accept-loss` says that it is meant so"
    )
}
