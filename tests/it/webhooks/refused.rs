//! A delivery that is refused is one line of the log, which says why and what to do; the sender hears
//! no more than before.

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;

/// The lines of the log that tell of refusals.
fn lines(bench: &Bench) -> Vec<String> {
    let log = bench.log();
    let told = log.lines().filter(|line| line.contains(" is refused: "));
    told.map(str::to_owned).collect()
}

/// Makes a call, and returns its answer and the one line that the log has more then.
async fn refused(bench: &Bench, request: reqwest::RequestBuilder) -> (Answer, String) {
    let before = lines(bench).len();
    let answer = call(request).await.unwrap();
    let line = until("the log tells of it", async || {
        lines(bench).get(before).cloned()
    })
    .await;
    assert_eq!(lines(bench).len(), before + 1, "one line for each call");
    (answer, line)
}

fn has(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "{word} in\n{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_nearly_is_a_routes_says_which_was_meant() {
    let bench = started("github", "").await;
    let at = address(&bench).await;
    let mut heard = None;
    for (path, words) in [
        (
            "/hooks/www/",
            &[
                "WARN",
                "path=\"/hooks/www/\"",
                "by slashes",
                "exactly /hooks/www",
            ][..],
        ),
        ("//hooks/www", &["WARN", "by slashes"]),
        ("/hooks/www//?token=abc", &["WARN", "by slashes"]),
        (
            "/edge/hooks/www",
            &["WARN", "behind /edge", "take /edge off"],
        ),
        ("/www", &["WARN", "without /hooks", "pass the whole path"]),
        (
            "/hooks/shop",
            &["INFO", "no route has this path", "there are /hooks/www"],
        ),
    ] {
        let body = "{}";
        let request = reqwest::Client::new()
            .post(format!("http://{at}{path}"))
            .headers(signed(body))
            .body(body);
        let (answer, line) = refused(&bench, request).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        has(&line, words);
        has(&line, &["reason=\"no_route\"", "client=127.0.0.1"]);
        assert!(!line.contains("token"), "no query is told: {line}");
        let first = heard.get_or_insert_with(|| answer.body.clone());
        assert_eq!(&answer.body, first, "a stranger hears the same");
    }
    let counted = r#"edgepurge_webhook_refusals_total{route="unknown",reason="no_route"}"#;
    assert_eq!(metric(&bench, counted).await, Some(6.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_signature_a_wrong_one_and_a_wrong_method_are_told_with_the_remedy() {
    let bench = started("github", "").await;
    let at = address(&bench).await;
    let url = format!("http://{at}/hooks/www");
    let client = reqwest::Client::new();
    let body = "{\"action\":\"completed\"}";
    let signature = "x-hub-signature-256";
    let without = |name: &str| {
        let mut headers = signed(body);
        headers.remove(name);
        client.post(&url).headers(headers).body(body)
    };
    let other = signed("another body");
    let mut twice = signed(body);
    twice.append(signature, HeaderValue::from_static("sha256=00"));
    for (request, status, words) in [
        (
            without(signature),
            401,
            &["missing", "x-hub-signature-256", "no proxy drops"][..],
        ),
        (
            client.post(&url).headers(other).body(body),
            401,
            &["wrong", "compare the secret"],
        ),
        (
            client.post(&url).headers(twice).body(body),
            401,
            &["twice", "more than once"],
        ),
        (
            client.get(&url),
            405,
            &["method", "GET", "POST", "redirect"],
        ),
        (
            client.get(format!("{url}/event-1")),
            401,
            &["missing", "Authorization: Bearer"],
        ),
        (
            client
                .post(&url)
                .headers(signed("nonsense"))
                .body("nonsense"),
            400,
            &["unreadable", "kind = \"github\"", "not JSON"],
        ),
    ] {
        let (answer, line) = refused(&bench, request).await;
        assert_eq!(answer.status, status, "{line}");
        has(&line, &["WARN", "route=\"/hooks/www\"", "client=127.0.0.1"]);
        has(&line, words);
        assert!(!line.contains(SECRET), "{line}");
        if status == 401 {
            assert_eq!(answer.body, json!({ "error": "not authentic" }));
        }
    }
    for (reason, count) in [
        ("missing", 2.0),
        ("wrong", 1.0),
        ("twice", 1.0),
        ("method", 1.0),
        ("unreadable", 1.0),
    ] {
        let line =
            format!("edgepurge_webhook_refusals_total{{route=\"/hooks/www\",reason=\"{reason}\"}}");
        assert_eq!(metric(&bench, &line).await, Some(count), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_told_with_the_seconds() {
    let lines = "auth = \"hmac\"\nsignature_header = \"X-Signature\"\ntimestamp_header = \"X-Time\"\n\
                 signed = \"{timestamp}.{body}\"";
    let bench = started("generic", lines).await;
    let at = address(&bench).await;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let sent = |time: u64| {
        let mac = ring::hmac::sign(&key, format!("{time}.{{}}").as_bytes());
        reqwest::Client::new()
            .post(format!("http://{at}/hooks/www"))
            .header("x-signature", data_encoding::HEXLOWER.encode(mac.as_ref()))
            .header("x-time", time.to_string())
            .header("content-type", "application/json")
            .body("{}")
    };
    let fine = call(sent(now)).await.unwrap();
    assert_ne!(fine.status, 401, "{fine:?}");
    for (time, side) in [(now - 600, "behind"), (now + 600, "ahead of")] {
        let (answer, line) = refused(&bench, sent(time)).await;
        assert_eq!(answer.body, json!({ "error": "not authentic" }));
        has(&line, &["reason=\"expired\"", "x-time", side, "NTP"]);
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words
            .windows(2)
            .position(|pair| pair[1] == "s" && pair[0].parse::<u64>().is_ok());
        let off: u64 = words[at.unwrap()].parse().unwrap();
        assert!((570..=630).contains(&off), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_strangers_fills_no_log_and_hides_no_other_reason() {
    let bench = started("github", "").await;
    let at = address(&bench).await;
    for number in 0..60 {
        let request = reqwest::Client::new().post(format!("http://{at}/wp/{number}.php"));
        assert_eq!(call(request).await.unwrap().status, 404);
    }
    let counted = r#"edgepurge_webhook_refusals_total{route="unknown",reason="no_route"}"#;
    assert_eq!(metric(&bench, counted).await, Some(60.0), "all are counted");
    let told = lines(&bench);
    assert!((10..=20).contains(&told.len()), "{} lines", told.len());
    has(&told[9], &["more of this reason are only counted"]);
    let unsigned = reqwest::Client::new().post(format!("http://{at}/hooks/www"));
    let (_, line) = refused(&bench, unsigned).await;
    has(&line, &["reason=\"missing\"", "x-hub-signature-256"]);
}
