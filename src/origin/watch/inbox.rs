//! Where the watch, the handle and the worker meet: hints, bad news of the watch, and requests. The
//! event handler only ever puts something in here; it never looks at a file, blocks or drops.
//!
//! The registries that events are resolved with (places, unwatched directories, cookies, links, targets) each
//! have a lock of their own, held for one question: under one lock, an event would wait for a walk that fills
//! another of them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Event;
use super::cookie::Cookies;
use super::hints::{Cause, Hint, Hints, Nature};
use super::unwatched::Unwatched;
use crate::clock::Clock;
use crate::core::delivery::Names;
use crate::core::time::Time;
use crate::origin::settings::SETTLED;
use crate::origin::status::ScanError;
use crate::origin::status::{ScanReason, ScanSummary};
use crate::origin::tree::ignore::Ignore;
use crate::origin::tree::links::FileLinks;
use crate::origin::tree::links_bound::Heartbeat;
use crate::origin::tree::places::Places;
use crate::origin::tree::targets::Targets;

/// Scans that may be waited for at once.
const REQUESTS: usize = 1_024;
/// A name on the way to the root came or went: so soon after, the root is looked at. One that is
/// replaced is missing for a moment.
const WAY: Duration = Duration::from_millis(100);

/// A worker that has not turned for so long waits for something.
const MOMENT: Duration = Duration::from_millis(250);

/// A worker that waits says so often that it is there.
const TURN: Duration = Duration::from_secs(2);

/// The link through which the files of a Kubernetes volume are reached, and which is swapped.
const DATA: &str = "..data";

/// A scan that a caller waits for.
#[derive(Debug)]
pub(in crate::origin) struct Request {
    pub(in crate::origin) reason: ScanReason,
    pub(in crate::origin) accept_loss: bool,
    /// What it is about in a bucket; `None`: all of the origin.
    pub(in crate::origin) names: Option<Arc<Names>>,
    pub(in crate::origin) answer: oneshot::Sender<ScanSummary>,
}

/// What came in, under the lock.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent pieces of news, each taken on its own"
)]
pub(in crate::origin) struct Mail {
    pub(in crate::origin) hints: Hints,
    pub(in crate::origin) requests: Vec<Request>,
    /// Who waits until nothing is pending of what was marked up to a time.
    waiters: Vec<(Time, oneshot::Sender<()>)>,
    /// When the worker turned last.
    turned: Time,
    /// The kernel dropped events of the current watch.
    pub(in crate::origin) overflow: bool,
    /// A watch ended on its own.
    pub(in crate::origin) lost_watch: bool,
    /// The root may be another directory then.
    pub(in crate::origin) root_check: Option<Time>,
    pub(in crate::origin) lost_events: u64,
    pub(in crate::origin) hints_total: u64,
    /// Hints are in the worker's hands, or a scan waits for its time.
    busy: bool,
    /// When the first event came of those that are in the worker's hands.
    in_hands: Option<Time>,
    stop: bool,
    /// Something came in that the worker did not see yet.
    news: bool,
    /// When the worker wakes up on its own; zero while it is awake.
    wakes_at: Time,
}

impl Mail {
    /// The worker looks at the root now, if it is time: until it rests, that is pending.
    pub(in crate::origin) fn begin_root_check(&mut self, now: Time) {
        self.busy |= self.root_check.take_if(|time| *time <= now).is_some();
    }

    /// What is still to be done; with a time, only for what was marked up to then. What the program
    /// itself wants to look at follows from something earlier, and always counts.
    fn pending(&self, before: Option<Time>) -> u64 {
        let unread = self.overflow
            || self.lost_watch
            || self.root_check.is_some()
            || !self.requests.is_empty();
        let counts = |hint: &Hint| {
            hint.cause != Cause::Recheck
                && (!hint.event || before.is_none_or(|before| hint.first <= before))
        };
        self.hints.count_hints(counts) + u64::from(self.busy) + u64::from(unread)
    }
}

/// The meeting point.
#[derive(Debug)]
pub(in crate::origin) struct Inbox {
    mail: Mutex<Mail>,
    wake: Condvar,
    places: Mutex<Places>,
    /// The names that the way to the root leads over.
    way: Mutex<Arc<BTreeSet<PathBuf>>>,
    pub(in crate::origin) unwatched: Unwatched,
    ignore: Arc<Ignore>,
    pub(in crate::origin) cookies: Cookies,
    pub(in crate::origin) links: FileLinks,
    pub(in crate::origin) targets: Targets,
    /// How long a file that is being written is waited for.
    write_wait: Duration,
    clock: Clock,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic stops the process; until then nothing here is half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inbox {
    pub(in crate::origin) fn new(
        ignore: Arc<Ignore>,
        cookies: Cookies,
        write_wait: Duration,
        clock: Clock,
    ) -> Self {
        Self {
            mail: Mutex::new(Mail {
                hints: Hints::new(),
                requests: Vec::new(),
                waiters: Vec::new(),
                turned: clock.now(),
                overflow: false,
                lost_watch: false,
                root_check: None,
                lost_events: 0,
                hints_total: 0,
                busy: false,
                in_hands: None,
                stop: false,
                news: false,
                wakes_at: Time::ZERO,
            }),
            wake: Condvar::new(),
            places: Mutex::default(),
            way: Mutex::default(),
            unwatched: Unwatched::default(),
            ignore,
            cookies,
            links: FileLinks::default(),
            targets: Targets::default(),
            write_wait,
            clock,
        }
    }

    pub(in crate::origin) fn lock(&self) -> MutexGuard<'_, Mail> {
        lock(&self.mail)
    }

