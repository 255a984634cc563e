//! Fills the statistics of the last day from the history, after a start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Job, Next, Parts, StepError};
use crate::config::Config;
use crate::core::change::PipelineId;
use crate::core::time::Time;
use crate::metrics::{DAY, Metrics, Settled};
use crate::store::Store;
use crate::supervise::Supervisor;

/// So much is read at once, so that no other read waits long for it.
const STEP: Duration = Duration::from_mins(15);

/// Starts the job, unless it was done before a reload.
pub(crate) fn spawn(config: &Config, parts: &Parts, supervisor: &Supervisor) {
    if parts.metrics.recent.is_restored() {
        return;
    }
    let pipelines = config.pipelines.iter();
    let names = pipelines.map(|one| (one.id.clone(), one.name.clone()));
    let job = Recent {
        store: Arc::clone(&parts.store),
        metrics: Arc::clone(&parts.metrics),
        names: names.collect(),
        from: parts.metrics.recent.began().before(DAY),
    };
    super::spawn("statistics", job, Vec::new(), supervisor);
}

struct Recent {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    names: BTreeMap<PipelineId, String>,
    /// What was done before this is in the statistics.
    from: Time,
}

impl Job for Recent {
    async fn step(&mut self) -> Result<Next, StepError> {
        let recent = &self.metrics.recent;
        let until = self.from.after(STEP).min(recent.began());
        for done in self.store.done_between(self.from, until).await? {
            if let Some(name) = self.names.get(&done.pipeline) {
                let settled = Settled {
                    at: done.at,
                    fresh: Some(done.fresh),
                    assets: done.assets,
                    all: done.all,
                };
                recent.restore(name, &settled);
            }
        }
        self.from = until;
        if until < recent.began() {
            return Ok(Next::After(Duration::ZERO));
        }
        for (pipeline, name) in &self.names {
            if let Some(at) = self.store.last_done(pipeline.clone()).await? {
                recent.restore_last(name, at);
            }
        }
        recent.restored();
        Ok(Next::Over)
    }

    fn failed(&self, why: &str) {
        tracing::warn!("the statistics of the last day are not complete: {why}; trying again");
    }
}
