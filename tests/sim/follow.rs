//! What follows on purges: each is made once more, a while later, where that is configured.

use std::time::Duration;

use edgepurge::core::change::{PipelineId, Seq, Target};
use edgepurge::core::time::Time;
use edgepurge::core::verify::{FollowUp, Follows};

use crate::fleet::unless_superseded;
use crate::world::{Appended, World, now};

/// Requests and assets that are followed up in a commit.
const STEP: usize = 3;

impl World {
    /// How much later the purges of a pipeline are made once more.
    fn repurge_after(&self, pipeline: &PipelineId) -> Option<Duration> {
        self.repurges
            .filter(|_| self.all.first().is_some_and(|first| first.id == *pipeline))
    }

    /// At a start.
    pub(crate) fn begin_follow_ups(&mut self) {
        let follows = self.settings.iter().map(|known| Follows {
            pipeline: known.id.clone(),
            verify: false,
            repurge_after: self.repurge_after(&known.id),
        });
        let follows = follows.collect();
        if let Some(desk) = &self.node.desk {
            // A planner whose term is over already learns that by its first commit.
            unless_superseded(desk.begin_follow_ups(follows, self.wall()));
        }
    }

    /// Plans what follows, and has it done when it is due. Tells when something is.
    pub(crate) fn follow(&mut self) -> Option<Time> {
        self.repurges?;
        if !self.turn_to_leader() {
            return None;
        }
        let desk = self.node.desk.clone()?;
        let of: Vec<PipelineId> = self.settings.iter().map(|known| known.id.clone()).collect();
        let ups = now(self.store.follow_ups(of.clone(), 0));
        for pipeline in ups.unplanned.into_iter().filter(|id| of.contains(id)) {
            let plan = FollowUp {
                repurge: self
                    .repurge_after(&pipeline)
                    .map(|after| self.wall().after(after)),
                pipeline,
                verify: false,
                now: self.wall(),
            };
            now(desk.follow_up(plan, STEP));
        }
        let again = now(self.store.follow_ups(of, 0)).again?;
        if again > self.wall() {
            return Some(again);
        }
        let before = now(self.store.append(Vec::new())).last;
        now(desk.purge_again(self.wall(), STEP));
        self.moment += 1;
        for row in now(self.store.queued_after(before, usize::MAX)) {
            self.ledger.meet("purged once more");
            let change = Appended {
                moment: self.moment,
                pipeline: row.pipeline,
                target: row.target,
                real: self.real,
                by: None,
                version: None,
                again: row.again,
            };
            self.appended.insert(row.seq, change);
        }
        if self.dies() {
            self.restart("between purging again and the planner");
        } else {
            self.pull();
        }
        Some(self.wall())
    }

    /// Whatever was purged was purged once more.
    pub(crate) fn all_is_followed(&self) -> Result<(), String> {
        if self.dropped {
            return Ok(());
        }
        for (seq, change) in &self.appended {
            let done = || now(self.store.stages(*seq, *seq)).done > 0;
            if change.again || self.repurge_after(&change.pipeline).is_none() || !done() {
                continue;
            }
            let mut later = self.appended.range(Seq(seq.0 + 1)..);
            let again = later.any(|(_, later)| {
                later.again
                    && later.pipeline == change.pipeline
                    && (later.target == change.target || later.target == Target::All)
            });
            if !again {
                return Err(format!("{seq}, {change:?}, was never purged once more"));
            }
        }
        Ok(())
    }
}
