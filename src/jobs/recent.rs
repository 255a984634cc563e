//! Fills the statistics of the last day from the history: after a start with what was before, and while another node
//! leads with what that one purges. What this node purges itself the engine counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Job, Next, Parts, StepError};
use crate::clock::Clock;
use crate::config::Config;
use crate::core::change::PipelineId;
use crate::core::time::Time;
use crate::fleet::FleetHandle;
use crate::metrics::{DAY, Metrics, Settled};
use crate::store::Store;
use crate::supervise::Supervisor;

/// So much is read at once, so that no other read waits long for it.
const STEP: Duration = Duration::from_mins(15);

/// How often a node looks what the leader has purged.
const LOOK: Duration = Duration::from_secs(2);
/// What is younger may not be committed yet.
const YOUNG: Duration = Duration::from_secs(2);

/// Starts the job, unless it was done before a reload.
pub(crate) fn spawn(
    config: &Config,
    parts: &Parts,
    fleet: Option<&FleetHandle>,
    supervisor: &Supervisor,
) {
    let recent = &parts.metrics.recent;
    if recent.is_restored() && fleet.is_none() {
        return;
    }
    let from = if recent.is_restored() {
        parts.clock.now()
    } else {
        recent.began().before(DAY)
    };
    let pipelines = config.pipelines.iter();
    let names = pipelines.map(|one| (one.id.clone(), one.name.clone()));
    let job = Recent {
        store: Arc::clone(&parts.store),
        metrics: Arc::clone(&parts.metrics),
        names: names.collect(),
        from,
        fleet: fleet.cloned(),
        followed: false,
        clock: parts.clock,
    };
    super::spawn("statistics", job, Vec::new(), supervisor);
}

struct Recent {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    names: BTreeMap<PipelineId, String>,
    /// What was done before this is in the statistics.
    from: Time,
    /// None: there is no other node.
    fleet: Option<FleetHandle>,
    /// Whether another node led at the last step.
    followed: bool,
    clock: Clock,
}

impl Recent {
    /// Takes over what was done before a time, as far as one step goes. Returns whether that was all.
    async fn take_over(&mut self, before: Time) -> Result<bool, StepError> {
        let until = self.from.after(STEP).min(before);
        if until <= self.from {
            return Ok(true);
        }
        for done in self.store.done_between(self.from, until).await? {
            if let Some(name) = self.names.get(&done.pipeline) {
                let settled = Settled {
                    at: done.at,
                    fresh: Some(done.fresh),
                    assets: done.assets,
                    all: done.all,
                };
                self.metrics.recent.restore(name, &settled);
            }
        }
        self.from = until;
        Ok(until == before)
    }

    /// Takes over what the leader has done since, up to the moment at which this node leads.
    async fn follow(&mut self, fleet: &FleetHandle) -> Result<Next, StepError> {
        let (leads, now) = (fleet.leads(), self.clock.now());
        if self.followed || !leads {
            let before = if leads { now } else { now.before(YOUNG) };
            if !self.take_over(before).await? {
                return Ok(Next::After(Duration::ZERO));
            }
        } else {
            self.from = now;
        }
        self.followed = !leads;
        Ok(Next::After(LOOK))
    }
}

impl Job for Recent {
    async fn step(&mut self) -> Result<Next, StepError> {
        let recent = &self.metrics.recent;
        if !recent.is_restored() {
            let began = recent.began();
            if !self.take_over(began).await? {
                return Ok(Next::After(Duration::ZERO));
            }
            for (pipeline, name) in &self.names {
                if let Some(at) = self.store.last_done(pipeline.clone()).await? {
                    self.metrics.recent.restore_last(name, at);
                }
            }
            self.metrics.recent.restored();
        }
        match self.fleet.clone() {
            Some(fleet) => self.follow(&fleet).await,
            None => Ok(Next::Over),
        }
    }

    fn failed(&self, why: &str) {
        tracing::warn!("the statistics of the last day are not complete: {why}; trying again");
    }
}
