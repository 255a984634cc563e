//! The guard against sudden loss: which absent files may be believed gone, which are held back, and how
//! that ends. It counts; it knows no path and reads no disk. A deletion is the one change that a disaster
//! looks like. Property tests compare the guard with deploys of every style; `origin/worker/losses.rs` counts for
//! it.
//!
//! 1. **Absent.** A look that finds no file stores the time (`absent`, in the index). If the file is back
//!    within `gone_after` with the same bytes, nothing happened. If it is back later, an edge may keep a
//!    404 of the meantime, so the file is purged as new, whether its loss was held or purged, or the
//!    daemon was killed meanwhile. A root that is missing for longer than `gone_after` makes every file
//!    absent since then. Only names that certainly do not exist count; a name that can't be looked up is
//!    not gone.
//! 2. **Judged.** A file that stays absent is judged together with all that are absent and not judged yet.
//!    A loss is held if it is more than 20 files and more than `max_loss` of the files of a minute ago. A
//!    file that came in that minute replaces up to two gone ones, and is used up by them: a build that
//!    renames its files, or merges them, loses nothing, and a disaster right after it is a loss. A single
//!    "back soon" page replaces two files and no more.
//! 3. **Held.** The index keeps what is held, with what goes missing within ten seconds after it. The
//!    alarm `loss` names the first path; `status` and `explain` show it; `wait` looks at everything once
//!    more, and fails at once if it is still held. What goes missing later is judged by itself, so that
//!    removing a single file works.
//! 4. **The end.** The loss ends when files are back, or others came without a pause of a minute, so that
//!    the rule would no longer hold it. The guard believes that when they rest, or after a look at
//!    everything (`deploy`, `scan`); then the rest may go. An operator ends it with `--accept-loss`. Time
//!    alone does not end it.
//! 5. **A missing mount.** What is absent below the place of a filesystem that is no longer mounted is
//!    held at any number of files, also over a restart, unless most of what was there is there now too.
//!    It ends when the filesystem is mounted again.

use std::collections::VecDeque;
use std::time::Duration;

use super::time::Time;

/// Losing this many files at once is never an alarm, whatever their share.
pub const ALWAYS_FINE: u64 = 20;
/// Losses closer together than this are one loss, and files that come within it replace them.
const WINDOW: Duration = Duration::from_mins(1);
/// What goes missing so soon after a loss that is held is part of it: a deletion that still runs.
const SAME_LOSS: Duration = Duration::from_secs(10);
/// How many gone files one new file stands for.
const REPLACES: u64 = 2;
/// How finely the window is counted.
const BUCKET: Duration = Duration::from_secs(1);

/// What is to be done about a file that is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may come back: look again then.
    Wait(Time),
    /// It is part of a loss that is held back.
    Held,
    /// It may go, if [`LossGuard::may_go`] agrees.
    Judge,
    /// It may go: its loss is accepted, or made up for.
    Gone,
}

/// Whether a file that was absent since `since` and is back may have been asked for meanwhile: then
/// an edge may keep the 404.
#[must_use]
pub fn was_missed(since: Time, now: Time, gone_after: Duration) -> bool {
    now.since(since) > gone_after
}

/// What happened in the last minute.
#[derive(Clone, Debug, Default)]
struct Recent {
    /// Since when, files that went and that nothing replaced, files that came and replaced nothing yet;
    /// at most one a second.
    buckets: VecDeque<(Time, u64, u64)>,
}

impl Recent {
    fn add(&mut self, lost: u64, came: u64, now: Time) {
        self.forget(now);
        match self.buckets.back_mut() {
            Some((since, all_lost, all_came)) if now.since(*since) < BUCKET => {
                *all_lost = all_lost.saturating_add(lost);
                *all_came = all_came.saturating_add(came);
            }
            _ => self.buckets.push_back((now, lost, came)),
        }
    }

    fn forget(&mut self, now: Time) {
        while self
            .buckets
            .front()
            .is_some_and(|(since, ..)| now.since(*since) > WINDOW)
        {
            self.buckets.pop_front();
        }
    }

    /// Files that were lost, and files that came.
    fn sums(&mut self, now: Time) -> (u64, u64) {
        self.forget(now);
        let sum = |part: fn(&(Time, u64, u64)) -> u64| self.buckets.iter().map(part).sum();
        (sum(|bucket| bucket.1), sum(|bucket| bucket.2))
    }

    /// Files come: those that were lost are replaced first. Returns what is left of them.
    fn make_up(&mut self, files: u64) -> u64 {
        take(files, self.buckets.iter_mut().map(|bucket| &mut bucket.1))
    }

    /// Files go: those that came replace them. Returns how many did.
    fn replace(&mut self, files: u64) -> u64 {
        files - take(files, self.buckets.iter_mut().map(|bucket| &mut bucket.2))
    }
}

/// Takes `files` off the numbers, and returns what is left of them.
fn take<'a>(mut files: u64, from: impl Iterator<Item = &'a mut u64>) -> u64 {
    for number in from {
        let part = files.min(*number);
        *number -= part;
        files -= part;
    }
    files
}

/// A loss that is held back.
#[derive(Clone, Copy, Debug)]
struct Hold {
    /// What is absent since then, or for longer, is part of it.
    until: Time,
    /// Files that were there before.
    base: u64,
    /// Files that were lost in the minute before, and files that came since then.
    lost: u64,
    came: u64,
    /// When files last came, or came back.
    active: Time,
}

