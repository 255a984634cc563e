//! Deliveries that come again: they are queued again until what they asked for is done, and then
//! they are known and cost nothing.

use serde_json::json;

use super::*;
use edgepurge::sandbox::{ErrorType, Fault, Operation};

fn refusal() -> edgepurge::sandbox::Script {
    Fault::Typed(ErrorType::BAD_ASSETS).on(Operation::Create)
}

async fn duplicates(bench: &Bench) -> Option<f64> {
    let line = "edgepurge_webhooks_total{route=\"/hooks/www\",outcome=\"duplicate\"}";
    metric(bench, line).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_known_and_what_has_failed_is_queued_again() {
    let bench = started("github", "purge = [\"/a.css\"]").await;
    let at = address(&bench).await;
    bench.sandbox.script(refusal());
    let answer = github(&at, 1).await;
    let name = event(&answer);
    becomes(&at, &name, "failed").await;
    let again = github(&at, 1).await;
    assert_eq!(event(&again), name, "what has failed is queued again");
    becomes(&at, &name, "done").await;
    for _ in 0..3 {
        let repeated = github(&at, 1).await;
        assert_eq!(repeated.status, 200);
        assert_eq!(repeated.body, json!({ "ignored": "duplicate delivery" }));
    }
    let other = github(&at, 2).await;
    assert_ne!(event(&other), name);
    becomes(&at, &event(&other), "done").await;
    assert_eq!(bench.purges(), ["/a.css", "/a.css"]);
    assert_eq!(duplicates(&bench).await, Some(3.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_is_not_queued_twice_and_what_is_in_flight_is_purged_again() {
    let bench = started("github", "purge = [\"/a.css\", \"/b.css\"]").await;
    let at = address(&bench).await;
    bench.run(&["pause", "www"]).await;
    let name = event(&github(&at, 1).await);
    for _ in 0..5 {
        let again = github(&at, 1).await;
        assert_eq!(
            (event(&again), &again.body["changes"]),
            (name.clone(), &json!(2))
        );
    }
    let pipeline = bench.status().await["pipelines"][0].clone();
    assert_eq!(pipeline["queued_assets"], 2, "{pipeline}");
    bench.run(&["resume", "www"]).await;
    becomes(&at, &name, "done").await;
    assert_eq!(bench.purges(), ["/a.css", "/b.css"]);

    // The API takes the next one, and does not come to an end with it.
    bench.sandbox.script(Fault::NeverFinish);
    let name = event(&github(&at, 2).await);
    becomes(&at, &name, "submitted").await;
    assert_eq!(event(&github(&at, 2).await), name);
    becomes(&at, &name, "done").await;
    assert_eq!(
        bench.purges(),
        ["/a.css", "/a.css", "/a.css", "/b.css", "/b.css", "/b.css"]
    );
    assert_eq!(duplicates(&bench).await, Some(0.0));
    assert_eq!(github(&at, 2).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivery_after_a_purge_of_what_a_scan_found_has_failed_makes_the_edge_fresh() {
    let mut bench = Bench::new().await;
    bench.origin = "watch = \"off\"".to_owned();
    with_route(&mut bench, "github", "", "");
    bench.write("a.css", "one");
    bench.start().await;
    let at = address(&bench).await;
    bench.fetch("/a.css").await;
    bench.write("a.css", "two");
    bench.sandbox.script(refusal());
    let name = event(&github(&at, 1).await);
    becomes(&at, &name, "failed").await;
    assert_eq!(bench.fetch("/a.css").await.2, "one");
    // No scan finds it once more: what the index has is what is on the disk.
    let again = github(&at, 1).await;
    assert_eq!(
        (event(&again), &again.body["changes"]),
        (name.clone(), &json!(1))
    );
    becomes(&at, &name, "done").await;
    assert_eq!(bench.fetch("/a.css").await.2, "two");
    assert_eq!(github(&at, 1).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_repeated_while_it_waits_is_purged_once() {
    let bench = started("github", "purge = [\"/a.css\"]\ndelay = \"3s\"").await;
    let at = address(&bench).await;
    let name = event(&github(&at, 1).await);
    for _ in 0..3 {
        assert_eq!(event(&github(&at, 1).await), name);
    }
    assert_eq!(state(&at, &name).await.body["state"], "queued");
    becomes(&at, &name, "done").await;
    bench.settle().await;
    assert_eq!(bench.purges(), ["/a.css"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_names_the_route_that_has_everything_purged_again_and_again() {
    let mut bench = Bench::new().await;
    bench.pipeline = "all_cooldown = \"5s\"".to_owned();
    with_route(&mut bench, "github", "purge = \"all\"", "");
    bench.start().await;
    let at = address(&bench).await;
    for run in 1..=3 {
        let name = event(&github(&at, run).await);
        becomes(&at, &name, "done").await;
    }
    let alarm = bench.alarm("all_repeats").await;
    assert!(alarm.contains("/hooks/www ("), "{alarm}");
    assert!(alarm.contains("3 times"), "{alarm}");
    bench.no_alarm().await;
}
