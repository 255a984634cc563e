//! The store's contract on a real `PostgreSQL`, and what only that has to hold.

use std::cell::Cell;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use cluster::Cluster;
use tokio_postgres::types::Type;

use super::form::{of_many, translated};
use super::schema::{READABLE_FROM, VERSION};
use super::*;
use crate::core::change::Seq;
use crate::core::lease::Term;
use crate::lineage::Beginning;
use crate::store::contract::{cases, change, leading};
use crate::store::db::values;
use crate::store::{Desk, sql};

mod cluster;
mod forgotten;
mod import;
mod nodes;

/// How a server runs whose data does not have to survive the machine.
const SETTINGS: [&str; 2] = ["-c", "fsync=off"];

/// A server that only this process can reach.
struct Server {
    cluster: Cluster,
    state: tempfile::TempDir,
}

impl Server {
    /// `None` where `PostgreSQL` is not installed.
    fn start() -> Option<Self> {
        if cluster::programs().is_none() {
            eprintln!("SKIPPED: PostgreSQL is not installed; tests/run unpacks it");
            let may_skip = std::env::var_os("EDGEPURGE_TEST_SKIPS_NONE").is_none();
            assert!(may_skip, "skipped, and nothing may be");
            return None;
        }
        let made = ["--no-sync", "--auth=trust", "--username=edgepurge"];
        let cluster = Cluster::make(tempfile::tempdir().unwrap(), &made);
        let state = tempfile::tempdir().unwrap();
        let mut server = Self { cluster, state };
        server.restart();
        Some(server)
    }

    /// Starts it, when what is left of the one before is gone.
    fn restart(&mut self) {
        while !self.cluster.runs(&SETTINGS) {
            std::thread::yield_now();
        }
    }

    fn settings(&self, schema: &str) -> StoreSettings {
        let url = format!(
            "postgres://edgepurge@/postgres?host={}",
            self.cluster.home().display()
        );
        let url = DatabaseUrl::parse(&url).unwrap();
        StoreSettings {
            // One for each schema, as each has a daemon of its own.
            directory: self.state.path().join(schema),
            api_url: "sandbox".to_owned(),
            database: Some(Database {
                url: Arc::new(move || Ok(url.clone())),
                schema: schema.to_owned(),
                node: "web-1".to_owned(),
            }),
        }
    }

