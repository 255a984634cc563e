//! A reload refuses no delivery: the socket stays bound, and whoever has connected is answered.

use serde_json::json;
use tokio::sync::watch;

use super::{address, post, started};

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
