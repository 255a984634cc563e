//! Several nodes that share a queue: real processes, a real `PostgreSQL`, one API.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use edgepurge::sandbox::Fault;
use serde_json::{Value, json};

use crate::bench::{Bench, say, text, until};
use crate::database::server::{PASSWORD, Server};
use crate::webhooks::{address, post, with_route};

/// By when another node leads after a leader has died, with what a busy machine takes.
pub(crate) const TAKEN_OVER: Duration = Duration::from_secs(14);
/// By when one leads after a leader has resigned, with the same.
const AT_ONCE: Duration = Duration::from_secs(5);

pub(crate) struct Fleet {
    pub(crate) server: Server,
    pub(crate) nodes: Vec<Bench>,
}

impl Fleet {
    /// Nodes with the same files, of which one leads; `None` where there is no `PostgreSQL`.
    pub(crate) async fn start(count: usize) -> Option<Self> {
        Self::with(count, |_| {}).await
    }

    /// The same, each with a configuration of this shape.
    pub(crate) async fn with(count: usize, shape: impl Fn(&mut Bench)) -> Option<Self> {
        let server = Server::start().await?;
        let serve = |server: &Server, bench: &mut Bench| server.serve(bench, PASSWORD);
        Some(Self::on(server, count, shape, serve).await)
    }

    /// The same on a server that runs, which each reaches as it is served.
    pub(crate) async fn on(
        server: Server,
        count: usize,
        shape: impl Fn(&mut Bench),
        serve: impl Fn(&Server, &mut Bench),
    ) -> Self {
        let mut nodes: Vec<Bench> = Vec::new();
        for number in 1..=count {
            let mut bench = Bench::new().await;
            if let Some(first) = nodes.first() {
                bench.sandbox = first.sandbox.clone();
            }
            shape(&mut bench);
            with_route(&mut bench, "generic", "purge = \"files\"", "");
            serve(&server, &mut bench);
            let node = format!("\nnode = \"web-{number}\"");
            bench.state.push_str(&node);
            bench.write("a.css", "one");
            bench.start().await;
            nodes.push(bench);
        }
        let fleet = Self { server, nodes };
        fleet.leader(&(0..count).collect::<Vec<_>>()).await;
        fleet
    }

    /// Which of these nodes leads.
    pub(crate) async fn leader(&self, among: &[usize]) -> usize {
        until("a node leads", async || {
            for node in among {
                if self.nodes[*node].status().await["leads"] == true {
                    return Some(*node);
                }
            }
            None
        })
        .await
    }

    /// Nodes but this one.
    pub(crate) fn others(&self, than: usize) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| *node != than).collect()
    }

    /// A delivery at a node that asks to purge an asset.
    pub(crate) async fn deliver(&self, node: usize, asset: &str) {
        let at = address(&self.nodes[node]).await;
        let answer = post(&at, &json!({ "paths": [asset] })).await.unwrap();
        assert_eq!(answer.status, 202);
    }

    /// How often each asset was purged.
    pub(crate) fn purges(&self) -> BTreeMap<String, usize> {
        let mut purges = BTreeMap::new();
        for asset in self.nodes[0].purges() {
            *purges.entry(asset).or_default() += 1;
        }
        purges
    }

    pub(crate) async fn signal(&self, node: usize, signal: &str) {
        let pid = self.nodes[node].pid().to_string();
        let mut kill = tokio::process::Command::new("kill");
        let sent = kill.args([signal, &pid]).status().await;
        assert!(sent.unwrap().success());
    }
}

