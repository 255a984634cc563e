//! Background jobs, one file each, on one loop.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::admin::AdminPipeline;
use crate::clock::Clock;
use crate::config::Config;
use crate::core::backoff::Backoff;
use crate::core::change::PipelineId;
use crate::core::time::Time;
use crate::engine::EngineHandle;
use crate::fleet::{Agreements, FleetHandle};
use crate::intake::Intake;
use crate::metrics::Metrics;
use crate::origin::{Index, OriginHandle};
use crate::store::{Desk, Store, StoreError};
use crate::supervise::Supervisor;

mod agreement;
mod asks;
mod calm;
mod deliveries;
mod full;
mod loss;
mod members;
mod recent;
pub(crate) mod remap;
mod retention;
mod rounds;
mod verification;

/// Why a job can't start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// The queue can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something else is in the way now; starting again may help.
    #[error("{0}")]
    Temporary(String),
}

/// The parts of the daemon that jobs work with.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) store: Arc<Store>,
    pub(crate) index: Arc<Index>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) pipelines: Arc<BTreeMap<PipelineId, AdminPipeline>>,
    pub(crate) engine: EngineHandle,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) agreements: Agreements,
    pub(crate) clock: Clock,
}

/// Starts the jobs of every node. The origins are there, and armed later.
pub(crate) async fn start(
    config: &Config,
    parts: &Parts,
    fleet: Option<&FleetHandle>,
    supervisor: &Supervisor,
) -> Result<(), JobError> {
    if let Some(fleet) = fleet {
        agreement::spawn(config, parts, fleet, supervisor);
        rounds::spawn(parts, fleet, supervisor).await?;
    }
    recent::spawn(config, parts, fleet, supervisor);
    loss::spawn(parts, supervisor)
}

/// Starts the jobs of the leader; of one of several nodes, those of the fleet, too.
pub(crate) async fn lead(
    config: &Config,
    desk: &Desk,
    fleet: Option<&FleetHandle>,
    parts: &Parts,
    supervisor: &Supervisor,
) -> Result<(), JobError> {
    let clock = parts.clock;
    full::spawn(desk, parts.engine.queued(), supervisor);
    asks::spawn(desk, parts, supervisor);
    if let Some(fleet) = fleet {
        members::spawn(config, desk, parts, fleet, supervisor);
    }
    retention::spawn(desk, config.state.retention, clock, supervisor);
    deliveries::spawn(config, desk, fleet, parts, supervisor).await?;
    verification::spawn(config, desk, fleet, parts, supervisor).await
}

/// When the next step of a job is, after one that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// After so long, or when the job is woken.
    After(Duration),
    /// When the job is woken.
    Woken,
    /// Never: the job is over.
    Over,
}

impl Next {
    /// At a time; `None`: when the job is woken.
    fn at(due: Option<Time>, now: Time) -> Self {
        due.map_or(Self::Woken, |due| Self::After(due.since(now)))
    }
}

/// Why a step failed.
#[derive(Debug)]
enum StepError {
    /// The process stops, or the term is over.
    Stopping,
    /// The step is tried again.
    Failed(String),
    /// The store's server is away, which the store logs; the step is tried again.
    Away,
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Closed | StoreError::Superseded => Self::Stopping,
            StoreError::Away(_) => Self::Away,
            error => Self::Failed(error.to_string()),
        }
    }
}

/// Work that is done in steps.
trait Job: Send + 'static {
    /// Does what is due, and says when the next step is.
    fn step(&mut self) -> impl Future<Output = Result<Next, StepError>> + Send;

    /// Waits for what makes the next step due before its time. May be dropped at any moment.
    fn woken(&mut self) -> impl Future<Output = Result<(), StepError>> + Send {
        std::future::pending()
    }

    /// Logs that a step failed. It is called once for each change of the reason.
    fn failed(&self, why: &str);
}

/// Starts a job as a task of this name, once these origins are armed.
fn spawn(name: &'static str, job: impl Job, origins: Vec<OriginHandle>, supervisor: &Supervisor) {
    let stopping = supervisor.stopping();
    supervisor.spawn(name, async move {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = armed(origins) => run(job, stopping.clone()).await,
        }
        Ok(())
    });
}

