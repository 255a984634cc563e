//! What a person does with the queue. Committed first, like every decision; then the planner learns
//! of it.

use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use tokio::sync::oneshot;

use super::{Ask, Committed, EngineHandle, Event, Host, Steps};
use crate::core::change::PipelineId;
use crate::core::pause::{Holder, Pause, Retry};
use crate::store::{Answering, AskId, StoreError};

/// An operator's action on a queue. It is written where it is asked of another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Holds a pipeline back, or renews that.
    Pause {
        /// Whose purges.
        pipeline: PipelineId,
        /// What holds them back.
        #[serde(serialize_with = "in_full")]
        holder: Holder,
        /// Who does, in words.
        who: String,
        /// Why, in words; empty: as before.
        reason: String,
        /// For how long; `None`: until resumed.
        length: Option<Duration>,
    },
    /// Ends a holder's pause.
    Resume {
        /// Whose purges.
        pipeline: PipelineId,
        /// Whose pause.
        #[serde(serialize_with = "in_full")]
        holder: Holder,
    },
    /// Queues again what is failed, and ends the waits of what came to nothing.
    Retry(Retry),
    /// Gives up what is queued or failed.
    Drop(PipelineId),
}

/// With the name of a deploy's lease, which is not shown elsewhere.
fn in_full<S: Serializer>(holder: &Holder, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(holder.as_str())
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operated {
    /// It is held back; whether its holder did that before.
    Paused(bool),
    /// Whether there was such a pause, which has ended.
    Resumed(bool),
    /// So many failed changes are queued again.
    Retried(u64),
    /// So many changes were given up.
    Dropped(u64),
}

/// What is answered to an ask: what came of it, or why it is not done.
pub type AskAnswer = Result<Operated, String>;

/// Answers an ask.
#[must_use]
pub fn answering(ask: AskId, answer: &AskAnswer) -> Answering {
    let answer = serde_json::json!(answer).to_string();
    Answering { ask, answer }
}

/// Where the result goes.
pub(super) type Answer = oneshot::Sender<Result<Operated, StoreError>>;

impl EngineHandle {
    /// Does something with a queue, and answers when it is on disk and holds; where it was asked for at another
    /// node, that is answered with it. What nothing waits for any more is not begun.
    ///
    /// # Errors
    /// When it can't be committed, or there is no engine; nothing of it holds then, except that a
    /// long queue may be retried or dropped in part.
    pub async fn operate(
        &self,
        operation: Operation,
        asked: Option<AskId>,
    ) -> Result<Operated, StoreError> {
        let (answer, operated) = oneshot::channel();
        let ask = Ask::Operate(operation, asked, answer);
        let sent = self.asks().send(ask).await;
        sent.map_err(|_| StoreError::Closed)?;
        operated.await.map_err(|_| StoreError::Closed)?
    }
}

impl Steps {
    /// Does something with a queue, which may have been asked for at another node. What the store refuses is the
    /// result; nothing of it holds then, except that a long queue may be retried or dropped in part.
    ///
    /// # Errors
    /// What the host ends with.
    pub async fn operate<H: Host>(
        &mut self,
        host: &mut H,
        operation: Operation,
        asked: Option<AskId>,
    ) -> Result<Result<Operated, StoreError>, H::End> {
        // What was committed before it was asked is part of what it is about.
        self.pull(host).await?;
        let operated = match operation {
            Operation::Pause {
                pipeline,
                holder,
                who,
                reason,
                length,
            } => {
                let pause = Pause::begin(pipeline, holder, reason, length, host.now());
                self.pause(host, pause.by(who), asked).await?
            }
            Operation::Resume { pipeline, holder } => {
                self.resume(host, pipeline, holder, asked).await?
            }
            Operation::Retry(what) => self.retry(host, what, asked).await?,
            Operation::Drop(pipeline) => self.drop_queue(host, pipeline, asked).await?,
        };
        self.event(host, Event::Wake).await?;
        Ok(operated)
    }

    async fn pause<H: Host>(
        &mut self,
        host: &mut H,
        mut pause: Pause,
        asked: Option<AskId>,
    ) -> Result<Result<Operated, StoreError>, H::End> {
        let known = self
            .planner
            .paused(&pause.pipeline, &pause.holder, host.now());
        let is_renewed = known.is_some();
        let operated = Operated::Paused(is_renewed);
        if let Some(known) = known {
            pause.since = known.since;
            if pause.reason.is_empty() {
                pause.reason.clone_from(&known.reason);
            }
        }
        let committed = host.during(self, self.desk.pause(pause.clone(), done(asked, operated)));
        if let Err(error) = committed.await? {
            return Ok(Err(error));
        }
        host.committed(Committed::Pause {
            pause: &pause,
            is_renewed,
        })?;
        self.planner.pause(pause);
        Ok(Ok(operated))
    }

    async fn resume<H: Host>(
        &mut self,
        host: &mut H,
        pipeline: PipelineId,
        holder: Holder,
        asked: Option<AskId>,
    ) -> Result<Result<Operated, StoreError>, H::End> {
        let now = host.now();
        let pauses = self.planner.pauses(&pipeline, now).cloned();
        let (ended, left): (Vec<Pause>, Vec<Pause>) =
            pauses.partition(|pause| pause.holder == holder);
        let operated = Operated::Resumed(!ended.is_empty());
        let asked = done(asked, operated);
        let resume = self
            .desk
            .resume(pipeline.clone(), holder.clone(), now, asked);
        if let Err(error) = host.during(self, resume).await? {
            return Ok(Err(error));
        }
        host.committed(Committed::Resume {
            pipeline: &pipeline,
            holder: &holder,
            ended: ended.first(),
            left: &left,
        })?;
        self.planner.resume(&pipeline, &holder, now);
        Ok(Ok(operated))
    }

    async fn retry<H: Host>(
        &mut self,
        host: &mut H,
        what: Retry,
        asked: Option<AskId>,
    ) -> Result<Result<Operated, StoreError>, H::End> {
        let mut retried = 0;
        loop {
            let asked = done(asked, Operated::Retried(retried));
            let step = self.desk.retry(what.clone(), self.at_once, asked);
            let changes = match host.during(self, step).await? {
                Ok(changes) => changes,
                Err(error) => return Ok(Err(error)),
            };
            host.committed(Committed::Retry(&changes))?;
            if changes.is_empty() {
                break;
            }
            retried += changes.len() as u64;
            self.event(host, Event::Changes(changes)).await?;
        }
        if let Retry::Pipeline(pipeline) = &what {
            self.planner.retry(pipeline, host.now());
        }
        tracing::info!(?what, changes = retried, "what is failed is queued again");
        Ok(Ok(Operated::Retried(retried)))
    }

    async fn drop_queue<H: Host>(
        &mut self,
        host: &mut H,
        pipeline: PipelineId,
        asked: Option<AskId>,
    ) -> Result<Result<Operated, StoreError>, H::End> {
        let mut dropped = 0;
        loop {
            let asked = done(asked, Operated::Dropped(dropped));
            let step = self.desk.drop_queue(pipeline.clone(), self.at_once, asked);
            let step = match host.during(self, step).await? {
                Ok(step) => step,
                Err(error) => return Ok(Err(error)),
            };
            host.committed(Committed::Drop(step))?;
            if step == 0 {
                break;
            }
            dropped += step;
        }
        self.planner.drop_queue(&pipeline);
        tracing::warn!(pipeline = %pipeline, changes = dropped, "a person dropped what was queued and failed");
        Ok(Ok(Operated::Dropped(dropped)))
    }
}

/// The answer to what was asked, once it is done.
fn done(asked: Option<AskId>, operated: Operated) -> Option<Answering> {
    asked.map(|ask| answering(ask, &Ok(operated)))
}
