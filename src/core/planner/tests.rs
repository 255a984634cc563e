//! What the planner promises, case by case; `tests/sim.rs` has it over random histories.

use super::*;
use crate::core::asset::Asset;
use crate::core::change::Kind;
use crate::core::purge::OpenRequest;
use crate::core::queue::QUEUE_CAP;

const WWW: &str = "11111111-1111-4111-8111-111111111111";
const SHOP: &str = "22222222-2222-4222-8222-222222222222";

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn settings(id: &str) -> PipelineSettings {
    PipelineSettings {
        id: PipelineId::new(id),
        max_assets: 5,
        debounce: Duration::from_millis(500),
        max_wait: Duration::from_secs(10),
        all_above: Some(20),
        all_after: None,
        all_cooldown: Duration::from_mins(1),
        hot_interval: Some(Duration::from_secs(10)),
        follow_up: false,
        fleet_wait: None,
        queue_cap: QUEUE_CAP,
    }
}

const LIMITS: Limits = Limits {
    requests_per_second: 10,
    burst: 20,
    max_in_flight: 4,
    max_calls: MOST_CALLS,
    track_timeout: Duration::from_mins(10),
};

/// A request that the API has, from before a start.
fn accepted(pipeline: &str, scope: Scope) -> OpenRequest {
    OpenRequest {
        id: RequestId(1),
        pipeline: PipelineId::new(pipeline),
        scope,
        remote_id: Some("r1".to_owned()),
        first_seen: at(0),
        opened: at(0),
        attempt: 0,
        overdue: false,
        api_since: None,
    }
}

fn one(asset: &str) -> Scope {
    Scope::Assets([(Asset::from_stored(asset), Seq(1))].into())
}

/// A planner with its time, fed with changes and replies.
struct Bench {
    planner: Planner,
    now: Time,
    seq: u64,
}

impl Bench {
    fn new(pipelines: &[&str]) -> Self {
        let pipelines = pipelines.iter().map(|id| settings(id)).collect();
        let (planner, step) =
            Planner::restore(LIMITS, pipelines, Unsettled::default(), 7, Time::ZERO);
        assert_eq!(step, Step::default());
        let mut bench = Self {
            planner,
            now: Time::ZERO,
            seq: 0,
        };
        bench.wait(10_000);
        bench
    }

    fn event(&mut self, event: Event) -> Vec<Command> {
        self.planner.handle(self.now, event).commands
    }

    fn wait(&mut self, millis: u64) -> Vec<Command> {
        self.now = at(self.now.millis() + millis);
        self.event(Event::Wake)
    }

    fn row(&mut self, pipeline: &str, target: Target, source: Source) -> Change {
        self.seq += 1;
        Change {
            seq: Seq(self.seq),
            pipeline: PipelineId::new(pipeline),
            target,
            kind: Kind::Changed,
            source,
            detail: "".into(),
            seen: self.now,
            attempt: 0,
            not_before: Time::ZERO,
            overdue: false,
            again: false,
        }
    }

    fn change(&mut self, pipeline: &str, assets: &[&str]) -> Vec<Command> {
        let rows = assets
            .iter()
            .map(|asset| {
                let target = Target::Asset(Asset::from_stored(asset));
                self.row(pipeline, target, Source::Watch)
            })
            .collect();
        self.event(Event::Changes(rows))
    }

