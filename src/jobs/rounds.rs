//! What this node does of the rounds of its fleet (`core/round.rs`): for each pipeline that it has origins of
//! it scans them, or notices what changed before, and says so in the store with what it found. All rounds that
//! are open when it begins are done at once.
//!
//! A scan is made twice, as for the deliveries of a queue on this machine's disk, so that one round serves
//! deliveries and persons. Where the guard holds a loss back, the round is done, and its report says so: what
//! waits for it decides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::calm::calm;
use super::{Job, JobError, Next, Parts, StepError};
use crate::admin::api::OriginScan;
use crate::admin::{AdminPipeline, scan};
use crate::clock::Clock;
use crate::core::change::PipelineId;
use crate::core::round::{DueRounds, RoundId, RoundKind};
use crate::fleet::FleetHandle;
use crate::origin::{OriginHandle, ScanReason};
use crate::store::{History, OtherNodes, Store, StoreError};
use crate::supervise::Supervisor;

/// The time between two looks for rounds at the most: an announcement may be lost.
const POLL: Duration = Duration::from_secs(2);
/// The time between two looks at the least.
const TOGETHER: Duration = Duration::from_millis(20);

/// Takes part in the rounds of the pipelines that have origins, from now on.
pub(super) async fn spawn(
    parts: &Parts,
    fleet: &FleetHandle,
    supervisor: &Supervisor,
) -> Result<(), JobError> {
    let pipelines = parts.pipelines.iter();
    let served = pipelines.filter(|(_, pipeline)| !pipeline.origins.is_empty());
    let served: Vec<PipelineId> = served.map(|(id, _)| id.clone()).collect();
    parts.store.take_part(served.clone()).await?;
    let seen = watch::Sender::default();
    for id in &served {
        for kind in RoundKind::ALL {
            let share = Share {
                store: Arc::clone(&parts.store),
                fleet: fleet.clone(),
                pipelines: Arc::clone(&parts.pipelines),
                id: id.clone(),
                kind,
                seen: seen.subscribe(),
                clock: parts.clock,
                stopping: supervisor.stopping(),
            };
            super::spawn("rounds of a pipeline", share, Vec::new(), supervisor);
        }
    }
    let looks = Looks {
        others: parts.store.subscribe_others(),
        own: fleet.subscribe_rounds(),
        history: parts.store.subscribe_history(),
        store: Arc::clone(&parts.store),
        served,
        seen,
    };
    super::spawn("rounds", looks, Vec::new(), supervisor);
    Ok(())
}

/// What there is to do may be other than before where it moves: the last round of all, and how often the database may
/// have forgotten what this node has said of them.
type Seen = (RoundId, u64);

/// Looks which round is the last, for all pipelines.
struct Looks {
    store: Arc<Store>,
    others: watch::Receiver<OtherNodes>,
    own: watch::Receiver<()>,
    history: watch::Receiver<History>,
    /// The pipelines in whose rounds this node takes part.
    served: Vec<PipelineId>,
    seen: watch::Sender<Seen>,
}

impl Job for Looks {
    async fn step(&mut self) -> Result<Next, StepError> {
        let changes = self.history.borrow_and_update().changes;
        // What was forgotten may be that this node takes part.
        if changes != self.seen.borrow().1 {
            self.store.take_part(self.served.clone()).await?;
        }
        match self.store.last_round().await {
            Ok(last) => drop(self.seen.send_if_modified(|seen| {
                let before = std::mem::replace(seen, (last, changes));
                before != *seen
            })),
            // A server that was away for long is not looked at any later.
            Err(StoreError::Away(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Next::After(POLL))
    }

    async fn woken(&mut self) -> Result<(), StepError> {
        let moved = tokio::select! {
            moved = self.others.changed() => moved,
            moved = self.own.changed() => moved,
            moved = self.history.changed() => moved,
        };
        moved.map_err(|_| StepError::Stopping)?;
        tokio::time::sleep(TOGETHER).await;
        Ok(())
    }

    fn failed(&self, why: &str) {
        tracing::error!("which round of the fleet is the last is not known: {why}; trying again");
    }
}

/// This node's part in the rounds of a pipeline and a kind.
struct Share {
    store: Arc<Store>,
    fleet: FleetHandle,
    pipelines: Arc<BTreeMap<PipelineId, AdminPipeline>>,
    id: PipelineId,
    kind: RoundKind,
    seen: watch::Receiver<Seen>,
    clock: Clock,
    stopping: CancellationToken,
}

impl Job for Share {
    async fn step(&mut self) -> Result<Next, StepError> {
        if let Some(mut away) = self.store.subscribe_away() {
            tokio::select! {
                () = self.stopping.cancelled() => return Err(StepError::Stopping),
                back = away.wait_for(Option::is_none) => back.map_err(|_| StepError::Stopping)?,
            };
        }
        let due = self.store.due_rounds(self.id.clone(), self.kind).await?;
        let (Some(due), Some(pipeline)) = (due, self.pipelines.get(&self.id)) else {
            return Ok(Next::Woken);
        };
        let report = match self.kind {
            RoundKind::Scan => serde_json::to_string(&self.scan(pipeline, due).await?),
            RoundKind::Notice => serde_json::to_string(&scan::noticed(pipeline).await?),
        };
        let report = report.map_err(|error| StepError::Failed(error.to_string()))?;
        let done = self
            .store
            .serve(self.id.clone(), self.kind, due.last, report);
        done.await?;
        self.fleet.round_moved();
        Ok(Next::After(Duration::ZERO))
    }

    async fn woken(&mut self) -> Result<(), StepError> {
        let moved = self.seen.changed().await;
        moved.map_err(|_| StepError::Stopping)
    }

    fn failed(&self, why: &str) {
        let name = self.pipelines.get(&self.id).map(|one| &*one.name);
        tracing::error!(
            pipeline = name,
            "this node's part in a {} of the whole fleet is still to be done: {why}; trying again",
            self.kind.as_str()
        );
    }
}

impl Share {
    /// Scans, and, unless a loss is held back, once more when nothing changes. Returns what both found.
    async fn scan(
        &self,
        pipeline: &AdminPipeline,
        due: DueRounds,
    ) -> Result<Vec<OriginScan>, StepError> {
        let reason = if due.asked {
            ScanReason::Request
        } else {
            ScanReason::Webhook
        };
        let mut found = scan::scanned(pipeline, reason, due.accept_loss).await?;
        if found.iter().any(|origin| origin.scan.held) {
            return Ok(found);
        }
        let origins: Vec<OriginHandle> = pipeline
            .origins
            .iter()
            .map(|(_, one)| one.clone())
            .collect();
        calm(&origins, self.clock, &self.stopping).await?;
        let again = scan::scanned(pipeline, reason, false).await?;
        for (found, again) in found.iter_mut().zip(again) {
            found.scan.and(again.scan);
        }
        Ok(found)
    }
}
