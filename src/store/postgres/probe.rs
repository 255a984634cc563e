//! Tries again to reach a server that is away, until it can be reached.

use std::time::Duration;

use crate::core::backoff::Backoff;
use crate::store::StoreError;
use crate::store::sqlite::Lane;
use crate::supervise::{Fault, Supervisor};

/// The waits between attempts to reach it.
const TRY_AGAIN: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// Starts the task that does it for the connection behind a lane. It sleeps while the server is there, and
/// does not keep the lane's thread.
pub(super) fn spawn(name: &'static str, lane: &Lane, supervisor: &Supervisor) {
    let Lane::Thread(jobs, away) = lane else {
        return;
    };
    let (jobs, mut away, stopping) = (jobs.downgrade(), away.clone(), supervisor.stopping());
    supervisor.spawn(name, async move {
        let mut rng = fastrand::Rng::new();
        let (mut failures, mut reason) = (0_u32, None);
        loop {
            let Some(why) = away.borrow_and_update().clone() else {
                if reason.take().is_some() {
                    tracing::info!("PostgreSQL can be used again");
                }
                failures = 0;
                tokio::select! {
                    () = stopping.cancelled() => return Ok(()),
                    changed = away.changed() => match changed {
                        Ok(()) => continue,
                        Err(_) => return Ok(()),
                    },
                }
            };
            if reason.as_ref() != Some(&why) {
                tracing::warn!("{why}; tried again until it works");
                reason = Some(why);
            }
            failures = failures.saturating_add(1);
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                () = tokio::time::sleep(TRY_AGAIN.wait(failures, &mut rng)) => {}
            }
            let Some(jobs) = jobs.upgrade() else {
                return Ok(());
            };
            if let Err(StoreError::Unusable(why)) = Lane::probe(jobs).await {
                return Err(Fault::Failed {
                    task: name.to_owned(),
                    message: why.to_string(),
                });
            }
        }
    });
}