/// Runs a job until it is over, the store is closed, or the process stops. A step that began is
/// not broken off. A step that failed is tried again, after the waits of [`Backoff::JOB`].
async fn run(mut job: impl Job, stopping: CancellationToken) {
    let mut rng = fastrand::Rng::new();
    let (mut failures, mut reason) = (0_u32, None);
    loop {
        let waited = match job.step().await {
            Ok(Next::Over) => return,
            Ok(next) => {
                let due = async {
                    match next {
                        Next::After(wait) => tokio::time::sleep(wait).await,
                        Next::Woken | Next::Over => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = due => Ok(()),
                    woken = job.woken() => woken,
                }
            }
            Err(error) => Err(error),
        };
        match waited {
            Ok(()) => (failures, reason) = (0, None),
            Err(StepError::Stopping) => return,
            Err(error) => {
                failures = failures.saturating_add(1);
                if let StepError::Failed(why) = error
                    && reason.as_ref() != Some(&why)
                {
                    job.failed(&why);
                    reason = Some(why);
                }
                let wait = Backoff::JOB.wait(failures, &mut rng);
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }
}

/// Waits until every one of these origins is armed.
async fn armed(origins: Vec<OriginHandle>) {
    for origin in &origins {
        let mut status = origin.subscribe();
        // An origin that has ended is a fault, and stops the process.
        drop(status.wait_for(|status| status.armed).await);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A job that does what a list says, and notes when, and what is logged.
    struct Listed {
        steps: std::vec::IntoIter<Result<Next, StepError>>,
        clock: Clock,
        began: Arc<Mutex<Vec<Time>>>,
        logged: Arc<Mutex<Vec<String>>>,
    }

    impl Job for Listed {
        async fn step(&mut self) -> Result<Next, StepError> {
            self.began.lock().unwrap().push(self.clock.now());
            self.steps.next().unwrap_or(Ok(Next::Over))
        }

        fn failed(&self, why: &str) {
            self.logged.lock().unwrap().push(why.to_owned());
        }
    }

    /// Runs these steps; returns the waits between them in seconds, and what was logged.
    async fn steps(steps: Vec<Result<Next, StepError>>) -> (Vec<f64>, Vec<String>) {
        let (began, logged) = (Arc::new(Mutex::new(Vec::new())), Arc::default());
        let job = Listed {
            steps: steps.into_iter(),
            clock: Clock::start(),
            began: Arc::clone(&began),
            logged: Arc::clone(&logged),
        };
        run(job, CancellationToken::new()).await;
        let began = began.lock().unwrap();
        let waits = began
            .windows(2)
            .map(|two| two[1].since(two[0]).as_secs_f64());
        (waits.collect(), logged.lock().unwrap().clone())
    }

    fn failed(why: &str) -> Result<Next, StepError> {
        Err(StepError::Failed(why.to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_is_made_when_it_is_due_and_none_after_the_end() {
        let hour = Ok(Next::After(Duration::from_hours(1)));
        let (waits, logged) = steps(vec![hour, Ok(Next::Over), failed("late")]).await;
        assert_eq!(waits.len(), 1);
        assert!((3600.0..3600.1).contains(&waits[0]), "{waits:?}");
        assert!(logged.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_wait_longer_each_time_and_are_logged_once_for_each_reason() {
        let good = Ok(Next::After(Duration::ZERO));
        let list = vec![
            failed("full"),
            failed("full"),
            failed("gone"),
            good,
            failed("gone"),
        ];
        let (waits, logged) = steps(list).await;
        for (wait, whole) in [(0, 5.0), (1, 10.0), (2, 20.0), (4, 5.0)] {
            let range = whole / 2.0..whole + 0.1;
            assert!(range.contains(&waits[wait]), "{wait}: {waits:?}");
        }
        assert_eq!(logged, ["full", "gone", "gone"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_store_ends_the_job() {
        let (waits, logged) = steps(vec![Err(StoreError::Closed.into()), failed("late")]).await;
        assert!(waits.is_empty() && logged.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_in_the_middle_of_a_wait_ends_the_job_at_once() {
        let stopping = CancellationToken::new();
        let clock = Clock::start();
        let began = clock.now();
        let job = Listed {
            clock,
            steps: vec![Ok(Next::After(Duration::from_hours(1)))].into_iter(),
            began: Arc::default(),
            logged: Arc::default(),
        };
        let stop = async {
            tokio::time::sleep(Duration::from_mins(1)).await;
            stopping.cancel();
        };
        tokio::join!(run(job, stopping.clone()), stop);
        assert!(clock.now().since(began) < Duration::from_secs(61));
    }

    /// Is woken once, after a minute, and fails in that.
    struct Woken {
        listed: Listed,
        wakes: u32,
    }

    impl Job for Woken {
        async fn step(&mut self) -> Result<Next, StepError> {
            self.listed.step().await
        }

        async fn woken(&mut self) -> Result<(), StepError> {
            tokio::time::sleep(Duration::from_mins(1)).await;
            self.wakes += 1;
            if self.wakes == 2 {
                failed("woken").map(|_| ())
            } else {
                Ok(())
            }
        }

        fn failed(&self, why: &str) {
            self.listed.failed(why);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_wakes_a_job_makes_its_step_due_and_may_fail() {
        let (began, logged) = (Arc::new(Mutex::new(Vec::new())), Arc::default());
        let listed = Listed {
            clock: Clock::start(),
            steps: vec![Ok(Next::Woken), Ok(Next::After(Duration::from_hours(1)))].into_iter(),
            began: Arc::clone(&began),
            logged: Arc::clone(&logged),
        };
        run(Woken { listed, wakes: 0 }, CancellationToken::new()).await;
        let began = began.lock().unwrap();
        let waits: Vec<u64> = began
            .windows(2)
            .map(|two| two[1].since(two[0]).as_secs())
            .collect();
        assert!(waits[0] == 60 && (62..=65).contains(&waits[1]), "{waits:?}");
        assert_eq!(*logged.lock().unwrap(), ["woken"]);
    }
}
