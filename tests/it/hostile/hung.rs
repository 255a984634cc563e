//! A filesystem that hangs, as a network mount does whose server is away: whoever looks at it waits.
//! Nobody else does.

use std::fs;
use std::time::{Duration, Instant};

use super::machine::{has, may_mount, release, signal_to};
use super::silent::{Fuse, bindfs};
use crate::bench::{Bench, SHOP, until};

/// A pipeline whose origin is on a filesystem that can hang, and another whose origin is not.
async fn two() -> (Bench, Fuse) {
    let mut bench = Bench::new().await;
    let source = bench.path("source");
    release(&source, "one");
    fs::create_dir(bench.path("shop")).unwrap();
    fs::write(bench.path("shop/a.css"), "one").unwrap();
    bench.origin = format!(
        "[[pipeline]]\nname = \"shop\"\nid = \"{SHOP}\"\n[[pipeline.origin]]\nroot = \"{}\"\n",
        bench.path("shop").display()
    );
    let fuse = bindfs(&source, &bench.site()).await;
    (bench, fuse)
}

/// What the other pipeline does as ever.
async fn the_other_goes_on(bench: &Bench, name: &str) {
    let began = Instant::now();
    fs::write(bench.path("shop").join(name), "new").unwrap();
    let waited = bench.run(&["wait", "shop"]).await;
    assert!(waited.status.success(), "{waited:?}");
    assert!(bench.done().contains(&format!("/{name}")), "{name}");
    bench.status().await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filesystem_that_hangs_holds_up_nobody_else() {
    if !has("bindfs") || !may_mount() {
        return;
    }
    let (mut bench, fuse) = two().await;
    let path = bench.path("notify.sock");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let notify = format!("NOTIFY_SOCKET={}", path.display());
    bench.within = ["env", &notify, "WATCHDOG_USEC=3000000"]
        .map(str::to_owned)
        .to_vec();
    bench.start().await;
    signal_to(fuse.process.id(), "-STOP");
    // Polled every few seconds, so that it is looked at from now on.
    let asked = |path: &str| {
        let client = reqwest::Client::builder()
            .unix_socket(bench.path("admin.sock"))
            .build()
            .unwrap();
        let url = format!("http://localhost/api/v1/explain?path={path}");
        tokio::spawn(client.get(url).send())
    };
    let file = bench.site().join("d0/0.css.gz").display().to_string();
    let asks: Vec<_> = (0..8).map(|_| asked(&file)).collect();
    let text = bench.alarm("hung").await;
    assert!(text.contains("has not answered for"), "{text}");
    the_other_goes_on(&bench, "b.css").await;
    let mut buffer = [0; 512];
    while socket.try_recv(&mut buffer).is_ok() {}
    for _ in 0..4 {
        let heard = tokio::time::timeout(Duration::from_secs(3), socket.recv(&mut buffer)).await;
        let length = heard.expect("the watchdog is fed in time").unwrap();
        assert!(buffer[..length].starts_with(b"WATCHDOG=1"));
    }
    let began = Instant::now();
    assert_eq!(bench.terminate().await, Some(0));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "stopped after {took:?}");
    drop(asks);

    // It still hangs at the start.
    while socket.try_recv(&mut buffer).is_ok() {}
    bench.spawn();
    until("the other is watched", async || {
        let output = bench.run(&["--format", "json", "status"]).await;
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        (status["pipelines"][1]["origins"][0]["armed"] == true).then_some(())
    })
    .await;
    the_other_goes_on(&bench, "c.css").await;
    let mut heard = String::new();
    until("systemd hears that it is ready", async || {
        let length = socket.recv(&mut buffer).await.unwrap();
        heard.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        heard.contains("READY=1").then_some(())
    })
    .await;
    bench.alarm("hung").await;

    // What changed meanwhile is found when it answers again.
    fs::write(bench.path("source/d0/0.css"), "two").unwrap();
    signal_to(fuse.process.id(), "-CONT");
    bench.no_alarm().await;
    bench.purged("/d0/0.css").await;
    the_other_goes_on(&bench, "d.css").await;
    let mut purges = bench.purges();
    purges.sort();
    assert_eq!(purges, ["/b.css", "/c.css", "/d.css", "/d0/0.css"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filesystem_that_hangs_while_it_is_scanned_holds_up_nobody_else() {
    if !has("bindfs") || !may_mount() {
        return;
    }
    let (mut bench, fuse) = two().await;
    signal_to(fuse.process.id(), "-STOP");
    // From the very first look on.
    bench.spawn();
    until("the other is watched", async || {
        let output = bench.run(&["--format", "json", "status"]).await;
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        (status["pipelines"][1]["origins"][0]["armed"] == true).then_some(())
    })
    .await;
    the_other_goes_on(&bench, "b.css").await;
    signal_to(fuse.process.id(), "-CONT");
    bench.started(|origin| origin["unread_files"] == 0).await;
    fs::write(bench.path("source/d0/0.css"), "two").unwrap();
    bench.purged("/d0/0.css").await;
    assert_eq!(bench.purges(), ["/b.css", "/d0/0.css"]);
}
