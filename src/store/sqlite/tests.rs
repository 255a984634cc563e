//! What only `SQLite` has to hold: the file, the lock, the versions, the group commit.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::core::asset::Asset;
use crate::core::change::{PipelineId, Target};
use crate::core::delivery::{NewDelivery, Work};
use crate::core::time::Time;
use crate::core::verify::FollowUps;
use crate::store::contract::{change, led};
use crate::store::{DeliveryFilter, RequestFilter, Slice};

/// Puts something else where the database should be.
type Damage = dyn Fn(&Path);

fn open(directory: &Path, supervisor: &Supervisor) -> Result<Arc<Store>, StoreError> {
    let settings = StoreSettings {
        directory: directory.to_owned(),
        api_url: "sandbox".to_owned(),
        database: None,
    };
    Store::open(&settings, supervisor).map(Arc::new)
}

async fn close(store: Arc<Store>, supervisor: &Supervisor) {
    drop(store);
    supervisor.stop().await;
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor).unwrap();
    let appended = store.append(vec![change("www", "/a")]).await.unwrap();
    close(store, &supervisor).await;
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor).unwrap();
    let rows = led(&store).await.queued_after(Seq(0), 10).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(*store.subscribe().borrow(), appended.last);
}

#[tokio::test]
async fn what_was_answered_is_on_disk_at_that_moment() {
    let directory = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor).unwrap();
    store.append(vec![change("www", "/a")]).await.unwrap();
    // The files as a killed process leaves them.
    for file in ["queue.db", "queue.db-wal"] {
        std::fs::copy(directory.path().join(file), copy.path().join(file)).unwrap();
    }
    let (other, _faults) = Supervisor::new();
    let copied = open(copy.path(), &other).unwrap();
    assert_eq!(
        led(&copied)
            .await
            .queued_after(Seq(0), 10)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_second_process_is_refused_with_the_pid_of_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor).unwrap();
    let error = open(directory.path(), &supervisor).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StoreError::Locked(_)), "{text}");
    assert!(text.contains(&std::process::id().to_string()), "{text}");
    close(store, &supervisor).await;
    let (supervisor, _faults) = Supervisor::new();
    open(directory.path(), &supervisor).unwrap();
}

#[test]
fn what_is_not_ours_is_refused_and_left_as_it_is() {
    let (supervisor, _faults) = Supervisor::new();
    let newer = |path: &Path| {
        let connection = schema::open(path).unwrap();
        let pragmas = "PRAGMA application_id = 0x45505131; PRAGMA user_version = 99;
                       CREATE TABLE t (x);";
        connection.execute_batch(pragmas).unwrap();
    };
    let foreign = |path: &Path| {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch("CREATE TABLE theirs (x)").unwrap();
    };
    let cases: [(&Damage, &str); 2] = [(&newer, "version 99"), (&foreign, "another program")];
    for (make, says) in cases {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue.db");
        make(&path);
        let before = std::fs::read(&path).unwrap();
        let error = open(directory.path(), &supervisor).unwrap_err();
        assert!(matches!(error, StoreError::Unusable(_)), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(std::fs::read(&path).unwrap().len(), before.len());
    }
}

#[tokio::test]
async fn a_queue_that_is_damaged_or_of_another_api_is_set_aside_with_a_reason() {
    let garbage = |path: &Path| std::fs::write(path, [b'x'; 8_192]).unwrap();
    // The header stays, the pages behind it are lost.
    let holes = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[4_096..].fill(0xff);
        std::fs::write(path, bytes).unwrap();
    };
    let other_api = |path: &Path| {
        let connection = Connection::open(path).unwrap();
        connection
            .execute(
                "UPDATE meta SET value = 'https://other' WHERE key = 'api_url'",
                [],
            )
            .unwrap();
    };
    let cases: [(&Damage, &str); 3] = [
        (&garbage, "no database"),
        (&holes, "damaged"),
        (&other_api, "for the API https://other"),
    ];
    for (damage, says) in cases {
        let directory = tempfile::tempdir().unwrap();
        let (supervisor, _faults) = Supervisor::new();
        let store = open(directory.path(), &supervisor).unwrap();
        assert_eq!(store.lineage().beginning, Beginning::New);
        store.append(vec![change("www", "/a")]).await.unwrap();
        let epoch = store.lineage().epoch.clone();
        close(store, &supervisor).await;

        let path = directory.path().join("queue.db");
        let (supervisor, _faults) = Supervisor::new();
        let store = open(directory.path(), &supervisor).unwrap();
        assert_eq!(store.lineage().beginning, Beginning::Continued);
        assert_eq!(store.lineage().epoch, epoch);
        close(store, &supervisor).await;

        damage(&path);
        let (supervisor, _faults) = Supervisor::new();
        let store = open(directory.path(), &supervisor).unwrap();
        let Beginning::Anew(why) = &store.lineage().beginning else {
            panic!("{says}: {:?}", store.lineage());
        };
        assert!(
            why.contains(says) && why.contains("queue.db.aside-1"),
            "{why}"
        );
        assert_ne!(store.lineage().epoch, epoch);
        assert_eq!(led(&store).await.queued_after(Seq(0), 9).await.unwrap(), []);
        store.append(vec![change("www", "/b")]).await.unwrap();
    }
}

