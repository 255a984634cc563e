//! Decide, commit, act, in that order: the part of the engine on which durability rests.
//!
//! [`Steps`] owns the planner and the place in the queue up to which it knows the changes. It has no
//! clock, no timer and no network: those are its [`Host`]'s. The engine's task is one host. The
//! simulation is another, which dies between any two of its calls.

use std::collections::BTreeSet;

use tokio::sync::watch;

use crate::core::capacity::Queued;
use crate::core::change::{Change, PipelineId, Seq};
use crate::core::pause::{Holder, Pause};
use crate::core::planner::{Command, Event, Limits, PipelineSettings, Planner, Step};
use crate::core::purge::{Decision, RequestId, Scope, Unsettled};
use crate::core::time::Time;
use crate::store::{Desk, StoreError, StoreFuture, Tenure};

/// How soon it is asked again whether a look is over that a batch waits for.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(2);

/// What the steps need from around them.
pub trait Host {
    /// Why a step ends before it is complete: the process stops, or it died.
    type End;

    /// The time that the planner goes by.
    fn now(&self) -> Time;

    /// Whether the leader may act now.
    fn holds(&self, tenure: &Tenure) -> bool {
        tenure.holds(self.now())
    }

    /// Whether something of a pipeline that happened before a time is still looked at.
    fn looking(&mut self, pipeline: &PipelineId, before: Time) -> bool;

    /// Changes were read that the planner does not know yet.
    fn pulled(&mut self, changes: &[Change]);

    /// The planner knows every change that was committed before.
    fn caught_up(&mut self, steps: &Steps);

    /// The planner is about to handle an event.
    fn handling(&mut self, _planner: &Planner, _event: &Event) {}

    /// The planner has decided, and nothing of it is committed.
    ///
    /// # Errors
    /// To end before the commit.
    fn decided(&mut self, steps: &Steps, step: &Step) -> Result<(), Self::End>;

