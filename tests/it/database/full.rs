//! A server without room, without connections, or that only reads: senders are asked to come again, an alarm says
//! why, and all is purged when it works again.

use std::fs;
use std::io::Write as _;

use serde_json::json;

use super::cluster::UNPRIVILEGED;
use super::server::{PASSWORD, Server, write_url};
use super::started;
use crate::bench::{Bench, until};
use crate::hostile::machine::{Mount, may_mount};
use crate::webhooks::{address, post, with_route};

/// A delivery is refused for now, and an alarm says why, until the server is mended; then it is taken, and all is
/// purged that came meanwhile.
async fn heals(bench: &Bench, [alarm, why]: [&str; 2], mend: impl AsyncFnOnce()) {
    let (at, pid) = (address(bench).await, bench.pid());
    let mut files = 0..;
    let delivered = async || {
        let answer = post(&at, &json!({ "paths": ["b.css"] })).await;
        answer.unwrap().status
    };
    until("the delivery is refused", async || {
        (delivered().await == 503).then_some(())
    })
    .await;
    let mut last = 0;
    until("the alarm says why", async || {
        last = files.next()?;
        bench.write(&format!("{last}.css"), why);
        let status = bench.status().await;
        let alarms = status["alarms"].as_array().unwrap();
        let alarm = alarms.iter().find(|one| one["reason"] == alarm)?;
        alarm["text"].to_string().contains(why).then_some(())
    })
    .await;
    mend().await;
    until("the delivery is taken", async || {
        (delivered().await == 202).then_some(())
    })
    .await;
    bench.settle().await;
    let done = bench.done();
    for asset in ["/b.css".to_owned(), format!("/{last}.css")] {
        assert!(done.contains(&asset), "{asset}: {done:?}");
    }
    bench.no_alarm().await;
    assert_eq!(bench.pid(), pid);
    assert!(!bench.log().contains("panicked"), "{}", bench.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_made_to_only_read_is_away_until_it_writes_again() {
    let Some((server, bench)) = started().await else {
        return;
    };
    let session = server.session().await;
    let only_reads = async |value: &str| {
        let change = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
        session.batch_execute(&change).await.unwrap();
        session
            .batch_execute("SELECT pg_reload_conf()")
            .await
            .unwrap();
    };
    only_reads("on").await;
    heals(&bench, ["store", "PostgreSQL"], async || {
        only_reads("off").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_connection_left_is_away_until_it_has_one() {
    let Some(server) = Server::start().await else {
        return;
    };
    let session = server.session().await;
    let sql = async |sql: &str| session.batch_execute(sql).await.unwrap();
    sql("CREATE ROLE few LOGIN PASSWORD 'planted'; GRANT CREATE ON DATABASE postgres TO few").await;
    let mut bench = Bench::new().await;
    with_route(&mut bench, "generic", "purge = \"files\"", "");
    write_url(&mut bench, &server.url("few", "planted"));
    bench.start().await;
    sql("ALTER ROLE few CONNECTION LIMIT 0;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'few'")
    .await;
    heals(&bench, ["store", "53300"], async || {
        sql("ALTER ROLE few CONNECTION LIMIT -1").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_keeps_nothing_until_it_has_some() {
    if !may_mount() {
        return;
    }
    let Some(server) = Server::start().await else {
        return;
    };
    let mut bench = Bench::new().await;
    let room = server.directory("room");
    let options = format!("uid={UNPRIVILEGED},mode=700,size=8m");
    let _mount = Mount::new(&["-t", "tmpfs", "-o", &options, "tmpfs"], &room).unwrap();
    let session = server.session().await;
    for sql in [
        &format!("CREATE TABLESPACE small LOCATION '{}'", room.display()),
        "ALTER DATABASE postgres SET default_tablespace = small",
    ] {
        session.batch_execute(sql).await.unwrap();
    }
    with_route(&mut bench, "generic", "purge = \"files\"", "");
    server.serve(&mut bench, PASSWORD);
    bench.start().await;
    let filler = room.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    drop(file);
    heals(
        &bench,
        ["commit", "make room on the disk of the server"],
        async || {
            fs::remove_file(&filler).unwrap();
        },
    )
    .await;
}
