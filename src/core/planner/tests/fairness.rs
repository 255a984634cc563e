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
    assert!(creates >= 190, "{creates} and {others}");
    assert!(others >= 8, "{creates} and {others}");
}

/// When `/clock.json` was purged, in milliseconds: it changes every `every` for so long.
fn purges_of_a_clock(bench: &mut Bench, every: u64, lasts: u64) -> Vec<u64> {
    let mut sent = Vec::new();
    for millis in (0..lasts + 60_000).step_by(100) {
        if millis < lasts && millis % every == 0 {
            bench.change(WWW, &["/clock.json"]);
        }
        for call in bench.wait(100) {
            if let Command::Submit { request, .. } = call {
                sent.push(millis + 100);
                bench.submitted(request, Ok((format!("r{request}"), RemoteStatus::Done)));
            }
        }
    }
    assert!(bench.view().settled());
    sent
}

#[test]
fn an_asset_that_changes_all_the_time_is_purged_once_in_hot_interval_and_its_last_change_soon() {
    for every in [1_000, 2_000, 4_000, 6_500] {
        let mut bench = Bench::new(&[WWW]);
        let lasts = 600_000;
        let sent = purges_of_a_clock(&mut bench, every, lasts);
        let gaps: Vec<u64> = sent.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(gaps.iter().all(|gap| *gap <= 10_600), "{every}: {gaps:?}");
        // The rest after the last change may end the interval early.
        let late = &gaps[30..gaps.len() - 1];
        assert!(late.iter().all(|gap| *gap >= 10_000), "{every}: {late:?}");
        let last_changed = (lasts - 1) / every * every;
        let last = *sent.last().unwrap();
        assert!(last > last_changed, "{every}: the last change is purged");
        assert!(last - last_changed <= 10_600, "{every}: {last}");
    }
}

#[test]
fn a_hot_asset_that_has_rested_is_purged_at_once() {
    let mut bench = Bench::new(&[WWW]);
    purges_of_a_clock(&mut bench, 1_000, 300_000);
    bench.change(WWW, &["/clock.json"]);
    assert_eq!(submits(&bench.wait(500)).len(), 1);
}

#[test]
fn deploys_that_follow_each_other_are_not_held_back() {
    for (every, lasts) in [(4_400, 35_000), (5_000, 60_000), (600, 4_800)] {
        let mut bench = Bench::new(&[WWW]);
        let sent = purges_of_a_clock(&mut bench, every, lasts);
        let wanted: Vec<u64> = (0..lasts)
            .step_by(usize::try_from(every).unwrap())
            .map(|at| at + 500)
            .collect();
        assert_eq!(sent, wanted);
    }
}

#[test]
fn without_a_hot_interval_nothing_is_held_back() {
    let mut bench = Bench::new(&[WWW]);
    let off = PipelineSettings {
        hot_interval: None,
        ..settings(WWW)
    };
    (bench.planner, _) = Planner::restore(LIMITS, vec![off], Unsettled::default(), 7, bench.now);
    let sent = purges_of_a_clock(&mut bench, 1_000, 120_000);
    assert_eq!(sent.len(), 120);
}

#[test]
fn a_hot_asset_is_shown_and_holds_no_other_back() {
    let mut bench = Bench::new(&[WWW]);
    for _ in 0..120 {
        bench.change(WWW, &["/clock.json"]);
        for call in bench.wait(1_000) {
            if let Command::Submit { request, .. } = call {
                bench.submitted(request, Ok((format!("r{request}"), RemoteStatus::Done)));
            }
        }
    }
    let view = bench.view();
    let hot = &view.pipelines[&PipelineId::new(WWW)].hot;
    assert_eq!(hot.len(), 1);
    assert_eq!(
        (hot[0].asset.as_str(), hot[0].every_seconds),
        ("/clock.json", 10)
    );
    bench.change(WWW, &["/other"]);
    let sent = submits(&bench.wait(500));
    assert!(sent.iter().any(|sent| sent.contains("/other")), "{sent:?}");
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
