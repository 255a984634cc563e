//! Random histories of a fleet: three nodes with files of their own, a real `PostgreSQL`, one API. Files change on one
//! node after the other, deliveries come to any node, nodes and the database are killed, halted and cut off, and
//! standbys that are behind take over.
//!
//! `FLEET_RUNS=100` runs many, `FLEET_LANES=6` so many at a time, `FLEET_SEED=k` one again, or as many from it on;
//! what happened is printed where it fails.

mod early;
mod forgotten;
mod history;
mod judge;
mod takeover;
mod wire;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use edgepurge::clock::Clock;
use edgepurge::core::time::Time;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::{Value, json};

use self::early::Got;
use self::history::{FILES, NODES, Sort, Step, Victim, Way, history};
use self::judge::{Cause, EVERYTHING, Record, Request, Trouble, judge};
use self::takeover::Takeovers;
use self::wire::Wire;
use crate::bench::{Bench, until};
use crate::database::server::Server;
use crate::fleet::Fleet;
use crate::metrics::value;
use crate::webhooks::post;

/// The seeds that are tried where nothing else is asked for.
const SEEDS: std::ops::Range<u64> = 1..3;
/// Histories at a time: most of the time each waits.
const LANES: usize = 3;
/// How long a node may take for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it may take until everything is purged, where all nodes run. One may end by itself meanwhile.
const REST: Duration = Duration::from_secs(15);
/// How long a batch waits for the last node, in seconds.
const WAIT: u64 = 5;
const WAITED: &str = "edgepurge_agreement_wait_seconds_sum{pipeline=\"www\"}";
/// What a node logs that commits again what a server has forgotten.
const AGAIN: &str =
    "has forgotten commits of this node, as in a failover to a standby that was behind";
/// Calls to the API each second, and at once.
const RATE: u64 = 10;

/// What happened, for all histories.
#[derive(Clone, Debug, Default)]
struct Met {
    troubles: BTreeMap<Sort, usize>,
    /// Nodes that ended by themselves, by their exit code.
    exits: BTreeMap<Option<i32>, usize>,
    /// Leaders but the first.
    leaders: usize,
    takeovers: Takeovers,
    files: usize,
    acknowledged: usize,
    refused: usize,
    requests: usize,
    /// Purges of everything, since a node ended with what a failover forgot.
    everything: usize,
    /// Times that a node committed again what a failover forgot.
    again: usize,
    /// Purges that were sent twice because of a trouble.
    twice: usize,
    /// Purges of which it was known that every node had to have the file.
    agreed: usize,
    /// Seconds that batches waited for nodes, as those know who have not been killed since.
    waited: f64,
}

impl Met {
    fn add(&mut self, other: &Self) {
        for (sort, times) in &other.troubles {
            *self.troubles.entry(*sort).or_default() += times;
        }
        for (code, times) in &other.exits {
            *self.exits.entry(*code).or_default() += times;
        }
        self.leaders += other.leaders;
        self.takeovers.add(&other.takeovers);
        self.files += other.files;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.requests += other.requests;
        self.everything += other.everything;
        self.again += other.again;
        self.twice += other.twice;
        self.agreed += other.agreed;
        self.waited += other.waited;
    }
}

/// A history that is under way.
struct Run {
    fleet: Fleet,
    wires: Vec<Wire>,
    /// The one that takes over.
    standby: Option<Server>,
    /// The version of each file of each node that it got in the history; `false`: it is gone.
    files: BTreeMap<(String, usize), (usize, bool)>,
    /// Which node each trouble has, or the database, and since when.
    troubles: BTreeMap<usize, (Option<usize>, Sort, Time)>,
    addresses: [Option<String>; NODES],
    record: Record,
    met: Met,
    trace: String,
}

/// The time of the sandbox's clock, which is that of the machine.
fn now() -> Time {
    Clock::wall()
}

