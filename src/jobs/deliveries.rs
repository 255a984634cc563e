//! Deliveries that wait: for their time, then for the scans that they asked for. All of it is on
//! disk; what runs here starts again where it was.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::armed;
use crate::admin::AdminPipeline;
use crate::clock::Clock;
use crate::core::change::PipelineId;
use crate::core::delivery::{DueDeliveries, ScanDone};
use crate::core::time::Time;
use crate::origin::{OriginHandle, ScanError, ScanReason};
use crate::store::{Store, StoreError};
use crate::supervise::Supervisor;

/// Deliveries that are made to changes in one commit.
const STEP: usize = 500;
/// Deliveries that come closer together than this are looked at together.
const TOGETHER: Duration = Duration::from_millis(50);
/// An origin is calm when it noticed nothing for this long.
const CALM: Duration = Duration::from_secs(1);
/// How often it is looked at for that, and how long at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(1));
/// What fails is tried again after this, doubling to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));

/// What the tasks share.
#[derive(Clone)]
pub struct Waiting {
    pub store: Arc<Store>,
    /// Hears of deliveries that wait.
    pub heard: watch::Receiver<()>,
    pub clock: Clock,
    pub stopping: CancellationToken,
}

/// Why a task ends.
struct Stop;

/// Starts a task for changes that wait for their time.
pub fn spawn_release(waiting: Waiting, supervisor: &Supervisor) {
    supervisor.spawn("delayed deliveries", async move {
        let Stop = waiting.release().await;
        Ok(())
    });
}

/// Starts a task for the scans of a pipeline. Without origins there is nothing to scan, and what
/// waits for a scan waits until there are some again.
pub fn spawn_scans(
    waiting: Waiting,
    id: &PipelineId,
    pipeline: &AdminPipeline,
    supervisor: &Supervisor,
) {
    let scans = Scans {
        waiting,
        id: id.clone(),
        name: Arc::clone(&pipeline.name),
        origins: pipeline
            .origins
            .iter()
            .map(|(_, origin)| origin.clone())
            .collect(),
    };
    if scans.origins.is_empty() {
        return;
    }
    supervisor.spawn("webhook scans", async move {
        let Stop = scans.run().await;
        Ok(())
    });
}

impl Waiting {
    async fn release(mut self) -> Stop {
        let mut retry = Retry::default();
        loop {
            let step = async {
                let due = self.store.due_deliveries().await?.changes;
                let Some(due) = due else { return Ok(None) };
                let now = self.clock.now();
                if due > now {
                    return Ok(Some(due));
                }
                self.store.release_deliveries(now, STEP).await?;
                Ok(Some(now))
            };
            let next = match step.await {
                Ok(next) => next,
                Err(StoreError::Closed) => return Stop,
                Err(error) => {
                    tracing::error!("what deliveries asked for can't be queued: {error}");
                    if self.pause(retry.next()).await.is_err() {
                        return Stop;
                    }
                    continue;
                }
            };
            retry = Retry::default();
            if self.until(next).await.is_err() {
                return Stop;
            }
        }
    }

    /// Waits for a time, or until a delivery comes.
    async fn until(&mut self, time: Option<Time>) -> Result<(), Stop> {
        let clock = self.clock;
        let sleep = async {
            match time {
                Some(time) => tokio::time::sleep_until(clock.instant(time)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stopping.cancelled() => return Err(Stop),
            () = sleep => return Ok(()),
            changed = self.heard.changed() => {
                if changed.is_err() {
                    return Err(Stop);
                }
            }
        }
        self.pause(TOGETHER).await
    }

    async fn pause(&self, wait: Duration) -> Result<(), Stop> {
        tokio::select! {
            () = self.stopping.cancelled() => Err(Stop),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }
}

/// The scans of one pipeline.
struct Scans {
    waiting: Waiting,
    id: PipelineId,
    name: Arc<str>,
    origins: Vec<OriginHandle>,
}

/// Why scans did not serve a delivery.
enum Unserved {
    Stop,
    Retry(String),
}

impl From<ScanError> for Unserved {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Stopping => Self::Stop,
            ScanError::Busy => Self::Retry(error.to_string()),
        }
    }
}

impl From<StoreError> for Unserved {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Closed => Self::Stop,
            error => Self::Retry(error.to_string()),
        }
    }
}

