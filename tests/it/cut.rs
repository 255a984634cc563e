//! Nodes of a fleet that are cut off: what is sent is lost, and nothing says so. Real processes in networks of their
//! own, a real `PostgreSQL`, one API.

mod lab;

use std::time::{Duration, Instant};

use edgepurge::sandbox::{ApiCall, Operation};
use serde_json::Value;

use self::lab::{Lab, Way};
use crate::bench::{Bench, say, until};
use crate::fleet::{Fleet, TAKEN_OVER};

/// How long a leader acts after it asked for its last renewal, with what a busy machine takes.
const WINDOW: Duration = Duration::from_secs(9);

/// Changes a file of a node, in the directory of its site.
fn change(fleet: &Fleet, node: usize, asset: &str) {
    fleet.nodes[node].write(&asset[1..], "new");
}

async fn leads(bench: &Bench) -> Value {
    bench.status().await["leads"].clone()
}

/// Waits until the API was asked about a request, which is committed by then.
async fn asked_about(fleet: &Fleet) {
    until("the leader asks about its request", async || {
        let calls = fleet.nodes[0].sandbox.calls();
        let asks = |call: &ApiCall| call.operation == Some(Operation::Get);
        calls.iter().any(asks).then_some(())
    })
    .await;
}

/// Everything was purged once, and nothing by purging everything.
fn all_once(fleet: &Fleet) {
    let purges = fleet.purges();
    assert!(purges.values().all(|times| *times == 1), "{purges:?}");
    assert!(!purges.contains_key("*"), "nothing was missed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_its_database_sends_nothing_past_its_window_and_another_leads_in_time() {
    let Some(lab) = Lab::start(2).await else {
        return;
    };
    let fleet = &lab.fleet;
    let leader = fleet.leader(&[0, 1]).await;
    let other = 1 - leader;
    // It asks about this one again and again.
    fleet.nodes[0]
        .sandbox
        .set_purge_delay(Duration::from_secs(20));
    change(fleet, leader, "/a.css");
    asked_about(fleet).await;
    fleet.nodes[0].sandbox.set_purge_delay(Duration::ZERO);
    lab.cut(leader, Way::Database);
    let cut = Instant::now();
    change(fleet, leader, "/cut.css");
    change(fleet, other, "/b.css");
    fleet.leader(&[other]).await;
    let took = cut.elapsed();
    assert!(took < TAKEN_OVER, "{took:?}");
    let sent = lab.sent(leader).duration_since(cut);
    assert!(sent < WINDOW, "{sent:?}");
    fleet.nodes[leader].alarm("store").await;
    fleet.nodes[0].purged("/b.css").await;
    assert_eq!(
        lab.sent(leader).duration_since(cut),
        sent,
        "it sends nothing"
    );
    say(&format!(
        "taken over after {took:?}, the last was sent after {sent:?}"
    ));
    lab.heal(leader, Way::Database);
    fleet.nodes[0].purged("/cut.css").await;
    fleet.nodes[leader].no_alarm().await;
    assert_eq!(leads(&fleet.nodes[leader]).await, false);
    all_once(fleet);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_in_a_transaction_makes_the_others_wait_and_nothing_fails() {
    let Some(lab) = Lab::start(2).await else {
        return;
    };
    let fleet = &lab.fleet;
    let leader = fleet.leader(&[0, 1]).await;
    let cut = 1 - leader;
    // Its turn comes when its answers are lost already.
    let session = fleet.server.session().await;
    let turn = "BEGIN; SELECT pg_advisory_xact_lock(1162891569, hashtext('edgepurge'))";
    session.batch_execute(turn).await.unwrap();
    let purge = async |node: usize, asset: &str| {
        let purge = ["purge", "www", asset];
        fleet.nodes[node].run(&purge).await
    };
    let others = async {
        until("it waits for its turn", async || {
            let waits = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
            session.query_opt(waits, &[]).await.unwrap().map(drop)
        })
        .await;
        lab.cut(cut, Way::Database);
        change(fleet, cut, "/cut.css");
        session.batch_execute("ROLLBACK").await.unwrap();
        let began = Instant::now();
        let purged = purge(leader, "/b.css").await;
        assert!(purged.status.success(), "{purged:?}");
        began.elapsed()
    };
    let (of_cut, took) = tokio::join!(purge(cut, "/a.css"), others);
    say(&format!(
        "a commit waited {took:?} for a node that was cut off"
    ));
    assert!(!of_cut.status.success(), "{of_cut:?}");
    fleet.nodes[cut].alarm("store").await;
    fleet.nodes[0].purged("/b.css").await;
    assert_eq!(leads(&fleet.nodes[leader]).await, true);
    lab.heal(cut, Way::Database);
    fleet.nodes[0].purged("/cut.css").await;
    fleet.nodes[cut].no_alarm().await;
    assert_eq!(leads(&fleet.nodes[leader]).await, true);
    all_once(fleet);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_can_not_reach_the_api_leads_on_says_so_and_goes_on_by_itself() {
    let Some(lab) = Lab::start(2).await else {
        return;
    };
    let fleet = &lab.fleet;
    let leader = fleet.leader(&[0, 1]).await;
    lab.cut(leader, Way::Api);
    let cut = Instant::now();
    change(fleet, 1 - leader, "/a.css");
    fleet.nodes[leader].alarm("api").await;
    until("another one would lead by now", async || {
        assert_eq!(leads(&fleet.nodes[leader]).await, true);
        (cut.elapsed() > TAKEN_OVER).then_some(())
    })
    .await;
    assert!(fleet.purges().is_empty());
    lab.heal(leader, Way::Api);
    fleet.nodes[0].purged("/a.css").await;
    fleet.nodes[leader].no_alarm().await;
    assert_eq!(leads(&fleet.nodes[leader]).await, true);
    all_once(fleet);
}

/// Nothing tells the database that its sessions are gone. One of them has the lock of the node.
#[tokio::test(flavor = "multi_thread")]
async fn when_the_machine_of_the_leader_loses_its_power_another_leads_and_it_comes_back_by_itself()
{
    let Some(mut lab) = Lab::start(2).await else {
        return;
    };
    let leader = lab.fleet.leader(&[0, 1]).await;
    let other = 1 - leader;
    change(&lab.fleet, leader, "/a.css");
    asked_about(&lab.fleet).await;
    lab.lose_power(leader).await;
    let lost = Instant::now();
    change(&lab.fleet, leader, "/meanwhile.css");
    change(&lab.fleet, other, "/b.css");
    lab.fleet.leader(&[other]).await;
    let took = lost.elapsed();
    assert!(took < TAKEN_OVER, "{took:?}");
    lab.power_up(leader);
    let up = Instant::now();
    let node = &mut lab.fleet.nodes[leader];
    let mut codes = Vec::new();
    node.spawn();
    // As systemd does.
    until("it runs", async || {
        if let Some(ended) = node.ended() {
            codes.push(ended.code());
            node.spawn();
        }
        let output = node.run(&["--format", "json", "status"]).await;
        output.status.success().then_some(())
    })
    .await;
    say(&format!(
        "the power was lost: taken over after {took:?}; runs again after {:?}, with {codes:?} before",
        up.elapsed()
    ));
    assert!(codes.iter().all(|code| *code == Some(75)), "{codes:?}");
    for asset in ["/a.css", "/b.css", "/meanwhile.css"] {
        lab.fleet.nodes[0].purged(asset).await;
    }
    lab.fleet.nodes[leader].no_alarm().await;
    all_once(&lab.fleet);
}