impl Run {
    async fn start() -> Option<Self> {
        let server = Server::start().await?;
        let wires: Vec<Wire> = (0..NODES).map(|_| Wire::to(server.socket())).collect();
        let shape = |bench: &mut Bench| {
            bench.scaleway = format!("requests_per_second = {RATE}\nburst = {RATE}\n");
            bench.pipeline = format!("fleet_wait = \"{WAIT}s\"");
            "max_loss = \"100%\"".clone_into(&mut bench.origin);
            for number in 0..FILES {
                bench.write(&format!("{number}.css"), "0");
            }
        };
        let next = Cell::new(0);
        let by_wire = |_: &Server, bench: &mut Bench| {
            Server::serve_by(wires[next.get()].host(), bench);
            next.set(next.get() + 1);
        };
        let fleet = Fleet::on(server, NODES, shape, by_wire).await;
        assert!(wires.iter().all(Wire::is_used));
        let leader = &fleet.nodes[fleet.leader(&[0, 1, 2]).await];
        until("the leader knows that all nodes compare", async || {
            let of = leader.status().await["pipelines"][0]["nodes"].clone();
            (of.as_array()?.len() == NODES).then_some(())
        })
        .await;
        Some(Self {
            fleet,
            wires,
            standby: None,
            files: BTreeMap::new(),
            troubles: BTreeMap::new(),
            addresses: [const { None }; NODES],
            record: Record::default(),
            met: Met::default(),
            trace: String::new(),
        })
    }

    /// Whether nothing is wrong with a node itself.
    fn is_well(&self, node: usize) -> bool {
        !self.troubles.values().any(|(of, ..)| *of == Some(node))
    }

    async fn step(&mut self, step: &Step) {
        writeln!(self.trace, "{} {step:?}", now()).unwrap();
        match step {
            Step::File {
                node,
                path,
                way,
                version,
            } => self.file(*node, path, *way, *version),
            Step::Deliver(node, deliveries) => {
                for (own, also) in deliveries {
                    self.deliver(*node, own, also.as_deref()).await;
                }
            }
            Step::Begin(number, sort, victim) => self.begin(*number, *sort, *victim).await,
            Step::End(number, sort) => self.end(*number, *sort).await,
        }
    }

    /// Gives a file of a node a version, unless it has a later one.
    fn file(&mut self, node: usize, path: &str, way: Way, version: usize) {
        let bench = &self.fleet.nodes[node];
        let to = bench.site().join(path);
        let key = (path.to_owned(), node);
        let there = to.exists();
        let overtaken = self.files.get(&key).is_some_and(|(has, _)| *has > version);
        let nothing = !there && matches!(way, Way::Copied | Way::Removed);
        if overtaken || nothing {
            return;
        }
        let at = now();
        let bytes = match way {
            Way::Copied => fs::read(&to).unwrap(),
            _ => version.to_string().into_bytes(),
        };
        match way {
            Way::Replaced | Way::Copied => {
                let other = bench.path("other");
                fs::write(&other, bytes).unwrap();
                fs::rename(&other, &to).unwrap();
            }
            Way::Rewritten => fs::write(&to, bytes).unwrap(),
            Way::Removed => fs::remove_file(&to).unwrap(),
        }
        if way == Way::Copied {
            return;
        }
        self.met.files += 1;
        self.files.insert(key, (version, way != Way::Removed));
        // A look may find the file empty while it is rewritten.
        let purges = if way == Way::Rewritten && there { 2 } else { 1 };
        let asset = format!("/{path}");
        self.record.got.push(Got {
            asset: asset.clone(),
            node,
            version,
            at,
        });
        self.record.causes.push(Cause {
            asset,
            at,
            purges,
            promised: true,
            delivered: false,
        });
    }

    /// What a node says of itself; `None` for one that does not answer in time.
    async fn status(&self, node: usize) -> Option<Value> {
        let asked = self.fleet.nodes[node].run(&["--format", "json", "status"]);
        let output = tokio::time::timeout(PATIENCE, asked).await.ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }

    async fn deliver(&mut self, node: usize, own: &str, also: Option<&str>) {
        if self.addresses[node].is_none() && self.is_well(node) {
            let status = self.status(node).await;
            let address = |status: Value| status["webhooks"]["listen"][0].as_str().map(Into::into);
            self.addresses[node] = status.and_then(address);
        }
        let Some(address) = self.addresses[node].clone() else {
            self.met.refused += 1;
            return;
        };
        let paths: Vec<&str> = also.into_iter().chain([own]).collect();
        let (at, body) = (now(), json!({ "paths": paths }));
        let answer = tokio::time::timeout(PATIENCE, post(&address, &body)).await;
        let taken = matches!(answer, Ok(Ok(answer)) if answer.status == 202);
        if taken {
            self.met.acknowledged += 1;
        } else {
            self.met.refused += 1;
        }
        for path in paths {
            self.record.causes.push(Cause {
                asset: format!("/{path}"),
                at,
                purges: 1,
                promised: taken,
                delivered: true,
            });
        }
    }

