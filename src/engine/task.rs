//! The engine's task around its steps: questions, calls and their replies, and their log and metrics.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::journal::Journal;
use super::{
    Ask, CHANNEL, Caller, Committed, Doing, Host, Looks, Seat, Steps, TimedReply, store_is_gone,
};
use crate::clock::Clock;
use crate::core::change::{Change, PipelineId};
use crate::core::planner::{Command, Event, Step};
use crate::core::purge::{ListedPage, Refusal, RemoteStatus, RequestId};
use crate::core::time::Time;
use crate::store::{StoreError, Tenure};
use crate::supervise::{Fault, Supervisor};

/// How long a failed commit waits before it is tried again.
const COMMIT_RETRY: Duration = Duration::from_secs(1);

/// Why the engine ends.
#[derive(Debug)]
pub(super) enum End {
    /// The process stops.
    Stopping,
    /// Another term has begun.
    Superseded,
    /// It can't go on.
    Failed(Fault),
}

/// The reply to a call.
#[derive(Debug)]
pub(super) enum Reply {
    Submitted(RequestId, Result<(String, RemoteStatus), Refusal>),
    Polled(RequestId, Result<RemoteStatus, Refusal>),
    Listed(u64, Result<ListedPage, Refusal>),
}

/// A reply, with what the API's clock showed in it.
#[derive(Debug)]
pub(super) struct Answer {
    reply: Reply,
    shown: Vec<(Time, Duration)>,
    sent: Time,
}

impl Answer {
    fn new<T>(heard: TimedReply<T>, reply: impl FnOnce(Result<T, Refusal>) -> Reply) -> Self {
        Self {
            reply: reply(heard.reply),
            shown: heard.shown,
            sent: heard.sent,
        }
    }
}

/// What the engine has beside its steps.
pub(super) struct Task {
    pub(super) looks: Looks,
    pub(super) caller: Arc<Caller>,
    pub(super) clock: Clock,
    pub(super) journal: Journal,
    pub(super) supervisor: Supervisor,
    pub(super) stopping: CancellationToken,
    pub(super) seat: Seat,
    /// Asked while nothing could be committed.
    pub(super) put_off: VecDeque<Ask>,
    pub(super) replies: (mpsc::Sender<Answer>, mpsc::Receiver<Answer>),
    /// Calls whose reply has not come.
    pub(super) outstanding: usize,
}

