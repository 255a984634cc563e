//! The one thread of an origin: takes what came in, sees that the root and the watch are what they
//! should be, lets due looks and scans run, and sleeps. Decides when; what a look finds is decided
//! in `examine`, what a scan does in `scan`.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::core::time::Time;
use crate::origin::error::OriginError;
use crate::origin::index::IndexError;
use crate::origin::settings::OriginSettings;
use crate::origin::status::{OriginStatus, ScanReason};
use crate::origin::tree::guard::Root;
use crate::origin::tree::ignore::Ignore;
use crate::origin::tree::links_bound::Links;
use crate::origin::tree::mounts::Mounts;
use crate::origin::tree::resolver::Resolver;
use crate::origin::tree::walk::open_above;
use crate::origin::watch::hints::{Cause, Mark};
use crate::origin::watch::inbox::Inbox;
use crate::origin::watch::{Watch, WatchBackend};
use crate::origin::worker::batch::{Batch, Committer, Stopping};
use crate::origin::worker::doubt::Doubt;
use crate::origin::worker::following::Following;
use crate::origin::worker::large::LargeReader;
use crate::origin::worker::losses::Losses;
use crate::origin::worker::reading::Reading;
use crate::origin::worker::scan::{Pending, Running};
use crate::origin::worker::scope::Former;
use crate::origin::worker::unreadable::Unreadable;

pub(super) mod batch;
mod doubt;
mod examine;
mod follow;
mod following;
pub(super) mod large;
mod losses;
mod publish;
pub(super) mod reading;
mod root;
mod scan;
mod scope;
pub(super) mod stall;
mod sweep;
mod unlisted;
mod unreadable;

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
enum End {
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
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each asked for on its own"
)]
pub(super) struct Worker {
    settings: OriginSettings,
    ignore: Arc<Ignore>,
    committer: Committer,
    inbox: Arc<Inbox>,
    clock: Clock,
    status: OriginStatus,
    published: tokio::sync::watch::Sender<OriginStatus>,

    backend: Box<dyn WatchBackend>,
    watch: Option<Arc<dyn Watch>>,
    /// A scan has come to everything since the watch began or lost something.
    covered: bool,
    /// When the directories without a watch are looked at next.
    rest_poll: Time,
    /// Those of them that this poll has not come to.
    rest: VecDeque<Vec<u8>>,
    /// Everything was polled a turn ago.
    polled: bool,
    root: Option<Root>,
    /// The root that was there last.
    root_before: Option<Root>,
    /// Since when there is none.
    missing: Option<Time>,
    resolver: Arc<Resolver>,
    root_check: Time,
    /// When the watch was in place.
    armed_at: Time,

    batch: Batch,
    losses: Losses,
    pending: Option<Pending>,
    running: Option<Running>,
    next_rescan: Option<Time>,
    indexed: bool,
    /// The scope that the index is complete for, until a scan made it complete for today's.
    former: Option<Former>,
    reading: Reading,
    large: Arc<LargeReader>,
    /// Bytes read in this turn.
    read_bytes: u64,
    overflow_wait: Duration,
    /// When the last scan began that made up for an overflow.
    overflow_at: Time,

    /// Directories others may not enter, and those that cannot be listed: a change of a directory's
    /// mode counts only where it changes these.
    closed: BTreeSet<Vec<u8>>,
    unreadable: Unreadable,
    /// Files that have got another name, whose older names are to be looked for.
    new_twins: BTreeSet<u64>,
    twins_due: Option<Time>,
    /// Changes, by inode and ctime, whose other names were asked for.
    asked_twins: BTreeSet<(u64, i64)>,
    /// Files whose bytes can't be read.
    unread: Unreadable,
    /// Some that could not be read can be now: they are to be read in the background.
    regained: bool,
    /// What is mounted below the root.
    mounts: Mounts,
    /// Files that the next scan has to read, whatever their stat says.
    doubt: Doubt,
    /// The root's device had the first number before the reboot, and has the second.
    renumbered: Option<(u64, u64)>,
    /// What was kept for the next start.
    surroundings: String,
    next_round: Time,
    /// Counts looks at subtrees.
    swept: u64,
    /// The last directory asked for by [`Worker::open_above`].
    above: Option<(Vec<u8>, bool)>,
    /// Since when hints come in faster than they are followed.
    behind: Option<Time>,
    holding: bool,
    watch_trouble: Option<String>,
    root_trouble: Option<String>,
    following: Following,
}

