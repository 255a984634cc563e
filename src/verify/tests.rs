//! What is sent, and what is made of what comes, over real sockets.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::supervise::Supervisor;

/// A server that answers each request with these bytes, and keeps what it was sent.
async fn server(answer: &str, supervisor: &Supervisor) -> (Url, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asked, answer) = (Arc::new(Mutex::new(Vec::new())), answer.to_owned());
    let (kept, stopping) = (Arc::clone(&asked), supervisor.stopping());
    supervisor.spawn("server", async move {
        loop {
            let accepted = tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                accepted = listener.accept() => accepted,
            };
            let (mut socket, _) = accepted.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).await.unwrap() == 1 {
                head.push(byte[0]);
            }
            kept.lock().unwrap().push(String::from_utf8(head).unwrap());
            // Who asked may have asked enough.
            drop(socket.write_all(answer.as_bytes()).await);
        }
    });
    (url.parse().unwrap(), asked)
}

fn probe(url: Url) -> Edge {
    drop(rustls::crypto::ring::default_provider().install_default());
    Edge::new(url, Duration::from_millis(500), false).unwrap()
}

/// An allowance of so many bytes, below zero when more came.
struct Left(AtomicI64);

impl Allowance for Left {
    async fn take(&self, bytes: u64) -> u64 {
        let left = u64::try_from(self.0.load(Relaxed)).unwrap_or(0);
        let taken = bytes.min(left);
        self.owe(taken);
        taken
    }

    fn give_back(&self, bytes: u64) {
        self.0.fetch_add(i64::try_from(bytes).unwrap(), Relaxed);
    }

    fn owe(&self, bytes: u64) {
        self.0.fetch_sub(i64::try_from(bytes).unwrap(), Relaxed);
    }
}

/// The answer, and how many bytes it cost.
async fn fetch(edge: &Edge, asset: &str, left: i64) -> (Answer, i64) {
    let allowance = Left(AtomicI64::new(left));
    let answer = edge.fetch(&Asset::from_stored(asset), &allowance).await;
    (answer, left - allowance.0.load(Relaxed))
}

fn hash(text: &str) -> [u8; 32] {
    *blake3::hash(text.as_bytes()).as_bytes()
}

#[tokio::test]
async fn it_asks_without_cookies_and_follows_nothing() {
    let (supervisor, _faults) = Supervisor::new();
    let answer = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: a=b; Path=/\r\n\
                  Content-Length: 3\r\nConnection: close\r\n\r\nold";
    let (url, asked) = server(answer, &supervisor).await;
    let edge = probe(url);
    for _ in 0..2 {
        let (found, _) = fetch(&edge, "/d%C3%BC/x?full=1", 100).await;
        let hash = hash("old");
        let bytes = 3;
        assert_eq!(
            found,
            Answer::Body {
                status: 302,
                hash,
                objects: Vec::new(),
                bytes
            }
        );
    }
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2, "{asked:?}");
    for head in asked {
        let head = head.to_ascii_lowercase();
        assert!(
            head.starts_with("get /d%c3%bc/x?full=1 http/1.1\r\n"),
            "{head}"
        );
        for name in ["cookie", "accept-encoding", "authorization", "range"] {
            assert!(!head.contains(name), "{name} in {head}");
        }
    }
    supervisor.stop().await;
}

#[tokio::test]
async fn a_body_stands_for_the_object_of_its_md5_and_of_the_etag_that_came() {
    let (supervisor, _faults) = Supervisor::new();
    let answer = "HTTP/1.1 200 OK\r\nETag: W/\"0123-7\"\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    let (url, _) = server(answer, &supervisor).await;
    drop(rustls::crypto::ring::default_provider().install_default());
    let edge = Edge::new(url, Duration::from_millis(500), true).unwrap();
    let (found, _) = fetch(&edge, "/a", 100).await;
    let Answer::Body { objects, .. } = found else {
        panic!("{found:?}");
    };
    let expected = ["0123-7", "5d41402abc4b2a76b9719d911017c592"].map(etag::content);
    assert_eq!(objects, expected);
    supervisor.stop().await;
}