fn names(nodes: &Value, state: &str) -> Vec<String> {
    let nodes = nodes.as_array().unwrap().iter();
    let of_state = nodes.filter(|node| node["state"] == state);
    of_state
        .map(|node| node["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_at_any_node_is_purged_once_and_a_pause_is_shown_by_every_node() {
    let Some(fleet) = Fleet::start(3).await else {
        return;
    };
    let leader = fleet.leader(&[0, 1, 2]).await;
    let name = format!("web-{}", leader + 1);
    for node in 0..3 {
        fleet.deliver(node, &format!("{node}.css")).await;
    }
    for node in 0..3 {
        fleet.nodes[0].purged(&format!("/{node}.css")).await;
    }
    assert!(fleet.purges().values().all(|times| *times == 1));
    for node in fleet.others(leader) {
        let list = fleet.nodes[node].run(&["node", "list"]).await;
        let leads = format!("{name}  leads");
        assert!(text(&list.stdout).contains(&leads), "{list:?}");
    }
    let asked = fleet.nodes[fleet.others(leader)[0]]
        .run(&["pause", "www"])
        .await;
    assert!(asked.status.success(), "{asked:?}");
    // The count of what waits is one node's.
    fleet.deliver(fleet.others(leader)[0], "later.css").await;
    for node in 0..3 {
        until("the asset is queued everywhere", async || {
            let pipeline = &fleet.nodes[node].status().await["pipelines"][0];
            let shown = pipeline["paused"] == true && pipeline["queued_assets"] == 1;
            shown.then_some(())
        })
        .await;
        let value = async |series| crate::metrics::value(&fleet.nodes[node], series).await;
        let leads = Some(f64::from(u8::from(node == leader)));
        let queued = value("edgepurge_queued_assets{pipeline=\"www\"}").await;
        assert_eq!(queued, leads, "web-{}", node + 1);
        assert_eq!(value("edgepurge_leader").await, leads);
        until("it has seen the beats of both others", async || {
            let follow = value("edgepurge_nodes{state=\"follows\"}").await;
            (follow == Some(2.0)).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_is_killed_another_leads_and_nothing_is_lost_or_purged_twice() {
    let Some(mut fleet) = Fleet::start(3).await else {
        return;
    };
    let leader = fleet.leader(&[0, 1, 2]).await;
    let others = fleet.others(leader);
    fleet.deliver(others[0], "before.css").await;
    fleet.nodes[0].purged("/before.css").await;
    fleet.nodes[leader].kill().await;
    let killed = Instant::now();
    for number in 0..20 {
        let node = others[number % 2];
        fleet.deliver(node, &format!("{number}.css")).await;
    }
    let next = fleet.leader(&others).await;
    let took = killed.elapsed();
    say(&format!("another node leads {took:?} after a kill"));
    assert!(took < TAKEN_OVER, "{took:?}");
    for number in 0..20 {
        fleet.nodes[0].purged(&format!("/{number}.css")).await;
    }
    assert!(fleet.purges().values().all(|times| *times == 1));
    // The dead node is silent, and is forgotten; one that runs is not.
    let name = format!("web-{}", leader + 1);
    let node = &fleet.nodes[next];
    until("the dead node is silent", async || {
        let nodes = node.json(&["node", "list"]).await;
        (names(&nodes, "silent") == [name.clone()]).then_some(())
    })
    .await;
    let alive = format!("web-{}", others[0] + 1);
    let refused = node.run(&["node", "forget", &alive]).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let forgotten = node.run(&["node", "forget", &name]).await;
    assert!(forgotten.status.success(), "{forgotten:?}");
    // The list is without it at once.
    let nodes = node.json(&["node", "list"]).await;
    let known = nodes.as_array().unwrap().iter();
    let known: Vec<&Value> = known.map(|node| &node["name"]).collect();
    assert!(!known.contains(&&name.clone().into()), "{nodes}");
    // It comes back as who it was.
    fleet.nodes[leader].start().await;
    let nodes = fleet.nodes[leader].json(&["node", "list"]).await;
    assert_eq!(names(&nodes, "follows").len(), 2, "{nodes}");
    assert!(!fleet.purges().contains_key("*"), "nothing was missed");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_stops_another_leads_at_once() {
    let Some(mut fleet) = Fleet::start(2).await else {
        return;
    };
    let leader = fleet.leader(&[0, 1]).await;
    let other = 1 - leader;
    let stopped = Instant::now();
    assert_eq!(fleet.nodes[leader].terminate().await, Some(0));
    let ended = stopped.elapsed();
    fleet.deliver(other, "b.css").await;
    fleet.leader(&[other]).await;
    let took = stopped.elapsed();
    say(&format!("another node leads {took:?} after a stop began"));
    let log = |node: usize| fleet.nodes[node].log();
    assert!(
        took < AT_ONCE,
        "{took:?}, of which {ended:?} until the leader had ended\n{}\n{}",
        log(leader),
        log(other)
    );
    fleet.nodes[other].purged("/b.css").await;
    let nodes = fleet.nodes[other].json(&["node", "list"]).await;
    assert_eq!(names(&nodes, "left"), [format!("web-{}", leader + 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_halted_follows_when_it_goes_on() {
    let Some(fleet) = Fleet::start(2).await else {
        return;
    };
    let leader = fleet.leader(&[0, 1]).await;
    let other = 1 - leader;
    // The API answers its call while it is halted: it is to commit that first when it goes on.
    let api = fleet.nodes[other].sandbox.clone();
    api.script(Fault::Delay(Duration::from_secs(2)));
    fleet.deliver(leader, "a.css").await;
    until("it has called", async || {
        (!api.calls().is_empty()).then_some(())
    })
    .await;
    fleet.signal(leader, "-STOP").await;
    fleet.deliver(other, "b.css").await;
    fleet.leader(&[other]).await;
    for asset in ["/a.css", "/b.css"] {
        fleet.nodes[other].purged(asset).await;
    }
    until("the API has said that it is done", async || {
        (fleet.nodes[other].status().await["settled"] == true).then_some(())
    })
    .await;
    let calls = fleet.nodes[other].sandbox.calls().len();
    // It can't learn that another one leads before it commits.
    let session = fleet.server.session().await;
    let no_renewal = "BEGIN; LOCK TABLE edgepurge.fleet IN EXCLUSIVE MODE";
    session.batch_execute(no_renewal).await.unwrap();
    fleet.signal(leader, "-CONT").await;
    until("its commit is refused", async || {
        let refused = crate::metrics::value(&fleet.nodes[leader], "edgepurge_fenced_total").await;
        (refused >= Some(1.0)).then_some(())
    })
    .await;
    session.batch_execute("ROLLBACK").await.unwrap();
    until("it follows", async || {
        (fleet.nodes[leader].status().await["leads"] == false).then_some(())
    })
    .await;
    assert_eq!(fleet.nodes[other].status().await["leads"], true);
    assert_eq!(fleet.nodes[other].sandbox.calls().len(), calls);
    // It goes on to notice.
    fleet.deliver(leader, "c.css").await;
    fleet.nodes[other].purged("/c.css").await;
    let mut purges = fleet.purges();
    // What it had on the wire may be sent once more.
    assert!(purges.remove("/a.css") <= Some(2));
    assert!(purges.values().all(|times| *times == 1), "{purges:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_on_any_node_while_the_database_is_away_is_purged_though_the_leader_dies_too()
{
    // Each node has a file that no other has.
    let Some(mut fleet) = Fleet::with(3, |bench| {
        "fleet_wait = \"off\"".clone_into(&mut bench.pipeline);
    })
    .await
    else {
        return;
    };
    let leader = fleet.leader(&[0, 1, 2]).await;
    let others = fleet.others(leader);
    fleet.server.kill();
    for (number, node) in fleet.nodes.iter().enumerate() {
        node.write(&format!("{number}.css"), "new");
    }
    for node in &others {
        until("a node knows that the database is away", async || {
            let status = fleet.nodes[*node].status().await;
            let mut alarms = status["alarms"].as_array()?.iter();
            alarms.find(|alarm| alarm["reason"] == "store").map(drop)
        })
        .await;
    }
    fleet.nodes[leader].kill().await;
    fleet.server.run(&[]).await;
    for node in &others {
        fleet.nodes[0].purged(&format!("/{node}.css")).await;
    }
    fleet.nodes[leader].start().await;
    fleet.nodes[0].purged(&format!("/{leader}.css")).await;
    fleet.leader(&others).await;
    let purges = fleet.purges();
    assert!(purges.values().all(|times| *times == 1), "{purges:?}");
    assert!(!purges.contains_key("*"), "nothing was missed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_node_leads_without_waiting_after_it_was_killed() {
    let Some(mut fleet) = Fleet::start(1).await else {
        return;
    };
    fleet.nodes[0].kill().await;
    let killed = Instant::now();
    fleet.nodes[0].start().await;
    fleet.leader(&[0]).await;
    let took = killed.elapsed();
    say(&format!("a single node leads again {took:?} after a kill"));
    assert!(took < AT_ONCE, "{took:?}");
    fleet.deliver(0, "b.css").await;
    fleet.nodes[0].purged("/b.css").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_of_one_name_is_refused_for_good_and_the_first_goes_on() {
    let Some(fleet) = Fleet::start(1).await else {
        return;
    };
    let mut namesake = Bench::new().await;
    fleet.server.serve(&mut namesake, PASSWORD);
    namesake.state.push_str("\nnode = \"web-1\"");
    let mut copy = Bench::new().await;
    fleet.server.serve(&mut copy, PASSWORD);
    copy.state.push_str("\nnode = \"web-2\"");
    std::fs::create_dir(copy.path("state")).unwrap();
    let key = fleet.nodes[0].path("state/node");
    std::fs::copy(key, copy.path("state/node")).unwrap();
    for (second, what_to_do) in [
        (&namesake, "give this one another name (state.node)"),
        (&copy, "remove the state directory of this one"),
    ] {
        second.config();
        let refused = second.run(&["run"]).await;
        assert_eq!(refused.status.code(), Some(78), "{refused:?}");
        let said = text(&refused.stderr);
        for words in ["another edgepurge runs as the node web-1", what_to_do] {
            assert!(said.contains(words), "{said}");
        }
    }
    fleet.deliver(0, "b.css").await;
    fleet.nodes[0].purged("/b.css").await;
    assert_eq!(fleet.nodes[0].status().await["leads"], true);
}
