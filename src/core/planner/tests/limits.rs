//! What the API takes: how fast, how much, and which assets.

use super::*;
use crate::core::pause::{Holder, Pause};

fn invalid() -> Result<(String, RemoteStatus), Refusal> {
    Err(Refusal::Invalid("invalid argument(s)".into()))
}

/// An API that takes at most so many assets, and one of them never.
struct Fussy {
    most: usize,
    bad: &'static str,
}

impl Fussy {
    /// Answers everything until nothing is sent any more; tells what was sent and how it ended.
    fn answer(&self, bench: &mut Bench, mut commands: Vec<Command>) -> (Vec<String>, Vec<String>) {
        let (mut sent, mut failed) = (Vec::new(), Vec::new());
        while let Some(command) = commands.pop() {
            let Command::Submit { request, scope, .. } = command else {
                panic!("{command:?}");
            };
            let Scope::Assets(assets) = scope else {
                panic!("{scope:?}");
            };
            let names: Vec<&str> = assets.keys().map(Asset::as_str).collect();
            sent.push(names.join(" "));
            let takes = names.len() <= self.most && !names.contains(&self.bad);
            let reply = if takes {
                Ok((format!("r{request}"), RemoteStatus::Done))
            } else {
                invalid()
            };
            let event = Event::Submitted { request, reply };
            let step = bench.planner.handle(bench.now, event);
            for decision in &step.decisions {
                if let Decision::Settled {
                    outcome: Outcome::Failed,
                    ..
                } = decision
                {
                    failed.push(names.join(" "));
                }
            }
            commands.extend(step.commands);
        }
        (sent, failed)
    }
}

#[test]
fn a_bad_asset_is_found_and_fails_alone() {
    let mut bench = Bench::new(&[WWW]);
    bench.change(WWW, &["/a", "/b", "/c", "/d", "/e"]);
    let commands = bench.wait(500);
    let fussy = Fussy {
        most: 100,
        bad: "/b",
    };
    let (sent, failed) = fussy.answer(&mut bench, commands);
    assert_eq!(failed, ["/b"]);
    assert!(sent.len() <= 7, "{sent:?}");
    let view = bench.view();
    assert!(view.settled());
    let view = &view.pipelines[&PipelineId::new(WWW)];
    assert_eq!(view.learned_max_assets, None, "it was not too large");
}

#[test]
fn a_batch_that_is_too_large_teaches_the_size_and_more_is_tried_later() {
    let mut bench = Bench::new(&[WWW]);
    bench.many(WWW, 10);
    let commands = bench.wait(500);
    let fussy = Fussy { most: 3, bad: "" };
    let (sent, failed) = fussy.answer(&mut bench, commands);
    assert_eq!(failed, Vec::<String>::new());
    let largest = |sent: &[String]| sent.iter().map(|names| names.split(' ').count()).max();
    assert_eq!(largest(&sent), Some(5));
    let learned = |bench: &Bench| bench.view().pipelines[&PipelineId::new(WWW)].learned_max_assets;
    assert_eq!(learned(&bench), Some(3));
    bench.many(WWW, 10);
    let commands = bench.wait(500);
    let (sent, _) = fussy.answer(&mut bench, commands);
    assert_eq!(largest(&sent), Some(3));
    // It is tried once an hour whether more has become possible.
    bench.wait(3_600_000);
    bench.many(WWW, 10);
    let commands = bench.wait(500);
    let (sent, _) = Fussy { most: 9, bad: "" }.answer(&mut bench, commands);
    assert_eq!(largest(&sent), Some(5));
    assert_eq!(learned(&bench), None);
}

#[test]
fn a_429_lowers_the_rate_once_however_many_calls_it_hit_and_says_so() {
    let mut bench = Bench::new(&[WWW]);
    bench.many(WWW, 20);
    assert_eq!(bench.wait(500).len(), 4);
    let rate = |bench: &Bench| bench.view().api_rate_limit;
    assert_eq!(rate(&bench), 10_000);
    for id in 1..=4 {
        let reply = Err(Refusal::RateLimited { retry_after: None });
        let event = Event::Submitted {
            request: RequestId(id),
            reply,
        };
        let step = bench.planner.handle(bench.now, event);
        let learns = step
            .decisions
            .iter()
            .filter(|decision| matches!(decision, Decision::Learn(_)));
        assert_eq!(learns.count(), usize::from(id == 1));
    }
    assert_eq!(rate(&bench), 5_000);
}

