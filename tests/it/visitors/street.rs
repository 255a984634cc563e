//! The visitors: they ask the edge all the time, for what is there and for what is not.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::RwLock;
use tokio::task::JoinHandle;

use super::pages::Pages;

const VISITORS: u64 = 3;
/// Between two visits of one visitor, at most.
const REST: u64 = 8;

/// The URLs of a file: its own, and for a directory's page the directory's, with the slash and without.
pub(super) fn urls(path: &str) -> Vec<String> {
    let mut own = String::from("/");
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                own.push(byte.into());
            }
            _ => write!(own, "%{byte:02X}").unwrap(),
        }
    }
    match own.strip_suffix("/index.html") {
        Some("") => vec!["/".to_owned(), own],
        Some(directory) => vec![directory.to_owned(), format!("{directory}/"), own],
        None => vec![own],
    }
}

/// Where a visitor may go.
#[derive(Default)]
struct Plan {
    paths: BTreeSet<String>,
    urls: Vec<String>,
    avoided: BTreeSet<String>,
}

/// What an edge answered: status, where a redirect leads, body.
type Answer = (u16, Option<String>, String);

pub(super) struct Street {
    edge: String,
    client: reqwest::Client,
    plan: Arc<RwLock<Plan>>,
    visits: Arc<AtomicU64>,
    visitors: Vec<JoinHandle<()>>,
}

impl Street {
    pub(super) fn open(edge: String, seed: u64) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let mut street = Self {
            edge,
            client,
            plan: Arc::default(),
            visits: Arc::default(),
            visitors: Vec::new(),
        };
        for number in 0..VISITORS {
            let mut rng = fastrand::Rng::with_seed(seed * VISITORS + number);
            let (edge, client) = (street.edge.clone(), street.client.clone());
            let (plan, visits) = (Arc::clone(&street.plan), Arc::clone(&street.visits));
            street.visitors.push(tokio::spawn(async move {
                loop {
                    {
                        // Held over the visit: a change of the plan waits for its end.
                        let plan = plan.read().await;
                        if let Some(url) = rng.choice(&plan.urls)
                            && !plan.avoided.contains(url)
                        {
                            ask(&client, &edge, url, false).await;
                            visits.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(rng.u64(1..=REST))).await;
                }
            }));
        }
        street
    }

    pub(super) fn visits(&self) -> u64 {
        self.visits.load(Ordering::Relaxed)
    }

    /// The visitors know these names too.
    pub(super) async fn know(&self, paths: Vec<String>) {
        let mut plan = self.plan.write().await;
        plan.paths.extend(paths);
        plan.list();
    }

    /// The visitors leave these files alone, and no others.
    pub(super) async fn avoid(&self, paths: Vec<String>) {
        let avoided = paths.iter().flat_map(|path| urls(path)).collect();
        self.plan.write().await.avoided = avoided;
    }

    /// Names that are gone for good leave, so that it stays small.
    pub(super) async fn forget(&self, pages: &Pages) {
        let names: BTreeSet<String> = pages.names().into_iter().collect();
        let mut plan = self.plan.write().await;
        if plan.paths.len() > 2 * names.len() {
            plan.paths = names;
            plan.list();
        }
    }

    /// The URLs at which the edge has something else than the origin.
    pub(super) async fn stale(&self) -> Vec<(String, Answer, Answer)> {
        let urls = self.plan.read().await.urls.clone();
        let mut stale = Vec::new();
        for url in urls {
            let origin = ask(&self.client, &self.edge, &url, true).await;
            let edge = ask(&self.client, &self.edge, &url, false).await;
            if edge != origin {
                stale.push((url, edge, origin));
            }
        }
        stale
    }
}

impl Plan {
    fn list(&mut self) {
        let urls: BTreeSet<String> = self.paths.iter().flat_map(|path| urls(path)).collect();
        self.urls = urls.into_iter().collect();
    }
}

impl Drop for Street {
    fn drop(&mut self) {
        for visitor in &self.visitors {
            visitor.abort();
        }
    }
}

/// A visit; with a cookie, the edge passes it to the origin.
async fn ask(client: &reqwest::Client, edge: &str, url: &str, past_the_edge: bool) -> Answer {
    let mut request = client.get(format!("{edge}{url}"));
    if past_the_edge {
        request = request.header("cookie", "a=b");
    }
    let answer = request.send().await.unwrap();
    let location = answer.headers().get("location");
    let location = location.map(|value| value.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    (status, location, answer.text().await.unwrap())
}
