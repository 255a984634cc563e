//! After a purge is done, the edge is looked at: old bytes are purged again, and if they stay, that
//! is an alarm. And what is purged once more for origins with caches of their own.

use std::sync::{Arc, Mutex};

use edgepurge::core::change::PipelineId;
use edgepurge::sandbox::{Event, Fault};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::bench::{Bench, PIPELINE, SHOP, until};
use crate::metrics;

/// A bench that verifies at an edge.
pub(crate) fn verifying(bench: &mut Bench, edge: &str, more: &str) {
    bench.pipeline = format!("[pipeline.verify]\nedge_url = \"{edge}\"\n{more}");
}

async fn bench() -> Bench {
    let mut bench = Bench::new().await;
    let edge = bench.sandbox.edge_url(&PipelineId::new(PIPELINE)).unwrap();
    verifying(&mut bench, &edge, "");
    bench
}

/// What the history tells of the looks at an asset, newest first.
async fn looks(bench: &Bench, asset: &str) -> Vec<(String, String)> {
    let told = bench.json(&["explain", asset]).await;
    let purges = &told["subjects"][0]["assets"][0]["history"]["purges"];
    let purges = purges.as_array().unwrap().iter();
    let verified = purges.filter(|purge| !purge["verified"].is_null());
    verified
        .map(|purge| {
            let word = |key: &str| purge["verified"][key].as_str().unwrap().to_owned();
            (word("verdict"), word("why"))
        })
        .collect()
}

pub(crate) async fn looked(bench: &Bench, asset: &str, expected: &[&str]) -> Vec<(String, String)> {
    until(&format!("{asset} is looked at: {expected:?}"), async || {
        let looks = looks(bench, asset).await;
        looks
            .iter()
            .map(|(verdict, _)| verdict)
            .eq(expected)
            .then_some(looks)
    })
    .await
}

async fn metric(bench: &Bench, name: &str) -> String {
    let series = format!("edgepurge_{name}{{pipeline=\"www\"}}");
    let value = metrics::value(bench, &series).await;
    value.unwrap_or_else(|| panic!("{name}")).to_string()
}

/// How many assets were found fresh, stale, and neither.
async fn verified(bench: &Bench) -> [Option<f64>; 3] {
    let mut counts = [None; 3];
    for (count, result) in counts.iter_mut().zip(["fresh", "stale", "unverified"]) {
        let labels = format!("pipeline=\"www\",result=\"{result}\"");
        let series = format!("edgepurge_verified_total{{{labels}}}");
        *count = metrics::value(bench, &series).await;
    }
    counts
}

/// Waits until a metric has counted so much: it does after what it counts is on disk.
async fn counted(bench: &Bench, name: &str, count: &str) {
    until(&format!("{name} is {count}"), async || {
        (metric(bench, name).await == count).then_some(())
    })
    .await;
}

