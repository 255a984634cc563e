//! Durable deliveries per second into a `PostgreSQL`, by nodes, beside the commits that its own `pgbench` makes
//! in the same run.
//!
//! `cargo bench --bench fleet -- [--seconds N]`
//!
//! Then the same of one node while a snapshot stays open, for four times as long, in quarters: what the server
//! can't clear away meanwhile is to make no commit slower. And with two nodes: how long it takes until one hears
//! of a commit of the other, how long a leader takes to restore 100,000 queued changes, and how long the other
//! node's commits wait meanwhile, and while a request for everything takes all of them.
//!
//! The server is started for it on this machine's disk, with its defaults (fsync on), and shares the cores with
//! the nodes. Each node is a store as a daemon has it, with 512 callers that take one delivery after the other;
//! each delivery has a name, a dedupe key and an asset of its own, so that it is a row of `delivery` and one of
//! `change`. `pgbench` has 8 clients, and each of its commits is one row of two columns. Its programs are those
//! in the directory `EDGEPURGE_TEST_POSTGRESQL`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring program speaks, trusts itself, and reads the clock"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use edgepurge::core::asset::Asset;
use edgepurge::core::change::{Kind, NewChange, PipelineId, Seq, Source, Target};
use edgepurge::core::delivery::{NewDelivery, Work};
use edgepurge::core::lease::Term;
use edgepurge::core::purge::{AllReason, Decision, RequestId, Scope};
use edgepurge::core::time::Time;
use edgepurge::database::DatabaseUrl;
use edgepurge::store::{Database, Store, StoreSettings};
use edgepurge::supervise::Supervisor;
use tokio_util::sync::CancellationToken;

#[expect(dead_code, reason = "a benchmark kills no server")]
#[path = "../src/store/postgres/tests/cluster.rs"]
mod cluster;

use cluster::Cluster;

/// Callers of a node at the same time.
const CALLERS: u64 = 512;
/// Parts of a measurement of deliveries.
const QUARTERS: usize = 4;
/// Changes that are queued.
const QUEUED: usize = 100_000;
/// How many of them the engine reads and writes in one call.
const STEP: usize = 5_000;

struct Server(Cluster);

impl Server {
    fn start() -> Self {
        let home = tempfile::tempdir_in("/var/tmp").unwrap();
        let mut cluster = Cluster::make(home, &["--auth=trust", "--username=edgepurge"]);
        while !cluster.runs(&[]) {
            std::thread::sleep(Duration::from_millis(50));
        }
        Self(cluster)
    }

    /// Its own client, which runs a script.
    fn client(&self, script: &Path, how: &[&str]) -> Command {
        let mut pgbench = self.0.program("pgbench");
        pgbench.args(["-n", "-M", "prepared", "-U", "edgepurge", "-h"]);
        pgbench.arg(self.0.home()).args(how).arg("-f");
        pgbench.arg(script).arg("postgres").stderr(Stdio::null());
        pgbench
    }

    /// A run of it, which makes these commits: what it says, where it can connect.
    fn pgbench(&self, sql: &str, how: &[&str]) -> Option<String> {
        let script = self.0.home().join("script");
        std::fs::write(&script, sql).unwrap();
        let output = self.client(&script, how).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        output.status.success().then_some(said)
    }

    /// Commits per second of its own client.
    fn commits(&self, seconds: &str) -> String {
        let once = ["-t", "1"];
        self.pgbench("CREATE TABLE commits (a bigint, b bigint);", &once)
            .unwrap();
        let insert = "INSERT INTO commits VALUES (1, 2);";
        let said = self
            .pgbench(insert, &["-c", "8", "-j", "1", "-T", seconds])
            .unwrap();
        let tps = said.lines().find_map(|line| line.strip_prefix("tps = "));
        tps.unwrap().split('.').next().unwrap().to_owned()
    }
}

