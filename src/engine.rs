//! The engine: decide, commit, act, in that order, everywhere.
//!
//! One task owns the planner. It pulls committed changes from the store, hands events to the
//! planner, commits what the planner decides, and only then makes the calls; each call's reply is
//! the next event. `step` is that order, which the simulation runs, too; `task` waits and calls.
//!
//! A crash between commit and call leaves a request `submitting`; the next start looks for it in the
//! API's list, and sends it again if it is not there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::core::agreement::Compared;
use crate::core::capacity::Queued;
use crate::core::change::{PipelineId, Seq};
use crate::core::planner::{Event, Limits, PipelineSettings, View};
use crate::core::time::Time;
use crate::metrics::Metrics;
use crate::store::{AskId, Desk, StoreError};
use crate::supervise::{Fault, Supervisor};

mod call;
mod journal;
mod operate;
mod step;
mod task;

pub use call::{Caller, KeyReader, TimedReply};
pub use journal::{Notice, RequestNotice};
pub use operate::{AskAnswer, Operated, Operation, answering};
pub use step::{Committed, Doing, Host, Restored, Steps};
use task::{End, Task};

/// How soon after one pull the next may follow: of a flood of commits, not each is worth one.
const PULL_EVERY: Duration = Duration::from_millis(5);
/// How many changes are read or written in one call: so many rows are written in less than 200 ms.
const PULL: usize = 5_000;
/// How many replies and questions may wait for the engine; more make their senders wait.
const CHANNEL: usize = 256;
/// How many notices a slow listener may lag behind before it misses some.
const NOTICES: usize = 4_096;
/// How long a stopping engine waits for the replies to calls that are on their way.
const LAST_REPLIES: Duration = Duration::from_secs(5);

/// What an engine is asked to do.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// The account's limits.
    pub limits: Limits,
    /// The pipelines.
    pub pipelines: Vec<PipelineSettings>,
    /// The pipelines' names, for logs and metrics.
    pub names: BTreeMap<PipelineId, Arc<str>>,
    /// Those whose purges are verified: they are fresh when that is done, which the job of verification reports.
    pub verified: BTreeSet<PipelineId>,
}

/// Why an engine has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was to stop.
    Stopped,
    /// Another term has begun, or its own time is over: what it had not sent is looked for by the next engine.
    Superseded,
}

/// Whether something of a pipeline that happened before a time is still looked at.
pub type Looks = Arc<dyn Fn(&PipelineId, Time) -> bool + Send + Sync>;

/// What reaches the engine from the rest of the process.
#[derive(Debug)]
enum Ask {
    View(oneshot::Sender<View>),
    Echo(oneshot::Sender<()>),
    Scanning {
        pipeline: PipelineId,
        running: bool,
    },
    Agreement {
        pipeline: PipelineId,
        nodes: BTreeMap<Arc<str>, Compared>,
    },
    Operate(Operation, Option<AskId>, operate::Answer),
}

/// Speaks to a running engine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    /// The way to the engine of now; closed while there is none.
    asks: watch::Sender<mpsc::Sender<Ask>>,
    notices: broadcast::Sender<Notice>,
    queued: watch::Sender<Option<Queued>>,
    turned: watch::Sender<()>,
}

/// The other end of an [`EngineHandle`], for the engine that it speaks to. There is none when it is dropped.
#[derive(Debug)]
pub struct Seat {
    asks: mpsc::Receiver<Ask>,
    notices: broadcast::Sender<Notice>,
    queued: watch::Sender<Option<Queued>>,
    turned: watch::Sender<()>,
    history: Seq,
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Of no pipeline the count is known here.
        self.queued.send_replace(Some(Queued::default()));
        self.turned.send_replace(());
    }
}

impl Seat {
    /// The same, for which changes up to this one are history, and not news.
    #[must_use]
    pub fn with_history(mut self, through: Seq) -> Self {
        self.history = through;
        self
    }
}

impl Default for EngineHandle {
    fn default() -> Self {
        Self::new()
    }
}

impl EngineHandle {
    /// A handle, as long as there is no engine.
    #[must_use]
    pub fn new() -> Self {
        Self {
            asks: watch::Sender::new(mpsc::channel(1).0),
            notices: broadcast::channel(NOTICES).0,
            queued: watch::Sender::new(Some(Queued::default())),
            turned: watch::Sender::new(()),
        }
    }

    /// The place of an engine, in which there is no other by now. What is asked waits until it runs.
    #[must_use]
    pub fn seat(&self) -> Seat {
        let (sender, asks) = mpsc::channel(CHANNEL);
        self.queued.send_replace(None);
        self.asks.send_replace(sender);
        Seat {
            asks,
            notices: self.notices.clone(),
            queued: self.queued.clone(),
            turned: self.turned.clone(),
            history: Seq(0),
        }
    }

    fn asks(&self) -> mpsc::Sender<Ask> {
        self.asks.borrow().clone()
    }

    /// Is notified of each step: what [`EngineHandle::view`] returns may have changed then.
    #[must_use]
    pub fn turned(&self) -> watch::Receiver<()> {
        self.turned.subscribe()
    }

    /// What the engine is doing; `None` where it has ended, or there is none.
    pub async fn view(&self) -> Option<View> {
        let (answer, view) = oneshot::channel();
        self.asks().send(Ask::View(answer)).await.ok()?;
        view.await.ok()
    }

