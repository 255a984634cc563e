//! What an operator and a deploy do with a queue, asked at nodes that do not lead: real processes, a real
//! `PostgreSQL`.

use std::process::Output;

use edgepurge::sandbox::{ErrorType, Fault, Operation};
use serde_json::{Value, json};

use crate::bench::{Bench, text, until, user};
use crate::deploy;
use crate::fleet::Fleet;

/// A pipeline that the API does not know.
const UNKNOWN: &str = "77777777-7777-4777-8777-777777777777";

async fn queued(fleet: &Fleet, node: usize, count: u64) {
    until(&format!("{count} assets are queued"), async || {
        let pipeline = &fleet.nodes[node].status().await["pipelines"][0];
        (pipeline["queued_assets"] == count).then_some(())
    })
    .await;
}

/// Whether the first pipeline is paused, as each of these nodes tells it.
async fn shows_pause(fleet: &Fleet, nodes: &[usize]) -> Vec<bool> {
    let mut paused = Vec::new();
    for node in nodes {
        let status = fleet.nodes[*node].status().await;
        paused.push(status["pipelines"][0]["paused"] == true);
    }
    paused
}

/// What is asked, and its answers, as the database has them.
async fn asks(fleet: &Fleet) -> Vec<(bool, Option<Value>)> {
    let session = fleet.server.session().await;
    let rows = session
        .query(
            "SELECT withdrawn, answer FROM edgepurge.ask ORDER BY id",
            &[],
        )
        .await
        .unwrap();
    let answer = |text: String| serde_json::from_str(&text).unwrap();
    rows.into_iter()
        .map(|row| {
            (
                row.get::<_, i64>("withdrawn") != 0,
                row.get::<_, Option<String>>("answer").map(answer),
            )
        })
        .collect()
}

/// Waits until so many asks are there.
async fn asked(fleet: &Fleet, count: usize) {
    until("it is asked", async || {
        (asks(fleet).await.len() == count).then_some(())
    })
    .await;
}

/// The number of the request that has failed.
async fn failed_request(fleet: &Fleet) -> i64 {
    until("an asset is failed", async || {
        let pipeline = &fleet.nodes[0].status().await["pipelines"][0];
        (pipeline["failed_assets"] == 1).then_some(())
    })
    .await;
    let last = "SELECT max(id) AS id FROM edgepurge.request WHERE stage = 'failed'";
    let session = fleet.server.session().await;
    session.query_one(last, &[]).await.unwrap().get("id")
}

/// Starts a command of a node.
fn begin(bench: &Bench, arguments: &[&str]) -> tokio::task::JoinHandle<Output> {
    let mut command = bench.command(arguments);
    tokio::task::spawn(async move { command.output().await.unwrap() })
}

async fn end(command: tokio::task::JoinHandle<Output>) -> Output {
    let output = tokio::time::timeout(crate::bench::LIMIT, command);
    output.await.expect("the command ends in time").unwrap()
}

