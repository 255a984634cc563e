//! The engine: decide, commit, act, in that order, everywhere.
//!
//! One task owns the planner. It pulls committed changes from the store, hands events to the
//! planner, commits what the planner decides, and only then makes the calls; each call's reply is
//! the next event. A crash between commit and call leaves a request `submitting`; the next start
//! looks for it in the API's list, and sends it again if it is not there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::core::change::{PipelineId, Seq};
use crate::core::planner::{Command, Event, Limits, PipelineSettings, Planner, Step, View};
use crate::core::purge::{ListedPage, Refusal, RemoteStatus, RequestId};
use crate::core::room::Queued;
use crate::core::time::Time;
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};
use crate::supervise::{Fault, Supervisor};

mod call;
mod journal;
mod operate;

pub use call::{Caller, Heard, KeyReader};
pub use journal::{Notice, RequestNotice};
pub use operate::{Operated, Operation};

/// How soon after one pull the next may follow: of a flood of commits, not each is worth one.
const PULL_EVERY: Duration = Duration::from_millis(5);
/// How soon it is asked again whether a look is over that a batch waits for.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// How many queued changes are pulled from the store at once.
const PULL: usize = 10_000;
/// How many replies and questions may wait for the engine; more make their senders wait.
const CHANNEL: usize = 256;
/// How many notices a slow listener may lag behind before it misses some.
const NOTICES: usize = 4_096;
/// How long a failed commit waits before it is tried again.
const COMMIT_RETRY: Duration = Duration::from_secs(1);
/// How long a stopping engine waits for the replies to calls that are on their way.
const LAST_REPLIES: Duration = Duration::from_secs(5);

/// What an engine is told to do.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// The account's limits.
    pub limits: Limits,
    /// The pipelines.
    pub pipelines: Vec<PipelineSettings>,
    /// The pipelines' names, for logs and metrics.
    pub names: BTreeMap<PipelineId, Arc<str>>,
    /// Those whose purges are verified: they are fresh when that is done, which somebody else tells.
    pub verified: BTreeSet<PipelineId>,
}

/// Whether something of a pipeline that happened before a time is still looked at.
pub type Looks = Arc<dyn Fn(&PipelineId, Time) -> bool + Send + Sync>;

/// What reaches the engine from the rest of the process.
#[derive(Debug)]
enum Ask {
    View(oneshot::Sender<View>),
    Echo(oneshot::Sender<()>),
    Scanning { pipeline: PipelineId, running: bool },
    Operate(Operation, operate::Answer),
}

/// The reply to a call.
#[derive(Debug)]
enum Reply {
    Submitted(RequestId, Result<(String, RemoteStatus), Refusal>),
    Polled(RequestId, Result<RemoteStatus, Refusal>),
    Listed(u64, Result<ListedPage, Refusal>),
}

/// A reply, with what it tells of the API's clock.
#[derive(Debug)]
struct Answer {
    reply: Reply,
    shown: Vec<(Time, Duration)>,
    sent: Time,
}

impl Answer {
    fn new<T>(heard: Heard<T>, reply: impl FnOnce(Result<T, Refusal>) -> Reply) -> Self {
        Self {
            reply: reply(heard.reply),
            shown: heard.shown,
            sent: heard.sent,
        }
    }
}

/// Speaks to a running engine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    asks: mpsc::Sender<Ask>,
    notices: broadcast::Sender<Notice>,
    queued: watch::Receiver<Option<Queued>>,
    turned: watch::Receiver<()>,
}

impl EngineHandle {
    /// Hears of each step: what [`EngineHandle::view`] tells may be another then.
    #[must_use]
    pub fn turned(&self) -> watch::Receiver<()> {
        self.turned.clone()
    }

    /// What the engine is doing; `None` when it does not answer any more.
    pub async fn view(&self) -> Option<View> {
        let (answer, view) = oneshot::channel();
        self.asks.send(Ask::View(answer)).await.ok()?;
        view.await.ok()
    }

