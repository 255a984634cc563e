//! A disk that is full: nothing is said to be on it that is not, and senders are asked to come again.

use std::process::Stdio;

use rustix::process::{Pid, Resource, getrlimit, prlimit};
use serde_json::json;
use tokio::process::Command;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_on_the_disk_is_to_be_sent_again_and_all_that_was_taken_is_purged() {
    let mut bench = Bench::new().await;
    with_route(&mut bench, "generic", "purge = \"files\"", "");
    // No file may grow above about a megabyte, until room is made.
    let daemon = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -S -f 2048; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_edgepurge"))
        .arg("--config")
        .arg(bench.config())
        .arg("run")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until("the daemon answers", async || {
        bench.run(&["status"]).await.status.success().then_some(())
    })
    .await;
    let at = address(&bench).await;
    let mut taken = Vec::new();
    let refused = loop {
        let name = format!("{}.css", taken.len());
        let request = reqwest::Client::new()
            .post(format!("http://{at}/hooks/www"))
            .bearer_auth(SECRET)
            .json(&json!({ "paths": [name] }));
        let response = request.send().await.unwrap();
        if response.status() != 202 {
            break response;
        }
        taken.push(name);
        assert!(taken.len() < 2_000, "the disk never becomes full");
    };
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "10");
    assert!(!taken.is_empty());
    let ready = bench.run(&["status"]).await;
    assert!(ready.status.success(), "it goes on: {ready:?}");
    let pid = i32::try_from(daemon.id().unwrap()).unwrap();
    let most = getrlimit(Resource::Fsize);
    prlimit(Pid::from_raw(pid), Resource::Fsize, most).unwrap();
    let after = until("there is room again", async || {
        let answer = post(&at, &json!({ "paths": ["after.css"] })).await.unwrap();
        (answer.status == 202).then_some(answer)
    })
    .await;
    event(&after);
    for name in taken.iter().chain([&"after.css".to_owned()]) {
        bench.purged(&format!("/{name}")).await;
    }
}
