//! Scans and waits of several nodes that share a queue: each does its part, whichever was asked.
//!
//! The origins have no watch, so that only what looks at a node's files finds what changed there.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bench::{Bench, SHOP, text, until};
use crate::fleet::Fleet;
use crate::webhooks::{address, becomes, event, post};

/// What a scan alone notices is purged at once: no node waits for the others' files.
fn blind(bench: &mut Bench) {
    bench.origin.insert_str(0, "watch = \"off\"\n");
    "fleet_wait = \"off\"".clone_into(&mut bench.pipeline);
}

async fn fleet() -> Option<Fleet> {
    Fleet::with(3, blind).await
}

fn name(node: usize) -> String {
    format!("web-{}", node + 1)
}

/// A delivery at a node that asks for a scan; its route and its event.
async fn deliver_scan(fleet: &Fleet, node: usize) -> (String, String) {
    let at = address(&fleet.nodes[node]).await;
    let answer = post(&at, &json!({ "scan": true })).await.unwrap();
    let event = event(&answer);
    (at, event)
}

/// How many scans a node has made for webhooks.
async fn scans(bench: &Bench) -> u64 {
    let scans = &bench.of_origin().await["scans"]["webhook"];
    scans.as_u64().unwrap_or(0)
}

/// Waits until a node has made both scans of a round.
async fn scanned(bench: &Bench) {
    until("a node has scanned twice", async || {
        (scans(bench).await == 2).then_some(())
    })
    .await;
}

/// Takes a node's files away: it runs, and its scans wait until they are back.
async fn take_root(bench: &Bench) {
    fs::rename(bench.site(), bench.path("away")).unwrap();
    bench.alarm("root_missing").await;
}

fn give_root(bench: &Bench) {
    fs::rename(bench.path("away"), bench.site()).unwrap();
}

