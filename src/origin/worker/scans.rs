//! The scans of an origin: at most one runs and one waits. When they begin, what they count and when
//! they are over.

use std::time::Duration;

use tokio::sync::oneshot;

use super::sweep::Sweep;
use crate::core::change::{Kind, Source};
use crate::core::time::Time;
use crate::origin::settings::POLL;
use crate::origin::status::{ScanReason, ScanSummary};
use crate::sink::FileChange;

/// The longest time between two scans that make up for overflows, or for new links.
const LONGEST: Duration = Duration::from_mins(1);
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

/// A scan that begins.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) reason: ScanReason,
    accept_loss: bool,
    counts: Counts,
    answers: Vec<oneshot::Sender<ScanSummary>>,
}

/// A scan that runs.
#[derive(Debug)]
pub(super) struct Running {
    /// `None` when everything was walked, and only looks that were put off are left; and while a step of
    /// it is made.
    sweep: Option<Sweep>,
    walking: bool,
    begun: Begun,
    started: Time,
    tail_check: Time,
    /// Looks that are put off for longer than this are not waited for.
    give_up: Time,
    /// The index was never complete when it began.
    baseline: bool,
    files: u64,
}

/// What a scan found.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    new: u64,
    changed: u64,
    gone: u64,
}

impl Running {
    pub(super) const fn started(&self) -> Time {
        self.started
    }

    /// When its walk began, and whether the index was never complete then.
    pub(super) const fn walk(&self) -> (Time, bool) {
        (self.started, self.baseline)
    }

    pub(super) fn summary(&self, held: bool, now: Time) -> ScanSummary {
        let took = now.since(self.started).as_millis();
        let Counts { new, changed, gone } = self.begun.counts;
        ScanSummary {
            reason: self.begun.reason,
            began: self.started,
            ended: now,
            took_ms: u64::try_from(took).unwrap_or(u64::MAX),
            files: self.files,
            new,
            changed,
            gone,
            held,
        }
    }

    /// Answers all that wait for it.
    pub(super) fn answer(self, summary: ScanSummary) {
        for answer in self.begun.answers {
            if answer.send(summary).is_err() {
                tracing::debug!("a request for the scan was given up");
            }
        }
    }
}

/// Scans for one cause: the first at once, and then ever more rarely, but always one after the last
/// cause.
#[derive(Debug, Default)]
struct Spacing {
    last: Time,
    wait: Duration,
}

impl Spacing {
    /// When the next one may begin.
    fn next(&mut self, now: Time) -> Time {
        if now.since(self.last) > LONGEST * 2 {
            self.wait = Duration::ZERO;
        }
        let next = self.last.after(self.wait).max(now);
        self.wait = (self.wait * 2).clamp(Duration::from_secs(1), LONGEST);
        next
    }
}

/// The scans of an origin.
#[derive(Debug)]
pub(super) struct Scans {
    waiting: Option<Pending>,
    running: Option<Running>,
    /// When the origin is scanned without a cause.
    next: Option<Time>,
    /// Everything was polled a turn ago.
    polled: bool,
    /// Since the scan that made up for the last overflow began.
    overflows: Spacing,
    links: Spacing,
}

impl Scans {
    /// With the one that each start makes.
    pub(super) fn new() -> Self {
        Self {
            waiting: Some(Pending::new(ScanReason::Start)),
            running: None,
            next: None,
            polled: false,
            overflows: Spacing::default(),
            links: Spacing::default(),
        }
    }

    pub(super) const fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    pub(super) const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(super) fn is_walking(&self) -> bool {
        { self.running.as_ref() }.is_some_and(|running| running.walking)
    }

    /// The files that the running walk has looked at; 0 where none runs.
    pub(super) fn walked_files(&self) -> u64 {
        let walks = self.running.as_ref().filter(|running| running.walking);
        walks.map_or(0, |running| running.files)
    }

    pub(super) fn accepts_loss(&self) -> bool {
        { self.running.as_ref() }.is_some_and(|running| running.begun.accept_loss)
    }

    /// Asks for a scan: joins the one that waits, if one does.
    pub(super) fn want(&mut self, mut wanted: Pending) {
        match &mut self.waiting {
            None => self.waiting = Some(wanted),
            Some(waiting) => {
                waiting.reason = waiting.reason.max(wanted.reason);
                waiting.not_before = waiting.not_before.min(wanted.not_before);
                waiting.overflow |= wanted.overflow;
                waiting.accept_loss |= wanted.accept_loss;
                waiting.answers.append(&mut wanted.answers);
            }
        }
    }

    /// Asks for a scan that makes up for an overflow.
    pub(super) fn want_after_overflow(&mut self, now: Time) {
        if { self.waiting.as_ref() }.is_some_and(|waiting| waiting.overflow) {
            return;
        }
        let not_before = self.overflows.next(now);
        self.want(Pending {
            overflow: true,
            not_before,
            ..Pending::new(ScanReason::Overflow)
        });
    }

    /// Asks for a scan that finds the bound of links anew.
    pub(super) fn want_for_links(&mut self, now: Time) {
        if self.is_waiting() {
            return;
        }
        let not_before = self.links.next(now);
        self.links.last = not_before;
        self.want(Pending {
            not_before,
            ..Pending::new(ScanReason::Directory)
        });
    }

    /// From a moment on only scans find everything: the next one comes soon.
    pub(super) fn poll_soon(&mut self, polls: bool, now: Time) {
        if polls && !self.polled {
            let soon = now.after(POLL);
            self.next = self.next.map(|time| time.min(soon));
        }
        self.polled = polls;
    }

