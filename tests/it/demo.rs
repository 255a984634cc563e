//! `edgepurge demo`: what a stranger sees in the first five minutes.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::bench::{LIMIT, until};

mod fleet;

struct Demo {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    origin: PathBuf,
    edge: String,
    api: String,
    key: String,
    config: PathBuf,
    page: String,
    /// What is shown to be typed.
    shown: Vec<String>,
    token: String,
}

impl Demo {
    async fn start(temporary: &Path, arguments: &[&str]) -> Self {
        Self::start_with(temporary, arguments, &[]).await
    }

    async fn start_with(temporary: &Path, arguments: &[&str], set: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_edgepurge"))
            .arg("demo")
            .args(arguments)
            .env_clear()
            .env("TMPDIR", temporary)
            .envs(set.iter().copied())
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
            api: String::new(),
            key: String::new(),
            config: PathBuf::new(),
            page: String::new(),
            shown: Vec::new(),
            token: String::new(),
        };
        let last = |line: String| line.split_whitespace().last().unwrap().to_owned();
        demo.page = last(demo.line("page ").await);
        let token = demo.line("log in ").await;
        let token = token.split_whitespace().nth(3).unwrap();
        demo.token = token.trim_end_matches(',').to_owned();
        let origin = demo.line("origin ").await;
        demo.origin = origin.split_whitespace().last().unwrap().into();
        let edge = demo.line("edge ").await;
        demo.edge = edge.split_whitespace().nth(1).unwrap().to_owned();
        demo.api = last(demo.line("API ").await);
        demo.key = last(demo.line("key ").await);
        demo.config = last(demo.line("config ").await).into();
        loop {
            let line = demo.line("").await;
            if line.contains("Ctrl-C ends the demo") {
                break;
            }
            demo.shown.push(line);
        }
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

    /// Runs another command with the demo's configuration.
    async fn run(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(env!("CARGO_BIN_EXE_edgepurge"))
            .arg("--config")
            .arg(&self.config)
            .args(arguments)
            .env_clear()
            .output()
            .await
            .unwrap()
    }

