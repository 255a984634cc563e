//! Texts of a payload that would do something to a terminal: they reach logs, answers and commands
//! without it.

use serde_json::json;

use super::*;

/// Colours, a title, a line of one's own, the end of a text, and characters that turn others round.
const NASTY: &str = "a\u{1b}[31m\u{1b}]0;title\u{7}\r\nERROR forged\u{0}\u{9b}2J\u{202e}\u{2028}z";

fn harmless(what: &str, text: &str) {
    let bad = |c: &char| (c.is_control() && *c != '\n') || matches!(c, '\u{202e}' | '\u{2028}');
    let found = text.chars().find(bad);
    assert!(found.is_none(), "{what} has {found:?}: {text:?}");
    let forged = text
        .lines()
        .find(|line| line.trim_start().starts_with("ERROR forged"));
    assert!(
        forged.is_none(),
        "{what} has a line of somebody else: {text}"
    );
}

/// Every text of a document, as whoever reads it gets it.
fn all_texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|one| all_texts(one, found)),
        Value::Object(map) => {
            for (key, one) in map {
                found.push(key.clone());
                all_texts(one, found);
            }
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_payload_says_reaches_a_terminal_as_it_is() {
    let lines = "event = \"/type\"\nid = \"/id\"\nbranch = \"/branch\"\nbranches = [\"main\"]\n\
                 paths = [\"/paths\"]\npurge = \"files\"";
    let bench = started("generic", lines).await;
    let at = address(&bench).await;
    let body = |branch: &str, paths: Value| json!({ "type": format!("deployed {NASTY}"), "id": NASTY, "branch": branch, "paths": paths });
    // `\u{202e}` is a character of names; the rest is not.
    let answer = post(&at, &body("main", json!(["a.css", "b\u{202e}.css"])))
        .await
        .unwrap();
    let name = event(&answer);
    assert_eq!(
        name.len(),
        64,
        "an id that is no plain word names nothing: {name}"
    );
    let mut answers = vec![
        answer,
        becomes_answer(&at, &name).await,
        post(&at, &body(NASTY, json!(["a.css"]))).await.unwrap(),
        post(&at, &body("main", json!([NASTY]))).await.unwrap(),
        post(&at, &body("main", json!([{ NASTY: 1 }])))
            .await
            .unwrap(),
        post(&at, &json!({ NASTY: NASTY })).await.unwrap(),
    ];
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [202, 200, 200, 422, 422, 422]);
    // What a header may hold of it.
    let odd = "x\ty\u{9b}\u{e9}";
    let request = reqwest::Client::new()
        .post(format!("http://{at}/hooks/www"))
        .bearer_auth(SECRET)
        .header(
            "idempotency-key",
            HeaderValue::from_bytes(odd.as_bytes()).unwrap(),
        )
        .header(
            "x-github-event",
            HeaderValue::from_bytes(odd.as_bytes()).unwrap(),
        )
        .header(
            "x-forwarded-for",
            HeaderValue::from_bytes(odd.as_bytes()).unwrap(),
        )
        .json(&body("main", json!(["c.css"])));
    answers.push(call(request).await.unwrap());
    bench.settle().await;
    for answer in &answers {
        let mut texts = Vec::new();
        all_texts(&answer.body, &mut texts);
        for text in &texts {
            harmless("an answer", text);
        }
    }
    let commands: [&[&str]; 4] = [
        &["status"],
        &["explain", "/a.css"],
        &["explain", "/b%E2%80%AE.css"],
        &["requests", "list"],
    ];
    for command in commands {
        let output = bench.run(command).await;
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        harmless(&format!("{command:?}"), &said);
        let mut texts = Vec::new();
        all_texts(&bench.json(command).await, &mut texts);
        for text in &texts {
            harmless(&format!("{command:?} as JSON"), text);
        }
    }
    let explained = bench.run(&["explain", "/a.css"]).await;
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.contains("deployed a\u{fffd}"), "{explained}");
    harmless("the log", &bench.log());
}

async fn becomes_answer(at: &str, name: &str) -> Answer {
    becomes(at, name, "done").await;
    state(at, name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_is_made_to_hurt_is_answered_at_once() {
    let bench = started("generic", "purge = \"files\"").await;
    let at = address(&bench).await;
    let client = reqwest::Client::new();
    let sent = async |body: Vec<u8>| {
        let request = client
            .post(format!("http://{at}/hooks/www"))
            .bearer_auth(SECRET)
            .header("content-type", "application/json")
            .body(body);
        call(request).await.unwrap()
    };
    let text = |text: &str| text.as_bytes().to_vec();
    let deep =
        |open: &str, close: &str| [&open.repeat(200_000), "1", &close.repeat(200_000)].concat();
    let nine = "9".repeat(400_000);
    for (what, status, body) in [
        ("deep lists", 422, deep("[", "]").into_bytes()),
        ("deep maps", 422, deep("{\"a\":", "}").into_bytes()),
        (
            "a deep list where a text belongs",
            422,
            format!("{{\"paths\":{}}}", deep("[", "]")).into_bytes(),
        ),
        ("an open list", 400, vec![b'['; 2_000_000]),
        ("a name twice", 422, text("{\"scan\":true,\"scan\":false}")),
        (
            "two that mean two things",
            422,
            text("{\"scan\":true,\"all\":true}"),
        ),
        (
            "a list of paths twice",
            422,
            text("{\"paths\":[\"a\"],\"paths\":[\"b\"]}"),
        ),
        (
            "a number above all where a text belongs",
            400,
            format!("{{\"paths\":[{nine}]}}").into_bytes(),
        ),
        (
            "a number that is none",
            400,
            text("{\"scan\":true,\"x\":1e}"),
        ),
        ("half a surrogate", 400, text("{\"paths\":[\"\\ud800\"]}")),
        ("not UTF-8", 400, b"{\"paths\":[\"\xff\xfe\"]}".to_vec()),
        (
            "UTF-8 that is too long",
            400,
            b"{\"paths\":[\"\xc0\xaf\"]}".to_vec(),
        ),
        (
            "a surrogate in UTF-8",
            400,
            b"{\"paths\":[\"\xed\xa0\x80\"]}".to_vec(),
        ),
        (
            "UTF-16",
            400,
            "{\"scan\":true}"
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect(),
        ),
        ("a byte order mark", 400, "\u{feff}{\"scan\":true}".into()),
        ("a NUL after it", 400, text("{\"scan\":true}\0")),
        ("two documents", 400, text("{\"scan\":true}{\"all\":true}")),
        ("a comment", 400, text("{\"scan\":true/**/}")),
        ("NaN", 400, text("{\"scan\":NaN}")),
        ("a text for a truth", 422, text("{\"all\":\"true\"}")),
        ("nothing", 400, Vec::new()),
    ] {
        let answer = sent(body).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        let said = answer.body["error"].as_str().unwrap();
        assert!(said.len() < 600, "{what}: {said}");
    }
    assert_eq!(bench.purges(), Vec::<String>::new());
    // What nobody reads may be as large, or as deep, as it likes.
    for body in [
        format!("{{\"scan\":true,\"x\":{nine}}}"),
        "{\"scan\":true,\"x\":1e999999999}".to_owned(),
        format!("{{\"scan\":true,\"x\":{}}}", deep("[", "]")),
    ] {
        let answer = sent(body.into_bytes()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
}
