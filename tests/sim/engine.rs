//! The engine's steps in the world: their calls reach the API, their commits are checked, and the
//! process dies between any two of them.

use std::collections::BTreeMap;

use edgepurge::core::change::{Change, PipelineId};
use edgepurge::core::pause::Retry;
use edgepurge::core::planner::{Command, Event, Planner, Step};
use edgepurge::core::purge::Decision;
use edgepurge::core::time::Time;
use edgepurge::engine::{Committed, Doing, Host, Operation, Steps};
use edgepurge::store::{AskId, StoreError};
use futures_util::FutureExt as _;

use crate::checks;
use crate::world::{On, World, now};

/// Why the engine ends in the middle of its work.
#[derive(Debug)]
pub(crate) enum Over {
    /// The process died, and when.
    Died(&'static str),
    /// Another term has begun, or its own time is over.
    Superseded,
}

/// What the world keeps of the step that runs.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// It dies when so many more calls are made.
    calls: Option<usize>,
    /// Whether the event is a page of the API's list.
    listed: bool,
    /// What it does was asked at another node.
    pub(crate) asked: Option<AskId>,
    /// When it last was through with everything that was asked.
    pub(crate) through_asks: Option<u64>,
    /// Who waited for a turn before it.
    waiting: BTreeMap<PipelineId, bool>,
}

impl World {
    /// Has the engine work, until it is done or the process dies; then it is started again.
    fn work<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Steps, &mut Self) -> Result<T, Over>,
    ) -> Option<T> {
        let id = self.node.id;
        let done = self.works(work);
        if self.node.id == id {
            self.look_back();
        }
        done
    }

    fn works<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Steps, &mut Self) -> Result<T, Over>,
    ) -> Option<T> {
        let mut steps = self.node.steps.take().expect("it does one thing at a time");
        let done = work(&mut steps, self).now_or_never();
        self.node.steps = Some(steps);
        let done = done.expect("an inline store never waits");
        match (done, self.node.life.calls.take()) {
            (Ok(done), None) => return Some(done),
            (Ok(_), Some(_)) => self.restart("after the commit"),
            (Err(Over::Died(when)), _) => self.restart(when),
            (Err(Over::Superseded), _) => self.superseded(),
        }
        None
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.work(async |steps, world| steps.event(world, event).await);
    }

    pub(crate) fn pull(&mut self) {
        self.hear();
        self.work(async |steps, world| steps.pull(world).await);
    }

    /// What other nodes have appended is announced to the current one.
    pub(crate) fn hear(&self) {
        if let Some(store) = &self.node.store {
            now(store.members());
        }
    }

    /// The leader does something with a queue, which may have been asked at another node.
    pub(crate) fn carry_out(&mut self, operation: Operation, asked: Option<AskId>) {
        self.say(&operation);
        if let Operation::Retry(Retry::Pipeline(id)) = &operation {
            self.ledger.cooled(Some(id));
        }
        self.node.life.asked = asked;
        let operated = self.work(async |steps, world| steps.operate(world, operation, asked).await);
        match operated {
            None | Some(Ok(_) | Err(StoreError::Withdrawn)) => {}
            Some(Err(StoreError::Superseded)) => return self.superseded(),
            Some(Err(error)) => panic!("an inline store never fails: {error}"),
        }
        self.node.life.asked = None;
    }

    /// Decisions are committed.
    pub(crate) fn decided(&mut self, decisions: &[Decision]) {
        for decision in decisions {
            self.say(decision);
            self.moment += 1;
            self.ledger.decided(decision, self.moment);
            self.turns.decided(decision);
            let held = checks::decided(self, decision)
                .and_then(|()| checks::takes_something(self, decision));
            self.hold_true(held);
        }
    }

    pub(crate) fn hold_true(&mut self, held: Result<(), String>) {
        if let Err(why) = held {
            self.broken.get_or_insert(why);
        }
    }

    /// While a request waits to be sent, and has room in flight, few calls are questions.
    fn questions(&mut self, planner: &Planner, step: &Step) {
        if step.commands.is_empty() {
            return;
        }
        let waits = self.settings.len() == 1
            && self.turns.after(&step.decisions) < self.limits.max_in_flight
            && !planner.waiting(self.wall()).is_empty();
        for command in &step.commands {
            let question = match command {
                Command::Submit { .. } => false,
                Command::Poll { .. } => true,
                // It may look for a request.
                Command::List { .. } => !self.doubts(),
            };
            if !question {
                self.node.unasked += u32::from(matches!(command, Command::Submit { .. }));
                continue;
            }
            if waits {
                self.ledger.meet("a question while requests wait");
            }
            if waits && self.node.unasked < 8 {
                let why = format!(
                    "a question after {} requests, and others wait",
                    self.node.unasked
                );
                self.broken.get_or_insert(why);
            }
            self.node.unasked = 0;
        }
    }

    /// Whether the outcome of a request is unknown.
    fn doubts(&self) -> bool {
        let unsettled = now(self.store.unsettled()).requests;
        unsettled.iter().any(|request| {
            request.remote_id.is_none() && !self.node.wire.contains(&On::Create(request.id))
        })
    }

    /// The queues' room is known by what the planner has queued.
    fn count(&mut self, steps: &Steps) {
        let queued = steps.queued();
        for (id, room) in &mut self.rooms {
            room.counted(queued.assets.get(id).copied().unwrap_or(0), queued.through);
        }
    }

    /// No pipeline starves another.
    fn turns(&mut self, planner: &Planner, step: &Step) {
        let after = planner.waiting(self.wall());
        let before = std::mem::take(&mut self.node.life.waiting);
        let most = self.limits.max_in_flight;
        let fair = self.turns.watch(&step.decisions, &before, &after, most);
        self.hold_true(fair);
    }

    const fn watches_turns(&self) -> bool {
        self.watched && self.settings.len() > 1
    }
}

