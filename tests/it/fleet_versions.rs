//! Nodes of two versions share a queue while one after the other is upgraded. There is no release with other tables
//! yet, so the test does to them what the newer version would.

use crate::bench::{Bench, text};
use crate::database::server::Server;
use crate::fleet::Fleet;

/// Adds to each table, makes one, and writes the version of that.
const ADD: &str = "DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'edgepurge' LOOP
            EXECUTE format('ALTER TABLE edgepurge.%I ADD COLUMN newer text NOT NULL DEFAULT $d$new$d$', name);
        END LOOP;
        CREATE TABLE edgepurge.newer (id bigint PRIMARY KEY);
        UPDATE edgepurge.meta SET value = '99' WHERE key = 'schema';
    END $$";
/// Takes a column away that the older version reads, and says that it can't go on.
const GO_FURTHER: &str = "BEGIN;
    ALTER TABLE edgepurge.change RENAME COLUMN detail TO details;
    UPDATE edgepurge.meta SET value = '99' WHERE key = 'readable_from';
    COMMIT";

async fn migrates(server: &Server, sql: &str) {
    server.session().await.batch_execute(sql).await.unwrap();
}

/// What comes to any node is purged once.
async fn all_serve(fleet: &Fleet, tag: &str) {
    for (number, node) in fleet.nodes.iter().enumerate() {
        let file = format!("{tag}-{number}.html");
        for node in &fleet.nodes {
            node.write(&file, "new");
        }
        let asset = format!("{tag}-{number}.css");
        fleet.deliver(number, &asset).await;
        for name in [file, asset] {
            node.purged(&format!("/{name}")).await;
        }
    }
    let purges = fleet.purges();
    assert!(purges.values().all(|times| *times == 1), "{purges:?}");
}

/// It has ended by itself, and says why; so does its next start, for good.
async fn is_refused(node: &mut Bench) {
    assert_eq!(node.stopped().await, Some(75), "{}", node.log());
    let again = node.run(&["run"]).await;
    assert_eq!(again.status.code(), Some(78), "{again:?}");
    for said in [node.log(), text(&again.stderr)] {
        for words in ["has version 99", "install the newer edgepurge again"] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_goes_on_beside_a_newer_one_and_ends_with_words_when_the_tables_went_further()
 {
    let Some(mut fleet) = Fleet::start(2).await else {
        return;
    };
    all_serve(&fleet, "a").await;
    let pids: Vec<u32> = fleet.nodes.iter().map(Bench::pid).collect();
    migrates(&fleet.server, ADD).await;
    all_serve(&fleet, "b").await;
    // As after a step back, and with another leader.
    let leader = fleet.leader(&[0, 1]).await;
    assert_eq!(fleet.nodes[leader].terminate().await, Some(0));
    fleet.leader(&fleet.others(leader)).await;
    fleet.nodes[leader].start().await;
    all_serve(&fleet, "c").await;
    for (number, node) in fleet.nodes.iter().enumerate() {
        node.no_alarm().await;
        assert!(number == leader || node.pid() == pids[number]);
        assert!(!node.log().contains("ERROR"), "{}", node.log());
    }
    migrates(&fleet.server, GO_FURTHER).await;
    for node in &mut fleet.nodes {
        is_refused(node).await;
    }
}

/// The tables as they were before the last upgrade, as a backup brings them back.
const GO_BACK: &str = "BEGIN;
    UPDATE edgepurge.meta SET value = '2' WHERE key = 'schema';
    DROP TABLE edgepurge.member, edgepurge.round, edgepurge.served, edgepurge.ask;
    ALTER TABLE edgepurge.node DROP COLUMN status, DROP COLUMN config;
    ALTER TABLE edgepurge.delivery DROP COLUMN without;
    COMMIT";

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_an_older_version_that_come_back_under_a_node_are_brought_up_to_date() {
    let Some(mut fleet) = Fleet::start(1).await else {
        return;
    };
    migrates(&fleet.server, GO_BACK).await;
    let node = &mut fleet.nodes[0];
    assert_eq!(node.stopped().await, Some(75), "{}", node.log());
    let log = node.log();
    assert!(log.contains("went back to version 2"), "{log}");
    node.start().await;
    fleet.leader(&[0]).await;
    all_serve(&fleet, "a").await;
}
