//! How many calls a backlog costs, and how soon it is known that a purge is done.

use super::*;
use crate::core::purge::{Listed, PAGE};

/// An API whose purges take so long. Its answers come at once.
#[derive(Clone)]
struct Api {
    takes: Duration,
    /// Entries of a page of its list, whatever is asked for.
    page: usize,
    /// So many purges of others come with each of ours.
    others: usize,
    /// Its list has no page past its end: it refuses to show one.
    ends: bool,
    /// Its list does not work.
    broken: bool,
    /// What was made, ours or not.
    made: Vec<Time>,
}

impl Api {
    fn new(millis: u64) -> Self {
        Self {
            takes: Duration::from_millis(millis),
            page: PAGE,
            others: 0,
            ends: false,
            broken: false,
            made: Vec::new(),
        }
    }

    fn status(&self, number: usize, now: Time) -> RemoteStatus {
        if now.since(self.made[number]) >= self.takes {
            RemoteStatus::Done
        } else {
            RemoteStatus::Pending
        }
    }

    fn answer(&mut self, command: Command, now: Time) -> Event {
        match command {
            Command::Submit { request, .. } => {
                let number = self.made.len();
                self.made.extend(vec![now; 1 + self.others]);
                let reply = Ok((number.to_string(), self.status(number, now)));
                Event::Submitted { request, reply }
            }
            Command::Poll { request, remote_id } => {
                let reply = Ok(self.status(remote_id.parse().unwrap(), now));
                Event::Polled { request, reply }
            }
            Command::List { list, page, .. } => {
                let skipped = (usize::try_from(page).unwrap() - 1) * self.page;
                let numbers = (0..self.made.len()).rev().skip(skipped).take(self.page);
                let requests: Vec<Listed> = numbers
                    .map(|number| Listed {
                        id: number.to_string(),
                        pipeline: PipelineId::new(WWW),
                        assets: None,
                        status: self.status(number, now),
                        created: None,
                    })
                    .collect();
                let reply = if self.broken {
                    Err(Refusal::Transient("503".to_owned()))
                } else if self.ends && requests.is_empty() {
                    Err(Refusal::Invalid("page: out of range".to_owned()))
                } else {
                    let total = self.made.len() as u64;
                    Ok(ListedPage { requests, total })
                };
                Event::Listed { list, reply }
            }
        }
    }
}

/// What a backlog cost.
#[derive(Debug)]
struct Cost {
    creates: usize,
    questions: usize,
    took: Duration,
    /// How long after its end it was known, at the latest, that a purge is done.
    late: Duration,
}

const DEFAULTS: Limits = Limits {
    requests_per_second: 10,
    burst: 20,
    max_in_flight: 50,
    ..LIMITS
};

/// A planner that has rested for a minute purges so many assets.
fn purge(limits: Limits, assets: usize, api: &mut Api) -> Cost {
    let settings = PipelineSettings {
        all_above: None,
        ..settings(WWW)
    };
    let (planner, _) = Planner::restore(limits, vec![settings], Unsettled::default(), 7, at(0));
    let mut bench = Bench {
        planner,
        now: at(60_000),
        seq: 0,
    };
    cost(&mut bench, assets, api)
}

fn cost(bench: &mut Bench, assets: usize, api: &mut Api) -> Cost {
    let (began, before) = (bench.now, api.made.len());
    let (mut creates, mut questions, mut late) = (0, 0, Duration::ZERO);
    let mut remotes = BTreeMap::new();
    let mut calls = bench.many(WWW, assets);
    loop {
        while let Some(call) = calls.pop() {
            let creation = matches!(call, Command::Submit { .. });
            creates += usize::from(creation);
            questions += usize::from(!creation);
            let event = api.answer(call, bench.now);
            if let Event::Submitted { request, .. } = &event {
                remotes.insert(*request, bench.now.after(api.takes));
            }
            let step = bench.planner.handle(bench.now, event);
            for decision in &step.decisions {
                if let Decision::Settled {
                    request, outcome, ..
                } = decision
                {
                    assert_eq!(*outcome, Outcome::Done);
                    late = late.max(bench.now.since(remotes[request]));
                }
            }
            calls.extend(step.commands);
        }
        let Some(wake) = bench.planner.next_wake(bench.now) else {
            break;
        };
        assert!(wake > bench.now, "it spins");
        bench.now = wake;
        calls = bench.event(Event::Wake);
    }
    assert!(bench.view().settled());
    assert_eq!(api.made.len() - before, creates * (1 + api.others));
    Cost {
        creates,
        questions,
        took: bench.now.since(began),
        late,
    }
}