/// How often an asset was purged.
fn times(bench: &Bench, asset: &str) -> usize {
    let purges = bench.purges();
    purges.iter().filter(|purged| *purged == asset).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_fresh_when_the_edge_has_it_and_a_gone_file_when_it_has_not() {
    let mut bench = bench().await;
    bench.write("a.css", "one");
    bench.write("b.css", "one");
    bench.start().await;
    for name in ["/a.css", "/b.css"] {
        bench.fetch(name).await;
    }
    assert_eq!(metric(&bench, "fresh_seconds_count").await, "0");
    bench.write("a.css", "two");
    looked(&bench, "/a.css", &["fresh"]).await;
    counted(&bench, "fresh_seconds_count", "1").await;
    std::fs::remove_file(bench.site().join("b.css")).unwrap();
    looked(&bench, "/b.css", &["fresh"]).await;
    counted(&bench, "fresh_seconds_count", "2").await;
    assert_eq!(metric(&bench, "unverified_total").await, "0");
    assert_eq!(bench.purges(), ["/a.css", "/b.css"], "nothing needless");
    // No file is known behind what somebody asks for by hand.
    let purged = bench.run(&["purge", "www", "/x", "--wait"]).await;
    assert!(purged.status.success(), "{purged:?}");
    let told = looked(&bench, "/x", &["unverified"]).await;
    assert_eq!(told[0].1, "no file is known behind it");
    counted(&bench, "unverified_total", "1").await;
    assert_eq!(verified(&bench).await, [2.0, 0.0, 1.0].map(Some));
    let text = bench.run(&["explain", "/x"]).await;
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("unverified at the edge 20"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_edge_is_purged_again_until_it_is_fresh() {
    let mut bench = bench().await;
    bench.write("a.css", "one");
    bench.start().await;
    bench.fetch("/a.css").await;
    // The API says done, and the edge keeps what it had.
    bench.sandbox.script(Fault::Keep);
    bench.write("a.css", "two");
    looked(&bench, "/a.css", &["stale"]).await;
    assert_eq!(metric(&bench, "fresh_seconds_count").await, "0");
    looked(&bench, "/a.css", &["fresh", "stale"]).await;
    assert_eq!(times(&bench, "/a.css"), 2);
    let (_, _, body) = bench.fetch("/a.css").await;
    assert_eq!(body, "two");
    counted(&bench, "fresh_seconds_count", "1").await;
    let fresh: f64 = metric(&bench, "fresh_seconds_sum").await.parse().unwrap();
    assert!(fresh >= 2.0, "it ends when it is verified: {fresh} s");
    assert_eq!(verified(&bench).await, [1.0, 1.0, 0.0].map(Some));
    assert_eq!(bench.status().await["alarms"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_stale_is_failed_with_an_alarm_after_three_rounds_over_a_restart() {
    let mut bench = bench().await;
    bench.write("a.css", "one");
    bench.start().await;
    bench.fetch("/a.css").await;
    bench.sandbox.script(Fault::Keep.times(1_000));
    bench.write("a.css", "two");
    looked(&bench, "/a.css", &["stale"]).await;
    bench.kill().await;
    bench.start().await;
    looked(&bench, "/a.css", &["stale"; 4]).await;
    let alarm = until("the alarm", async || {
        let status = bench.status().await;
        let alarms = status["alarms"].as_array().unwrap().clone();
        alarms.into_iter().find(|one| one["reason"] == "failed")
    })
    .await;
    let text = alarm["text"].as_str().unwrap();
    assert!(text.contains("the edge keeps"), "{text}");
    until("the log says so", async || {
        bench.log().contains("stale for good").then_some(())
    })
    .await;
    assert_eq!(times(&bench, "/a.css"), 4, "once, and three times again");

    bench.sandbox.clear_script();
    let retried = bench.run(&["retry", "www"]).await;
    assert!(retried.status.success(), "{retried:?}");
    let all = ["fresh", "stale", "stale", "stale", "stale"];
    looked(&bench, "/a.css", &all).await;
    until("no alarm", async || {
        let status = bench.status().await;
        (status["alarms"] == serde_json::json!([])).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_bytes_are_fetched_than_the_budget_allows() {
    let mut bench = Bench::new().await;
    let edge = bench.sandbox.edge_url(&PipelineId::new(PIPELINE)).unwrap();
    // Half of it may be spent at once: a file of 300 KiB, and no second one.
    verifying(&mut bench, &edge, "max_bytes_per_hour = \"1 MiB\"\n");
    let content = |with: char| with.to_string().repeat(300 << 10);
    for name in ["a.css", "b.css", "c.css"] {
        bench.write(name, &content('1'));
    }
    bench.start().await;
    bench.write("a.css", &content('2'));
    looked(&bench, "/a.css", &["fresh"]).await;
    bench.write("b.css", &content('2'));
    let told = looked(&bench, "/b.css", &["unverified"]).await;
    assert!(told[0].1.contains("max_bytes_per_hour"), "{told:?}");
    // A restart is no new hour.
    assert_eq!(bench.terminate().await, Some(0));
    bench.start().await;
    bench.write("c.css", &content('2'));
    looked(&bench, "/c.css", &["unverified"]).await;
    counted(&bench, "unverified_total", "1").await;
    assert_eq!(bench.status().await["alarms"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_being_fetched_at_a_kill_is_spent() {
    let mut bench = Bench::new().await;
    // It says how long it is, and sends nothing.
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let edge = format!("http://{}", slow.local_addr().unwrap());
    let budget = "max_bytes_per_hour = \"1 MiB\"\ntimeout = \"10m\"\n";
    verifying(&mut bench, &edge, budget);
    let content = |with: char| with.to_string().repeat(300 << 10);
    bench.write("a.css", &content('1'));
    bench.start().await;
    bench.write("a.css", &content('2'));
    let (mut socket, _) = slow.accept().await.unwrap();
    let asked = socket.read(&mut [0; 4_096]).await.unwrap();
    assert!(asked > 0);
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 307200\r\n\r\nsome";
    socket.write_all(head.as_bytes()).await.unwrap();
    until("it is set aside", async || {
        let noted = rusqlite::Connection::open(bench.path("state/queue.db")).unwrap();
        let word: Option<String> = noted
            .query_row(
                "SELECT value FROM meta WHERE key LIKE 'note:egress:%'",
                [],
                |row| row.get(0),
            )
            .ok();
        word
    })
    .await;
    bench.kill().await;
    drop((socket, slow));
    let edge = bench.sandbox.edge_url(&PipelineId::new(PIPELINE)).unwrap();
    verifying(&mut bench, &edge, budget);
    bench.start().await;
    let told = looked(&bench, "/a.css", &["unverified"]).await;
    assert!(told[0].1.contains("max_bytes_per_hour"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_hangs_holds_up_no_other() {
    let mut bench = Bench::new().await;
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let edge = bench.sandbox.edge_url(&PipelineId::new(PIPELINE)).unwrap();
    verifying(&mut bench, &edge, "");
    std::fs::create_dir(bench.path("shop")).unwrap();
    bench.origin = format!(
        "[[pipeline]]\nname = \"shop\"\nid = \"{SHOP}\"\n[[pipeline.origin]]\nroot = \"{}\"\n\
         [pipeline.verify]\nedge_url = \"http://{}\"\ntimeout = \"10m\"\n",
        bench.path("shop").display(),
        mute.local_addr().unwrap(),
    );
    bench.write("a.css", "one");
    bench.start().await;
    for number in 0..20 {
        std::fs::write(bench.path(&format!("shop/{number}.css")), "new").unwrap();
    }
    // As many as are asked for at once.
    let mut asked = Vec::new();
    for _ in 0..4 {
        asked.push(mute.accept().await.unwrap());
    }
    bench.write("a.css", "two");
    looked(&bench, "/a.css", &["fresh"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_all_a_sample_is_verified() {
    let mut bench = bench().await;
    bench.pipeline = format!("all_above = 20\n{}", bench.pipeline);
    for number in 0..40 {
        bench.write(&format!("{number}.css"), "one");
    }
    bench.start().await;
    let mut events = bench.sandbox.events();
    for number in 0..40 {
        bench.write(&format!("{number}.css"), "two");
    }
    counted(&bench, "fresh_seconds_count", "20").await;
    let mut served = 0;
    while let Ok(event) = events.try_recv() {
        served += usize::from(matches!(event, Event::Served { .. }));
    }
    assert_eq!(served, 20);
    assert_eq!(bench.purges(), ["*"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_404_of_a_file_that_is_new_is_purged_until_the_file_is_served() {
    let mut bench = bench().await;
    bench.start().await;
    // Somebody came too early.
    for early in ["/new.css", "/blog/"] {
        assert_eq!(bench.fetch(early).await.0, 404);
    }
    bench.sandbox.script(Fault::Keep);
    bench.write("new.css", "new");
    let told = looked(&bench, "/new.css", &["stale"]).await;
    assert_eq!(told[0].1, "the edge answers 404, and its file is there");
    looked(&bench, "/new.css", &["fresh", "stale"]).await;
    assert_eq!(bench.fetch("/new.css").await.2, "new");
    assert_eq!(times(&bench, "/new.css"), 2);

    // What visitors ask for is the directory.
    bench.sandbox.script(Fault::Keep);
    bench.write("blog/index.html", "a page");
    looked(&bench, "/blog/", &["fresh", "stale"]).await;
    assert_eq!(bench.fetch("/blog/").await.2, "a page");
    assert_eq!(bench.status().await["alarms"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_the_origin_does_not_serve_ends_unverified_and_is_not_purged_so_often_again() {
    let mut bench = Bench::new().await;
    let (edge, _) = recording("404 Not Found", Arc::default()).await;
    verifying(&mut bench, &edge, "");
    bench.start().await;
    bench.write("a.map", "one");
    let ends = ["unverified", "stale", "stale", "stale"];
    let told = looked(&bench, "/a.map", &ends).await;
    assert!(told[0].1.contains("perhaps its origin"), "{told:?}");
    assert_eq!(times(&bench, "/a.map"), 4);
    assert_eq!(bench.status().await["alarms"], serde_json::json!([]));
    // That is known now.
    bench.write("a.map", "two");
    let ends = ["unverified", "unverified", "stale", "stale", "stale"];
    looked(&bench, "/a.map", &ends).await;
    bench.rested().await;
    assert_eq!(times(&bench, "/a.map"), 5);
    assert_eq!(bench.status().await["alarms"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_has_none_of_the_files_is_not_purged_for_each_of_them() {
    let mut bench = Bench::new().await;
    let (edge, _) = recording("404 Not Found", Arc::default()).await;
    verifying(&mut bench, &edge, "");
    bench.start().await;
    for number in 0..60 {
        bench.write(&format!("{number}.css"), "new");
    }
    counted(&bench, "unverified_total", "60").await;
    bench.rested().await;
    let purges = bench.purges().len();
    assert!(purges <= 60 + 20, "{purges} purges for 60 files");
    let log = bench.log();
    assert_eq!(log.matches("the right edge_url").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_body_is_not_taken_for_an_empty_file() {
    let mut bench = Bench::new().await;
    let (edge, _) = recording("302 Found", Arc::default()).await;
    verifying(&mut bench, &edge, "");
    bench.write("emptied.css", "one");
    bench.write("filled.css", "");
    bench.start().await;
    bench.write("emptied.css", "");
    bench.write("filled.css", "two");
    for name in ["/emptied.css", "/filled.css"] {
        looked(&bench, name, &["unverified"]).await;
    }
    bench.rested().await;
    assert_eq!(bench.purges(), ["/emptied.css", "/filled.css"]);
}

/// An edge of its own, that answers with what `body` holds, and keeps what it was asked.
async fn recording(
    status: &'static str,
    body: Arc<Mutex<String>>,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).await.unwrap_or(0) == 1 {
                head.push(byte[0]);
            }
            kept.lock().unwrap().push(String::from_utf8(head).unwrap());
            let body = body.lock().unwrap().clone();
            let answer = format!(
                "HTTP/1.1 {status}\r\nLocation: /elsewhere\r\nSet-Cookie: session=1; Path=/\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            drop(socket.write_all(answer.as_bytes()).await);
        }
    });
    (url, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_visits_without_cookies_and_follows_no_redirect() {
    let mut bench = Bench::new().await;
    let (edge, asked) = recording("302 Found", Arc::default()).await;
    verifying(&mut bench, &edge, "");
    bench.write("a.css", "one");
    bench.write("b.css", "one");
    bench.start().await;
    for name in ["a.css", "b.css"] {
        bench.write(name, "two");
        let told = looked(&bench, &format!("/{name}"), &["unverified"]).await;
        assert_eq!(told[0].1, "the edge answers 302");
    }
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2, "{asked:?}");
    for (head, name) in asked.iter().zip(["/a.css", "/b.css"]) {
        assert!(
            head.starts_with(&format!("GET {name} HTTP/1.1\r\n")),
            "{head}"
        );
        assert!(!head.to_ascii_lowercase().contains("cookie"), "{head}");
    }
    assert_eq!(
        bench.purges(),
        ["/a.css", "/b.css"],
        "nothing is purged for it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_does_not_answer_is_asked_again_and_fails_nothing() {
    let mut bench = Bench::new().await;
    let (edge, asked) = recording("503 Busy", Arc::default()).await;
    verifying(&mut bench, &edge, "");
    bench.write("a.css", "one");
    bench.start().await;
    bench.write("a.css", "two");
    counted(&bench, "unverified_total", "1").await;
    assert_eq!(asked.lock().unwrap().len(), 4, "and three times again");
    let told = looked(&bench, "/a.css", &["unverified"]).await;
    assert_eq!(told[0].1, "the edge answers 503");
    assert_eq!(bench.status().await["alarms"], serde_json::json!([]));
    assert_eq!(bench.purges(), ["/a.css"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_verified_before_a_restart_is_verified_after_it() {
    let mut bench = Bench::new().await;
    let body = Arc::new(Mutex::new("two".to_owned()));
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let edge = format!("http://{}", mute.local_addr().unwrap());
    verifying(&mut bench, &edge, "timeout = \"10m\"\n");
    bench.write("a.css", "one");
    bench.start().await;
    bench.write("a.css", "two");
    // It is being asked, and says nothing.
    let asked = mute.accept().await.unwrap();
    assert_eq!(bench.terminate().await, Some(0), "a look holds nobody up");
    drop((asked, mute));
    let (edge, _) = recording("200 OK", body).await;
    verifying(&mut bench, &edge, "");
    bench.start().await;
    looked(&bench, "/a.css", &["fresh"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_purged_is_purged_once_more_later_also_over_a_restart() {
    let mut bench = Bench::new().await;
    bench.pipeline = "repurge_after = \"8s\"".to_owned();
    bench.write("a.css", "one");
    bench.write("b.css", "one");
    bench.start().await;
    bench.write("a.css", "two");
    bench.purged("/a.css").await;
    until("it is settled", async || {
        let status = bench.status().await;
        (status["settled"] == true).then_some(())
    })
    .await;
    assert_eq!(times(&bench, "/a.css"), 1);
    bench.kill().await;
    bench.start().await;
    until("it is purged once more", async || {
        (times(&bench, "/a.css") == 2).then_some(())
    })
    .await;
    let purges = bench.sandbox.requests();
    let made: Vec<u64> = purges.iter().map(|one| one.created.millis()).collect();
    assert!(made[1] - made[0] >= 8_000, "{made:?}");
    // What follows on another change shows that the first is at an end.
    bench.write("b.css", "two");
    until("the other is purged twice", async || {
        (times(&bench, "/b.css") == 2).then_some(())
    })
    .await;
    assert_eq!(times(&bench, "/a.css"), 2, "once more, and no more");
    let told: Value = bench.json(&["explain", "/a.css"]).await;
    let purges = &told["subjects"][0]["assets"][0]["history"]["purges"];
    assert_eq!(purges[0]["cause"]["detail"], "repurge_after");
    assert_eq!(purges[1]["cause"]["kind"], "changed");
}
