//! What people and deploys do with queues, and what they rely on then.

use std::collections::BTreeMap;
use std::time::Duration;

use edgepurge::core::change::{Change, PipelineId};
use edgepurge::core::pause::{Holder, LEASE, Pause, Retry};
use edgepurge::core::time::Time;
use edgepurge::engine::Operation;

use crate::world::World;

/// A deploy that was silent for longer than this at a start is gone.
const SILENT: Duration = Duration::from_mins(10);

#[derive(Clone, Debug)]
struct Hold {
    until: Option<Time>,
    length: Option<Duration>,
    /// The end that was committed last. What a start gives a lease is not: the next start counts
    /// from what its deploy said last.
    committed: Option<Time>,
}

/// Who holds which pipeline back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holds {
    of: BTreeMap<(PipelineId, Holder), Hold>,
    /// The deploy that lives, of each pipeline.
    deploys: BTreeMap<PipelineId, Holder>,
    last: u32,
}

impl Holds {
    /// Who holds a pipeline back now.
    pub(crate) fn holder(&self, pipeline: &PipelineId, now: Time) -> Option<&Holder> {
        let mut of = self.of.iter();
        of.find(|((of, _), hold)| of == pipeline && hold.until.is_none_or(|until| until > now))
            .map(|((_, holder), _)| holder)
    }

    /// The process died: what had ended by then is over.
    pub(crate) fn died(&mut self, now: Time) {
        self.of
            .retain(|_, hold| hold.until.is_none_or(|until| until > now));
    }

    /// The process started again, perhaps by another clock.
    pub(crate) fn restarted(&mut self, now: Time) {
        for ((_, holder), hold) in &mut self.of {
            let (Some(until), Some(length)) = (hold.until, hold.length) else {
                continue;
            };
            let said = hold.committed.unwrap_or(until);
            hold.until = Some(match holder {
                Holder::Operator => until.min(now.after(length)),
                Holder::Deploy(_) if now.since(said) > SILENT => said,
                Holder::Deploy(_) => now.after(length),
            });
        }
        // One that has ended does not begin again, should the clock be set back.
        self.of
            .retain(|_, hold| hold.until.is_none_or(|until| until > now));
    }
}

impl World {
    /// Holds a pipeline back.
    pub(crate) fn hold(&mut self, id: &PipelineId, holder: Holder, length: Option<Duration>) {
        self.operate(Operation::Pause {
            pipeline: id.clone(),
            holder,
            who: String::new(),
            reason: String::new(),
            length,
        });
    }

    /// It is on disk that a pipeline is held back.
    pub(crate) fn held(&mut self, pause: &Pause) {
        let hold = Hold {
            until: pause.until,
            length: pause.length,
            committed: pause.until,
        };
        let key = (pause.pipeline.clone(), pause.holder.clone());
        self.holds.of.insert(key, hold);
    }

    fn release(&mut self, id: &PipelineId, holder: &Holder) {
        self.operate(Operation::Resume {
            pipeline: id.clone(),
            holder: holder.clone(),
        });
    }

    /// It is on disk that a holder's pause has ended.
    pub(crate) fn resumed(&mut self, id: &PipelineId, holder: &Holder) {
        self.holds.of.remove(&(id.clone(), holder.clone()));
    }

    pub(crate) fn dies(&mut self) -> bool {
        !self.api.healthy && self.rng.u32(0..20) == 0
    }

    pub(crate) fn pause(&mut self) {
        let id = self.some_pipeline();
        let length = match self.rng.u32(0..4) {
            0 => None,
            1 => Some(Duration::from_secs(self.rng.u64(60..3_600))),
            _ => Some(Duration::from_secs(self.rng.u64(1..60))),
        };
        self.ledger.meet(match length {
            None => "paused until resumed",
            Some(_) => "paused for a time",
        });
        self.hold(&id, Holder::Operator, length);
    }

    pub(crate) fn resume(&mut self) {
        let held = self
            .holds
            .of
            .keys()
            .filter(|(_, who)| *who == Holder::Operator);
        let held: Vec<PipelineId> = held.map(|(id, _)| id.clone()).collect();
        let held: Vec<PipelineId> = held.into_iter().filter(|id| self.configured(id)).collect();
        if !held.is_empty() {
            let id = held[self.rng.usize(0..held.len())].clone();
            self.ledger.meet("resumed");
            self.release(&id, &Holder::Operator);
        }
    }

    /// Nobody forgets that a pipeline is paused. Deploys that died say nothing more.
    pub(crate) fn everybody_resumes(&mut self) -> Result<(), String> {
        let held: Vec<(PipelineId, Holder)> = self.holds.of.keys().cloned().collect();
        for (id, holder) in held {
            let lives = self.holds.deploys.get(&id) == Some(&holder);
            let key = (id, holder);
            // The leader may lose its term over it; then the next is asked.
            while (lives || key.1 == Holder::Operator) && self.holds.of.contains_key(&key) {
                self.wait_for_a_leader()?;
                self.release(&key.0, &key.1);
            }
        }
        Ok(())
    }

    /// A deploy begins; or one that lives renews its lease, is done, or dies.
    pub(crate) fn deploy(&mut self) {
        let id = self.some_pipeline();
        let Some(lives) = self.holds.deploys.get(&id).cloned() else {
            self.holds.last += 1;
            let deploy = Holder::Deploy(format!("deploy-{}", self.holds.last));
            self.holds.deploys.insert(id.clone(), deploy.clone());
            self.ledger.meet("a deploy begins");
            return self.hold(&id, deploy, Some(LEASE));
        };
        match self.rng.u32(0..4) {
            0 => {
                self.ledger.meet("a deploy is done");
                self.holds.deploys.remove(&id);
                self.release(&id, &lives);
            }
            1 => {
                self.ledger.meet("a deploy dies");
                self.holds.deploys.remove(&id);
            }
            _ => {
                self.ledger.meet("a deploy renews its lease");
                self.hold(&id, lives, Some(LEASE));
            }
        }
    }

    /// A person wants what is failed to be tried again.
    pub(crate) fn retry(&mut self) {
        let id = self.some_pipeline();
        let what = if self.rng.bool() {
            Retry::Pipeline(id)
        } else {
            Retry::Request(self.rng.u64(1..=self.ledger.last_request().max(1)))
        };
        self.operate(Operation::Retry(what));
    }

    /// It is on disk that these are queued again.
    pub(crate) fn retried(&mut self, changes: &[Change]) {
        for change in changes {
            self.say(&(change.seq, "is retried"));
            self.ledger.retried(change);
            if self.holds.holder(&change.pipeline, self.wall()).is_some() {
                self.ledger.meet("retried while paused");
            }
        }
    }

    /// A person gives up what is queued and failed.
    pub(crate) fn drop_queue(&mut self) {
        let number = self.rng.usize(0..self.all.len());
        let id = self.all[number].id.clone();
        self.dropped = true;
        self.operate(Operation::Drop(id));
    }
}
