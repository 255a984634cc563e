//! `edgepurge demo --nodes 3`: a fleet on one machine, with processes that can be killed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::bench::{LIMIT, text, until};
use crate::database::server::{PASSWORD, Server};

struct Demo {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// All that it has shown so far.
    shown: Vec<String>,
}

impl Drop for Demo {
    /// Ends its nodes too, where a test has failed.
    fn drop(&mut self) {
        if let Some(pid) = self.child.id() {
            let group = format!("-{pid}");
            let mut kill = std::process::Command::new("kill");
            drop(kill.args(["-KILL", "--", &group]).status());
        }
    }
}

fn command(temporary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgepurge"));
    command.args(["demo", "--nodes", "3"]).args(arguments);
    command.env_clear().env("TMPDIR", temporary);
    command.stdin(Stdio::null()).process_group(0);
    command
}

/// A file with the URL of a server.
fn url_file(server: &Server, home: &Path) -> PathBuf {
    let file = home.join("database_url");
    std::fs::write(&file, server.url("edge", PASSWORD)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

impl Demo {
    /// Starts it, and reads its introduction.
    async fn start(temporary: &Path, url_file: &Path) -> Self {
        let arguments = ["--database-url-file", url_file.to_str().unwrap()];
        let mut command = command(temporary, &arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let shown = Vec::new();
        let mut demo = Self {
            child,
            lines,
            shown,
        };
        demo.line("Ctrl-C ends the demo").await;
        demo
    }

    /// The next line that has this in it.
    async fn line(&mut self, with: &str) -> String {
        let found = tokio::time::timeout(LIMIT, async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.shown.push(line.clone());
                if line.contains(with) {
                    return line;
                }
            }
            panic!("the demo ended before it said `{with}`");
        });
        found.await.expect(with)
    }

    /// The first line of its introduction that begins, or ends, like that.
    fn told(&self, like: &str) -> &str {
        let mut shown = self.shown.iter();
        let found = shown.find(|line| line.starts_with(like) || line.ends_with(like));
        found.expect(like)
    }

    /// Pastes all lines of its introduction that begin, or end, like that.
    async fn paste(&self, like: &str) -> Output {
        self.told(like);
        let shown = self.shown.iter();
        let lines: Vec<&str> = shown
            .filter(|line| line.starts_with(like) || line.ends_with(like))
            .map(String::as_str)
            .collect();
        let lines = lines.join("\n");
        let pasted = Command::new("sh").args(["-ec", &lines]).output().await;
        let pasted = pasted.unwrap();
        assert!(pasted.status.success(), "{lines}: {pasted:?}");
        pasted
    }

    /// The front page at the edge; a cookie has the edge ask a web server, each in turn.
    async fn fetch(&self, cookie: &str) -> String {
        let edge = self.told("edge ").split_whitespace().nth(1).unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.get(edge);
        let request = match cookie {
            "" => request,
            cookie => request.header("cookie", cookie),
        };
        request.send().await.unwrap().text().await.unwrap()
    }

    fn purges(&self) -> usize {
        let shown = self.shown.iter();
        shown.filter(|line| line.contains("  purging ")).count()
    }
}

/// Whose log a line is of.
fn node(line: &str) -> &str {
    line.split_whitespace().nth(1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_reached_all_copies_is_purged_once_and_another_node_leads_after_a_kill() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let Some(server) = Server::start().await else {
        return;
    };
    let (home, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = url_file(&server, home.path());
    let mut demo = Demo::start(temporary.path(), &file).await;
    assert!(demo.fetch("").await.contains("Hello"));
    let status = demo
        .told(" status")
        .replace(" status", " --format json status");
    until("the leader waits for the files of all nodes", async || {
        let status = Command::new("sh").args(["-c", &status]).output().await;
        let status: serde_json::Value = serde_json::from_slice(&status.unwrap().stdout).ok()?;
        let nodes = status["pipelines"][0]["nodes"].as_array()?;
        (nodes.len() == 3).then_some(())
    })
    .await;

    demo.paste("echo ").await;
    until(
        "the status names the nodes that are waited for",
        async || {
            let said = text(&demo.paste(" status").await.stdout);
            said.contains("not the same yet on web-2, web-3")
                .then_some(())
        },
    )
    .await;
    assert!(demo.fetch("").await.contains("Hello"), "no purge yet");
    demo.paste("cp ").await;
    demo.line("  edge      GET /").await;
    for cookie in ["", "a=1", "b=2", "c=3"] {
        assert!(demo.fetch(cookie).await.contains("Fresh"), "{cookie}");
    }
    assert_eq!(demo.purges(), 1, "{:#?}", demo.shown);

    demo.paste("kill ").await;
    let killed = demo.line("has ended").await;
    let killed = node(&killed).to_owned();
    let leads = demo.line("this node leads from now on").await;
    assert_ne!(node(&leads), killed);
    let leads = format!("{}  leads", node(&leads));
    until("the other node has seen who leads", async || {
        let list = text(&demo.paste(" node list").await.stdout);
        list.contains(&leads).then_some(())
    })
    .await;
    let back = demo.line("ready: ").await;
    assert_eq!(node(&back), killed, "it is started again");
    assert_eq!(demo.purges(), 1, "nothing was missed");

    let pid = demo.child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().await;
    assert!(sent.unwrap().success());
    let ended = tokio::time::timeout(LIMIT, demo.child.wait()).await;
    assert_eq!(ended.expect("it ends").unwrap().code(), Some(0));
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
    let gone = "SELECT to_regnamespace('edgepurge') IS NULL";
    let gone = server.session().await.query_one(gone, &[]).await.unwrap();
    assert!(gone.get::<_, bool>(0), "its schema goes with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_nodes_end_with_it_though_it_is_killed() {
    let Some(server) = Server::start().await else {
        return;
    };
    let (home, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = url_file(&server, home.path());
    let mut demo = Demo::start(temporary.path(), &file).await;
    let group = format!("-{}", demo.child.id().unwrap());
    let session = server.session().await;
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'edgepurge %'";
    let sessions = async || -> i64 { session.query_one(count, &[]).await.unwrap().get(0) };
    assert!(sessions().await > 0);
    demo.child.kill().await.unwrap();
    until("its nodes have ended", async || {
        let mut kill = Command::new("kill");
        let found = kill
            .args(["-0", "--", &group])
            .stderr(Stdio::null())
            .status()
            .await;
        (!found.unwrap().success()).then_some(())
    })
    .await;
    until("so have their sessions", async || {
        (sessions().await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_a_queue_is_left_alone_and_without_one_it_says_how_to_make_one() {
    let Some(server) = Server::start().await else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let without = command(home.path(), &[]).output().await.unwrap();
    assert_eq!(without.status.code(), Some(2), "{without:?}");
    assert!(text(&without.stderr).contains("initdb"), "{without:?}");

    let session = server.session().await;
    let made = "CREATE SCHEMA edgepurge; CREATE TABLE edgepurge.change (seq bigint)";
    session.batch_execute(made).await.unwrap();
    let file = url_file(&server, home.path());
    let arguments = ["--database-url-file", file.to_str().unwrap()];
    let refused = command(home.path(), &arguments).output().await.unwrap();
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    let said = text(&refused.stderr);
    assert!(said.contains("may have a real queue"), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
    let kept = session.query("SELECT seq FROM edgepurge.change", &[]).await;
    assert!(kept.unwrap().is_empty());
}
