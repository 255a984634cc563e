//! Deletes old history, in small steps.

use std::time::Duration;

use super::{Job, Next, StepError};
use crate::clock::Clock;
use crate::core::time::Time;
use crate::store::Desk;
use crate::supervise::Supervisor;

/// How often old history is looked for.
const EVERY: Duration = Duration::from_hours(1);
/// How many rows are deleted at once, so that no commit waits long for it.
const STEP: usize = 500;

struct Retention {
    desk: Desk,
    kept: Duration,
    clock: Clock,
}

/// Starts the job. History is kept for `kept`.
pub(crate) fn spawn(desk: &Desk, kept: Duration, clock: Clock, supervisor: &Supervisor) {
    let desk = desk.clone();
    let job = Retention { desk, kept, clock };
    super::spawn("retention", job, Vec::new(), supervisor);
}

impl Job for Retention {
    async fn step(&mut self) -> Result<Next, StepError> {
        let now = self.clock.now();
        let kept = u64::try_from(self.kept.as_millis()).unwrap_or(u64::MAX);
        let before = Time::from_millis(now.millis().saturating_sub(kept));
        let history = self.desk.prune(before, STEP).await?;
        let deliveries = self.desk.prune_deliveries(before, now, STEP).await?;
        let more = history + deliveries > 0;
        Ok(Next::After(if more { Duration::ZERO } else { EVERY }))
    }

    fn failed(&self, why: &str) {
        tracing::warn!("old history can't be deleted: {why}");
    }
}
