//! Who goes first, and how often.

use super::*;

fn pipelines_of(commands: &[Command]) -> Vec<&str> {
    commands
        .iter()
        .filter_map(|command| match command {
            Command::Submit { pipeline, .. } => Some(pipeline.as_str()),
            Command::Poll { .. } | Command::List { .. } => None,
        })
        .collect()
}

#[test]
fn one_with_a_large_backlog_leaves_room_for_others() {
    let mut bench = Bench::new(&[WWW, SHOP]);
    bench.many(WWW, 20);
    let sent = bench.wait(500);
    assert_eq!(
        pipelines_of(&sent),
        [WWW; 3],
        "one of four places stays free"
    );
    bench.many(SHOP, 20);
    assert_eq!(pipelines_of(&bench.wait(500)), [SHOP]);
    // Three of four are the one's: whatever becomes free is the other's, up to a half.
    let next = bench.submitted(RequestId(1), Ok(("r1".into(), RemoteStatus::Done)));
    assert_eq!(pipelines_of(&next), [SHOP]);
    let next = bench.submitted(RequestId(4), Ok(("r4".into(), RemoteStatus::Done)));
    assert_eq!(pipelines_of(&next), [SHOP]);
    let next = bench.submitted(RequestId(2), Ok(("r2".into(), RemoteStatus::Done)));
    assert_eq!(pipelines_of(&next), [WWW]);
}

#[test]
fn who_waits_for_another_to_settle_does_not_wake_the_engine() {
    let mut bench = Bench::new(&[WWW, SHOP]);
    bench.planner.limits.max_in_flight = 3;
    bench.many(WWW, 20);
    bench.many(SHOP, 20);
    let sent = bench.wait(500);
    assert_eq!(
        pipelines_of(&sent),
        [WWW, SHOP],
        "none has more than half of three"
    );
    assert_eq!(bench.planner.next_wake(bench.now), None);
}

#[test]
fn polls_get_their_turn_in_a_long_backlog_and_do_not_starve_it() {
    let mut bench = Bench::new(&[WWW]);
    bench.planner.limits.max_in_flight = 1_000;
    let Some(www) = bench.planner.pipelines.get_mut(&PipelineId::new(WWW)) else {
        panic!("it is there");
    };
    www.settings.all_above = None;
    bench.many(WWW, 1_000);
    let (mut creates, mut others) = (0, 0);
    for _ in 0..200 {
        for call in bench.wait(100) {
            match call {
                Command::Submit { request, .. } => {
                    creates += 1;
                    bench.accept(request);
                }
                Command::Poll { request, .. } => {
                    others += 1;
                    bench.polled(request, Ok(RemoteStatus::Pending));
                }
                Command::List { list, .. } => {
                    others += 1;
                    let reply = Ok(ListedPage::default());
                    bench.event(Event::Listed { list, reply });
                }
            }
        }
    }
    assert!(creates >= 120, "{creates} and {others}");
    assert!(others >= 30, "{creates} and {others}");
}

#[test]
fn an_asset_that_changes_all_the_time_is_purged_less_and_less_often_and_its_last_change_always() {
    let mut bench = Bench::new(&[WWW]);
    let mut sent = Vec::new();
    let mut last_changed = bench.now;
    for second in 0..1_200 {
        if second < 600 {
            bench.change(WWW, &["/clock.json"]);
            last_changed = bench.now;
        }
        for call in bench.wait(1_000) {
            if let Command::Submit { request, .. } = call {
                sent.push(bench.now);
                bench.submitted(request, Ok((format!("r{request}"), RemoteStatus::Done)));
            }
        }
        if second == 300 {
            let view = bench.view();
            let hot = &view.pipelines[&PipelineId::new(WWW)].hot;
            assert_eq!(hot.len(), 1);
            assert_eq!(hot[0].asset, "/clock.json");
            bench.change(WWW, &["/other"]);
        }
    }
    assert!(sent.len() < 15, "{} purges", sent.len());
    assert!(bench.view().settled());
    assert!(sent.last().is_some_and(|at| *at > last_changed));
}

#[test]
fn a_person_does_not_wait_for_a_hot_asset() {
    let mut bench = Bench::new(&[WWW]);
    for _ in 0..60 {
        bench.change(WWW, &["/clock.json"]);
        for call in bench.wait(1_000) {
            if let Command::Submit { request, .. } = call {
                bench.submitted(request, Ok((format!("r{request}"), RemoteStatus::Done)));
            }
        }
    }
    let target = Target::Asset(Asset::from_stored("/clock.json"));
    let row = bench.row(WWW, target, Source::Manual);
    let sent = bench.event(Event::Changes(vec![row]));
    assert_eq!(submits(&sent).len(), 1);
}

#[test]
fn who_asks_again_and_again_keeps_no_pipeline_from_its_turn() {
    let mut bench = Bench::new(&["a", "b", "c"]);
    bench.planner.limits.max_in_flight = 1;
    for other in ["b", "c"] {
        bench.many(other, 20);
    }
    let mut sent = bench.wait(500);
    let mut turns = Vec::new();
    for _ in 0..8 {
        // A person asks for more while one is in flight.
        let target = Target::Asset(Asset::from_stored("/asked"));
        let asked = bench.row("a", target, Source::Manual);
        bench.event(Event::Changes(vec![asked]));
        let [
            Command::Submit {
                request, pipeline, ..
            },
        ] = sent.as_slice()
        else {
            panic!("{sent:?}");
        };
        turns.push(pipeline.as_str().to_owned());
        let request = *request;
        let reply = Ok((format!("r{request}"), RemoteStatus::Done));
        sent = bench.submitted(request, reply);
        if pipelines_of(&sent) == ["a"] {
            let Some(Command::Submit { request, .. }) = sent.first() else {
                panic!("{sent:?}");
            };
            let request = *request;
            let reply = Ok((format!("r{request}"), RemoteStatus::Done));
            sent = bench.submitted(request, reply);
        }
    }
    assert_eq!(turns, ["b", "c", "b", "c", "b", "c", "b", "c"]);
}
