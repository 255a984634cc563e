//! What the API refuses and may take later: nothing fails, nothing is learned, no other pipeline waits.

use super::*;

/// Answers every request with the same refusal for so long, then takes everything; tells how many
/// requests were refused.
fn refuses(bench: &mut Bench, refusal: &Refusal, seconds: u64, first: Vec<Command>) -> usize {
    let end = bench.now.after(Duration::from_secs(seconds));
    let (mut commands, mut refused) = (first, 0);
    for _ in 0..6_000 {
        for command in std::mem::take(&mut commands) {
            let (now, event) = match command {
                Command::Submit { request, .. } if bench.now < end => {
                    refused += 1;
                    let reply = Err(refusal.clone());
                    (bench.now, Event::Submitted { request, reply })
                }
                Command::Submit { request, .. } => {
                    let reply = Ok((format!("r{request}"), RemoteStatus::Done));
                    (bench.now, Event::Submitted { request, reply })
                }
                other => panic!("{other:?}"),
            };
            let step = bench.planner.handle(now, event);
            for decision in &step.decisions {
                assert!(
                    !matches!(
                        decision,
                        Decision::Settled {
                            outcome: Outcome::Failed,
                            ..
                        } | Decision::Learn(Learned {
                            limit: Limit::MaxAssets(_),
                            ..
                        })
                    ),
                    "{decision:?}"
                );
            }
            commands.extend(step.commands);
        }
        if bench.view().settled() {
            return refused;
        }
        commands.extend(bench.wait(20));
    }
    panic!("it does not settle: {:?}", bench.view());
}

fn passing() -> [Refusal; 8] {
    let why = || "because".to_owned();
    [
        Refusal::RateLimited { retry_after: None },
        Refusal::Transient(why()),
        Refusal::Unauthorized(why()),
        Refusal::Forbidden(why()),
        Refusal::Unready(why()),
        Refusal::Unclear(why()),
        Refusal::NotFound(why()),
        Refusal::UnknownOutcome(why()),
    ]
}

#[test]
fn whatever_passes_in_seconds_is_purged_seconds_later() {
    for refusal in passing() {
        let mut bench = Bench::new(&[WWW]);
        let began = bench.now;
        bench.many(WWW, 20);
        let first = bench.wait(500);
        assert_eq!(first.len(), 4);
        let refused = refuses(&mut bench, &refusal, 5, first);
        let took = bench.now.since(began);
        assert!(took < Duration::from_secs(20), "{refusal:?}: {took:?}");
        assert!((4..40).contains(&refused), "{refusal:?}: {refused} calls");
        assert_eq!(bench.alarm(), Vec::<&str>::new(), "{refusal:?}");
        let www = &bench.view().pipelines[&PipelineId::new(WWW)];
        assert_eq!(www.learned_max_assets, None);
    }
}

#[test]
fn requests_that_are_refused_together_count_as_one_refusal() {
    let mut bench = Bench::new(&[WWW]);
    bench.many(WWW, 20);
    assert_eq!(bench.wait(500).len(), 4);
    bench.now = bench.now.after(Duration::from_millis(30));
    for id in 1..=4 {
        let refusal = Refusal::Unready("locked".into());
        assert_eq!(bench.submitted(RequestId(id), Err(refusal)), []);
    }
    assert_eq!(bench.alarm(), ["unready"]);
    assert_eq!(
        submits(&bench.wait(1_000)).len(),
        1,
        "one tries, a second later"
    );
}

#[test]
fn what_is_not_ready_waits_and_the_others_go_on() {
    let mut bench = Bench::new(&[WWW, SHOP]);
    bench.change(WWW, &["/a"]);
    bench.wait(500);
    bench.submitted(
        RequestId(1),
        Err(Refusal::Unready("resource is locked".into())),
    );
    bench.change(SHOP, &["/s"]);
    assert_eq!(submits(&bench.wait(500)), ["2: /s"]);
    let alarms = &bench.view().pipelines[&PipelineId::new(WWW)].alarms;
    assert_eq!(alarms.len(), 1);
    assert!(alarms[0].text.contains("resource is locked"), "{alarms:?}");
    // When nothing waits for it, there is nothing to do.
    bench.planner.drop_queue(&PipelineId::new(WWW));
    assert_eq!(bench.alarm(), Vec::<&str>::new());
}

#[test]
fn what_is_refused_without_a_reason_holds_up_nothing_else_and_says_so() {
    let mut bench = Bench::new(&[WWW]);
    bench.change(WWW, &["/poison"]);
    let mut calls = bench.wait(500);
    let mut tries = 0;
    for _ in 0..600 {
        for call in calls {
            if let Command::Submit { request, .. } = call {
                tries += 1;
                let refusal = Refusal::Unclear("400: no".into());
                bench.submitted(request, Err(refusal));
            }
        }
        calls = bench.wait(1_000);
    }
    assert!((5..15).contains(&tries), "{tries} in ten minutes");
    let alarms = &bench.view().pipelines[&PipelineId::new(WWW)].alarms;
    assert_eq!(bench.alarm(), ["fruitless"]);
    assert!(alarms[0].text.contains("400: no"), "{alarms:?}");
    bench.change(WWW, &["/fine"]);
    let sent = submits(&bench.wait(500));
    assert!(sent.iter().any(|sent| sent.contains("/fine")), "{sent:?}");
}

