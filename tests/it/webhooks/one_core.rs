//! A machine with one core, where the runtime has no thread but the main one.

use std::process::Stdio;

use super::*;
use crate::bench::skip;

#[tokio::test(flavor = "multi_thread")]
async fn on_one_core_files_and_deliveries_are_purged_and_a_stop_is_clean() {
    let mut taskset = std::process::Command::new("taskset");
    let taskset = taskset.arg("--version").stdout(Stdio::null());
    if taskset.status().is_err() {
        return skip("taskset is not installed");
    }
    let mut bench = Bench::new().await;
    bench.within = ["taskset", "-c", "0"].map(str::to_owned).into();
    with_route(&mut bench, "generic", "purge = \"files\"", "");
    bench.write("a.css", "old");
    bench.start().await;
    bench.write("a.css", "new");
    bench.purged("/a.css").await;
    let at = address(&bench).await;
    let deliveries: Vec<_> = (0..64)
        .map(|number| {
            let at = at.clone();
            tokio::spawn(async move {
                let asset = format!("b-{number}.css");
                event(&post(&at, &json!({ "paths": [asset] })).await.unwrap())
            })
        })
        .collect();
    for delivery in deliveries {
        becomes(&at, &delivery.await.unwrap(), "done").await;
    }
    // A scan of the origin's thread, which asks the runtime.
    let scan = post(&at, &json!({ "scan": true })).await.unwrap();
    becomes(&at, &event(&scan), "done").await;
    bench.reload().await;
    bench.write("a.css", "newer");
    bench.settle().await;
    assert_eq!(bench.terminate().await, Some(0));
}