    /// The scan that waits, if it is time and none walks. `polls`: scans alone find everything.
    pub(super) fn take_due(&mut self, polls: bool, now: Time) -> Option<Begun> {
        if self.next.take_if(|time| *time <= now).is_some() {
            self.want(Pending::new(if polls {
                ScanReason::Poll
            } else {
                ScanReason::Rescan
            }));
        }
        if self.is_walking() {
            return None;
        }
        let due = self.waiting.take_if(|waiting| waiting.not_before <= now)?;
        if due.overflow {
            self.overflows.last = now;
        }
        // What the scan before still waits for, this one finds too.
        let before = self.running.take().map(|running| running.begun);
        let before = before.filter(|before| !before.answers.is_empty());
        let (mut answers, counts) =
            before.map_or_else(Default::default, |before| (before.answers, before.counts));
        answers.extend(due.answers);
        Some(Begun {
            reason: due.reason,
            accept_loss: due.accept_loss,
            counts,
            answers,
        })
    }

    /// A scan begins to walk.
    pub(super) fn begin(&mut self, begun: Begun, sweep: Sweep, baseline: bool) {
        let started = sweep.first;
        self.running = Some(Running {
            sweep: Some(sweep),
            walking: true,
            begun,
            started,
            tail_check: started,
            give_up: started,
            baseline,
            files: 0,
        });
    }

    /// The walk of the scan that runs, for a step.
    pub(super) fn take_sweep(&mut self) -> Option<Sweep> {
        self.running.as_mut()?.sweep.take()
    }

    /// After a step there is more.
    pub(super) fn go_on(&mut self, sweep: Sweep) {
        if let Some(running) = &mut self.running {
            running.files = sweep.files;
            running.sweep = Some(sweep);
        }
    }

    /// Everything was walked once. Looks that are put off are waited for until `give_up`.
    pub(super) fn walked(&mut self, files: u64, give_up: Time, now: Time) -> Option<&Running> {
        let running = self.running.as_mut()?;
        running.files = files;
        running.walking = false;
        running.tail_check = now;
        running.give_up = give_up;
        Some(running)
    }

    /// Whether the scan whose walk is over is over itself; `left`: whether some of its looks were put
    /// off.
    pub(super) fn take_ended(&mut self, now: Time, left: impl FnOnce() -> bool) -> Option<Running> {
        let running = self.running.as_mut()?;
        if running.tail_check > now {
            return None;
        }
        running.tail_check = now.after(TAIL_CHECK);
        let over = now >= running.give_up || !left();
        self.running.take_if(|_| over)
    }

    /// The next one without a cause comes then.
    pub(super) const fn set_next(&mut self, next: Time) {
        self.next = Some(next);
    }

    /// Gives up the scan that runs; it waits again. Returns its walk, if that is not over.
    pub(super) fn abort(&mut self) -> Option<Sweep> {
        let running = self.running.take()?;
        self.want(Pending {
            accept_loss: running.begun.accept_loss,
            answers: running.begun.answers,
            ..Pending::new(running.begun.reason)
        });
        running.sweep
    }

    /// Counts what was committed.
    pub(super) fn count(&mut self, changes: &[FileChange]) {
        let Some(running) = &mut self.running else {
            return;
        };
        let counts = &mut running.begun.counts;
        for change in changes {
            let count = match change.kind {
                _ if change.source == Source::Watch => continue,
                Kind::New => &mut counts.new,
                Kind::Changed | Kind::Asked => &mut counts.changed,
                Kind::Gone => &mut counts.gone,
            };
            *count += 1;
        }
    }

    /// When something is due without a cause.
    pub(super) fn wakes_at(&self) -> [Option<Time>; 2] {
        let own = match (&self.running, &self.waiting) {
            (Some(running), _) => (!running.walking).then_some(running.tail_check),
            (None, waiting) => waiting.as_ref().map(|waiting| waiting.not_before),
        };
        [self.next, own]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_000_000_000);

    #[test]
    fn storms_get_a_scan_at_once_and_then_ever_more_rarely() {
        let mut scans = Scans::new();
        let mut now = NOW;
        let mut waits = Vec::new();
        scans.waiting = None;
        for _ in 0..9 {
            scans.want_after_overflow(now);
            let due = scans.waiting.as_ref().unwrap().not_before;
            waits.push(due.since(now).as_secs());
            now = due;
            assert!(scans.take_due(false, now).is_some());
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        scans.want_after_overflow(now.after(LONGEST * 3));
        let due = scans.waiting.as_ref().unwrap().not_before;
        assert_eq!(due, now.after(LONGEST * 3), "the storm is over");
    }

    #[test]
    fn a_scan_that_waits_takes_in_all_that_are_asked_for() {
        let mut scans = Scans::new();
        scans.want(Pending {
            accept_loss: true,
            not_before: NOW,
            ..Pending::new(ScanReason::Request)
        });
        let begun = scans.take_due(false, Time::ZERO).unwrap();
        assert!(begun.accept_loss);
        assert_eq!(begun.reason, ScanReason::Request.max(ScanReason::Start));
        assert!(scans.take_due(false, NOW).is_none());
    }

    #[test]
    fn without_events_the_next_scan_comes_soon() {
        let mut scans = Scans::new();
        scans.waiting = None;
        scans.set_next(NOW.after(Duration::from_hours(1)));
        scans.poll_soon(true, NOW);
        assert_eq!(scans.wakes_at(), [Some(NOW.after(POLL)), None]);
        assert!(scans.take_due(true, NOW).is_none());
        let begun = scans.take_due(true, NOW.after(POLL)).unwrap();
        assert_eq!(begun.reason, ScanReason::Poll);
    }
}
