//! Background jobs, one file each, on one loop.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::core::backoff::Backoff;
use crate::origin::OriginHandle;
use crate::store::StoreError;

pub mod deliveries;
pub mod loss;
pub mod remap;
pub mod retention;
pub mod verification;

/// Why a job can't start.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The queue can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something else is in the way now; starting again may help.
    #[error("{0}")]
    Temporary(String),
}

/// What a job does after a step that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The next step after this time.
    After(Duration),
    /// The job is over.
    Over,
}

/// Why a step failed.
#[derive(Debug)]
enum StepError {
    /// The store is closed: the process stops.
    Closed,
    /// The step is tried again.
    Failed(String),
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Closed => Self::Closed,
            error => Self::Failed(error.to_string()),
        }
    }
}

/// Work that is done in steps.
trait Job: Send {
    /// Does what is due, and says when the next step is.
    fn step(&mut self) -> impl Future<Output = Result<Next, StepError>> + Send;

    /// Logs that a step failed. It is called once for each change of the reason.
    fn failed(&self, why: &str);
}

/// Runs a job until it is over, the store is closed, or the process stops. A step that began is
/// not broken off. A step that failed is tried again, after the waits of [`Backoff::JOB`].
async fn run(mut job: impl Job, stopping: CancellationToken) {
    let mut rng = fastrand::Rng::new();
    let (mut failures, mut reason) = (0_u32, None);
    loop {
        let wait = match job.step().await {
            Ok(Next::Over) | Err(StepError::Closed) => return,
            Ok(Next::After(wait)) => {
                (failures, reason) = (0, None);
                wait
            }
            Err(StepError::Failed(why)) => {
                failures = failures.saturating_add(1);
                if reason.as_ref() != Some(&why) {
                    job.failed(&why);
                    reason = Some(why);
                }
                Backoff::JOB.wait(failures, &mut rng)
            }
        };
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
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

    use tokio::time::Instant;

    use super::*;

    /// A job that does what a list says, and notes when, and what is logged.
    struct Listed {
        steps: std::vec::IntoIter<Result<Next, StepError>>,
        began: Arc<Mutex<Vec<Instant>>>,
        logged: Arc<Mutex<Vec<String>>>,
    }

    impl Job for Listed {
        async fn step(&mut self) -> Result<Next, StepError> {
            self.began.lock().unwrap().push(Instant::now());
            self.steps.next().unwrap_or(Ok(Next::Over))
        }

        fn failed(&self, why: &str) {
            self.logged.lock().unwrap().push(why.to_owned());
        }
    }

    /// Runs these steps; returns the waits between them in seconds, and what was logged.
    async fn steps(steps: Vec<Result<Next, StepError>>) -> (Vec<f64>, Vec<String>) {
        let (began, logged) = (Arc::default(), Arc::default());
        let job = Listed {
            steps: steps.into_iter(),
            began: Arc::clone(&began),
            logged: Arc::clone(&logged),
        };
        run(job, CancellationToken::new()).await;
        let began = began.lock().unwrap();
        let waits = began.windows(2).map(|two| (two[1] - two[0]).as_secs_f64());
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
        let began = Instant::now();
        let job = Listed {
            steps: vec![Ok(Next::After(Duration::from_hours(1)))].into_iter(),
            began: Arc::default(),
            logged: Arc::default(),
        };
        let stop = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            stopping.cancel();
        };
        tokio::join!(run(job, stopping.clone()), stop);
        assert!(began.elapsed() < Duration::from_secs(61));
    }
}
