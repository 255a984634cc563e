//! `edgepurge notify`: what a CI job does, against a real daemon, and against servers that are none.

use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

use super::*;
use edgepurge::sandbox::{ErrorType, Fault, Operation, PurgeTarget};

/// Runs it with a token in the environment, and no configuration.
async fn notify(token: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgepurge"));
    command
        .arg("notify")
        .args(arguments)
        .env_clear()
        .env("EDGEPURGE_TOKEN", token)
        .stdin(Stdio::null());
    let output = tokio::time::timeout(crate::bench::LIMIT, command.output());
    output.await.unwrap().unwrap()
}

fn says(output: &Output) -> (String, String) {
    (
        crate::bench::text(&output.stdout),
        crate::bench::text(&output.stderr),
    )
}

/// A daemon that watches nothing: only what a route asks for is purged.
async fn unwatched() -> (Bench, String) {
    let mut bench = Bench::new().await;
    "watch = \"off\"".clone_into(&mut bench.origin);
    with_route(&mut bench, "generic", "", "");
    bench.write("a.css", "one");
    bench.write("b.css", "one");
    bench.start().await;
    let url = format!("http://{}/hooks/www", address(&bench).await);
    (bench, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_ends_when_the_edge_is_fresh() {
    let (bench, url) = unwatched().await;
    bench.fetch("/a.css").await;
    bench.write("a.css", "two");
    let output = notify(SECRET, &[&url, "--wait"]).await;
    assert!(output.status.success(), "{output:?}");
    assert!(says(&output).0.starts_with("done: "), "{output:?}");
    assert_eq!(bench.fetch("/a.css").await.2, "two");
    let output = notify(
        SECRET,
        &[&url, "--path", "b.css", "--wait", "--format", "json"],
    )
    .await;
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&record["state"], &record["done"]),
        (&json!("done"), &json!(1))
    );
    assert!(bench.done().contains(&"/b.css".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_fails_fails_the_job_in_the_words_of_the_api() {
    let (bench, url) = unwatched().await;
    let bad = Fault::Typed(ErrorType::BAD_ASSETS);
    bench.sandbox.script(bad.on(Operation::Create));
    let output = notify(SECRET, &[&url, "--path", "b.css", "--wait"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let (out, err) = says(&output);
    assert!(out.starts_with("failed: 1 failed"), "{out}");
    assert!(
        err.contains("/b.css: ") && err.contains("assets constraint is refused"),
        "{err}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_over_in_time_is_75_and_says_what_it_waits_for() {
    let (bench, url) = unwatched().await;
    let paused = bench.run(&["pause", "www"]).await;
    assert!(paused.status.success(), "{paused:?}");
    let arguments = [&url, "--path", "b.css", "--wait", "--timeout", "2s"];
    let output = notify(SECRET, &arguments).await;
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    let err = says(&output).1;
    assert!(err.contains("within 2 s: queued: 1 waiting"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_ends_it_at_once_with_what_to_do_and_without_the_token() {
    let (_bench, url) = unwatched().await;
    let elsewhere = format!("{url}/other/route");
    let cases: [(&str, Vec<&str>, i32, &str); 5] = [
        (
            "a-wrong-token-of-32-bytes-or-more",
            vec![&url],
            1,
            "is it the token of this route",
        ),
        (SECRET, vec![&elsewhere], 1, "has to be the path of the URL"),
        (SECRET, vec!["http://192.0.2.1/hooks/www"], 2, "https://"),
        (
            SECRET,
            vec![&url, "--all", "--path", "a"],
            2,
            "cannot be used with",
        ),
        ("", vec![&url], 2, "EDGEPURGE_TOKEN"),
    ];
    for (token, arguments, code, words) in cases {
        let output = notify(token, &arguments).await;
        let (_, err) = says(&output);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(err.contains(words), "{err}");
        assert!(token.is_empty() || !err.contains(token), "{err}");
    }
}

/// A server that gives one connection after the other the next of these answers, and then hears no more;
/// returns what it was sent.
async fn serve(answers: &[&str]) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks/www", listener.local_addr().unwrap());
    let answers: Vec<String> = answers.iter().map(|&answer| answer.to_owned()).collect();
    let served = tokio::spawn(async move {
        let mut heard = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            request.truncate(length);
            heard.push(String::from_utf8(request).unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        heard
    });
    (url, served)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    )
}

fn key_of(request: &str) -> &str {
    let key = request
        .lines()
        .find(|line| line.starts_with("idempotency-key"));
    key.unwrap_or_else(|| panic!("{request}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_in_trouble_is_asked_again_with_the_same_key() {
    let busy = answer(
        "503 Service Unavailable",
        "retry-after: 1\r\n",
        "{\"error\":\"full\"}",
    );
    let taken = answer("202 Accepted", "", "{\"event\":\"e\",\"changes\":2}");
    // The second connection breaks off.
    let (url, served) = serve(&[&busy, "", &taken]).await;
    let output = notify(SECRET, &[&url]).await;
    assert_eq!(says(&output).0, "taken as e\n", "{output:?}");
    let heard = served.await.unwrap();
    assert_eq!(heard.len(), 3);
    assert!(
        heard
            .iter()
            .all(|request| key_of(request) == key_of(&heard[0]))
    );
    assert!(
        heard
            .iter()
            .all(|request| request.ends_with("{\"scan\":true}"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_edgepurge_gets_no_second_call_and_no_control_over_the_terminal() {
    let page = answer("200 OK", "", "<html>\u{1b}[2J welcome");
    let moved = answer("302 Found", "location: https://example.com/\r\n", "");
    for (reply, words) in [
        (page, "no answer of edgepurge"),
        (moved, "a redirect is not followed"),
    ] {
        let (url, served) = serve(&[&reply]).await;
        let output = notify(SECRET, &[&url]).await;
        let (_, err) = says(&output);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(err.contains(words) && !err.contains('\u{1b}'), "{err}");
        assert_eq!(served.await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_delivery_and_a_file_of_the_token_are_taken() {
    let ignored = answer("200 OK", "", "{\"ignored\":\"duplicate delivery\"}");
    let (url, _served) = serve(&[&ignored]).await;
    let bench = Bench::new().await;
    let file = secret_file(&bench);
    let output = notify("", &[&url, "--token-file", file.to_str().unwrap()]).await;
    assert_eq!(
        says(&output).0,
        "ignored: duplicate delivery\n",
        "{output:?}"
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let output = notify("", &[&url, "--token-file", file.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// Asks about a delivery, with this query.
async fn ask(url: &str, event: &str, query: &str) -> (u16, Value) {
    let asked = reqwest::Client::new()
        .get(format!("{url}/{event}?{query}"))
        .bearer_auth(SECRET)
        .send()
        .await
        .unwrap();
    (asked.status().as_u16(), asked.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_waits_is_answered_when_the_delivery_has_ended() {
    let (bench, url) = unwatched().await;
    assert!(bench.run(&["pause", "www"]).await.status.success());
    let output = notify(SECRET, &[&url, "--path", "b.css", "--format", "json"]).await;
    let taken: Value = serde_json::from_slice(&output.stdout).unwrap();
    let event = taken["event"].as_str().unwrap().to_owned();
    // Without a wait, or when it is over, it says how far it is.
    for query in ["", "wait=1s", "wait=0"] {
        let (status, body) = ask(&url, &event, query).await;
        assert_eq!((status, &body["state"]), (200, &json!("queued")), "{query}");
        assert_eq!(body["phase"], "queued");
        assert_eq!((&body["assets"], &body["requests"]), (&json!(1), &json!(0)));
        assert_eq!(body["causes"][0]["word"], "paused", "{body}");
    }
    let (status, body) = ask(&url, &event, "wait=soon").await;
    assert_eq!(status, 400, "{body}");
    assert!(
        body["error"].as_str().unwrap().contains("?wait=30s"),
        "{body}"
    );
    let (waiting, for_it) = (url.clone(), event.clone());
    let waiting = tokio::spawn(async move { ask(&waiting, &for_it, "wait=60s").await });
    assert!(bench.run(&["resume", "www"]).await.status.success());
    let (status, body) = waiting.await.unwrap();
    assert_eq!((status, &body["state"]), (200, &json!("done")), "{body}");
    assert_eq!(body["phase"], "done");
    assert_eq!((&body["assets"], &body["requests"]), (&json!(1), &json!(1)));
    assert_eq!(body["causes"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_says_whether_its_delay_or_a_scan_is_waited_for() {
    let mut bench = Bench::new().await;
    with_route(&mut bench, "generic", "delay = \"2s\"", "");
    bench.write("a.css", "one");
    bench.start().await;
    let url = format!("http://{}/hooks/www", address(&bench).await);
    // The second scan comes when the origin is calm, which it is not while a file is being written.
    let mut written = fs::File::create(bench.site().join("large")).unwrap();
    let output = notify(SECRET, &[&url, "--scan", "--format", "json"]).await;
    let taken: Value = serde_json::from_slice(&output.stdout).unwrap();
    let event = taken["event"].as_str().unwrap().to_owned();
    let (_, body) = ask(&url, &event, "").await;
    assert_eq!(
        (&body["state"], &body["phase"]),
        (&json!("queued"), &json!("delayed"))
    );
    let cause = &body["causes"][0];
    assert_eq!(
        (&cause["word"], &cause["until"]),
        (&json!("delay"), &body["due"])
    );
    until("it is scanned for", async || {
        std::io::Write::write_all(&mut written, b"more").unwrap();
        let (_, body) = ask(&url, &event, "").await;
        let causes = body["causes"].as_array()?.iter();
        let writing = causes
            .map(|cause| &cause["word"])
            .any(|word| word == "writing");
        (body["phase"] == "scanning" && writing).then_some(())
    })
    .await;
    drop(written);
    let (_, body) = ask(&url, &event, "wait=60s").await;
    assert_eq!(body["phase"], "done", "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_says_what_for_and_what_changed() {
    let (bench, url) = unwatched().await;
    let pause = ["pause", "www", "--reason", "a migration"];
    assert!(bench.run(&pause).await.status.success());
    let mut job = Command::new(env!("CARGO_BIN_EXE_edgepurge"))
        .args([
            "notify", &url, "--path", "a.css", "--path", "b.css", "--wait",
        ])
        .env_clear()
        .env("EDGEPURGE_TOKEN", SECRET)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(job.stderr.take().unwrap()).lines();
    let first = lines.next_line().await.unwrap().unwrap();
    let by = crate::bench::user();
    let waits = format!("queued: 2 waiting; it waits: it is paused by {by} (a migration)");
    assert!(first.starts_with(&waits), "{first}");
    bench
        .sandbox
        .set_purge_delay(std::time::Duration::from_secs(8));
    assert!(bench.run(&["resume", "www"]).await.status.success());
    let second = lines.next_line().await.unwrap().unwrap();
    assert!(
        second.starts_with("submitted: 2 sent, 1 request; it waits: 1 purge request in flight"),
        "{second}"
    );
    let output = job.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(says(&output).0, "done: 2 purged, 1 request\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_can_have_everything_purged() {
    let (bench, url) = unwatched().await;
    let output = notify(SECRET, &[&url, "--all", "--wait"]).await;
    assert!(output.status.success(), "{output:?}");
    let targets = bench.sandbox.requests().into_iter().map(|one| one.target);
    assert_eq!(targets.collect::<Vec<_>>(), [PurgeTarget::All]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_waits_holds_up_no_stop() {
    let (mut bench, url) = unwatched().await;
    assert!(bench.run(&["pause", "www"]).await.status.success());
    let output = notify(SECRET, &[&url, "--path", "b.css", "--format", "json"]).await;
    let taken: Value = serde_json::from_slice(&output.stdout).unwrap();
    let event = taken["event"].as_str().unwrap().to_owned();
    let asked = tokio::spawn({
        let (url, event) = (url.clone(), event.clone());
        async move { ask(&url, &event, "wait=60s").await }
    });
    until("the question is there", async || {
        let asked =
            |line: &str| line.contains("asked about a delivery") && line.contains("seconds=60");
        bench.log().lines().any(asked).then_some(())
    })
    .await;
    let (status, _) = ask(&url, &event, "").await;
    assert_eq!(status, 200, "another one is answered meanwhile");
    let began = std::time::Instant::now();
    assert_eq!(bench.terminate().await, Some(0));
    assert!(began.elapsed() < std::time::Duration::from_secs(20));
    let (status, body) = asked.await.unwrap();
    assert_eq!((status, &body["state"]), (200, &json!("queued")), "{body}");
}
