//! Ten incidents, each prepared for real: the page says what is wrong, since when, and what to do, and
//! `edgepurge status` says it in the same words.
//!
//! With `EDGEPURGE_TEST_SCREENSHOTS=DIR` the pages are kept as pictures in that directory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use edgepurge::core::change::PipelineId;
use edgepurge::sandbox::{Fault, Operation};
use serde_json::{Value, json};
use tokio::process::Command;

use super::browser::{CHROMIUM, ended, modules};
use super::root;
use crate::admin::{TOKEN, with_token};
use crate::bench::{Bench, PIPELINE, text, until, user};
use crate::webhooks::{address, with_route};

/// An incident's name, and the pages that show it.
struct Incident {
    name: &'static str,
    bench: Bench,
}

impl Incident {
    async fn new(name: &'static str) -> Self {
        let mut bench = Bench::new().await;
        with_token(&mut bench);
        bench.write("index.html", "first");
        bench.write("shop/prices.json", "first");
        Self { name, bench }
    }

    /// The page at this address has these words, and the output of `status`, too.
    async fn shows(&self, at: &str, words: &[&str]) {
        let status = text(&self.bench.run(&["status"]).await.stdout);
        let status = status.split_whitespace().collect::<Vec<_>>().join(" ");
        // What the page shows as a command stands between backquotes.
        let status = status.replace('`', "");
        for word in words {
            assert!(status.contains(word), "{}: {word}\n{status}", self.name);
        }
        self.page_shows(at, words).await;
    }

