//! What a person does with the queue. Committed first, like every decision; then the planner hears
//! of it.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{Ask, Engine, EngineHandle, Event, PULL};
use crate::core::change::PipelineId;
use crate::core::pause::{Holder, Pause, Retry};
use crate::store::StoreError;
use crate::supervise::Fault;

/// What somebody does with a queue.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Holds a pipeline back, or renews that.
    Pause {
        /// Whose purges.
        pipeline: PipelineId,
        /// Who does.
        holder: Holder,
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
        holder: Holder,
    },
    /// Queues again what is failed, and ends the waits of what came to nothing.
    Retry(Retry),
    /// Gives up what is queued or failed.
    Drop(PipelineId),
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Operated {
    /// It is held back.
    Paused(Pause),
    /// Whether there was such a pause, which has ended.
    Resumed(bool),
    /// So many failed changes are queued again.
    Retried(u64),
    /// So many changes were given up.
    Dropped(u64),
}

/// Where the result goes.
pub(super) type Answer = oneshot::Sender<Result<Operated, StoreError>>;

impl EngineHandle {
    /// Does something with a queue, and answers when it is on disk and holds.
    ///
    /// # Errors
    /// When it can't be committed, or the engine has ended; nothing of it holds then, except that a
    /// long queue may be dropped in part.
    pub async fn operate(&self, operation: Operation) -> Result<Operated, StoreError> {
        let (answer, operated) = oneshot::channel();
        let sent = self.asks.send(Ask::Operate(operation, answer)).await;
        sent.map_err(|_| StoreError::Closed)?;
        operated.await.map_err(|_| StoreError::Closed)?
    }
}

impl Engine {
    pub(super) async fn operate(
        &mut self,
        operation: Operation,
        stopping: &CancellationToken,
    ) -> Result<Result<Operated, StoreError>, Fault> {
        // What was committed before it was asked is part of what it is about.
        self.pull(stopping, true).await?;
        let operated = match operation {
            Operation::Pause {
                pipeline,
                holder,
                reason,
                length,
            } => self.hold(pipeline, holder, reason, length).await,
            Operation::Resume { pipeline, holder } => self.resume(pipeline, holder).await,
            Operation::Retry(what) => self.retry(what, stopping).await?,
            Operation::Drop(pipeline) => self.drop_queue(pipeline).await,
        };
        self.event(Event::Wake, stopping).await?;
        Ok(operated)
    }

    async fn hold(
        &mut self,
        pipeline: PipelineId,
        holder: Holder,
        reason: String,
        length: Option<Duration>,
    ) -> Result<Operated, StoreError> {
        let now = self.clock.now();
        let mut pause = Pause::begin(pipeline, holder, reason, length, now);
        let known = self.planner.paused(&pause.pipeline, &pause.holder, now);
        if let Some(known) = known {
            pause.since = known.since;
            if pause.reason.is_empty() {
                pause.reason.clone_from(&known.reason);
            }
        } else {
            tracing::info!(pipeline = %pause.pipeline, "{pause}");
        }
        self.store.pause(pause.clone()).await?;
        self.planner.pause(pause.clone());
        Ok(Operated::Paused(pause))
    }

    async fn resume(
        &mut self,
        pipeline: PipelineId,
        holder: Holder,
    ) -> Result<Operated, StoreError> {
        let now = self.clock.now();
        let held = self.planner.paused(&pipeline, &holder, now).is_some();
        let resume = self.store.resume(pipeline.clone(), holder.clone(), now);
        resume.await?;
        self.planner.resume(&pipeline, &holder, now);
        if held {
            tracing::info!(pipeline = %pipeline, "resumed");
        }
        Ok(Operated::Resumed(held))
    }

    async fn retry(
        &mut self,
        what: Retry,
        stopping: &CancellationToken,
    ) -> Result<Result<Operated, StoreError>, Fault> {
        let mut retried = 0;
        loop {
            let changes = match self.store.retry(what.clone(), PULL).await {
                Ok(changes) => changes,
                Err(error) => return Ok(Err(error)),
            };
            if changes.is_empty() {
                break;
            }
            retried += changes.len() as u64;
            self.event(Event::Changes(changes), stopping).await?;
        }
        if let Retry::Pipeline(pipeline) = &what {
            self.planner.retry(pipeline, self.clock.now());
        }
        tracing::info!(?what, changes = retried, "what is failed is queued again");
        Ok(Ok(Operated::Retried(retried)))
    }

    async fn drop_queue(&mut self, pipeline: PipelineId) -> Result<Operated, StoreError> {
        let mut dropped = 0;
        loop {
            match self.store.drop_queue(pipeline.clone(), PULL).await? {
                0 => break,
                step => dropped += step,
            }
        }
        self.planner.drop_queue(&pipeline);
        tracing::warn!(pipeline = %pipeline, changes = dropped, "a person dropped what was queued and failed");
        Ok(Operated::Dropped(dropped))
    }
}
