//! Which call is made next, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use super::circuit::Asked;
use super::flight::{Flight, Stage};
use super::listing::Question;
use super::{Command, Pipeline, Planner, Step};
use crate::core::change::PipelineId;
use crate::core::purge::{Decision, Outcome, RequestId};
use crate::core::time::Time;

/// While requests wait to be submitted, so many are followed by a question for the status of others,
const SUBMITS_PER_QUESTION: u32 = 25;
/// or so many where the others would take longer than that: of all calls, few are questions.
const SLOW_SUBMITS_PER_QUESTION: (u32, Duration) = (8, Duration::from_secs(3));
/// With so many in flight at once, one place stays free for a pipeline that has none.
const SHARED_FLIGHTS: usize = 4;

/// A call that may be made.
#[derive(Clone, Debug)]
enum Call {
    /// Look for requests of unknown outcome in the API's list.
    Find(PipelineId),
    /// Ask for the status of requests.
    Ask(Question),
    /// Create the next request of a pipeline.
    Submit(PipelineId),
}

impl Planner {
    /// Makes every call that may be made now.
    pub(super) fn dispatch(&mut self, now: Time, step: &mut Step) {
        self.give_up(now, step);
        while let Some(call) = self.next_call(now) {
            if self.stopping || !self.circuit.admits(now) || !self.wire.has_room() {
                return;
            }
            let taken = if matches!(call, Call::Ask(_)) && !self.presses(now) {
                self.budget.take_sparing(now)
            } else {
                self.budget.take(now)
            };
            if !taken {
                return;
            }
            match call {
                Call::Submit(_) => self.unasked = self.unasked.saturating_add(1),
                Call::Ask(_) => (self.unasked, self.asked_at) = (0, now),
                Call::Find(_) => {}
            }
            let asked = match call {
                Call::Find(pipeline) => Some(self.find(&pipeline, step)),
                Call::Ask(Question::Page) => Some(self.track(now, step)),
                Call::Ask(Question::One(id)) => self.poll(id, now, step),
                Call::Submit(pipeline) => self.submit(&pipeline, now, step),
            };
            if let Some(asked) = asked {
                self.circuit.called(asked, now);
                self.wire.called(asked, now);
            }
        }
    }

    /// Whether questions were put off long enough for requests that wait to be submitted.
    fn owes_question(&self, now: Time) -> bool {
        let (few, long) = SLOW_SUBMITS_PER_QUESTION;
        self.unasked >= SUBMITS_PER_QUESTION
            || (self.unasked >= few && now.since(self.asked_at) >= long)
    }

    /// Whether a question needs to spare nothing for submitting: it has its turn, or what waits to be
    /// submitted waits for a place that only its answer makes.
    fn presses(&self, now: Time) -> bool {
        self.owes_question(now)
            || (self.next_pipeline(now).is_none()
                && self.pipelines.values().any(|one| one.sendable(now)))
    }

    fn next_call(&self, now: Time) -> Option<Call> {
        if let Some(pipeline) = self.to_find() {
            return Some(Call::Find(pipeline));
        }
        let question = self.next_question(now).filter(|(at, _)| *at <= now);
        let question = question.map(|(_, question)| Call::Ask(question));
        let submit = self.next_pipeline(now).map(Call::Submit);
        if self.owes_question(now) {
            question.or(submit)
        } else {
            submit.or(question)
        }
    }

    /// The pipeline whose turn it is to submit: manual first, then round robin. None gets more than
    /// half of what may be in flight while another waits.
    pub(super) fn next_pipeline(&self, now: Time) -> Option<PipelineId> {
        let most = self.limits.max_in_flight;
        if self.flights.len() >= most {
            return None;
        }
        let waiting: Vec<(&PipelineId, &Pipeline)> = self
            .pipelines
            .iter()
            .filter(|(_, pipeline)| pipeline.sendable(now))
            .collect();
        let share = match waiting.len() {
            0 | 1 if self.pipelines.len() > 1 && most >= SHARED_FLIGHTS => most - 1,
            0 | 1 => most,
            _ => (most / 2).max(1),
        };
        let mut held: BTreeMap<&PipelineId, usize> = BTreeMap::new();
        for flight in self.flights.values() {
            *held.entry(&flight.pipeline).or_default() += 1;
        }
        let able = || {
            waiting
                .iter()
                .filter(|(id, _)| held.get(id).is_none_or(|held| *held < share))
        };
        let next = |turn: Option<&PipelineId>, wanted: fn(&Pipeline) -> bool| {
            let those = || able().filter(|(_, pipeline)| wanted(pipeline));
            let after = those().find(|(id, _)| turn.is_none_or(|turn| *id > turn));
            after.or_else(|| those().next()).map(|(id, _)| *id)
        };
        // A person's turn is not its pipeline's: who asks often would keep the others waiting.
        next(self.asked.as_ref(), |pipeline| {
            pipeline.queue.manual_ready()
        })
        .or_else(|| next(self.turn.as_ref(), |_| true))
        .cloned()
    }

