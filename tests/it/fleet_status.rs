//! What an operator sees of a fleet on any of its nodes, a rollout of a configuration node after node, and a full
//! queue.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bench::{Bench, skip, text, until, until_within};
use crate::fleet::Fleet;
use crate::webhooks::{address, post};

/// The alarms of a reason in a status.
fn alarms(status: &Value, reason: &str) -> Vec<Value> {
    let alarms = status["alarms"].as_array().unwrap().iter();
    let of_reason = alarms.filter(|alarm| alarm["reason"] == reason);
    of_reason.cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_are_not_announced_raise_an_alarm_until_one_is() {
    let Some(fleet) = Fleet::start(1).await else {
        return;
    };
    let session = fleet.server.session().await;
    let sql = async |sql: &str| session.batch_execute(sql).await.unwrap();
    sql("INSERT INTO edgepurge.node (id, key, name, instance) VALUES (9, 'nine', 'web-9', 9)")
        .await;
    let alarmed = async || !alarms(&fleet.nodes[0].status().await, "listen").is_empty();
    until("the alarm is on", async || {
        sql("INSERT INTO edgepurge.batch (node, n, mark)
             SELECT 9, coalesce(max(n), 0) + 1, 0 FROM edgepurge.batch WHERE node = 9")
        .await;
        alarmed().await.then_some(())
    })
    .await;
    fleet.deliver(0, "a.css").await;
    until("the alarm is over", async || {
        (!alarmed().await).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_of_one_node_is_shown_by_all_with_its_name_until_it_is_over() {
    let Some(mut fleet) = Fleet::start(2).await else {
        return;
    };
    let missing = async |node: &Bench| alarms(&node.status().await, "root_missing");
    let site = fleet.nodes[1].path("site");
    let away = fleet.nodes[1].path("away");
    std::fs::rename(&site, &away).unwrap();
    let shown = until("web-1 shows the alarm of web-2", async || {
        missing(&fleet.nodes[0]).await.pop()
    })
    .await;
    assert_eq!(
        (&shown["node"], &shown["pipeline"]),
        (&"web-2".into(), &"www".into())
    );
    let own = missing(&fleet.nodes[1]).await.pop().unwrap();
    assert_eq!(own["node"], Value::Null, "it is its own");
    let check = fleet.nodes[0].run(&["status", "--check"]).await;
    assert_eq!(check.status.code(), Some(1), "{check:?}");
    let said = text(&check.stdout);
    assert!(
        said.starts_with("CRITICAL - web-2: www: root_missing ("),
        "{said}"
    );
    // Each node counts its own, so that a sum over the nodes is right.
    for (node, count) in [(0, 0.0), (1, 1.0)] {
        let series = "edgepurge_alarms{pipeline=\"www\",reason=\"root_missing\"}";
        let value = crate::metrics::value(&fleet.nodes[node], series).await;
        assert_eq!(value, Some(count), "web-{}", node + 1);
    }
    // What a node said before it fell silent is no alarm any more, and is still to be seen.
    fleet.nodes[1].kill().await;
    until("web-2 is silent, and its alarm is old", async || {
        let list = fleet.nodes[0].run(&["node", "list"]).await;
        let said = text(&list.stdout).contains("before that: www: root_missing");
        (said && missing(&fleet.nodes[0]).await.is_empty()).then_some(())
    })
    .await;
    std::fs::rename(&away, &site).unwrap();
    fleet.nodes[1].start().await;
    until("web-2 is back with its files", async || {
        let nodes = fleet.nodes[0].json(&["node", "list"]).await;
        let web_2 = &nodes.as_array()?[1];
        let quiet = web_2["alarms"].as_array()?.is_empty();
        let files = &web_2["origins"][0]["indexed_files"];
        (quiet && *files == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_is_an_alarm_of_each_that_runs_until_it_is_back() {
    let Some(mut fleet) = Fleet::start(3).await else {
        return;
    };
    let silent = async |node: &Bench| alarms(&node.status().await, "silent");
    fleet.nodes[0].kill().await;
    for node in [1, 2] {
        let node = &fleet.nodes[node];
        // It is silent for a minute before that, and a busy machine takes time.
        let limit = Duration::from_mins(3);
        let shown = until_within(limit, "the node that died is an alarm", async || {
            silent(node).await.pop()
        })
        .await;
        assert_eq!(
            (&shown["about"], &shown["node"]),
            (&"web-1".into(), &Value::Null)
        );
        let said = shown["text"].as_str().unwrap();
        assert!(said.starts_with("web-1 has been silent since 2"), "{said}");
        let remedy = shown["remedy"].as_str().unwrap();
        assert!(remedy.contains("edgepurge node forget web-1"), "{remedy}");
        let check = node.run(&["status", "--check"]).await;
        assert_eq!(check.status.code(), Some(1), "{check:?}");
        let said = text(&check.stdout);
        assert!(said.starts_with("CRITICAL - web-1: silent ("), "{said}");
        assert_eq!(silent(node).await.len(), 1, "each says it by itself");
        until("it is in the log", async || {
            node.log()
                .contains("ALARM: web-1 has been silent")
                .then_some(())
        })
        .await;
        let status = text(&node.run(&["status"]).await.stdout);
        let same = "both nodes that run hold the same 1 file";
        assert!(status.contains(same), "{status}");
        // The pipeline is not held up, and head and row say the same.
        assert!(status.starts_with("▲ 1 alarm · 1 pipeline"), "{status}");
        assert!(status.contains("● www  fresh"), "{status}");
    }
    fleet.nodes[0].start().await;
    for node in [1, 2] {
        let node = &fleet.nodes[node];
        until("it is over, and in the log", async || {
            let is_over = silent(node).await.is_empty();
            (is_over && node.log().contains("the alarm silent is over")).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_a_node_says_so_of_the_pipeline_and_of_the_nodes() {
    let Some(mut fleet) = Fleet::start(2).await else {
        return;
    };
    fleet.nodes[1].kill().await;
    let node = &fleet.nodes[0];
    until("the other node is silent", async || {
        let nodes = node.json(&["node", "list"]).await;
        (nodes[1]["state"] == "silent").then_some(())
    })
    .await;
    let list = text(&node.run(&["node", "list"]).await.stdout);
    assert!(list.starts_with("web-1  "), "{list}");
    fleet.server.kill();
    node.alarm("store").await;
    let status = text(&node.run(&["status"]).await.stdout);
    assert!(
        status.starts_with("▲ 1 alarm · 0 of 1 pipeline fresh"),
        "{status}"
    );
    assert!(status.contains("▲ www  trouble"), "{status}");
    let list = node.run(&["node", "list"]).await;
    assert_eq!(list.status.code(), Some(0), "{list:?}");
    let list = text(&list.stdout);
    let (first, nodes) = list.split_once('\n').unwrap();
    let at = first.strip_suffix(", PostgreSQL does not answer:");
    assert!(at.is_some_and(|at| at.starts_with("as of ")), "{list}");
    assert!(nodes.starts_with("web-1  "), "{list}");
    for name in ["web-1", "web-2"] {
        let forgotten = node.run(&["node", "forget", name]).await;
        assert_eq!(forgotten.status.code(), Some(75), "{forgotten:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_say_which_part_of_their_configuration_is_anothers() {
    let Some(mut fleet) = Fleet::start(2).await else {
        return;
    };
    let session = fleet.server.session().await;
    let configs = async || {
        let rows = session
            .query("SELECT config FROM edgepurge.node ORDER BY id", &[])
            .await;
        let rows = rows.unwrap();
        let configs = rows
            .iter()
            .map(|row| serde_json::from_str(row.get(0)).unwrap_or_default());
        configs.collect::<Vec<Value>>()
    };
    let said = async |alike: bool| {
        until("both nodes have said what they have", async || {
            let configs = configs().await;
            let both = configs.iter().all(Value::is_object);
            (both && (configs[0] == configs[1]) == alike).then_some(configs)
        })
        .await
    };
    said(true).await;
    assert_eq!(fleet.nodes[1].terminate().await, Some(0));
    fleet.nodes[1].pipeline.push_str("\nmax_assets = 7\n");
    fleet.nodes[1].start().await;
    let configs = said(false).await;
    assert_eq!(configs[0]["limits"], configs[1]["limits"]);
    assert_ne!(configs[0]["pipeline www"], configs[1]["pipeline www"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_clock_is_an_hour_off_purges_in_time_and_says_so() {
    let Some(library) = std::env::var_os("EDGEPURGE_TEST_FAKETIME") else {
        skip("libfaketime is not there; tests/run unpacks it");
        return;
    };
    let fake = format!("LD_PRELOAD={}", library.display());
    let Some(mut fleet) = Fleet::start(2).await else {
        return;
    };
    let wrong = 1;
    assert_eq!(fleet.nodes[wrong].terminate().await, Some(0));
    let within = [
        "/usr/bin/env",
        &fake,
        "FAKETIME=+3600",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
    ];
    fleet.nodes[wrong].within = within.map(str::to_owned).to_vec();
    fleet.nodes[wrong].origin.push_str("delay = \"2s\"\n");
    fleet.nodes[wrong].start().await;
    for node in &fleet.nodes {
        let shown = until("each node shows the alarm", async || {
            alarms(&node.status().await, "clock").pop()
        })
        .await;
        let said = shown["text"].as_str().unwrap();
        assert!(said.contains("machine is 60 min ahead"), "{said}");
    }
    // A time that this node has written is waited for by the one that leads.
    let came = Instant::now();
    fleet.deliver(wrong, "late.css").await;
    fleet.nodes[0].purged("/late.css").await;
    let took = came.elapsed();
    // The clocks of the nodes are some milliseconds apart.
    assert!(took > Duration::from_millis(1_900), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_rolled_out_node_after_node_purges_what_it_has_to_and_nothing_twice() {
    let Some(mut fleet) = Fleet::start(2).await else {
        return;
    };
    let leader = fleet.leader(&[0, 1]).await;
    let order = [fleet.others(leader)[0], leader];
    let paused = fleet.nodes[leader].run(&["pause", "www"]).await;
    assert!(paused.status.success(), "{paused:?}");
    let queued = async |fleet: &Fleet, count: u64| {
        until(&format!("{count} assets are queued"), async || {
            let status = fleet.nodes[0].status().await;
            (status["pipelines"][0]["queued_assets"] == count).then_some(())
        })
        .await;
    };
    for node in order {
        fleet.nodes[node].write(&format!("{node}.css"), "one");
    }
    queued(&fleet, 2).await;
    // Each adds the rule's asset for its own file.
    for (node, count) in order.into_iter().zip([3, 4]) {
        let rule = "\n[[pipeline.rule]]\nmatch = [\"?.css\"]\npurge = [\"/of/{name}\"]\n";
        fleet.nodes[node].pipeline.push_str(rule);
        fleet.nodes[node].reload().await;
        queued(&fleet, count).await;
    }
    let leader = fleet.leader(&[0, 1]).await;
    let resumed = fleet.nodes[leader].run(&["resume", "www"]).await;
    assert!(resumed.status.success(), "{resumed:?}");
    for asset in ["/0.css", "/1.css", "/of/0.css", "/of/1.css"] {
        fleet.nodes[0].purged(asset).await;
    }
    let purges = fleet.purges();
    assert!(
        purges.len() == 4 && purges.values().all(|times| *times == 1),
        "{purges:?}"
    );
    // Each node has counted what it noticed, also across the terms.
    for node in 0..2 {
        let series = "edgepurge_changes_total{pipeline=\"www\",source=\"watch\"}";
        let counted = crate::metrics::value(&fleet.nodes[node], series).await;
        assert_eq!(counted, Some(2.0), "web-{}", node + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_takes_nothing_more_on_any_node_until_there_is_room() {
    let Some(mut fleet) = Fleet::start(2).await else {
        return;
    };
    for node in &mut fleet.nodes {
        node.pipeline.push_str("\nall_above = \"never\"\n");
        node.reload().await;
    }
    let leader = fleet.leader(&[0, 1]).await;
    let other = fleet.others(leader)[0];
    let paused = fleet.nodes[leader].run(&["pause", "www"]).await;
    assert!(paused.status.success(), "{paused:?}");
    let at = address(&fleet.nodes[other]).await;
    let mut deliveries = 0..;
    let mut deliver = async || {
        let delivery: usize = deliveries.next().unwrap();
        let paths = (0..10_000).map(|file| format!("{delivery}/{file}.css"));
        let body = json!({ "paths": paths.collect::<Vec<_>>() });
        post(&at, &body).await.unwrap().status
    };
    for _ in 0..10 {
        assert_eq!(deliver().await, 202);
    }
    until("the other node takes nothing more", async || {
        (deliver().await == 503).then_some(())
    })
    .await;
    let dropped = fleet.nodes[leader]
        .run(&["drop", "www", "--confirm", "www"])
        .await;
    assert!(dropped.status.success(), "{dropped:?}");
    until("it takes what comes again", async || {
        (deliver().await == 202).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_says_what_was_purged_today_whoever_led_then() {
    let Some(mut fleet) = Fleet::start(2).await else {
        return;
    };
    let leader = fleet.leader(&[0, 1]).await;
    let other = 1 - leader;
    let counted = async |node: &Bench, purges: u64| {
        until("the node counts what was purged", async || {
            let recent = &node.status().await["pipelines"][0]["recent"];
            let has = recent["requests_today"] == purges && recent["assets_today"] == purges;
            (has && recent["last_purge"].is_string()).then_some(())
        })
        .await;
    };
    fleet.deliver(other, "a.css").await;
    fleet.nodes[0].purged("/a.css").await;
    for node in &fleet.nodes {
        counted(node, 1).await;
    }
    let said = fleet.nodes[other].run(&["status"]).await;
    let said = text(&said.stdout);
    assert!(said.contains("1 asset today in 1 request"), "{said}");
    assert!(said.contains("called by the leader"), "{said}");
    fleet.nodes[leader].kill().await;
    fleet.leader(&[other]).await;
    fleet.deliver(other, "b.css").await;
    fleet.nodes[0].purged("/b.css").await;
    counted(&fleet.nodes[other], 2).await;
}
