//! kill -9 at any moment, restart: nothing is lost. And an orderly stop.

use std::time::Duration;

use crate::bench::{Bench, until};

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_nothing_is_lost() {
    let mut bench = Bench::new().await;
    for number in 0..60 {
        bench.write(&format!("{number}.css"), "zero");
    }
    bench.start().await;
    let mut random = fastrand::Rng::with_seed(20);
    for round in 1..=12 {
        for number in 0..60 {
            // The edge holds what was there before the change.
            bench.fetch(&format!("/{number}.css")).await;
            bench.write(&format!("{number}.css"), &format!("round {round}"));
        }
        // From before the look to after the purge.
        tokio::time::sleep(Duration::from_millis(random.u64(0..1_500))).await;
        bench.kill().await;
        bench.write("1.css", &format!("round {round}, while it was down"));
        bench.start().await;
    }
    bench.settle().await;
    for number in 0..60 {
        let name = format!("{number}.css");
        let origin = std::fs::read_to_string(bench.site().join(&name)).unwrap();
        let (_, _, edge) = bench.fetch(&format!("/{name}")).await;
        assert_eq!(edge, origin, "{name} is stale at the edge");
    }
    let status = bench.status().await;
    assert_eq!(status["alarms"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_while_it_was_down_is_purged_at_the_next_start_and_a_first_start_purges_nothing() {
    let mut bench = Bench::new().await;
    bench.write("a.css", "one");
    bench.write("b.css", "one");
    bench.start().await;
    bench.settle().await;
    assert_eq!(bench.purges(), Vec::<String>::new(), "a first start");
    assert_eq!(bench.terminate().await, Some(0));
    bench.write("a.css", "two");
    bench.write("b.css", "one");
    std::fs::write(bench.site().join("c.css"), "new").unwrap();
    bench.start().await;
    bench.settle().await;
    assert_eq!(bench.purges(), ["/a.css", "/c.css"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_stops_in_order_and_fast() {
    let mut bench = Bench::new().await;
    bench.write("index.html", "one");
    bench.start().await;
    bench.write("index.html", "two");
    let pid = bench.pid();
    assert_eq!(bench.terminate().await, Some(0));
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert!(bench.log().contains("stopped"), "{}", bench.log());
    assert!(
        !bench.path("admin.sock").exists(),
        "the socket is gone with the daemon"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_the_same_state_is_refused_with_the_others_pid() {
    let mut bench = Bench::new().await;
    bench.start().await;
    let second = bench.run(&["run"]).await;
    assert_eq!(second.status.code(), Some(75));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains(&bench.pid().to_string()), "{said}");
    bench.write("a.css", "a");
    bench.purged("/a.css").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_daemon_is_small_and_asleep() {
    let mut bench = Bench::new().await;
    for number in 0..1_000 {
        bench.write(&format!("{}/{number}.css", number % 40), "file");
    }
    bench.start().await;
    bench.settle().await;
    let resident = bench.resident_kb();
    // A debug build is larger than what users run; the README has the figures of a release.
    assert!(resident < 60_000, "{resident} kB resident");
    let mut used = bench.processor_time();
    until("a second passes without work", async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = std::mem::replace(&mut used, bench.processor_time());
        (used == before).then_some(())
    })
    .await;
    // Not a wait for something: the time over which idleness is measured.
    let before = bench.processor_time();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let used = bench.processor_time().saturating_sub(before);
    // Ticks of 10 ms; a tick that falls on a wake-up counts whole.
    assert!(
        used <= Duration::from_millis(20),
        "{used:?} of CPU in 5 s of idleness"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_reloading_and_stopping_are_told_to_systemd_and_the_watchdog_is_fed() {
    let bench = Bench::new().await;
    bench.write("index.html", "one");
    let path = bench.path("notify.sock");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    bench.config();
    let mut child = bench
        .command(&["run"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "900000")
        .spawn()
        .unwrap();
    let mut heard = String::new();
    let mut buffer = [0; 512];
    until("READY=1 and WATCHDOG=1", async || {
        let length = socket.recv(&mut buffer).await.unwrap();
        heard.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        (heard.contains("READY=1") && heard.contains("WATCHDOG=1")).then_some(())
    })
    .await;
    let pid = child.id().unwrap().to_string();
    tokio::process::Command::new("kill")
        .args(["-HUP", &pid])
        .status()
        .await
        .unwrap();
    heard.clear();
    until("RELOADING=1, then READY=1 and WATCHDOG=1", async || {
        let length = socket.recv(&mut buffer).await.unwrap();
        heard.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        let (_, after) = heard.split_once("RELOADING=1\nMONOTONIC_USEC=")?;
        (after.contains("READY=1") && after.contains("WATCHDOG=1")).then_some(())
    })
    .await;
    tokio::process::Command::new("kill")
        .arg(pid)
        .status()
        .await
        .unwrap();
    until("STOPPING=1", async || {
        let length = socket.recv(&mut buffer).await.unwrap();
        heard.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        heard.contains("STOPPING=1").then_some(())
    })
    .await;
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}
