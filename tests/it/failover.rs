//! A `PostgreSQL` whose standby takes over while nodes of a fleet notice files and take webhooks: real processes,
//! real replication.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use edgepurge::clock::Clock;
use serde_json::json;

use crate::bench::{Bench, skip, until};
use crate::database::server::Server;
use crate::fleet::{Fleet, TAKEN_OVER};
use crate::metrics::value as metric;
use crate::webhooks::{address, post};

/// The time between two deliveries of the load at a node.
const PACE: Duration = Duration::from_millis(20);
/// Deliveries for each file that changes.
const PER_FILE: usize = 10;

/// Nodes that share a server with a standby, of which they know both.
struct Replicated {
    fleet: Fleet,
    standby: Server,
    /// The assets of what was answered with 202, and of files that changed.
    promised: Mutex<BTreeSet<String>>,
}

impl Replicated {
    async fn start(nodes: usize) -> Option<Self> {
        let fleet = Fleet::start(nodes).await?;
        let standby = fleet.server.standby().await;
        Some(Self::of(fleet, standby))
    }

    fn of(fleet: Fleet, standby: Server) -> Self {
        for node in &fleet.nodes {
            fleet.server.serve_with(&standby, node);
        }
        Self {
            fleet,
            standby,
            promised: Mutex::default(),
        }
    }

    fn nodes(&self) -> &[Bench] {
        &self.fleet.nodes
    }

    fn promise(&self, asset: String) {
        self.promised.lock().unwrap().insert(asset);
    }

    fn promises(&self) -> usize {
        self.promised.lock().unwrap().len()
    }

