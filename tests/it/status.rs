//! `status` as an operator reads it: what is wrong, since when, and what to do; on a terminal, and for
//! monitoring.

use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdout, Command};

use crate::bench::{Bench, LIMIT, SHOP, sh, text, until};

/// Reads what a program prints until this is in it, or its end.
async fn read_until(stdout: &mut ChildStdout, shown: &mut String, wanted: Option<&str>) {
    let mut bytes = std::mem::take(shown).into_bytes();
    let there =
        |bytes: &[u8]| wanted.is_some_and(|one| String::from_utf8_lossy(bytes).contains(one));
    let read = async { while !there(&bytes) && stdout.read_buf(&mut bytes).await.unwrap() > 0 {} };
    let in_time = tokio::time::timeout(LIMIT, read).await.is_ok();
    *shown = text(&bytes);
    assert!(in_time, "{wanted:?} does not come: {shown}");
    if let Some(wanted) = wanted {
        assert!(shown.contains(wanted), "{wanted} did not come: {shown}");
    }
}

/// Runs the binary on a terminal of this size; where `keys` are given, the first is typed when the second
/// is to be seen.
async fn on_a_terminal(
    bench: &Bench,
    arguments: &str,
    size: (u16, u16),
    keys: Option<(&str, &str)>,
) -> String {
    let (columns, rows) = size;
    let binary = env!("CARGO_BIN_EXE_edgepurge");
    let config = bench.config();
    let config = config.display();
    let line = format!("stty cols {columns} rows {rows}; {binary} --config {config} {arguments}");
    let mut child = Command::new("script")
        .args([
            "--quiet",
            "--return",
            "--flush",
            "--command",
            &line,
            "/dev/null",
        ])
        .env("TERM", "xterm-256color")
        .env("SHELL", "/bin/sh")
        .env_remove("NO_COLOR")
        .env_remove("CI")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut shown = String::new();
    if let Some((keys, seen)) = keys {
        read_until(&mut stdout, &mut shown, Some(seen)).await;
        stdin.write_all(keys.as_bytes()).await.unwrap();
    }
    read_until(&mut stdout, &mut shown, None).await;
    let status = child.wait().await.unwrap();
    assert!(status.success(), "{status}: {shown}");
    shown
}