    fn poll(&mut self, id: RequestId, now: Time, step: &mut Step) -> Option<Asked> {
        let remote_id = self.flights.get_mut(&id)?.poll(now)?;
        step.commands.push(Command::Poll {
            request: id,
            remote_id,
        });
        Some(Asked::Get(id))
    }

    fn submit(&mut self, id: &PipelineId, now: Time, step: &mut Step) -> Option<Asked> {
        let cursor = self.cursor;
        let pipeline = self.pipelines.get_mut(id)?;
        let asked = pipeline.queue.manual_ready();
        let taken = pipeline.take(now, cursor)?;
        let turn = if asked {
            &mut self.asked
        } else {
            &mut self.turn
        };
        *turn = Some(id.clone());
        self.last_request += 1;
        let request = RequestId(self.last_request);
        // What was made after the last change came covers it, also when another client made it.
        let api_since = self.api_time.latest(taken.queued);
        step.decisions.push(Decision::Open {
            request,
            pipeline: id.clone(),
            scope: taken.scope.clone(),
            first_seen: taken.first_seen,
            api_since,
            at: now,
        });
        step.commands.push(Command::Submit {
            request,
            pipeline: id.clone(),
            scope: taken.scope.clone(),
        });
        self.flights.insert(
            request,
            Flight {
                id: request,
                pipeline: id.clone(),
                scope: taken.scope,
                first_seen: taken.first_seen,
                opened: now,
                attempt: taken.attempt,
                overdue: taken.overdue,
                stuck: false,
                trial: taken.trial,
                api_since,
                alone: false,
                stage: Stage::Submitting,
                trouble: None,
            },
        );
        Some(Asked::Create(request))
    }

    /// Requests that never end must not stop all others: where they hold half of what may be in
    /// flight and others wait, the oldest of them is failed, loudly.
    fn give_up(&mut self, now: Time, step: &mut Step) {
        let most = self.limits.max_in_flight;
        while !self.stopping
            && self.flights.len() >= most
            && self
                .pipelines
                .values()
                .any(|pipeline| pipeline.sendable(now))
        {
            let stuck = || self.flights.values().filter(|flight| flight.stuck);
            let Some(oldest) = stuck().next().map(|flight| flight.id) else {
                return;
            };
            if stuck().count() * 2 < most {
                return;
            }
            let why = "the API has not finished it, nor the one before it, and others wait; \
                       purge its assets again when the API is well";
            self.settle(oldest, Outcome::Failed, why.to_owned(), now, step);
        }
    }

    /// When [`Event::Wake`](super::Event::Wake) is due, if nothing happens before. `None`: nothing is
    /// pending that time alone can move, and the engine may sleep for ever.
    #[must_use]
    pub fn next_wake(&self, now: Time) -> Option<Time> {
        let batches = self.pipelines.values().filter_map(Pipeline::moves_at);
        // A call is made when it is due, there is a token, the circuit lets it pass, and another has
        // made room for it on the wire.
        let room = self.wire.has_room();
        let gate = self.circuit.reopens().filter(|_| room);
        let calls = gate.and_then(|gate| {
            let gate = gate.max(now);
            let token = self.budget.next(gate);
            let spare = if self.presses(gate) {
                token
            } else {
                self.budget.next_sparing(gate)
            };
            let asks = self.next_question(now).map(|(due, _)| due.max(spare));
            let submits = self.submits_at(now).map(|due| due.max(token));
            let finds = self.to_find().map(|_| token);
            [asks, submits, finds].into_iter().flatten().min()
        });
        batches.chain(calls).min()
    }

    /// When a request may be submitted, but for tokens and trouble. One that waits for another to
    /// settle waits for a reply, not for time.
    fn submits_at(&self, now: Time) -> Option<Time> {
        if self.next_pipeline(now).is_some() {
            return Some(now);
        }
        if self.flights.len() >= self.limits.max_in_flight {
            return None;
        }
        self.pipelines
            .values()
            .filter_map(|pipeline| pipeline.send_at(now))
            .filter(|at| *at > now)
            .min()
    }
}