/// Who waits for a turn when this is handled.
fn waiting(planner: &Planner, event: &Event, wall: Time) -> BTreeMap<PipelineId, bool> {
    let mut planner = planner.clone();
    planner.stop();
    drop(planner.handle(wall, event.clone()));
    planner.waiting(wall)
}

impl Host for World {
    type End = Over;

    fn now(&self) -> Time {
        self.wall()
    }

    /// Now and then.
    fn looking(&mut self, _pipeline: &PipelineId, _before: Time) -> bool {
        let looking = self.real.is_multiple_of(3);
        if looking {
            self.ledger.meet("a batch waits for a look");
        }
        looking
    }

    fn pulled(&mut self, _changes: &[Change]) {}

    fn caught_up(&mut self, steps: &Steps) {
        if self.in_term() {
            self.count(steps);
        }
    }

    fn handling(&mut self, planner: &Planner, event: &Event) {
        self.say(event);
        self.node.life.listed = matches!(event, Event::Listed { .. });
        if self.watches_turns() {
            self.node.life.waiting = waiting(planner, event, self.wall());
        }
        if let Some(call) = On::answered(event) {
            self.node.wire.remove(&call);
        }
    }

    fn decided(&mut self, steps: &Steps, step: &Step) -> Result<(), Over> {
        if self.node.life.calls.is_some() {
            return Err(Over::Died("after the commit"));
        }
        // What it decides out of its term is refused, and may be anything.
        if !self.in_term() {
            return Ok(());
        }
        self.questions(steps.planner(), step);
        self.count(steps);
        if self.watches_turns() {
            self.turns(steps.planner(), step);
        }
        if self.node.life.listed {
            let accepted = |decision: &Decision| matches!(decision, Decision::Accepted { .. });
            let adopted = step.decisions.iter().any(accepted);
            let what = if adopted { "adopted" } else { "list read" };
            self.ledger.meet(what);
        }
        let decided = !step.commands.is_empty() || !step.decisions.is_empty();
        if !self.api.healthy && decided && self.rng.u32(0..150) == 0 {
            if self.rng.bool() {
                return Err(Over::Died("before the commit"));
            }
            // Some of the calls are made, the others never.
            self.node.life.calls = Some(self.rng.usize(0..=step.commands.len()));
        }
        for (number, decision) in step.decisions.iter().enumerate() {
            let before = &step.decisions[..number];
            let held = checks::opens(self, before, decision);
            self.hold_true(held);
        }
        if !step.decisions.is_empty() {
            self.held_up("held up before the commit");
        }
        Ok(())
    }

    fn committed(&mut self, what: Committed<'_>) -> Result<(), Over> {
        let nothing = matches!(what, Committed::Decisions([]));
        if !nothing && !self.in_term() {
            let why = format!("{:?} decides out of its term: {what:?}", self.node.id);
            self.hold_true(Err(why));
        }
        let when = match what {
            Committed::Decisions(decisions) => {
                self.decided(decisions);
                self.held_up("held up after the commit");
                return Ok(());
            }
            Committed::Part => {
                self.ledger.meet("an all in parts");
                "between the parts of an all"
            }
            Committed::Pause { pause, .. } => {
                self.held(pause);
                self.did();
                "between pause and planner"
            }
            Committed::Resume {
                pipeline, holder, ..
            } => {
                self.resumed(pipeline, holder);
                self.did();
                "between resume and planner"
            }
            Committed::Retry(changes) => {
                self.retried(changes);
                if changes.is_empty() {
                    self.did();
                }
                "between retry and planner"
            }
            Committed::Drop(changes) => {
                self.ledger.meet("dropped");
                if changes == 0 {
                    self.did();
                }
                "between drop and planner"
            }
        };
        if self.dies() {
            return Err(Over::Died(when));
        }
        Ok(())
    }

    fn call(&mut self, command: Command) -> Result<(), Over> {
        if !self.holds_now() {
            let why = format!("{:?} makes a call after its time", self.node.id);
            self.hold_true(Err(why));
        }
        match &mut self.node.life.calls {
            Some(0) => return Err(Over::Died("after the commit")),
            Some(calls) => *calls -= 1,
            None => {}
        }
        self.act(command);
        Ok(())
    }

    async fn failed(
        &mut self,
        _steps: &Steps,
        doing: Doing,
        error: &StoreError,
    ) -> Result<(), Over> {
        if matches!(error, StoreError::Superseded) {
            if doing == Doing::Act {
                self.ledger.meet("its time was over");
            }
            return Err(Over::Superseded);
        }
        if matches!(error, StoreError::Unusable(_)) {
            self.ledger.meet("more is lost than the ring has");
            return Err(Over::Died("as its commits are lost"));
        }
        panic!("an inline store never fails: {doing:?}: {error}");
    }
}
