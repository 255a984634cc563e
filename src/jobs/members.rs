//! Brings the leader's planner what the live nodes of the fleet say of their files, whenever that moves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Job, Next, Parts, StepError};
use crate::config::Config;
use crate::core::agreement::{Compared, live};
use crate::core::change::PipelineId;
use crate::core::nodes::Node;
use crate::engine::EngineHandle;
use crate::fleet::FleetHandle;
use crate::store::{Desk, OtherNodes};
use crate::supervise::Supervisor;

/// News that come closer together than this are read together.
const TOGETHER: Duration = Duration::from_millis(20);
/// How soon a server that was away is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Starts the job of a leader, where a batch waits for nodes.
pub(crate) fn spawn(
    config: &Config,
    desk: &Desk,
    parts: &Parts,
    fleet: &FleetHandle,
    supervisor: &Supervisor,
) {
    let waiting = config
        .pipelines
        .iter()
        .filter(|one| one.fleet_wait.is_some());
    let pipelines: Vec<PipelineId> = waiting.map(|one| one.id.clone()).collect();
    if pipelines.is_empty() {
        return;
    }
    let job = Members {
        pipelines,
        others: desk.subscribe_others(),
        own: parts.agreements.subscribe(),
        nodes: fleet.subscribe(),
        desk: desk.clone(),
        engine: parts.engine.clone(),
        told: BTreeMap::new(),
    };
    super::spawn("members", job, Vec::new(), supervisor);
}

struct Members {
    pipelines: Vec<PipelineId>,
    others: watch::Receiver<OtherNodes>,
    own: watch::Receiver<()>,
    nodes: watch::Receiver<Vec<Node>>,
    desk: Desk,
    engine: EngineHandle,
    /// What the planner knows.
    told: BTreeMap<PipelineId, BTreeMap<Arc<str>, Compared>>,
}

impl Members {
    async fn tell(&mut self) -> Result<Next, StepError> {
        let nodes = self.nodes.borrow_and_update().clone();
        // Which nodes live is not known before the first beat.
        if nodes.is_empty() {
            return Ok(Next::Woken);
        }
        let mut members = live(&nodes, self.desk.members().await?);
        for pipeline in &self.pipelines {
            let said = members.remove(pipeline).unwrap_or_default();
            if self.told.get(pipeline) != Some(&said) {
                self.engine.agreement(pipeline.clone(), said.clone()).await;
                self.told.insert(pipeline.clone(), said);
            }
        }
        Ok(Next::Woken)
    }
}

impl Job for Members {
    async fn step(&mut self) -> Result<Next, StepError> {
        match self.tell().await {
            Err(StepError::Away) => Ok(Next::After(AGAIN)),
            told => told,
        }
    }

    async fn woken(&mut self) -> Result<(), StepError> {
        let changed = tokio::select! {
            changed = self.others.changed() => changed,
            changed = self.own.changed() => changed,
            changed = self.nodes.changed() => changed,
        };
        changed.map_err(|_| StepError::Stopping)?;
        tokio::time::sleep(TOGETHER).await;
        Ok(())
    }

    fn failed(&self, why: &str) {
        tracing::warn!(
            "how far the nodes agree can't be read, so that batches wait for them: {why}"
        );
    }
}
