//! How requests are followed to their end.

use super::*;
use crate::core::purge::Listed;

fn polls(commands: &[Command]) -> usize {
    let poll = |command: &&Command| matches!(command, Command::Poll { .. });
    commands.iter().filter(poll).count()
}

#[test]
fn the_first_question_comes_when_requests_are_usually_done() {
    let mut bench = Bench::new(&[WWW]);
    // Each takes 4 s; the first ones have to be asked for often.
    let mut asked = Vec::new();
    for round in 1..=6 {
        bench.change(WWW, &[&format!("/{round}")]);
        bench.wait(500);
        let request = RequestId(round);
        bench.accept(request);
        let (mut count, mut waited) = (0, 0);
        while !bench.view().settled() {
            waited += 100;
            count += polls(&bench.wait(100));
            let status = if waited < 4_000 {
                RemoteStatus::Pending
            } else {
                RemoteStatus::Done
            };
            bench.polled(request, Ok(status));
        }
        asked.push(count);
    }
    assert!(asked[0] >= 4, "{asked:?}");
    assert!(asked[5] <= 2, "{asked:?}");
}

#[test]
fn many_at_once_are_asked_for_with_one_list_and_those_it_does_not_show_alone() {
    let mut bench = Bench::new(&[WWW]);
    let limits = Limits {
        max_in_flight: 50,
        ..LIMITS
    };
    let (planner, _) = Planner::restore(
        limits,
        vec![PipelineSettings {
            all_above: None,
            ..settings(WWW)
        }],
        Unsettled::default(),
        7,
        Time::ZERO,
    );
    bench.planner = planner;
    bench.many(WWW, 40);
    assert_eq!(submits(&bench.wait(500)).len(), 8);
    for id in 1..=8 {
        bench.accept(RequestId(id));
    }
    let calls = bench.wait(500);
    let [
        Command::List {
            list,
            pipeline,
            page: 1,
        },
    ] = calls.as_slice()
    else {
        panic!("{calls:?}");
    };
    assert_eq!(pipeline.as_ref().map(PipelineId::as_str), Some(WWW));
    let requests = (1..=6)
        .map(|id| Listed {
            id: format!("r{id}"),
            pipeline: PipelineId::new(WWW),
            assets: Some([].into()),
            status: RemoteStatus::Done,
            created: None,
        })
        .collect();
    let reply = Ok(ListedPage { requests, total: 6 });
    let step = bench
        .planner
        .handle(bench.now, Event::Listed { list: *list, reply });
    let done = |decision: &&Decision| {
        matches!(
            decision,
            Decision::Settled {
                outcome: Outcome::Done,
                ..
            }
        )
    };
    assert_eq!(step.decisions.iter().filter(done).count(), 6);
    assert_eq!(polls(&step.commands), 2, "{step:?}");
}

#[test]
fn what_is_never_finished_is_sent_once_more_and_then_only_waited_for() {
    let mut bench = Bench::new(&[WWW]);
    bench.change(WWW, &["/a"]);
    assert_eq!(submits(&bench.wait(500)), ["1: /a"]);
    let mut sent = 1;
    let mut overdue = 0;
    let mut commands = bench.accept(RequestId(1));
    for _ in 0..5_000 {
        for command in std::mem::take(&mut commands) {
            match command {
                Command::Submit { request, .. } => {
                    sent += 1;
                    bench.accept(request);
                }
                Command::Poll { request, .. } => {
                    let step = bench.polled(request, Ok(RemoteStatus::Pending));
                    overdue += step.decisions.len();
                }
                Command::List { .. } => {}
            }
        }
        commands = bench.wait(1_000);
    }
    assert_eq!((sent, overdue), (2, 1));
    assert_eq!(bench.alarm(), ["overdue"]);
    commands = bench.wait(15_000);
    let [Command::Poll { request, .. }] = commands.as_slice() else {
        panic!("{commands:?}");
    };
    bench.polled(*request, Ok(RemoteStatus::Done));
    assert!(bench.view().settled(), "it is waited for all the same");
    assert_eq!(bench.alarm(), Vec::<&str>::new());
}