#[test]
fn a_learned_rate_and_size_outlive_a_restart() {
    let learned = vec![
        Learned {
            limit: Limit::Rate,
            value: 2_000,
            at: at(1_000),
        },
        Learned {
            limit: Limit::MaxAssets(PipelineId::new(WWW)),
            value: 2,
            at: at(1_000),
        },
    ];
    let unsettled = Unsettled {
        learned,
        ..Unsettled::default()
    };
    let (planner, _) = Planner::restore(LIMITS, vec![settings(WWW)], unsettled, 7, at(2_000));
    let view = planner.view(at(2_000));
    assert_eq!(view.api_rate_limit, 2_000);
    let www = &view.pipelines[&PipelineId::new(WWW)];
    assert_eq!(www.learned_max_assets, Some(2));
}

#[test]
fn a_backlog_that_drains_too_slowly_becomes_one_all() {
    let slow = || {
        let limits = Limits {
            requests_per_second: 1,
            burst: 1,
            max_in_flight: 2,
            ..LIMITS
        };
        let settings = PipelineSettings {
            all_above: None,
            all_after: Some(Duration::from_mins(1)),
            ..settings(WWW)
        };
        let (planner, _) =
            Planner::restore(limits, vec![settings], Unsettled::default(), 7, Time::ZERO);
        Bench {
            planner,
            now: at(10_000),
            seq: 0,
        }
    };
    // One request in 10 s: 5 assets in 10 s.
    let drain = |bench: &mut Bench| {
        let mut all = Vec::new();
        for second in 0..40 {
            let calls = bench.wait(1_000);
            all.extend(
                submits(&calls)
                    .into_iter()
                    .filter(|sent| sent.contains("all")),
            );
            for call in calls {
                if let Command::Submit { request, .. } = call {
                    bench.submitted(request, Ok((format!("r{request}"), RemoteStatus::Pending)));
                } else if let Command::Poll { request, .. } = call {
                    let slow = if second % 10 == 9 {
                        RemoteStatus::Done
                    } else {
                        RemoteStatus::Pending
                    };
                    bench.polled(request, Ok(slow));
                }
            }
        }
        all
    };
    let mut bench = slow();
    bench.many(WWW, 300);
    let all = drain(&mut bench);
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].ends_with("all backlog"), "{all:?}");
    let mut bench = slow();
    bench.many(WWW, 12);
    assert_eq!(drain(&mut bench), Vec::<String>::new(), "that drains soon");
}

#[test]
fn an_outage_is_no_slow_backlog() {
    let mut bench = Bench::new(&[WWW]);
    let mut settings = settings(WWW);
    settings.all_after = Some(Duration::from_mins(1));
    settings.all_above = None;
    (bench.planner, _) =
        Planner::restore(LIMITS, vec![settings], Unsettled::default(), 7, bench.now);
    bench.many(WWW, 40);
    let mut calls = bench.wait(500);
    for _ in 0..600 {
        for call in calls {
            if let Command::Submit { request, .. } = call {
                bench.submitted(request, Err(Refusal::Transient("down".into())));
            }
        }
        calls = bench.wait(1_000);
        assert!(!submits(&calls).iter().any(|sent| sent.contains("all")));
    }
}

fn capped(all_above: Option<usize>) -> Bench {
    let mut bench = Bench::new(&[]);
    let settings = PipelineSettings {
        all_above,
        queue_cap: 30,
        ..settings(WWW)
    };
    let (planner, _) =
        Planner::restore(LIMITS, vec![settings], Unsettled::default(), 7, Time::ZERO);
    bench.planner = planner;
    let forever = Pause::begin(
        PipelineId::new(WWW),
        Holder::Operator,
        String::new(),
        None,
        bench.now,
    );
    bench.planner.pause(forever);
    bench.wait(0);
    bench
}