    /// What the demo's API answers to a client with this key.
    async fn lists(&self, key: &str) -> u16 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/edge-services/v1beta1/purge-requests", self.api);
        let request = client.get(url).header("X-Auth-Token", key);
        request.send().await.unwrap().status().as_u16()
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
async fn what_it_shows_to_be_tried_works_as_it_is_pasted_and_the_page_is_there() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let parent = tempfile::tempdir().unwrap();
    let temporary = parent.path().join("it's a place");
    std::fs::create_dir(&temporary).unwrap();
    let demo = Demo::start(&temporary, &[]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let page = client.get(&demo.page).send().await.unwrap();
    assert_eq!(page.status().as_u16(), 200);
    assert!(page.text().await.unwrap().contains("<html"));

    let commands = { demo.shown.iter() }.filter(|line| {
        ["echo ", "curl "].iter().any(|one| line.starts_with(one)) || line.contains(" --config ")
    });
    let mut tried = Vec::new();
    for line in commands {
        // That one goes on until it is ended.
        let line = line.replace("status --watch", "status");
        let pasted = Command::new("sh").args(["-c", &line]).output().await;
        let pasted = pasted.unwrap();
        assert!(pasted.status.success(), "{line}: {pasted:?}");
        tried.push(line);
    }
    for word in ["echo ", "curl ", " status", " explain /", " purge "] {
        let found = tried.iter().any(|line| line.contains(word));
        assert!(found, "{word}: {:#?}", demo.shown);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_bucket_exactly_the_object_that_changed_is_purged() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(temporary.path(), &["--bucket"]).await;
    for path in ["", "blog/", "style.css", "blog/first.html", "missing.html"] {
        demo.fetch(path).await;
    }
    let shown = demo.shown.iter().find(|line| line.starts_with("echo "));
    let pasted = Command::new("sh").args(["-c", shown.unwrap()]).output();
    let pasted = pasted.await.unwrap();
    assert!(pasted.status.success(), "{pasted:?}");
    demo.line("changed: / /index.html").await;
    demo.line("purging").await;
    demo.line("fresh").await;
    demo.serves("", 200, "<h1>Fresh</h1>").await;

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let bucket = demo.origin.to_str().unwrap().to_owned();
    let style = client.put(format!("{bucket}/style.css")).body("h1 {}");
    assert_eq!(style.send().await.unwrap().status(), 200);
    demo.line("changed: /style.css").await;
    demo.serves("style.css", 200, "h1 {}").await;
    let gone = client.delete(format!("{bucket}/blog/first.html"));
    assert_eq!(gone.send().await.unwrap().status(), 204);
    demo.line("gone: /blog/first.html").await;
    demo.serves("blog/first.html", 404, "").await;

    let list = demo.run(&["--format", "json", "requests", "list"]).await;
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let requests = list["purge_requests"].as_array().unwrap();
    let mut assets: Vec<&str> = requests
        .iter()
        .flat_map(|request| request["assets"].as_array().unwrap())
        .map(|asset| asset.as_str().unwrap())
        .collect();
    assets.sort_unstable();
    let expected = ["/", "/blog/first.html", "/index.html", "/style.css"];
    assert_eq!(assets, expected, "{list}");
    for arguments in [
        &["check", "--online"][..],
        &["scan", "demo", "--apply"],
        &["status", "demo"],
        &["explain", "/"],
        // No alarm: the demo's own configuration is right for its bucket.
        &["status", "--check"],
    ] {
        let output = demo.run(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    let status = demo.run(&["status", "demo"]).await;
    let said = String::from_utf8(status.stdout).unwrap();
    let says = "the bucket is a website: index.html at every level, 404.html for what is missing";
    assert!(said.contains(says), "{said}");
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

#[tokio::test(flavor = "multi_thread")]
async fn every_command_and_every_client_can_be_tried_against_it() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let temporary = tempfile::tempdir().unwrap();
    let demo = Demo::start(temporary.path(), &[]).await;
    assert_eq!(demo.lists(&demo.key).await, 200);
    assert_eq!(demo.lists("no key of it").await, 401);

    let pipeline = "11111111-1111-4111-8111-111111111111";
    let other = "22222222-2222-4222-8222-222222222222";
    let create = ["requests", "create", "--wait", "--asset", "/a.css"];
    for arguments in [
        &["check", "--online"][..],
        &[&create[..], &["--pipeline-id", pipeline]].concat(),
        &["requests", "list"],
        &["purge", "demo", "/b.css", "--wait"],
        &["wait", "demo"],
        &["status"],
    ] {
        let output = demo.run(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    // The API does not know it: that comes from the API, through the daemon.
    let unknown = demo
        .run(&[&create[..], &["--pipeline-id", other]].concat())
        .await;
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
    let told = String::from_utf8(unknown.stderr).unwrap();
    assert!(told.contains("answered 404"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_given_is_the_sandbox_s_and_is_not_repeated() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let key = "9f0c8f2a-5d5e-4c53-9d3c-2f6f3c0e7a11";
    let temporary = tempfile::tempdir().unwrap();
    let set = [("SCW_SECRET_KEY", key)];
    let demo = Demo::start_with(temporary.path(), &[], &set).await;
    assert_eq!(demo.key, "SCW_SECRET_KEY");
    assert_eq!(demo.lists(key).await, 200);
    drop(demo);

    let home = tempfile::tempdir().unwrap();
    let run = async |file: &str| {
        let config = home.path().join("config.toml");
        let text = format!(
            "[scaleway]\napi_url = \"sandbox\"\n{file}\n[state]\ndirectory = \"{home}/state\"\n\
             [admin]\nlisten = \"off\"\nsocket = \"{home}/admin.sock\"\n\
             [[pipeline]]\nname = \"www\"\nid = \"11111111-1111-4111-8111-111111111111\"\n",
            home = home.path().display()
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_edgepurge"))
            .arg("--config")
            .arg(&config)
            .arg("run")
            .env_clear()
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let told = tokio::time::timeout(LIMIT, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("the sandbox's API is at http://127.0.0.1:") {
                    return line;
                }
            }
            panic!("it ended before it said where its API is");
        });
        let told = told.await.unwrap();
        child.kill().await.unwrap();
        told
    };
    let made = run("").await;
    let last = made.split_whitespace().last().unwrap();
    assert!(uuid::Uuid::parse_str(last).is_ok(), "{made}");
    let file = home.path().join("key");
    std::fs::write(&file, key).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).unwrap();
    let given = run(&format!("secret_key_file = \"{}\"", file.display())).await;
    assert!(given.contains(&file.display().to_string()), "{given}");
    assert!(!given.contains(key), "{given}");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_page_is_the_first_thing_it_names_and_its_three_commands_work() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(temporary.path(), &[]).await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    std::fs::write(demo.origin.join("index.html"), "<h1>Fresh</h1>").unwrap();
    demo.line("fresh").await;
    let page = client.get(&demo.page).send().await.unwrap();
    let page = page.text().await.unwrap();
    assert!(
        page.contains(">demo</a>") && page.contains("index.html"),
        "{page}"
    );

    let log_in = async |token: &str| {
        let form = client.post(format!("{}login", demo.page));
        let form = form.header("sec-fetch-site", "same-origin");
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        let sent = form
            .body(format!("token={}", token.replace(' ', "+")))
            .send()
            .await
            .unwrap();
        sent.status().as_u16()
    };
    assert_eq!(log_in(&demo.token).await, 303);
    assert_eq!(log_in("another token of many bytes").await, 401);

    let status = demo.run(&["status"]).await;
    assert!(status.status.success(), "{status:?}");
    let explained = demo.run(&["explain", "/"]).await;
    let said = String::from_utf8(explained.stdout).unwrap();
    assert!(
        said.contains("stands for index.html") && said.contains("done"),
        "{said}"
    );
}
