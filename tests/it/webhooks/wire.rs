//! Bytes that are no HTTP, or nearly: each is refused at once, takes nobody else's request for its
//! own, and the next delivery is taken as ever.

mod wrong;

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

const BODY: &str = "{\"scan\":true}";

/// An authentic delivery with these headers about its body, and then this.
fn with_headers(headers: &str, rest: &str) -> Vec<u8> {
    format!(
        "POST /hooks/www HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {SECRET}\r\n{headers}\r\n{rest}"
    )
    .into_bytes()
}

fn chunked(rest: &str) -> Vec<u8> {
    with_headers("Transfer-Encoding: chunked\r\n", rest)
}

/// What is said to these bytes until the connection ends.
async fn said_to(at: &str, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    // It may be reset while it still sends.
    let write = async { drop(writer.write_all(sent).await) };
    let mut said = Vec::new();
    let read = async { drop(reader.read_to_end(&mut said).await) };
    let both = async { tokio::join!(write, read) };
    let ended = tokio::time::timeout(Duration::from_secs(10), both).await;
    assert!(ended.is_ok(), "{}", String::from_utf8_lossy(sent));
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_delivery_on_the_wire_is_refused_and_harms_nobody() {
    let bench = started("generic", "purge = [\"/a.css\"]").await;
    let at = address(&bench).await;
    let mut random = fastrand::Rng::with_seed(7);
    let mut wrong = [wrong::heads(), wrong::lengths(), wrong::chunks()].concat();
    for _ in 0..20 {
        let length = random.usize(1..4_000);
        let bytes = std::iter::repeat_with(|| random.u8(..)).take(length);
        wrong.push(("noise", bytes.chain(*b"\r\n\r\n").collect()));
    }
    for (what, sent) in wrong {
        let said = said_to(&at, &sent).await;
        let refused = said.is_empty() || said.starts_with("HTTP/1.1 4");
        assert!(refused, "{what}: {said}");
        assert_eq!(
            said.matches("HTTP/1.1 ").count(),
            usize::from(!said.is_empty()),
            "{what}: {said}"
        );
    }
    let line = "edgepurge_webhooks_total{route=\"/hooks/www\",outcome=\"accepted\"}";
    assert_eq!(metric(&bench, line).await, Some(0.0));
    let answer = post(&at, &json!({ "scan": true })).await.unwrap();
    becomes(&at, &event(&answer), "done").await;
    assert_eq!(bench.purges(), ["/a.css"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_that_nothing_more_comes_is_answered_and_the_connection_ends() {
    let bench = started("generic", "purge = [\"/a.css\"]").await;
    let at = address(&bench).await;
    let length = format!("Content-Length: {}\r\n", BODY.len());
    for (sent, wanted) in [
        (with_headers(&length, BODY), "HTTP/1.1 202 "),
        (with_headers(&length, &BODY[1..]), "HTTP/1.1 400 "),
    ] {
        let mut stream = TcpStream::connect(&at).await.unwrap();
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = String::new();
        let read = stream.read_to_string(&mut said);
        // Before it would be closed for being silent.
        let ended = tokio::time::timeout(Duration::from_secs(4), read).await;
        ended.unwrap().unwrap();
        assert!(said.starts_with(wanted), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unusual_and_right_is_taken() {
    let bench = started("generic", "purge = [\"/a.css\"]").await;
    let at = address(&bench).await;
    let length = format!("Content-Length: {}\r\nConnection: close\r\n", BODY.len());
    let plain = String::from_utf8(with_headers(&length, BODY)).unwrap();
    let pieces = |text: &str| {
        let headers = "Transfer-Encoding: chunked\r\nConnection: close\r\n";
        String::from_utf8(with_headers(headers, text)).unwrap()
    };
    let end = "\r\n0\r\n\r\n";
    let expecting = format!("Expect: 100-continue\r\n{length}");
    let expecting = String::from_utf8(with_headers(&expecting, BODY)).unwrap();
    let taken = [
        // As WooCommerce sends.
        ("HTTP/1.0", plain.replacen("HTTP/1.1", "HTTP/1.0", 1)),
        (
            "a whole URL",
            plain.replacen("/hooks/www", "http://purge.example/hooks/www", 1),
        ),
        (
            "a query",
            plain.replacen("/hooks/www", "/hooks/www?delivery=1", 1),
        ),
        (
            "names in any case",
            plain.replacen("Authorization", "aUTHORIZATION", 1),
        ),
        (
            "no content type",
            plain.replacen("Content-Type", "X-Content-Type", 1),
        ),
        (
            "spaces around a value",
            plain.replacen("Bearer ", " \t Bearer ", 1),
        ),
        (
            "an upgrade that is not made",
            plain.replacen("Host", "Upgrade: h2c\r\nHost", 1),
        ),
        ("an empty line first", format!("\r\n{plain}")),
        (
            "chunks with names",
            pieces(&format!("d;a=b;c=\"d\"\r\n{BODY}{end}")),
        ),
        ("chunks with zeros", pieces(&format!("00D\r\n{BODY}{end}"))),
        (
            "chunks of one byte",
            pieces(
                &(BODY.chars().fold(String::new(), |all, c| {
                    all + "1\r\n" + &c.to_string() + "\r\n"
                }) + &end[2..]),
            ),
        ),
        (
            "trailers",
            pieces(&format!(
                "d\r\n{BODY}\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
            )),
        ),
        ("who asks first", expecting),
    ];
    for (what, sent) in taken {
        let said = said_to(&at, sent.as_bytes()).await;
        let said = said
            .strip_prefix("HTTP/1.1 100 Continue\r\n\r\n")
            .unwrap_or(&said);
        let version = if what == "HTTP/1.0" {
            "HTTP/1.0"
        } else {
            "HTTP/1.1"
        };
        assert!(
            said.starts_with(&format!("{version} 202 ")),
            "{what}: {said}"
        );
        assert_eq!(said.matches("HTTP/1.").count(), 1, "{what}: {said}");
    }
    // One after the other, without a wait for answers.
    let keep = plain.replacen("Connection: close\r\n", "", 1);
    let said = said_to(&at, format!("{}{plain}", keep.repeat(50)).as_bytes()).await;
    assert_eq!(said.matches("HTTP/1.1 202 ").count(), 51, "{said}");
}

/// What differs from these bytes in a few places.
fn changed(random: &mut fastrand::Rng, sent: &[u8]) -> Vec<u8> {
    const ODD: [&[u8]; 10] = [
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b"\0",
        b" ",
        b":",
        b"\xff",
        b"0",
        b"\t",
        b"chunked",
    ];
    let mut bytes = sent.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..bytes.len());
        let rest = bytes.split_off(at);
        let cut = random.usize(..4).min(rest.len());
        match random.u8(..4) {
            // Cut, put in, said twice, written over.
            0 => bytes.extend_from_slice(&rest[cut..]),
            1 => {
                bytes.extend_from_slice(random.choice(ODD).unwrap());
                bytes.extend_from_slice(&rest);
            }
            2 => {
                let again = bytes.len().saturating_sub(random.usize(..40));
                bytes.extend_from_within(again..);
                bytes.extend_from_slice(&rest);
            }
            _ => {
                bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(cut));
                bytes.extend_from_slice(&rest[cut..]);
            }
        }
        if bytes.is_empty() {
            bytes.push(b'x');
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bytes_without_the_secret_are_taken_and_nobody_is_harmed_by_them() {
    let bench = started("generic", "purge = [\"/a.css\"]").await;
    let at = address(&bench).await;
    let seed = std::env::var("RANDOM_SEED").ok();
    let seed = seed.map_or(11, |text| text.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let length = format!("Content-Length: {}\r\n", BODY.len());
    let whole = with_headers(&length, BODY);
    let pieces = chunked(&format!("d\r\n{BODY}\r\n0\r\n\r\n"));
    for round in 0..600 {
        let secret = SECRET.to_owned() + if round % 2 == 0 { "x" } else { "" };
        let mut sent =
            String::from_utf8(random.choice([&whole, &pieces]).unwrap().clone()).unwrap();
        sent = sent.replace(SECRET, &secret);
        let sent = changed(&mut random, sent.as_bytes());
        let mut stream = TcpStream::connect(&at).await.unwrap();
        drop(stream.write_all(&sent).await);
        drop(stream.shutdown().await);
        let mut said = Vec::new();
        let read = stream.read_to_end(&mut said);
        let ended = tokio::time::timeout(Duration::from_secs(10), read).await;
        let shown = String::from_utf8_lossy(&sent).into_owned();
        assert!(ended.is_ok(), "RANDOM_SEED={seed} {round}: {shown:?}");
        let said = String::from_utf8_lossy(&said);
        let taken = said.matches("HTTP/1.1 202 ").count();
        // What has the secret may be taken, for each time that it has it.
        let bearer = format!("Bearer {SECRET}");
        let most = shown
            .lines()
            .filter(|line| line.trim_end().ends_with(&bearer))
            .count();
        assert!(
            taken <= most,
            "RANDOM_SEED={seed} {round}: {shown:?}\n{said}"
        );
    }
    let answer = post(&at, &json!({ "scan": true })).await.unwrap();
    becomes(&at, &event(&answer), "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_ends_without_a_carriage_return_makes_no_second_request() {
    let bench = started("generic", "purge = [\"/a.css\"]").await;
    let at = address(&bench).await;
    let length = format!("Content-Length: {}\r\nConnection: close\r\n", BODY.len());
    let plain = String::from_utf8(with_headers(&length, BODY)).unwrap();
    // A proxy in front may take the line feed for a part of the value, or for an end: either way it
    // is one request, and who it is of is said in it.
    for sent in [
        plain.replace("\r\n", "\n"),
        plain.replacen("Host: x\r\n", "Host: x\n", 1),
    ] {
        let said = said_to(&at, sent.as_bytes()).await;
        assert!(
            said.starts_with("HTTP/1.1 202") || said.starts_with("HTTP/1.1 400"),
            "{said}"
        );
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{said}");
    }
    let stranger = plain.replacen(SECRET, "wrong", 1).replace("\r\n", "\n");
    let said = said_to(&at, stranger.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 4"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_hides_behind_another_has_to_show_its_own_secret() {
    let bench = started("generic", "purge = [\"/a.css\"]").await;
    let at = address(&bench).await;
    let hidden = "POST /hooks/www HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    // By its length there is one request, and by its chunks there are two.
    let length = format!("Content-Length: {}", hidden.len() + 5);
    let coding = "Transfer-Encoding: chunked";
    for both in [
        format!("{length}\r\n{coding}\r\n"),
        format!("{coding}\r\n{length}\r\n"),
        // To some the second is a part of the first one's value.
        format!("X: y\n{coding}\r\n{length}\r\n"),
        format!("{length}\r\nX: y\n{coding}\r\n"),
    ] {
        let said = said_to(&at, &with_headers(&both, &format!("0\r\n\r\n{hidden}"))).await;
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{both}: {said}");
    }
    let length = format!("Content-Length: {}\r\n", BODY.len());
    let said = said_to(&at, &with_headers(&length, &format!("{BODY}{hidden}"))).await;
    let answers: Vec<&str> = said
        .matches("HTTP/1.1 202")
        .chain(said.matches("HTTP/1.1 401"))
        .collect();
    assert_eq!(answers, ["HTTP/1.1 202", "HTTP/1.1 401"], "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_that_a_delivery_names_is_ever_called() {
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let url = format!("http://{}/x", trap.local_addr().unwrap());
    let bench = started(
        "cloudevents",
        "purge = \"scan\"\nallowed_origins = [\"a.example\"]",
    )
    .await;
    let at = address(&bench).await;
    let client = reqwest::Client::new();
    let hook = format!("http://{at}/hooks/www");
    let asked = client
        .request(reqwest::Method::OPTIONS, &hook)
        .header("webhook-request-origin", "a.example")
        .header("webhook-request-callback", &url)
        .send()
        .await
        .unwrap();
    assert_eq!(asked.status(), 200);
    let body = json!({
        "specversion": "1.0", "type": "t", "source": url, "id": "1", "dataschema": url,
        "data": {"callback_url": url, "SubscribeURL": url, "SigningCertURL": url, "validationUrl": url},
    });
    let sent = client
        .post(&hook)
        .bearer_auth(SECRET)
        .header("content-type", "application/cloudevents+json")
        .body(body.to_string());
    let answer = call(sent).await.unwrap();
    becomes(&at, &event(&answer), "done").await;
    let called = trap.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(called, Err(std::io::ErrorKind::WouldBlock));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_an_address_is_neither_believed_nor_logged() {
    let bench = started("generic", "purge = [\"/a.css\"]").await;
    let at = address(&bench).await;
    let client = reqwest::Client::new();
    for path in [
        format!("/hooks/www?token={SECRET}&access_token={SECRET}"),
        format!("/hooks/www/some?access_token={SECRET}"),
        format!("/{SECRET}"),
        format!("/hooks/www/{SECRET}"),
        "/hooks/www/%1b%5b31m%00".to_owned(),
    ] {
        for method in [reqwest::Method::POST, reqwest::Method::GET] {
            let request = client
                .request(method, format!("http://{at}{path}"))
                .body(BODY);
            let status = call(request).await.unwrap().status;
            assert!([401, 404, 405].contains(&status), "{path}: {status}");
        }
    }
    // Nor one that is only nearly the route's.
    for path in [
        "/hooks/%77ww",
        "/hooks//www",
        "//hooks/www",
        "/hooks/www/",
        "/HOOKS/www",
        "/x/../hooks/www",
    ] {
        let sent = with_headers(&format!("Content-Length: {}\r\n", BODY.len()), BODY);
        let sent = String::from_utf8(sent)
            .unwrap()
            .replacen("/hooks/www", path, 1);
        let said = said_to(&at, sent.as_bytes()).await;
        assert!(
            said.starts_with("HTTP/1.1 404") || said.starts_with("HTTP/1.1 405"),
            "{path}: {said}"
        );
    }
    let log = bench.log();
    assert!(!log.contains(SECRET) && !log.contains('\u{1b}'), "{log}");
}