#[test]
fn a_queue_at_its_cap_becomes_one_all() {
    let mut bench = capped(Some(20));
    bench.many(WWW, 30);
    let queued = |bench: &Bench| {
        let www = &bench.view().pipelines[&PipelineId::new(WWW)];
        (www.queued_assets, www.queued_all)
    };
    assert_eq!(queued(&bench), (30, None), "it is paused");
    bench.change(WWW, &["/more"]);
    assert_eq!(queued(&bench), (0, Some(AllReason::QueueCap)));
    assert_eq!(bench.alarm(), Vec::<&str>::new());
    let www = PipelineId::new(WWW);
    bench.planner.resume(&www, &Holder::Operator, bench.now);
    assert_eq!(submits(&bench.wait(0)), ["1: all queue_cap"]);
}

#[test]
fn what_a_person_asked_for_stays_that_when_the_queue_reaches_its_cap() {
    let mut bench = capped(Some(20));
    bench.all(WWW, Source::Manual);
    bench.many(WWW, 31);
    let www = &bench.view().pipelines[&PipelineId::new(WWW)];
    assert_eq!(
        (www.queued_assets, www.queued_all),
        (0, Some(AllReason::Manual))
    );
}

#[test]
fn where_everything_is_never_purged_a_full_queue_raises_an_alarm_until_there_is_room() {
    let mut bench = capped(None);
    let www = PipelineId::new(WWW);
    bench.many(WWW, 29);
    assert_eq!(bench.alarm(), Vec::<&str>::new());
    // What was on its way when it became full has its place.
    bench.change(WWW, &["/more", "/and more"]);
    assert_eq!(bench.view().pipelines[&www].queued_assets, 31);
    assert_eq!(bench.view().pipelines[&www].queued_all, None);
    assert_eq!(bench.alarm(), ["queue_full"]);
    let told = bench.planner.queued();
    assert_eq!((told.through, told.assets[&www]), (Seq(31), 31));
    bench.planner.resume(&www, &Holder::Operator, bench.now);
    assert_eq!(submits(&bench.wait(0)).len(), 4);
    assert_eq!(bench.alarm(), Vec::<&str>::new());
}

#[test]
fn a_scan_that_fills_the_queue_holds_its_batch_open_no_longer() {
    let mut bench = capped(None);
    let www = PipelineId::new(WWW);
    bench.planner.resume(&www, &Holder::Operator, bench.now);
    bench.event(Event::Scanning {
        pipeline: www,
        running: true,
    });
    bench.many(WWW, 29);
    assert!(bench.wait(10_000).is_empty());
    assert_eq!(submits(&bench.change(WWW, &["/more"])).len(), 4);
}

#[test]
fn a_pause_is_no_slow_backlog() {
    let www = PipelineId::new(WWW);
    for (length, silent) in [
        (None, false),
        (None, true),
        (Some(60), false),
        (Some(60), true),
    ] {
        let mut bench = Bench::new(&[WWW]);
        let settings = PipelineSettings {
            all_above: None,
            all_after: Some(Duration::from_mins(1)),
            ..settings(WWW)
        };
        (bench.planner, _) =
            Planner::restore(LIMITS, vec![settings], Unsettled::default(), 7, bench.now);
        let length = length.map(Duration::from_secs);
        let pause = Pause::begin(
            www.clone(),
            Holder::Operator,
            String::new(),
            length,
            bench.now,
        );
        bench.planner.pause(pause);
        bench.many(WWW, 40);
        bench.wait(500);
        for _ in 0..59 {
            if silent {
                bench.now = bench.now.after(Duration::from_secs(1));
            } else {
                assert_eq!(bench.wait(1_000), []);
            }
        }
        bench.now = bench.now.after(Duration::from_millis(500));
        if length.is_none() {
            bench.planner.resume(&www, &Holder::Operator, bench.now);
        }
        let sent = submits(&bench.wait(0));
        assert_eq!(sent.len(), 4, "{length:?} {silent}: {sent:?}");
    }
}