impl Worker {
    pub(super) fn new(
        settings: OriginSettings,
        ignore: Arc<Ignore>,
        backend: Box<dyn WatchBackend>,
        committer: Committer,
        large: Arc<LargeReader>,
        clock: Clock,
        published: tokio::sync::watch::Sender<OriginStatus>,
    ) -> Result<Self, OriginError> {
        let (_, indexed) = committer.index.progress()?;
        let former = Former::new(committer.index.scope()?.as_deref(), &settings)?;
        let losses = Losses::new(&settings);
        let resolver = Arc::new(Resolver {
            root: settings.root.clone(),
            resolved: settings.root.clone(),
            compare: settings.compare,
            follow: settings.follow_symlinks,
            group: settings.web_group,
            links: Links::new(Arc::clone(&ignore), Some(Arc::clone(&committer.inbox) as _)),
        });
        let status = OriginStatus {
            name: Arc::clone(&settings.name),
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
            covered: false,
            rest_poll: Time::ZERO,
            rest: VecDeque::new(),
            polled: false,
            root: None,
            root_before: None,
            missing: None,
            resolver,
            root_check: Time::ZERO,
            armed_at: Time::ZERO,
            batch: Batch::default(),
            losses,
            pending: Some(Pending::new(ScanReason::Start)),
            running: None,
            next_rescan: None,
            indexed,
            former,
            reading: Reading::default(),
            large,
            read_bytes: 0,
            overflow_wait: Duration::ZERO,
            overflow_at: Time::ZERO,
            closed: BTreeSet::new(),
            unreadable: Unreadable::default(),
            new_twins: BTreeSet::new(),
            twins_due: None,
            asked_twins: BTreeSet::new(),
            unread: Unreadable::default(),
            regained: false,
            mounts: Mounts::default(),
            doubt: Doubt::default(),
            renumbered: None,
            surroundings: String::new(),
            next_round: Time::ZERO,
            swept: 0,
            above: None,
            behind: None,
            holding: false,
            watch_trouble: None,
            root_trouble: None,
            following: Following::default(),
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
            self.read_bytes = 0;
            if self.root.is_some() {
                busy |= self.follow_hints(now)?;
                self.poll_soon(now);
                self.start_scan(now);
                busy |= self.step_scan(STEP)?;
                self.check_links();
                self.check_losses(now)?;
                self.find_twins(now)?;
                busy |= self.poll_rest(now)?;
                self.count_regained()?;
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
            self.rest_wakes_at(),
            self.reading.wakes_at(),
            scan.filter(|_| self.running.is_none()),
            self.running.as_ref().and_then(Running::wakes_at),
            self.losses.wakes_at().filter(|_| self.running.is_none()),
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
        let now = self.clock.now();
        let mut mail = self.inbox.lock();
        let overflow = std::mem::take(&mut mail.overflow);
        let lost = std::mem::take(&mut mail.lost_watch);
        if let Some(time) = mail.root_check {
            self.root_check = self.root_check.min(time);
        }
        mail.begin_root_check(now);
        let requests = std::mem::take(&mut mail.requests);
        self.status.lost_events = mail.lost_events;
        self.status.hints_total = mail.hints_total;
        drop(mail);
        if overflow {
            self.recover_from_overflow(now);
        }
        if lost {
            self.covered = false;
            self.want(Pending::new(ScanReason::LostWatch));
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
        self.covered = false;
        self.inbox.cookies.give_up();
        self.inbox.lock().hints.end_writing(now);
        if self
            .pending
            .as_ref()
            .is_some_and(|pending| pending.overflow)
        {
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
            overflow: true,
            not_before,
            ..Pending::new(ScanReason::Overflow)
        });
    }

    fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    fn follow_hints(&mut self, now: Time) -> Result<bool, End> {
        if now < self.next_round {
            return Ok(false);
        }
        let due = self.inbox.take_due(now, HINTS);
        let flood = self.inbox.lock().hints.flooded(now)
            || due.iter().any(|(_, mark)| mark.flood.is_some());
        self.hold_batch(flood || due.len() == HINTS, now);
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
    fn open_above(&mut self, path: &[u8]) -> bool {
        let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let directory = &path[..end];
        if let Some((known, open)) = &self.above
            && known == directory
        {
            return *open;
        }
        let open = open_above(&self.resolver, path);
        self.above = Some((directory.to_vec(), open));
        open
    }

    /// While hints come in faster than they are followed, more of the same deploy is to come: its
    /// batch is held open, though not for ever.
    fn hold_batch(&mut self, behind: bool, now: Time) {
        // So many hints that they became a scan: it holds the batch on its own, once it runs.
        let behind = behind || (self.holding && self.pending.is_some());
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
    fn commit(&mut self) -> Result<(), End> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        self.take_in_events();
        if self.batch.has_gone() {
            let believed = self.may_go(now)?;
            self.batch.keep_gone(believed);
        }
        let batch = std::mem::take(&mut self.batch);
        let mut status = self.trouble_reporter();
        let beaten = self.committer.commit(&batch, &mut status)?;
        self.losses.committed(&batch, now);
        self.count_changes(batch.changes());
        self.count_files()?;
        for path in beaten {
            self.inbox
                .hint(&path, Mark::again(Cause::Watch, self.clock.now()));
        }
        Ok(())
    }

    /// What was seen is believed only if no event up to then tells of more: a file that was read while
    /// it is being replaced is looked at again.
    fn take_in_events(&mut self) {
        let Some(watch) = self
            .watch
            .as_ref()
            .filter(|_| self.batch.unsure().next().is_some())
        else {
            return;
        };
        watch.take_in();
        let mut mail = self.inbox.lock();
        let mut again = BTreeSet::new();
        for (path, first) in self.batch.unsure() {
            if mail.hints.event_at(path) {
                mail.hints.since(path, first);
                again.insert(path.to_vec());
            }
        }
        drop(mail);
        self.batch.leave_out(&again);
    }
}
