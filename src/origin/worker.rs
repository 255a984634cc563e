//! The one thread of an origin: takes what came in, sees that the root and the watch are what they
//! should be, lets due looks and scans run, and sleeps. Decides when; what a look finds is decided
//! in `examine`, what a scan does in `scan`.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::clock::Clock;
use crate::core::time::Time;
use crate::origin::error::OriginError;
use crate::origin::index::IndexError;
use crate::origin::settings::OriginSettings;
use crate::origin::status::{OriginStatus, ScanReason};
use crate::origin::tree::ignore::Ignore;
use crate::origin::tree::links_bound::Links;
use crate::origin::tree::resolver::Resolver;
use crate::origin::watch::WatchBackend;
use crate::origin::watch::hints::{Cause, Hint};

pub(super) mod batch;
pub(super) mod context;
mod denied;
mod doubt;
mod examine;
mod filesystems;
mod follow;
pub(super) mod large;
mod looks;
mod losses;
mod names;
mod polls;
mod presence;
mod publish;
pub(super) mod reading;
mod report;
mod root;
mod rounds;
mod scan;
mod scans;
mod scope;
pub(super) mod stall;
mod sweep;
mod twins;
mod unreadable;
mod watching;

use batch::{Batch, Committer, Stopping};
use context::Context;
use denied::Denied;
use filesystems::Filesystems;
use large::LargeReader;
use looks::Looks;
use losses::{Believed, Losses};
use names::Names;
use polls::Polls;
use presence::Presence;
use reading::Reading;
use report::Report;
use rounds::Rounds;
use scans::{Pending, Scans};
use scope::IndexScope;
use twins::Twins;
use watching::Watching;

/// Hints looked at before anything else gets its turn.
const HINTS: usize = 512;
/// Entries of a running scan before anything else gets its turn.
const STEP: usize = 512;

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
pub(super) struct Worker {
    context: Context,
    report: Report,

    presence: Presence,
    filesystems: Filesystems,
    watching: Watching,
    polls: Polls,
    names: Names,

    batch: Batch,
    losses: Losses,
    scans: Scans,
    scope: IndexScope,
    reading: Reading,
    large: Arc<LargeReader>,

