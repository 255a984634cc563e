//! A reload refuses no delivery: the socket stays bound, and whoever has connected is answered.

use serde_json::json;
use tokio::sync::watch;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_come_in_while_the_configuration_is_reloaded() {
    let mut bench = started("generic", "").await;
    let address = address(&bench).await;
    let (over, ended) = watch::channel(false);
    let sender = async {
        let mut sent = 0;
        while !*ended.borrow() {
            let path = format!("{sent}.css");
            // A connection of its own each time.
            let answer = post(&address, &json!({ "paths": [path] })).await;
            let answer = answer.unwrap_or_else(|error| panic!("delivery {sent}: {error}"));
            assert_eq!(answer.status, 202, "{answer:?}");
            sent += 1;
        }
        sent
    };
    let reloads = async {
        for _ in 0..4 {
            bench.reload().await;
        }
        over.send_replace(true);
    };
    let (sent, ()) = tokio::join!(sender, reloads);
    assert!(sent > 4, "{sent} deliveries");
    let last = format!("/{}.css", sent - 1);
    bench.purged(&last).await;
    let purges = bench.purges();
    for number in 0..sent {
        let asset = format!("/{number}.css");
        assert!(purges.contains(&asset), "{asset} of {sent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_counts_on() {
    let mut bench = started("generic", "purge = [\"/a.css\"]").await;
    bench.write("a.css", "one");
    bench.settle().await;
    bench.write("a.css", "one");
    bench.settle().await;
    let at = address(&bench).await;
    let name = event(&post(&at, &json!({ "scan": true })).await.unwrap());
    let stranger = reqwest::Client::new().post(format!("http://{at}/hooks/www"));
    assert_eq!(call(stranger).await.unwrap().status, 401);
    let counted = async |bench: &Bench| {
        let lines = [
            "webhooks_total{route=\"/hooks/www\",outcome=\"accepted\"}",
            "webhooks_total{route=\"/hooks/www\",outcome=\"unauthorized\"}",
            "webhook_refusals_total{route=\"/hooks/www\",reason=\"missing\"}",
            "unchanged_total{pipeline=\"www\"}",
            "scans_total{pipeline=\"www\",reason=\"start\"}",
        ];
        let counts = lines.map(async |line| {
            let value = metric(bench, &format!("edgepurge_{line}")).await;
            value.unwrap_or_else(|| panic!("{line} is missing"))
        });
        futures_util::future::join_all(counts).await
    };
    let before = counted(&bench).await;
    assert_eq!(before, [1.0, 1.0, 1.0, 1.0, 1.0]);
    for reloads in [1.0, 2.0] {
        bench.reload().await;
        until("the origin is watched again", async || {
            (bench.of_origin().await["armed"] == true).then_some(())
        })
        .await;
        let mut wanted = before.clone();
        wanted[4] += reloads;
        assert_eq!(counted(&bench).await, wanted);
        let routes = bench.status().await["webhooks"]["routes"].clone();
        assert_eq!(routes[0]["last"]["event"], *name);
    }
}
