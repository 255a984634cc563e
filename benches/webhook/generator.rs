//! The sender: as many connections as deliveries on their way, and as little work as possible.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use ring::hmac;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::servers::{SECRET, Server};

const CONNECTIONS: usize = 64;
const BODY: usize = 1_024;
/// Warms up connections, caches and the page cache of the database.
const WARM_UP: Duration = Duration::from_secs(1);

/// No two bodies are the same, over all runs.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// What came of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Answers that did not say that the delivery was taken.
    pub(crate) refused: usize,
}

pub(crate) fn run(server: &dyn Server, time: Duration) -> Sample {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        drop(drive(server, WARM_UP).await);
        let (mut times, refused) = drive(server, time).await;
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
        let per_second = times.len() as f64 / time.as_secs_f64();
        Sample {
            per_second,
            p50: at(50),
            p99: at(99),
            refused,
        }
    })
}

async fn drive(server: &dyn Server, time: Duration) -> (Vec<Duration>, usize) {
    let ends = Instant::now() + time;
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            tokio::spawn(deliver(
                server.address(),
                server.path(),
                server.taken(),
                ends,
            ))
        })
        .collect();
    let (mut times, mut refused) = (Vec::new(), 0);
    for task in tasks {
        let (mine, not_taken) = task.await.unwrap();
        times.extend(mine);
        refused += not_taken;
    }
    (times, refused)
}

async fn deliver(
    address: String,
    path: &'static str,
    taken: &'static str,
    ends: Instant,
) -> (Vec<Duration>, usize) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut times, mut refused) = (Vec::new(), 0);
    let mut buffer = Vec::with_capacity(4 << 10);
    while Instant::now() < ends {
        let request = request(&key, path);
        let began = Instant::now();
        stream.write_all(&request).await.unwrap();
        let answer = read(&mut stream, &mut buffer).await;
        if answer.starts_with("HTTP/1.1 20") && answer.contains(taken) {
            times.push(began.elapsed());
        } else {
            refused += 1;
        }
    }
    (times, refused)
}

/// A push of GitHub, which lists a file of its own.
fn request(key: &hmac::Key, path: &str) -> Vec<u8> {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut body = format!(
        "{{\"ref\":\"refs/heads/main\",\"before\":\"{number:040x}\",\"after\":\"{:040x}\",\
         \"created\":false,\"deleted\":false,\"forced\":false,\
         \"repository\":{{\"full_name\":\"example/site\"}},\
         \"commits\":[{{\"id\":\"{number:040x}\",\"added\":[],\"removed\":[],\
         \"modified\":[\"posts/{number}.html\"]}}],\"filler\":\"",
        number + 1
    );
    while body.len() < BODY - 2 {
        body.push('x');
    }
    body.push_str("\"}");
    let mac = HEXLOWER.encode(hmac::sign(key, body.as_bytes()).as_ref());
    format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n\
         X-GitHub-Event: push\r\nX-Hub-Signature-256: sha256={mac}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// An answer with a `Content-Length`, as both send it.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> String {
    buffer.clear();
    loop {
        let count = stream.read_buf(buffer).await.unwrap();
        assert!(count > 0, "the connection was closed");
        let text = String::from_utf8_lossy(buffer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().unwrap())
        });
        if body.len() >= length.expect("a Content-Length") {
            return text.into_owned();
        }
    }
}