#[test]
fn a_directory_that_cannot_be_is_said_so() {
    let (supervisor, _faults) = Supervisor::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = open(file.path(), &supervisor).unwrap_err().to_string();
    assert!(error.contains("state.directory"), "{error}");
}

/// A queue as the version before made it: with a change and a request that is being sent.
const VERSION_2: &str = "
    INSERT INTO change (pipeline, asset, kind, source, detail, seen, stage, attempt, not_before, request)
    VALUES ('www', '/a', 'changed', 'watch', '', 5, 'queued', 2, 7, NULL),
           ('www', '/b', 'changed', 'watch', '', 5, 'taken', 0, 0, 1);
    INSERT INTO request (id, pipeline, stage, attempt, first_seen, opened, why)
    VALUES (1, 'www', 'submitting', 0, 5, 6, '');
    INSERT INTO request_asset VALUES (1, '/b', 2);
    PRAGMA application_id = 0x45505131; PRAGMA user_version = 2;";

#[tokio::test]
async fn a_queue_of_the_version_before_is_taken_over_without_loss() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let connection = schema::open(&path).unwrap();
    for script in [
        include_str!("../migrations/0001_initial.sql"),
        include_str!("../migrations/0002_deliveries.sql"),
        VERSION_2,
    ] {
        connection.execute_batch(script).unwrap();
    }
    drop(connection);
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor).unwrap();
    let rows = led(&store).await.queued_after(Seq(0), 10).await.unwrap();
    assert_eq!(
        (rows.len(), rows[0].attempt, rows[0].overdue),
        (1, 2, false)
    );
    let unsettled = led(&store).await.unsettled().await.unwrap();
    assert_eq!(unsettled.learned, []);
    let [request] = unsettled.requests.as_slice() else {
        panic!("{unsettled:?}");
    };
    assert_eq!((request.api_since, request.overdue), (None, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_share_a_sync() {
    let directory = tempfile::tempdir().unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor).unwrap();
    let before = store.commits();
    let appends = (0..200).map(|_| store.append(vec![change("www", "/a")]));
    for appended in futures_util::future::join_all(appends).await {
        appended.unwrap();
    }
    let commits = store.commits() - before;
    assert!(commits < 200, "{commits} transactions for 200 appends");
}

#[tokio::test]
async fn a_full_disk_is_an_error_that_keeps_nothing_and_passes() {
    let directory = tempfile::tempdir().unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor).unwrap();
    let limit = async |pages: i64| {
        store
            .write(
                move |db| {
                    let pragma = format!("PRAGMA max_page_count = {pages}");
                    db.value::<u64>(&pragma, &[]).map(drop)
                },
                |()| {},
            )
            .await
            .unwrap();
    };
    limit(1).await;
    let many: Vec<_> = (0..5_000)
        .map(|n| change("www", &format!("/{n}")))
        .collect();
    let error = store.append(many.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Failed(_)), "{error}");
    assert!(error.to_string().contains("make room"), "{error}");
    assert_eq!(led(&store).await.queued_after(Seq(0), 9).await.unwrap(), []);
    limit(100_000).await;
    let appended = store.append(many).await.unwrap();
    assert_eq!((appended.first, appended.last), (Seq(1), Seq(5_000)));
}