fn delivery(node: usize, number: u64) -> NewDelivery {
    let pipeline = PipelineId::new("11111111-1111-4111-8111-111111111111");
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key[8] = u8::try_from(node).unwrap();
    NewDelivery {
        route: "/hooks/www".into(),
        event: format!("{node}-{number}").into(),
        dedupe_key: Some(key),
        dedupe: Duration::from_mins(10),
        what: "push".into(),
        pipeline: pipeline.clone(),
        at: Time::from_millis(1_000),
        due: Time::from_millis(1_000),
        work: Work::Changes(vec![NewChange {
            pipeline,
            target: Target::Asset(Asset::from_stored(&format!("/{node}/{number}.css"))),
            kind: Kind::Asked,
            source: Source::Webhook,
            detail: "push".into(),
            file: None,
            seen: Time::from_millis(1_000),
        }]),
    }
}

/// A node's store.
fn open(
    server: &Server,
    state: &Path,
    schema: &str,
    node: usize,
    supervisor: &Supervisor,
) -> Arc<Store> {
    let url = format!(
        "postgres://edgepurge@/postgres?host={}",
        server.0.home().display()
    );
    let url = DatabaseUrl::parse(&url).unwrap();
    let settings = StoreSettings {
        directory: state.join(node.to_string()),
        api_url: "sandbox".to_owned(),
        database: Some(Database {
            url: Arc::new(move || Ok(url.clone())),
            schema: schema.to_owned(),
            node: format!("web-{node}"),
        }),
    };
    Arc::new(Store::open(&settings, supervisor).unwrap())
}

/// Deliveries per second of so many nodes together, in each quarter of the time, and how many were in one commit.
async fn deliveries(
    server: &Server,
    schema: &str,
    nodes: usize,
    time: Duration,
) -> ([f64; QUARTERS], f64) {
    let state = tempfile::tempdir().unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let open = |node: usize| open(server, state.path(), schema, node, &supervisor);
    let stores: Vec<Arc<Store>> = (0..nodes).map(open).collect();
    let taken = Arc::new(AtomicU64::new(0));
    let (begun, commits) = (Instant::now(), || {
        stores.iter().map(|store| store.commits()).sum::<u64>()
    });
    let before = commits();
    let mut callers = tokio::task::JoinSet::new();
    for (node, store) in stores.iter().enumerate() {
        for caller in 0..CALLERS {
            let (store, taken) = (Arc::clone(store), Arc::clone(&taken));
            callers.spawn(async move {
                let mut number = caller;
                while begun.elapsed() < time {
                    store.take_delivery(delivery(node, number)).await.unwrap();
                    taken.fetch_add(1, Ordering::Relaxed);
                    number += CALLERS;
                }
            });
        }
    }
    let (quarter, mut rates, mut seen) = (time / 4, [0.0; QUARTERS], 0);
    for (number, rate) in (1..).zip(&mut rates) {
        tokio::time::sleep_until((begun + quarter * number).into()).await;
        let now = taken.load(Ordering::Relaxed);
        *rate = rounded(now - seen) / quarter.as_secs_f64();
        seen = now;
    }
    callers.join_all().await;
    let per_commit = rounded(taken.load(Ordering::Relaxed)) / rounded(commits() - before);
    drop(stores);
    supervisor.stop().await;
    (rates, per_commit)
}

#[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
fn rounded(count: u64) -> f64 {
    count as f64
}

/// Deliveries of one node while a snapshot stays open, as that of a dump.
async fn beside_a_snapshot(server: &Server, time: Duration) {
    let script = server.0.home().join("snapshot");
    std::fs::write(
        &script,
        "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 1;\n\\sleep 600 s\n",
    )
    .unwrap();
    let mut stuck = server.client(&script, &["-t", "1"]);
    let mut stuck = stuck.stdout(Stdio::null()).spawn().unwrap();
    let (rates, _) = deliveries(server, "snapshot", 1, time).await;
    assert_eq!(stuck.try_wait().unwrap(), None, "the snapshot stays open");
    stuck.kill().unwrap();
    stuck.wait().unwrap();
    let rates = rates.map(|rate| format!("{rate:.0}")).join(", ");
    println!("beside an open snapshot, in quarters of {time:?}: {rates} deliveries/s");
}

/// The middle one, the 99th of a hundred, and the longest, in milliseconds.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1_000.0;
    format!(
        "p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms",
        at(50),
        at(99),
        at(100)
    )
}