    /// A store, as soon as the server takes connections.
    fn open(&self, schema: &str, supervisor: &Supervisor) -> Store {
        let settings = self.settings(schema);
        loop {
            match Store::open(&settings, supervisor) {
                Ok(store) => return store,
                Err(StoreError::Away(why)) if is_starting(&why.to_string()) => {
                    std::thread::yield_now();
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Whether there is no socket yet, or the server behind it starts, or ends sessions that were closed.
fn is_starting(why: &str) -> bool {
    [
        "(57P03)",
        "os error 2)",
        "os error 111)",
        "a session of the node",
    ]
    .iter()
    .any(|word| why.contains(word))
}

async fn close(store: Store, supervisor: &Supervisor) {
    drop(store);
    supervisor.stop().await;
}

/// Why a store is not opened, as soon as the sessions of the one before have ended.
fn refusal(settings: &StoreSettings, supervisor: &Supervisor) -> StoreError {
    loop {
        match Store::open(settings, supervisor).unwrap_err() {
            StoreError::Away(why) if is_starting(&why.to_string()) => std::thread::yield_now(),
            error => return error,
        }
    }
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut failed = Vec::new();
    for (number, (name, case)) in cases().enumerate() {
        let (supervisor, _faults) = Supervisor::new();
        let store = server.open(&format!("case_{number}"), &supervisor);
        let led = leading(store).await;
        let ended = AssertUnwindSafe(case(led)).catch_unwind().await;
        if ended.is_err() {
            failed.push(name);
        }
        supervisor.stop().await;
    }
    assert_eq!(failed, Vec::<&str>::new());
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    assert_eq!(store.lineage().beginning, Beginning::New);
    let epoch = store.lineage().epoch.clone();
    let appended = store.append(vec![change("www", "/a")]).await.unwrap();
    close(store, &supervisor).await;
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    assert_eq!(store.lineage().beginning, Beginning::Continued);
    assert_eq!(store.lineage().epoch, epoch);
    let store = leading(store).await;
    assert_eq!(store.queued_after(Seq(0), 10).await.unwrap().len(), 1);
    assert_eq!(*store.subscribe().borrow(), appended.last);
}

#[tokio::test]
async fn a_call_that_fails_keeps_nothing_and_the_others_of_its_transaction_are_kept() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    let append = || store.append(vec![change("www", "/a")]);
    let bad = || {
        store.write(
            |db| {
                db.execute(sql::meta::INSERT, &values!["a", "b"])?;
                db.execute("SELECT no_such_function()", &[])
            },
            |_| {},
        )
    };
    let (first, failed, second) = tokio::join!(append(), bad(), append());
    assert!(failed.unwrap_err().to_string().contains("no_such_function"));
    assert_eq!(
        (first.unwrap().last, second.unwrap().last),
        (Seq(1), Seq(2))
    );
    // Alone in its transaction, too.
    assert!(bad().await.is_err());
    let kept = store.read(|db| operate::meta(db, "a")).await.unwrap();
    assert_eq!(kept, None);
    assert_eq!(append().await.unwrap().last, Seq(3));
}

#[tokio::test]
async fn a_transaction_in_which_a_statement_failed_is_not_said_to_be_committed() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    // Its failure is swallowed, as no call does it.
    let swallowed = store.write(
        |db| Ok(db.execute("SELECT no_such_function()", &[]).is_err()),
        |_| {},
    );
    let error = swallowed.await.unwrap_err().to_string();
    assert!(error.contains("aborted"), "{error}");
    store.append(vec![change("www", "/a")]).await.unwrap();
}

/// Ends each session of the store at once, as a lost network does.
const CUT: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()
                   AND application_name LIKE 'edgepurge %'";

#[tokio::test]
async fn the_server_prepares_every_statement() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    let mut script = "SET search_path = edgepurge;".to_owned();
    for (name, text) in sql::statements() {
        write!(script, "PREPARE \"{name}\" AS {};", translated(&text)).unwrap();
    }
    beside(&server, &script);
    close(store, &supervisor).await;
}

/// Runs statements beside the store.
fn beside(server: &Server, sql: &str) {
    let url = DatabaseUrl::parse(&format!(
        "postgres://edgepurge@/postgres?host={}",
        server.cluster.home().display()
    ));
    let cut = async {
        let (client, connection) = url.unwrap().connect("test").await.unwrap();
        let connection = async { drop(connection.await) };
        let ended = client.batch_execute(sql);
        tokio::select! {
            () = connection => panic!("closed"),
            ended = ended => ended.unwrap(),
        }
    };
    std::thread::scope(|scope| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        scope.spawn(move || runtime.block_on(cut)).join().unwrap();
    });
}

/// Makes a call until it is not refused because the server is away.
async fn insist<T>(mut call: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(StoreError::Away(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Leads anew, as a leader does whose term is over.
async fn lead_again(store: &Desk) -> Desk {
    let store = store.store();
    insist(async || store.lead(Term(fastrand::i64(..))).await).await
}

#[tokio::test]
async fn a_connection_that_was_lost_while_nothing_went_on_is_made_again_and_no_call_fails() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, _faults) = Supervisor::new();
    let store = leading(server.open("edgepurge", &supervisor)).await;
    store.append(vec![change("www", "/a")]).await.unwrap();
    beside(&server, CUT);
    // The session before it may hold the schema for a moment.
    let appended = insist(async || store.append(vec![change("www", "/b")]).await).await;
    assert_eq!(appended.last, Seq(2));
    let queued = insist(async || store.queued_after(Seq(0), 10).await).await;
    assert_eq!(queued.len(), 2);
}

#[tokio::test]
async fn what_was_answered_survives_a_killed_server_and_nothing_is_appended_twice() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let (supervisor, mut faults) = Supervisor::new();
    let store = leading(server.open("edgepurge", &supervisor)).await;
    let mut answered = Vec::new();
    for _ in 0..4 {
        let restarted = Cell::new(false);
        let kill = async {
            tokio::task::yield_now().await;
            server.cluster.kill();
            // A commit in doubt is answered when the server is there again.
            server.restart();
            restarted.set(true);
        };
        let appends = async {
            while !restarted.get() {
                match store.append(vec![change("www", "/a")]).await {
                    Ok(appended) => answered.push(appended.last),
                    Err(StoreError::Away(_)) => return,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        // The killer's turn comes while an append is on its way.
        let ((), ()) = tokio::join!(appends, kill);
        let appended = insist(async || store.append(vec![change("www", "/b")]).await).await;
        answered.push(appended.last);
    }
    // What was read from a server before its restart may be gone: another term begins.
    let store = lead_again(&store).await;
    let queued = insist(async || store.queued_after(Seq(0), 100_000).await).await;
    let there: Vec<Seq> = queued.iter().map(|change| change.seq).collect();
    // Each that was answered is there, and there is none that was not.
    assert_eq!(there, answered);
    assert!(faults.first().now_or_never().is_none());
}

/// A commit is in doubt when the answer to it is lost; here the connection ends with the commit.
#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_answered_as_it_was_kept_or_not() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    // At the end of a transaction, its session is ended: before the commit, or after it.
    store
        .write(
            |db| {
                db.execute(
                    "CREATE FUNCTION fall() RETURNS trigger LANGUAGE plpgsql AS
                     'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'",
                    &[],
                )?;
                db.execute(
                    "CREATE CONSTRAINT TRIGGER fall AFTER INSERT ON change DEFERRABLE INITIALLY DEFERRED
                     FOR EACH ROW WHEN (NEW.asset = '/fall') EXECUTE FUNCTION fall()",
                    &[],
                )
            },
            |_| {},
        )
        .await
        .unwrap();
    let fallen = store.append(vec![change("www", "/fall")]).await;
    assert!(matches!(fallen, Err(StoreError::Away(_))), "{fallen:?}");
    let appended = insist(async || store.append(vec![change("www", "/b")]).await).await;
    assert_eq!(appended.last, Seq(1), "nothing of the one before was kept");
}

/// The server keeps the commit, and waits for a standby that is not there until its client has gone.
#[tokio::test]
async fn a_commit_that_was_kept_though_its_answer_was_lost_is_answered_and_not_made_again() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, _faults) = Supervisor::new();
    let store = leading(server.open("edgepurge", &supervisor)).await;
    beside(
        &server,
        "ALTER SYSTEM SET synchronous_standby_names = 'nowhere'",
    );
    beside(&server, "SELECT pg_reload_conf()");
    let held = std::cell::Cell::new(false);
    let healed = async {
        while store.away().is_none() {
            tokio::task::yield_now().await;
        }
        held.set(true);
        beside(&server, "ALTER SYSTEM RESET synchronous_standby_names");
        beside(&server, "SELECT pg_reload_conf()");
    };
    // The server takes its configuration over in its own time: the first ones may not have to wait.
    let appends = async {
        let mut answered = Vec::new();
        while !held.get() {
            let appended = store.append(vec![change("www", "/a")]).await;
            answered.push(appended.unwrap().last);
        }
        answered
    };
    let (answered, ()) = tokio::join!(appends, healed);
    let queued = insist(async || store.queued_after(Seq(0), 100_000).await).await;
    let there: Vec<Seq> = queued.iter().map(|change| change.seq).collect();
    assert_eq!(there, answered, "each is there once");
    let next = insist(async || store.append(vec![change("www", "/b")]).await).await;
    assert_eq!(next.first, Seq(there.last().unwrap().0 + 1));
}

#[tokio::test]
async fn what_is_newer_or_of_another_api_is_refused_and_left_as_it_is() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    close(store, &supervisor).await;
    let (supervisor, _faults) = Supervisor::new();
    let other = StoreSettings {
        api_url: "https://other".to_owned(),
        ..server.settings("edgepurge")
    };
    let error = refusal(&other, &supervisor);
    assert!(matches!(error, StoreError::Unusable(_)), "{error}");
    let store = server.open("edgepurge", &supervisor);
    set(&store, VERSION, "99").await;
    set(&store, READABLE_FROM, "98").await;
    close(store, &supervisor).await;
    let (supervisor, _faults) = Supervisor::new();
    let error = refusal(&server.settings("edgepurge"), &supervisor);
    assert!(matches!(error, StoreError::Unusable(_)), "{error}");
    assert!(error.to_string().contains("version 99"), "{error}");
}

