//! The queue on disk becomes the queue in the database at the first start with one.

use edgepurge::sandbox::{ErrorType, Fault, Operation};
use serde_json::json;

use super::server::{PASSWORD, Server};
use crate::bench::{Bench, until};
use crate::webhooks::{address, post, with_route};

/// A server that is not used yet, and a daemon with its queue on disk that was killed: a file's purge is failed, the
/// pipeline is paused with another file in its queue, and a delivery waits for its time.
async fn killed() -> Option<(Server, Bench)> {
    let server = Server::start().await?;
    let mut bench = Bench::new().await;
    with_route(
        &mut bench,
        "generic",
        "purge = \"files\"\ndelay = \"15s\"",
        "",
    );
    bench.start().await;
    let is = async |bench: &Bench, key: &str| {
        until(key, async || {
            (bench.status().await["pipelines"][0][key] == 1).then_some(())
        })
        .await;
    };
    let refused = Fault::Typed(ErrorType::BAD_ASSETS).on(Operation::Create);
    bench.sandbox.script(refused);
    bench.write("failed.css", "x");
    is(&bench, "failed_assets").await;
    let paused = bench.run(&["pause", "www", "--reason", "freeze"]).await;
    assert!(paused.status.success(), "{paused:?}");
    bench.write("queued.css", "x");
    is(&bench, "queued_assets").await;
    let answer = post(&address(&bench).await, &json!({ "paths": ["later.css"] })).await;
    assert_eq!(answer.unwrap().status, 202);
    bench.kill().await;
    server.serve(&mut bench, PASSWORD);
    Some((server, bench))
}

/// The daemon has all of that, purges it, and nothing else.
async fn goes_on(bench: &Bench) {
    // It reads its queue a moment after it watches.
    until("it shows what is failed and paused", async || {
        let www = bench.status().await["pipelines"][0].clone();
        let is_paused = www["causes"].to_string().contains("freeze");
        (www["failed_assets"] == 1 && is_paused).then_some(())
    })
    .await;
    assert!(!bench.path("state/queue.db").exists());
    assert!(bench.path("state/queue.db.moved").exists());
    assert!(bench.log().contains("pauses were moved"), "{}", bench.log());
    for command in ["retry", "resume"] {
        let done = bench.run(&[command, "www"]).await;
        assert!(done.status.success(), "{done:?}");
    }
    bench.purged("/later.css").await;
    bench.settle().await;
    let mut done = bench.done();
    done.retain(|asset| !asset.starts_with("/settled-"));
    done.sort();
    assert_eq!(done, ["/failed.css", "/later.css", "/queued.css"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_open_is_lost_and_nothing_else_is_purged() {
    let Some((_server, mut bench)) = killed().await else {
        return;
    };
    bench.start().await;
    goes_on(&bench).await;
    bench.terminate().await;
    let before = bench.done().len();
    bench.start().await;
    bench.rested().await;
    assert_eq!(bench.done().len(), before);

    // Without the database it does not begin another queue.
    bench.terminate().await;
    bench.state.clear();
    bench.config();
    let refused = bench.run(&["run"]).await;
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("queue.db.moved"), "{said}");
}

/// Holds the copy of the first change back, for as long as a lock is held.
const HOLD: &str = "
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_advisory_lock(42); RETURN NULL;
    END $$;
    CREATE FUNCTION arm() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
        IF to_regclass('edgepurge.change') IS NOT NULL
           AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'hold') THEN
            CREATE TRIGGER hold BEFORE INSERT ON edgepurge.change
                FOR EACH STATEMENT EXECUTE FUNCTION public.hold();
        END IF;
    END $$;
    CREATE EVENT TRIGGER arm ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION arm();
    SELECT pg_advisory_lock(42)";
/// Whether it is held back.
const HELD: &str =
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted";

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_in_the_middle_of_the_move_begins_it_again() {
    let Some((server, mut bench)) = killed().await else {
        return;
    };
    let session = server.session().await;
    session.batch_execute(HOLD).await.unwrap();
    bench.spawn();
    until("a part is copied", async || {
        let held = session.query_one(HELD, &[]).await.unwrap();
        (held.get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    bench.kill().await;
    let free = "DROP EVENT TRIGGER arm; SELECT pg_advisory_unlock(42)";
    session.batch_execute(free).await.unwrap();
    assert!(bench.path("state/queue.db").exists());
    bench.start().await;
    goes_on(&bench).await;
}
