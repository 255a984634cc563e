//! How far this node agrees with the others of its fleet: a job compares (`jobs/agreement.rs`), the status
//! shows what differs, and the leader's planner learns what was published.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::core::agreement::{Agreement, Divergence};
use crate::core::change::PipelineId;
use crate::core::time::Time;

/// The agreements of the pipelines that this node has in view. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Agreements(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    pipelines: Mutex<BTreeMap<PipelineId, Agreement>>,
    published: watch::Sender<()>,
}

impl Agreements {
    /// The agreements, for the job that compares.
    pub fn lock(&self) -> MutexGuard<'_, BTreeMap<PipelineId, Agreement>> {
        // A panic stops the process.
        let locked = self.0.pipelines.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }

    /// The files of a pipeline that are diverged since a time or longer; so many are named.
    #[must_use]
    pub fn divergence(
        &self,
        pipeline: &PipelineId,
        since: Time,
        named: usize,
    ) -> Option<Divergence> {
        self.lock().get(pipeline)?.divergence(since, named)
    }

    /// How far this node agrees is in the store, for all nodes.
    pub fn published(&self) {
        self.0.published.send_replace(());
    }

    /// Changes when this node has published how far it agrees.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.0.published.subscribe()
    }
}
