//! What a person does with a pipeline's queue: holding it back, trying again, giving it up. All of
//! it is committed before the planner hears of it.

use super::Planner;
use crate::core::change::PipelineId;
use crate::core::pause::{Holder, Pause};
use crate::core::queue::Queue;
use crate::core::time::Time;

impl Planner {
    /// Nothing more is sent for a pipeline while the pause holds. Replaces the pause that its holder
    /// has.
    pub fn pause(&mut self, pause: Pause) {
        if let Some(pipeline) = self.pipelines.get_mut(&pause.pipeline) {
            pipeline.pauses.retain(|other| other.holder != pause.holder);
            pipeline.pauses.push(pause);
        }
    }

    /// The pause of a holder, where it holds.
    #[must_use]
    pub fn paused(&self, pipeline: &PipelineId, holder: &Holder, now: Time) -> Option<&Pause> {
        let pauses = &self.pipelines.get(pipeline)?.pauses;
        pauses
            .iter()
            .find(|pause| pause.holder == *holder && pause.holds(now))
    }

    /// Ends a holder's pause. When it was the last, what is queued is one batch, and closed: who
    /// resumes has finished.
    pub fn resume(&mut self, pipeline: &PipelineId, holder: &Holder, now: Time) {
        if let Some(pipeline) = self.pipelines.get_mut(pipeline) {
            pipeline
                .pauses
                .retain(|pause| pause.holder != *holder && pause.holds(now));
            if pipeline.pauses.is_empty() {
                pipeline.queue.close();
            }
        }
    }

    /// What waits out a backoff, or a refusal of the pipeline, may be tried at once.
    pub fn retry(&mut self, pipeline: &PipelineId, now: Time) {
        if let Some(pipeline) = self.pipelines.get_mut(pipeline) {
            pipeline.queue.end_backoffs(now);
            pipeline.probe_again(now);
        }
    }

    /// Forgets what is queued of a pipeline. What is in flight goes on.
    pub fn drop_queue(&mut self, pipeline: &PipelineId) {
        if let Some(pipeline) = self.pipelines.get_mut(pipeline) {
            pipeline.queue = Queue::default();
        }
    }
}
