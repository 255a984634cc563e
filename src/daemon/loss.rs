//! When a database was lost, what changed before can't be known: each pipeline gets one purge of
//! everything, made after its origins are watched, so that nothing falls between the two.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{StartError, armed};
use crate::admin::AdminPipeline;
use crate::clock::Clock;
use crate::core::change::{PipelineId, Source};
use crate::intake::{AskError, AskedTargets, Intake};
use crate::origin::Index;
use crate::supervise::Supervisor;

/// How long to wait before what failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Starts a task for each pipeline whose past is lost. It is remembered on disk until its purge is
/// committed.
pub(super) fn make_good(
    index: &Arc<Index>,
    intake: &Arc<Intake>,
    pipelines: &BTreeMap<PipelineId, AdminPipeline>,
    clock: Clock,
    supervisor: &Supervisor,
) -> Result<(), StartError> {
    let losses = index
        .losses()
        .map_err(|error| StartError::Temporary(error.to_string()))?;
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
        let armed = armed(origins.collect());
        let (index, intake) = (Arc::clone(index), Arc::clone(intake));
        let stopping = supervisor.stopping();
        supervisor.spawn("loss", async move {
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                () = armed => {}
            }
            purge(&index, &intake, &id, &reason, clock, &stopping).await;
            Ok(())
        });
    }
    Ok(())
}

async fn purge(
    index: &Index,
    intake: &Intake,
    id: &PipelineId,
    reason: &str,
    clock: Clock,
    stopping: &CancellationToken,
) {
    loop {
        let now = clock.now();
        let asked = intake.asked(id, AskedTargets::All, Source::Scan, reason, now);
        let result = match asked.await {
            // A crash in between purges once more than needed, and never once less.
            Ok(_) => index.made_good(id).map_err(|error| error.to_string()),
            Err(AskError::Store(crate::store::StoreError::Closed)) => return,
            Err(error) => Err(error.to_string()),
        };
        let Err(why) = result else { return };
        tracing::error!(pipeline = %id, "the purge for a lost past can't be committed: {why}; trying again");
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}