/// Whether a delivery is made, and what of it is done.
async fn delivery(fleet: &Fleet, node: usize, event: &str) -> Value {
    let listed = fleet.nodes[node].status().await["last_deliveries"].clone();
    let listed = listed.as_array().unwrap().clone();
    let found = listed.into_iter().find(|one| one["event"] == *event);
    found.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_a_webhook_asks_for_at_one_node_finds_what_changed_on_the_disk_of_each() {
    let Some(fleet) = fleet().await else {
        return;
    };
    for (node, bench) in fleet.nodes.iter().enumerate() {
        bench.write(&format!("{node}.css"), "new");
    }
    let leader = fleet.leader(&[0, 1, 2]).await;
    let (at, event) = deliver_scan(&fleet, fleet.others(leader)[0]).await;
    let done = becomes(&at, &event, "done").await;
    assert_eq!(done["done"], 3, "{done}");
    assert_eq!(done["without"], Value::Null, "{done}");
    let purges = fleet.purges();
    let each = ["/0.css", "/1.css", "/2.css"].map(|asset| (asset.to_owned(), 1));
    assert_eq!(purges, each.into());
    for bench in &fleet.nodes {
        assert_eq!(scans(bench).await, 2, "one round");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_waits_for_a_node_that_runs_and_no_longer_for_one_that_died_which_is_said() {
    let Some(mut fleet) = fleet().await else {
        return;
    };
    let leader = fleet.leader(&[0, 1, 2]).await;
    let [lives, dies] = fleet.others(leader)[..] else {
        unreachable!("there are three")
    };
    take_root(&fleet.nodes[dies]).await;
    fleet.nodes[lives].write("b.css", "new");
    let (at, event) = deliver_scan(&fleet, lives).await;
    scanned(&fleet.nodes[leader]).await;
    scanned(&fleet.nodes[lives]).await;
    fleet.nodes[lives].purged("/b.css").await;
    // What was found is purged, and more may be found on the third.
    assert_eq!(delivery(&fleet, lives, &event).await["state"], "queued");
    fleet.nodes[dies].kill().await;
    let done = becomes(&at, &event, "done").await;
    assert_eq!(done["without"], name(dies), "{done}");
    let log = fleet.nodes[leader].log();
    assert!(log.contains(&format!("without {}", name(dies))));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_dies_in_the_middle_of_a_round_the_next_one_makes_its_deliveries() {
    // A directory that is away for some seconds has lost nothing.
    let patient = |bench: &mut Bench| {
        blind(bench);
        bench.origin.insert_str(0, "gone_after = \"1m\"\n");
    };
    let Some(mut fleet) = Fleet::with(3, patient).await else {
        return;
    };
    let leader = fleet.leader(&[0, 1, 2]).await;
    let [first, second] = fleet.others(leader)[..] else {
        unreachable!("there are three")
    };
    fleet.nodes[first].write("b.css", "new");
    fleet.nodes[second].write("c.css", "new");
    take_root(&fleet.nodes[second]).await;
    let (at, event) = deliver_scan(&fleet, first).await;
    scanned(&fleet.nodes[leader]).await;
    scanned(&fleet.nodes[first]).await;
    fleet.nodes[leader].kill().await;
    give_root(&fleet.nodes[second]);
    let done = becomes(&at, &event, "done").await;
    assert_eq!(done["done"], 2, "{done}");
    fleet.nodes[first].purged("/c.css").await;
    assert_eq!(scans(&fleet.nodes[first]).await, 2, "the round goes on");
    assert!(fleet.purges().values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_at_any_node_covers_what_changed_on_another_one_a_moment_before() {
    let Some(fleet) = fleet().await else {
        return;
    };
    for node in 0..3 {
        let asset = format!("/{node}.css");
        fleet.nodes[(node + 1) % 3].write(&asset[1..], "new");
        fleet.nodes[node].rested().await;
        assert!(fleet.nodes[0].done().contains(&asset), "{asset}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_of_which_no_node_has_files_is_waited_for_as_well() {
    let Some(mut fleet) = Fleet::start(2).await else {
        return;
    };
    for node in &mut fleet.nodes {
        let shop = format!("\n[[pipeline]]\nname = \"shop\"\nid = \"{SHOP}\"\n");
        node.origin.push_str(&shop);
        node.reload().await;
    }
    let node = &fleet.nodes[0];
    for command in [&["pause", "shop"][..], &["purge", "shop", "/a.css"]] {
        let done = node.run(command).await;
        assert!(done.status.success(), "{done:?}");
    }
    let waited = node.run(&["wait", "shop", "--timeout", "2s"]).await;
    assert_eq!(waited.status.code(), Some(75), "{waited:?}");
    for command in [["resume", "shop"], ["wait", "shop"]] {
        let done = node.run(&command).await;
        assert!(done.status.success(), "{done:?}");
    }
    assert!(node.done().contains(&"/a.css".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_stops_at_once_though_the_database_went_away_in_a_round() {
    let Some(mut fleet) = Fleet::start(1).await else {
        return;
    };
    let (session, holder) = (fleet.server.session().await, fleet.server.session().await);
    let hold = "BEGIN; LOCK TABLE edgepurge.served IN EXCLUSIVE MODE";
    holder.batch_execute(hold).await.unwrap();
    let mut wait = fleet.nodes[0].command(&["wait", "www"]).spawn().unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%served%'";
    until("the node's part can't be written", async || {
        let waits = session.query_one(waits, &[]).await.unwrap();
        (waits.get::<_, i64>(0) > 0).then_some(())
    })
    .await;
    fleet.server.kill();
    let away = Instant::now();
    until("it has tried again to write its part", async || {
        fleet.nodes[0].alarm("store").await;
        (away.elapsed() > Duration::from_secs(5)).then_some(())
    })
    .await;
    let stopped = Instant::now();
    assert_eq!(fleet.nodes[0].terminate().await, Some(0));
    let took = stopped.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    wait.wait().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_names_a_node_that_died_unless_it_is_left_out_and_covers_what_the_next_leader_purges()
{
    let Some(mut fleet) = fleet().await else {
        return;
    };
    let leader = fleet.leader(&[0, 1, 2]).await;
    let others = fleet.others(leader);
    let dead = name(leader);
    fleet.nodes[leader].kill().await;
    fleet.nodes[others[0]].write("b.css", "new");
    let waited = fleet.nodes[others[1]].run(&["wait", "www"]).await;
    assert_eq!(waited.status.code(), Some(75), "{waited:?}");
    assert!(text(&waited.stderr).contains(&dead), "{waited:?}");
    assert!(fleet.nodes[0].done().contains(&"/b.css".to_owned()));
    fleet.nodes[others[0]].write("c.css", "new");
    let without = ["wait", "www", "--without", &dead];
    let waited = fleet.nodes[others[1]].run(&without).await;
    assert!(waited.status.success(), "{waited:?}");
    assert!(fleet.nodes[0].done().contains(&"/c.css".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_node_whose_root_is_missing_says_so_and_ends_at_its_timeout() {
    let Some(fleet) = Fleet::with(2, blind).await else {
        return;
    };
    let here = &fleet.nodes[0];
    take_root(&fleet.nodes[1]).await;
    here.alarm("root_missing").await;
    let cause = "web-2 has not looked at its files yet (alarm root_missing)";
    for (command, what) in [
        (&["wait", "www", "--timeout", "3s"][..], "settled"),
        (&["scan", "www", "--apply", "--timeout", "3s"], "scanned"),
        (
            &["deploy", "www", "--timeout", "3s", "--", "/bin/true"],
            "settled",
        ),
    ] {
        let late = here.run(command).await;
        assert_eq!(late.status.code(), Some(75), "{late:?}");
        let said = text(&late.stderr);
        assert!(said.contains(&format!("www waits: {cause}\n")), "{said}");
        let last = format!("www is not {what} within 3 s: {cause}\n");
        assert!(said.ends_with(&last), "{said}");
        assert!(!said.contains("paused by"), "{said}");
        assert_eq!(here.status().await["pipelines"][0]["pauses"], json!([]));
    }

    let round = async || {
        let causes = here.status().await["pipelines"][0]["causes"].clone();
        let mut causes = causes.as_array().unwrap().clone();
        causes.retain(|cause| cause["word"] == "round");
        causes
    };
    until("nothing waits any more", async || {
        round().await.is_empty().then_some(())
    })
    .await;
    let mut wait = here.command(&["wait", "www"]).spawn().unwrap();
    until("status says what is waited for", async || {
        let causes = round().await;
        (causes == [json!({ "word": "round", "text": cause })]).then_some(())
    })
    .await;
    let shown = text(&here.run(&["status"]).await.stdout);
    assert!(shown.contains(&format!("waits: {cause}")), "{shown}");
    give_root(&fleet.nodes[1]);
    assert!(wait.wait().await.unwrap().success());
    assert!(round().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn scan_with_apply_looks_at_the_files_of_every_node_and_says_what_each_has() {
    let Some(fleet) = fleet().await else {
        return;
    };
    let leader = fleet.leader(&[0, 1, 2]).await;
    let [here, there] = fleet.others(leader)[..] else {
        unreachable!("there are three")
    };
    fleet.nodes[there].write("a.css", "two");
    fleet.nodes[there].write("b.css", "new");
    let scanned = fleet.nodes[here].run(&["scan", "www", "--apply"]).await;
    assert!(scanned.status.success(), "{scanned:?}");
    let mut lines: Vec<String> = (0..3)
        .map(|node| {
            let found = if node == there {
                "2 files: 1 new, 1 changed"
            } else {
                "1 files: 0 new, 0 changed"
            };
            format!("{}: origin /: {found}, 0 gone; queued", name(node))
        })
        .collect();
    lines.push(String::new());
    assert_eq!(text(&scanned.stdout), lines.join("\n"));
    fleet.nodes[here].purged("/a.css").await;
    fleet.nodes[here].purged("/b.css").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_accepted_on_the_node_that_is_named_and_on_no_other() {
    let shaped = Fleet::with(2, |bench| {
        blind(bench);
        for number in 0..100 {
            bench.write(&format!("{number}.css"), "x");
        }
    });
    let Some(fleet) = shaped.await else {
        return;
    };
    for number in 0..80 {
        fs::remove_file(fleet.nodes[1].site().join(format!("{number}.css"))).unwrap();
    }
    let scan = async |more: &[&str]| {
        let all = [&["scan", "www", "--apply"], more].concat();
        let output = fleet.nodes[0].run(&all).await;
        (output.status.code(), text(&output.stderr))
    };
    let (code, held) = scan(&[]).await;
    assert_eq!(code, Some(1), "{held}");
    assert!(
        held.contains("web-2: ") && held.contains("--accept-loss --node web-2"),
        "{held}"
    );
    let alarm = fleet.nodes[1].alarm("loss").await;
    assert!(alarm.contains("--accept-loss --node web-2`"), "{alarm}");
    let (code, unnamed) = scan(&["--accept-loss"]).await;
    assert_eq!(code, Some(2), "{unnamed}");
    assert!(unnamed.contains("web-1, web-2"), "{unnamed}");
    let (code, other) = scan(&["--accept-loss", "--node", "web-1"]).await;
    assert_eq!(code, Some(1), "{other}");
    assert!(fleet.purges().is_empty());
    let (code, accepted) = scan(&["--accept-loss", "--node", "web-2"]).await;
    assert_eq!(code, Some(0), "{accepted}");
    until("what is gone is purged", async || {
        let purges = fleet.purges();
        (purges.len() == 80 || purges.contains_key("*")).then_some(())
    })
    .await;
}