#[tokio::test]
async fn what_says_to_be_too_large_is_not_read_and_what_does_not_say_is_cut() {
    let (supervisor, _faults) = Supervisor::new();
    let body = "x".repeat(1_000);
    let told =
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n{body}");
    let untold = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}");
    let (told, _) = server(&told, &supervisor).await;
    let (untold, _) = server(&untold, &supervisor).await;
    let (answer, read) = fetch(&probe(told.clone()), "/a", 999).await;
    assert!(matches!(answer, Answer::Unread(_)), "{answer:?}");
    assert_eq!(read, 0);
    let (answer, read) = fetch(&probe(told), "/a", 1_000).await;
    assert!(matches!(answer, Answer::Body { .. }), "{answer:?}");
    assert_eq!(read, 1_000);
    let (answer, read) = fetch(&probe(untold.clone()), "/a", 999).await;
    assert!(matches!(answer, Answer::Unread(_)), "{answer:?}");
    assert_eq!(read, 1_000, "what came too much is owed");
    let (answer, read) = fetch(&probe(untold), "/a", 1 << 20).await;
    assert!(matches!(answer, Answer::Body { .. }), "{answer:?}");
    assert_eq!(read, 1_000, "and what did not come is given back");
    supervisor.stop().await;
}

#[tokio::test]
async fn an_edge_in_trouble_says_nothing_of_an_asset() {
    let (supervisor, _faults) = Supervisor::new();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute_url = format!("http://{}", mute.local_addr().unwrap());
    let (busy, _) = server(
        "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        &supervisor,
    )
    .await;
    let (short, _) = server(
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
        &supervisor,
    )
    .await;
    for (url, says) in [
        (
            nobody.parse().unwrap(),
            "can't be reached: Connection refused",
        ),
        (mute_url.parse().unwrap(), "within 0.5 s"),
        (busy, "answers 503"),
        (short, "broke off"),
    ] {
        let (answer, _) = fetch(&probe(url), "/a", 100).await;
        let Answer::Silent(why) = answer else {
            panic!("{answer:?}");
        };
        assert!(why.contains(says), "{why}");
    }
    supervisor.stop().await;
}

#[tokio::test]
async fn what_would_become_another_url_is_not_asked_for() {
    let edge = probe("http://127.0.0.1:9".parse().unwrap());
    for asset in ["/a/../b", "/%2e%2e/b"] {
        let (answer, _) = fetch(&edge, asset, 100).await;
        assert!(matches!(answer, Answer::Unread(_)), "{asset}: {answer:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_gives_back_what_did_not_come() {
    let (supervisor, _faults) = Supervisor::new();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nab";
    let (short, _) = server(answer, &supervisor).await;
    let (answer, read) = fetch(&probe(short), "/a", 1_000).await;
    assert!(matches!(answer, Answer::Silent(_)), "{answer:?}");
    assert_eq!(read, 2);
    supervisor.stop().await;
}

#[tokio::test]
async fn an_endless_body_is_cut_where_the_allowance_ends_or_the_time() {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let url: Url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let stopping = supervisor.stopping();
    supervisor.spawn("endless", async move {
        let serve = async {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let asked = socket.read(&mut [0; 4_096]).await.unwrap();
                assert!(asked > 0);
                let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
                let mut sent = socket.write_all(head).await;
                while sent.is_ok() {
                    sent = socket.write_all(&[b'x'; 4_096]).await;
                }
            }
        };
        tokio::select! {
            () = stopping.cancelled() => {}
            () = serve => {}
        }
        Ok(())
    });
    let (answer, read) = fetch(&probe(url.clone()), "/a", 100_000).await;
    assert!(matches!(answer, Answer::Unread(_)), "{answer:?}");
    assert!(read < 1_000_000, "at most a piece more: {read}");
    let (answer, _) = fetch(&probe(url), "/a", i64::MAX).await;
    let Answer::Silent(why) = answer else {
        panic!("{answer:?}");
    };
    assert!(why.contains("within 0.5 s"), "{why}");
    supervisor.stop().await;
}
