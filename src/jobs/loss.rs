//! When a database was lost, what changed before can't be known: each pipeline gets one purge of
//! everything, made after its origins are watched, so that nothing falls between the two.

use std::sync::Arc;

use super::{Job, JobError, Next, Parts, StepError};
use crate::clock::Clock;
use crate::core::change::{PipelineId, Source};
use crate::intake::{AskError, AskedTargets, Intake};
use crate::origin::Index;
use crate::store::StoreError;
use crate::supervise::Supervisor;

/// Starts a job for each pipeline whose past is lost. It is remembered on disk until its purge is
/// committed.
pub(crate) fn spawn(parts: &Parts, supervisor: &Supervisor) -> Result<(), JobError> {
    let Parts {
        index,
        intake,
        pipelines,
        clock,
        ..
    } = parts;
    let losses = index
        .losses()
        .map_err(|error| JobError::Temporary(error.to_string()))?;
    for (id, reason) in losses {
        // A pipeline that left the configuration is made good when it comes back.
        let Some(pipeline) = pipelines.get(&id) else {
            continue;
        };
        tracing::error!(
            pipeline = %pipeline.name,
            "what changed before this start can't be known, so everything will be purged once: {reason}"
        );
        let origins = pipeline.origins.iter().map(|(_, origin)| origin.clone());
        let job = Loss {
            index: Arc::clone(index),
            intake: Arc::clone(intake),
            id,
            reason,
            clock: *clock,
        };
        super::spawn("loss", job, origins.collect(), supervisor);
    }
    Ok(())
}

/// The purge for the lost past of one pipeline.
struct Loss {
    index: Arc<Index>,
    intake: Arc<Intake>,
    id: PipelineId,
    reason: String,
    clock: Clock,
}

impl Job for Loss {
    async fn step(&mut self) -> Result<Next, StepError> {
        let (id, now) = (&self.id, self.clock.now());
        let why = format!(
            "{}: what changed before can't be known, so everything is purged once; nothing is to be done",
            self.reason
        );
        let asked = self
            .intake
            .asked(id, AskedTargets::All, Source::Scan, &why, now);
        match asked.await {
            Ok(_) => {}
            Err(AskError::Store(StoreError::Closed)) => return Err(StepError::Stopping),
            Err(error) => return Err(StepError::Failed(error.to_string())),
        }
        // A crash in between purges once more than needed, and never once less.
        let made_good = self.index.made_good(id);
        made_good.map_err(|error| StepError::Failed(error.to_string()))?;
        Ok(Next::Over)
    }

    fn failed(&self, why: &str) {
        tracing::error!(pipeline = %self.id, "the purge for a lost past can't be committed: {why}; trying again");
    }
}
