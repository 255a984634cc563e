//! An API in trouble: everything settles by itself, no change is lost, nothing is sent twice that could
//! be found, and the rate holds, also over restarts in the middle of it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use edgepurge::sandbox::{Fault, Operation, RateLimit};

use crate::bench::{Bench, until};

/// How often each asset was purged.
fn times(bench: &Bench) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for asset in bench.purges() {
        *times.entry(asset).or_default() += 1;
    }
    times
}

async fn the_edge_is_fresh(bench: &Bench, files: usize) {
    for number in 0..files {
        let name = format!("{number}.css");
        let origin = std::fs::read_to_string(bench.site().join(&name)).unwrap();
        let (_, _, edge) = bench.fetch(&format!("/{name}")).await;
        assert_eq!(edge, origin, "{name} is stale at the edge");
    }
    let status = bench.status().await;
    assert_eq!(status["pipelines"][0]["failed_assets"], 0);
}

async fn warm(bench: &Bench, files: usize) {
    for number in 0..files {
        bench.fetch(&format!("/{number}.css")).await;
    }
}

/// One purge that goes well, so that the API's clock is known.
async fn first(bench: &mut Bench) {
    bench.write("first.css", "one");
    bench.start().await;
    bench.write("first.css", "two");
    bench.purged("/first.css").await;
    bench.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_reply_is_lost_is_found_and_not_sent_twice() {
    let mut bench = Bench::new().await;
    bench.scaleway = "request_timeout = \"1s\"".to_owned();
    let faults = [
        Fault::DropAfterAccept,
        Fault::HangAfterAccept,
        Fault::Corrupt,
    ];
    for number in 0..faults.len() {
        bench.write(&format!("{number}.css"), "one");
    }
    first(&mut bench).await;
    for (number, fault) in faults.into_iter().enumerate() {
        let name = format!("{number}.css");
        bench.sandbox.script(fault.on(Operation::Create));
        bench.write(&name, "two");
        bench.purged(&format!("/{name}")).await;
        bench.settle().await;
    }
    let sent = times(&bench);
    for number in 0..3 {
        assert_eq!(sent[&format!("/{number}.css")], 1, "{sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_on_its_way_when_the_process_was_killed_is_found_at_the_next_start() {
    let mut bench = Bench::new().await;
    bench.write("a.css", "one");
    first(&mut bench).await;
    bench.fetch("/a.css").await;
    let hang = Fault::HangAfterAccept.on(Operation::Create);
    bench.sandbox.script(hang);
    bench.write("a.css", "two");
    bench.purged("/a.css").await;
    bench.kill().await;
    bench.start().await;
    bench.settle().await;
    let sent = times(&bench);
    assert_eq!(sent["/a.css"], 1, "{sent:?}");
    assert_eq!(bench.fetch("/a.css").await.2, "two");
    assert!(bench.log().contains("accepted"), "{}", bench.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_and_however_often_it_is_restarted_everything_settles() {
    const FILES: usize = 60;
    let mut bench = Bench::new().await;
    bench.scaleway = "requests_per_second = 20\nburst = 5\nmax_in_flight = 8\n\
                      request_timeout = \"1s\"\ntrack_timeout = \"4s\""
        .to_owned();
    for number in 0..FILES {
        bench.write(&format!("{number}.css"), "zero");
    }
    first(&mut bench).await;
    for round in 1..=3 {
        warm(&bench, FILES).await;
        for fault in [
            Fault::Error.on(Operation::Create),
            Fault::DropAfterAccept.on(Operation::Create),
            Fault::Vanish.on(Operation::Create),
            Fault::Hang.on(Operation::Create),
            Fault::UnknownStatus("archived".to_owned()).times(2),
            Fault::RateLimit { retry_after: None }.times(1),
            Fault::Refuse {
                status: 503,
                body: String::new(),
            }
            .times(1),
            Fault::Corrupt.times(1),
        ] {
            bench.sandbox.script(fault);
        }
        if round == 1 {
            bench.sandbox.script(Fault::NeverFinish);
        }
        for number in 0..FILES {
            bench.write(&format!("{number}.css"), &format!("round {round}"));
        }
        // In the middle of it: requests are on their way, and some have failed.
        let made = bench.requests().len();
        until("requests are made", async || {
            (bench.requests().len() >= made + 4).then_some(())
        })
        .await;
        bench.kill().await;
        bench.start().await;
    }
    bench.sandbox.clear_script();
    for number in 0..FILES {
        bench.purged(&format!("/{number}.css")).await;
    }
    bench.settle().await;
    the_edge_is_fresh(&bench, FILES).await;
    bench.the_rate_held(20, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_nobody_documents_is_found_kept_and_remembered() {
    const FILES: usize = 150;
    let mut bench = Bench::new().await;
    bench.scaleway = "requests_per_second = 50\nburst = 20".to_owned();
    let rate = |number| NonZeroU32::new(number).unwrap();
    for number in 0..FILES {
        bench.write(&format!("{number}.css"), "old");
    }
    first(&mut bench).await;
    bench.sandbox.set_rate_limit(Some(RateLimit {
        per_second: rate(10),
        burst: rate(5),
    }));
    warm(&bench, FILES).await;
    for number in 0..FILES {
        bench.write(&format!("{number}.css"), "new");
    }
    bench.settle().await;
    the_edge_is_fresh(&bench, FILES).await;
    let limit = |status: &serde_json::Value| status["api_rate_limit"].as_f64().unwrap();
    let learned = limit(&bench.status().await);
    assert!((0.5..50.0).contains(&learned), "{learned}");
    let calls = bench.sandbox.calls();
    let refused = calls.iter().filter(|call| call.status == Some(429)).count();
    // One burst, and then a few each time the limit is felt for.
    assert!(refused <= 32, "{refused} of {}", calls.len());
    bench.kill().await;
    bench.start().await;
    let remembered = limit(&bench.status().await);
    assert!(remembered < 50.0, "{remembered} after {learned}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_ends_with_everything_settled_and_nothing_to_do_by_hand() {
    const FILES: usize = 30;
    let mut bench = Bench::new().await;
    for number in 0..FILES {
        bench.write(&format!("{number}.css"), "zero");
    }
    first(&mut bench).await;
    warm(&bench, FILES).await;
    let before = bench.sandbox.calls().len();
    let down = Fault::Refuse {
        status: 503,
        body: String::new(),
    };
    bench.sandbox.script(down.times(10_000));
    for number in 0..FILES {
        bench.write(&format!("{number}.css"), "changed in the outage");
    }
    until("an alarm", async || {
        let status = bench.status().await;
        (status["alarms"][0]["reason"] == "api").then_some(())
    })
    .await;
    // Not a wait for something: the outage.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let probes = bench.sandbox.calls().len() - before;
    assert!(probes < 20, "{probes} calls in the outage");
    bench.sandbox.clear_script();
    for number in 0..FILES {
        bench.purged(&format!("/{number}.css")).await;
    }
    bench.settle().await;
    the_edge_is_fresh(&bench, FILES).await;
    assert_eq!(bench.status().await["alarms"], serde_json::json!([]));
}
