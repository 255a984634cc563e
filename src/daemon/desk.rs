//! What only the leader runs: the engine, the release of deliveries, what follows on purges, and the end of
//! old history. All of it works by one term of the store ([`Desk`]), as a unit that can be stopped by itself.
//! The rest of the daemon is every node's.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::settings;
use crate::admin::AdminPipeline;
use crate::config::Config;
use crate::core::change::PipelineId;
use crate::engine::{Caller, Ended, Engine, Looks, Seat};
use crate::jobs::{self, JobError};
use crate::origin::OriginHandle;
use crate::store::Desk;
use crate::supervise::{Fault, Supervisor};

/// Starts it: restores the engine from the store, and runs it beside its jobs.
pub(super) async fn start(
    config: &Config,
    desk: Desk,
    seat: Seat,
    caller: Caller,
    parts: jobs::Parts<'_>,
    unit: &Supervisor,
) -> Result<(), JobError> {
    let engine = Engine::restore(
        settings::engine(config),
        desk.clone(),
        seat,
        caller,
        parts.clock,
        Arc::clone(parts.metrics),
        unit,
    )
    .await?
    .with_looks(looks(parts.pipelines));
    unit.spawn("engine", run(engine, unit.stopping()));
    jobs::lead(config, &desk, parts, unit).await
}

/// Runs the engine. No other node ends its term, since the queue is on this machine's disk.
async fn run(engine: Engine, stopping: CancellationToken) -> Result<(), Fault> {
    match engine.run(stopping).await? {
        Ended::Stopped => Ok(()),
        Ended::Superseded => Err(Fault::Failed {
            task: "engine".to_owned(),
            message: "the queue is led from elsewhere: is its directory shared?".to_owned(),
        }),
    }
}

/// Whether an origin of a pipeline still looks at something that happened before a time.
fn looks(pipelines: &BTreeMap<PipelineId, AdminPipeline>) -> Looks {
    let handles = |pipeline: &AdminPipeline| {
        let origins = pipeline.origins.iter();
        origins.map(|(_, origin)| origin.clone()).collect()
    };
    let pipelines = pipelines.iter();
    let origins: BTreeMap<PipelineId, Vec<OriginHandle>> = pipelines
        .map(|(id, pipeline)| (id.clone(), handles(pipeline)))
        .collect();
    Arc::new(move |pipeline, before| {
        let mut origins = origins.get(pipeline).into_iter().flatten();
        origins.any(|origin| origin.looks(before))
    })
}
