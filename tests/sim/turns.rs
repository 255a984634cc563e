//! Whose turn it is: no pipeline starves another.

use std::collections::BTreeMap;

use edgepurge::core::change::PipelineId;
use edgepurge::core::purge::{Decision, RequestId};

/// Whether a person waits, for each pipeline that waits.
type Waiting = BTreeMap<PipelineId, bool>;

/// What is in flight, and who was passed over how often.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    flying: BTreeMap<RequestId, PipelineId>,
    /// Who waits, and how often which other has had a turn since.
    passed: BTreeMap<(PipelineId, bool), BTreeMap<PipelineId, u32>>,
}

impl Turns {
    /// A decision is committed.
    pub(crate) fn decided(&mut self, decision: &Decision) {
        follow(&mut self.flying, decision);
    }

    /// The store has forgotten its last decisions: these are in flight.
    pub(crate) fn went_back(&mut self, flying: BTreeMap<RequestId, PipelineId>) {
        *self = Self {
            flying,
            ..Self::default()
        };
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.flying.len()
    }

    /// How many are in flight after these decisions.
    pub(crate) fn after(&self, decisions: &[Decision]) -> usize {
        let mut flying = self.flying.clone();
        for decision in decisions {
            follow(&mut flying, decision);
        }
        flying.len()
    }

    /// Nobody remembers whose turn it was.
    pub(crate) fn restarted(&mut self) {
        self.passed.clear();
    }

    /// Who got a turn, where these waited before the decisions and those after them.
    pub(crate) fn watch(
        &mut self,
        decisions: &[Decision],
        before: &Waiting,
        after: &Waiting,
        most: usize,
    ) -> Result<(), String> {
        let mut flying = self.flying.clone();
        let mut first = true;
        for decision in decisions {
            follow(&mut flying, decision);
            let Decision::Open {
                request, pipeline, ..
            } = decision
            else {
                continue;
            };
            // Who waited all the time, and for whom.
            let waiting = before.iter().filter_map(|(id, asked)| {
                let still = after.get(id);
                (first || still.is_some()).then(|| (id, *asked && (first || still == Some(&true))))
            });
            let waiting: Waiting = waiting.map(|(id, asked)| (id.clone(), asked)).collect();
            let asked = before.get(pipeline) == Some(&true);
            first = false;
            self.turn(*request, pipeline, asked, &waiting, &flying, most)?;
        }
        Ok(())
    }

    fn turn(
        &mut self,
        request: RequestId,
        pipeline: &PipelineId,
        asked: bool,
        waiting: &Waiting,
        flying: &BTreeMap<RequestId, PipelineId>,
        most: usize,
    ) -> Result<(), String> {
        let share = (most / 2).max(1);
        let held = |id: &PipelineId| flying.values().filter(|of| *of == id).count();
        let able: Waiting = waiting
            .iter()
            .filter(|(id, _)| *id != pipeline && held(id) < share)
            .map(|(id, asked)| (id.clone(), *asked))
            .collect();
        let other = waiting.keys().find(|id| *id != pipeline);
        if let Some(other) = other
            && held(pipeline) > share
        {
            return Err(format!(
                "{request} is the {}th of {pipeline} in flight, of {most}, while {other} waits",
                held(pipeline)
            ));
        }
        if let Some((other, _)) = able.iter().find(|(_, other)| **other && !asked) {
            return Err(format!(
                "{request} goes before what a person asked {other} for"
            ));
        }
        self.passed
            .retain(|(id, for_whom), _| able.get(id).is_some_and(|waits| *waits == *for_whom));
        for (other, waits) in able {
            // Who was asked for is not passed over by one who was not, nor does it count as its turn.
            if asked && !waits {
                continue;
            }
            let passed = self.passed.entry((other.clone(), waits)).or_default();
            let times = passed.entry(pipeline.clone()).or_default();
            *times += 1;
            if *times > 1 {
                return Err(format!(
                    "{request}: {pipeline} has a turn again, and {other} waits"
                ));
            }
        }
        Ok(())
    }
}

fn follow(flying: &mut BTreeMap<RequestId, PipelineId>, decision: &Decision) {
    match decision {
        Decision::Open {
            request, pipeline, ..
        } => {
            flying.insert(*request, pipeline.clone());
        }
        Decision::Settled { request, .. } => {
            flying.remove(request);
        }
        _ => {}
    }
}
