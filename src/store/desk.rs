//! What only the leader does with the store: each call is of one term, and is refused when that is over.
//! Without a [`Desk`] nothing can be decided.
//!
//! A queue on this machine's disk has one user, which the lock of its directory proves, and so any term
//! can begin at once. The term is compared there, too: that costs one look at one row, and makes one code
//! of both.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::asks::Answering;
use super::calls::{ask, decide, deliveries, fleet, history, node, operate, queue, verify};
use super::db::{Db, values};
use super::{Store, StoreError, StoreFuture, sql};
use crate::clock::Clock;
use crate::core::change::{Change, PipelineId, Seq};
use crate::core::delivery::ScanDone;
use crate::core::drift::Reading;
use crate::core::lease::{LeaseRow, NodeId, Term};
use crate::core::nodes::NodeRow;
use crate::core::pause::{Holder, Pause, Retry};
use crate::core::purge::{Decision, RequestId};
use crate::core::time::Time;
use crate::core::verify::{Check, FollowUp, FollowUps, FollowedUp, Follows, Known, Looked};

/// Until when the leader of a term may act, by its own clock. Its renewals move it: all clones are one.
#[derive(Clone, Debug)]
pub struct Tenure(Arc<AtomicU64>);

impl Tenure {
    /// For a queue that no other node can lead.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::until(Time::from_millis(u64::MAX))
    }

    /// Until a time.
    #[must_use]
    pub fn until(end: Time) -> Self {
        Self(Arc::new(AtomicU64::new(end.millis())))
    }

    /// Moves its end.
    pub fn renew(&self, end: Time) {
        self.0.store(end.millis(), Ordering::Relaxed);
    }

    /// Whether the leader may act now.
    #[must_use]
    pub fn holds(&self, now: Time) -> bool {
        now.millis() < self.0.load(Ordering::Relaxed)
    }
}

/// The store, with the right to decide in one term. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk {
    store: Arc<Store>,
    term: Term,
    tenure: Tenure,
    /// How often the history had changed when the term began: decisions rest on what was read since.
    history: u64,
}

/// What every node does with the store, the leader does, too.
impl Deref for Desk {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

#[expect(clippy::must_use_candidate, reason = "a future has to be used anyway")]
impl Store {
    /// Begins a term, whichever was before, of a queue that no other node uses.
    pub fn lead(self: &Arc<Self>, term: Term) -> StoreFuture<'_, Desk> {
        let (node, history) = (self.node, Arc::clone(&self.history));
        let begun = self.alter(move |db| {
            fleet::take(db, fleet::lease(db)?, term, node)?;
            Ok(history.borrow().changes)
        });
        Box::pin(async move {
            let history = begun.await?;
            Ok(self.desk(term, Tenure::unlimited(), history))
        })
    }