    denied: Denied,
    twins: Twins,
    rounds: Rounds,
    looks: Looks,
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
        let scope = IndexScope::new(&committer.index, &settings)?;
        let losses = Losses::new(&settings);
        let names = Names::new(Resolver {
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
            context: Context {
                inbox: Arc::clone(&committer.inbox),
                settings,
                ignore,
                committer,
                clock,
                published: published.clone(),
            },
            report: Report::new(status, published),
            presence: Presence::default(),
            filesystems: Filesystems::default(),
            watching: Watching::new(backend),
            polls: Polls::default(),
            names,
            batch: Batch::default(),
            losses,
            scans: Scans::new(),
            scope,
            reading: Reading::new(Arc::clone(&large)),
            large,
            denied: Denied::default(),
            twins: Twins::default(),
            rounds: Rounds::default(),
            looks: Looks::default(),
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
        let mut trouble = self.context.trouble_reporter();
        self.context.committer.redo(&mut trouble)?;
        Ok(())
    }

    fn turn_for_ever(&mut self) -> Result<std::convert::Infallible, End> {
        self.count_files()?;
        self.reading.recount(&self.context)?;
        loop {
            if self.context.inbox.stopped() {
                return Err(End::Stopping);
            }
            self.take_mail();
            let now = self.context.clock.now();
            if now >= self.presence.check_at() {
                self.check_root(now);
            }
            let mut busy = false;
            self.looks.begin_turn();
            if self.presence.is_there() {
                busy |= self.follow_hints(now)?;
                self.scans.poll_soon(self.polls_all(), now);
                self.start_scan(now);
                busy |= self.step_scan(STEP)?;
                if self.names.met_new_link() {
                    self.scans.want_for_links(self.context.clock.now());
                }
                self.check_losses(now)?;
                self.find_twins(now)?;
                busy |= self.poll_rest(now)?;
                self.count_regained()?;
                if !busy {
                    self.reading.read_some(
                        &self.context,
                        self.names.resolver(),
                        &self.watching,
                        &mut self.denied,
                        now,
                    )?;
                }
            }
            self.publish();
            if !busy {
                let until = self.wakes_at(now);
                self.context.inbox.wait(
                    until,
                    self.presence.is_there().then_some(self.rounds.next()),
                );
            }
        }
    }

    /// The next time something has to be done without anything coming in.
    fn wakes_at(&self, now: Time) -> Time {
        let [rescan, scan] = self.scans.wakes_at();
        [
            Some(self.presence.check_at()),
            rescan,
            scan,
            self.twins.wakes_at(),
            self.rest_wakes_at(),
            self.reading.wakes_at(),
            self.losses.wakes_at().filter(|_| !self.scans.is_running()),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(self.presence.check_at())
        // Without a root, nothing is due but the next look at it.
        .max(if self.presence.is_there() {
            now
        } else {
            self.presence.check_at()
        })
    }

    fn take_mail(&mut self) {
        let now = self.context.clock.now();
        let mut mail = self.context.inbox.lock();
        let overflow = std::mem::take(&mut mail.overflow);
        let lost = std::mem::take(&mut mail.lost_watch);
        if let Some(time) = mail.root_check {
            self.presence.check_by(time);
        }
        mail.begin_root_check(now);
        let requests = std::mem::take(&mut mail.requests);
        self.report.set_events(mail.lost_events, mail.hints_total);
        drop(mail);
        if overflow {
            self.recover_from_overflow(now);
        }
        if lost {
            self.watching.lose();
            self.scans.want(Pending::new(ScanReason::LostWatch));
        }
        for request in requests {
            let mut pending = Pending::new(request.reason);
            pending.accept_loss = request.accept_loss;
            pending.answers.push(request.answer);
            self.scans.want(pending);
        }
    }

    /// Storms get a scan at once, and then ever more rarely, but always one after the last overflow.
    fn recover_from_overflow(&mut self, now: Time) {
        self.watching.lose();
        self.context.inbox.cookies.give_up();
        self.context.inbox.lock().hints.end_writing(now);
        self.scans.want_after_overflow(now);
    }

    fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(self.names.resolver())
    }

    fn follow_hints(&mut self, now: Time) -> Result<bool, End> {
        if now < self.rounds.next() {
            return Ok(false);
        }
        let due = self.context.inbox.take_due(now, HINTS);
        let flood = self.context.inbox.lock().hints.flooded(now)
            || due.iter().any(|(_, hint)| hint.flood.is_some());
        let behind = flood || due.len() == HINTS;
        if let Some(hold) = self.rounds.hold(behind, self.scans.is_waiting(), now) {
            self.context.scanning(hold);
        }
        if due.is_empty() {
            return Ok(false);
        }
        let paths: Vec<&[u8]> = due
            .iter()
            .filter(|(_, hint)| !hint.subtree)
            .map(|(path, _)| path.as_slice())
            .collect();
        let mut rows = self.context.index().rows(&paths)?;
        self.looks.forget_above();
        let subtrees = self.looks.subtrees();
        for (path, hint) in &due {
            // A look at a subtree may have written what was read before it.
            let row = if self.looks.subtrees() == subtrees {
                rows.remove(path)
            } else {
                self.context.index().get(path)?
            };
            self.follow(path, *hint, row)?;
            self.commit_if_full()?;
        }
        self.commit()?;
        if due.len() < HINTS {
            self.rounds.ended(self.context.clock.now());
        }
        Ok(true)
    }

    /// Brings the batch to the sink and the index.
    fn commit(&mut self) -> Result<(), End> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let now = self.context.clock.now();
        self.take_in_events();
        if self.batch.has_gone() {
            let believed = self.may_go(now)?;
            self.batch.keep_gone(believed);
        }
        let batch = std::mem::take(&mut self.batch);
        let mut status = self.context.trouble_reporter();
        let beaten = self.context.committer.commit(&batch, &mut status)?;
        self.losses.committed(&batch, now);
        self.count_changes(batch.changes());
        self.count_files()?;
        for path in beaten {
            self.context
                .inbox
                .hint(&path, Hint::again(Cause::Watch, self.context.clock.now()));
        }
        Ok(())
    }

    /// Whether what seems gone may be believed: the root is the one it was, and the losses say so.
    fn may_go(&mut self, now: Time) -> Result<Believed, End> {
        if !self.presence.is_still(&self.context.settings.root) {
            self.presence.check_by(now);
            return Ok(Believed::Nothing);
        }
        if self.scans.accepts_loss() {
            self.losses.accept(now);
            return Ok(Believed::All);
        }
        self.check_mounts();
        let believed = self.losses.believes(&self.context, &self.batch, now)?;
        if believed == Believed::Accepted {
            self.report.set_held(self.losses.held(&self.context)?);
        }
        Ok(believed)
    }

    /// While a loss is held back: are the files back?
    fn check_losses(&mut self, now: Time) -> Result<(), End> {
        if self.scans.is_running() || self.losses.wakes_at().is_none_or(|time| time > now) {
            return Ok(());
        }
        let resolver = self.names.resolver();
        let again = self
            .losses
            .check(&self.context, &self.filesystems, resolver, now)?;
        self.losses_judged(again)
    }

    /// Judges once more what is held. `looked`: every file was looked at since then.
    fn judge_losses(&mut self, looked: Time) -> Result<(), End> {
        let over = self
            .losses
            .judge(&self.context, &self.filesystems, Some(looked))?;
        self.losses_judged(over)
    }

    fn losses_judged(&mut self, again: bool) -> Result<(), End> {
        if again {
            self.scans.want(Pending::new(ScanReason::LostWatch));
        }
        self.report.set_held(self.losses.held(&self.context)?);
        Ok(())
    }

    /// What was seen is believed only if no event up to then tells of more: a file that was read while
    /// it is being replaced is looked at again.
    fn take_in_events(&mut self) {
        let Some(watch) = self
            .watching
            .watch()
            .filter(|_| self.batch.unsure().next().is_some())
        else {
            return;
        };
        watch.take_in();
        let mut mail = self.context.inbox.lock();
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
