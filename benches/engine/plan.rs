//! The planner alone: a large backlog, and how many calls it makes.

use std::time::{Duration, Instant};

use edgepurge::core::asset::Asset;
use edgepurge::core::change::{Change, Kind, PipelineId, Seq, Source, Target};
use edgepurge::core::planner::{Command, Event, Limits, Planner};
use edgepurge::core::purge::{Listed, ListedPage, RemoteStatus, Unsettled};
use edgepurge::core::time::Time;

use crate::daemon;

/// How many assets a queue holds at most.
const MOST: u64 = 100_000;

fn changes(count: u64, now: Time) -> Vec<Change> {
    (1..=count)
        .map(|number| Change {
            seq: Seq(number),
            pipeline: PipelineId::new("www"),
            target: Target::Asset(Asset::from_stored(&format!(
                "/assets/{number:06}/style.css"
            ))),
            kind: Kind::Changed,
            source: Source::Scan,
            detail: "".into(),
            seen: now,
            attempt: 0,
            not_before: Time::ZERO,
            overdue: false,
            again: false,
        })
        .collect()
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.unwrap().trim().trim_end_matches(" kB").parse::<u64>();
    line.unwrap() * 1_024
}

/// A baseline: the same assets in a set, in and out.
fn set(changes: &[Change]) -> Duration {
    let began = Instant::now();
    let mut set: std::collections::BTreeSet<Target> =
        changes.iter().map(|change| change.target.clone()).collect();
    while set.pop_first().is_some() {}
    began.elapsed()
}

pub(crate) fn backlog() {
    let mut now = Time::from_millis(1_000_000);
    let limits = Limits {
        max_in_flight: 50,
        ..daemon::limits()
    };
    let none = Unsettled::default();
    let (mut planner, _) = Planner::restore(limits, vec![daemon::settings()], none, 7, now);
    let rows = changes(MOST, now);
    let base = set(&rows);
    let before = resident();
    let began = Instant::now();
    planner.handle(now, Event::Changes(rows));
    let queued = began.elapsed();
    let bytes = resident().saturating_sub(before);
    let began = Instant::now();
    let view = planner.view(now);
    let viewed = began.elapsed();
    assert_eq!(
        view.pipelines[&PipelineId::new("www")].queued_assets,
        100_000
    );
    let began = Instant::now();
    let mut requests = 0;
    while !planner.view(now).settled() {
        now = now.after(Duration::from_secs(10));
        let mut commands = planner.handle(now, Event::Wake).commands;
        while let Some(command) = commands.pop() {
            let Command::Submit { request, .. } = command else {
                panic!("{command:?}");
            };
            requests += 1;
            let reply = Ok((request.to_string(), RemoteStatus::Done));
            let step = planner.handle(now, Event::Submitted { request, reply });
            commands.extend(step.commands);
        }
    }
    let sent = began.elapsed();
    assert_eq!(requests, 20_000);
    println!(
        "backlog: 100,000 assets queued in {:.0} ms, sent and done in 20,000 requests in {:.0} ms; a plain set \
         takes {:.0} ms for both, ratio {:.1}; {} bytes an asset; a status in {:.1} ms",
        millis(queued),
        millis(sent),
        millis(base),
        (queued + sent).as_secs_f64() / base.as_secs_f64(),
        bytes / MOST,
        millis(viewed)
    );
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// An API whose purges take three seconds, at the default rate: what is asked of it?
pub(crate) fn calls() {
    for (what, bursts, assets) in [
        ("one asset a minute", 60, 1),
        ("a deploy of 1,000 assets", 1, 1_000),
    ] {
        let mut now = Time::from_millis(1_000_000);
        let limits = Limits {
            requests_per_second: 10,
            burst: 20,
            max_in_flight: 50,
            ..daemon::limits()
        };
        let none = Unsettled::default();
        let (mut planner, _) = Planner::restore(limits, vec![daemon::settings()], none, 7, now);
        let (mut creates, mut questions, mut made) = (0_u32, 0_u32, Vec::<Time>::new());
        let mut seq = 0;
        for burst in 0..bursts {
            let begins = now.after(Duration::from_mins(1));
            let mut rows = changes(assets, begins);
            for row in &mut rows {
                seq += 1;
                row.seq = Seq(seq);
                if assets == 1 {
                    row.target = Target::Asset(Asset::from_stored(&format!("/{burst}")));
                }
            }
            now = begins;
            let mut events = vec![Event::Changes(rows)];
            loop {
                let event = events.pop().unwrap_or(Event::Wake);
                let step = planner.handle(now, event);
                for command in step.commands {
                    let status = |id: &str, made: &[Time]| {
                        let at = made[id.parse::<usize>().unwrap()];
                        let done = now.since(at) >= Duration::from_secs(3);
                        if done {
                            RemoteStatus::Done
                        } else {
                            RemoteStatus::Pending
                        }
                    };
                    events.push(match command {
                        Command::Submit { request, .. } => {
                            creates += 1;
                            made.push(now);
                            let id = (made.len() - 1).to_string();
                            Event::Submitted {
                                request,
                                reply: Ok((id, RemoteStatus::Pending)),
                            }
                        }
                        Command::Poll { request, remote_id } => {
                            questions += 1;
                            let reply = Ok(status(&remote_id, &made));
                            Event::Polled { request, reply }
                        }
                        Command::List { list, .. } => {
                            questions += 1;
                            let newest = (0..made.len()).rev().take(100);
                            let requests = newest
                                .map(|number| Listed {
                                    id: number.to_string(),
                                    pipeline: PipelineId::new("www"),
                                    assets: None,
                                    status: status(&number.to_string(), &made),
                                    created: None,
                                })
                                .collect();
                            let total = made.len() as u64;
                            let reply = Ok(ListedPage { requests, total });
                            Event::Listed { list, reply }
                        }
                    });
                }
                if events.is_empty() {
                    match planner.next_wake(now) {
                        Some(at) => now = at.max(now),
                        None => break,
                    }
                }
            }
        }
        assert!(planner.view(now).settled());
        println!(
            "calls: {what}: {creates} requests and {questions} questions; at least {creates} requests \
             are needed and a question for each, or one for all; ratio to one question each {:.2}",
            f64::from(creates + questions) / f64::from(creates * 2)
        );
    }
}
