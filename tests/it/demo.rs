//! `edgepurge demo`: what a stranger sees in the first five minutes.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::bench::{LIMIT, until};

struct Demo {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    origin: PathBuf,
    edge: String,
}

impl Demo {
    async fn start(temporary: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_edgepurge"))
            .arg("demo")
            .args(arguments)
            .env_clear()
            .env("TMPDIR", temporary)
            // A proxy that is not there: nothing on this machine may go through it.
            .env("HTTP_PROXY", "http://127.0.0.1:9")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut demo = Self {
            child,
            lines,
            origin: PathBuf::new(),
            edge: String::new(),
        };
        let origin = demo.line("origin ").await;
        demo.origin = origin.split_whitespace().last().unwrap().into();
        let edge = demo.line("edge ").await;
        demo.edge = edge.split_whitespace().nth(1).unwrap().to_owned();
        demo.line("Ctrl-C ends the demo").await;
        demo
    }

    /// The next line that has this in it.
    async fn line(&mut self, with: &str) -> String {
        let found = tokio::time::timeout(LIMIT, async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line.contains(with) {
                    return line;
                }
            }
            panic!("the demo ended before it said `{with}`");
        });
        found.await.expect(with)
    }

    async fn fetch(&self, path: &str) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}{path}", self.edge);
        let response = client.get(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn serves(&self, path: &str, status: u16, body: &str) {
        until(&format!("{path} is fresh"), async || {
            let (found, text) = self.fetch(path).await;
            (found == status && text.contains(body)).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_sees_each_change_reach_the_edge_and_the_purge_that_did_it() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(temporary.path(), &[]).await;
    for path in ["", "blog/first.html", "blog/second.html", "style.css"] {
        // The edge has all of it, and that one of it is missing.
        demo.fetch(path).await;
    }

    std::fs::write(demo.origin.join("index.html"), "<h1>Fresh</h1>").unwrap();
    demo.line("changed: / /index.html").await;
    demo.line("purging").await;
    let fresh = demo.line("fresh").await;
    assert!(
        fresh.contains("s after the change") && fresh.contains("X-Cache: miss"),
        "{fresh}"
    );
    demo.serves("", 200, "<h1>Fresh</h1>").await;

    std::fs::write(demo.origin.join("blog/second.html"), "second").unwrap();
    demo.line("new: /blog/second.html").await;
    demo.serves("blog/second.html", 200, "second").await;

    let renamed = demo.origin.join("blog/renamed.html");
    std::fs::rename(demo.origin.join("blog/first.html"), renamed).unwrap();
    demo.serves("blog/first.html", 404, "").await;
    demo.serves("blog/renamed.html", 200, "First").await;

    std::fs::remove_file(demo.origin.join("style.css")).unwrap();
    demo.serves("style.css", 404, "").await;

    let pid = demo.child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().await;
    assert!(sent.unwrap().success());
    let ended = tokio::time::timeout(LIMIT, demo.child.wait()).await;
    assert_eq!(
        ended.expect("Ctrl-C ends the demo").unwrap().code(),
        Some(0)
    );
    assert_eq!(
        std::fs::read_dir(temporary.path()).unwrap().count(),
        0,
        "the demo's directory goes with it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_ones_own_is_served_and_kept() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let temporary = tempfile::tempdir().unwrap();
    let own = tempfile::tempdir().unwrap();
    std::fs::write(own.path().join("page.txt"), "one").unwrap();
    let mut demo = Demo::start(temporary.path(), &[own.path().to_str().unwrap()]).await;
    demo.serves("page.txt", 200, "one").await;
    std::fs::write(own.path().join("page.txt"), "two").unwrap();
    demo.line("changed: /page.txt").await;
    demo.serves("page.txt", 200, "two").await;
    demo.child.kill().await.unwrap();
    assert!(own.path().join("page.txt").exists());

    let missing = Command::new(env!("CARGO_BIN_EXE_edgepurge"))
        .args(["demo", "/nowhere/at/all"])
        .output()
        .await
        .unwrap();
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
}