    /// Whether the engine has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.asks.is_closed()
    }

    /// Whether the engine turns, and the store behind it answers.
    pub async fn echo(&self) -> bool {
        let (answer, heard) = oneshot::channel();
        self.asks.send(Ask::Echo(answer)).await.is_ok() && heard.await.is_ok()
    }

    /// A scan of the pipeline's origins began or ended.
    pub async fn scanning(&self, pipeline: PipelineId, running: bool) {
        // An engine that has ended holds no batch open.
        drop(self.asks.send(Ask::Scanning { pipeline, running }).await);
    }

    /// How much is queued of each pipeline that takes no more than it has room for; nothing until it
    /// was counted.
    #[must_use]
    pub fn queued(&self) -> watch::Receiver<Option<Queued>> {
        self.queued.clone()
    }

    /// What happens from now on, for those who watch: a listener that lags misses some.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }
}

/// The engine.
pub struct Engine {
    planner: Planner,
    looks: Looks,
    store: Arc<Store>,
    caller: Arc<Caller>,
    clock: Clock,
    journal: journal::Journal,
    supervisor: Supervisor,
    asks: mpsc::Receiver<Ask>,
    /// Asked while nothing could be committed.
    put_off: VecDeque<Ask>,
    replies: (mpsc::Sender<Answer>, mpsc::Receiver<Answer>),
    /// Calls whose reply has not come.
    outstanding: usize,
    cursor: Seq,
    /// The last sequence number that the store has announced.
    appended: watch::Receiver<Seq>,
    queued: watch::Sender<Option<Queued>>,
    turned: watch::Sender<()>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("planner", &self.planner)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Restores an engine from the store: what was in flight is followed up, what was being sent
    /// is looked for or queued again.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn restore(
        settings: EngineSettings,
        store: Arc<Store>,
        caller: Caller,
        clock: Clock,
        metrics: Arc<Metrics>,
        supervisor: &Supervisor,
    ) -> Result<(Self, EngineHandle), StoreError> {
        let unsettled = store.unsettled().await?;
        let now = clock.now();
        for pause in unsettled.pauses.iter().cloned() {
            let pause = pause.restored(now);
            if !pause.holds(now) {
                store.resume(pause.pipeline, pause.holder, now).await?;
            }
        }
        let (asks_sender, asks) = mpsc::channel(CHANNEL);
        let (notices, _) = broadcast::channel(NOTICES);
        let journal = journal::Journal::new(
            (settings.names, settings.verified),
            &unsettled,
            metrics,
            notices.clone(),
        );
        let (queued, counted) = watch::channel(None);
        let (turned, hears) = watch::channel(());
        let seed = fastrand::u64(..);
        let (planner, step) = Planner::restore(
            settings.limits,
            settings.pipelines,
            unsettled,
            seed,
            clock.now(),
        );
        let mut engine = Self {
            planner,
            looks: Arc::new(|_, _| false),
            appended: store.subscribe(),
            store,
            caller: Arc::new(caller),
            clock,
            journal,
            supervisor: supervisor.clone(),
            asks,
            put_off: VecDeque::new(),
            replies: mpsc::channel(CHANNEL),
            outstanding: 0,
            cursor: Seq(0),
            queued,
            turned,
        };
        if !step.decisions.is_empty() {
            engine.store.decide(step.decisions.clone()).await?;
            engine.journal.decided(&step.decisions);
        }
        engine.act(step);
        let handle = EngineHandle {
            asks: asks_sender,
            notices,
            queued: counted,
            turned: hears,
        };
        Ok((engine, handle))
    }

    /// The same, whose batches stay open while something that belongs to them is looked at.
    #[must_use]
    pub fn with_looks(self, looks: Looks) -> Self {
        Self { looks, ..self }
    }

    /// Runs until `stopping`, then takes the replies that are still on their way.
    ///
    /// # Errors
    /// When the store has gone for good.
    pub async fn run(mut self, stopping: CancellationToken) -> Result<(), Fault> {
        // What was queued before the start counts as history, not as news.
        self.pull(&stopping, false).await?;
        self.queued.send_replace(Some(self.planner.queued()));
        // When to listen to the store again.
        let mut again = Time::ZERO;
        loop {
            if let Some(ask) = self.put_off.pop_front() {
                self.asked(ask, &stopping).await?;
                continue;
            }
            let now = self.clock.now();
            let wake = self.planner.next_wake(now);
            let sleep = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(self.clock.instant(at)).await,
                    None => std::future::pending().await,
                }
            };
            let heard = async {
                tokio::time::sleep_until(self.clock.instant(again)).await;
                self.appended.changed().await
            };
            tokio::select! {
                () = stopping.cancelled() => break,
                Some(reply) = self.replies.1.recv() => self.replied(reply, &stopping).await?,
                Some(ask) = self.asks.recv() => self.asked(ask, &stopping).await?,
                changed = heard => match changed {
                    Ok(()) => {
                        self.pull(&stopping, true).await?;
                        again = self.clock.now().after(PULL_EVERY);
                    }
                    Err(_) => return Err(store_is_gone(&StoreError::Closed)),
                },
                () = sleep => self.event(Event::Wake, &stopping).await?,
            }
        }
        self.drain().await
    }

    /// Hands the planner every committed change it has not seen.
    async fn pull(&mut self, stopping: &CancellationToken, news: bool) -> Result<(), Fault> {
        let last = *self.appended.borrow_and_update();
        while self.cursor < last {
            let rows = match self.store.queued_after(self.cursor, PULL).await {
                Ok(rows) => rows,
                Err(StoreError::Closed) => return Err(store_is_gone(&StoreError::Closed)),
                Err(error) => {
                    self.journal.stuck("the queue can't be read", &error);
                    if self.pause(stopping).await {
                        return Ok(());
                    }
                    continue;
                }
            };
            self.journal.unstuck();
            self.cursor = rows.last().map_or(last, |row| row.seq);
            if rows.is_empty() {
                break;
            }
            if news {
                self.journal.changed(&rows);
            }
            // Their batch may have been due before they were found.
            let now = self.clock.now();
            let pipelines: BTreeSet<_> = rows.iter().map(|row| &row.pipeline).collect();
            for pipeline in pipelines {
                self.wait_for_looks(pipeline, now, now);
            }
            self.step(Event::Changes(rows), stopping).await?;
        }
        self.count();
        Ok(())
    }

    async fn replied(&mut self, answer: Answer, stopping: &CancellationToken) -> Result<(), Fault> {
        self.outstanding = self.outstanding.saturating_sub(1);
        for (shown, grain) in answer.shown {
            let sent = answer.sent;
            let told = Event::ApiTime { sent, shown, grain };
            self.event(told, stopping).await?;
        }
        let event = match answer.reply {
            Reply::Submitted(request, reply) => {
                self.journal.answered(Some(request), reply.as_ref().err());
                Event::Submitted { request, reply }
            }
            Reply::Polled(request, reply) => {
                self.journal.answered(Some(request), reply.as_ref().err());
                Event::Polled { request, reply }
            }
            Reply::Listed(list, reply) => {
                self.journal.answered(None, reply.as_ref().err());
                Event::Listed { list, reply }
            }
        };
        self.event(event, stopping).await
    }

    async fn asked(&mut self, ask: Ask, stopping: &CancellationToken) -> Result<(), Fault> {
        match ask {
            Ask::View(answer) => {
                // What was committed before the question is part of the answer.
                self.pull(stopping, true).await?;
                // Who asked may have gone away.
                drop(answer.send(self.planner.view(self.clock.now())));
                Ok(())
            }
            Ask::Echo(answer) => {
                // An append of nothing passes through the store's writer and costs no sync.
                if self.store.append(Vec::new()).await.is_ok() {
                    answer.send(()).unwrap_or_default();
                }
                Ok(())
            }
            Ask::Scanning { pipeline, running } => {
                // What a scan found belongs to the batch that it held open.
                self.pull(stopping, true).await?;
                self.event(Event::Scanning { pipeline, running }, stopping)
                    .await
            }
            Ask::Operate(operation, answer) => {
                let operated = self.operate(operation, stopping).await?;
                drop(answer.send(operated));
                Ok(())
            }
        }
    }

    /// Hands the planner an event. A batch that closes at it has everything that happened before: what is
    /// still looked at is waited for, and what was committed a moment ago is pulled.
    async fn event(&mut self, event: Event, stopping: &CancellationToken) -> Result<(), Fault> {
        let now = self.clock.now();
        let closing = self.planner.closing(now);
        if !closing.is_empty() {
            for (pipeline, before) in closing {
                self.wait_for_looks(&pipeline, before, now);
            }
            self.pull(stopping, true).await?;
        }
        self.step(event, stopping).await
    }

    /// Keeps the pipeline's batch open for a moment if what happened before a time is still looked at.
    fn wait_for_looks(&mut self, pipeline: &PipelineId, before: Time, now: Time) {
        if (self.looks)(pipeline, before) {
            self.planner.hold(pipeline, now.after(LOOK_AGAIN));
        }
    }

    /// Decide, commit, act.
    async fn step(&mut self, event: Event, stopping: &CancellationToken) -> Result<(), Fault> {
        let step = self.planner.handle(self.clock.now(), event);
        self.count();
        if self.commit(&step, stopping).await? {
            self.act(step);
        }
        self.turned.send_replace(());
        Ok(())
    }

    /// Tells how much is queued, once all that was queued before the start is.
    fn count(&self) {
        self.queued.send_if_modified(|told| {
            let Some(told) = told.as_mut().filter(|told| !told.assets.is_empty()) else {
                return false;
            };
            let mut queued = self.planner.queued();
            // What was given up before the planner heard of it is counted, too.
            queued.through = queued.through.max(self.cursor);
            let differs = *told != queued;
            *told = queued;
            differs
        });
    }

    /// Commits a step's decisions, again and again if need be: the planner has made them, so there
    /// is no going on without. `false`: the process stops before they could be committed; they
    /// count as never made.
    async fn commit(&mut self, step: &Step, stopping: &CancellationToken) -> Result<bool, Fault> {
        if step.decisions.is_empty() {
            return Ok(true);
        }
        loop {
            match self.store.decide(step.decisions.clone()).await {
                Ok(()) => {
                    self.journal.unstuck();
                    self.journal.decided(&step.decisions);
                    return Ok(true);
                }
                Err(
                    error @ (StoreError::Closed | StoreError::Unusable(_) | StoreError::Damaged(_)),
                ) => {
                    return Err(store_is_gone(&error));
                }
                Err(error) => {
                    self.journal
                        .stuck("decisions can't be committed, nothing is sent", &error);
                    if self.pause(stopping).await {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Waits a moment, while those who ask are answered. `true`: the process stops.
    async fn pause(&mut self, stopping: &CancellationToken) -> bool {
        let over = tokio::time::sleep(COMMIT_RETRY);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = stopping.cancelled() => return true,
                () = &mut over => return false,
                Some(ask) = self.asks.recv(), if self.put_off.len() < CHANNEL => match ask {
                    Ask::View(answer) => {
                        drop(answer.send(self.planner.view(self.clock.now())));
                    }
                    // It turns, and waits for room: another start would make none.
                    Ask::Echo(answer) => answer.send(()).unwrap_or_default(),
                    Ask::Scanning { .. } | Ask::Operate(..) => self.put_off.push_back(ask),
                },
            }
        }
    }

    /// Makes the calls of a step whose decisions are committed.
    fn act(&mut self, step: Step) {
        for command in step.commands {
            self.outstanding += 1;
            let (caller, replies) = (Arc::clone(&self.caller), self.replies.0.clone());
            self.supervisor.spawn("call", async move {
                let answer = match command {
                    Command::Submit {
                        request,
                        pipeline,
                        scope,
                    } => {
                        let heard = caller.submit(&pipeline, &scope).await;
                        Answer::new(heard, |reply| Reply::Submitted(request, reply))
                    }
                    Command::Poll { request, remote_id } => {
                        let heard = caller.poll(&remote_id).await;
                        Answer::new(heard, |reply| Reply::Polled(request, reply))
                    }
                    Command::List {
                        list,
                        pipeline,
                        page,
                    } => {
                        let heard = caller.list(pipeline.as_ref(), page).await;
                        Answer::new(heard, |reply| Reply::Listed(list, reply))
                    }
                };
                // An engine that has ended will ask the API again at the next start.
                drop(replies.send(answer).await);
                Ok(())
            });
        }
    }

    /// Takes the last replies, so that what the API accepted is known at the next start.
    async fn drain(mut self) -> Result<(), Fault> {
        self.planner.stop();
        let never = CancellationToken::new();
        let last = tokio::time::timeout(LAST_REPLIES, async {
            while self.outstanding > 0 {
                let Some(reply) = self.replies.1.recv().await else {
                    break;
                };
                self.replied(reply, &never).await?;
            }
            Ok(())
        })
        .await;
        last.unwrap_or_else(|_| {
            tracing::warn!(
                calls = self.outstanding,
                "stopping without the replies to calls on their way; they are made again at the next start"
            );
            Ok(())
        })
    }
}

fn store_is_gone(error: &StoreError) -> Fault {
    Fault::Failed {
        task: "engine".to_owned(),
        message: format!("the store can't be used: {error}"),
    }
}