    /// Ends the worker's waiting for good.
    pub(in crate::origin) fn stop(&self) {
        let mut mail = self.lock();
        mail.stop = true;
        // What waits for these gets an error: no worker is left to answer.
        mail.requests.clear();
        mail.waiters.clear();
        drop(mail);
        self.cookies.watch(false);
        self.wake.notify_all();
    }

    pub(in crate::origin) fn stopped(&self) -> bool {
        self.lock().stop
    }

    /// In the middle of something long: the worker is there. `false` when the process is stopping.
    pub(in crate::origin) fn go_on(&self) -> bool {
        let mut mail = self.lock();
        mail.turned = self.clock.now();
        !mail.stop
    }

    /// How long ago the worker turned. It turns every few seconds; else it waits for a disk.
    pub(in crate::origin) fn silent(&self) -> Duration {
        self.clock.now().since(self.lock().turned)
    }

    /// Hands in a scan.
    pub(in crate::origin) fn request(&self, request: Request) -> Result<(), ScanError> {
        let mut mail = self.lock();
        if mail.stop {
            return Err(ScanError::Stopping);
        }
        if mail.requests.len() >= REQUESTS {
            return Err(ScanError::Busy);
        }
        mail.requests.push(request);
        mail.news = true;
        self.wake.notify_all();
        Ok(())
    }

    /// Has the root looked at now, and with it all that no event tells of: mounts, and where links lead.
    pub(in crate::origin) fn check_root(&self) {
        let mut mail = self.lock();
        mail.root_check = Some(self.clock.now());
        mail.news = true;
        self.wake.notify_all();
    }

    /// Takes out at most `limit` places that are due. They are pending until [`Inbox::rest`].
    pub(in crate::origin) fn take_due(&self, now: Time, limit: usize) -> Vec<(Vec<u8>, Hint)> {
        let mut mail = self.lock();
        let due = mail.hints.take_due(now, limit);
        mail.busy |= !due.is_empty();
        let oldest = due.iter().filter_map(|(_, hint)| hint.event_at).min();
        mail.in_hands = mail.in_hands.into_iter().chain(oldest).min();
        due
    }

    /// Whether something that an event reported before this time will be looked at in a moment, or is now.
    pub(in crate::origin) fn looks(&self, before: Time) -> bool {
        let mail = self.lock();
        let now = self.clock.now();
        // A worker that waits for a disk has no moment.
        let turns = now.since(mail.turned) < MOMENT;
        let soon = now.after(SETTLED);
        let early = |at: Option<Time>| at.is_some_and(|at| at < before);
        (turns && early(mail.in_hands))
            || mail
                .hints
                .any(|hint| early(hint.event_at) && hint.due <= soon)
    }

    /// What the worker had in its hands is committed; `waits`: a scan waits for its time.
    pub(in crate::origin) fn rest(&self, waits: bool) {
        let mut mail = self.lock();
        mail.busy = waits;
        mail.in_hands = None;
        if mail.waiters.is_empty() || mail.pending(Some(Time::ZERO)) > 0 {
            return;
        }
        let waiters = std::mem::take(&mut mail.waiters);
        let (rested, waiting): (Vec<_>, Vec<_>) = waiters
            .into_iter()
            .filter(|(_, waiter)| !waiter.is_closed())
            .partition(|(before, _)| mail.pending(Some(*before)) == 0);
        mail.waiters = waiting;
        for (_, waiter) in rested {
            // One that has given up needs no answer.
            waiter.send(()).unwrap_or_default();
        }
    }

    /// Waits until nothing is pending of what was marked up to now. What is written on and on is
    /// waited for once.
    pub(in crate::origin) async fn rested(&self) -> Result<(), ScanError> {
        let (waiter, rested) = oneshot::channel();
        {
            let mut mail = self.lock();
            if mail.stop {
                return Err(ScanError::Stopping);
            }
            let now = self.clock.now();
            if mail.pending(Some(now)) == 0 {
                return Ok(());
            }
            if mail.waiters.len() >= REQUESTS {
                return Err(ScanError::Busy);
            }
            mail.waiters.push((now, waiter));
            mail.news = true;
            self.wake.notify_all();
        }
        rested.await.map_err(|_| ScanError::Stopping)
    }

    /// Places that are still to be looked at, and what else is to be done before it can be said
    /// that every change up to now is noticed. A second look at a young file does not count.
    pub(in crate::origin) fn pending(&self) -> u64 {
        self.lock().pending(None)
    }