    /// Who leads, of several nodes.
    pub fn lease(&self) -> StoreFuture<'_, LeaseRow> {
        self.publish(fleet::lease)
    }

    /// Begins a term of a node that leads until a time, unless the lease is another than was read.
    pub fn take_over(
        self: &Arc<Self>,
        read: LeaseRow,
        term: Term,
        node: NodeId,
        until: Time,
    ) -> StoreFuture<'_, Option<Desk>> {
        let history = Arc::clone(&self.history);
        let taken = self.alter(move |db| {
            let taken = fleet::take(db, read, term, node)?;
            Ok(taken.then(|| history.borrow().changes))
        });
        Box::pin(async move {
            let taken = taken.await?;
            Ok(taken.map(|history| self.desk(term, Tenure::until(until), history)))
        })
    }

    /// Moves the lease. `false`: it is of another term.
    pub fn renew(&self, term: Term) -> StoreFuture<'_, bool> {
        self.publish(move |db| fleet::renew(db, term))
    }

    /// Ends a term, so that another node takes over at once.
    pub fn resign(&self, term: Term) -> StoreFuture<'_, ()> {
        self.publish(move |db| {
            fleet::resign(db, term)?;
            db.announce()
        })
    }

    /// Says that this node runs, at a time of its clock. Returns every node. [`StoreError::Unusable`]: another
    /// process has begun to run as this node, or one of another version has changed the tables.
    pub fn beat(&self, now: Time) -> StoreFuture<'_, Vec<NodeRow>> {
        let (node, instance) = (self.node, self.instance);
        self.publish(move |db| {
            db.fits()?;
            node::beat(db, node, instance, now)?;
            node::all(db)
        })
    }

    /// Reports how it stands with this node, and what it has of the configuration that all nodes have, to the others.
    pub fn report(&self, report: String, config: String) -> StoreFuture<'_, ()> {
        let node = self.node;
        self.publish(move |db| {
            let values = values![node, &report, &config];
            db.execute(sql::node::REPORT, &values).map(drop)
        })
    }

    /// The time on the database's machine; `None`: that is this machine.
    pub fn time(&self) -> StoreFuture<'_, Option<Reading>> {
        self.publish(|db| {
            let asked = Clock::since_boot();
            let time = db.time()?;
            let took = Clock::since_boot().since(asked);
            Ok(time.map(|time| Reading { time, took }))
        })
    }

    /// Says that this node stops.
    pub fn leave(&self) -> StoreFuture<'_, ()> {
        let node = self.node;
        self.publish(move |db| db.execute(sql::node::LEAVE, &values![node]).map(drop))
    }

    /// Forgets a node that will not come back. `false`: its beat has moved from this one.
    pub fn forget(&self, node: NodeId, beat: i64) -> StoreFuture<'_, bool> {
        self.alter(move |db| node::forget(db, node, beat))
    }

    fn desk(self: &Arc<Self>, term: Term, tenure: Tenure, history: u64) -> Desk {
        Desk {
            store: Arc::clone(self),
            term,
            tenure,
            history,
        }
    }
}

#[expect(clippy::must_use_candidate, reason = "a future has to be used anyway")]
impl Desk {
    /// The store of every node.
    pub const fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Its term.
    pub const fn term(&self) -> Term {
        self.term
    }

    /// Until when the leader may act.
    pub const fn tenure(&self) -> &Tenure {
        &self.tenure
    }

