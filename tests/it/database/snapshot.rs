//! A snapshot that stays open for hours, as that of a dump or of a reader that is stuck: the server can't clear away
//! what is updated meanwhile, and each lookup of a row passes all its versions.

use std::collections::BTreeMap;

use serde_json::json;
use tokio_postgres::Client;

use super::started;
use crate::bench::until;
use crate::webhooks::{address, post};

/// Deliveries, each in a commit of its own.
const DELIVERIES: i64 = 300;
/// What moves with time, however much is committed: the beats, and what a node has seen of the others.
const BY_TIME: [&str; 3] = ["fleet", "member", "node"];
/// Rows that were made and updated, by table.
const WRITTEN: &str = "SELECT relname::text, n_tup_ins, n_tup_upd FROM pg_stat_user_tables
    WHERE schemaname = 'edgepurge'";

/// What was written so far, once the server has counted so many rows of a table.
async fn written(session: &Client, table: &str, rows: i64) -> BTreeMap<String, (i64, i64)> {
    until("the server has counted", async || {
        let counted = session.query(WRITTEN, &[]).await.unwrap();
        let counted = counted
            .iter()
            .map(|row| (row.get(0), (row.get(1), row.get(2))));
        let mut counted: BTreeMap<String, (i64, i64)> = counted.collect();
        counted.retain(|name, _| !BY_TIME.contains(&name.as_str()));
        (counted[table].0 >= rows).then_some(counted)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_stays_open_finds_no_row_that_each_commit_updates() {
    let Some((server, bench)) = started().await else {
        return;
    };
    let paused = bench.run(&["pause", "www"]).await;
    assert!(paused.status.success(), "{paused:?}");
    let (session, stuck) = (server.session().await, server.session().await);
    let snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1";
    stuck.batch_execute(snapshot).await.unwrap();
    session
        .execute("SELECT pg_stat_reset()", &[])
        .await
        .unwrap();
    let at = address(&bench).await;
    for number in 0..DELIVERIES {
        let answer = post(&at, &json!({ "paths": [format!("{number}.css")] })).await;
        assert_eq!(answer.unwrap().status, 202);
    }
    let taken = written(&session, "delivery", DELIVERIES).await;
    let updated: BTreeMap<_, _> = taken
        .iter()
        .filter(|(_, (_, updated))| *updated > 0)
        .collect();
    assert!(updated.is_empty(), "{updated:?}");

    let resumed = bench.run(&["resume", "www"]).await;
    assert!(resumed.status.success(), "{resumed:?}");
    bench.settle().await;
    let all = written(&session, "request_asset", DELIVERIES).await;
    let requests = all["request"].0;
    assert!(requests < DELIVERIES / 3, "{all:?}");
    for (table, (made, updated)) in &all {
        // A change is taken and done, a request accepted and done; the number of the last request is one row.
        let most = if table == "meta" { requests } else { made * 3 };
        assert!(*updated <= most, "{table}: {all:?}");
    }
}
