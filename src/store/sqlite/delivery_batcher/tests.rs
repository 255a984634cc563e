//! What a flood of deliveries, a restart and an upgrade leave of them.

use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use futures_util::FutureExt as _;

use super::*;
use crate::core::asset::Asset;
use crate::core::change::{Kind, NewChange, PipelineId, Source, Target};
use crate::core::delivery::{DeliveryState, Work};
use crate::core::time::Time;
use crate::store::Store;
use crate::store::StoreSettings;
use crate::store::contract::led;
use crate::store::sqlite::schema;
use crate::supervise::Supervisor;

fn open(directory: &Path, supervisor: &Supervisor) -> Arc<Store> {
    let settings = StoreSettings {
        directory: directory.to_owned(),
        api_url: "sandbox".to_owned(),
        database: None,
    };
    Arc::new(Store::open(&settings, supervisor).unwrap())
}

fn delivery(number: u16, asset: &str) -> NewDelivery {
    let mut key = [0; 32];
    key[..2].copy_from_slice(&number.to_be_bytes());
    NewDelivery {
        route: "/hooks/www".into(),
        event: format!("event-{number}").into(),
        dedupe_key: Some(key),
        dedupe: Duration::from_mins(10),
        what: "push".into(),
        pipeline: PipelineId::new("www"),
        at: Time::from_millis(1_000),
        due: Time::from_millis(1_000),
        work: Work::Changes(vec![NewChange {
            pipeline: PipelineId::new("www"),
            target: Target::Asset(Asset::from_stored(asset)),
            kind: Kind::Asked,
            source: Source::Webhook,
            detail: "push".into(),
            file: None,
            seen: Time::from_millis(1_000),
        }]),
    }
}

/// One that is done at once: its files map to nothing.
fn done(number: u16) -> NewDelivery {
    NewDelivery {
        work: Work::Changes(Vec::new()),
        ..delivery(number, "/a")
    }
}

/// The way to the thread that writes.
fn jobs(store: &Store) -> &mpsc::Sender<Job> {
    match &store.writer {
        Lane::Thread(jobs, _) => jobs,
        inline => panic!("{inline:?}"),
    }
}

/// Keeps the writer from working until the sender is dropped.
fn block(store: &Store) -> Sender<()> {
    let (blocked, until) = channel::<()>();
    let job: Job = Box::new(move |_| {
        let _ended = until.recv();
        (true, Box::new(|_| {}))
    });
    jobs(store).try_send(job).unwrap();
    blocked
}

#[tokio::test]
async fn a_repeated_delivery_is_recognised_after_a_restart_and_can_be_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor);
    // Done at once.
    let nothing = || NewDelivery {
        work: Work::Changes(Vec::new()),
        ..delivery(1, "/a")
    };
    let taken = store.take_delivery(nothing()).await.unwrap();
    assert_eq!(taken, Taken::New(0));
    drop(store);
    supervisor.stop().await;
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor);
    let again = store.take_delivery(nothing()).await.unwrap();
    assert_eq!(again, Taken::Duplicate);
    let record = store.delivery("/hooks/www".to_owned(), "event-1".to_owned());
    assert_eq!(record.await.unwrap().unwrap().state, DeliveryState::Done);
}

#[tokio::test]
async fn what_arrives_while_the_writer_is_busy_is_committed_together() {
    let directory = tempfile::tempdir().unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor);
    let blocked = block(&store);
    let before = store.commits();
    let taken: Vec<_> = (0..300)
        .map(|number| store.take_delivery(delivery(number % 100, &format!("/{}", number % 100))))
        .collect();
    drop(blocked);
    for one in futures_util::future::join_all(taken).await {
        assert_eq!(one.unwrap(), Taken::New(1));
    }
    let queued = led(&store).await.queued_after(Seq(0), 1_000).await.unwrap();
    assert_eq!(queued.len(), 100, "what is queued already is seen");
    let commits = store.commits() - before;
    assert!(commits <= 2, "{commits} commits");
}

#[tokio::test]
async fn without_room_for_a_job_a_delivery_is_taken_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor);
    let blocked = block(&store);
    let idle = || -> Job { Box::new(|_| (true, Box::new(|_| {}))) };
    while jobs(&store).try_send(idle()).is_ok() {}
    let taken = store.take_delivery(delivery(1, "/a"));
    drop(blocked);
    let limit = Duration::from_secs(30);
    let taken = tokio::time::timeout(limit, taken).await;
    assert_eq!(taken.expect("it is taken").unwrap(), Taken::New(1));
}

#[tokio::test]
async fn what_the_disk_does_not_keep_up_with_is_refused_and_the_rest_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor);
    let blocked = block(&store);
    let mut taken = Vec::new();
    for number in 0..u16::try_from(WAITING).unwrap() {
        taken.push(store.take_delivery(delivery(number, "/a")));
    }
    let refused = store.take_delivery(delivery(u16::MAX, "/a")).now_or_never();
    let error = refused.expect("it does not wait").unwrap_err().to_string();
    assert!(error.contains("does not keep up"), "{error}");
    drop(blocked);
    for one in futures_util::future::join_all(taken).await {
        assert_eq!(one.unwrap(), Taken::New(1));
    }
    let later = store.take_delivery(delivery(u16::MAX, "/a")).await.unwrap();
    assert_eq!(later, Taken::New(1));
}