#[test]
fn a_purge_of_everything_is_never_refused_for_its_assets() {
    for refusal in [
        Refusal::Invalid("invalid argument(s)".into()),
        Refusal::Unclear("bad request".into()),
    ] {
        let mut bench = Bench::new(&[WWW]);
        let sent = bench.all(WWW, Source::Manual);
        assert_eq!(submits(&sent), ["1: all manual"]);
        refuses(&mut bench, &refusal, 5, sent);
    }
}

#[test]
fn a_half_that_is_refused_for_another_reason_teaches_no_size() {
    let mut bench = Bench::new(&[WWW]);
    bench.change(WWW, &["/a", "/b", "/c", "/d"]);
    bench.wait(500);
    let halves = bench.submitted(RequestId(1), Err(Refusal::Invalid("assets".into())));
    assert_eq!(submits(&halves), ["2: /a /b", "3: /c /d"]);
    bench.submitted(RequestId(2), Err(Refusal::Unclear("400".into())));
    bench.accept(RequestId(3));
    let again = bench.wait(2_000);
    let again = again.iter().find_map(|command| match command {
        Command::Submit { request, .. } => Some(*request),
        _ => None,
    });
    bench.accept(again.expect("it is sent again"));
    let www = &bench.view().pipelines[&PipelineId::new(WWW)];
    assert_eq!(www.learned_max_assets, None);
}

/// The API takes what is sent, and is done with it at once; tells whether everything was purged.
fn takes(bench: &mut Bench, mut commands: Vec<Command>) -> bool {
    let mut all = false;
    while let Some(command) = commands.pop() {
        if let Command::Submit { request, scope, .. } = command {
            all |= matches!(scope, Scope::All { .. });
            let reply = Ok((format!("r{request}"), RemoteStatus::Done));
            commands.extend(bench.submitted(request, reply));
        }
    }
    all
}

/// Purges of everything at these seconds, each asked for by a delivery, and when each was sent.
fn deliveries(bench: &mut Bench, at_seconds: &[u64]) -> Vec<u64> {
    let began = bench.now;
    let mut sent = Vec::new();
    for second in 0..2_400 {
        let mut calls = bench.wait(1_000);
        if at_seconds.contains(&second) {
            calls.extend(bench.all(WWW, Source::Webhook));
        }
        if takes(bench, calls) {
            sent.push(bench.now.since(began).as_secs());
        }
    }
    sent
}

#[test]
fn a_deploy_waits_for_the_cool_down_once_however_often_deliveries_asked_before() {
    let mut bench = Bench::new(&[WWW]);
    // A lint run and a deploy for each of four merges.
    let asked = [0, 40, 75, 115, 150, 190, 225, 265];
    let sent = deliveries(&mut bench, &asked);
    for at in asked {
        let purged = sent.iter().find(|sent| **sent > at);
        let waited = purged.expect("it is purged") - at;
        assert!(
            waited <= 62,
            "asked at {at}, purged {waited} s later: {sent:?}"
        );
    }
}

#[test]
fn what_edgepurge_decides_itself_does_not_delay_what_a_delivery_asks_for() {
    let mut bench = Bench::new(&[WWW]);
    // Five escalations in a row: the next would wait for a quarter of an hour.
    for minutes in [1, 2, 4, 8, 0] {
        bench.many(WWW, 30);
        let calls = bench.wait(500);
        assert!(takes(&mut bench, calls));
        let calls = bench.wait(minutes * 60_000);
        takes(&mut bench, calls);
    }
    let sent = deliveries(&mut bench, &[1]);
    assert!(sent[0] <= 62, "{sent:?}");
}

#[test]
fn the_alarm_names_who_asks_so_often_and_ends_when_they_stop() {
    let mut bench = Bench::new(&[WWW]);
    for _ in 0..4 {
        let mut row = bench.row(WWW, Target::All, Source::Webhook);
        row.detail = "/hooks/www (lint)".into();
        bench.event(Event::Changes(vec![row]));
        let calls = bench.wait(500);
        assert!(takes(&mut bench, calls));
        assert!(bench.wait(60_000).is_empty());
    }
    let alarms = &bench.view().pipelines[&PipelineId::new(WWW)].alarms;
    assert_eq!(bench.alarm(), ["all_repeats"]);
    assert!(alarms[0].text.contains("/hooks/www (lint)"), "{alarms:?}");
    bench.wait(600_000);
    assert_eq!(bench.alarm(), Vec::<&str>::new());
}
