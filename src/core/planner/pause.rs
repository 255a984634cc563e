//! What a person does with a pipeline's queue: holding it back, trying again, giving it up. All of
//! it is committed before the planner takes it in.

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
        self.pauses(pipeline, now)
            .find(|pause| pause.holder == *holder)
    }

    /// The pauses of a pipeline that hold.
    pub fn pauses(&self, pipeline: &PipelineId, now: Time) -> impl Iterator<Item = &Pause> {
        let pauses = self.pipelines.get(pipeline);
        let pauses = pauses.into_iter().flat_map(|one| &one.pauses);
        pauses.filter(move |pause| pause.holds(now))
    }

    /// Ends a holder's pause. When it was the last, what is queued is one batch, and closed: who
    /// resumes has finished.
    pub fn resume(&mut self, pipeline: &PipelineId, holder: &Holder, now: Time) {
        // Until now it was held back.
        self.time_passed(now);
        if let Some(pipeline) = self.pipelines.get_mut(pipeline) {
            pipeline
                .pauses
                .retain(|pause| pause.holder != *holder && pause.holds(now));
            if pipeline.pauses.is_empty() {
                pipeline.queue.close(pipeline.agrees());
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::asset::Asset;
    use crate::core::change::{Change, Kind, Seq, Source, Target};
    use crate::core::pause::LEASE;
    use crate::core::planner::{Command, Event, Limits, PipelineSettings};
    use crate::core::purge::{Refusal, Unsettled};
    use crate::core::queue::QUEUE_CAP;

    const LIMITS: Limits = Limits {
        requests_per_second: 10,
        burst: 20,
        max_in_flight: 4,
        max_calls: 16,
        track_timeout: Duration::from_mins(10),
    };

    fn www() -> PipelineId {
        PipelineId::new("www")
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn planner(unsettled: Unsettled, now: Time) -> Planner {
        let settings = |id: &str| PipelineSettings {
            id: PipelineId::new(id),
            max_assets: 5,
            debounce: Duration::from_millis(500),
            max_wait: Duration::from_secs(10),
            all_above: None,
            all_after: None,
            all_cooldown: Duration::from_mins(1),
            hot_interval: Some(Duration::from_secs(10)),
            follow_up: false,
            fleet_wait: None,
            queue_cap: QUEUE_CAP,
        };
        let pipelines = vec![settings("shop"), settings("www")];
        let (mut planner, _) = Planner::restore(LIMITS, pipelines, unsettled, 7, now);
        drop(planner.handle(now.after(Duration::from_secs(1)), Event::Wake));
        planner
    }

    fn pause(holder: Holder, length: Option<Duration>, now: Time) -> Pause {
        Pause::begin(www(), holder, String::new(), length, now)
    }

    fn change(seq: u64, of: &str, seen: Time) -> Change {
        Change {
            seq: Seq(seq),
            pipeline: PipelineId::new(of),
            target: Target::Asset(Asset::from_stored(&format!("/{seq}"))),
            kind: Kind::Changed,
            source: Source::Watch,
            detail: "".into(),
            seen,
            attempt: 0,
            not_before: Time::ZERO,
            overdue: false,
            again: false,
        }
    }

    /// The assets of the requests that are sent.
    fn sent(commands: &[Command]) -> Vec<usize> {
        let scopes = commands.iter().filter_map(|command| match command {
            Command::Submit { scope, .. } => Some(scope),
            Command::Poll { .. } | Command::List { .. } => None,
        });
        let assets = scopes.map(|scope| match scope {
            crate::core::purge::Scope::Assets(assets) => assets.len(),
            crate::core::purge::Scope::All { .. } => 0,
        });
        assets.collect()
    }

    #[test]
    fn a_pause_holds_its_pipeline_only_and_nothing_that_is_queued_is_lost() {
        let mut planner = planner(Unsettled::default(), at(0));
        planner.pause(pause(Holder::Operator, None, at(5_000)));
        let rows = (1..=4).map(|seq| change(seq, "www", at(5_000)));
        let rows = rows.chain([change(9, "shop", at(5_000))]).collect();
        planner.handle(at(5_000), Event::Changes(rows));
        let step = planner.handle(at(9_000), Event::Wake);
        assert_eq!(sent(&step.commands), [1], "the other pipeline goes on");
        assert_eq!(
            planner.next_wake(at(9_000)),
            None,
            "nothing to do by itself"
        );
        let late = vec![change(10, "www", at(20_000))];
        planner.handle(at(20_000), Event::Changes(late));
        planner.resume(&www(), &Holder::Operator, at(20_001));
        let step = planner.handle(at(20_001), Event::Wake);
        assert_eq!(sent(&step.commands), [5], "all of it leaves together");
    }

    #[test]
    fn a_pause_with_an_end_ends_by_itself() {
        let mut planner = planner(Unsettled::default(), at(0));
        let ten = Some(Duration::from_secs(10));
        planner.pause(pause(Holder::Operator, ten, at(5_000)));
        planner.handle(at(5_000), Event::Changes(vec![change(1, "www", at(5_000))]));
        assert_eq!(planner.view(at(6_000)).pipelines[&www()].pauses.len(), 1);
        planner.handle(at(6_000), Event::Wake);
        assert_eq!(planner.next_wake(at(6_000)), Some(at(15_000)));
        let step = planner.handle(at(15_000), Event::Wake);
        assert_eq!(sent(&step.commands), [1]);
        assert_eq!(planner.view(at(15_000)).pipelines[&www()].pauses, []);
    }

    #[test]
    fn everybody_who_pauses_has_to_resume_or_be_gone() {
        let mut planner = planner(Unsettled::default(), at(0));
        let deploy = Holder::Deploy("d1".to_owned());
        planner.pause(pause(deploy.clone(), Some(LEASE), at(5_000)));
        planner.pause(pause(Holder::Operator, None, at(5_000)));
        planner.handle(at(5_000), Event::Changes(vec![change(1, "www", at(5_000))]));
        planner.resume(&www(), &Holder::Operator, at(9_000));
        assert_eq!(
            sent(&planner.handle(at(9_000), Event::Wake).commands),
            [0_usize; 0]
        );
        assert_eq!(planner.next_wake(at(9_000)), Some(at(65_000)), "its lease");
        planner.resume(&www(), &deploy, at(10_000));
        let step = planner.handle(at(10_000), Event::Wake);
        assert_eq!(sent(&step.commands), [1]);
    }

    #[test]
    fn pauses_are_restored() {
        let mut unsettled = Unsettled::default();
        let ten = Some(Duration::from_secs(10));
        unsettled.pauses = vec![pause(Holder::Operator, ten, at(900_000))];
        let mut planner = planner(unsettled, at(1_000));
        // The clock was set back: not longer than was asked for.
        planner.handle(at(2_000), Event::Changes(vec![change(1, "www", at(2_000))]));
        assert_eq!(
            sent(&planner.handle(at(10_999), Event::Wake).commands),
            [0_usize; 0]
        );
        let step = planner.handle(at(11_000), Event::Wake);
        assert_eq!(sent(&step.commands), [1]);
    }

    #[test]
    fn a_retry_ends_the_wait_for_a_pipeline_that_is_refused() {
        let mut planner = planner(Unsettled::default(), at(0));
        planner.handle(at(5_000), Event::Changes(vec![change(1, "www", at(5_000))]));
        let step = planner.handle(at(6_000), Event::Wake);
        let Some(Command::Submit { request, .. }) = step.commands.first() else {
            panic!("{step:?}");
        };
        let reply = Err(Refusal::Forbidden("no".to_owned()));
        let refused = Event::Submitted {
            request: *request,
            reply,
        };
        assert_eq!(
            sent(&planner.handle(at(6_001), refused).commands),
            [0_usize; 0]
        );
        planner.retry(&www(), at(6_010));
        let step = planner.handle(at(6_010), Event::Wake);
        assert_eq!(sent(&step.commands), [1]);
    }

    #[test]
    fn what_is_dropped_is_not_sent() {
        let mut planner = planner(Unsettled::default(), at(0));
        planner.handle(at(5_000), Event::Changes(vec![change(1, "www", at(5_000))]));
        planner.drop_queue(&www());
        assert_eq!(
            sent(&planner.handle(at(9_000), Event::Wake).commands),
            [0_usize; 0]
        );
        assert!(planner.view(at(9_000)).settled());
    }
}