/// Writes what the queue knows of itself.
async fn set(store: &Store, key: &'static str, value: &'static str) {
    let written = store.write(
        move |db| db.execute(sql::meta::SET, &values![key, value]),
        |_| {},
    );
    written.await.unwrap();
}

#[tokio::test]
async fn beside_a_newer_one_that_has_only_added_to_the_tables_it_goes_on() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    set(&store, VERSION, "99").await;
    close(store, &supervisor).await;
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    store.append(vec![change("www", "/a")]).await.unwrap();
    let version = store.read(|db| operate::meta(db, VERSION)).await.unwrap();
    assert_eq!(version.as_deref(), Some("99"));
}

#[test]
fn a_statement_takes_many_rows_where_it_inserts_values_and_nothing_else() {
    let types = [Type::INT8, Type::TEXT];
    let insert = "INSERT INTO t (a, b, c) VALUES (?1, 'x', nullif(?2, ''))";
    assert_eq!(
        of_many(insert, &types).unwrap(),
        "INSERT INTO t (a, b, c)  SELECT given.p1, 'x', nullif(given.p2, '') \
         FROM unnest($1::int8[], $2::text[]) AS given (p1, p2)"
    );
    assert_eq!(
        of_many(&format!("{insert} ON CONFLICT (a) DO NOTHING"), &types),
        None
    );
    assert_eq!(of_many("UPDATE t SET a = ?1 WHERE b = ?2", &types), None);
}