    /// The store has committed something.
    ///
    /// # Errors
    /// To end before anything is done about it.
    fn committed(&mut self, what: Committed<'_>) -> Result<(), Self::End>;

    /// Makes a call of which the store knows. Its reply is a later event.
    ///
    /// # Errors
    /// To end before this call and the next ones.
    fn call(&mut self, command: Command) -> Result<(), Self::End>;

    /// Waits for what the store does.
    ///
    /// # Errors
    /// To end instead.
    fn during<T: Send>(
        &mut self,
        _steps: &Steps,
        of: impl Future<Output = T> + Send,
    ) -> impl Future<Output = Result<T, Self::End>> + Send {
        async { Ok(of.await) }
    }

    /// The store could not be used. Waits until it is to be tried again.
    ///
    /// # Errors
    /// To end instead.
    fn failed(
        &mut self,
        steps: &Steps,
        doing: Doing,
        error: &StoreError,
    ) -> impl Future<Output = Result<(), Self::End>> + Send;
}

/// What the store has committed.
#[derive(Clone, Copy, Debug)]
pub enum Committed<'a> {
    /// The planner's decisions; none are committed at once.
    Decisions(&'a [Decision]),
    /// A part of what a request for everything takes or lets go.
    Part,
    /// A pause, of which the planner does not know yet.
    Pause {
        /// The pause.
        pause: &'a Pause,
        /// Whether its holder had one before, which it replaces.
        is_renewed: bool,
    },
    /// The end of a pause, of which the planner does not know yet.
    Resume {
        /// Whose purges.
        pipeline: &'a PipelineId,
        /// Whose pause.
        holder: &'a Holder,
        /// The pause; `None`: there was none any more.
        ended: Option<&'a Pause>,
        /// The pauses of others, which go on.
        left: &'a [Pause],
    },
    /// Changes that are queued again, of which the planner does not know yet; none: there are no more.
    Retry(&'a [Change]),
    /// That so many changes are dropped, of which the planner does not know yet; 0: there are no more.
    Drop(u64),
}

/// What the store is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Reading the queue.
    Pull,
    /// Committing decisions.
    Commit,
    /// Acting on what is committed.
    Act,
}

/// The planner, the store of its term, and how far the one knows the other.
#[derive(Debug)]
pub struct Steps {
    pub(super) planner: Planner,
    pub(super) desk: Desk,
    /// The last change that the planner knows.
    cursor: Seq,
    /// The last sequence number that the store has announced.
    appended: watch::Receiver<Seq>,
    /// How many changes are read, retried or dropped in a call.
    pub(super) at_once: usize,
}

/// What is restored from the store at a start.
#[derive(Debug)]
pub struct Restored {
    /// The steps. The queue is not pulled yet.
    pub steps: Steps,
    /// What the store knew before.
    pub unsettled: Unsettled,
    /// What the planner decided about that. Its decisions are committed, its commands not yet carried out.
    pub step: Step,
}

impl Steps {
    /// Restores the planner from the store: what was in flight is followed up, what was being sent
    /// is looked for or queued again. At most `at_once` changes are read, retried or dropped in a call.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn restore(
        desk: Desk,
        limits: Limits,
        pipelines: Vec<PipelineSettings>,
        at_once: usize,
        seed: u64,
        now: Time,
    ) -> Result<Restored, StoreError> {
        let unsettled = desk.unsettled().await?;
        // An end in the middle of that may have left some. It comes before what is queued again below.
        for open in unsettled.requests.iter().filter(|open| is_all(&open.scope)) {
            while desk.cover(open.id, at_once).await? == at_once {}
        }
        for pause in unsettled.pauses.iter().cloned() {
            let pause = pause.restored(now);
            if !pause.holds(now) {
                desk.resume(pause.pipeline, pause.holder, now, None).await?;
            }
        }
        let (planner, step) = Planner::restore(limits, pipelines, unsettled.clone(), seed, now);
        for settled in step.decisions.iter().filter(|one| is_settled_all(one)) {
            while desk.release(settled, at_once).await? == at_once {}
        }
        if !step.decisions.is_empty() {
            desk.decide(step.decisions.clone()).await?;
        }
        for request in step.decisions.iter().filter_map(opened_all) {
            while desk.cover(request, at_once).await? == at_once {}
        }
        let steps = Self {
            planner,
            appended: desk.subscribe(),
            desk,
            cursor: Seq(0),
            at_once,
        };
        Ok(Restored {
            steps,
            unsettled,
            step,
        })
    }

    /// The planner.
    #[must_use]
    pub const fn planner(&self) -> &Planner {
        &self.planner
    }

    /// Waits until changes were committed that are not pulled yet.
    ///
    /// # Errors
    /// When the store is closed, or the term is over.
    pub async fn appended(&mut self) -> Result<(), StoreError> {
        tokio::select! {
            news = self.appended.changed() => news.map_err(|_| StoreError::Closed),
            over = self.desk.superseded() => Err(over),
        }
    }

    /// How much is queued of the pipelines that have a cap.
    #[must_use]
    pub fn queued(&self) -> Queued {
        let mut queued = self.planner.queued();
        // What was given up before the planner knew of it is counted, too.
        queued.through = queued.through.max(self.cursor);
        queued
    }

    /// Hands the planner every committed change that it does not know.
    ///
    /// # Errors
    /// What the host ends with.
    pub async fn pull<H: Host>(&mut self, host: &mut H) -> Result<(), H::End> {
        let last = *self.appended.borrow_and_update();
        while self.cursor < last {
            let rows = self.desk.queued_after(self.cursor, self.at_once);
            let rows = match host.during(self, rows).await? {
                Ok(rows) => rows,
                Err(error) => {
                    host.failed(self, Doing::Pull, &error).await?;
                    continue;
                }
            };
            self.cursor = rows.last().map_or(last, |row| row.seq);
            host.pulled(&rows);
            if rows.is_empty() {
                break;
            }
            // Their batch may have been due before they were found.
            let now = host.now();
            let pipelines: BTreeSet<_> = rows.iter().map(|row| &row.pipeline).collect();
            for pipeline in pipelines {
                self.wait_for_looks(host, pipeline, now);
            }
            self.step(host, Event::Changes(rows)).await?;
        }
        host.caught_up(self);
        Ok(())
    }