    async fn leader(&self) -> Option<usize> {
        for node in (0..NODES).filter(|node| self.is_well(*node)) {
            if self
                .status(node)
                .await
                .is_some_and(|of| of["leads"] == true)
            {
                return Some(node);
            }
        }
        None
    }

    async fn begin(&mut self, number: usize, sort: Sort, victim: Victim) {
        let node = match (sort, victim) {
            (Sort::Database | Sort::Failover, _) => None,
            (_, Victim::Node(node)) => Some(node),
            (_, Victim::Leader) => match self.leader().await {
                Some(leader) => Some(leader),
                None => return,
            },
        };
        if self.troubles.values().any(|(of, ..)| *of == node) {
            return;
        }
        if sort == Sort::Failover {
            self.standby = Some(self.fleet.server.standby().await);
        }
        if let (Victim::Leader, Some(leader)) = (victim, node) {
            // It has something to decide, also when it goes on though its lease is over.
            let asset = format!("delivered/{number}.css");
            self.deliver(leader, &asset, None).await;
        }
        *self.met.troubles.entry(sort).or_default() += 1;
        self.troubles.insert(number, (node, sort, now()));
        writeln!(self.trace, "  it is {node:?}").unwrap();
        match (node, sort) {
            (None, Sort::Failover) => self.fleet.server.stop_sending().await,
            (None, _) => self.fleet.server.kill(),
            (Some(node), Sort::Halted) => self.fleet.signal(node, "-STOP").await,
            (Some(node), Sort::Cut) => self.wires[node].cut(true),
            (Some(node), Sort::Killed) => {
                self.addresses[node] = None;
                self.fleet.nodes[node].kill().await;
            }
            (Some(node), _) => {
                self.addresses[node] = None;
                self.fleet.signal(node, "-TERM").await;
            }
        }
    }

    async fn end(&mut self, number: usize, sort: Sort) {
        let Some((node, _, from)) = self.troubles.remove(&number) else {
            return;
        };
        match (node, sort) {
            (None, Sort::Failover) => self.fail_over().await,
            (None, _) => self.fleet.server.run(&[]).await,
            (Some(node), Sort::Halted) => self.fleet.signal(node, "-CONT").await,
            (Some(node), Sort::Cut) => self.wires[node].cut(false),
            (Some(node), Sort::Killed) => self.fleet.nodes[node].spawn(),
            (Some(node), _) => {
                // As systemd ends one that takes too long.
                if self.fleet.nodes[node].ended().is_none() {
                    self.fleet.nodes[node].kill().await;
                }
                self.fleet.nodes[node].spawn();
            }
        }
        self.record.troubles.push(Trouble {
            sort,
            node,
            from,
            to: now(),
        });
    }

    /// The standby takes over, and nothing leads to the former server any more.
    async fn fail_over(&mut self) {
        let standby = self.standby.take().unwrap();
        self.fleet.server.kill();
        standby.promote().await;
        for wire in &self.wires {
            wire.lead_to(standby.socket());
        }
        self.fleet.server = standby;
    }

    /// Starts a node that has ended by itself, as systemd does.
    fn restart(&mut self) {
        for node in 0..NODES {
            if !self.is_well(node) && !self.wires[node].is_cut() {
                continue;
            }
            if let Some(status) = self.fleet.nodes[node].ended() {
                let code = status.code();
                let log = self.fleet.nodes[node].log();
                let last = log.lines().next_back().unwrap_or_default();
                writeln!(self.trace, "{} {node} has ended: {code:?}: {last}", now()).unwrap();
                *self.met.exits.entry(code).or_default() += 1;
                let at = now();
                self.record.troubles.push(Trouble {
                    sort: Sort::Stopped,
                    node: Some(node),
                    from: at,
                    to: at,
                });
                self.addresses[node] = None;
                self.fleet.nodes[node].spawn();
            }
        }
    }

