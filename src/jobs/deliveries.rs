//! Deliveries that wait: for their time, then for the scans that they asked for, or for looks at the objects that
//! they name (`intake/looks.rs`). All but the names is on disk; what runs here starts again where it was.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::calm::calm;
use super::{Job, Next, Parts, StepError};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::core::change::PipelineId;
use crate::core::delivery::ScanDone;
use crate::core::time::Time;
use crate::fleet::FleetHandle;
use crate::intake::{Looks, Wanted};
use crate::origin::{OriginHandle, ScanError, ScanReason};
use crate::store::{Desk, StoreError};
use crate::supervise::Supervisor;
use rounds::Rounds;

mod rounds;

/// Deliveries that are made to changes in one commit.
const STEP: usize = 500;
/// Deliveries that come closer together than this are looked at together.
const TOGETHER: Duration = Duration::from_millis(50);

/// Starts the jobs, with the delays that the routes have now: one for changes that wait for their time,
/// and one for the scans of each pipeline with origins; in a fleet, of each, since another node may have them.
/// Without origins there is nothing to scan, and what waits for a scan waits until there are some again.
pub(crate) async fn spawn(
    config: &Config,
    desk: &Desk,
    fleet: Option<&FleetHandle>,
    parts: &Parts,
    supervisor: &Supervisor,
) -> Result<(), StoreError> {
    let clock = parts.clock;
    let routes = config.pipelines.iter().flat_map(|p| &p.webhooks);
    let delay = |webhook: &config::Webhook| {
        let settings = &webhook.settings;
        (settings.path.clone(), settings.delay)
    };
    let delays = routes.map(delay).collect();
    desk.begin_deliveries(delays, clock.now()).await?;
    let waiting = Waiting {
        desk: desk.clone(),
        came: desk.subscribe_waiting(),
        clock,
    };
    // What waits from before is on disk, and what it named is not.
    for (id, _) in desk.due_deliveries().await?.scans {
        parts.intake.looks().forget(&id);
    }
    for (id, pipeline) in &*parts.pipelines {
        if let Some(fleet) = fleet {
            let (id, name) = (id.clone(), Arc::clone(&pipeline.name));
            let stopping = supervisor.stopping();
            let rounds = Rounds::new(waiting.clone(), fleet.clone(), id, name, stopping);
            super::spawn("webhook rounds", rounds, Vec::new(), supervisor);
            continue;
        }
        let origins = pipeline.origins.iter().map(|(_, origin)| origin.clone());
        let origins: Vec<OriginHandle> = origins.collect();
        if origins.is_empty() {
            continue;
        }
        let scans = Scans {
            waiting: waiting.clone(),
            id: id.clone(),
            name: Arc::clone(&pipeline.name),
            origins: origins.clone(),
            looks: Arc::clone(parts.intake.looks()),
            fresh: true,
            stopping: supervisor.stopping(),
        };
        super::spawn("webhook scans", scans, origins, supervisor);
    }
    super::spawn("delayed deliveries", waiting, Vec::new(), supervisor);
    Ok(())
}

/// What the jobs share; by itself, the changes that wait for their time.
#[derive(Clone)]
struct Waiting {
    desk: Desk,
    /// Is notified of deliveries that wait.
    came: watch::Receiver<()>,
    clock: Clock,
}

impl Waiting {
    /// Waits until a delivery comes, and a moment more for others.
    async fn came(&mut self) -> Result<(), StepError> {
        if self.came.changed().await.is_err() {
            return Err(StepError::Stopping);
        }
        tokio::time::sleep(TOGETHER).await;
        Ok(())
    }
}

impl Job for Waiting {
    async fn step(&mut self) -> Result<Next, StepError> {
        let due = self.desk.due_deliveries().await?.changes;
        let now = self.clock.now();
        if due.is_some_and(|due| due <= now) {
            self.desk.release_deliveries(now, STEP).await?;
            return Ok(Next::After(Duration::ZERO));
        }
        Ok(Next::at(due, now))
    }

    fn woken(&mut self) -> impl Future<Output = Result<(), StepError>> + Send {
        self.came()
    }

    fn failed(&self, why: &str) {
        tracing::error!("what deliveries asked for can't be queued: {why}; trying again");
    }
}

