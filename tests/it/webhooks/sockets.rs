//! Unix sockets, and sockets that systemd keeps while nobody runs.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
async fn a_unix_socket_is_its_owners_and_groups_and_takes_the_place_of_no_file() {
    let mut bench = Bench::new().await;
    let socket = bench.path("webhook.sock");
    let listen = format!("listen = \"unix:{}\"", socket.display());
    with_route(&mut bench, "generic", "purge = [\"/a.css\"]", &listen);
    fs::write(&socket, "precious").unwrap();
    bench.config();
    let output = bench.run(&["run"]).await;
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("webhooks.listen unix:"), "{said}");
    assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
    fs::remove_file(&socket).unwrap();
    bench.start().await;
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660, "{mode:o}");
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

/// Runs the daemon as systemd does, with this socket, whose file the test keeps open.
pub(super) fn with_socket(bench: &Bench, socket: &TcpListener) -> Command {
    let socket: OwnedFd = socket.try_clone().unwrap().into();
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"",
            "sh",
        ])
        .arg(env!("CARGO_BIN_EXE_edgepurge"))
        .arg("--config")
        .arg(bench.config())
        .arg("run")
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_with_a_socket_of_systemd_refuse_no_delivery() {
    let mut bench = Bench::new().await;
    with_route(&mut bench, "generic", "purge = \"files\"", "");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap().to_string();
    let over = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let (at, over) = (at.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                let mut events = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let file = format!("{sender}-{}.css", events.len());
                    // Each once, as forges do: nothing is sent again.
                    let answer = post(&at, &json!({ "paths": [file] })).await;
                    events.push((event(&answer.expect("an answer")), file));
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                events
            })
        })
        .collect();
    let log = fs::File::create(bench.path("log")).unwrap();
    for _ in 0..4 {
        let mut running: tokio::process::Child = with_socket(&bench, &socket)
            .stderr(log.try_clone().unwrap())
            .spawn()
            .unwrap();
        let answer = post(&at, &json!({ "paths": ["start.css"] })).await.unwrap();
        event(&answer);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..300))).await;
        if let Some(pid) = running.id() {
            let sent = Command::new("kill").arg(pid.to_string()).status().await;
            assert!(sent.unwrap().success());
        }
        let ended = tokio::time::timeout(crate::bench::LIMIT, running.wait()).await;
        assert_eq!(ended.unwrap().unwrap().code(), Some(0));
    }
    let _last = with_socket(&bench, &socket)
        .stderr(log.try_clone().unwrap())
        .spawn()
        .unwrap();
    over.store(true, Ordering::Relaxed);
    for sender in senders {
        let events = sender.await.unwrap();
        assert!(!events.is_empty());
        for (name, file) in events {
            becomes(&at, &name, "done").await;
            assert!(bench.done().contains(&format!("/{file}")), "{file}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_without_a_secret_is_refused_on_a_socket_of_systemd_that_others_reach() {
    let mut bench = Bench::new().await;
    bench.origin.push_str(
        "\n[[pipeline.webhook]]\nroute = \"/hooks/www\"\nkind = \"generic\"\nauth = \"none\"\n",
    );
    let socket = TcpListener::bind("0.0.0.0:0").unwrap();
    let output = with_socket(&bench, &socket).stderr(Stdio::piped()).output();
    let output = tokio::time::timeout(crate::bench::LIMIT, output).await;
    let output = output.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(
        said.contains("pipeline[0].webhook[0].auth") && said.contains("0.0.0.0"),
        "{said}"
    );
}