    /// Hands the planner an event. A batch that closes at it has everything that happened before: what is
    /// still looked at is waited for, and what was committed a moment ago is pulled.
    ///
    /// # Errors
    /// What the host ends with.
    pub async fn event<H: Host>(&mut self, host: &mut H, event: Event) -> Result<(), H::End> {
        let closing = self.planner.closing(host.now());
        // A node that has the last change of a file does not say that it lacked the one before: a planner that
        // knows only that would take it for there.
        if !closing.is_empty() || matches!(event, Event::Agreement { .. }) {
            for (pipeline, before) in closing {
                self.wait_for_looks(host, &pipeline, before);
            }
            self.pull(host).await?;
        }
        self.step(host, event).await
    }

    /// Keeps the pipeline's batch open for a moment if what happened before a time is still looked at.
    fn wait_for_looks<H: Host>(&mut self, host: &mut H, pipeline: &PipelineId, before: Time) {
        if host.looking(pipeline, before) {
            self.planner.hold(pipeline, host.now().after(LOOK_AGAIN));
        }
    }

    /// Decide, commit, act.
    async fn step<H: Host>(&mut self, host: &mut H, event: Event) -> Result<(), H::End> {
        host.handling(&self.planner, &event);
        let step = self.planner.handle(host.now(), event);
        host.decided(self, &step)?;
        self.commit(host, &step.decisions).await?;
        for command in step.commands {
            // What is not sent stays `submitting`: were it sent when the term goes on, it would come together
            // with what the rate allows by then.
            while !host.holds(self.desk.tenure()) {
                let over = StoreError::Superseded;
                host.failed(self, Doing::Act, &over).await?;
            }
            host.call(command)?;
        }
        Ok(())
    }

    /// Commits decisions, again and again if need be: the planner has made them, so there is no going
    /// on without. Where the host ends before they could be committed, they count as never made.
    ///
    /// What a request for everything covers may be much: it is taken, and let go, in steps of `at_once`, so that
    /// nothing else waits long for the store. Where that ends in the middle, the request is still in flight, and
    /// covers all of it again at the next start.
    async fn commit<H: Host>(&self, host: &mut H, decisions: &[Decision]) -> Result<(), H::End> {
        for settled in decisions.iter().filter(|one| is_settled_all(one)) {
            let release = || self.desk.release(settled, self.at_once);
            while self.insist(host, release).await? == self.at_once {
                host.committed(Committed::Part)?;
            }
        }
        if !decisions.is_empty() {
            let decide = || self.desk.decide(decisions.to_vec());
            self.insist(host, decide).await?;
        }
        host.committed(Committed::Decisions(decisions))?;
        for request in decisions.iter().filter_map(opened_all) {
            let cover = || self.desk.cover(request, self.at_once);
            while self.insist(host, cover).await? == self.at_once {
                host.committed(Committed::Part)?;
            }
        }
        Ok(())
    }

    /// Has the store do something, again and again if need be.
    async fn insist<'s, H: Host, T: Send>(
        &'s self,
        host: &mut H,
        step: impl Fn() -> StoreFuture<'s, T>,
    ) -> Result<T, H::End> {
        loop {
            match host.during(self, step()).await? {
                Ok(done) => return Ok(done),
                Err(error) => host.failed(self, Doing::Commit, &error).await?,
            }
        }
    }
}

/// The request that is opened for everything.
fn opened_all(decision: &Decision) -> Option<RequestId> {
    match decision {
        Decision::Open { request, scope, .. } if is_all(scope) => Some(*request),
        _ => None,
    }
}

const fn is_all(scope: &Scope) -> bool {
    matches!(scope, Scope::All { .. })
}

const fn is_settled_all(decision: &Decision) -> bool {
    matches!(decision, Decision::Settled { all: true, .. })
}