    /// The page at this address has these words.
    async fn page_shows(&self, at: &str, words: &[&str]) {
        let Some(modules) = modules() else {
            return;
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/incident.mjs");
        let shots = std::env::var_os("EDGEPURGE_TEST_SCREENSHOTS");
        let shot = shots.map(|to| Path::new(&to).join(format!("{}.png", self.name)));
        let mut node = Command::new("node");
        node.arg(script)
            .env("NODE_MODULES", modules)
            .env("CHROMIUM", CHROMIUM)
            .env("AT", format!("{}{at}", root(&self.bench)))
            .env("WORDS", json!(words).to_string())
            .env("SHOT", shot.unwrap_or_default());
        let output = ended(&mut node).await;
        let complaint = text(&output.stderr);
        assert!(output.status.success(), "{}: {complaint}", self.name);
    }
}

/// Waits until the first pipeline is so.
async fn pipeline(bench: &Bench, what: &str, is: impl Fn(&Value) -> bool) {
    until(what, async || {
        is(&bench.status().await["pipelines"][0]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_api_refuses() {
    let mut incident = Incident::new("refused-key").await;
    let bench = &mut incident.bench;
    bench.start().await;
    bench
        .sandbox
        .script(Fault::Unauthorized.on(Operation::Create));
    bench.write("index.html", "second");
    bench.alarm("unauthorized").await;
    incident
        .shows(
            "",
            &[
                "nothing is purged; changes wait on disk, none is lost",
                "since ",
                "authentication is denied",
                "write a valid key into",
            ],
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_a_colleague() {
    let mut incident = Incident::new("paused").await;
    let bench = &mut incident.bench;
    bench.start().await;
    let reason = "restore of the database, ask Alice";
    let paused = bench.run(&["pause", "www", "--reason", reason]).await;
    assert!(paused.status.success(), "{paused:?}");
    bench.write("index.html", "second");
    pipeline(bench, "an asset waits", |one| one["queued_assets"] == 2).await;
    let by = format!("paused by {}", user());
    incident
        .shows(
            "",
            &[
                &by,
                "since ",
                "until resumed",
                reason,
                "edgepurge resume www",
            ],
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_gone() {
    let mut incident = Incident::new("root-gone").await;
    let bench = &mut incident.bench;
    bench.start().await;
    fs::rename(bench.site(), bench.path("away")).unwrap();
    bench.alarm("root_missing").await;
    let root = bench.site().display().to_string();
    incident
        .shows(
            "",
            &[
                "nothing of the origin is purged, and its index is kept; webhooks that ask for a scan wait for it, \
                 other origins go on",
                "since ",
                &root,
                "put it back, or correct root; it goes on by itself",
                "config.toml:",
            ],
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_can_t_be_read() {
    let mut incident = Incident::new("unreadable").await;
    let bench = &mut incident.bench;
    if rustix::process::geteuid().is_root() {
        // Root gives up what makes it pass permissions; files are its own all the same.
        let without = "--bounding-set=-dac_override,-dac_read_search";
        bench.within = ["setpriv", without].map(str::to_owned).to_vec();
    }
    bench.write("members/area.html", "first");
    let closed = fs::Permissions::from_mode(0o000);
    fs::set_permissions(bench.site().join("members"), closed).unwrap();
    bench.start().await;
    bench.alarm("unreadable").await;
    incident
        .shows(
            "",
            &[
                "changes in what can't be read are not purged",
                "since ",
                "members",
                "let the user of the service read it",
            ],
        )
        .await;
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(incident.bench.site().join("members"), open).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_stays_stale() {
    let mut incident = Incident::new("stale-edge").await;
    let bench = &mut incident.bench;
    let edge = bench.sandbox.edge_url(&PipelineId::new(PIPELINE)).unwrap();
    bench.pipeline = format!("[pipeline.verify]\nedge_url = \"{edge}\"");
    bench.write("a.css", "first");
    bench.start().await;
    bench.fetch("/a.css").await;
    bench.sandbox.script(Fault::Keep.times(1_000));
    bench.write("a.css", "second");
    bench.alarm("failed").await;
    incident
        .shows(
            "",
            &[
                "the edge may keep old bytes of these assets",
                "since ",
                "/a.css",
                "the edge keeps old bytes of /a.css",
                "edgepurge explain /a.css",
                "edgepurge retry www",
            ],
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue() {
    let mut incident = Incident::new("full-queue").await;
    let bench = &mut incident.bench;
    bench.pipeline = "all_above = \"never\"\nall_after = \"never\"".to_owned();
    "info".clone_into(&mut bench.log_level);
    bench.start().await;
    let reason = "the new origin is being filled";
    let paused = bench.run(&["pause", "www", "--reason", reason]).await;
    assert!(paused.status.success(), "{paused:?}");
    let assets: Vec<String> = (0..100_000)
        .map(|number| format!("/{number}.css"))
        .collect();
    let purge = reqwest::Client::builder()
        .unix_socket(bench.path("admin.sock"))
        .build()
        .unwrap()
        .post("http://localhost/api/v1/purge")
        .json(&json!({ "pipeline": "www", "assets": assets }));
    assert_eq!(purge.send().await.unwrap().status(), 202);
    bench.alarm("queue_full").await;
    incident
        .shows(
            "",
            &[
                "what changes now waits, files where they are and webhooks at their senders; nothing is lost",
                "since ",
                "edgepurge purge www --all",
                "edgepurge drop www",
            ],
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_lost() {
    let mut incident = Incident::new("lost-database").await;
    let bench = &mut incident.bench;
    bench.start().await;
    bench.write("index.html", "second");
    bench.settle().await;
    assert_eq!(bench.terminate().await, Some(0));
    for entry in fs::read_dir(bench.path("state")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("queue.db")
        {
            fs::remove_file(path).unwrap();
        }
    }
    bench.sandbox.set_purge_delay(Duration::from_mins(5));
    bench.start().await;
    pipeline(bench, "everything is being purged", |one| {
        one["in_flight"] == 1
    })
    .await;
    incident
        .shows(
            "",
            &[
                "queue.db is missing: what changed before can't be known",
                "everything is purged once; nothing is to be done",
            ],
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_with_a_wrong_secret() {
    let mut incident = Incident::new("wrong-secret").await;
    let bench = &mut incident.bench;
    with_route(bench, "generic", "", "");
    bench.start().await;
    let hook = format!("http://{}/hooks/www", address(bench).await);
    let client = reqwest::Client::new();
    for _ in 0..3 {
        let sent = client
            .post(&hook)
            .bearer_auth(TOKEN)
            .json(&json!({ "all": true }));
        assert_eq!(sent.send().await.unwrap().status(), 401);
    }
    incident
        .shows(
            "",
            &[
                "/hooks/www",
                "wrong × 3",
                "since ",
                "127.0.0.1",
                "compare the secret",
            ],
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_that_was_learned() {
    let mut incident = Incident::new("learned-rate").await;
    let bench = &mut incident.bench;
    bench.start().await;
    let limit = Fault::RateLimit { retry_after: None };
    bench.sandbox.script(limit.times(1_000));
    bench.write("index.html", "second");
    bench.alarm("rate_limited").await;
    incident
        .shows(
            "",
            &[
                "purges take longer; changes wait on disk, none is lost",
                "since ",
                "lower requests_per_second",
            ],
        )
        .await;
    // What is left when the API takes calls again.
    incident.bench.sandbox.clear_script();
    until("it goes on", async || {
        (incident.bench.status().await["alarms"] == json!([])).then_some(())
    })
    .await;
    let words = [
        "calls a second (configured: 10.0): the API limits the rate, which grows back by itself, since ",
    ];
    incident.shows("", &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_all_the_time() {
    let mut incident = Incident::new("hot-file").await;
    let bench = &mut incident.bench;
    bench.start().await;
    for number in 0.. {
        bench.write("shop/prices.json", &number.to_string());
        bench.purged("/shop/prices.json").await;
        let status = bench.status().await;
        if status["pipelines"][0]["hot"] != json!([]) {
            break;
        }
        until("it is purged", async || {
            (bench.status().await["settled"] == true).then_some(())
        })
        .await;
    }
    bench.write("shop/prices.json", "again");
    pipeline(bench, "it waits", |one| one["queued_assets"] == 1).await;
    incident
        .shows(
            "",
            &[
                "/shop/prices.json, since ",
                "changes all the time, purged every 10 s",
                "its last change always",
                "to do: find what writes it, or nothing",
            ],
        )
        .await;
}
