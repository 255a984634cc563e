//! The one thread of an origin: takes what came in, sees that the root and the watch are what they
//! should be, lets due looks and scans run, and sleeps. Decides when; what a look finds is decided
//! in `examine`, what a scan does in `scan`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::OriginError;
use super::batch::{Batch, Committer, Stopping};
use super::guard::{LossGuard, Root, identity, is_remote, mounts_below};
use super::hints::{Cause, Mark};
use super::ignore::Ignore;
use super::inbox::Inbox;
use super::index::IndexError;
use super::look::Eyes;
use super::reading::Reading;
use super::scan::{Pending, Running};
use super::scope::Former;
use super::settings::{OriginSettings, ROOT_CHECK, WatchMode};
use super::status::{Alarm, OriginStatus, ScanReason};
use super::walk::open_above;
use super::watch::{Watch, WatchBackend, WatchError};
use crate::clock::Clock;
use crate::core::time::Time;

/// Hints looked at before anything else gets its turn.
const HINTS: usize = 512;
/// Entries of a running scan before anything else gets its turn.
const STEP: usize = 512;
/// The shortest time between two rounds of hints, unless they are full.
const ROUND: Duration = Duration::from_millis(20);
/// Hints that come in faster than they are followed hold a batch open for so long at most.
const HOLD: Duration = Duration::from_secs(30);
/// The longest time between two recoveries from overflows.
const OVERFLOW_WAIT: Duration = Duration::from_mins(1);

/// Why a worker ends.
#[derive(Debug)]
pub(super) enum End {
    Stopping,
    Index(IndexError),
}

impl From<Stopping> for End {
    fn from(Stopping: Stopping) -> Self {
        Self::Stopping
    }
}

impl From<IndexError> for End {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

/// What a worker knows and does.
pub(super) struct Worker {
    pub(super) settings: OriginSettings,
    pub(super) ignore: Arc<Ignore>,
    pub(super) committer: Committer,
    pub(super) inbox: Arc<Inbox>,
    pub(super) clock: Clock,
    pub(super) status: OriginStatus,
    published: tokio::sync::watch::Sender<OriginStatus>,

    backend: Box<dyn WatchBackend>,
    pub(super) watch: Option<Box<dyn Watch>>,
    /// The watch before, until the scan that covers the change is done.
    pub(super) retired: Option<Box<dyn Watch>>,
    generation: Arc<std::sync::atomic::AtomicU64>,
    pub(super) root: Option<Root>,
    pub(super) eyes: Arc<Eyes>,
    root_check: Time,
    /// When the watch was in place.
    pub(super) armed_at: Time,

    pub(super) batch: Batch,
    pub(super) guard: LossGuard,
    pub(super) loss_check: Option<(Time, Duration)>,
    pub(super) pending: Option<Pending>,
    pub(super) running: Option<Running>,
    pub(super) next_rescan: Option<Time>,
    pub(super) indexed: bool,
    /// The scope that the index is complete for, until a scan made it complete for today's.
    pub(super) former: Option<Former>,
    pub(super) reading: Reading,
    overflow_wait: Duration,
    /// When the last new watch was made because of a scan's wish.
    pub(super) overflow_at: Time,

