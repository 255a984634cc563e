//! Senders that are slow, silent, endless or many: they are gone soon, cost little, and hold up
//! nobody who is honest.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::*;

/// A connection that does nothing useful ends within this.
const PATIENCE: Duration = Duration::from_secs(10);
const HEAD: &str = "POST /hooks/www HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";

/// The text that a client sends: at once, and then again and again.
struct Client {
    name: &'static str,
    first: String,
    then: &'static str,
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_or_silent_is_gone_within_ten_seconds_and_holds_up_nobody() {
    let bench = started("generic", "purge = [\"/a.css\"]").await;
    let at = address(&bench).await;
    let clients = [
        Client {
            name: "silent",
            first: String::new(),
            then: "",
        },
        Client {
            name: "half a head",
            first: HEAD.to_owned(),
            then: "",
        },
        Client {
            name: "a slow head",
            first: "POST /hooks/www HTTP/1.1\r\n".to_owned(),
            then: "x: y\r\n",
        },
        Client {
            name: "no body",
            first: format!("{HEAD}Content-Length: 1000\r\n\r\n"),
            then: "",
        },
        Client {
            name: "a slow body",
            first: format!("{HEAD}Content-Length: 100000\r\n\r\n"),
            then: "0123456789",
        },
        Client {
            name: "a slow body in chunks",
            first: format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n"),
            then: "1\r\nx\r\n",
        },
        Client {
            name: "idle after an answer",
            first: format!(
                "{HEAD}Authorization: Bearer {SECRET}\r\nContent-Length: 13\r\n\r\n{{\"scan\":true}}"
            ),
            then: "",
        },
        Client {
            name: "a stranger who asks again and again",
            first: String::new(),
            then: "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
        },
        Client {
            name: "a stranger who tries again and again",
            first: String::new(),
            then: "POST /hooks/www HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        },
        Client {
            name: "a wrong method again and again",
            first: String::new(),
            then: "GET /hooks/www HTTP/1.1\r\nHost: x\r\n\r\n",
        },
    ];
    let mut running = Vec::new();
    for client in clients {
        let client = std::sync::Arc::new(client);
        for _ in 0..20 {
            let (client, at) = (client.clone(), at.clone());
            running.push(tokio::spawn(async move {
                let began = Instant::now();
                let mut stream = TcpStream::connect(at).await.unwrap();
                stream.write_all(client.first.as_bytes()).await.unwrap();
                let (mut reader, mut writer) = stream.into_split();
                let ended = async {
                    let mut read = Vec::new();
                    drop(reader.read_to_end(&mut read).await);
                };
                let goes_on = async {
                    while writer.write_all(client.then.as_bytes()).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(300)).await;
                    }
                    std::future::pending::<()>().await;
                };
                let ended = async {
                    tokio::select! { () = ended => {}, () = goes_on => {} }
                };
                let ended = tokio::time::timeout(PATIENCE, ended).await;
                assert!(ended.is_ok(), "{}: {:?}", client.name, began.elapsed());
            }));
        }
    }
    let answer = post(&at, &json!({ "scan": true })).await.unwrap();
    becomes(&at, &event(&answer), "done").await;
    for client in running {
        client.await.unwrap();
    }
}

/// The memory of the daemon at most so far, in MiB.
fn peak(bench: &Bench) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", bench.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse::<u64>().unwrap() / 1024
}

/// A header that may be right, as far as it can be told before the body ends.
const SIGNED: &str = "X-Hub-Signature-256: sha256=\
                      0000000000000000000000000000000000000000000000000000000000000000\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn bodies_without_end_cost_bounded_memory() {
    // Of somebody without a token it is known at once that it is a stranger, and nothing is kept.
    for (kind, header, most) in [
        ("github", SIGNED, 48),
        ("generic", "", 12),
        ("github", "", 12),
    ] {
        bodies_without_end(kind, header, most).await;
    }
}

async fn bodies_without_end(kind: &str, header: &'static str, most: u64) {
    let bench = started(kind, "purge = [\"/a.css\"]").await;
    let at = address(&bench).await;
    let before = peak(&bench);
    let bombs: Vec<_> = (0..8)
        .map(|_| {
            let at = at.clone();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(at).await.unwrap();
                let head = format!("{HEAD}{header}Transfer-Encoding: chunked\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
                let (mut reader, mut writer) = stream.into_split();
                let send = async {
                    for _ in 0..200 {
                        if writer.write_all(chunk.as_bytes()).await.is_err() {
                            break;
                        }
                    }
                    std::future::pending::<()>().await;
                };
                let mut said = String::new();
                tokio::select! {
                    () = send => {}
                    _ = reader.read_to_string(&mut said) => {}
                }
                said
            })
        })
        .collect();
    for bomb in bombs {
        let said = bomb.await.unwrap();
        // One that was not told had its connection reset while it went on sending.
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    let grown = peak(&bench) - before;
    assert!(grown < most, "{kind} {header}: {grown} MiB more");
    let answer = match kind {
        "github" => github(&at, 1).await,
        _ => post(&at, &json!({ "scan": true })).await.unwrap(),
    };
    becomes(&at, &event(&answer), "done").await;
}

