//! Fills the statistics of the last day from the history, after a start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::core::change::PipelineId;
use crate::metrics::{DAY, Metrics, Settled};
use crate::store::{Store, StoreError};
use crate::supervise::Supervisor;

/// So much is read at once, so that no other read waits long for it.
const STEP: Duration = Duration::from_mins(15);

/// Starts it, unless it was done before a reload.
pub(super) fn spawn(
    config: &Config,
    store: &Arc<Store>,
    metrics: &Arc<Metrics>,
    supervisor: &Supervisor,
) {
    if metrics.recent.is_restored() {
        return;
    }
    let pipelines = config.pipelines.iter();
    let names = pipelines.map(|one| (one.id.clone(), one.name.clone()));
    let names: BTreeMap<PipelineId, String> = names.collect();
    let (store, metrics) = (Arc::clone(store), Arc::clone(metrics));
    let stopping = supervisor.stopping();
    supervisor.spawn("statistics", async move {
        let restored = stopping
            .run_until_cancelled(restore(&store, &metrics, &names))
            .await;
        if let Some(Err(error)) = restored {
            tracing::warn!("the statistics begin with this start: {error}");
        }
        Ok(())
    });
}

async fn restore(
    store: &Store,
    metrics: &Metrics,
    names: &BTreeMap<PipelineId, String>,
) -> Result<(), StoreError> {
    let began = metrics.recent.began();
    let mut from = began.before(DAY);
    while from < began {
        let until = from.after(STEP).min(began);
        for done in store.done_between(from, until).await? {
            if let Some(name) = names.get(&done.pipeline) {
                let settled = Settled {
                    at: done.at,
                    fresh: Some(done.fresh),
                    assets: done.assets,
                    all: done.all,
                };
                metrics.recent.restore(name, &settled);
            }
        }
        from = until;
    }
    metrics.recent.restored();
    Ok(())
}