/// The scans of one pipeline.
struct Scans {
    waiting: Waiting,
    id: PipelineId,
    name: Arc<str>,
    origins: Vec<OriginHandle>,
    /// What the deliveries want, beside the store's rows.
    looks: Arc<Looks>,
    /// Whether the scan of the start still serves what was due before it.
    fresh: bool,
    stopping: CancellationToken,
}

impl From<ScanError> for StepError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Stopping => Self::Stopping,
            ScanError::Busy => Self::Failed(error.to_string()),
        }
    }
}

impl Job for Scans {
    async fn step(&mut self) -> Result<Next, StepError> {
        let Waiting { desk, clock, .. } = &self.waiting;
        let (desk, clock) = (desk.clone(), *clock);
        let looks = Arc::clone(&self.looks);
        let asked = looks.wanted(&self.id);
        let due = desk.due_deliveries().await?.due_scan(&self.id);
        if due.is_none() {
            looks.none_waits(&self.id, &asked);
        }
        let Some(due) = due.filter(|due| *due <= asked.before) else {
            self.fresh = false;
            return Ok(Next::at(due, clock.now()));
        };
        // The scan of the start is as good as one for a delivery that was due before.
        let began = self.last_scan().filter(|began| self.fresh && due <= *began);
        if began.is_none() {
            self.look(&self.origins, &asked.wanted).await?;
        }
        let again = self.again(&asked.wanted);
        if !again.is_empty() {
            calm(&self.origins, clock, &self.stopping).await?;
            self.look(&again, &Wanted::Scans).await?;
        }
        let last = desk.append(Vec::new()).await?.last;
        let through = began.unwrap_or(asked.before);
        let done = ScanDone {
            pipeline: self.id.clone(),
            through,
            delivery: u64::MAX,
            last,
            without: String::new(),
        };
        desk.scanned_for_deliveries(done).await?;
        looks.done(&self.id, &asked, through);
        self.fresh = false;
        match &asked.wanted {
            Wanted::Names(names) => tracing::info!(
                pipeline = &*self.name,
                names = names.len(),
                "looked at what webhooks named; what differed is queued"
            ),
            Wanted::Listing | Wanted::Scans => tracing::info!(
                pipeline = &*self.name,
                "scanned for webhooks; what differed is queued"
            ),
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

/// Logs why the scans for deliveries of a pipeline are not made yet.
fn still_to_be_made(pipeline: &str, why: &str) {
    tracing::error!(
        pipeline,
        "the scan that a webhook asked for is still to be made: {why}; trying again"
    );
}

impl Scans {
    /// When the last good scan of every origin began.
    fn last_scan(&self) -> Option<Time> {
        let began = |origin: &OriginHandle| {
            let scan = origin.status().last_scan?;
            (!scan.held).then_some(scan.began)
        };
        let all: Option<Vec<Time>> = self.origins.iter().map(began).collect();
        all?.into_iter().min()
    }

    /// The origins to scan once more. An object that is named was written before, and a list of a bucket lacks nothing
    /// that was; the events of a directory's files may still be on their way.
    fn again(&self, wanted: &Wanted) -> Vec<OriginHandle> {
        let origins = self.origins.iter();
        let again = origins.filter(|origin| *wanted == Wanted::Scans || !origin.is_bucket());
        again.cloned().collect()
    }

    async fn look(&self, origins: &[OriginHandle], wanted: &Wanted) -> Result<(), StepError> {
        let names = match wanted {
            Wanted::Names(names) => Some(Arc::new(names.clone())),
            Wanted::Listing | Wanted::Scans => None,
        };
        let scans = origins.iter().map(async |origin| match &names {
            Some(names) if origin.is_bucket() => origin.look_at(names).await,
            _ => origin.scan(ScanReason::Webhook, false).await,
        });
        let scans = futures_util::future::try_join_all(scans).await?;
        if scans.iter().any(|scan| scan.held) {
            return Err(StepError::Failed(format!(
                "so many files are gone at once that nothing of that is purged; if that is meant \
                 so: edgepurge scan {} --apply --accept-loss",
                self.name
            )));
        }
        Ok(())
    }
}
