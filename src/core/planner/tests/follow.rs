//! What follows on purges: which are marked for it, and how a purge that is repeated is sent.

use super::*;

fn bench() -> Bench {
    let mut bench = Bench::new(&[WWW]);
    let settings = PipelineSettings {
        follow_up: true,
        ..settings(WWW)
    };
    let (planner, _) =
        Planner::restore(LIMITS, vec![settings], Unsettled::default(), 7, Time::ZERO);
    bench.planner = planner;
    bench
}

/// The requests that are marked.
fn marked(step: &Step) -> Vec<u64> {
    let marked = step.decisions.iter().filter_map(|decision| match decision {
        Decision::Follow { request } => Some(request.0),
        _ => None,
    });
    marked.collect()
}

#[test]
fn what_is_final_is_marked_with_its_settlement_and_nothing_else_is() {
    let mut bench = bench();
    bench.change(WWW, &["/a"]);
    bench.wait(500);
    let step = bench.finish(RequestId(1), RemoteStatus::Error);
    assert_eq!(marked(&step), Vec::<u64>::new(), "it is sent again");
    bench.wait(10_000);
    let step = bench.finish(RequestId(2), RemoteStatus::Done);
    assert!(matches!(step.decisions[0], Decision::Settled { .. }));
    assert_eq!(marked(&step), [2]);
    bench.change(WWW, &["/b"]);
    bench.wait(500);
    let reply = Err(Refusal::Invalid("no".into()));
    let request = RequestId(3);
    let step = bench
        .planner
        .handle(bench.now, Event::Submitted { request, reply });
    assert_eq!(marked(&step), [3], "who waits for it has to know");

    let mut plain = Bench::new(&[WWW]);
    plain.change(WWW, &["/a"]);
    plain.wait(500);
    let step = plain.finish(RequestId(1), RemoteStatus::Done);
    assert_eq!(marked(&step), Vec::<u64>::new());
}

#[test]
fn a_repeated_purge_is_no_person_who_waits() {
    let mut bench = bench();
    let again = |bench: &mut Bench, target| Change {
        again: true,
        kind: Kind::Asked,
        ..bench.row(WWW, target, Source::Manual)
    };
    let asset = again(&mut bench, Target::Asset(Asset::from_stored("/a")));
    assert!(bench.event(Event::Changes(vec![asset])).is_empty());
    assert_eq!(
        submits(&bench.wait(500)),
        ["1: /a"],
        "it waits for its batch"
    );
    let all = again(&mut bench, Target::All);
    let sent = bench.event(Event::Changes(vec![all]));
    assert_eq!(submits(&sent), ["2: all again"], "nothing to gather");
}

#[test]
fn what_ends_while_its_pipeline_is_not_configured_is_marked_for_its_return() {
    let unsettled = Unsettled {
        requests: vec![accepted(SHOP, one("/a"))],
        ..Unsettled::default()
    };
    let mut bench = Bench::new(&[]);
    (bench.planner, _) = Planner::restore(LIMITS, vec![settings(WWW)], unsettled, 7, at(0));
    bench.wait(500);
    let step = bench.polled(RequestId(1), Ok(RemoteStatus::Done));
    assert_eq!(marked(&step), [1]);
}