/// A bench with a second pipeline, `shop`, whose root is gone once it is started.
async fn with_trouble() -> Bench {
    let mut bench = Bench::new().await;
    bench.write("index.html", "one");
    let shop = bench.path("shop");
    std::fs::create_dir(&shop).unwrap();
    std::fs::write(shop.join("a.css"), "one").unwrap();
    bench.origin = format!(
        "[[pipeline]]\nname = \"shop\"\nid = \"{SHOP}\"\n[[pipeline.origin]]\nroot = '{}'\n",
        shop.display()
    );
    bench.start().await;
    std::fs::rename(&shop, bench.path("gone")).unwrap();
    bench.alarm("root_missing").await;
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_comes_first_with_since_when_what_it_means_and_what_to_do() {
    let bench = with_trouble().await;
    let shown = text(&bench.run(&["status"]).await.stdout);
    let place = |what: &str| {
        shown
            .find(what)
            .unwrap_or_else(|| panic!("{what}: {shown}"))
    };
    assert!(shown.starts_with("▲ 1 alarm · "), "{shown}");
    let order = [
        "▲ shop: root_missing since ",
        "means: nothing of the origin is purged",
        "do: put it back, or correct `root`",
        "shop  trouble",
        "www   fresh",
    ];
    let places = order.map(place);
    assert!(places.is_sorted(), "{shown}");
    // The line of the configuration is the root's.
    let config = std::fs::read_to_string(bench.config()).unwrap();
    let shop = bench.path("shop");
    let root = format!("root = '{}'", shop.display());
    let line = 1 + config.lines().position(|line| line == root).unwrap();
    assert!(shown.contains(&format!("config.toml:{line})")), "{shown}");

    let one = text(&bench.run(&["status", "www"]).await.stdout);
    assert!(one.starts_with("● fresh · 1 pipeline "), "{one}");
    assert!(!one.contains("shop"), "{one}");
    let document = bench.json(&["status", "www"]).await;
    assert_eq!(document["pipelines"].as_array().unwrap().len(), 1);
    assert_eq!(document["alarms"], serde_json::json!([]));

    let check = bench.run(&["status", "--check"]).await;
    assert_eq!(check.status.code(), Some(1));
    let said = text(&check.stdout);
    assert!(
        said.starts_with("CRITICAL - shop: root_missing ("),
        "{said}"
    );
    assert!(said.contains(" | queued="), "{said}");
    let check = bench.run(&["status", "--check", "www"]).await;
    assert_eq!(check.status.code(), Some(0));
    let said = text(&check.stdout);
    assert!(
        said.starts_with("OK - 1 pipeline fresh | queued=0 oldest=0s"),
        "{said}"
    );
    let check = bench.run(&["status", "--check", "nope"]).await;
    assert_eq!(check.status.code(), Some(2));
    let said = text(&check.stdout);
    assert!(
        said.starts_with("CRITICAL - there is no pipeline `nope`"),
        "{said}"
    );
    let unknown = bench.run(&["status", "nope"]).await;
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
    assert!(text(&unknown.stderr).contains("there are: "), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_it_has_colours_and_fits_and_without_one_it_has_none() {
    let bench = with_trouble().await;
    let plain = text(&bench.run(&["status"]).await.stdout);
    assert!(!plain.contains('\x1b'), "{plain}");
    let wide = on_a_terminal(&bench, "status", (60, 40), None).await;
    assert!(wide.contains("\x1b[1m\x1b[31m▲"), "{wide}");
    let never = on_a_terminal(&bench, "--color never status", (60, 40), None).await;
    assert!(!never.contains('\x1b'), "{never}");
    let always = bench.run(&["--color", "always", "status"]).await;
    assert!(text(&always.stdout).contains('\x1b'));
}

#[tokio::test(flavor = "multi_thread")]
async fn help_and_usage_errors_have_colours_where_everything_else_has() {
    let bench = Bench::new().await;
    let binary = env!("CARGO_BIN_EXE_edgepurge");
    for (words, on_terminal, in_pipe) in [
        ("edgepurge --help", true, false),
        ("edgepurge purge", true, false),
        ("edgepurge --color sometimes status", true, false),
        ("NO_COLOR=1 edgepurge purge", false, false),
        (
            "NO_COLOR=1 edgepurge status --color sometimes",
            false,
            false,
        ),
        ("edgepurge --color never --help", false, false),
        ("edgepurge purge --color=never", false, false),
        ("edgepurge --color=always --help", true, true),
        ("NO_COLOR=1 edgepurge purge --color always", true, true),
        // Behind -- is another program's.
        (
            "edgepurge deploy www --nope -- ls --color=always",
            true,
            false,
        ),
        (
            "edgepurge deploy www --nope -- ls --color never",
            true,
            false,
        ),
    ] {
        let command = words.replace("edgepurge", binary);
        let terminal = format!("--version; {command}; true");
        let terminal = on_a_terminal(&bench, &terminal, (80, 40), None).await;
        let script = format!("{{ {command}; }} 2>&1; true");
        let mut pipe = Command::new("sh");
        pipe.args(["-c", &script]).env_remove("NO_COLOR");
        let pipe = text(&pipe.output().await.unwrap().stdout);
        for (said, wanted) in [(terminal, on_terminal), (pipe, in_pipe)] {
            assert!(said.contains("--help"), "{words}: {said}");
            assert_eq!(said.contains('\x1b'), wanted, "{words}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_waits_for_stays_on_one_line_of_the_terminal() {
    let mut bench = Bench::new().await;
    bench.start().await;
    let reason = "a reason that is much longer than forty columns of a terminal";
    bench.run(&["pause", "www", "--reason", reason]).await;
    let waits = "purge www /a.css --wait --timeout 3s; true";
    let shown = on_a_terminal(&bench, waits, (40, 12), None).await;
    let live: Vec<&str> = shown.split("\r\x1b[2K").collect();
    assert!(live.len() > 2, "{shown:?}");
    for line in &live[1..live.len() - 1] {
        assert!(
            line.starts_with("www, 0 of 1") || line.starts_with("www waits: "),
            "{shown:?}"
        );
        assert!(line.chars().count() < 40, "{line:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_requests_has_names_and_ages_on_a_terminal_and_is_as_ever_elsewhere() {
    let mut bench = Bench::new().await;
    bench.start().await;
    bench.run(&["purge", "www", "/a.css", "--wait"]).await;
    let shown = on_a_terminal(&bench, "--color never requests list", (160, 12), None).await;
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("ID "), "{shown}");
    let place = |what: &str| lines[0].find(what).unwrap();
    assert_eq!(&lines[1][place("STATUS")..][..4], "done");
    assert!(lines[1][place("PIPELINE")..].starts_with("www "), "{shown}");
    assert!(
        lines[1][..place("PIPELINE")].trim_end().ends_with(" s)"),
        "{shown}"
    );
    assert_eq!(&lines[1][place("TARGET")..], "/a.css");
    let elsewhere = text(&bench.run(&["requests", "list"]).await.stdout);
    assert!(elsewhere.contains(crate::bench::PIPELINE), "{elsewhere}");
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_takes_the_screen_and_gives_it_back() {
    let bench = with_trouble().await;
    let seen = on_a_terminal(&bench, "status --watch", (60, 12), Some(("q", "q quits"))).await;
    let (before, rest) = seen.split_once("\x1b[?1049h").expect("another screen");
    assert_eq!(before.trim(), "");
    let (screen, after) = rest.split_once("\x1b[?1049l").expect("and the old one");
    assert_eq!(after.trim(), "");
    assert!(screen.contains("more lines; q quits"), "{screen}");
    let first = screen.split("\x1b[J").next().unwrap();
    assert_eq!(first.split("\r\n").count(), 12, "{first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn watched_without_a_terminal_what_changes_is_said_with_the_time() {
    let bench = with_trouble().await;
    let mut child = bench
        .command(&["status", "--watch"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut seen = String::new();
    read_until(&mut stdout, &mut seen, Some("▲ shop: root_missing")).await;
    std::fs::rename(bench.path("gone"), bench.path("shop")).unwrap();
    read_until(&mut stdout, &mut seen, Some("● fresh")).await;
    child.kill().await.unwrap();
    read_until(&mut stdout, &mut seen, None).await;
    let blocks: Vec<&str> = seen.split("--- 20").skip(1).collect();
    assert!(blocks.len() >= 2 && blocks.len() < 6, "{seen}");
    assert!(blocks[0].contains("▲ shop: root_missing"), "{seen}");
    assert!(blocks.last().unwrap().contains("● fresh"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_says_what_for_and_a_restart_still_knows_how_long_it_took() {
    let mut bench = Bench::new().await;
    bench.pipeline = "debounce = \"4s\"".to_owned();
    bench.start().await;
    bench.write("a.css", "one");
    let waits = until("the batch is open", async || {
        let status = bench.status().await;
        let pipeline = status["pipelines"][0].clone();
        let mut causes = pipeline["causes"].as_array()?.iter();
        causes
            .any(|cause| cause["word"] == "debounce")
            .then_some(pipeline)
    })
    .await;
    assert_eq!(waits["state"], "working");
    assert_eq!(waits["oldest"]["change"]["asset"], "/a.css");
    assert_eq!(waits["oldest"]["change"]["source"], "watch");
    let recent = until("it is counted", async || {
        let recent = bench.status().await["pipelines"][0]["recent"].clone();
        (recent["requests_today"] == 1).then_some(recent)
    })
    .await;
    let took = recent["fresh_p50_ms"].as_u64().unwrap();
    assert!((4_000..30_000).contains(&took), "{recent}");
    assert_eq!(recent["assets_today"], 1);

    assert_eq!(bench.terminate().await, Some(0));
    bench.start().await;
    let again = until("the history is read", async || {
        let status = bench.status().await;
        let restored = status["recent_since"].as_str()? < status["started"].as_str()?;
        restored.then(|| status["pipelines"][0]["recent"].clone())
    })
    .await;
    for key in [
        "fresh_p50_ms",
        "fresh_p95_ms",
        "requests_today",
        "assets_today",
    ] {
        assert_eq!(again[key], recent[key], "{key}");
    }
    assert!(again["last_purge"].is_string(), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_for_monitoring_names_a_pause_and_a_daemon_that_is_halted() {
    let mut bench = Bench::new().await;
    bench.start().await;
    bench.json(&["pause", "www"]).await;
    let said = async || {
        let check = bench.run(&["status", "--check"]).await;
        (check.status.code(), text(&check.stdout))
    };
    let (code, paused) = said().await;
    assert_eq!(code, Some(0), "{paused}");
    let whole = "OK - 1 pipeline fresh, www paused | queued=0 oldest=0s";
    assert!(paused.starts_with(whole), "{paused}");
    bench.write("a.css", "new");
    let begins = "OK - 0 of 1 pipeline fresh, www paused | queued=1 ";
    until("what waits is counted", async || {
        said().await.1.starts_with(begins).then_some(())
    })
    .await;
    std::fs::rename(bench.site(), bench.path("away")).unwrap();
    bench.alarm("root_missing").await;
    let (_, alarmed) = said().await;
    assert!(
        alarmed.starts_with("CRITICAL - www: root_missing ("),
        "{alarmed}"
    );
    assert!(alarmed.contains("), www paused | "), "{alarmed}");

    let daemon = bench.pid().to_string();
    sh(&bench, &format!("kill -STOP {daemon}"));
    let (code, halted) = said().await;
    sh(&bench, &format!("kill -CONT {daemon}"));
    assert_eq!(code, Some(75), "{halted}");
    assert!(halted.starts_with("CRITICAL - the daemon at "), "{halted}");
    assert!(halted.ends_with("does not answer within 5 s\n"), "{halted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_says_what_helps() {
    let bench = Bench::new().await;
    bench.config();
    // No daemon runs.
    let none = bench.run(&["status"]).await;
    assert_eq!(none.status.code(), Some(75), "{none:?}");
    let said = text(&none.stderr);
    assert!(said.contains("edgepurge is not running"), "{said}");
    assert!(
        said.contains("\n  = help: sudo systemctl start edgepurge"),
        "{said}"
    );
    let none = bench.run(&["status", "--check"]).await;
    assert_eq!(none.status.code(), Some(75), "{none:?}");
    assert!(text(&none.stdout).starts_with("CRITICAL - "), "{none:?}");
    let said = text(&none.stdout);
    assert!(said.contains("edgepurge is not running"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let order = bench.run(&["purge", "/a.css", "www"]).await;
    assert_eq!(order.status.code(), Some(2), "{order:?}");
    let said = text(&order.stderr);
    assert!(said.contains("the pipeline comes first"), "{said}");
    assert!(
        said.contains("= help: edgepurge purge www /a.css"),
        "{said}"
    );
    let id = bench.run(&["requests", "get", "nope"]).await;
    assert_eq!(id.status.code(), Some(2), "{id:?}");

    let wrong = "[scaleway]\nrequest_per_second = 10\n";
    std::fs::write(bench.path("config.toml"), wrong).unwrap();
    let check = bench.run(&["--color", "always", "check"]).await;
    assert_eq!(check.status.code(), Some(78), "{check:?}");
    let said = text(&check.stderr);
    assert!(said.contains("\x1b[31merror:"), "{said}");
    let said = text(&bench.run(&["check"]).await.stderr);
    let shown = [
        "error: scaleway.request_per_second: is not a key that is known here\n --> ",
        "config.toml:2:1\n  |\n2 | request_per_second = 10\n  | ^^^^^^^^^^^^^^^^^^\n  = help: did you \
         mean requests_per_second?\n",
    ];
    for part in shown {
        assert!(said.contains(part), "{part} in {said}");
    }
}
