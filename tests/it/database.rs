//! Queue and history in a `PostgreSQL`: the real process and a real server, which fails in every way.

mod checked;
#[path = "../../src/store/postgres/tests/cluster.rs"]
mod cluster;
mod full;
mod moved;
mod pooler;
pub(crate) mod server;
mod snapshot;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::bench::{Bench, text, until};
use crate::metrics::value as metric;
use crate::webhooks::{address, post, with_route};
use server::{PASSWORD, Server, write_url};

/// A server, and a running daemon with a webhook on it.
async fn started() -> Option<(Server, Bench)> {
    let server = Server::start().await?;
    let mut bench = Bench::new().await;
    with_route(&mut bench, "generic", "purge = \"files\"", "");
    server.serve(&mut bench, PASSWORD);
    bench.write("a.css", "one");
    bench.start().await;
    Some((server, bench))
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_webhooks_are_purged_and_a_killed_daemon_goes_on_where_it_was() {
    let Some((_server, mut bench)) = started().await else {
        return;
    };
    bench.write("a.css", "two");
    bench.purged("/a.css").await;
    let at = address(&bench).await;
    let answer = post(&at, &json!({ "paths": ["b.css"] })).await.unwrap();
    assert_eq!(answer.status, 202);
    bench.kill().await;
    bench.write("c.css", "new");
    bench.start().await;
    bench.settle().await;
    let done: BTreeSet<String> = bench.done().into_iter().collect();
    for asset in ["/a.css", "/b.css", "/c.css"] {
        assert!(done.contains(asset), "{asset}: {done:?}");
    }
    assert!(!bench.path("state/queue.db").exists());
    assert_eq!(bench.status().await["alarms"], json!([]));
    assert!(!bench.log().contains(PASSWORD));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_with_202_is_purged_though_the_server_was_killed_under_it() {
    let Some((mut server, bench)) = started().await else {
        return;
    };
    let (at, pid) = (address(&bench).await, bench.pid());
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let calls: Vec<_> = (0..40)
            .map(|number| {
                let (at, asset) = (at.clone(), format!("{round}-{number}.css"));
                tokio::spawn(async move {
                    let answer = post(&at, &json!({ "paths": [asset] })).await.ok()?;
                    (answer.status == 202).then_some(asset)
                })
            })
            .collect();
        tokio::task::yield_now().await;
        server.kill();
        for call in calls {
            acknowledged.extend(call.await.unwrap());
        }
        server.run(&[]).await;
        until("deliveries are taken again", async || {
            let asset = format!("{round}.css");
            let answer = post(&at, &json!({ "paths": [asset] })).await.ok()?;
            (answer.status == 202).then(|| acknowledged.push(asset))
        })
        .await;
    }
    bench.settle().await;
    let done = bench.done();
    for asset in acknowledged {
        let asset = format!("/{asset}");
        assert!(done.contains(&asset), "{asset} was never purged");
    }
    assert_eq!(bench.pid(), pid);
    assert!(!bench.log().contains("panicked"), "{}", bench.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_server_is_away_senders_are_asked_to_come_again_and_it_heals_by_itself() {
    let Some((mut server, bench)) = started().await else {
        return;
    };
    let at = address(&bench).await;
    server.kill();
    let refused = until("the delivery is refused", async || {
        let request = reqwest::Client::new()
            .post(format!("http://{at}/hooks/www"))
            .bearer_auth(crate::webhooks::SECRET)
            .json(&json!({ "paths": ["b.css"] }));
        let answer = request.send().await.unwrap();
        (answer.status() == 503).then_some(answer)
    })
    .await;
    assert!(refused.headers().contains_key("retry-after"));
    bench.write("a.css", "two");
    let why = bench.alarm("store").await;
    assert!(
        why.contains("PostgreSQL") && !why.contains(PASSWORD),
        "{why}"
    );
    assert_eq!(bench.status().await["settled"], false);
    let paused = bench.run(&["pause", "www"]).await;
    assert_eq!(paused.status.code(), Some(75), "{paused:?}");
    let log = bench.log();
    assert!(!log.contains("paused by"), "it is not committed: {log}");
    let client = reqwest::Client::builder().unix_socket(bench.path("admin.sock"));
    let client = client.build().unwrap();
    let get = async |path| {
        let answer = client.get(format!("http://localhost{path}")).send().await;
        answer.unwrap().status()
    };
    assert_eq!(get("/readyz").await, 503);
    assert_eq!(metric(&bench, "edgepurge_store_up").await, Some(0.0));
    assert_eq!(get("/healthz").await, 200);
    assert_eq!(bench.purges(), Vec::<String>::new());
    server.run(&[]).await;
    bench.purged("/a.css").await;
    bench.settle().await;
    bench.no_alarm().await;
    assert_eq!(metric(&bench, "edgepurge_store_up").await, Some(1.0));
    let commits = metric(&bench, "edgepurge_store_commit_seconds_count").await;
    assert!(commits > Some(0.0), "{commits:?}");
    assert!(!bench.log().contains(PASSWORD));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_said_without_it_and_a_right_one_is_read_at_the_next_attempt() {
    let Some((mut server, mut bench)) = started().await else {
        return;
    };
    server.serve(&mut bench, "planted-wrong");
    server.kill();
    server.run(&[]).await;
    bench.write("a.css", "two");
    until("the alarm says why", async || {
        bench.alarm("store").await.contains("28P01").then_some(())
    })
    .await;
    server.serve(&mut bench, PASSWORD);
    bench.purged("/a.css").await;
    bench.no_alarm().await;
    assert_eq!(bench.terminate().await, Some(0));
    server.serve(&mut bench, "planted-wrong");
    bench.config();
    let refused = bench.run(&["run"]).await;
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("28P01"), "{said}");
    for text in [said, bench.log()] {
        assert!(!text.contains("planted"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_while_the_database_can_not_be_used_changes_nothing_and_says_why() {
    let Some((mut server, mut bench)) = started().await else {
        return;
    };
    let refused = "the configuration is not reloaded";
    write_url(&mut bench, &server.url("edge", "planted-wrong"));
    bench.hangup(refused).await;
    let said = bench.alarm("config").await;
    assert!(said.contains("28P01"), "{said}");
    server.serve(&mut bench, PASSWORD);
    bench.reload().await;
    server.kill();
    bench.hangup(refused).await;
    server.run(&[]).await;
    let pid = bench.pid();
    bench.reload().await;
    assert_eq!(bench.pid(), pid);
    bench.write("a.css", "two");
    bench.purged("/a.css").await;
    bench.no_alarm().await;
    assert!(!bench.log().contains("planted"), "{}", bench.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_fit_for_the_queue_is_refused_at_the_start_with_what_to_do() {
    let Some(server) = Server::start().await else {
        return;
    };
    let mut bench = Bench::new().await;
    let session = server.session().await;
    let poor = "CREATE ROLE poor LOGIN PASSWORD 'planted-poor'; CREATE SCHEMA edgepurge";
    session.batch_execute(poor).await.unwrap();
    write_url(&mut bench, &server.url("poor", "planted-poor"));
    bench.config();
    let started = bench.run(&["run"]).await;
    assert_eq!(started.status.code(), Some(78), "{started:?}");
    let said = text(&started.stderr);
    for words in ["may not use the schema", "make it the owner"] {
        assert!(said.contains(words), "{said}");
    }
    // A password may come to the server later than to the file.
    write_url(&mut bench, &server.url("poor", "planted-wrong"));
    let started = bench.run(&["run"]).await;
    assert_eq!(started.status.code(), Some(75), "{started:?}");
    // The name of a node is of use with a database alone.
    bench.state = "node = \"web-1\"".to_owned();
    bench.config();
    let started = bench.run(&["run"]).await;
    assert_eq!(started.status.code(), Some(78), "{started:?}");
    assert!(text(&started.stderr).contains("state.node"), "{started:?}");
}

/// As where a path loses the connection of the writer alone: its session stays at the server for a while, and those
/// beside it go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_its_own_that_was_lost_is_no_other_edgepurge() {
    let Some((server, bench)) = started().await else {
        return;
    };
    let writer = "SELECT pid FROM pg_stat_activity WHERE application_name = 'edgepurge writer'";
    let writer = server.session().await.query_one(writer, &[]).await.unwrap();
    let writer = Pid::from_raw(writer.get(0)).unwrap();
    kill_process(writer, Signal::STOP).unwrap();
    bench.write("a.css", "two");
    until("it says whose session it is", async || {
        let log = bench.log();
        assert!(!log.contains("another edgepurge runs"), "{log}");
        log.contains("a session of the node").then_some(())
    })
    .await;
    kill_process(writer, Signal::CONT).unwrap();
    bench.purged("/a.css").await;
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_files_of_a_node_stops_nothing_that_works_and_purges_nothing() {
    let Some((server, mut bench)) = started().await else {
        return;
    };
    let (url, pid) = (bench.path("database_url"), bench.pid());
    for number in 0..2 {
        fs::remove_file(&url).unwrap();
        if number == 0 {
            fs::create_dir(&url).unwrap();
        } else {
            fs::write(&url, b"\xff\0planted\n").unwrap();
            fs::set_permissions(&url, fs::Permissions::from_mode(0o600)).unwrap();
        }
        bench.hangup("the configuration is not reloaded").await;
        server.cut().await;
        let said = bench.alarm("store").await;
        assert!(said.contains("database_url"), "{said}");
        bench.write("a.css", &format!("new {number}"));
        if number == 0 {
            fs::remove_dir(&url).unwrap();
            fs::write(&url, "").unwrap();
        }
        server.serve(&mut bench, PASSWORD);
        bench.settle().await;
        let purges = bench.done();
        let purges = purges.iter().filter(|asset| *asset == "/a.css");
        assert_eq!((purges.count(), bench.pid()), (number + 1, pid));
    }
    assert!(!bench.log().contains("planted"), "{}", bench.log());
    bench.terminate().await;
    let before = bench.purges();
    fs::write(bench.path("state/node.mark"), [0xff; 100]).unwrap();
    bench.start().await;
    bench.rested().await;
    assert_eq!(bench.purges(), before);
    bench.terminate().await;
    // Which node it is can't be guessed.
    fs::write(bench.path("state/node"), [0xff; 100]).unwrap();
    let refused = bench.run(&["run"]).await;
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    let said = text(&refused.stderr);
    assert!(said.contains("state/node has no key of a node"), "{said}");
}