#[test]
fn a_question_from_before_the_time_is_no_proof_of_being_overdue() {
    let mut bench = Bench::new(&[WWW]);
    bench.change(WWW, &["/a"]);
    bench.wait(500);
    bench.accept(RequestId(1));
    assert_eq!(polls(&bench.wait(500)), 1);
    bench.now = bench.now.after(Duration::from_mins(11));
    let step = bench.polled(RequestId(1), Ok(RemoteStatus::Pending));
    assert!(step.decisions.is_empty(), "the question was asked long ago");
    assert_eq!(polls(&bench.wait(1_000)), 1);
    let step = bench.polled(RequestId(1), Ok(RemoteStatus::Pending));
    assert!(matches!(
        step.decisions.as_slice(),
        [Decision::Settled {
            outcome: Outcome::Overdue,
            ..
        }]
    ));
}

#[test]
fn requests_that_never_end_do_not_stop_all_others() {
    let mut bench = Bench::new(&[WWW]);
    bench.planner.limits.max_in_flight = 1;
    let never = OpenRequest {
        attempt: 1,
        overdue: true,
        ..accepted(WWW, one("/never"))
    };
    let flight = Flight::restored(never, bench.now);
    bench.planner.flights.insert(RequestId(1), flight);
    bench.planner.last_request = 1;
    bench.wait(700_000);
    bench.polled(RequestId(1), Ok(RemoteStatus::Pending));
    assert_eq!(bench.alarm(), ["overdue"]);
    bench.seq = 1;
    bench.change(WWW, &["/other"]);
    let step = bench
        .planner
        .handle(bench.now.after(Duration::from_secs(1)), Event::Wake);
    assert!(matches!(
        step.decisions.first(),
        Some(Decision::Settled {
            outcome: Outcome::Failed,
            ..
        })
    ));
    assert_eq!(submits(&step.commands), ["2: /other"]);
}

#[test]
fn an_api_that_answers_and_takes_nothing_is_tried_ever_more_gently() {
    let mut bench = Bench::new(&[WWW, SHOP]);
    bench.change(WWW, &["/a"]);
    bench.wait(500);
    bench.accept(RequestId(1));
    bench.change(SHOP, &["/b"]);
    let mut calls = bench.wait(500);
    let mut creates = 0;
    for _ in 0..600 {
        for call in std::mem::take(&mut calls) {
            match call {
                Command::Submit { request, .. } => {
                    creates += 1;
                    let down = Refusal::Transient("read only".into());
                    calls.extend(bench.submitted(request, Err(down)));
                }
                Command::Poll { request, .. } => {
                    let step = bench.polled(request, Ok(RemoteStatus::Pending));
                    calls.extend(step.commands);
                }
                Command::List { .. } => {}
            }
        }
        calls.extend(bench.wait(1_000));
    }
    assert!(creates < 20, "{creates} in ten minutes");
    assert_eq!(bench.alarm(), ["api"]);
}

#[test]
fn a_question_that_tries_the_api_counts_although_its_request_was_given_up_meanwhile() {
    let mut bench = Bench::new(&[WWW]);
    bench.planner.limits.max_in_flight = 1;
    let never = OpenRequest {
        attempt: 1,
        overdue: true,
        ..accepted(WWW, one("/never"))
    };
    let mut flight = Flight::restored(never, bench.now);
    flight.stuck = true;
    bench.planner.flights.insert(RequestId(1), flight);
    bench.planner.last_request = 1;
    assert_eq!(polls(&bench.wait(500)), 1);
    bench.polled(RequestId(1), Err(Refusal::Transient("down".into())));
    assert_eq!(
        polls(&bench.wait(15_000)),
        1,
        "it tries whether the API is back"
    );
    // What others wait for is more than it.
    bench.change(WWW, &["/a"]);
    assert!(bench.wait(500).is_empty(), "nobody knows yet");
    assert_eq!(bench.view().pipelines[&PipelineId::new(WWW)].in_flight, 0);
    let step = bench.polled(RequestId(1), Ok(RemoteStatus::Pending));
    assert_eq!(submits(&step.commands), ["2: /a"]);
}

#[test]
fn trouble_with_the_api_is_an_alarm_while_something_waits_for_it() {
    let mut bench = Bench::new(&[WWW]);
    bench.change(WWW, &["/a"]);
    let mut calls = bench.wait(500);
    for _ in 0..60 {
        for call in calls {
            if let Command::Submit { request, .. } = call {
                bench.submitted(request, Err(Refusal::Transient("down".into())));
            }
        }
        calls = bench.wait(1_000);
    }
    assert!(calls.is_empty(), "it waits: {calls:?}");
    assert!(bench.alarm().contains(&"api"));
    bench.planner.drop_queue(&PipelineId::new(WWW));
    bench.wait(0);
    assert_eq!(bench.alarm(), Vec::<&str>::new());
}