fn said(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_resume_retry_and_drop_at_a_follower_are_done_and_answered_as_at_the_leader() {
    let Some(fleet) = Fleet::start(3).await else {
        return;
    };
    let leader = fleet.leader(&[0, 1, 2]).await;
    let others = fleet.others(leader);
    let (one, other) = (&fleet.nodes[others[0]], &fleet.nodes[others[1]]);
    let paused = one.run(&["pause", "www", "--reason", "a freeze"]).await;
    let told = text(&paused.stdout);
    assert!(
        told.starts_with(&format!("www: paused by {} since 2", user())),
        "{paused:?}"
    );
    assert!(told.ends_with("until resumed: a freeze\n"), "{told}");
    let again = other.json(&["pause", "www"]).await;
    assert_eq!(again["was_paused"], true, "{again}");
    assert_eq!(again["pauses"][0]["reason"], "a freeze");

    fleet.deliver(others[0], "a.css").await;
    fleet.deliver(leader, "b.css").await;
    for node in 0..3 {
        queued(&fleet, node, 2).await;
    }
    let dropped = other.json(&["drop", "www", "--confirm", "www"]).await;
    assert_eq!(dropped["changes"], 2, "{dropped}");
    queued(&fleet, leader, 0).await;
    let resumed = other.json(&["resume", "www"]).await;
    assert_eq!(
        (&resumed["was_paused"], &resumed["paused"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(resumed["pauses"], json!([]));
    let again = one.json(&["resume", "www"]).await;
    assert_eq!(again["was_paused"], false, "{again}");

    for asset in ["c.css", "d.css"] {
        let refuse = Fault::Typed(ErrorType::BAD_ASSETS).on(Operation::Create);
        one.sandbox.script(refuse);
        fleet.deliver(leader, asset).await;
        let request = failed_request(&fleet).await.to_string();
        let target = if asset == "c.css" { "www" } else { &request };
        let retried = other.json(&["retry", target]).await;
        assert_eq!(retried["changes"], 1, "{retried}");
        one.purged(&format!("/{asset}")).await;
    }
    let done = one.run(&["retry", "2"]).await;
    assert!(text(&done.stderr).contains("request 2 is done"), "{done:?}");
    assert!(!fleet.purges().contains_key("/a.css"), "it was dropped");
    // The leader does its own without asking.
    let before = asks(&fleet).await.len();
    fleet.nodes[leader].json(&["pause", "www"]).await;
    assert_eq!(asks(&fleet).await.len(), before);
    assert_eq!(shows_pause(&fleet, &[0, 1, 2]).await, [true; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pipeline_left_behind_that_is_gone_is_dropped_at_a_follower() {
    let left = format!("[[pipeline]]\nname = \"other\"\nid = \"{UNKNOWN}\"\n[[pipeline.origin]]\n");
    let both = |bench: &mut Bench| {
        let site = bench.path("other");
        std::fs::create_dir_all(&site).unwrap();
        bench.origin = format!("{left}root = \"{}\"\n", site.display());
    };
    let Some(mut fleet) = Fleet::with(2, both).await else {
        return;
    };
    // The API does not know it, so that what changes stays queued.
    std::fs::write(fleet.nodes[0].path("other/a.css"), "new").unwrap();
    until("the refused pipeline has a queue", async || {
        let status = fleet.nodes[0].status().await;
        (status["pipelines"][1]["queued_assets"] == 1).then_some(())
    })
    .await;
    for node in &mut fleet.nodes {
        node.origin.clear();
        node.reload().await;
    }
    let leader = fleet.leader(&[0, 1]).await;
    let follower = &fleet.nodes[1 - leader];
    let dropped = follower.json(&["drop", UNKNOWN, "--confirm", UNKNOWN]);
    assert_eq!(dropped.await["changes"], 1);
    for node in &fleet.nodes {
        assert_eq!(node.status().await["orphaned"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys_on_all_nodes_at_once_make_one_batch_when_the_last_has_ended() {
    let Some(fleet) = Fleet::start(3).await else {
        return;
    };
    let leader = fleet.leader(&[0, 1, 2]).await;
    let deploys: Vec<_> = fleet
        .nodes
        .iter()
        .map(|node| deploy::start(node, &[], deploy::IN_TWO_STEPS))
        .collect();
    for node in &fleet.nodes {
        deploy::exists(node, "written").await;
    }
    let mut running: Vec<_> = deploys.into_iter().zip(&fleet.nodes).collect();
    // The leader's own ends first.
    running.rotate_left(leader);
    let mut ends = Vec::new();
    for (number, (deploy, node)) in (1..).zip(running) {
        let pauses = until("the deploys that run hold the pipeline back", async || {
            let status = fleet.nodes[leader].status().await;
            let pauses = status["pipelines"][0]["pauses"].as_array()?.len();
            (pauses == 4 - number).then_some(status)
        })
        .await;
        assert_eq!(fleet.purges().len(), 0, "{pauses}");
        std::fs::write(node.path("go"), "").unwrap();
        ends.push(tokio::task::spawn(deploy::end(deploy)));
    }
    for ended in ends {
        let ended = ended.await.unwrap();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    }
    assert_eq!(fleet.nodes[0].requests().len(), 1, "one batch");
    assert_eq!(fleet.nodes[0].purges(), ["/a.css", "/b.css"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_on_a_follower_holds_its_pipeline_though_the_leader_dies() {
    let Some(mut fleet) = Fleet::start(2).await else {
        return;
    };
    let leader = fleet.leader(&[0, 1]).await;
    let other = 1 - leader;
    let running = deploy::start(&fleet.nodes[other], &[], deploy::IN_TWO_STEPS);
    deploy::exists(&fleet.nodes[other], "written").await;
    queued(&fleet, other, 1).await;
    fleet.nodes[leader].kill().await;
    fleet.leader(&[other]).await;
    assert_eq!(shows_pause(&fleet, &[other]).await, [true]);
    assert_eq!(fleet.purges().len(), 0);
    std::fs::write(fleet.nodes[other].path("go"), "").unwrap();
    let ended = deploy::end(running).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(fleet.nodes[other].requests().len(), 1, "one batch");
    assert_eq!(fleet.nodes[other].purges(), ["/a.css", "/b.css"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_leader_that_is_killed_has_not_answered_the_next_does_and_answers_once() {
    let Some(mut fleet) = Fleet::start(3).await else {
        return;
    };
    let leader = fleet.leader(&[0, 1, 2]).await;
    let others = fleet.others(leader);
    fleet.signal(leader, "-STOP").await;
    let pause = ["--format", "json", "pause", "www"];
    let both: Vec<_> = others
        .iter()
        .map(|node| begin(&fleet.nodes[*node], &pause))
        .collect();
    asked(&fleet, 2).await;
    fleet.nodes[leader].kill().await;
    let mut were_paused = Vec::new();
    for one in both {
        were_paused.push(said(&end(one).await)["was_paused"] == true);
    }
    // Each is done once: the second found the pause of the first.
    were_paused.sort_unstable();
    assert_eq!(were_paused, [false, true]);
    let answered = asks(&fleet).await;
    assert!(
        answered.iter().all(|(_, answer)| answer.is_some()),
        "{answered:?}"
    );
    fleet.leader(&others).await;
    let resumed = fleet.nodes[others[0]].json(&["resume", "www"]).await;
    assert_eq!(resumed["paused"], false, "{resumed}");
    fleet.nodes[leader].start().await;
    assert_eq!(shows_pause(&fleet, &[0, 1, 2]).await, [false; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_while_the_leader_is_halted_is_done_by_the_next_and_not_again_when_it_goes_on()
 {
    let Some(fleet) = Fleet::start(2).await else {
        return;
    };
    let leader = fleet.leader(&[0, 1]).await;
    let other = 1 - leader;
    fleet.signal(leader, "-STOP").await;
    let paused = said(
        &fleet.nodes[other]
            .run(&["--format", "json", "pause", "www"])
            .await,
    );
    assert_eq!(
        (&paused["was_paused"], &paused["paused"]),
        (&json!(false), &json!(true))
    );
    fleet.nodes[other].json(&["resume", "www"]).await;
    fleet.signal(leader, "-CONT").await;
    until("it follows", async || {
        (fleet.nodes[leader].status().await["leads"] == false).then_some(())
    })
    .await;
    let resumed = fleet.nodes[leader].json(&["resume", "www"]).await;
    assert_eq!(resumed["was_paused"], false, "{resumed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_node_answers_in_time_is_refused_and_is_not_done_when_one_leads() {
    let Some(mut fleet) = Fleet::start(2).await else {
        return;
    };
    let leader = fleet.leader(&[0, 1]).await;
    let other = 1 - leader;
    fleet.nodes[leader].kill().await;
    let session = fleet.server.session().await;
    // No node can take the lease.
    let no_lease =
        "ALTER TABLE edgepurge.fleet ADD CONSTRAINT none CHECK (leader IS NULL) NOT VALID";
    session.batch_execute(no_lease).await.unwrap();
    let refused = fleet.nodes[other].run(&["pause", "www"]).await;
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    let told = text(&refused.stderr);
    assert!(told.contains("no node leads now"), "{told}");
    assert!(told.contains("edgepurge node list"), "{told}");
    assert_eq!(asks(&fleet).await, [(true, None)]);
    let lease = "ALTER TABLE edgepurge.fleet DROP CONSTRAINT none";
    session.batch_execute(lease).await.unwrap();
    fleet.leader(&[other]).await;
    fleet.deliver(other, "b.css").await;
    fleet.nodes[other].purged("/b.css").await;
    assert_eq!(shows_pause(&fleet, &[other]).await, [false]);
    assert_eq!(asks(&fleet).await, [(true, None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_asked_that_died_is_not_done_later() {
    let Some(mut fleet) = Fleet::start(2).await else {
        return;
    };
    let leader = fleet.leader(&[0, 1]).await;
    let other = 1 - leader;
    fleet.signal(leader, "-STOP").await;
    let asker = begin(&fleet.nodes[other], &["pause", "www"]);
    asked(&fleet, 1).await;
    fleet.nodes[other].kill().await;
    fleet.nodes[leader].kill().await;
    assert_eq!(end(asker).await.status.code(), Some(75));
    fleet.nodes[other].start().await;
    fleet.leader(&[other]).await;
    until("what was asked is withdrawn", async || {
        (asks(&fleet).await == [(true, None)]).then_some(())
    })
    .await;
    fleet.deliver(other, "b.css").await;
    fleet.nodes[other].purged("/b.css").await;
    assert_eq!(shows_pause(&fleet, &[other]).await, [false]);
}