    /// The first files that are being written, and since when.
    pub(in crate::origin) fn writing(&self, limit: usize) -> Vec<(Vec<u8>, Time)> {
        self.lock().hints.some(limit, |hint| hint.writing.is_some())
    }

    /// How many files are being written.
    pub(in crate::origin) fn count_writing(&self) -> u64 {
        self.lock().hints.count_hints(|hint| hint.writing.is_some())
    }

    /// Adds a place to look at, from another thread than the worker's, which has to be woken.
    pub(in crate::origin) fn ask(&self, path: &[u8], hint: Hint) {
        let mut mail = self.lock();
        mail.hints.insert(path, hint);
        mail.news = true;
        self.wake.notify_all();
    }

    /// Adds a place to look at.
    pub(in crate::origin) fn hint(&self, path: &[u8], hint: Hint) {
        self.lock().hints.insert(path, hint);
    }

    /// Waits until `until`, or until news come in, or until a hint is due and the time of `hints`
    /// has come.
    pub(in crate::origin) fn wait(&self, until: Time, hints: Option<Time>) {
        let mut mail = self.lock();
        loop {
            let now = self.clock.now();
            mail.turned = now;
            let due = mail.hints.next_due().zip(hints);
            let due = due.map_or(until, |(due, not_before)| due.max(not_before).min(until));
            if mail.stop || mail.news || due <= now {
                mail.news = false;
                mail.wakes_at = Time::ZERO;
                return;
            }
            mail.wakes_at = due;
            mail = self
                .wake
                .wait_timeout(mail, due.since(now))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits whatever comes in; `false` when the process is stopping.
    pub(in crate::origin) fn pause(&self, time: Duration) -> bool {
        let until = self.clock.now().after(time);
        let mut mail = self.lock();
        loop {
            let now = self.clock.now();
            mail.turned = now;
            if mail.stop || until <= now {
                return !mail.stop;
            }
            mail = self
                .wake
                .wait_timeout(mail, until.since(now).min(TURN))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// From now on events below `real` speak of `logical`.
    pub(in crate::origin) fn add_place(&self, real: &Path, logical: &[u8]) {
        lock(&self.places).add(real.as_os_str().as_bytes(), logical);
    }

    /// Forgets every place at or below this logical path: the links there may lead elsewhere now.
    pub(in crate::origin) fn forget_places(&self, logical: &[u8]) {
        lock(&self.places).forget(logical);
    }

    /// The names in the origin that a real directory has; where it holds places of the origin, theirs.
    pub(in crate::origin) fn names_of(&self, real: &Path) -> Vec<Vec<u8>> {
        lock(&self.places).names_within(real.as_os_str().as_bytes())
    }

    /// From now on these are the names on the way to the root.
    pub(in crate::origin) fn set_way(&self, way: Vec<PathBuf>) {
        *lock(&self.way) = Arc::new(way.into_iter().collect());
    }

    /// Takes what a watch has to say. Called on its thread.
    pub(in crate::origin) fn take(&self, event: Event) {
        match event {
            Event::Hint {
                path,
                nature,
                is_dir,
                at,
            } => self.take_hint(&path, nature, is_dir, at),
            Event::Overflow => {
                let mut mail = self.lock();
                mail.lost_events += 1;
                mail.overflow = true;
                mail.news = true;
                self.wake.notify_all();
            }
            Event::Lost => {
                let mut mail = self.lock();
                mail.lost_watch = true;
                mail.news = true;
                self.wake.notify_all();
            }
        }
    }

    fn take_hint(&self, path: &Path, nature: Nature, is_dir: bool, at: Time) {
        if self.cookies.take(path) {
            return;
        }
        if nature != Nature::Touched && lock(&self.way).contains(path) {
            let mut mail = self.lock();
            mail.root_check.get_or_insert(self.clock.now().after(WAY));
            mail.news = true;
            self.wake.notify_all();
        }
        let hint = Hint {
            event_at: Some(at),
            ..Hint::event(nature, self.clock.now(), self.write_wait)
        };
        for link in self.links.to(path) {
            self.ask(&link, hint);
        }
        let names = lock(&self.places).names(path.as_os_str().as_bytes());
        for mut logical in names {
            let mut hint = hint;
            if path.file_name() == Some(OsStr::new(DATA)) && logical.ends_with(DATA.as_bytes()) {
                // A volume of Kubernetes has got new content: every file beside this link leads
                // through it.
                logical.truncate(logical.len().saturating_sub(DATA.len() + 1));
                hint = Hint {
                    event_at: Some(at),
                    ..Hint::below(Cause::Watch, self.clock.now())
                };
            } else if self.ignore.matches(&logical, is_dir) {
                continue;
            }
            let mut mail = self.lock();
            mail.hints.insert(&logical, hint);
            mail.hints_total += 1;
            if mail.wakes_at > hint.due {
                self.wake.notify_all();
            }
        }
    }
}

impl Heartbeat for Inbox {
    fn go_on(&self) -> bool {
        Self::go_on(self)
    }
}
