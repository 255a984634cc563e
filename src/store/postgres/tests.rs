//! The store's contract on a real `PostgreSQL`, and what only that has to hold.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use futures_util::FutureExt as _;

use super::*;
use crate::core::change::Seq;
use crate::store::contract::{cases, change, leading};

/// The user whom a server of root's is run as, since it refuses to be root's.
const UNPRIVILEGED: u32 = 65_534;

/// A server that only this process can reach; it ends with this value.
struct Server {
    home: tempfile::TempDir,
    running: Child,
}

impl Server {
    /// `None` where `PostgreSQL` is not installed.
    fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            eprintln!("SKIPPED: PostgreSQL is not installed; tests/run unpacks it");
            let may_skip = std::env::var_os("EDGEPURGE_TEST_SKIPS_NONE").is_none();
            assert!(may_skip, "skipped, and nothing may be");
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        let root = rustix::process::geteuid().is_root();
        if root {
            chown(home.path(), Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
        }
        let program = |name: &str| {
            let mut program = Command::new(programs.join(name));
            program.current_dir(home.path());
            if root {
                program.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
            }
            program.arg("-D").arg(home.path().join("data"));
            program
        };
        let made = program("initdb")
            .args(["--no-sync", "--locale=C", "--encoding=UTF8", "--auth=trust"])
            .args(["--username=edgepurge"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let running = program("postgres")
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(home.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { home, running })
    }

    fn settings(&self, schema: &str) -> Settings {
        Settings {
            url: format!(
                "host={} user=edgepurge dbname=postgres",
                self.home.path().display()
            ),
            schema: schema.to_owned(),
            api_url: "sandbox".to_owned(),
        }
    }

    /// A store, as soon as the server takes connections.
    fn open(&self, schema: &str, supervisor: &Supervisor) -> Store {
        let settings = self.settings(schema);
        loop {
            match open(&settings, supervisor) {
                Ok(store) => return store,
                Err(StoreError::Failed(why)) if is_starting(&why) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Whether there is no socket yet, or the server behind it says that it starts.
fn is_starting(why: &Why) -> bool {
    let source = std::error::Error::source(why).and_then(|error| error.downcast_ref());
    source.is_some_and(|error: &tokio_postgres::Error| {
        error
            .code()
            .map_or(!error.is_closed(), |code| code.code() == "57P03")
    })
}

impl Drop for Server {
    fn drop(&mut self) {
        // At once: nothing of it is kept.
        let pid = rustix::process::Pid::from_child(&self.running);
        rustix::process::kill_process(pid, rustix::process::Signal::QUIT).unwrap();
        self.running.wait().unwrap();
    }
}

/// The directory of `PostgreSQL`'s programs: the one that is named, or the newest that is installed.
fn programs() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("EDGEPURGE_TEST_POSTGRESQL") {
        return Some(named.into());
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let programs = versions.map(|version| version.unwrap().path().join("bin"));
    programs.filter(|bin| bin.join("initdb").exists()).max()
}

async fn close(store: Store, supervisor: &Supervisor) {
    drop(store);
    supervisor.stop().await;
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

#[tokio::test]
async fn two_stores_that_start_at_once_make_one_schema_and_never_give_a_number_twice() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, _faults) = Supervisor::new();
    drop(server.open("other", &supervisor));
    let stores = std::thread::scope(|scope| {
        let open = || {
            let runtime = tokio::runtime::Handle::current();
            let (server, supervisor) = (&server, &supervisor);
            scope.spawn(move || {
                let _entered = runtime.enter();
                server.open("edgepurge", supervisor)
            })
        };
        [open(), open()].map(|opening| opening.join().unwrap())
    });
    assert_eq!(stores[0].lineage().epoch, stores[1].lineage().epoch);
    let appends = (0..100).map(|n| stores[n % 2].append(vec![change("www", "/a")]));
    let mut numbers: Vec<u64> = futures_util::future::join_all(appends)
        .await
        .into_iter()
        .map(|appended| appended.unwrap().first.0)
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_newer_or_of_another_api_is_refused_and_left_as_it_is() {
    let Some(server) = Server::start() else {
        return;
    };
    let (supervisor, _faults) = Supervisor::new();
    let store = server.open("edgepurge", &supervisor);
    let other = Settings {
        api_url: "https://other".to_owned(),
        ..server.settings("edgepurge")
    };
    let error = open(&other, &supervisor).unwrap_err();
    assert!(matches!(error, StoreError::Unusable(_)), "{error}");
    let newer = store.write(
        |db| db.execute(sql::meta::SET, &values![VERSION, "99"]),
        |_| {},
    );
    newer.await.unwrap();
    let error = open(&server.settings("edgepurge"), &supervisor).unwrap_err();
    assert!(matches!(error, StoreError::Unusable(_)), "{error}");
    assert!(error.to_string().contains("version 99"), "{error}");
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