#[test]
fn a_thousand_assets_cost_few_calls_beyond_their_requests() {
    for (takes, most) in [(200, 14), (1_000, 14), (3_000, 14), (8_000, 30)] {
        let cost = purge(DEFAULTS, 1_000, &mut Api::new(takes));
        assert_eq!(cost.creates, 200);
        assert!(cost.questions <= most, "{takes}: {cost:?}");
    }
}

#[test]
fn a_backlog_leaves_at_nearly_the_rate_that_is_configured() {
    // 1,000 requests take 98 s at 10 calls a second, with a burst of 20.
    let cost = purge(DEFAULTS, 5_000, &mut Api::new(3_000));
    assert_eq!(cost.creates, 1_000);
    assert!(cost.took <= Duration::from_secs(113), "{cost:?}");
    // 4,000 take 7 s at 500 a second; 50 in flight for 0.2 s are 250 a second at most.
    for (max_in_flight, seconds) in [(50, 30), (200, 9)] {
        let fast = Limits {
            requests_per_second: 500,
            burst: 500,
            max_in_flight,
            ..LIMITS
        };
        let cost = purge(fast, 20_000, &mut Api::new(200));
        assert_eq!(cost.creates, 4_000);
        assert!(cost.questions < 600, "{max_in_flight}: {cost:?}");
        let most = Duration::from_secs(seconds);
        assert!(cost.took <= most, "{max_in_flight}: {cost:?}");
    }
}

#[test]
fn forty_in_flight_for_a_few_seconds_are_asked_for_together() {
    for takes in [1_000, 3_000, 10_000, 60_000] {
        let cost = purge(DEFAULTS, 200, &mut Api::new(takes));
        assert_eq!(cost.creates, 40);
        assert!(cost.questions <= 20, "{takes}: {cost:?}");
    }
}

#[test]
fn more_than_a_page_in_flight_are_found_on_the_pages_behind() {
    let limits = Limits {
        requests_per_second: 300,
        burst: 300,
        max_in_flight: 450,
        ..LIMITS
    };
    for (takes, ends) in [(1_000, false), (20_000, false), (1_000, true)] {
        let mut api = Api {
            ends,
            ..Api::new(takes)
        };
        let cost = purge(limits, 5_000, &mut api);
        assert!(cost.questions <= 150, "{takes}: {cost:?}");
    }
}

#[test]
fn pages_that_are_smaller_than_asked_for_or_shared_with_others_are_read_all_the_same() {
    for (page, others) in [(20, 0), (50, 0), (100, 1), (100, 4)] {
        let mut api = Api {
            page,
            others,
            ..Api::new(3_000)
        };
        let cost = purge(DEFAULTS, 2_000, &mut api);
        assert!(cost.questions <= 72, "{page} {others}: {cost:?}");
    }
}

#[test]
fn a_list_that_does_not_show_ours_costs_no_more_than_asking_for_each() {
    for (page, others, broken) in [(100, 300, false), (2, 0, false), (100, 0, true)] {
        let mut api = Api {
            page,
            others,
            broken,
            ..Api::new(1_000)
        };
        let cost = purge(DEFAULTS, 1_000, &mut api);
        assert!(cost.questions <= 300, "{page} {others}: {cost:?}");
    }
}

#[test]
fn a_single_change_is_known_to_be_done_soon_also_after_a_backlog() {
    for (takes, most) in [(200, 300), (1_000, 350), (3_000, 850)] {
        let mut bench = Bench::new(&[WWW]);
        bench.planner.limits = DEFAULTS;
        let www = PipelineId::new(WWW);
        bench
            .planner
            .pipelines
            .get_mut(&www)
            .unwrap()
            .settings
            .all_above = None;
        let mut api = Api::new(takes);
        for round in 0..10 {
            bench.now = bench.now.after(Duration::from_mins(1));
            let assets = if round == 5 { 900 } else { 1 };
            let cost = cost(&mut bench, assets, &mut api);
            // How long purges take has to be found out first.
            if round != 0 && round != 5 {
                let most = Duration::from_millis(most);
                assert!(cost.late <= most, "{takes}, {round}: {cost:?}");
            }
        }
    }
}

#[test]
fn a_purge_that_is_done_is_not_missed_for_long_in_a_backlog() {
    for (rate, seconds) in [(10, 3), (100, 1), (2, 5)] {
        let limits = Limits {
            requests_per_second: rate,
            burst: 1,
            max_in_flight: 1_000,
            ..LIMITS
        };
        let cost = purge(limits, 1_000, &mut Api::new(500));
        assert!(cost.questions <= 30, "{rate}: {cost:?}");
        assert!(
            cost.late <= Duration::from_secs(seconds),
            "{rate}: {cost:?}"
        );
    }
}
