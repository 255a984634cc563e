//! The smallest purge API there can be: it answers every create, and notes when its head came.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Starts it: returns where it is, and the moments at which requests came.
pub(crate) async fn start() -> (SocketAddr, mpsc::Receiver<Instant>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (came, moments) = mpsc::channel(1_024);
    tokio::task::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            tokio::task::spawn(serve(stream, came.clone()));
        }
    });
    (address, moments)
}

async fn serve(stream: TcpStream, came: mpsc::Sender<Instant>) {
    let mut stream = BufReader::new(stream);
    let mut number = 0;
    loop {
        let (mut first, mut length) = (true, 0_usize);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if std::mem::take(&mut first) && line.starts_with("POST") {
                came.send(Instant::now()).await.unwrap();
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        number += 1;
        let body = format!(r#"{{"id":"r{number}","status":"done"}}"#);
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// How often the threads of this process have gone to sleep so far.
pub(crate) fn sleeps() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok())
        .filter_map(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line?.trim().parse::<u64>().ok()
        })
        .sum()
}

/// How often they wake up in a second.
pub(crate) fn wakes(over: Duration) -> f64 {
    let before = sleeps();
    std::thread::sleep(over);
    (sleeps() - before) as f64 / over.as_secs_f64()
}
