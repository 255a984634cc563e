//! The sender: as many connections as deliveries on their way, and as little work as possible.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use ring::hmac;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cores::Cores;
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
    /// What a delivery costs the server's process, kernel included, in microseconds of a core.
    pub(crate) cpu_us: f64,
    /// Answers that did not say that the delivery was taken.
    pub(crate) refused: usize,
}

pub(crate) fn run(server: &dyn Server, time: Duration, cores: Cores) -> Sample {
    // On a thread of its own, which alone goes to the generator's core.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            cores.take_the_generators();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(measure(server, time))
        });
        thread.join().unwrap()
    })
}

async fn measure(server: &dyn Server, time: Duration) -> Sample {
    drop(drive(server, WARM_UP).await);
    let before = server.cpu();
    let (mut times, refused) = drive(server, time).await;
    let cpu = server.cpu().saturating_sub(before);
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let count = times.len() as f64;
    Sample {
        per_second: count / time.as_secs_f64(),
        p50: at(50),
        p99: at(99),
        cpu_us: cpu.as_secs_f64() * 1e6 / count,
        refused,
    }
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
    let (mut body, mut request) = (Vec::new(), Vec::new());
    let mut buffer = Vec::with_capacity(4 << 10);
    while Instant::now() < ends {
        write_request(&key, path, &mut body, &mut request);
        let began = Instant::now();
        stream.write_all(&request).await.unwrap();
        let (head, answer) = read(&mut stream, &mut buffer).await;
        if head.starts_with("HTTP/1.1 20") && answer.contains(taken) {
            times.push(began.elapsed());
        } else {
            refused += 1;
        }
    }
    (times, refused)
}

/// A push of GitHub, which lists a file of its own.
fn write_request(key: &hmac::Key, path: &str, body: &mut Vec<u8>, request: &mut Vec<u8>) {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    body.clear();
    write!(
        body,
        "{{\"ref\":\"refs/heads/main\",\"before\":\"{number:040x}\",\"after\":\"{:040x}\",\
         \"created\":false,\"deleted\":false,\"forced\":false,\
         \"repository\":{{\"full_name\":\"example/site\",\"pushed_at\":{number}}},\
         \"commits\":[{{\"id\":\"{number:040x}\",\"added\":[],\"removed\":[],\
         \"modified\":[\"posts/{number}.html\"]}}],\"filler\":\"",
        number + 1
    )
    .unwrap();
    body.resize(BODY - 2, b'x');
    body.extend_from_slice(b"\"}");
    let mac = HEXLOWER.encode(hmac::sign(key, body).as_ref());
    request.clear();
    write!(
        request,
        "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n\
         X-GitHub-Event: push\r\nX-GitHub-Delivery: {number:08x}-0000-4000-8000-000000000000\r\n\
         X-Hub-Signature-256: sha256={mac}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    request.extend_from_slice(body);
}

/// An answer with a `Content-Length`, as both send it: head and body.
async fn read<'b>(stream: &mut TcpStream, buffer: &'b mut Vec<u8>) -> (&'b str, &'b str) {
    buffer.clear();
    loop {
        let count = stream.read_buf(buffer).await.unwrap();
        assert!(count > 0, "the connection was closed");
        let text = std::str::from_utf8(buffer).unwrap();
        let Some(at) = text.find("\r\n\r\n") else {
            continue;
        };
        let length = text[..at].lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().unwrap())
        });
        if text.len() - at - 4 >= length.expect("a Content-Length") {
            break;
        }
    }
    std::str::from_utf8(buffer)
        .unwrap()
        .split_once("\r\n\r\n")
        .unwrap()
}
