//! Cases from the field, from the visitor's side: whatever writes the files, and however they come and go,
//! the edge has what the origin has when `wait` returns, and what did not change is not purged. One file
//! for each kind.

mod fresh;
mod images;
mod large;
mod names;
mod refill;
mod rewritten;
mod unmounted;
mod unread;
mod writes;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use edgepurge::core::change::PipelineId;

use crate::bench::{Bench, PIPELINE};

/// No case may take longer to be noticed, unless it says so.
const SOON: Duration = Duration::from_secs(15);

/// A bench with these lines of configuration.
async fn quick(pipeline: &str, origin: &str) -> Bench {
    let mut bench = Bench::new().await;
    pipeline.clone_into(&mut bench.pipeline);
    origin.clone_into(&mut bench.origin);
    bench
}

/// Waits for so long at most.
async fn within<T>(limit: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let waited = tokio::time::timeout(limit, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let Ok(found) = waited.await else {
        panic!("within {limit:?} in vain: {what}")
    };
    found
}

/// Waits until an asset was purged so many times.
async fn purged_times(bench: &Bench, asset: &str, times: usize) {
    let what = format!("{asset} is purged for the {times}th time");
    within(SOON, &what, async || {
        (count(bench, asset) >= times).then_some(())
    })
    .await;
}

fn count(bench: &Bench, asset: &str) -> usize {
    let purged = bench.done();
    purged.iter().filter(|purged| *purged == asset).count()
}

struct Visitor {
    client: reqwest::Client,
    edge: String,
}

impl Visitor {
    fn of(bench: &Bench) -> Self {
        let edge = bench.sandbox.edge_url(&PipelineId::new(PIPELINE)).unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { client, edge }
    }

    /// What the edge answers, or with a cookie, the origin.
    async fn ask(&self, url: &str, past_the_edge: bool) -> (u16, Vec<u8>) {
        let mut request = self.client.get(format!("{}{url}", self.edge));
        if past_the_edge {
            request = request.header("cookie", "a=b");
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.bytes().await.unwrap().to_vec())
    }
}

/// The URLs of these at which the edge has something else than the origin.
async fn stale(bench: &Bench, urls: &[String]) -> Vec<String> {
    let visitor = Visitor::of(bench);
    let mut stale = Vec::new();
    for url in urls {
        if visitor.ask(url, false).await != visitor.ask(url, true).await {
            stale.push(url.clone());
        }
    }
    stale
}

/// As a deploy script does: wait, then the edge has to have what the origin has.
async fn fresh_after_wait(bench: &Bench, urls: &[String]) {
    bench.rested().await;
    let stale = stale(bench, urls).await;
    assert!(stale.is_empty(), "stale after `wait`: {stale:?}");
}

fn urls(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("/{name}")).collect()
}

/// So many pages, each with a text of its own and of one length; their URLs.
fn pages(root: &Path, numbers: std::ops::Range<usize>, text: &str) -> Vec<String> {
    let mut urls = Vec::new();
    for number in numbers {
        let url = page(number);
        let path = root.join(&url[1..]);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{number:04} {text}")).unwrap();
        urls.push(url);
    }
    urls
}

/// The URL of a page.
fn page(number: usize) -> String {
    format!("/d{}/page-{number}.html", number % 4)
}

/// Visits, so that the edge has all of it; the statuses.
async fn visit(bench: &Bench, urls: &[String]) -> Vec<u16> {
    let visitor = Visitor::of(bench);
    let mut statuses = Vec::new();
    for url in urls {
        statuses.push(visitor.ask(url, false).await.0);
    }
    statuses
}

/// A file of so many bytes, none of which take place on the disk, under a name outside of the site.
fn sparse(bench: &Bench, name: &str, bytes: u64) -> std::path::PathBuf {
    let path = bench.path(name);
    fs::File::create(&path).unwrap().set_len(bytes).unwrap();
    path
}

/// How long something takes.
async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    (work.await, began.elapsed())
}