    /// Every node gets the last version of every file, and everything settles.
    async fn rest(&mut self) {
        let mut last: BTreeMap<String, (usize, bool)> = BTreeMap::new();
        for ((path, _), version) in &self.files {
            let of = last.entry(path.clone()).or_default();
            *of = (*of).max(*version);
        }
        for (path, (version, there)) in last {
            for node in 0..NODES {
                let has = self.files.get(&(path.clone(), node));
                if has.is_none_or(|(has, _)| *has < version) {
                    let way = if there { Way::Replaced } else { Way::Removed };
                    self.file(node, &path, way, version);
                }
            }
        }
        let nodes: BTreeSet<usize> = (0..NODES).collect();
        let mut rested = BTreeSet::new();
        until("every node has everything purged", async || {
            self.restart();
            for node in &nodes - &rested {
                let wait = self.fleet.nodes[node].run(&["wait", "www"]);
                let waited = tokio::time::timeout(REST, wait).await;
                if waited.is_ok_and(|output| output.status.success()) {
                    rested.insert(node);
                }
            }
            (rested.len() == NODES).then_some(())
        })
        .await;
    }
}

/// Runs a history to its end; `None` where there is no `PostgreSQL`.
async fn run(seed: u64) -> Option<Met> {
    let mut run = Run::start().await?;
    let begun = tokio::time::Instant::now();
    let before = run.fleet.nodes[0].sandbox.requests().len();
    for (at, step) in history(seed) {
        run.restart();
        tokio::time::sleep_until(begun + at).await;
        run.step(&step).await;
    }
    // Printed by the test harness where what follows fails.
    println!("--- seed {seed}\n{}", run.trace);
    run.rest().await;
    let node = &run.fleet.nodes[0];
    let requests = node.sandbox.requests().split_off(before).into_iter();
    let requests: Vec<Request> = requests.map(Into::into).collect();
    let verdict = judge(&run.record, &requests, Duration::from_secs(WAIT));
    let mut faults = verdict.faults;
    run.met.twice = verdict.twice;
    run.met.agreed = verdict.agreed;
    run.met.requests = requests.len();
    let everything = requests.iter().filter(|one| one.purges(EVERYTHING));
    run.met.everything = everything.count();
    let logs: Vec<String> = run.fleet.nodes.iter().map(Bench::log).collect();
    run.met.takeovers = Takeovers::of(&logs, &run.record.troubles);
    for (node, log) in run.fleet.nodes.iter().zip(&logs) {
        run.met.waited += value(node, WAITED).await.unwrap_or_default();
        run.met.leaders += log.matches(takeover::LEADS).count();
        run.met.again += log.matches(AGAIN).count();
        if log.contains("panicked at") {
            faults.push("a node panicked".to_owned());
        }
    }
    run.met.leaders -= 1;
    node.the_rate_held(RATE, RATE);
    assert!(faults.is_empty(), "seed {seed}: {faults:#?}");
    println!("seed {seed}: {:?}", run.met);
    Some(run.met)
}

fn number_of(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_a_fleet_nothing_is_lost_nothing_is_needless_and_the_rate_holds() {
    let seeds = match (number_of("FLEET_SEED"), number_of("FLEET_RUNS")) {
        (Some(seed), runs) => seed..seed + runs.unwrap_or(1),
        (None, Some(runs)) => 0..runs,
        (None, None) => SEEDS,
    };
    let runs = stream::iter(seeds).map(async |seed| {
        let ran = AssertUnwindSafe(run(seed)).catch_unwind().await;
        (seed, ran)
    });
    let lanes = number_of("FLEET_LANES").map_or(LANES, |lanes| lanes.try_into().unwrap());
    let mut runs = runs.buffer_unordered(lanes);
    let (mut good, mut failed, mut met) = (0, Vec::new(), Met::default());
    while let Some((seed, ran)) = runs.next().await {
        match ran {
            Ok(Some(of)) => {
                good += 1;
                met.add(&of);
            }
            Ok(None) => return,
            Err(_) => failed.push(seed),
        }
    }
    println!("{good} histories held, not these: {failed:?}; {met:?}");
    assert!(failed.is_empty(), "seeds: {failed:?}");
}
