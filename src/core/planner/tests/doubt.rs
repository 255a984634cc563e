//! Requests of unknown outcome.

use super::*;
use crate::core::purge::Listed;

/// The API's clock is so far ahead of ours.
const AHEAD: u64 = 7_000_000;

fn lost() -> Result<(String, RemoteStatus), Refusal> {
    Err(Refusal::UnknownOutcome("the reply was lost".into()))
}

fn listed(id: &str, assets: &[&str], created: u64) -> Listed {
    Listed {
        id: id.to_owned(),
        pipeline: PipelineId::new(WWW),
        assets: Some(assets.iter().map(ToString::to_string).collect()),
        status: RemoteStatus::Pending,
        created: Some(at(created + AHEAD)),
    }
}

fn page(requests: Vec<Listed>) -> ListedPage {
    let total = requests.len() as u64;
    ListedPage { requests, total }
}

impl Bench {
    /// A bench that knows what time it is at the API.
    fn in_time() -> Self {
        let mut bench = Self::new(&[WWW]);
        bench.hear(1);
        bench
    }

    fn hear(&mut self, way: u64) {
        let shown = Event::ApiTime {
            sent: at(self.now.millis() - way),
            shown: at(self.now.millis() - way / 2 + AHEAD),
            grain: Duration::from_millis(1),
        };
        assert!(self.event(shown).is_empty());
    }

    /// `/a` changes and is sent, and the reply is lost: returns when it was sent, and the list that
    /// is asked for.
    fn lose(&mut self) -> (u64, u64) {
        self.change(WWW, &["/a"]);
        assert_eq!(submits(&self.wait(500)).len(), 1);
        let sent = self.now.millis();
        let request = RequestId(self.planner.last_request);
        assert!(self.submitted(request, lost()).is_empty());
        assert_eq!(self.view().pipelines[&PipelineId::new(WWW)].in_flight, 1);
        (sent, self.asked_for(1))
    }

    fn asked_for(&mut self, expected: u32) -> u64 {
        match self.wait(1_000).as_slice() {
            [Command::List { list, page, .. }] if *page == expected => *list,
            other => panic!("{other:?}"),
        }
    }

    fn found(&mut self, list: u64, page: ListedPage) -> Step {
        self.listed(list, Ok(page))
    }

    fn listed(&mut self, list: u64, reply: Result<ListedPage, Refusal>) -> Step {
        self.planner.handle(self.now, Event::Listed { list, reply })
    }
}

fn adopted(step: &Step) -> Option<&str> {
    step.decisions.iter().find_map(|decision| match decision {
        Decision::Accepted { remote_id, .. } => Some(remote_id.as_str()),
        _ => None,
    })
}

#[test]
fn a_request_whose_reply_was_lost_is_found_and_not_sent_again() {
    let mut bench = Bench::in_time();
    let (sent, list) = bench.lose();
    let step = bench.found(list, page(vec![listed("x", &["/a"], sent + 20)]));
    assert_eq!(adopted(&step), Some("x"));
    let polls = bench.wait(500);
    assert!(matches!(polls.as_slice(), [Command::Poll { remote_id, .. }] if remote_id == "x"));
    bench.polled(RequestId(1), Ok(RemoteStatus::Done));
    assert!(bench.view().settled());
}

#[test]
fn what_is_found_and_done_already_is_done() {
    let mut bench = Bench::in_time();
    let (sent, list) = bench.lose();
    let done = Listed {
        status: RemoteStatus::Done,
        ..listed("x", &["/a"], sent + 20)
    };
    bench.found(list, page(vec![done]));
    assert!(bench.view().settled());
}

#[test]
fn nothing_is_adopted_that_may_not_cover_the_change() {
    let elsewhere = |sent| Listed {
        pipeline: PipelineId::new(SHOP),
        ..listed("x", &["/a"], sent + 20)
    };
    let everything = |sent| Listed {
        assets: None,
        ..listed("x", &[], sent + 20)
    };
    let undated = |sent| Listed {
        created: None,
        ..listed("x", &["/a"], sent + 20)
    };
    let cases: [(&str, &dyn Fn(u64) -> Listed); 6] = [
        ("before the change", &|sent| {
            listed("x", &["/a"], sent - 501)
        }),
        ("of more", &|sent| listed("x", &["/a", "/b"], sent + 20)),
        ("of another asset", &|sent| listed("x", &["/b"], sent + 20)),
        ("of another pipeline", &elsewhere),
        ("of everything", &everything),
        ("of unknown time", &undated),
    ];
    for (what, case) in cases {
        let mut bench = Bench::in_time();
        let (sent, list) = bench.lose();
        let step = bench.found(list, page(vec![case(sent)]));
        assert_eq!(adopted(&step), None, "{what}");
        assert_eq!(submits(&step.commands), ["2: /a"], "{what}");
    }
}

#[test]
fn what_is_ours_already_is_not_adopted_twice() {
    let mut bench = Bench::in_time();
    bench.change(WWW, &["/a"]);
    bench.wait(500);
    let mine = bench.now.millis() + 600;
    bench.now = at(mine);
    bench.submitted(RequestId(1), Ok(("x".into(), RemoteStatus::Done)));
    // It was made after the second change as well, but it is spoken for.
    bench.seq += 1;
    bench.now = at(mine - 300);
    let (_, list) = bench.lose();
    let step = bench.found(list, page(vec![listed("x", &["/a"], mine + 600)]));
    assert_eq!(adopted(&step), None);
}