impl Scans {
    async fn run(mut self) -> Stop {
        tokio::select! {
            () = self.waiting.stopping.cancelled() => return Stop,
            () = armed(self.origins.clone()) => {}
        }
        let mut retry = Retry::default();
        // The scan of the start is as good as one for a delivery that was due before.
        let mut scanned = self.last_scan();
        loop {
            let next = match self.serve(scanned).await {
                Ok(next) => next,
                Err(Unserved::Stop) => return Stop,
                Err(Unserved::Retry(why)) => {
                    tracing::error!(
                        pipeline = &*self.name,
                        "the scan that a webhook asked for is still to be made: {why}; trying again"
                    );
                    if self.waiting.pause(retry.next()).await.is_err() {
                        return Stop;
                    }
                    continue;
                }
            };
            retry = Retry::default();
            scanned = None;
            if self.waiting.until(next).await.is_err() {
                return Stop;
            }
        }
    }

    /// When the last good scan of every origin began.
    fn last_scan(&self) -> Option<Time> {
        let began = |origin: &OriginHandle| {
            let scan = origin.status().last_scan?;
            (!scan.held).then_some(scan.began)
        };
        let all: Option<Vec<Time>> = self.origins.iter().map(began).collect();
        all?.into_iter().min()
    }

    fn due(&self, deliveries: DueDeliveries) -> Option<Time> {
        let mut scans = deliveries.scans.into_iter();
        scans.find(|(id, _)| *id == self.id).map(|(_, due)| due)
    }

    /// Serves what is due, and tells when the next is.
    async fn serve(&self, scanned: Option<Time>) -> Result<Option<Time>, Unserved> {
        let Waiting { store, clock, .. } = &self.waiting;
        let Some(due) = self.due(store.due_deliveries().await?) else {
            return Ok(None);
        };
        let now = clock.now();
        if due > now {
            return Ok(Some(due));
        }
        let mut through = now;
        match scanned {
            Some(began) if due <= began => through = began,
            _ => self.scan().await?,
        }
        self.calm().await?;
        self.scan().await?;
        let last = store.append(Vec::new()).await?.last;
        store
            .scanned_for_deliveries(ScanDone {
                pipeline: self.id.clone(),
                through,
                last,
            })
            .await?;
        tracing::info!(
            pipeline = &*self.name,
            "scanned for webhooks, twice; what differed is queued"
        );
        Ok(Some(now))
    }

    async fn scan(&self) -> Result<(), Unserved> {
        let scans = self
            .origins
            .iter()
            .map(|origin| origin.scan(ScanReason::Webhook, false));
        let scans = futures_util::future::try_join_all(scans).await?;
        if scans.iter().any(|scan| scan.held) {
            return Err(Unserved::Retry(format!(
                "so many files are gone at once that nothing of that is purged; if that is meant \
                 so: edgepurge scan {} --apply --accept-loss",
                self.name
            )));
        }
        Ok(())
    }

    /// Waits until nothing was noticed for a while; not for ever, since a site may never rest.
    async fn calm(&self) -> Result<(), Unserved> {
        let (look, at_most) = LOOK;
        let clock = self.waiting.clock;
        let began = clock.now();
        let mut since = began;
        while clock.now().since(since) < CALM && clock.now().since(began) < at_most {
            if self.waiting.pause(look).await.is_err() {
                return Err(Unserved::Stop);
            }
            let busy = self.origins.iter().any(|origin| {
                let status = origin.status();
                status.pending_hints > 0 || status.scanning
            });
            if busy {
                since = clock.now();
            }
        }
        Ok(())
    }
}

/// Ever longer pauses.
#[derive(Debug, Default)]
struct Retry(Duration);

impl Retry {
    fn next(&mut self) -> Duration {
        let (first, last) = RETRY;
        self.0 = (self.0 * 2).clamp(first, last);
        self.0
    }
}