    /// Deliveries and changes of files at a node, one after the other, for as long as it is polled.
    async fn load(&self, node: usize, tag: &str) {
        let at = address(&self.nodes()[node]).await;
        for number in 0_usize.. {
            if number.is_multiple_of(PER_FILE) {
                let file = format!("{tag}-{node}-{number}.html");
                self.nodes()[node].write(&file, "new");
                self.promise(format!("/{file}"));
            }
            let asset = format!("{tag}-{node}-{number}.css");
            if let Ok(answer) = post(&at, &json!({ "paths": [asset] })).await
                && answer.status == 202
            {
                self.promise(format!("/{asset}"));
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Does something while these nodes are under load.
    async fn under_load<T>(&self, nodes: &[usize], tag: &str, what: impl Future<Output = T>) -> T {
        let loads = nodes.iter().map(|node| self.load(*node, tag));
        tokio::select! {
            _ = futures_util::future::join_all(loads) => unreachable!("it goes on for as long as it is polled"),
            done = what => done,
        }
    }

    /// Waits until so much more was promised.
    async fn more(&self, promises: usize) {
        let before = self.promises();
        until("more is promised", async || {
            (self.promises() >= before + promises).then_some(())
        })
        .await;
    }

    /// Everything that was promised is purged, and nothing by purging everything.
    async fn all_is_purged(&self) {
        let promised = self.promised.lock().unwrap().clone();
        let node = &self.nodes()[0];
        let mut missing = BTreeSet::new();
        let waited = tokio::time::timeout(Duration::from_mins(1), async {
            loop {
                let done: BTreeSet<String> = node.done().into_iter().collect();
                missing = promised.difference(&done).cloned().collect();
                if missing.is_empty() {
                    return;
                }
                tokio::time::sleep(PACE).await;
            }
        });
        let waited = waited.await;
        assert!(waited.is_ok(), "never purged: {missing:?}");
    }

    fn purged_everything(&self) -> bool {
        self.nodes()[0].purges().contains(&"*".to_owned())
    }

    /// How many changes the nodes have committed again.
    async fn replayed(&self) -> f64 {
        let mut replayed = 0.0;
        for node in self.nodes() {
            let of = metric(node, "edgepurge_replayed_changes_total").await;
            replayed += of.unwrap();
        }
        replayed
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promised_is_purged_though_the_standby_that_takes_over_was_behind() {
    let Some(mut replicated) = Replicated::start(3).await else {
        return;
    };
    replicated
        .under_load(&[0, 1, 2], "a", async {
            replicated.more(30).await;
            replicated.fleet.server.stop_sending().await;
            replicated.more(60).await;
        })
        .await;
    replicated.fleet.server.kill();
    replicated
        .under_load(&[0, 1, 2], "b", async {
            replicated.standby.promote().await;
            replicated.more(60).await;
        })
        .await;
    replicated.all_is_purged().await;
    assert!(!replicated.purged_everything());
    assert!(replicated.replayed().await > 0.0);
    let mut alarmed = Vec::new();
    for node in replicated.nodes() {
        let status = node.status().await;
        let alarms = status["alarms"].as_array().unwrap();
        alarmed.extend(alarms.iter().map(|alarm| alarm["reason"].clone()));
    }
    assert!(alarmed.contains(&json!("replication")), "{alarmed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_synchronous_replication_nothing_is_forgotten() {
    let Some(mut replicated) = Replicated::start(2).await else {
        return;
    };
    replicated
        .fleet
        .server
        .set("synchronous_standby_names = '*'")
        .await;
    replicated
        .under_load(&[0, 1], "a", replicated.more(60))
        .await;
    replicated.fleet.server.kill();
    replicated
        .under_load(&[0, 1], "b", async {
            replicated.standby.promote().await;
            replicated.more(40).await;
        })
        .await;
    replicated.all_is_purged().await;
    assert!(!replicated.purged_everything());
    assert!(replicated.replayed().await < 1.0);
}

/// The former primary goes on, and a node works on it until its file names the new one.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_had_committed_to_a_primary_that_lives_on_is_committed_to_the_new_one() {
    let Some(mut replicated) = Replicated::start(2).await else {
        return;
    };
    let old = &replicated.fleet.server;
    old.stop_sending().await;
    replicated
        .under_load(&[0, 1], "a", replicated.more(40))
        .await;
    replicated.standby.promote().await;
    for node in replicated.nodes() {
        replicated.standby.serve_alone(node);
    }
    // Nothing tells the nodes: they go on with the old one.
    replicated
        .under_load(&[0, 1], "b", replicated.more(40))
        .await;
    old.cut().await;
    replicated
        .under_load(&[0, 1], "c", replicated.more(40))
        .await;
    replicated.all_is_purged().await;
    assert!(!replicated.purged_everything());
    assert!(replicated.replayed().await > 0.0);
    replicated.fleet.server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_with_what_was_forgotten_purges_everything_once_and_says_why() {
    let Some(mut replicated) = Replicated::start(2).await else {
        return;
    };
    replicated.fleet.server.stop_sending().await;
    replicated
        .under_load(&[0, 1], "a", replicated.more(40))
        .await;
    // What is not purged by then is known to no other node.
    let leader = replicated.fleet.leader(&[0, 1]).await;
    let dies = 1 - leader;
    replicated.fleet.nodes[dies].kill().await;
    replicated.fleet.server.kill();
    replicated.standby.promote().await;
    replicated.fleet.nodes[dies].start().await;
    let node = &replicated.fleet.nodes[dies];
    node.purged("*").await;
    assert!(node.log().contains("has forgotten commits of this node"));
    let everything = node.purges().iter().filter(|asset| **asset == "*").count();
    assert_eq!(everything, 1);
    replicated
        .under_load(&[0, 1], "b", replicated.more(20))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_made_read_only_is_left_for_the_one_that_can_write() {
    let Some(replicated) = Replicated::start(2).await else {
        return;
    };
    let old = &replicated.fleet.server;
    replicated
        .under_load(&[0, 1], "a", replicated.more(20))
        .await;
    old.set("default_transaction_read_only = on").await;
    replicated
        .under_load(&[0, 1], "b", async {
            replicated.standby.promote().await;
            replicated.more(40).await;
        })
        .await;
    replicated.all_is_purged().await;
    assert!(!replicated.purged_everything());
}

/// The clock of the new primary is wrong by so much. Its queue has a delivery that waits for a few seconds more.
async fn goes_on_by_another_clock(by: &str) {
    let Some(library) = std::env::var_os("EDGEPURGE_TEST_FAKETIME") else {
        skip("libfaketime is not there; tests/run unpacks it");
        return;
    };
    let Some(mut fleet) = Fleet::start(2).await else {
        return;
    };
    for node in &mut fleet.nodes {
        node.origin.push_str("delay = \"5s\"\n");
        node.reload().await;
    }
    let standby = fleet.server.standby_at(library.as_ref(), by).await;
    let off = "SELECT extract(epoch FROM clock_timestamp())::bigint";
    let off = standby.session().await.query_one(off, &[]).await.unwrap();
    let off = i64::try_from(Clock::wall().millis() / 1_000).unwrap() - off.get::<_, i64>(0);
    assert!(off.abs() > 3_500, "libfaketime does nothing: {off} s");
    let mut replicated = Replicated::of(fleet, standby);
    replicated.fleet.deliver(0, "before.css").await;
    replicated.fleet.server.kill();
    replicated.standby.promote().await;
    // The nodes that run go on by the clock that they know.
    replicated.fleet.deliver(1, "after.css").await;
    for asset in ["/before.css", "/after.css"] {
        replicated.nodes()[0].purged(asset).await;
    }
    let leader = replicated.fleet.leader(&[0, 1]).await;
    let killed = Instant::now();
    replicated.fleet.nodes[leader].kill().await;
    replicated.fleet.leader(&[1 - leader]).await;
    let took = killed.elapsed();
    assert!(took < TAKEN_OVER, "{took:?}");
    // From here on by that of the new primary, with times of the old one in the queue.
    replicated.fleet.deliver(1 - leader, "between.css").await;
    replicated.fleet.nodes[1 - leader].kill().await;
    assert!(
        !replicated.nodes()[0]
            .purges()
            .contains(&"/between.css".to_owned())
    );
    for node in &mut replicated.fleet.nodes {
        node.start().await;
    }
    replicated.nodes()[0].write("file.css", "new");
    replicated.nodes()[1].write("file.css", "new");
    for asset in ["/between.css", "/file.css"] {
        replicated.nodes()[0].purged(asset).await;
    }
    assert!(!replicated.purged_everything());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_an_hour_where_the_clock_of_the_new_primary_is_an_hour_behind() {
    goes_on_by_another_clock("-3600").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_where_the_clock_of_the_new_primary_is_an_hour_ahead() {
    goes_on_by_another_clock("+3600").await;
}
