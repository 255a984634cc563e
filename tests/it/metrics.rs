//! `/metrics`: real tools read both of its forms, and over a day's work every metric moves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use edgepurge::core::change::PipelineId;
use edgepurge::sandbox::{Fault, Operation};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::bench::{Bench, PIPELINE, SHOP, skip, until};
use crate::hostile::{limits, losses, machine, unreadable};
use crate::webhooks;

mod shipped;

/// The answer of `/metrics` and its `Content-Type`.
pub(crate) async fn scrape(bench: &Bench, accept: Option<&str>) -> (String, String) {
    let client = reqwest::Client::builder()
        .unix_socket(bench.path("admin.sock"))
        .build()
        .unwrap();
    let mut request = client.get("http://localhost/metrics");
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let kind = response.headers()["content-type"].to_str().unwrap();
    let kind = kind.to_owned();
    (response.text().await.unwrap(), kind)
}

/// The value of a series, named as a scrape names it.
pub(crate) async fn value(bench: &Bench, series: &str) -> Option<f64> {
    let (text, _) = scrape(bench, None).await;
    let mut values = text.lines().filter_map(|line| line.strip_prefix(series));
    values.find_map(|value| value.strip_prefix(' ')?.parse().ok())
}

/// Prometheus' own tool, where it is there.
fn promtool() -> Option<PathBuf> {
    let named = std::env::var_os("EDGEPURGE_TEST_PROMTOOL").map(PathBuf::from);
    let installed = Path::new("/usr/bin/promtool").to_path_buf();
    named.or_else(|| installed.exists().then_some(installed))
}

/// Gives a program a text, and returns all that it says, and whether it succeeded.
async fn given(mut program: Command, text: &str) -> (String, bool) {
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8(said).unwrap(), output.status.success())
}

