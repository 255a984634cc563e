//! The scans for deliveries where several nodes share the queue: each node that runs makes them (a round,
//! `core/round.rs`). Everything is on disk, so that the next leader goes on in the middle.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Job, Next, StepError, Waiting, still_to_be_made};
use crate::admin::api::OriginScan;
use crate::core::change::PipelineId;
use crate::core::delivery::ScanDone;
use crate::core::round::{Progress, RoundId, RoundKind};
use crate::fleet::FleetHandle;

/// The deliveries of one pipeline that wait for scans.
pub(super) struct Rounds {
    waiting: Waiting,
    fleet: FleetHandle,
    id: PipelineId,
    name: Arc<str>,
    /// The last round that came to nothing; deliveries are not made of it.
    failed: RoundId,
    stopping: CancellationToken,
}

impl Rounds {
    pub(super) const fn new(
        waiting: Waiting,
        fleet: FleetHandle,
        id: PipelineId,
        name: Arc<str>,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            waiting,
            fleet,
            id,
            name,
            failed: RoundId(0),
            stopping,
        }
    }
}

impl Job for Rounds {
    async fn step(&mut self) -> Result<Next, StepError> {
        let Waiting { desk, clock, .. } = &self.waiting;
        let now = clock.now();
        let due = desk.due_deliveries().await?.due_scan(&self.id);
        if due.is_none_or(|due| due > now) {
            return Ok(Next::at(due, now));
        }
        let round = desk.round_of_deliveries(self.id.clone(), self.failed, now);
        let round = round.await?;
        self.fleet.round_moved();
        let (kind, fleet) = (RoundKind::Scan, &self.fleet);
        let done = tokio::select! {
            () = self.stopping.cancelled() => return Err(StepError::Stopping),
            done = fleet.round_done(desk, &self.id, kind, round.id, &[]) => done?,
        };
        let Some(done) = done else {
            return Ok(Next::After(Duration::ZERO));
        };
        if let Some(why) = trouble(&done, &self.name) {
            self.failed = round.id;
            return Err(StepError::Failed(why));
        }
        let scan = ScanDone {
            pipeline: self.id.clone(),
            through: round.due,
            delivery: round.last,
            last: desk.append(Vec::new()).await?.last,
            without: done.silent.join(", "),
        };
        desk.scanned_for_deliveries(scan).await?;
        let (pipeline, nodes) = (&*self.name, done.done.len());
        tracing::info!(
            pipeline,
            nodes,
            "scanned for webhooks; what differed is queued"
        );
        if !done.silent.is_empty() {
            tracing::warn!(
                pipeline,
                "webhooks were answered without {}, which fell silent before it had scanned: what changed there is \
                 found when it starts",
                done.silent.join(", ")
            );
        }
        Ok(Next::After(Duration::ZERO))
    }

    fn woken(&mut self) -> impl Future<Output = Result<(), StepError>> + Send {
        self.waiting.came()
    }

    fn failed(&self, why: &str) {
        still_to_be_made(&self.name, why);
    }
}

/// Why a round that is done serves no delivery, if it does not.
fn trouble(done: &Progress, pipeline: &str) -> Option<String> {
    if done.done.is_empty() {
        return Some("no node that runs has origins of the pipeline".to_owned());
    }
    done.done.iter().find_map(|served| {
        let node = &served.name;
        let scans: Vec<OriginScan> = match serde_json::from_str(&served.report) {
            Ok(scans) => scans,
            Err(error) => return Some(format!("what {node} found can't be read: {error}")),
        };
        scans.iter().any(|origin| origin.scan.held).then(|| {
            format!(
                "on {node}, so many files are gone at once that nothing of that is purged; if that is meant so: \
                 edgepurge scan {pipeline} --apply --accept-loss --node {node}"
            )
        })
    })
}