#[tokio::test]
async fn yesterdays_queue_is_opened_without_loss() {
    let directory = tempfile::tempdir().unwrap();
    let connection = schema::open(&directory.path().join("queue.db")).unwrap();
    connection
        .execute_batch(include_str!("../migrations/0001_initial.sql"))
        .unwrap();
    connection
        .execute_batch(include_str!("../migrations/0002_deliveries.sql"))
        .unwrap();
    connection
        .execute_batch(
            "PRAGMA application_id = 0x45505131; PRAGMA user_version = 2;
             INSERT INTO meta VALUES ('api_url', 'sandbox'), ('epoch', 'e'), ('last_request', '4');
             INSERT INTO request VALUES (4, 'www', NULL, NULL, 'accepted', 'r4', 0, 1, 2, 3, NULL, '');
             INSERT INTO request_asset VALUES (4, '/b', 8);
             INSERT INTO change VALUES
                 (7, 'www', '/a', 'changed', 'watch', 'why', 'site', x'61ff', x'09', 5, 'queued', 2, 9, NULL),
                 (8, 'www', '/b', 'new', 'scan', '', NULL, NULL, NULL, 6, 'taken', 0, 0, 4),
                 (12, 'www', '/c', 'gone', 'scan', '', NULL, NULL, NULL, 6, 'queued', 0, 0, NULL);
             DELETE FROM change WHERE seq = 12;",
        )
        .unwrap();
    drop(connection);
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor).unwrap();
    let rows = led(&store).await.queued_after(Seq(0), 9).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].seq, rows[0].attempt), (Seq(7), 2));
    assert!(!rows[0].again);
    let follow_ups = led(&store)
        .await
        .follow_ups(vec![PipelineId::new("www")], 9)
        .await;
    assert_eq!(follow_ups.unwrap(), FollowUps::default());
    assert_eq!(store.lineage().last, Seq(12), "no number is given twice");
    let appended = store.append(vec![change("www", "/d")]).await.unwrap();
    assert_eq!(appended.first, Seq(13));
    assert_eq!(
        led(&store).await.unsettled().await.unwrap().requests.len(),
        1
    );
    assert_eq!(store.requests_of(Seq(8), Seq(8)).await.unwrap(), [4]);
}

#[tokio::test]
async fn a_queue_of_version_8_is_opened_with_all_that_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let connection = Connection::open(directory.path().join("queue.db")).unwrap();
    connection
        .execute_batch(include_str!("../fixtures/version_8.sql"))
        .unwrap();
    drop(connection);
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor).unwrap();
    let www = || PipelineId::new("www");
    let lineage = store.lineage();
    assert_eq!(lineage.epoch, "465cfe0a-efe6-42c3-bf89-0fe761f73b44");
    assert_eq!(lineage.last, Seq(8));
    assert_eq!(
        lineage.pruned,
        [((www(), "site".to_owned()), Seq(1))].into()
    );

    let queued = led(&store).await.queued_after(Seq(0), 99).await.unwrap();
    let queued: Vec<_> = queued.iter().map(|row| (row.seq.0, row.attempt)).collect();
    assert_eq!(queued, [(3, 3), (5, 0), (6, 0), (8, 0)]);
    let stages = store.stages(Seq(1), Seq(8)).await.unwrap();
    assert_eq!((stages.taken, stages.done, stages.failed), (1, 1, 1));
    let facts = store.facts_after(www(), "site".to_owned(), Seq(1), 99);
    assert_eq!(facts.await.unwrap().len(), 5);

    let unsettled = led(&store).await.unsettled().await.unwrap();
    assert_eq!(unsettled.last_request, 5);
    let [request] = unsettled.requests.as_slice() else {
        panic!("{unsettled:?}");
    };
    assert_eq!(request.remote_id.as_deref(), Some("r4"));
    assert_eq!((unsettled.all.len(), unsettled.learned.len()), (1, 1));
    assert_eq!(unsettled.pauses[0].reason, "freeze");
    assert_eq!(
        unsettled.last_all,
        [(PipelineId::new("shop"), Time::from_millis(20))].into()
    );
    let all = RequestFilter {
        slice: Slice::first(99),
        ..RequestFilter::default()
    };
    assert_eq!(store.requests(all).await.unwrap().total_count, 5);

    let due = store.due_deliveries().await.unwrap();
    assert_eq!(due.changes, Some(Time::from_millis(9_000)));
    assert_eq!(due.scans, [(www(), Time::from_millis(8_000))]);
    let event = store.delivery("/hooks/www".to_owned(), "later".to_owned());
    assert_eq!(event.await.unwrap().unwrap().queued, 2);
    let ups = led(&store).await.follow_ups(vec![www()], 9).await.unwrap();
    assert_eq!(ups.checks.len(), 1);
    assert_eq!(ups.again, Some(Time::from_millis(5_000)));
    let note = store.noted("mapping:www".to_owned()).await.unwrap();
    assert_eq!(note.as_deref(), Some("v1"));

    let appended = store.append(vec![change("www", "/new")]).await.unwrap();
    assert_eq!(appended.first, Seq(9));
}

