//! Tries again to reach a server that is away, until it can be reached; and now and then whether it can be, where
//! nothing else does: a node that has nothing to write notices all the same that its connection was lost, and
//! what the server has forgotten then.

use std::time::Duration;

use crate::core::backoff::Backoff;
use crate::store::StoreError;
use crate::store::sqlite::Lane;
use crate::supervise::{Fault, Supervisor};

/// The waits between attempts to reach it.
const TRY_AGAIN: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// The time between two tries while it can be reached.
const IDLE: Duration = Duration::from_secs(5);

/// Starts the task that does it for the connection behind a lane. It does not keep the lane's thread.
pub(super) fn spawn(name: &'static str, lane: &Lane, supervisor: &Supervisor) {
    let Lane::Thread(jobs, away) = lane else {
        return;
    };
    let (jobs, mut away, stopping) = (jobs.downgrade(), away.clone(), supervisor.stopping());
    supervisor.spawn(name, async move {
        let mut rng = fastrand::Rng::new();
        let (mut failures, mut reason) = (0_u32, None);
        loop {
            let why = away.borrow_and_update().clone();
            if why != reason {
                if let Some(why) = &why {
                    tracing::warn!("{why}; tried again until it works");
                } else {
                    tracing::info!("PostgreSQL can be used again");
                }
            }
            let wait = if why.is_some() {
                failures = failures.saturating_add(1);
                TRY_AGAIN.wait(failures, &mut rng)
            } else {
                failures = 0;
                IDLE
            };
            reason = why;
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                changed = away.changed(), if reason.is_none() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Ok(()),
                },
                () = tokio::time::sleep(wait) => {}
            }
            let Some(jobs) = jobs.upgrade() else {
                return Ok(());
            };
            if let Err(StoreError::Unusable(why)) = Lane::probe(jobs).await {
                return Err(Fault {
                    task: name.to_owned(),
                    message: why.to_string(),
                });
            }
        }
    });
}