fn changes(from: usize, count: usize) -> Vec<NewChange> {
    let pipeline = PipelineId::new("11111111-1111-4111-8111-111111111111");
    let change = |number| NewChange {
        pipeline: pipeline.clone(),
        target: Target::Asset(Asset::from_stored(&format!("/{number}.css"))),
        kind: Kind::Asked,
        source: Source::Webhook,
        detail: "push".into(),
        file: None,
        seen: Time::from_millis(1_000),
    };
    (from..from + count).map(change).collect()
}

/// Commits one change after the other until told to end. Returns how long each took.
fn committing(
    store: Arc<Store>,
    until: CancellationToken,
) -> tokio::task::JoinHandle<Vec<Duration>> {
    tokio::spawn(async move {
        let mut times = Vec::new();
        while !until.is_cancelled() {
            let begun = Instant::now();
            store
                .append(changes(1_000_000 + times.len(), 1))
                .await
                .unwrap();
            times.push(begun.elapsed());
        }
        times
    })
}

/// What two nodes notice of each other, with much in the queue.
async fn together(server: &Server) {
    let state = tempfile::tempdir().unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let node = |number| open(server, state.path(), "together", number, &supervisor);
    let (first, second) = (node(1), node(2));
    let mut heard = Vec::new();
    let mut last = second.subscribe();
    for number in 0..500 {
        let begun = Instant::now();
        let appended = first.append(changes(number, 1)).await.unwrap();
        last.wait_for(|seen| *seen >= appended.last).await.unwrap();
        heard.push(begun.elapsed());
    }
    println!("a commit is known to the other node: {}", spread(heard));

    for step in 0..QUEUED / 5_000 {
        first.append(changes(step * 5_000, 5_000)).await.unwrap();
    }
    let (lease, term) = (first.lease().await.unwrap(), Term(1));
    let until = Time::from_millis(u64::MAX);
    let taken = first.take_over(lease, term, first.node(), until).await;
    let desk = taken.unwrap().unwrap();
    let over = CancellationToken::new();
    let waits = committing(Arc::clone(&second), over.clone());
    let begun = Instant::now();
    let mut cursor = Seq(0);
    let unsettled = desk.unsettled().await.unwrap();
    assert!(unsettled.requests.is_empty());
    loop {
        let pulled = desk.queued_after(cursor, STEP).await.unwrap();
        cursor = pulled.last().map_or(cursor, |last| last.seq);
        if pulled.len() < STEP {
            break;
        }
    }
    let restored = begun.elapsed().as_secs_f64();
    over.cancel();
    let waits = waits.await.unwrap();
    println!(
        "{QUEUED} queued changes are restored in {restored:.2} s; commits of the other node meanwhile: {}",
        spread(waits)
    );

    let (over, begun) = (CancellationToken::new(), Instant::now());
    let waits = committing(Arc::clone(&second), over.clone());
    let (request, at) = (RequestId(1), Time::from_millis(2_000));
    let opened = Decision::Open {
        request,
        pipeline: PipelineId::new("11111111-1111-4111-8111-111111111111"),
        scope: Scope::All {
            reason: AllReason::Count,
            through: cursor,
        },
        first_seen: at,
        api_since: None,
        at,
    };
    desk.decide(vec![opened]).await.unwrap();
    while desk.cover(request, STEP).await.unwrap() == STEP {}
    let took = begun.elapsed().as_secs_f64();
    over.cancel();
    let waits = waits.await.unwrap();
    println!(
        "a request for everything takes them in {took:.2} s; commits of the other node meanwhile: {}",
        spread(waits)
    );
    drop((first, second, desk));
    supervisor.stop().await;
}

fn main() {
    let mut arguments = std::env::args()
        .skip_while(|word| word != "--seconds")
        .skip(1);
    let seconds = arguments.next().unwrap_or_else(|| "5".to_owned());
    let time = Duration::from_secs(seconds.parse().unwrap());
    let server = Server::start();
    println!("pgbench: {} commits/s", server.commits(&seconds));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for nodes in [1, 2, 4, 8] {
        let schema = format!("nodes_{nodes}");
        let (rates, per_commit) = runtime.block_on(deliveries(&server, &schema, nodes, time));
        let rate = rates.iter().sum::<f64>() / 4.0;
        println!("{nodes} nodes: {rate:.0} deliveries/s, {per_commit:.0} in a commit");
    }
    runtime.block_on(beside_a_snapshot(&server, time * 4));
    runtime.block_on(together(&server));
}