    /// The queued changes after `cursor` in order of sequence, at most `limit`.
    pub fn queued_after(&self, cursor: Seq, limit: usize) -> StoreFuture<'_, Vec<Change>> {
        let (pulled, rests) = (self.store.pulled.clone(), self.rests());
        self.store.read(move |db| {
            let changes = queue::queued_after(db, cursor, limit)?;
            rests()?;
            pulled.note(&changes);
            Ok(changes)
        })
    }

    /// Waits until what this term rests on may be gone ([`History`](super::History)): then it is over.
    pub async fn superseded(&self) -> StoreError {
        let (mut history, begun) = (self.store.subscribe_history(), self.history);
        match history.wait_for(|now| now.changes != begun).await {
            Ok(_) => StoreError::Superseded,
            Err(_) => StoreError::Closed,
        }
    }

    /// Refuses what rests on a history that may be gone.
    fn rests(&self) -> impl Fn() -> Result<(), StoreError> + Send + 'static {
        let (history, begun) = (Arc::clone(&self.store.history), self.history);
        move || {
            let rests = history.borrow().changes == begun;
            rests.then_some(()).ok_or(StoreError::Superseded)
        }
    }

    /// Commits decisions, in order. All or none.
    pub fn decide(&self, decisions: Vec<Decision>) -> StoreFuture<'_, ()> {
        self.fenced(move |db| {
            decisions
                .iter()
                .try_for_each(|decision| decide::apply(db, decision))
        })
    }

    /// A request for everything takes what it covers: at most `limit` changes a call, so that no call takes long.
    /// Returns how many it were. One that is over takes none.
    pub fn cover(&self, request: RequestId, limit: usize) -> StoreFuture<'_, usize> {
        self.fenced(move |db| decide::cover(db, request, limit))
    }

    /// What becomes of the changes of a request by the decision that settles it, which is committed next: at most
    /// `limit` changes a call. Returns how many it were.
    pub fn release(&self, settled: &Decision, limit: usize) -> StoreFuture<'_, usize> {
        let Decision::Settled {
            request,
            outcome,
            attempt,
            not_before,
            ..
        } = *settled
        else {
            return Box::pin(std::future::ready(Ok(0)));
        };
        self.fenced(move |db| decide::release(db, request, outcome, (attempt, not_before), limit))
    }

    /// Commits a pause, or renews the one that its holder has: its reason and beginning stay. An ask for it is
    /// answered with it, here and below.
    pub fn pause(&self, pause: Pause, asked: Option<Answering>) -> StoreFuture<'_, ()> {
        self.fenced(move |db| {
            answer(db, asked.as_ref(), true)?;
            operate::pause(db, &pause)
        })
    }

    /// Ends a pause, and forgets those that are over at `now` ([`Pause::is_over`]). `false`: there was none.
    pub fn resume(
        &self,
        pipeline: PipelineId,
        holder: Holder,
        now: Time,
        asked: Option<Answering>,
    ) -> StoreFuture<'_, bool> {
        self.fenced(move |db| {
            answer(db, asked.as_ref(), true)?;
            operate::resume(db, &pipeline, &holder, now)
        })
    }

    /// Queues what is failed again, as if no request had been made for it: at most `limit` changes
    /// a call, which are returned. The last call, which finds none, answers the ask.
    pub fn retry(
        &self,
        what: Retry,
        limit: usize,
        asked: Option<Answering>,
    ) -> StoreFuture<'_, Vec<Change>> {
        let pulled = self.store.pulled.clone();
        self.fenced(move |db| {
            let changes = operate::retry(db, &what, limit)?;
            answer(db, asked.as_ref(), changes.is_empty())?;
            pulled.note(&changes);
            Ok(changes)
        })
    }

    /// Drops what is queued or failed of a pipeline, and what deliveries would queue later: at most
    /// `limit` changes a call. Returns how many it were. A purge of everything that is queued goes
    /// with the first call. The last call, which finds none, answers the ask.
    pub fn drop_queue(
        &self,
        pipeline: PipelineId,
        limit: usize,
        asked: Option<Answering>,
    ) -> StoreFuture<'_, u64> {
        self.fenced_and_announced(move |db| {
            let dropped = operate::drop_queue(db, &pipeline, limit)?;
            answer(db, asked.as_ref(), dropped == 0)?;
            Ok(dropped)
        })
    }

    /// Says to the other nodes which queues take nothing more.
    pub fn set_full(&self, full: BTreeSet<PipelineId>) -> StoreFuture<'_, ()> {
        self.fenced(move |db| operate::set_full(db, &full))
    }

    /// At a start, with the delay of each route: no stored time stays further ahead of `now` than was
    /// asked for, nor than its route's delay is now. A clock that was set back, or a delay that was
    /// made smaller, leaves no wait longer than the configured one.
    pub fn begin_deliveries(
        &self,
        delays: BTreeMap<String, Duration>,
        now: Time,
    ) -> StoreFuture<'_, ()> {
        self.fenced(move |db| deliveries::begin(db, &delays, now))
    }

    /// What is configured to follow on purges, at a start. Deletes the rows of pipelines of which that is not wanted;
    /// those of a pipeline that is not named stay, since another node may have it. No stored time stays further ahead than it may be.
    pub fn begin_follow_ups(&self, follows: Vec<Follows>, now: Time) -> StoreFuture<'_, ()> {
        self.fenced(move |db| verify::begin(db, &follows, now))
    }

    /// Queues the changes of deliveries that are due at `now`, at most `limit` deliveries, and
    /// returns how many these were.
    pub fn release_deliveries(&self, now: Time, limit: usize) -> StoreFuture<'_, usize> {
        let pulled = self.store.pulled.clone();
        let released =
            self.fenced_and_announced(move |db| deliveries::release(db, now, limit, &pulled));
        Box::pin(async move {
            let (released, counts) = released.await?;
            self.store.commits.appended(&counts);
            Ok(released)
        })
    }

    /// The deliveries that waited for scans are made of what the pipeline's scans found.
    pub fn scanned_for_deliveries(&self, scan: ScanDone) -> StoreFuture<'_, ()> {
        self.fenced(move |db| deliveries::scanned(db, &scan))
    }

    /// Plans what follows on the settled requests of a pipeline that were marked by
    /// [`Decision::Follow`]: at most `limit` requests a call. At most
    /// [`WAITING`](crate::core::verify::WAITING) looks wait; how many do not fit is returned.
    pub fn follow_up(&self, plan: FollowUp, limit: usize) -> StoreFuture<'_, FollowedUp> {
        self.fenced(move |db| verify::follow_up(db, &plan, limit))
    }

    /// What is to be done, with the next `checks` looks of these pipelines.
    pub fn follow_ups(&self, of: Vec<PipelineId>, checks: usize) -> StoreFuture<'_, FollowUps> {
        self.store
            .read(move |db| verify::follow_ups(db, &of, checks))
    }

    /// Queues again what is due at `now`: at most `limit` assets. Returns how many it were.
    pub fn purge_again(&self, now: Time, limit: usize) -> StoreFuture<'_, usize> {
        self.fenced_and_announced(move |db| verify::purge_again(db, now, limit))
    }

    /// What is known of the bytes behind an asset that is looked at.
    pub fn known(&self, check: Check) -> StoreFuture<'_, Known> {
        self.store.read(move |db| verify::known(db, &check))
    }

    /// Commits a look. `false`: it was no longer wanted, and nothing of it was kept.
    pub fn looked(&self, looked: Looked) -> StoreFuture<'_, bool> {
        self.fenced(move |db| verify::looked(db, &looked))
    }

    /// Deletes what settled before `before`: at most `limit` rows a call, so that no call takes
    /// long. Returns how many it deleted. Never touches what is not settled, nor the last number
    /// of any sequence.
    pub fn prune(&self, before: Time, limit: usize) -> StoreFuture<'_, u64> {
        self.fenced(move |db| history::prune(db, before, limit))
    }

    /// Forgets deliveries that wait for nothing: those from before `before` that can't be repeated at
    /// `now`, and all but the last [`DELIVERIES_KEPT`](super::DELIVERIES_KEPT); at most `limit` a call. Returns how many.
    pub fn prune_deliveries(&self, before: Time, now: Time, limit: usize) -> StoreFuture<'_, u64> {
        self.fenced(move |db| deliveries::prune(db, before, now, limit))
    }

    /// Writes in its term.
    pub(super) fn fenced<T: Send + 'static>(
        &self,
        to: impl FnOnce(&dyn Db) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        let (term, rests) = (self.term, self.rests());
        let written = self.store.alter(move |db| {
            rests()?;
            fleet::fence(db, term)?;
            to(db)
        });
        self.counting(written)
    }

    /// Writes in its term what may append changes, and announces them.
    fn fenced_and_announced<T: Send + 'static>(
        &self,
        to: impl FnOnce(&dyn Db) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        let (term, rests) = (self.term, self.rests());
        let written = self.store.write_and_announce(move |db| {
            rests()?;
            fleet::fence(db, term)?;
            to(db)
        });
        self.counting(written)
    }

    /// The same, counted when it is refused because its term is over.
    fn counting<'a, T: Send + 'a>(&'a self, written: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        Box::pin(async move {
            let written = written.await;
            if matches!(written, Err(StoreError::Superseded)) {
                self.store.commits.fenced();
            }
            written
        })
    }
}

/// Where it was asked for: answers that with the last step, and refuses each step once it is withdrawn.
fn answer(db: &dyn Db, asked: Option<&Answering>, is_last: bool) -> Result<(), StoreError> {
    asked.map_or(Ok(()), |asked| {
        ask::answer(db, asked.ask, is_last.then_some(&*asked.answer))
    })
}