/// The guard of one origin.
#[derive(Clone, Debug)]
pub struct LossGuard {
    percent: u64,
    gone_after: Duration,
    recent: Recent,
    hold: Option<Hold>,
    /// What is absent since then, or for longer, may go unless it is held.
    accepted: Option<Time>,
}

impl LossGuard {
    /// `percent`: the share of the files whose loss at once is held. `gone_after`: how long a file is
    /// absent until it counts.
    #[must_use]
    pub fn new(percent: u8, gone_after: Duration) -> Self {
        Self {
            percent: percent.into(),
            gone_after,
            recent: Recent::default(),
            hold: None,
            accepted: None,
        }
    }

    /// Whether a loss is held back.
    #[must_use]
    pub const fn is_holding(&self) -> bool {
        self.hold.is_some()
    }

    /// Until when a file must have been absent to be part of the loss that is held; `None` when none
    /// is.
    #[must_use]
    pub fn held_until(&self) -> Option<Time> {
        self.hold.map(|hold| hold.until)
    }

    /// Files absent since then or for longer are judged already.
    #[must_use]
    pub fn judged_until(&self) -> Option<Time> {
        self.held_until().max(self.accepted)
    }

    /// A file was found absent.
    pub fn missed(&mut self, now: Time) {
        if let Some(hold) = &mut self.hold
            && now.since(hold.until) <= SAME_LOSS
        {
            hold.until = hold.until.max(now);
        }
    }

    /// Files that were not known before were committed.
    pub fn came(&mut self, files: u64, now: Time) {
        if files == 0 {
            return;
        }
        let left = self.recent.make_up(files);
        self.recent.add(0, left, now);
        if let Some(hold) = &mut self.hold
            && now.since(hold.active) <= WINDOW
        {
            hold.came = hold.came.saturating_add(files);
            hold.active = now;
        }
    }

    /// Absent files are back.
    pub fn back(&mut self, now: Time) {
        if let Some(hold) = &mut self.hold {
            hold.active = now;
        }
    }

    /// What is to be done about a file that is absent since `since`.
    #[must_use]
    pub fn verdict(&self, since: Time, now: Time) -> Verdict {
        let since = since.min(now);
        let due = since.after(self.gone_after);
        if due > now {
            Verdict::Wait(due)
        } else if self.hold.is_some_and(|hold| since <= hold.until) {
            // Before what is accepted: a file that may go later does not end the hold.
            Verdict::Held
        } else if self.accepted.is_some_and(|until| since <= until) {
            Verdict::Gone
        } else {
            Verdict::Judge
        }
    }

    /// Judges all files that are absent and not judged yet (`absent`), beside those that are there
    /// (`present`). `true`: all of them may go. `false`: they are held from now on.
    pub fn may_go(&mut self, present: u64, absent: u64, now: Time) -> bool {
        let (lost, came) = self.recent.sums(now);
        let base = present
            .saturating_add(absent)
            .saturating_add(lost)
            .saturating_sub(came);
        if !self.too_great(unreplaced(absent.saturating_add(lost), came), base) {
            let replaced = self.recent.replace(absent);
            self.recent.add(unreplaced(absent, replaced), 0, now);
            self.accepted = self.accepted.max(Some(now));
            return true;
        }
        let before = self.hold;
        self.hold = Some(Hold {
            until: now,
            base: before.map_or(base, |hold| hold.base.max(base)),
            lost,
            came: before.map_or(came, |hold| hold.came.max(came)),
            active: now,
        });
        false
    }

    /// Judges the loss that is held once more: `absent` of its files still are. `complete`:
    /// every file was just looked at; else files may still be coming back, and it is not believed
    /// before they rest. Returns whether the loss is over.
    pub fn is_over(&mut self, absent: u64, complete: bool, now: Time) -> bool {
        let Some(hold) = self.hold else { return true };
        let calm = complete || now.since(hold.active) > self.gone_after;
        let lost = unreplaced(absent.saturating_add(hold.lost), hold.came);
        let over = absent == 0 || (calm && !self.too_great(lost, hold.base));
        if over {
            self.hold = None;
            self.accepted = self.accepted.max(Some(hold.until));
            self.recent.replace(absent);
        }
        over
    }

    /// An operator accepts what is absent until now.
    pub fn accept(&mut self, now: Time) {
        self.hold = None;
        self.accepted = Some(now);
        self.recent = Recent::default();
    }

    fn too_great(&self, lost: u64, base: u64) -> bool {
        lost > ALWAYS_FINE && is_more(lost, base, self.percent)
    }
}

/// Whether so many of the files below a directory whose filesystem is not mounted any more are
/// absent that nothing of that is believed. There is no number that is always fine: a small one
/// vanishes as a whole too.
#[must_use]
pub fn vanished(absent: u64, all: u64, percent: u8) -> bool {
    absent > 0 && is_more(absent, all, percent.into())
}

fn is_more(part: u64, all: u64, percent: u64) -> bool {
    u128::from(part) * 100 > u128::from(all) * u128::from(percent)
}

/// How many of so many gone files are not replaced by those that came.
fn unreplaced(gone: u64, came: u64) -> u64 {
    gone.saturating_sub(came.saturating_mul(REPLACES))
}

#[cfg(test)]
mod tests;
