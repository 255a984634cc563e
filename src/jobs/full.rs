//! Says to the other nodes which queues take nothing more (`core/capacity.rs`): only the leader's planner counts what
//! is queued, and all of them queue.

use std::collections::BTreeSet;

use tokio::sync::watch;

use super::{Job, Next, StepError};
use crate::core::capacity::Queued;
use crate::core::change::PipelineId;
use crate::core::queue::QUEUE_CAP;
use crate::store::Desk;
use crate::supervise::Supervisor;

struct Full {
    desk: Desk,
    queued: watch::Receiver<Option<Queued>>,
    /// What was said last in this term; `None`: what the leader before has said holds.
    said: Option<BTreeSet<PipelineId>>,
}

/// Starts the job, where there may be other nodes.
pub(crate) fn spawn(desk: &Desk, queued: watch::Receiver<Option<Queued>>, supervisor: &Supervisor) {
    if desk.is_on_server() {
        let job = Full {
            desk: desk.clone(),
            queued,
            said: None,
        };
        super::spawn("full queues", job, Vec::new(), supervisor);
    }
}

impl Job for Full {
    async fn step(&mut self) -> Result<Next, StepError> {
        let counted = self.queued.borrow_and_update().clone().unwrap_or_default();
        // None is counted before the engine runs, and when it has ended.
        if !counted.assets.is_empty() {
            let full = counted.assets.into_iter();
            let full = full.filter(|(_, assets)| *assets >= QUEUE_CAP);
            let full: BTreeSet<PipelineId> = full.map(|(pipeline, _)| pipeline).collect();
            if self.said.as_ref() != Some(&full) {
                self.desk.set_full(full.clone()).await?;
                self.said = Some(full);
            }
        }
        Ok(Next::Woken)
    }

    async fn woken(&mut self) -> Result<(), StepError> {
        self.queued.changed().await.map_err(|_| StepError::Stopping)
    }

    fn failed(&self, why: &str) {
        tracing::warn!("the other nodes can't be told which queues are full: {why}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::change::Seq;
    use crate::core::lease::Term;
    use crate::store::InlineDatabase;

    #[tokio::test]
    async fn it_says_which_queues_are_full_when_that_changes_and_nothing_that_was_not_counted() {
        let store = Arc::new(InlineDatabase::new().unwrap().open().unwrap());
        let desk = store.lead(Term(1)).await.unwrap();
        let queued = watch::Sender::new(None);
        let mut job = Full {
            desk,
            queued: queued.subscribe(),
            said: None,
        };
        let mut said = async |assets: &[(&str, usize)]| {
            let assets = assets.iter();
            queued.send_replace(Some(Queued {
                through: Seq(1),
                assets: assets
                    .map(|(id, count)| (PipelineId::new(id), *count))
                    .collect(),
            }));
            assert_eq!(job.step().await.unwrap(), Next::Woken);
            store.noted("full".to_owned()).await.unwrap()
        };
        // What the leader before has said holds until the planner has counted.
        assert_eq!(said(&[]).await, None);
        let some = [("shop", 0), ("www", QUEUE_CAP)];
        assert_eq!(said(&some).await.as_deref(), Some("www"));
        assert_eq!(
            said(&[]).await.as_deref(),
            Some("www"),
            "the engine has ended"
        );
        assert_eq!(said(&[("shop", 0), ("www", 7)]).await.as_deref(), Some(""));
    }
}
