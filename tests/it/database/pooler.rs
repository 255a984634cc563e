//! A pooler between nodes and their server: Debian's pgbouncer. Each of its modes works, or is refused with words.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::geteuid;
use tokio_postgres::NoTls;

use super::cluster::{UNPRIVILEGED, give};
use super::server::{PASSWORD, Server, write_url};
use crate::bench::{Bench, skip, text, until};
use crate::fleet::Fleet;

struct Pooler {
    process: Child,
    url: String,
}

impl Pooler {
    /// One that is reached by a socket; `None` where there is no pgbouncer.
    async fn start(server: &Server, mode: &str) -> Option<Self> {
        let Some(program) = std::env::var_os("EDGEPURGE_TEST_PGBOUNCER").map(PathBuf::from) else {
            skip("there is no pgbouncer; tests/run unpacks it");
            return None;
        };
        let socket = server.socket();
        let (to, home) = (socket.parent().unwrap().display(), server.directory(mode));
        let (at, port) = (home.display(), server.port);
        let settings = format!(
            "[databases]\npostgres = host={to} port={port}\n\
             [pgbouncer]\npool_mode = {mode}\nunix_socket_dir = {at}\nlisten_port = 6432\n\
             auth_type = scram-sha-256\nauth_file = {at}/users\n"
        );
        for (name, text) in [
            ("users", format!("\"edge\" \"{PASSWORD}\"\n")),
            ("settings", settings),
        ] {
            fs::write(home.join(name), text).unwrap();
            give(&home.join(name));
        }
        give(&home);
        let mut pgbouncer = Command::new(&program);
        pgbouncer
            .arg(home.join("settings"))
            .env("LD_LIBRARY_PATH", libraries(&program))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if geteuid().is_root() {
            pgbouncer.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
        }
        let process = pgbouncer.spawn().unwrap();
        until("the pooler listens", async || {
            home.join(".s.PGSQL.6432").exists().then_some(())
        })
        .await;
        let url = format!("postgres://edge:{PASSWORD}@/postgres?host={at}&port=6432");
        Some(Self { process, url })
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// What is unpacked beside it.
fn libraries(program: &Path) -> PathBuf {
    let beside = program.ancestors().nth(2).unwrap().join("lib");
    let of_machine = fs::read_dir(&beside).ok().and_then(|mut all| all.next());
    of_machine.map_or(beside, |one| one.unwrap().path())
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_pooler_in_session_mode_a_fleet_works_as_without() {
    let Some(server) = Server::start().await else {
        return;
    };
    let Some(pooler) = Pooler::start(&server, "session").await else {
        return;
    };
    let by_pooler = |_: &Server, bench: &mut Bench| write_url(bench, &pooler.url);
    let mut fleet = Fleet::on(server, 2, |_| {}, by_pooler).await;
    let checked = fleet.nodes[0].run(&["check", "--online"]).await;
    assert!(checked.status.success(), "{checked:?}");
    let leader = fleet.leader(&[0, 1]).await;
    let other = 1 - leader;
    fleet.deliver(other, "b.css").await;
    fleet.nodes[0].purged("/b.css").await;
    for node in &fleet.nodes {
        node.no_alarm().await;
    }
    fleet.nodes[leader].kill().await;
    fleet.deliver(other, "c.css").await;
    fleet.leader(&[other]).await;
    fleet.nodes[0].purged("/c.css").await;
    fleet.nodes[leader].start().await;
    assert!(fleet.purges().values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_is_refused_and_it_is_said_what_to_do() {
    let Some(server) = Server::start().await else {
        return;
    };
    let Some(pooler) = Pooler::start(&server, "transaction").await else {
        return;
    };
    // Others use the pooler, too, so that it has several sessions to give.
    let (other, connection) = tokio_postgres::connect(&pooler.url, NoTls).await.unwrap();
    tokio::task::spawn(async { drop(connection.await) });
    other.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let mut bench = Bench::new().await;
    write_url(&mut bench, &pooler.url);
    bench.config();
    for command in [&["run"][..], &["check", "--online"]] {
        let refused = bench.run(command).await;
        assert_eq!(refused.status.code(), Some(78), "{refused:?}");
        let said = text(&refused.stderr);
        let words = ["a pooler is in between", "set pool_mode = session"];
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert!(!said.contains(PASSWORD), "{said}");
    }
    let made = "SELECT to_regnamespace('edgepurge') IS NOT NULL";
    let made = server.session().await.query_one(made, &[]).await.unwrap();
    assert!(!made.get::<_, bool>(0), "nothing was made there");
}