#[tokio::test]
async fn who_went_away_is_taken_with_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor);
    let blocked = block(&store);
    drop(store.take_delivery(delivery(1, "/a")));
    let second = store.take_delivery(delivery(2, "/b"));
    drop(blocked);
    assert_eq!(second.await.unwrap(), Taken::New(1));
    let queued = led(&store).await.queued_after(Seq(0), 9).await.unwrap();
    assert_eq!(queued.len(), 2);
}

#[tokio::test]
async fn deliveries_of_the_version_before_are_taken_over_with_what_they_wait_for() {
    let directory = tempfile::tempdir().unwrap();
    let connection = schema::open(&directory.path().join("queue.db")).unwrap();
    for script in [
        include_str!("../../migrations/0001_initial.sql"),
        include_str!("../../migrations/0002_deliveries.sql"),
        include_str!("../../migrations/0003_limits.sql"),
        include_str!("../../migrations/0004_operate.sql"),
        include_str!("../../migrations/0005_verify.sql"),
        "INSERT INTO change (seq, pipeline, asset, kind, source, detail, seen, stage, attempt,
                             not_before, former, again)
         VALUES (7, 'www', '/a', 'asked', 'webhook', '', 5, 'queued', 2, 9, NULL, 1);
         INSERT INTO delivery (id, event_key, dedupe_key, route, event, dedupe, pipeline, what, at,
                               due, known, stage, first, last)
         VALUES (3, 1, 2, '/hooks/www', 'w', NULL, 'www', 'push', 1000, 5000, 1000, 'waiting', 0, 0);
         INSERT INTO delivery_target VALUES (3, '/b', 'push'), (3, NULL, 'all');
         PRAGMA application_id = 0x45505131; PRAGMA user_version = 5;",
    ] {
        connection.execute_batch(script).unwrap();
    }
    drop(connection);
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor);
    let released = led(&store)
        .await
        .release_deliveries(Time::from_millis(5_000), 9)
        .await;
    assert_eq!(released.unwrap(), 1);
    let queued = led(&store).await.queued_after(Seq(0), 9).await.unwrap();
    let queued: Vec<_> = queued
        .iter()
        .map(|change| (change.seq, change.target.clone(), change.again))
        .collect();
    let asset = |of| Target::Asset(Asset::from_stored(of));
    assert_eq!(
        queued,
        [
            (Seq(7), asset("/a"), true),
            (Seq(8), asset("/b"), false),
            (Seq(9), Target::All, false)
        ]
    );
}

#[tokio::test]
async fn what_was_answered_can_be_asked_for_while_another_of_its_name_is_on_its_way() {
    let directory = tempfile::tempdir().unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor);
    store.take_delivery(done(1)).await.unwrap();
    let blocked = block(&store);
    let again = NewDelivery {
        dedupe_key: None,
        ..done(1)
    };
    let again = store.take_delivery(again);
    // The transaction that takes it stays open.
    let (reached, open) = tokio::sync::oneshot::channel();
    let (ended, until) = channel::<()>();
    let job: Job = Box::new(move |_| {
        let _told = reached.send(());
        let _ended = until.recv();
        (true, Box::new(|_| {}))
    });
    jobs(&store).try_send(job).unwrap();
    drop(blocked);
    open.await.unwrap();
    let mut asked = store.delivery("/hooks/www".to_owned(), "event-1".to_owned());
    let early = tokio::time::timeout(Duration::from_millis(100), &mut asked).await;
    drop(ended);
    let found = match early {
        Ok(found) => found,
        Err(_) => asked.await,
    };
    assert!(found.unwrap().is_some(), "it was answered before");
    again.await.unwrap();
}

#[tokio::test]
async fn what_could_not_be_taken_hides_nothing_that_was() {
    let directory = tempfile::tempdir().unwrap();
    let (supervisor, _faults) = Supervisor::new();
    let store = open(directory.path(), &supervisor);
    store.take_delivery(done(1)).await.unwrap();
    let refuse = "CREATE TEMP TRIGGER refuse BEFORE INSERT ON delivery WHEN new.event = 'event-2'
                  BEGIN SELECT raise(ABORT, 'no'); END";
    let refused = store.alter(move |db| db.execute(refuse, &[]));
    refused.await.unwrap();
    let blocked = block(&store);
    let again = NewDelivery {
        dedupe_key: None,
        ..done(1)
    };
    let both = [store.take_delivery(again), store.take_delivery(done(2))];
    drop(blocked);
    for one in futures_util::future::join_all(both).await {
        assert!(one.is_err(), "they are one job");
    }
    let found = store.delivery("/hooks/www".to_owned(), "event-1".to_owned());
    assert!(found.await.unwrap().is_some(), "the first is there");
    let repeated = store.take_delivery(done(1)).await.unwrap();
    assert_eq!(repeated, Taken::Duplicate);
}