#[test]
fn an_error_names_what_is_beneath_it_and_has_it_as_its_source() {
    let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
    let error = failed(rusqlite::Error::SqliteFailure(full, None));
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.is::<rusqlite::Error>(), "{source:?}");
    assert!(error.to_string().contains(&source.to_string()), "{error}");
}

#[tokio::test]
async fn a_number_is_never_given_twice_though_all_rows_are_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let asked = || {
        let path = change("www", "/a");
        NewDelivery {
            route: "/hooks/www".into(),
            event: "e".into(),
            pipeline: path.pipeline.clone(),
            dedupe_key: None,
            dedupe: Duration::ZERO,
            what: "".into(),
            at: Time::from_millis(1),
            due: Time::from_millis(1),
            work: Work::Changes(vec![path]),
        }
    };
    let listed = async |store: &Store| {
        let filter = DeliveryFilter {
            slice: Slice::first(9),
            ..DeliveryFilter::default()
        };
        let rows = store.deliveries(filter).await.unwrap().rows;
        rows.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let late = Time::from_millis(9_000);
    for number in 1..=3 {
        let (supervisor, _faults) = Supervisor::new();
        let store = open(directory.path(), &supervisor).unwrap();
        assert_eq!(store.lineage().last, Seq(number - 1));
        store.take_delivery(asked()).await.unwrap();
        assert_eq!(*store.subscribe().borrow(), Seq(number));
        assert_eq!(listed(&store).await, [number]);
        let dropped = led(&store)
            .await
            .drop_queue(PipelineId::new("www"), 9, None)
            .await
            .unwrap();
        assert_eq!(dropped, 1);
        assert_eq!(led(&store).await.prune(late, 9).await.unwrap(), 1);
        assert_eq!(
            led(&store)
                .await
                .prune_deliveries(late, late, 9)
                .await
                .unwrap(),
            1
        );
        close(store, &supervisor).await;
    }
}

#[tokio::test]
async fn what_a_delivery_of_version_8_waits_for_keeps_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let connection = Connection::open(directory.path().join("queue.db")).unwrap();
    connection
        .execute_batch(include_str!("../fixtures/version_8.sql"))
        .unwrap();
    connection
        .execute_batch(
            "UPDATE sqlite_sequence SET seq = 20 WHERE name = 'change';
             DELETE FROM delivery_target;
             INSERT INTO delivery_target (delivery, asset, detail)
             SELECT id, asset, 'd' FROM delivery,
                 (SELECT '/z' AS asset UNION ALL SELECT NULL UNION ALL SELECT '/a')
             WHERE stage = 'waiting';",
        )
        .unwrap();
    drop(connection);
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor).unwrap();
    assert_eq!(store.lineage().last, Seq(20), "no number is given twice");
    let late = Time::from_millis(9_000);
    assert_eq!(
        led(&store).await.release_deliveries(late, 9).await.unwrap(),
        1
    );
    let queued = led(&store).await.queued_after(Seq(20), 9).await.unwrap();
    let targets: Vec<_> = queued.iter().map(|row| (row.seq.0, &row.target)).collect();
    let asset = |path: &str| Target::Asset(Asset::from_stored(path));
    let (z, a) = (asset("/z"), asset("/a"));
    assert_eq!(targets, [(21, &z), (22, &Target::All), (23, &a)]);
}