    /// Directories others may not enter, and those that cannot be listed: a change of a directory's
    /// mode counts only where it changes these.
    pub(super) closed: BTreeSet<Vec<u8>>,
    pub(super) unreadable: BTreeSet<Vec<u8>>,
    /// Files that have got another name, whose older names are to be looked for.
    pub(super) new_twins: BTreeSet<u64>,
    pub(super) twins_due: Option<Time>,
    /// Files that were told to be unreadable.
    pub(super) told_unreadable: BTreeSet<Vec<u8>>,
    /// What is mounted below the root.
    mounts: Vec<String>,
    next_round: Time,
    /// Counts looks at subtrees.
    pub(super) swept: u64,
    /// The last directory asked for by [`Worker::open_above`].
    above: Option<(Vec<u8>, bool)>,
    /// Since when hints come in faster than they are followed.
    behind: Option<Time>,
    holding: bool,
    watch_trouble: Option<String>,
    root_trouble: Option<String>,
}

impl Worker {
    pub(super) fn new(
        settings: OriginSettings,
        ignore: Arc<Ignore>,
        backend: Box<dyn WatchBackend>,
        committer: Committer,
        clock: Clock,
        published: tokio::sync::watch::Sender<OriginStatus>,
    ) -> Result<Self, OriginError> {
        let (_, indexed) = committer.index.progress()?;
        let former = Former::new(committer.index.scope()?.as_deref(), &settings)?;
        let guard = LossGuard::new(settings.max_loss_percent);
        let eyes = Arc::new(Eyes {
            root: settings.root.clone(),
            resolved: settings.root.clone(),
            compare: settings.compare,
            follow: settings.follow_symlinks,
        });
        let status = OriginStatus {
            scans: ScanReason::ALL.map(|reason| (reason, 0)).into(),
            ..OriginStatus::default()
        };
        Ok(Self {
            inbox: Arc::clone(&committer.inbox),
            settings,
            ignore,
            committer,
            clock,
            status,
            published,
            backend,
            watch: None,
            retired: None,
            generation: Arc::default(),
            root: None,
            eyes,
            root_check: Time::ZERO,
            armed_at: Time::ZERO,
            batch: Batch::default(),
            guard,
            loss_check: None,
            pending: Some(Pending::new(ScanReason::Start)),
            running: None,
            next_rescan: None,
            indexed,
            former,
            reading: Reading::default(),
            overflow_wait: Duration::ZERO,
            overflow_at: Time::ZERO,
            closed: BTreeSet::new(),
            unreadable: BTreeSet::new(),
            new_twins: BTreeSet::new(),
            twins_due: None,
            told_unreadable: BTreeSet::new(),
            mounts: Vec::new(),
            next_round: Time::ZERO,
            swept: 0,
            above: None,
            behind: None,
            holding: false,
            watch_trouble: None,
            root_trouble: None,
        })
    }

    pub(super) fn run(mut self) -> Result<(), IndexError> {
        match self.work() {
            End::Stopping => Ok(()),
            End::Index(error) => Err(error),
        }
    }