/// Sends most of a large body, waits until that is no longer waited for, and begins again.
async fn never_ends_a_large_body(at: String) {
    let head = format!("{HEAD}{SIGNED}Content-Length: 20000000\r\n\r\n");
    let most = vec![b' '; 15_000_000];
    loop {
        let mut stream = TcpStream::connect(&at).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        drop(stream.write_all(&most).await);
        drop(stream.read_to_end(&mut Vec::new()).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_with_large_bodies_keep_no_usual_delivery_from_being_read() {
    let lines = "events = [\"push\"]\npurge = \"files\"\nfiles_root = \"public/\"";
    let bench = started("github", lines).await;
    let at = address(&bench).await;
    let commit = json!({ "added": [], "modified": ["src/main.rs"], "removed": [] });
    let small = json!({
        "ref": "refs/heads/main", "before": "1", "after": "2", "forced": false, "commits": [commit],
    });
    let mut large = small.clone();
    large["filler"] = json!("x".repeat(4_000_000));
    let is = async |body: &Value| {
        let body = body.to_string();
        let mut headers = signed(&body);
        headers.insert("x-github-event", HeaderValue::from_static("push"));
        let request = reqwest::Client::new().post(format!("http://{at}/hooks/www"));
        let answer = call(request.headers(headers).body(body)).await.unwrap();
        match answer.status {
            // It is read, and of what it lists there is nothing.
            200 => true,
            // It is not, and counts for all that it could have said.
            202 => false,
            _ => panic!("{answer:?}"),
        }
    };
    let strangers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(never_ends_a_large_body(at.clone())))
        .collect();
    until("strangers have all the room that there is", async || {
        assert!(is(&small).await, "a usual one is read");
        (!is(&large).await).then_some(())
    })
    .await;
    assert!(is(&small).await, "a usual one is read");
    for stranger in strangers {
        stranger.abort();
    }
    until("there is room again", async || {
        is(&large).await.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_by_its_length_before_it_is_sent() {
    let mut bench = Bench::new().await;
    with_route(
        &mut bench,
        "generic",
        "purge = [\"/a.css\"]",
        "body_limit = \"1 kB\"",
    );
    bench.start().await;
    let at = address(&bench).await;
    let mut stream = TcpStream::connect(&at).await.unwrap();
    let head = format!("{HEAD}Content-Length: 1001\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut said = String::new();
    let answered = tokio::time::timeout(Duration::from_secs(2), stream.read_to_string(&mut said));
    answered.await.unwrap().unwrap();
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");
    // Who sends all of it at once gets to read the answer, too.
    let large = "x".repeat(300_000);
    let request = reqwest::Client::new().post(format!("http://{at}/hooks/www"));
    let answer = call(request.body(large)).await.unwrap();
    assert_eq!(answer.status, 413);
    let fits = json!({ "scan": true, "filler": "x".repeat(900) });
    assert_eq!(post(&at, &fits).await.unwrap().status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_have_limits() {
    let bench = started("generic", "purge = [\"/a.css\"]").await;
    let at = address(&bench).await;
    let many = "x: y\r\n".repeat(100);
    let long = format!("x: {}\r\n", "y".repeat(20_000));
    for headers in [many, long] {
        let mut stream = TcpStream::connect(&at).await.unwrap();
        let head = format!("{HEAD}{headers}Content-Length: 0\r\n\r\n");
        drop(stream.write_all(head.as_bytes()).await);
        let mut said = String::new();
        drop(stream.read_to_string(&mut said).await);
        assert!(said.starts_with("HTTP/1.1 431"), "{said}");
    }
}

/// Opens a connection from this address of the loopback network.
async fn connect_from(from: [u8; 4], at: &str) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(at.parse().unwrap()).await
}

/// What is said to a delivery from this address until the connection ends. Not by reqwest, which now and
/// then waits for ever where a server closes a connection that it has just made.
async fn deliver_from(from: [u8; 4], at: &str) -> std::io::Result<String> {
    let mut stream = connect_from(from, at).await?;
    let body = "{\"scan\":true}";
    let request = format!(
        "{HEAD}Authorization: Bearer {SECRET}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    Ok(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_half_open_connections_of_many_clients_are_all_gone_within_ten_seconds() {
    many_files();
    let bench = started("generic", "purge = [\"/a.css\"]").await;
    let at = address(&bench).await;
    let before = peak(&bench);
    let began = Instant::now();
    let mut open = Vec::new();
    // Eight clients, each with fewer than one may have: together they take every place.
    for number in 0..2_000_u16 {
        let last = u8::try_from(number % 8).unwrap();
        let Ok(mut stream) = connect_from([127, 0, 1, 1 + last], &at).await else {
            continue;
        };
        drop(stream.write_all(HEAD.as_bytes()).await);
        open.push(tokio::spawn(async move {
            let mut read = Vec::new();
            let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut read)).await;
            (ended.is_ok(), began.elapsed())
        }));
    }
    assert!(open.len() > 1_500, "{}", open.len());
    let mut held = 0;
    for connection in open {
        let (ended, after) = connection.await.unwrap();
        assert!(ended, "still open after {after:?}");
        held += usize::from(after > Duration::from_secs(2));
    }
    assert!(held > 500, "they were refused, and not held: {held}");
    let grown = peak(&bench) - before;
    assert!(grown < 48, "{grown} MiB more");
    // Then there is room for all of them again.
    let answer = post(&at, &json!({ "scan": true })).await.unwrap();
    becomes(&at, &event(&answer), "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_of_many_clients_make_room_for_one_that_has_something_to_say() {
    many_files();
    let bench = started("generic", "purge = [\"/a.css\"]").await;
    let at = address(&bench).await;
    let mut silent = Vec::new();
    for number in 0..1_500_u16 {
        let last = u8::try_from(number % 8).unwrap();
        silent.extend(connect_from([127, 0, 1, 1 + last], &at).await);
    }
    // One that is known keeps its place, however many strangers come.
    let known = reqwest::Client::new();
    let url = format!("http://{at}/hooks/www");
    let deliver = || {
        let request = known.post(&url).bearer_auth(SECRET);
        call(request.json(&json!({ "scan": true })))
    };
    assert_eq!(deliver().await.unwrap().status, 202);
    let mut more = Vec::new();
    for number in 0..1_500_u16 {
        let last = u8::try_from(number % 8).unwrap();
        more.extend(connect_from([127, 0, 2, 1 + last], &at).await);
    }
    assert_eq!(deliver().await.unwrap().status, 202);
    drop((silent, more));
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_stay_after_their_answer_take_no_more_files_than_there_are_places() {
    let mut bench = Bench::new().await;
    with_route(&mut bench, "generic", "purge = [\"/a.css\"]", "");
    // Half of that are places.
    let words = ["sh", "-c", "ulimit -n 256; exec \"$0\" \"$@\""];
    bench.within = words.map(str::to_owned).into();
    bench.start().await;
    let at = address(&bench).await;
    let files = || {
        fs::read_dir(format!("/proc/{}/fd", bench.pid()))
            .unwrap()
            .count()
    };
    let before = files();
    let mut lingering = Vec::new();
    for _ in 0..600 {
        let mut stream = TcpStream::connect(&at).await.unwrap();
        let asked = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(asked).await.unwrap();
        let mut said = [0; 12];
        stream.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"HTTP/1.1 404");
        lingering.push(stream);
        let open = files() - before;
        assert!(open <= 140, "{open} of them");
    }
    assert!(files() - before > 100, "none of them stays");
    assert_eq!(
        post(&at, &json!({ "scan": true })).await.unwrap().status,
        202
    );
    assert!(!bench.log().contains("Too many open files"));
}

/// Lets this process, and what it starts, open as many files as it may.
fn many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_connections_of_one_client_leave_room_for_another() {
    many_files();
    let bench = started("generic", "purge = [\"/a.css\"]").await;
    let at = address(&bench).await;
    let before = peak(&bench);
    let mut open = Vec::new();
    for _ in 0..3_000 {
        // One that is refused is closed, not hung.
        open.extend(TcpStream::connect(&at).await);
    }
    // Before any of them would have had to say something.
    let other = deliver_from([127, 0, 0, 2], &at);
    let said = tokio::time::timeout(Duration::from_secs(5), other).await;
    let said = said.unwrap().unwrap();
    assert!(said.starts_with("HTTP/1.1 202"), "{said}");
    assert!(peak(&bench) - before < 32, "{} MiB", peak(&bench));
    // And for the same one soon again.
    until("there is room again", async || {
        let said = deliver_from([127, 0, 0, 1], &at).await.ok()?;
        said.starts_with("HTTP/1.1 202").then_some(())
    })
    .await;
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_authentication_is_limited_per_client_and_who_is_authentic_never_is() {
    let mut bench = Bench::new().await;
    with_route(
        &mut bench,
        "generic",
        "purge = [\"/a.css\"]",
        "failed_auth_per_minute = 3\ntrusted_proxies = [\"127.0.0.0/8\"]",
    );
    bench.start().await;
    let at = address(&bench).await;
    let url = format!("http://{at}/hooks/www");
    let from = async |client: &str, token: &str| {
        let request = reqwest::Client::new()
            .post(&url)
            .bearer_auth(token)
            // What a stranger wrote in front of what the proxy adds counts for nothing.
            .header("x-forwarded-for", format!("9.9.9.{}", fastrand::u8(..)))
            .header("x-forwarded-for", client)
            .json(&json!({ "scan": true }));
        call(request).await.unwrap().status
    };
    for wanted in [401, 401, 401, 429, 429] {
        assert_eq!(from("1.1.1.1", "wrong").await, wanted);
    }
    assert_eq!(from("2.2.2.2", "wrong").await, 401);
    for _ in 0..50 {
        assert_eq!(from("1.1.1.1", SECRET).await, 202);
    }
    assert_eq!(from("1.1.1.1", "wrong").await, 429);
    let log = bench.log();
    assert!(log.contains("1.1.1.1") && !log.contains("9.9.9."), "{log}");
}