    /// Whether there is no engine: it has ended, or another node has it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.asks.borrow().is_closed()
    }

    /// Whether the engine turns, and the store behind it answers.
    pub async fn echo(&self) -> bool {
        let (answer, heard) = oneshot::channel();
        self.asks().send(Ask::Echo(answer)).await.is_ok() && heard.await.is_ok()
    }

    /// A scan of the pipeline's origins began or ended.
    pub async fn scanning(&self, pipeline: PipelineId, running: bool) {
        // Where there is no engine, no batch is held open.
        drop(self.asks().send(Ask::Scanning { pipeline, running }).await);
    }

    /// The nodes whose files a pipeline's batches wait for say this, by name.
    pub async fn agreement(&self, pipeline: PipelineId, nodes: BTreeMap<Arc<str>, Compared>) {
        // Another node's engine has its own way to know.
        drop(self.asks().send(Ask::Agreement { pipeline, nodes }).await);
    }

    /// How much is queued of each pipeline that takes no more than it has room for; nothing until the engine
    /// has counted it. Where there is no engine, no pipeline is counted.
    #[must_use]
    pub fn queued(&self) -> watch::Receiver<Option<Queued>> {
        self.queued.subscribe()
    }

    /// What happens from now on, for those who watch: a listener that lags misses some.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }
}

/// The engine.
pub struct Engine {
    steps: Steps,
    task: Task,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Restores an engine from the store: see [`Steps::restore`].
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn restore(
        settings: EngineSettings,
        desk: Desk,
        seat: Seat,
        caller: Caller,
        clock: Clock,
        metrics: Arc<Metrics>,
        supervisor: &Supervisor,
    ) -> Result<Self, StoreError> {
        let Restored {
            steps,
            unsettled,
            step,
        } = Steps::restore(
            desk,
            settings.limits,
            settings.pipelines,
            PULL,
            fastrand::u64(..),
            clock.now(),
        )
        .await?;
        let mut journal = journal::Journal::new(
            (settings.names, settings.verified),
            &unsettled,
            metrics,
            seat.notices.clone(),
        );
        journal.decided(&step.decisions);
        let mut task = Task {
            looks: Arc::new(|_, _| false),
            caller: Arc::new(caller),
            clock,
            journal,
            supervisor: supervisor.clone(),
            stopping: CancellationToken::new(),
            seat,
            put_off: VecDeque::new(),
            replies: mpsc::channel(CHANNEL),
            outstanding: 0,
        };
        if !step.commands.is_empty() && !task.holds(steps.desk.tenure()) {
            return Err(StoreError::Superseded);
        }
        for command in step.commands {
            task.send(command);
        }
        Ok(Self { steps, task })
    }

    /// The same, whose batches stay open while something that belongs to them is looked at.
    #[must_use]
    pub fn with_looks(mut self, looks: Looks) -> Self {
        self.task.looks = looks;
        self
    }

    /// Runs until `stopping`, then takes the replies that are still on their way; or until its term is over.
    ///
    /// # Errors
    /// When the store has gone for good.
    pub async fn run(mut self, stopping: CancellationToken) -> Result<Ended, Fault> {
        self.task.stopping = stopping;
        match self.turn().await {
            Ok(()) | Err(End::Stopping) => self.drain().await,
            Err(End::Superseded) => Ok(Ended::Superseded),
            Err(End::Failed(fault)) => Err(fault),
        }
    }

    /// Takes what comes until the process stops.
    async fn turn(&mut self) -> Result<(), End> {
        let Self { steps, task } = self;
        steps.pull(task).await?;
        task.seat.queued.send_replace(Some(steps.queued()));
        // When to listen to the store again.
        let mut again = Time::ZERO;
        loop {
            if let Some(ask) = task.put_off.pop_front() {
                task.asked(steps, ask).await?;
                continue;
            }
            let wake = steps.planner().next_wake(task.clock.now());
            let clock = task.clock;
            let sleep = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(clock.instant(at)).await,
                    None => std::future::pending().await,
                }
            };
            let heard = async {
                tokio::time::sleep_until(clock.instant(again)).await;
                steps.appended().await
            };
            tokio::select! {
                () = task.stopping.cancelled() => return Ok(()),
                Some(reply) = task.replies.1.recv() => task.replied(steps, reply).await?,
                Some(ask) = task.seat.asks.recv() => task.asked(steps, ask).await?,
                appended = heard => {
                    appended.map_err(|error| match error {
                        StoreError::Superseded => End::Superseded,
                        error => store_is_gone(&error),
                    })?;
                    steps.pull(task).await?;
                    again = task.clock.now().after(PULL_EVERY);
                }
                () = sleep => steps.event(task, Event::Wake).await?,
            }
        }
    }

    /// Takes the last replies, so that what the API accepted is known at the next start.
    async fn drain(mut self) -> Result<Ended, Fault> {
        let Self { steps, task } = &mut self;
        steps.planner.stop();
        task.stopping = CancellationToken::new();
        let last = async {
            while task.outstanding > 0 {
                let Some(reply) = task.replies.1.recv().await else {
                    break;
                };
                task.replied(steps, reply).await?;
            }
            Ok(())
        };
        match tokio::time::timeout(LAST_REPLIES, last).await {
            Ok(Ok(()) | Err(End::Stopping)) => Ok(Ended::Stopped),
            Ok(Err(End::Superseded)) => Ok(Ended::Superseded),
            Ok(Err(End::Failed(fault))) => Err(fault),
            Err(_) => {
                tracing::warn!(
                    calls = task.outstanding,
                    "stopping without the replies to calls on their way; they are made again at the next start"
                );
                Ok(Ended::Stopped)
            }
        }
    }
}

fn store_is_gone(error: &StoreError) -> End {
    End::Failed(Fault {
        task: "engine".to_owned(),
        message: format!("the store can't be used: {error}"),
    })
}

#[cfg(test)]
mod tests;