    fn work(&mut self) -> End {
        match self.redo().and_then(|()| self.turn_for_ever()) {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    fn redo(&mut self) -> Result<(), End> {
        let mut status = self.trouble_reporter();
        self.committer.redo(&mut status)?;
        Ok(())
    }

    fn turn_for_ever(&mut self) -> Result<std::convert::Infallible, End> {
        self.count_files()?;
        self.count_unread()?;
        loop {
            if self.inbox.stopped() {
                return Err(End::Stopping);
            }
            self.take_mail();
            let now = self.clock.now();
            if now >= self.root_check {
                self.check_root(now);
            }
            let mut busy = false;
            if self.root.is_some() {
                busy |= self.follow_hints(now)?;
                self.start_scan(now);
                busy |= self.step_scan(STEP)?;
                self.check_loss(now)?;
                self.find_twins(now)?;
                if !busy {
                    self.read_some(now)?;
                }
            }
            self.publish();
            if !busy {
                let until = self.wakes_at(now);
                self.inbox
                    .wait(until, self.root.is_some().then_some(self.next_round));
            }
        }
    }

    /// The next time something has to be done without anything coming in.
    fn wakes_at(&self, now: Time) -> Time {
        let scan = self.pending.as_ref().map(|pending| pending.not_before);
        [
            Some(self.root_check),
            self.next_rescan,
            self.twins_due,
            self.reading.wakes_at(),
            scan.filter(|_| self.running.is_none()),
            self.running.as_ref().and_then(Running::wakes_at),
            self.loss_check
                .filter(|_| self.running.is_none())
                .map(|(time, _)| time),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(self.root_check)
        // Without a root, nothing is due but the next look at it.
        .max(if self.root.is_some() {
            now
        } else {
            self.root_check
        })
    }

    fn take_mail(&mut self) {
        let mut mail = self.inbox.lock();
        let overflow = std::mem::take(&mut mail.overflow);
        let lost = std::mem::take(&mut mail.lost_watch);
        let limit = mail.limit;
        let requests = std::mem::take(&mut mail.requests);
        self.status.lost_events = mail.lost_events;
        self.status.hints_total = mail.hints_total;
        self.status.unwatched_directories = u64::try_from(mail.unwatched.len()).unwrap_or(u64::MAX);
        drop(mail);
        let now = self.clock.now();
        if limit && !self.status.polling {
            self.status.polling = true;
            self.want(Pending::new(ScanReason::Poll));
        }
        if overflow {
            self.recover_from_overflow(now);
        }
        if lost {
            self.want(Pending {
                rearm: true,
                ..Pending::new(ScanReason::LostWatch)
            });
        }
        for request in requests {
            let mut pending = Pending::new(request.reason);
            pending.accept_loss = request.accept_loss;
            pending.answers.push(request.answer);
            self.want(pending);
        }
    }

    /// Storms get a scan at once, and then ever more rarely, but always one after the last overflow.
    fn recover_from_overflow(&mut self, now: Time) {
        if self.pending.as_ref().is_some_and(|pending| pending.rearm) {
            return;
        }
        if now.since(self.overflow_at) > OVERFLOW_WAIT * 2 {
            self.overflow_wait = Duration::ZERO;
        }
        let not_before = self.overflow_at.after(self.overflow_wait).max(now);
        self.overflow_wait = (self.overflow_wait * 2)
            .max(Duration::from_secs(1))
            .min(OVERFLOW_WAIT);
        self.want(Pending {
            rearm: true,
            not_before,
            ..Pending::new(ScanReason::Overflow)
        });
    }

    /// Whether the root is still the directory it was; if not, everything starts over with it.
    pub(super) fn check_root(&mut self, now: Time) {
        self.root_check = now.after(ROOT_CHECK);
        let found = identity(&self.settings.root);
        if let (Ok(id), Some(root)) = (&found, &self.root)
            && *id == root.id
        {
            if self.watch.is_none() && self.wants_events() && self.running.is_none() {
                self.retry_watch();
            }
            self.check_mounts();
            return;
        }
        match found.and_then(|_| Root::find(&self.settings.root)) {
            Ok(root) => {
                let first = self.root.is_none() && self.armed_at == Time::ZERO;
                tracing::info!(origin = %self.settings.name, root = %root.resolved.display(), "the root is there");
                self.root_trouble = None;
                self.found_root(root);
                self.abort_scan();
                self.arm();
                if !first {
                    self.want(Pending::new(ScanReason::LostWatch));
                }
            }
            Err(error) => {
                self.root_trouble = Some(format!(
                    "the root {} of origin `{}` cannot be read ({error}): nothing is purged and the index is kept; it goes on by itself when the directory is back",
                    self.settings.root.display(),
                    self.settings.name
                ));
                if self.root.take().is_some() {
                    self.abort_scan();
                    self.watch = None;
                    self.retired = None;
                }
                self.batch = Batch::default();
            }
        }
    }

    /// A mount below the root hides files, or shows others, and no event tells of it.
    fn check_mounts(&mut self) {
        let Some(root) = &self.root else { return };
        let mounts = mounts_below(&root.resolved);
        if mounts != self.mounts {
            self.mounts = mounts;
            self.want(Pending {
                rearm: true,
                ..Pending::new(ScanReason::LostWatch)
            });
        }
    }

    fn retry_watch(&mut self) {
        self.arm();
        if self.watch.is_some() {
            self.want(Pending::new(ScanReason::LostWatch));
        }
    }

    pub(super) fn wants_events(&self) -> bool {
        self.settings.watch == WatchMode::Auto
            && self
                .root
                .as_ref()
                .is_some_and(|root| !is_remote(&root.resolved))
    }

    /// A new watch on the root and on what links lead to; the one before stays until the next scan
    /// is done, so that nothing is uncovered between them.
    pub(super) fn arm(&mut self) {
        use std::sync::atomic::Ordering;
        let Some(root) = self.root.clone() else {
            return;
        };
        let now = self.clock.now();
        self.armed_at = now;
        self.inbox.forget_places(b"");
        self.inbox.add_place(&root.resolved, b"");
        self.inbox.cookies.watch(false);
        if !self.wants_events() {
            self.watch = None;
            self.status.polling = self.settings.watch != WatchMode::Off;
            return;
        }
        {
            let mut mail = self.inbox.lock();
            mail.unwatched.clear();
            mail.limit = false;
        }
        let own = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        let (newest, inbox) = (Arc::clone(&self.generation), Arc::clone(&self.inbox));
        let opened = self.backend.open(Box::new(move |event| {
            inbox.take(event, newest.load(Ordering::SeqCst) == own);
        }));
        self.retired = self.watch.take().or(self.retired.take());
        match opened {
            Ok(watch) => {
                self.watch = Some(watch);
                self.status.polling = false;
                self.watch_trouble = None;
                if !self.watch_directory(&root.resolved) {
                    self.watch = None;
                    self.status.polling = true;
                }
                let cookies = self.inbox.cookies.directory().to_owned();
                let told = self.watch.is_some() && self.watch_directory(&cookies);
                self.inbox.cookies.watch(told && !self.inbox.lock().limit);
            }
            Err(error) => {
                self.status.polling = true;
                self.watch_trouble = Some(format!(
                    "origin `{}` has no file events ({error}): it is scanned every few seconds; when other programs use up fs.inotify.max_user_instances, raise that",
                    self.settings.name
                ));
            }
        }
    }

    /// Watches one directory. `false` when it is not watched.
    pub(super) fn watch_directory(&mut self, directory: &std::path::Path) -> bool {
        let Some(watch) = &mut self.watch else {
            return false;
        };
        match watch.watch(directory) {
            Ok(()) => {
                self.inbox.lock().unwatched.remove(directory);
                true
            }
            // What is not there needs no watch.
            Err(WatchError::Missing) => true,
            Err(WatchError::Limit) => {
                // What is watched stays so; the rest is polled.
                self.inbox.lock().limit = true;
                self.status.polling = true;
                true
            }
            Err(WatchError::Other(why)) => {
                tracing::warn!(origin = %self.settings.name, directory = %directory.display(), why, "not watched");
                self.inbox.lock().unwatched.insert(directory.to_owned());
                false
            }
        }
    }

    pub(super) fn eyes(&self) -> Arc<Eyes> {
        Arc::clone(&self.eyes)
    }

    /// The root is another directory now.
    fn found_root(&mut self, root: Root) {
        self.mounts = mounts_below(&root.resolved);
        self.eyes = Arc::new(Eyes {
            resolved: root.resolved.clone(),
            ..Eyes::clone(&self.eyes)
        });
        self.root = Some(root);
    }

    fn follow_hints(&mut self, now: Time) -> Result<bool, End> {
        if now < self.next_round {
            return Ok(false);
        }
        let due = self.inbox.take_due(now, HINTS);
        self.hold_batch(due.len() == HINTS, now);
        if due.is_empty() {
            return Ok(false);
        }
        let paths: Vec<&[u8]> = due
            .iter()
            .filter(|(_, mark)| !mark.subtree)
            .map(|(path, _)| path.as_slice())
            .collect();
        let mut rows = self.committer.index.rows(&paths)?;
        self.above = None;
        let swept = self.swept;
        for (path, mark) in &due {
            // A look at a subtree may have written what was read before it.
            let row = if self.swept == swept {
                rows.remove(path)
            } else {
                self.committer.index.get(path)?
            };
            self.follow(path, *mark, row)?;
            self.commit_if_full()?;
        }
        self.commit()?;
        if due.len() < HINTS {
            // A stream of events is taken in rounds that are worth a transaction.
            self.next_round = self.clock.now().after(ROUND);
        }
        Ok(true)
    }

    /// Whether others may enter every directory above a path. In a round, most paths lie in the
    /// directory of the one before.
    pub(super) fn open_above(&mut self, path: &[u8]) -> bool {
        let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let directory = &path[..end];
        if let Some((known, open)) = &self.above
            && known == directory
        {
            return *open;
        }
        let open = open_above(&self.eyes, path);
        self.above = Some((directory.to_vec(), open));
        open
    }

    /// While hints come in faster than they are followed, more of the same deploy is to come: its
    /// batch is held open, though not for ever.
    fn hold_batch(&mut self, behind: bool, now: Time) {
        let hold = match (behind, self.behind) {
            (false, _) => {
                self.behind = None;
                false
            }
            (true, None) => {
                self.behind = Some(now);
                true
            }
            (true, Some(since)) => now.since(since) < HOLD,
        };
        if hold != self.holding {
            self.holding = hold;
            self.committer.sink.scanning(&self.settings.pipeline, hold);
        }
    }

    /// Brings the batch to the sink and the index.
    pub(super) fn commit(&mut self) -> Result<(), End> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        if self.batch.has_gone() && !self.may_go(now)? {
            self.batch.keep_gone();
        }
        let batch = std::mem::take(&mut self.batch);
        let gone = batch.gone();
        let mut status = self.trouble_reporter();
        let beaten = self.committer.commit(&batch, &mut status)?;
        self.guard.went(gone, now);
        self.count_changes(batch.changes());
        self.count_files()?;
        for path in beaten {
            self.inbox
                .hint(&path, Mark::again(Cause::Watch, self.clock.now()));
        }
        Ok(())
    }

    /// Whether what seems gone may be believed: the root is the one it was, and not too much is
    /// gone at once.
    fn may_go(&mut self, now: Time) -> Result<bool, End> {
        let same_root = self
            .root
            .as_ref()
            .is_some_and(|root| identity(&self.settings.root).is_ok_and(|id| id == root.id));
        if !same_root {
            self.root_check = now;
            return Ok(false);
        }
        if self.running.as_ref().is_some_and(Running::accepts_loss) {
            self.guard.accept();
            return Ok(true);
        }
        let (files, absent) = self.committer.index.counts()?;
        let may = self.guard.check(files, absent, now);
        if !may && self.loss_check.is_none() {
            self.loss_check = Some((now.after(ROOT_CHECK), ROOT_CHECK));
        }
        Ok(may)
    }

    fn trouble_reporter(&self) -> impl FnMut(Option<String>) + use<> {
        let published = self.published.clone();
        let origin = Arc::clone(&self.settings.name);
        move |why| {
            let Some(why) = why else {
                published.send_if_modified(|status| {
                    let before = status.alarms.len();
                    status.alarms.retain(|alarm| alarm.reason != "commit");
                    before != status.alarms.len()
                });
                return;
            };
            let text = format!(
                "changes of origin `{origin}` are not committed yet, and nothing is lost: {why}; tried again until it works"
            );
            published.send_if_modified(|status| {
                if status.alarms.iter().any(|alarm| alarm.reason == "commit") {
                    return false;
                }
                tracing::error!(origin = %origin, "{text}");
                status.alarms.push(Alarm {
                    reason: "commit",
                    text: text.clone(),
                });
                true
            });
        }
    }

    pub(super) fn count_files(&mut self) -> Result<(), End> {
        self.status.indexed_files = self.committer.index.files()?;
        Ok(())
    }

    pub(super) fn publish(&mut self) {
        self.inbox
            .rest(self.pending.is_some() || self.twins_due.is_some());
        let limit = self.inbox.lock().limit;
        let first_scan_done = self.status.last_scan.is_some();
        let watching = self.watch.is_some() || !self.wants_events();
        self.status.armed = self.root.is_some() && watching && first_scan_done;
        self.status.unread_files = self.reading.left;
        self.status.scanning = self.running.as_ref().is_some_and(Running::walking);
        let limit = limit.then(|| {
            format!(
                "not every directory of origin `{}` can be watched: the limit of inotify watches is reached; it is scanned every few seconds meanwhile; raise the sysctl fs.inotify.max_user_watches and restart",
                self.settings.name
            )
        });
        let held = self.guard.held().then(|| {
            format!(
                "more than {} % of the files of origin `{}` are gone at once: nothing of that is purged and the index is kept, until the files are back, or `edgepurge scan {} --apply --accept-loss` says that it is meant so",
                self.settings.max_loss_percent, self.settings.name, self.settings.pipeline
            )
        });
        let alarms: Vec<Alarm> = [
            ("root_missing", self.root_trouble.clone()),
            ("loss", held),
            ("watch_limit", limit),
            ("watch", self.watch_trouble.clone()),
        ]
        .into_iter()
        .filter_map(|(reason, text)| {
            Some(Alarm {
                reason,
                text: text?,
            })
        })
        .collect();
        for alarm in &alarms {
            if !self
                .status
                .alarms
                .iter()
                .any(|old| old.reason == alarm.reason)
            {
                tracing::error!(origin = %self.settings.name, reason = alarm.reason, "{}", alarm.text);
            }
        }
        for old in &self.status.alarms {
            if !alarms.iter().any(|alarm| alarm.reason == old.reason) {
                tracing::info!(origin = %self.settings.name, reason = old.reason, "the alarm is over");
            }
        }
        self.status.alarms = alarms;
        let status = &self.status;
        self.published.send_if_modified(|old| {
            let differs = old != status;
            if differs {
                old.clone_from(status);
            }
            differs
        });
    }
}