    fn many(&mut self, pipeline: &str, count: usize) -> Vec<Command> {
        let names: Vec<String> = (0..count).map(|n| format!("/{n:05}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.change(pipeline, &names)
    }

    fn all(&mut self, pipeline: &str, source: Source) -> Vec<Command> {
        let row = self.row(pipeline, Target::All, source);
        self.event(Event::Changes(vec![row]))
    }

    fn accept(&mut self, request: RequestId) -> Vec<Command> {
        self.submitted(request, Ok((format!("r{request}"), RemoteStatus::Pending)))
    }

    fn submitted(
        &mut self,
        request: RequestId,
        reply: Result<(String, RemoteStatus), Refusal>,
    ) -> Vec<Command> {
        self.event(Event::Submitted { request, reply })
    }

    fn polled(&mut self, request: RequestId, reply: Result<RemoteStatus, Refusal>) -> Step {
        self.planner
            .handle(self.now, Event::Polled { request, reply })
    }

    /// Accepts a request and answers its first poll.
    fn finish(&mut self, request: RequestId, status: RemoteStatus) -> Step {
        self.accept(request);
        let polls = self.wait(500);
        assert!(
            polls
                .iter()
                .any(|call| matches!(call, Command::Poll { request: id, .. } if *id == request)),
            "{polls:?}"
        );
        self.polled(request, Ok(status))
    }

    fn view(&self) -> View {
        self.planner.view(self.now)
    }

    fn alarm(&self) -> Vec<&'static str> {
        let view = self.view();
        view.all_alarms()
            .map(|alarm| alarm.reason.as_str())
            .collect()
    }
}

/// The purge requests among the commands: `1: /a /b`, `2: all count`.
fn submits(commands: &[Command]) -> Vec<String> {
    commands
        .iter()
        .filter_map(|command| match command {
            Command::Submit { request, scope, .. } => Some(match scope {
                Scope::Assets(assets) => {
                    let names: Vec<&str> = assets.keys().map(Asset::as_str).collect();
                    format!("{request}: {}", names.join(" "))
                }
                Scope::All { reason, .. } => format!("{request}: all {}", reason.as_str()),
            }),
            Command::Poll { .. } | Command::List { .. } => None,
        })
        .collect()
}

#[test]
fn a_change_is_sent_when_the_batch_closes() {
    let mut bench = Bench::new(&[WWW]);
    assert!(bench.change(WWW, &["/a", "/b"]).is_empty());
    assert_eq!(bench.planner.next_wake(bench.now), Some(at(10_500)));
    assert!(bench.wait(499).is_empty());
    assert_eq!(submits(&bench.wait(1)), ["1: /a /b"]);
    assert_eq!(
        bench.planner.next_wake(bench.now),
        None,
        "only the reply moves it on"
    );
}

#[test]
fn a_backlog_leaves_in_full_requests_within_the_flight_limit() {
    let mut bench = Bench::new(&[WWW]);
    bench.many(WWW, 18);
    let sent = bench.wait(500);
    assert_eq!(
        submits(&sent),
        [
            "1: /00000 /00001 /00002 /00003 /00004",
            "2: /00005 /00006 /00007 /00008 /00009",
            "3: /00010 /00011 /00012 /00013 /00014",
            "4: /00015 /00016 /00017",
        ]
    );
    bench.change(WWW, &["/late"]);
    assert!(bench.wait(500).is_empty(), "four are in flight");
    let next = bench.submitted(RequestId(1), Ok(("r1".into(), RemoteStatus::Done)));
    assert_eq!(submits(&next), ["5: /late"]);
}

#[test]
fn a_change_during_flight_is_purged_again_without_waiting() {
    let mut bench = Bench::new(&[WWW]);
    bench.change(WWW, &["/a"]);
    assert_eq!(submits(&bench.wait(500)), ["1: /a"]);
    bench.change(WWW, &["/a"]);
    assert_eq!(submits(&bench.wait(500)), ["2: /a"]);
}

#[test]
fn too_many_assets_become_one_all_and_the_next_within_the_cool_down_go_alone() {
    let mut bench = Bench::new(&[WWW]);
    bench.many(WWW, 21);
    assert_eq!(submits(&bench.wait(500)), ["1: all count"]);
    bench.finish(RequestId(1), RemoteStatus::Done);
    assert!(bench.view().settled());
    bench.many(WWW, 21);
    let sent = submits(&bench.wait(500));
    assert_eq!(sent.len(), 4);
    assert!(sent[0].starts_with("2: /00000"), "{sent:?}");
}

#[test]
fn all_absorbs_what_is_queued_and_not_what_comes_later() {
    let mut bench = Bench::new(&[WWW]);
    bench.change(WWW, &["/a"]);
    assert_eq!(
        submits(&bench.all(WWW, Source::Manual)),
        ["1: all manual"],
        "a person does not wait"
    );
    bench.change(WWW, &["/b"]);
    assert_eq!(submits(&bench.wait(500)), ["2: /b"]);
}

#[test]
fn an_all_by_rule_waits_for_its_batch() {
    let mut bench = Bench::new(&[WWW]);
    assert!(bench.all(WWW, Source::Watch).is_empty());
    bench.change(WWW, &["/a"]);
    assert_eq!(submits(&bench.wait(500)), ["1: all rule"]);
    assert!(bench.wait(5_000).is_empty());
}

#[test]
fn error_vanished_and_overdue_go_back_to_the_queue_and_nothing_unknown_is_done() {
    for reply in [
        Ok(RemoteStatus::Error),
        Err(Refusal::NotFound("gone".into())),
        Ok(RemoteStatus::Pending),
        Ok(RemoteStatus::Unknown),
    ] {
        let mut bench = Bench::new(&[WWW]);
        bench.change(WWW, &["/a"]);
        bench.wait(500);
        bench.accept(RequestId(1));
        bench.wait(500);
        if matches!(reply, Ok(status) if status != RemoteStatus::Error) {
            let step = bench.polled(RequestId(1), reply.clone());
            assert!(step.decisions.is_empty(), "{reply:?} settles nothing");
            bench.wait(600_000);
        }
        bench.polled(RequestId(1), reply.clone());
        assert!(!bench.view().settled(), "{reply:?}");
        assert_eq!(submits(&bench.wait(300_000)), ["2: /a"], "{reply:?}");
    }
}

#[test]
fn an_all_that_came_to_nothing_is_sent_again_as_all() {
    let mut bench = Bench::new(&[WWW]);
    bench.many(WWW, 21);
    bench.wait(500);
    let step = bench.finish(RequestId(1), RemoteStatus::Error);
    assert!(matches!(
        step.decisions.as_slice(),
        [Decision::Settled { .. }, Decision::QueueAll { .. }]
    ));
    assert_eq!(submits(&bench.wait(300_000)), ["2: all count"]);
}

#[test]
fn an_all_that_the_api_never_took_does_not_wait_for_a_cool_down() {
    let mut bench = Bench::new(&[WWW]);
    bench.many(WWW, 21);
    assert_eq!(submits(&bench.wait(500)), ["1: all count"]);
    bench.submitted(RequestId(1), Err(Refusal::Transient("busy".into())));
    assert_eq!(submits(&bench.wait(10_000)), ["2: all count"]);
}

#[test]
fn a_refused_key_stops_everything_but_gentle_probes() {
    let mut bench = Bench::new(&[WWW, SHOP]);
    bench.change(WWW, &["/a"]);
    bench.wait(500);
    let refused = || Err(Refusal::Unauthorized("authentication is denied".into()));
    bench.submitted(RequestId(1), refused());
    bench.change(SHOP, &["/s"]);
    assert_eq!(bench.alarm(), ["unauthorized"]);
    let mut probes = 0;
    for _ in 0..600 {
        let calls = bench.wait(1_000);
        assert!(calls.len() <= 1);
        for call in calls {
            probes += 1;
            if let Command::Submit { request, .. } = call {
                bench.submitted(request, refused());
            }
        }
    }
    assert!((5..15).contains(&probes), "{probes} probes in ten minutes");
    let mut sent = bench.wait(300_000);
    let Some(Command::Submit { request, .. }) = sent.pop() else {
        panic!("no probe");
    };
    let next = bench.accept(request);
    assert_eq!(
        submits(&next).len(),
        1,
        "the other pipeline goes on at once"
    );
    assert_eq!(bench.alarm(), Vec::<&str>::new());
}

#[test]
fn a_forbidden_pipeline_stops_and_the_others_go_on() {
    let mut bench = Bench::new(&[WWW, SHOP]);
    bench.change(WWW, &["/a"]);
    bench.wait(500);
    bench.submitted(RequestId(1), Err(Refusal::Forbidden("no".into())));
    bench.change(SHOP, &["/s"]);
    assert_eq!(submits(&bench.wait(500)), ["2: /s"]);
    assert_eq!(bench.alarm(), ["forbidden"]);
    assert_eq!(submits(&bench.wait(1_000)), ["3: /a"]);
    bench.accept(RequestId(3));
    assert_eq!(bench.alarm(), Vec::<&str>::new());
}

#[test]
fn what_the_api_will_never_accept_is_failed_in_its_words() {
    let mut bench = Bench::new(&[WWW]);
    bench.change(WWW, &["/a"]);
    bench.wait(500);
    let step = bench.planner.handle(
        bench.now,
        Event::Submitted {
            request: RequestId(1),
            reply: Err(Refusal::Invalid("invalid argument(s)".into())),
        },
    );
    assert!(matches!(
        step.decisions.as_slice(),
        [Decision::Settled { outcome: Outcome::Failed, why, .. }] if why == "invalid argument(s)"
    ));
    assert!(bench.wait(600_000).is_empty());
}

#[test]
fn retry_after_is_honoured() {
    let mut bench = Bench::new(&[WWW]);
    bench.change(WWW, &["/a"]);
    bench.wait(500);
    let limited = Refusal::RateLimited {
        retry_after: Some(Duration::from_secs(20)),
    };
    bench.submitted(RequestId(1), Err(limited));
    assert!(bench.wait(19_999).is_empty());
    assert_eq!(submits(&bench.wait(1)), ["2: /a"]);
}

#[test]
fn a_batch_stays_open_while_a_scan_runs() {
    let mut bench = Bench::new(&[WWW]);
    let scanning = |running| Event::Scanning {
        pipeline: PipelineId::new(WWW),
        running,
    };
    bench.event(scanning(true));
    bench.change(WWW, &["/a"]);
    assert!(bench.wait(60_000).is_empty());
    bench.change(WWW, &["/b"]);
    let ended = bench.event(scanning(false));
    assert_eq!(
        submits(&ended),
        ["1: /a /b"],
        "max_wait has passed long ago"
    );
}

#[test]
fn pipelines_take_turns() {
    let mut bench = Bench::new(&[WWW, SHOP]);
    bench.many(WWW, 20);
    bench.many(SHOP, 10);
    let sent = bench.wait(500);
    let turns: Vec<&str> = sent
        .iter()
        .filter_map(|command| match command {
            Command::Submit { pipeline, .. } => Some(pipeline.as_str()),
            Command::Poll { .. } | Command::List { .. } => None,
        })
        .collect();
    assert_eq!(turns, [WWW, SHOP, WWW, SHOP]);
}

#[test]
fn a_request_of_unknown_outcome_is_sent_again_after_a_restart() {
    let open = |id: u64, remote: Option<&str>| OpenRequest {
        id: RequestId(id),
        pipeline: PipelineId::new(WWW),
        scope: Scope::Assets([(Asset::from_stored(&format!("/{id}")), Seq(id))].into()),
        remote_id: remote.map(str::to_owned),
        first_seen: at(9_000_000),
        opened: at(9_000_000),
        attempt: 0,
        overdue: false,
        api_since: None,
    };
    let unsettled = Unsettled {
        last_request: 2,
        requests: vec![open(1, None), open(2, Some("r2"))],
        ..Unsettled::default()
    };
    let (mut planner, step) =
        Planner::restore(LIMITS, vec![settings(WWW)], unsettled, 7, at(1_000));
    assert!(matches!(
        step.decisions.as_slice(),
        [Decision::Settled {
            request: RequestId(1),
            outcome: Outcome::Unsent,
            ..
        }]
    ));
    assert_eq!(planner.handle(at(1_000), Event::Wake).commands, []);
    let calls = planner.handle(at(2_000), Event::Wake).commands;
    assert_eq!(submits(&calls), ["3: /1"]);
    assert!(calls.contains(&Command::Poll {
        request: RequestId(2),
        remote_id: "r2".into()
    }));
}

#[test]
fn an_all_that_comes_to_nothing_after_a_restart_covers_again_what_it_covered() {
    let unsettled = Unsettled {
        last_request: 1,
        requests: vec![accepted(
            WWW,
            Scope::All {
                reason: AllReason::Rule,
                through: Seq(9),
            },
        )],
        ..Unsettled::default()
    };
    let (mut planner, _) = Planner::restore(LIMITS, vec![settings(WWW)], unsettled, 7, at(1_000));
    let mut decisions = Vec::new();
    for now in (1_000..60_000).step_by(100).map(at) {
        let step = planner.handle(now, Event::Wake);
        decisions.extend(step.decisions);
        let polled = |command: &Command| matches!(command, Command::Poll { .. });
        if step.commands.iter().any(polled) {
            let reply = Event::Polled {
                request: RequestId(1),
                reply: Ok(RemoteStatus::Error),
            };
            decisions.extend(planner.handle(now, reply).decisions);
        }
    }
    let through = decisions.iter().find_map(|decision| match decision {
        Decision::Open {
            scope: Scope::All { through, .. },
            ..
        } => Some(*through),
        _ => None,
    });
    assert_eq!(through, Some(Seq(9)), "{decisions:?}");
}

#[test]
fn an_older_all_that_may_have_been_sent_does_not_shorten_the_cool_down_after_a_start() {
    let all = Scope::All {
        reason: AllReason::Rule,
        through: Seq(1),
    };
    let doubtful = OpenRequest {
        remote_id: None,
        api_since: Some(at(1_000)),
        ..accepted(WWW, all)
    };
    let unsettled = Unsettled {
        last_request: 2,
        requests: vec![doubtful],
        last_all: [(PipelineId::new(WWW), at(100_000))].into(),
        ..Unsettled::default()
    };
    let (planner, _) = Planner::restore(LIMITS, vec![settings(WWW)], unsettled, 7, at(110_000));
    let mut bench = Bench {
        planner,
        now: at(110_000),
        seq: 1,
    };
    bench.many(WWW, 21);
    let sent = submits(&bench.wait(10_000));
    assert!(!sent.is_empty() && !sent[0].contains("all"), "{sent:?}");
}

mod batches;
mod calls;
mod doubt;
mod fairness;
mod follow;
mod limits;
mod nodes;
mod refusals;
mod tracking;
