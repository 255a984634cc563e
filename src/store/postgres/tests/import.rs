//! A queue on disk becomes the queue in a database.

use std::collections::BTreeSet;
use std::fs;

use rusqlite::Connection;

use super::*;
use crate::core::asset::Asset;
use crate::core::change::{PipelineId, Target};
use crate::core::time::Time;
use crate::store::db::Db;
use crate::store::db::Row;
use crate::store::postgres::import::COPIED;
use crate::store::sqlite::open_or_set_aside;

/// The epoch of the queue that is moved.
const EPOCH: &str = "465cfe0a-efe6-42c3-bf89-0fe761f73b44";

/// A state directory with a queue that has rows in every table.
fn with_queue(settings: &StoreSettings) {
    fs::create_dir_all(&settings.directory).unwrap();
    let queue = Connection::open(settings.directory.join("queue.db")).unwrap();
    queue
        .execute_batch(include_str!("../../fixtures/version_8.sql"))
        .unwrap();
    queue
        .execute_batch("INSERT INTO verified VALUES (1, '/a', 30, 'fresh', '', 0)")
        .unwrap();
}

/// Every row of a table, in an order that does not depend on the engine.
fn rows(db: &dyn Db, table: &str, columns: &[String]) -> Result<BTreeSet<String>, StoreError> {
    let read = |row: &Row<'_>| {
        let values = (0..columns.len()).map(|column| row.0.at(column));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        Ok(format!("{values:?}"))
    };
    db.query(
        &format!("SELECT {} FROM {table}", columns.join(", ")),
        &[],
        read,
    )
}

fn columns(queue: &dyn Db, table: &str) -> Vec<String> {
    let sql = "SELECT name FROM pragma_table_info(?1)";
    queue
        .query(sql, &values![table], |row| row.first())
        .unwrap()
}

/// The changes that a planner would get.
async fn queued(store: Store) -> Vec<(u64, Target)> {
    let store = leading(store).await;
    let queued = store.queued_after(Seq(0), 99).await.unwrap();
    let queued = queued
        .into_iter()
        .map(|change| (change.seq.0, change.target));
    queued.collect()
}

#[tokio::test]
async fn every_row_of_a_queue_on_disk_is_in_a_new_schema_and_the_index_goes_on() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, _faults) = Supervisor::new();
    drop(server.open("other", &supervisor));
    let settings = server.settings("edgepurge");
    with_queue(&settings);
    let store = server.open("edgepurge", &supervisor);
    let lineage = store.lineage();
    assert_eq!((lineage.epoch.as_str(), lineage.last), (EPOCH, Seq(8)));
    assert_eq!(lineage.beginning, Beginning::Continued);
    assert_eq!(lineage.pruned.len(), 1);
    let file = settings.directory.join("queue.db");
    assert!(!file.exists());
    let (kept, _) = open_or_set_aside(&super::super::moved(&file), "sandbox").unwrap();
    for table in COPIED {
        let columns = columns(&kept, table);
        let expected = rows(&kept, table, &columns).unwrap();
        assert!(!expected.is_empty(), "{table}");
        let found = store
            .read(move |db| rows(db, table, &columns))
            .await
            .unwrap();
        let missing: Vec<_> = expected.difference(&found).collect();
        assert!(missing.is_empty(), "{table}: {missing:?}");
        if table != "meta" {
            assert_eq!(found.len(), expected.len(), "{table}");
        }
    }
    let appended = store.append(vec![change("www", "/new")]).await.unwrap();
    assert_eq!(appended.first, Seq(9));
}

#[tokio::test]
async fn a_start_after_a_crash_before_the_file_was_renamed_queues_nothing_twice() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, _faults) = Supervisor::new();
    let settings = server.settings("edgepurge");
    with_queue(&settings);
    let before = queued(server.open("edgepurge", &supervisor)).await;
    assert_eq!(before.len(), 4);
    supervisor.stop().await;
    let file = settings.directory.join("queue.db");
    fs::rename(super::super::moved(&file), &file).unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    assert_eq!(store.lineage().beginning, Beginning::Continued);
    assert_eq!(store.lineage().epoch, EPOCH);
    assert!(!file.exists());
    assert_eq!(queued(store).await, before);
}

#[tokio::test]
async fn to_a_queue_that_is_there_all_that_is_open_is_appended_and_nothing_else() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    store.append(vec![change("shop", "/first")]).await.unwrap();
    let epoch = store.lineage().epoch.clone();
    close(store, &supervisor).await;
    let settings = server.settings("edgepurge");
    with_queue(&settings);
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    assert_eq!(store.lineage().epoch, epoch);
    let due = store.due_deliveries().await.unwrap();
    assert_eq!(due.changes, Some(Time::from_millis(9_000)));
    assert_eq!(
        due.scans,
        [(PipelineId::new("www"), Time::from_millis(8_000))]
    );
    let later = store.delivery("/hooks/www".to_owned(), "later".to_owned());
    assert_eq!(later.await.unwrap().unwrap().queued, 2);
    let store = leading(store).await;
    let unsettled = store.unsettled().await.unwrap();
    assert_eq!(unsettled.pauses[0].reason, "freeze");
    assert!(unsettled.requests.is_empty());
    let queued = store.queued_after(Seq(0), 99).await.unwrap();
    let targets: BTreeSet<_> = queued.into_iter().map(|change| change.target).collect();
    let mut expected = BTreeSet::from([Target::All]);
    let (kept, _) = open_or_set_aside(
        &super::super::moved(&settings.directory.join("queue.db")),
        "sandbox",
    )
    .unwrap();
    let db: &dyn Db = &kept;
    let open = "SELECT asset FROM change WHERE stage <> 'done' AND stage <> 'dropped'
                UNION SELECT asset FROM verification
                UNION SELECT asset FROM repurge WHERE asset <> ''";
    let assets: Vec<Target> = db.query(open, &[], |row| row.get("asset")).unwrap();
    expected.extend(assets);
    expected.insert(Target::Asset(Asset::from_stored("/first")));
    assert_eq!(targets, expected);
}

#[test]
fn each_table_of_a_queue_on_disk_is_copied_or_known_to_be_of_the_engine() {
    let directory = tempfile::tempdir().unwrap();
    let (queue, _) = open_or_set_aside(&directory.path().join("queue.db"), "sandbox").unwrap();
    let db: &dyn Db = &queue;
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let tables: BTreeSet<String> = db.query(tables, &[], |row| row.first()).unwrap();
    // Numbers are kept by statements of their own; a term ends with its process, and a node gets another number.
    // What nodes say and ask, and the marks of their commits, are of a fleet alone.
    let own = [
        "ask",
        "batch",
        "fleet",
        "member",
        "node",
        "number_floor",
        "round",
        "served",
    ];
    let known = COPIED.into_iter().chain(own).map(str::to_owned);
    assert_eq!(tables, known.collect());
}

#[tokio::test]
async fn without_its_database_a_queue_that_was_moved_is_not_begun_again() {
    let directory = tempfile::tempdir().unwrap();
    let settings = StoreSettings {
        directory: directory.path().to_owned(),
        api_url: "sandbox".to_owned(),
        database: None,
    };
    fs::write(directory.path().join("queue.db.moved"), "").unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let refused = Store::open(&settings, &supervisor).unwrap_err();
    assert!(matches!(refused, StoreError::Unusable(_)), "{refused}");
    assert!(
        refused.to_string().contains("database_url_file"),
        "{refused}"
    );
    fs::remove_file(directory.path().join("queue.db.moved")).unwrap();
    Store::open(&settings, &supervisor).unwrap();
}
