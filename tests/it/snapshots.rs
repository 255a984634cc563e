//! What operators read often, compared with a file that shows it: the help of every command, the names
//! of the metrics, the status. A difference is either a mistake or meant; then
//! `EDGEPURGE_ACCEPT=1 cargo test --test it snapshots::` writes the files again, and the diff of the
//! commit shows it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use clap::CommandFactory as _;
use edgepurge::cli::Cli;
use edgepurge::sandbox::{ErrorType, Fault, Operation};
use serde_json::Value;

use crate::bench::{Bench, text, until};
use crate::{metrics, webhooks};

/// Compares a text with its file below `tests/it/snapshots`.
fn compare(name: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots");
    let path = path.join(name);
    if std::env::var_os("EDGEPURGE_ACCEPT").is_some() {
        return fs::write(&path, now).unwrap();
    }
    let before = fs::read_to_string(&path).unwrap_or_default();
    let differ = before.lines().zip(now.lines());
    let line = differ.take_while(|(before, now)| before == now).count();
    assert!(
        before == now,
        "{} differs from line {} on:\n- {}\n+ {}\nIf that is meant: EDGEPURGE_ACCEPT=1 cargo test --test it snapshots::",
        path.display(),
        line + 1,
        before.lines().nth(line).unwrap_or_default(),
        now.lines().nth(line).unwrap_or_default(),
    );
}

/// The help of a command and of those below it.
fn help(command: &clap::Command, words: &[&str], shown: &mut String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_edgepurge"))
        .args(words)
        .arg("--help")
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let words_shown = words.join(" ");
    shown.push_str(&format!("$ edgepurge {words_shown} --help\n").replace("  ", " "));
    shown.push_str(&text(&output.stdout));
    shown.push('\n');
    for below in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        let words = [words, &[below.get_name()]].concat();
        help(below, &words, shown);
    }
}