/// A daemon that has been through something, so that there is more than zeros.
async fn worked() -> Bench {
    let mut bench = Bench::new().await;
    webhooks::with_route(&mut bench, "github", "", "");
    bench.write("index.html", "one");
    bench.start().await;
    let address = webhooks::address(&bench).await;
    webhooks::github(&address, 1).await;
    bench.write("index.html", "two");
    bench.settle().await;
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_wrong_with_the_text_that_everyone_gets() {
    let Some(promtool) = promtool() else {
        return skip("promtool is not installed; tests/run unpacks it");
    };
    let bench = worked().await;
    for accept in [None, Some("*/*"), Some("text/plain;version=0.0.4")] {
        let (text, kind) = scrape(&bench, accept).await;
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
        let mut check = Command::new(&promtool);
        check.args(["check", "metrics"]);
        assert_eq!(
            given(check, &text).await,
            (String::new(), true),
            "{accept:?}"
        );
    }
    // It is able to complain.
    let (open, _) = scrape(&bench, Some("application/openmetrics-text")).await;
    let mut check = Command::new(&promtool);
    check.args(["check", "metrics"]);
    assert!(!given(check, &open).await.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parser_of_openmetrics_reads_what_prometheus_asks_for() {
    const PARSE: &str = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
        for family in parse(sys.stdin.read()):\n\
        \x20   print(family.name, family.type, len(family.samples))\n";
    let Some(python) = std::env::var_os("EDGEPURGE_TEST_PYTHON") else {
        return skip(
            "EDGEPURGE_TEST_PYTHON names no Python with prometheus_client; tests/run does",
        );
    };
    let parse = |text: String| {
        let mut parser = Command::new(&python);
        parser.args(["-c", PARSE]);
        async move { given(parser, &text).await }
    };
    let bench = worked().await;
    // As Prometheus 2.42 asks.
    let accept = "application/openmetrics-text;version=1.0.0,\
                  application/openmetrics-text;version=0.0.1;q=0.75,\
                  text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let (text, kind) = scrape(&bench, Some(accept)).await;
    assert_eq!(
        kind,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let (families, good) = parse(text).await;
    assert!(good, "{families}");
    for family in [
        "edgepurge_changes counter",
        "edgepurge_scan_duration_seconds histogram",
        "edgepurge_queued_assets gauge",
    ] {
        assert!(families.contains(family), "{family} in\n{families}");
    }
    // It is able to complain.
    let (text, _) = scrape(&bench, None).await;
    assert!(!parse(text).await.1);
}

/// A name or series without what every name begins with, but for those that every program has.
fn short(name: &str) -> String {
    name.strip_prefix("edgepurge_").unwrap_or(name).to_owned()
}

/// What was seen of each series, at any time.
#[derive(Debug, Default)]
struct Ledger {
    kinds: BTreeMap<String, String>,
    series: BTreeMap<String, BTreeSet<String>>,
    /// The series of the first look at each daemon.
    first: BTreeMap<u32, BTreeSet<String>>,
}

impl Ledger {
    /// Takes down what a daemon tells now. Every series is there from its start: what counts from nothing
    /// to one would be no increase to Prometheus.
    async fn see(&mut self, bench: &Bench) {
        let mut now = BTreeSet::new();
        for line in scrape(bench, None).await.0.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let (name, kind) = family.split_once(' ').unwrap();
                self.kinds.insert(short(name), kind.to_owned());
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let values = self.series.entry(short(series)).or_default();
                values.insert(value.to_owned());
                now.insert(series.to_owned());
            }
        }
        let first = self.first.entry(bench.pid()).or_insert_with(|| now.clone());
        let new: Vec<&String> = now.difference(first).collect();
        assert!(new.is_empty(), "not there from the start, at zero: {new:?}");
    }

    /// Whether somebody sets it: a count that is not zero, or a state that was another one before.
    fn moved(&self, name: &str) -> bool {
        let kind = self.kinds.get(name).map_or("", String::as_str);
        let counted = match kind {
            "histogram" => format!("{name}_count"),
            _ => name.to_owned(),
        };
        let of_it = self.series.iter().filter(|(series, _)| {
            let named = series.split('{').next().unwrap();
            named == counted
        });
        of_it.into_iter().any(|(_, values)| match kind {
            // It is what it is for as long as the process lives.
            "gauge" if ["build_info", "store_up"].contains(&name) => values.contains("1"),
            // The system's: no work of the daemon changes them.
            "gauge" if ["max_user_watches", "process_start_time_seconds"].contains(&name) => {
                values.iter().any(|value| value != "0")
            }
            "gauge" => values.len() > 1,
            _ => values.iter().any(|value| value != "0"),
        })
    }

    /// Waits until all of these have moved.
    async fn until(&mut self, bench: &Bench, names: &[&str]) {
        for name in names {
            until(&format!("{name} moves"), async || {
                self.see(bench).await;
                self.moved(name).then_some(())
            })
            .await;
        }
    }
}

/// Deploys, a paused hour, the API's troubles, a mistake in the configuration.
async fn an_ordinary_day(ledger: &mut Ledger) {
    let mut bench = Bench::new().await;
    let edge = bench.sandbox.edge_url(&PipelineId::new(PIPELINE)).unwrap();
    bench.pipeline = format!("[pipeline.verify]\nedge_url = \"{edge}\"\n");
    bench.origin.push_str("rescan = \"1s\"\n");
    webhooks::with_route(&mut bench, "github", "", "");
    bench.write("a.css", "one");
    std::fs::hard_link(bench.path("site/a.css"), bench.path("outside.css")).unwrap();
    bench.start().await;
    ledger.see(&bench).await;

    bench.write("new/b.css", "one");
    bench.purged("/new/b.css").await;
    let by_a_deploy = [
        "changes_total",
        "purge_requests_total",
        "assets_purged_total",
        "wait_seconds",
        "settle_seconds",
        "fresh_seconds",
        "last_purge_timestamp_seconds",
        "verified_total",
        "api_requests_total",
        "api_request_duration_seconds",
        "indexed_files",
        "watched_directories",
        "scans_total",
        "scan_duration_seconds",
        "last_scan_timestamp_seconds",
    ];
    ledger.until(&bench, &by_a_deploy).await;
    bench.write("new/b.css", "one");
    ledger.until(&bench, &["unchanged_total"]).await;
    std::fs::write(bench.path("outside.css"), "two").unwrap();
    ledger.until(&bench, &["drift_total"]).await;

    let address = webhooks::address(&bench).await;
    webhooks::github(&address, 1).await;
    let unsigned = reqwest::Client::new().post(format!("http://{address}/hooks/www"));
    assert_eq!(unsigned.send().await.unwrap().status(), 401);
    let by_senders = ["webhooks_total", "webhook_refusals_total"];
    ledger.until(&bench, &by_senders).await;

    bench.run(&["pause", "www"]).await;
    bench.write("c.css", "one");
    let paused = ["paused", "queued_assets", "oldest_queued_age_seconds"];
    ledger.until(&bench, &paused).await;
    bench.sandbox.set_purge_delay(Duration::from_secs(3));
    bench.run(&["resume", "www"]).await;
    ledger.until(&bench, &["in_flight"]).await;
    bench.sandbox.set_purge_delay(Duration::from_millis(200));

    bench.run(&["purge", "www", "/of/no/file"]).await;
    ledger.until(&bench, &["unverified_total"]).await;
    bench.run(&["purge", "www", "--all"]).await;
    ledger.until(&bench, &["escalations_total"]).await;
    let retry_after = Some(Duration::from_secs(1));
    bench.sandbox.script(Fault::RateLimit { retry_after });
    bench.write("d.css", "one");
    let limited = ["rate_limited_total", "api_rate_limit"];
    ledger.until(&bench, &limited).await;
    bench.settle().await;
    let refused = r#"{"details":[{"argument_name":"assets","help_message":"no","reason":"constraint"}],"message":"invalid argument(s)","type":"invalid_arguments"}"#;
    let refused = Fault::Refuse {
        status: 400,
        body: refused.to_owned(),
    };
    bench.sandbox.script(refused.on(Operation::Create));
    bench.write("e.css", "one");
    ledger.until(&bench, &["failed_assets", "alarms"]).await;

    let good = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    std::fs::write(bench.path("config.toml"), format!("{good}\nrot = 1\n")).unwrap();
    bench.hangup("the one of before stays").await;
    ledger.until(&bench, &["config_reload_success"]).await;
}

/// A machine with few watches, where events are lost.
async fn a_day_of_losses(ledger: &mut Ledger) -> bool {
    let Some(mut bench) = limits::limited("max_inotify_watches", "5").await else {
        return false;
    };
    let Some(queue) = losses::queue() else {
        return false;
    };
    bench.write("a.css", "one");
    bench.start().await;
    ledger.see(&bench).await;
    for number in 0..20 {
        bench.write(&format!("{number}/a.css"), "one");
    }
    ledger.until(&bench, &["unwatched_directories"]).await;
    machine::signal(&bench, "-STOP");
    for _ in 0..=queue {
        // The same event again and again is told once.
        bench.write("a.css", "one");
        bench.write("b.css", "one");
    }
    machine::signal(&bench, "-CONT");
    ledger.until(&bench, &["lost_events_total"]).await;
    true
}

/// Files that edgepurge's user may not read.
async fn a_day_of_closed_doors(ledger: &mut Ledger) -> bool {
    let Some(mut bench) = unreadable::served().await else {
        return false;
    };
    bench.origin.push_str("rescan = \"1s\"\n");
    bench.write("a.css", "one");
    bench.write("members/b.css", "one");
    bench.start().await;
    ledger.see(&bench).await;
    unreadable::give(&bench.site().join("a.css"), unreadable::WEB, 0o640);
    unreadable::give(&bench.site().join("members"), unreadable::WEB, 0o750);
    let closed = ["unreadable_directories", "unreadable_files"];
    ledger.until(&bench, &closed).await;
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_days_work_every_metric_moves() {
    let mut ledger = Ledger::default();
    an_ordinary_day(&mut ledger).await;
    // Alone, a node always leads, waits for no other and forgets nothing: `fleet.rs`, `agreement.rs` and
    // `failover.rs` have others.
    let mut unseen = vec!["leader", "nodes", "fenced_total"];
    unseen.extend([
        "agreement_wait_seconds",
        "diverged_files",
        "replayed_changes_total",
    ]);
    if !a_day_of_losses(&mut ledger).await {
        unseen.extend(["unwatched_directories", "lost_events_total"]);
    }
    if !a_day_of_closed_doors(&mut ledger).await {
        unseen.extend(["unreadable_directories", "unreadable_files"]);
    }
    let declared = ledger.kinds.keys();
    let still: Vec<&String> = declared
        .filter(|name| !unseen.contains(&name.as_str()) && !ledger.moved(name))
        .collect();
    assert!(still.is_empty(), "nobody sets {still:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_shows_in_the_start_time_and_the_last_purge_outlives_it() {
    const START: &str = "process_start_time_seconds";
    const LAST: &str = "edgepurge_last_purge_timestamp_seconds{pipeline=\"www\"}";
    let mut bench = Bench::new().await;
    bench.write("a.css", "one");
    let before = std::time::SystemTime::now();
    bench.start().await;
    let began = value(&bench, START).await.unwrap();
    let before = before.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(began >= before.as_secs_f64() - 0.001, "{began}");
    assert_eq!(value(&bench, LAST).await, Some(0.0));
    bench.write("a.css", "two");
    bench.settle().await;
    let last = value(&bench, LAST).await.unwrap();
    assert!(last >= began, "{last} {began}");
    bench.reload().await;
    assert_eq!(value(&bench, START).await, Some(began), "the same process");
    bench.kill().await;
    bench.start().await;
    assert!(value(&bench, START).await.unwrap() > began);
    // Set at the answer of the API, and afterwards to what was committed with it.
    until("the history is read", async || {
        let found = value(&bench, LAST).await?;
        ((found - last).abs() < 1.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_without_an_origin_or_any_event_has_every_series_at_zero() {
    let mut bench = Bench::new().await;
    let shop = format!("[[pipeline]]\nname = \"shop\"\nid = \"{SHOP}\"\n");
    bench.origin.push_str(&shop);
    bench.start().await;
    let (text, _) = scrape(&bench, None).await;
    let of = |name: &str| -> BTreeSet<String> {
        let label = format!("pipeline=\"{name}\"");
        let lines = text.lines().filter(|line| line.contains(&label));
        let series = lines.map(|line| line.rsplit_once(' ').unwrap().0);
        series.map(|line| line.replace(&label, "")).collect()
    };
    assert_eq!(of("shop"), of("www"));
    assert!(of("www").len() > 80);
}