#[test]
fn of_two_for_the_same_the_later_does_not_take_what_was_made_before_its_change() {
    let mut bench = Bench::in_time();
    bench.change(WWW, &["/a"]);
    bench.wait(500);
    let first = bench.now.millis();
    bench.change(WWW, &["/a"]);
    bench.wait(500);
    bench.submitted(RequestId(1), lost());
    bench.submitted(RequestId(2), lost());
    let list = bench.asked_for(1);
    let step = bench.found(list, page(vec![listed("x", &["/a"], first - 10)]));
    assert_eq!(adopted(&step), Some("x"));
    assert_eq!(submits(&step.commands), ["3: /a"], "for the second change");
}

#[test]
fn pages_are_read_until_they_are_older_and_new_ones_push_others_along() {
    let mut bench = Bench::in_time();
    let (sent, list) = bench.lose();
    let others = |from: u64| -> Vec<Listed> {
        (from..from + 100)
            .map(|n| listed(&format!("o{n}"), &["/o"], sent + 500 - n))
            .collect()
    };
    let full = |requests| {
        Ok(ListedPage {
            requests,
            total: 1_000,
        })
    };
    let step = bench.listed(list, full(others(0)));
    let [Command::List { list, page: 2, .. }] = step.commands.as_slice() else {
        panic!("{step:?}");
    };
    let mut second = others(90);
    second.push(listed("x", &["/a"], sent + 20));
    second.push(listed("old", &["/o"], sent - 600));
    let step = bench.listed(*list, full(second));
    assert_eq!(adopted(&step), Some("x"));
}

#[test]
fn a_search_takes_its_calls_from_the_same_budget_and_goes_on_where_it_was() {
    let mut bench = Bench::in_time();
    let (sent, list) = bench.lose();
    while bench.planner.budget.take(bench.now) {}
    let others = (0..100)
        .map(|n| listed(&format!("o{n}"), &["/o"], sent + 500))
        .collect();
    let step = bench.listed(
        list,
        Ok(ListedPage {
            requests: others,
            total: 101,
        }),
    );
    assert!(step.commands.is_empty(), "there is no token");
    let list = bench.asked_for(2);
    let step = bench.found(list, page(vec![listed("x", &["/a"], sent + 20)]));
    assert_eq!(adopted(&step), Some("x"));
}

#[test]
fn while_the_api_is_in_trouble_it_is_neither_found_nor_sent() {
    let mut bench = Bench::in_time();
    let (_, list) = bench.lose();
    let step = bench.listed(list, Err(Refusal::Transient("busy".into())));
    assert_eq!(step, Step::default());
    let list = bench.asked_for(1);
    let refused = Refusal::Invalid("no such filter".into());
    let step = bench.listed(list, Err(refused));
    assert_eq!(submits(&step.commands), ["2: /a"], "in doubt send again");
}

#[test]
fn without_knowing_the_apis_clock_it_is_sent_again() {
    let mut bench = Bench::new(&[WWW]);
    bench.change(WWW, &["/a"]);
    bench.wait(500);
    bench.submitted(RequestId(1), lost());
    assert_eq!(submits(&bench.wait(1_000)), ["2: /a"]);
}

#[test]
fn a_crash_while_submitting_is_looked_into_at_the_next_start() {
    let unsettled = Unsettled {
        last_request: 1,
        requests: vec![OpenRequest {
            id: RequestId(1),
            pipeline: PipelineId::new(WWW),
            scope: Scope::Assets([(Asset::from_stored("/a"), Seq(1))].into()),
            remote_id: None,
            first_seen: at(1_000),
            opened: at(1_500),
            attempt: 0,
            overdue: false,
            api_since: Some(at(AHEAD + 1_000)),
        }],
        settled_remote_ids: vec!["ours".to_owned()],
        ..Unsettled::default()
    };
    let (mut planner, step) =
        Planner::restore(LIMITS, vec![settings(WWW)], unsettled, 7, at(2_000));
    assert_eq!(step, Step::default());
    let calls = planner.handle(at(3_000), Event::Wake).commands;
    let [Command::List { list, .. }] = calls.as_slice() else {
        panic!("{calls:?}");
    };
    let found = vec![
        listed("ours", &["/a"], 1_400),
        listed("x", &["/a"], 1_600),
        listed("old", &["/a"], 900),
    ];
    let reply = Ok(page(found));
    let step = planner.handle(at(3_100), Event::Listed { list: *list, reply });
    assert_eq!(adopted(&step), Some("x"));
}

#[test]
fn everything_that_was_purged_before_a_start_covers_nothing_that_comes_back_after_it() {
    // In flight when the process ended.
    let assets = (0..25).map(|number| (Asset::from_stored(&format!("/{number}")), Seq(number + 1)));
    let unsettled = Unsettled {
        requests: vec![accepted(WWW, Scope::Assets(assets.collect()))],
        last_request: 1,
        ..Unsettled::default()
    };
    let mut bench = Bench::new(&[]);
    (bench.planner, _) = Planner::restore(LIMITS, vec![settings(WWW)], unsettled, 7, bench.now);
    bench.wait(1_000);
    bench.hear(1);
    bench.polled(RequestId(1), Ok(RemoteStatus::Error));
    // Its assets are more than all_above now.
    assert_eq!(submits(&bench.wait(10_000)), ["2: all count"]);
    bench.submitted(RequestId(2), lost());
    let list = bench.asked_for(1);
    let old = Listed {
        assets: None,
        status: RemoteStatus::Done,
        ..listed("old", &[], 9_000)
    };
    let step = bench.found(list, page(vec![old]));
    assert_eq!(adopted(&step), None);
}
