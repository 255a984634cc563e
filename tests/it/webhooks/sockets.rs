//! Unix sockets, and sockets that systemd keeps while nobody runs.

use std::net::TcpListener;
use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use super::*;
use crate::bench::skip;

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_takes_deliveries_and_is_replaced_after_a_kill() {
    let mut bench = Bench::new().await;
    let socket = bench.path("webhook.sock");
    let listen = format!("listen = \"unix:{}\"", socket.display());
    with_route(&mut bench, "generic", "purge = [\"/a.css\"]", &listen);
    for _ in 0..2 {
        bench.start().await;
        assert_eq!(address(&bench).await, format!("unix:{}", socket.display()));
        let said = Command::new("curl")
            .args(["-sS", "-o", "-", "-w", " %{http_code}", "--unix-socket"])
            .arg(&socket)
            .args(["-H", &format!("Authorization: Bearer {SECRET}")])
            .args([
                "-H",
                "Content-Type: application/json",
                "-d",
                "{\"scan\":true}",
            ])
            .arg("http://localhost/hooks/www")
            .output()
            .await
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(said.ends_with(" 202"), "{said}");
        bench.settle().await;
        bench.kill().await;
    }
    bench.start().await;
    assert_eq!(bench.terminate().await, Some(0));
    assert!(!socket.exists(), "an orderly stop leaves no socket behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_comes_while_nobody_runs_waits_in_the_socket_of_systemd() {
    let activate = "/usr/bin/systemd-socket-activate";
    if !std::path::Path::new(activate).exists() {
        return skip("systemd-socket-activate is not installed");
    }
    let mut bench = Bench::new().await;
    // The socket wins over what is configured here.
    with_route(
        &mut bench,
        "generic",
        "purge = [\"/a.css\"]",
        "listen = \"127.0.0.1:1\"",
    );
    let config = bench.config();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = free.local_addr().unwrap().to_string();
    drop(free);
    // It starts the daemon when the first connection waits, and hands the socket over.
    let mut activated = Command::new(activate)
        .args(["--listen", &at])
        .arg(env!("CARGO_BIN_EXE_edgepurge"))
        .arg("--config")
        .arg(config)
        .arg("run")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(bench.path("log")).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let answer = until("systemd listens", async || {
        post(&at, &json!({ "scan": true })).await.ok()
    })
    .await;
    becomes(&at, &event(&answer), "done").await;
    assert_eq!(address(&bench).await, at);
    assert_eq!(bench.purges(), ["/a.css"]);
    activated.kill().await.unwrap();
}