#[test]
fn the_help_of_every_command() {
    let mut shown = String::new();
    help(&Cli::command(), &[], &mut shown);
    compare("help.txt", &shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_with_their_types_and_what_they_tell() {
    let mut bench = Bench::new().await;
    webhooks::with_route(&mut bench, "github", "", "");
    bench.start().await;
    let (text, _) = metrics::scrape(&bench, None).await;
    let about = text.lines().filter(|line| line.starts_with("# "));
    let about: Vec<&str> = about.collect();
    compare("metrics.txt", &(about.join("\n") + "\n"));
    // Of each series one, without its value and with its labels' names only.
    let mut series: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.split_once('{').unwrap_or((line, ""));
        let name = name.split(' ').next().unwrap();
        let labels = labels.split('"').step_by(2);
        let labels: String = labels.take_while(|text| text.ends_with('=')).collect();
        let one = format!("{name} {labels}").trim_end().to_owned();
        if !series.contains(&one) {
            series.push(one);
        }
    }
    compare("series.txt", &(series.join("\n") + "\n"));
}

/// The text without what differs from run to run: times, addresses, the API's id of a call.
fn masked(bench: &Bench, text: &str) -> String {
    let home = bench.path("");
    let mut text = text
        .replace(&bench.sandbox.api_url(), "API")
        .replace(home.to_str().unwrap(), "HOME/")
        .replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let is_time = |at: &[u8]| at[10] == b'T' && at[13] == b':' && at[16] == b':' && at[23] == b'Z';
    let times = text.as_bytes().windows(24);
    let times: Vec<usize> = { times.enumerate() }
        .filter(|(_, window)| is_time(window))
        .map(|(at, _)| at)
        .collect();
    for at in times.into_iter().rev() {
        text.replace_range(at..at + 24, "TIME");
    }
    text = without_ages(&text);
    let who = crate::bench::user();
    text = text.replace(&format!("paused by {who}"), "paused by USER");
    text = text.replace(&format!("\"who\": \"{who}\""), "\"who\": \"USER\"");
    if let Some((before, _)) = text.split_once(" at once") {
        let number = before.rsplit(' ').next().unwrap_or_default();
        text = text.replace(&format!("{number} at once"), "SO MANY at once");
    }
    if let Some((_, rest)) = text.split_once("X-Request-Id: ") {
        text = text.replace(&rest[..36], "UUID");
    }
    text
}

/// The text without times of this day, and without lengths.
fn without_ages(text: &str) -> String {
    let clock = |word: &str| {
        let word = word.trim_end_matches([',', ')', ':', ';']);
        word.len() == 8
            && word
                .split(':')
                .all(|part| part.len() == 2 && part.parse::<u8>().is_ok())
    };
    let units = ["s", "min", "h"];
    let lines = text.lines().map(|line| {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for at in 0..words.len() {
            if clock(&words[at]) {
                words[at].replace_range(..8, "CLOCK");
            }
            let number = words[at].trim_start_matches('(').parse::<f64>().is_ok();
            let unit = words
                .get(at + 1)
                .map(|unit| unit.trim_end_matches([',', ')', ':', ';']));
            if number && unit.is_some_and(|unit| units.contains(&unit)) {
                words[at] = words[at].replace(|one: char| one.is_ascii_digit() || one == '.', "");
                words[at].push('N');
            }
        }
        words.join(" ")
    });
    lines.map(|line| line + "\n").collect()
}

async fn shown(bench: &Bench, name: &str) {
    let output = bench.run(&["status"]).await;
    assert!(output.status.success(), "{output:?}");
    compare(name, &masked(bench, &text(&output.stdout)));
}

/// Waits for a state of the pipeline in which nothing is being looked at.
async fn state(bench: &Bench, what: &str, is: impl Fn(&Value) -> bool) {
    until(what, async || {
        let status = bench.status().await;
        let origin = &status["pipelines"][0]["origins"][0];
        let rests = origin["pending"] == 0 && origin["scanning"] == false;
        (rests && origin["unread_files"] == 0 && is(&status)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_fresh_of_a_paused_and_of_a_working_pipeline() {
    let mut bench = Bench::new().await;
    webhooks::with_route(&mut bench, "github", "", "");
    bench.write("index.html", "one");
    bench.start().await;
    state(&bench, "it is fresh", |status| status["fresh"] == true).await;
    shown(&bench, "status_fresh.txt").await;

    let paused = ["pause", "www", "--reason", "a migration"];
    assert!(bench.run(&paused).await.status.success());
    bench.write("a.css", "one");
    let queued = |status: &Value| status["pipelines"][0]["queued_assets"] == 1;
    state(&bench, "a change is queued", queued).await;
    shown(&bench, "status_paused.txt").await;
    let document = bench.json(&["status"]).await;
    let keys = serde_json::to_string_pretty(&document).unwrap();
    let keys = masked(&bench, &keys);
    // Of some only the key is the same each time.
    let differing = [
        "\"took_ms\"",
        "\"first_unread\"",
        "\"api_calls_at_once\"",
        "\"127.0.0.1:",
    ];
    let stable = |line| {
        let differs = |word: &&str| str::contains(line, *word);
        let word = differing.iter().find(|word| differs(word));
        word.map_or(line, |_| line.split(':').next().unwrap_or_default())
    };
    let keys: Vec<&str> = keys.lines().map(stable).collect();
    compare("status_paused.json", &(keys.join("\n") + "\n"));

    bench.sandbox.set_purge_delay(Duration::from_mins(10));
    assert!(bench.run(&["resume", "www"]).await.status.success());
    let flies = |status: &Value| status["pipelines"][0]["in_flight"] == 1;
    state(&bench, "a request is in flight", flies).await;
    shown(&bench, "status_in_flight.txt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_with_an_alarm() {
    let mut bench = Bench::new().await;
    bench.write("index.html", "one");
    bench.start().await;
    let refused = Fault::Typed(ErrorType::BAD_ASSETS);
    bench.sandbox.script(refused.on(Operation::Create));
    bench.write("a.css", "one");
    bench.alarm("failed").await;
    state(&bench, "nothing waits", |status| status["settled"] == true).await;
    shown(&bench, "status_alarm.txt").await;
}