impl Task {
    pub(super) async fn replied(&mut self, steps: &mut Steps, answer: Answer) -> Result<(), End> {
        self.outstanding = self.outstanding.saturating_sub(1);
        for (shown, grain) in answer.shown {
            let sent = answer.sent;
            let told = Event::ApiTime { sent, shown, grain };
            steps.event(self, told).await?;
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
        steps.event(self, event).await
    }

    pub(super) async fn asked(&mut self, steps: &mut Steps, ask: Ask) -> Result<(), End> {
        match ask {
            Ask::View(answer) => {
                // What was committed before the question is part of the answer.
                steps.pull(self).await?;
                // Who asked may have gone away.
                drop(answer.send(steps.planner().view(self.clock.now())));
                Ok(())
            }
            Ask::Echo(answer) => {
                // An append of nothing passes through the store's writer and costs no sync. A server that is
                // slow or away is no fault of this process.
                if steps.desk.is_on_server() || steps.desk.append(Vec::new()).await.is_ok() {
                    answer.send(()).unwrap_or_default();
                }
                Ok(())
            }
            Ask::Scanning { pipeline, running } => {
                // What a scan found belongs to the batch that it held open.
                steps.pull(self).await?;
                let event = Event::Scanning { pipeline, running };
                steps.event(self, event).await
            }
            Ask::Agreement { pipeline, nodes } => {
                let event = Event::Agreement { pipeline, nodes };
                steps.event(self, event).await
            }
            Ask::Operate(_, _, answer) if answer.is_closed() => Ok(()),
            Ask::Operate(operation, asked, answer) => {
                let operated = steps.operate(self, operation, asked).await?;
                let superseded = matches!(operated, Err(StoreError::Superseded));
                drop(answer.send(operated));
                if superseded {
                    return Err(End::Superseded);
                }
                Ok(())
            }
        }
    }

    /// Publishes how much is queued, once all that was queued before the start is.
    fn count(&self, steps: &Steps) {
        self.seat.queued.send_if_modified(|told| {
            let Some(told) = told.as_mut().filter(|told| !told.assets.is_empty()) else {
                return false;
            };
            let queued = steps.queued();
            let differs = *told != queued;
            *told = queued;
            differs
        });
    }

    /// Waits for something that the store does, or for it to be tried again. Questions are answered meanwhile with
    /// what is known; what has to be committed is put off.
    async fn attend<T: Send>(
        &mut self,
        steps: &Steps,
        of: impl Future<Output = T> + Send,
    ) -> Result<T, End> {
        tokio::pin!(of);
        loop {
            tokio::select! {
                biased;
                over = &mut of => return Ok(over),
                () = self.stopping.cancelled() => return Err(End::Stopping),
                Some(ask) = self.seat.asks.recv(), if self.put_off.len() < CHANNEL => match ask {
                    Ask::View(answer) => {
                        drop(answer.send(steps.planner().view(self.clock.now())));
                    }
                    // It turns, and waits for room: another start would make none.
                    Ask::Echo(answer) => answer.send(()).unwrap_or_default(),
                    Ask::Scanning { .. } | Ask::Agreement { .. } | Ask::Operate(..) => {
                        self.put_off.push_back(ask);
                    }
                },
            }
        }
    }

    /// Makes a call in a task of its own.
    pub(super) fn send(&mut self, command: Command) {
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

impl Host for Task {
    type End = End;

    fn now(&self) -> Time {
        self.clock.now()
    }

    fn holds(&self, tenure: &Tenure) -> bool {
        tenure.holds(Clock::since_boot())
    }

    fn looking(&mut self, pipeline: &PipelineId, before: Time) -> bool {
        (self.looks)(pipeline, before)
    }

    fn pulled(&mut self, changes: &[Change]) {
        self.journal.unstuck();
        let news = changes.partition_point(|change| change.seq <= self.seat.history);
        if news < changes.len() {
            self.journal.changed(&changes[news..]);
        }
    }

    fn caught_up(&mut self, steps: &Steps) {
        self.count(steps);
    }

    fn decided(&mut self, steps: &Steps, step: &Step) -> Result<(), End> {
        self.journal.agreed(&step.agreed);
        self.count(steps);
        Ok(())
    }

    fn committed(&mut self, what: Committed<'_>) -> Result<(), End> {
        match what {
            Committed::Decisions(decisions) => {
                if !decisions.is_empty() {
                    self.journal.unstuck();
                }
                self.journal.decided(decisions);
                self.seat.turned.send_replace(());
            }
            Committed::Pause {
                pause,
                is_renewed: false,
            } => self.journal.paused(pause),
            Committed::Resume {
                pipeline,
                ended: Some(ended),
                left,
                ..
            } => self.journal.resumed(pipeline, ended, left),
            Committed::Pause { .. }
            | Committed::Resume { .. }
            | Committed::Part
            | Committed::Retry(_)
            | Committed::Drop(_) => {}
        }
        Ok(())
    }

    fn call(&mut self, command: Command) -> Result<(), End> {
        self.send(command);
        Ok(())
    }

    async fn during<T: Send>(
        &mut self,
        steps: &Steps,
        of: impl Future<Output = T> + Send,
    ) -> Result<T, End> {
        // What `SQLite` does is soon over, and questions wait for it.
        if steps.desk.is_on_server() {
            self.attend(steps, of).await
        } else {
            Ok(of.await)
        }
    }

    async fn failed(&mut self, steps: &Steps, doing: Doing, error: &StoreError) -> Result<(), End> {
        if matches!(error, StoreError::Superseded) {
            return Err(End::Superseded);
        }
        let (gone, what) = match doing {
            Doing::Pull => (false, "the queue can't be read"),
            Doing::Commit | Doing::Act => (
                matches!(error, StoreError::Unusable(_) | StoreError::Damaged(_)),
                "decisions can't be committed, nothing is sent",
            ),
        };
        if gone || matches!(error, StoreError::Closed) {
            return Err(store_is_gone(error));
        }
        // The store itself logs that its server is away.
        if !matches!(error, StoreError::Away(_)) {
            self.journal.stuck(what, error);
        }
        self.attend(steps, tokio::time::sleep(COMMIT_RETRY)).await
    }
}
