//! Objects that are named by events of the bucket, or by a deploy tool: they are looked at, and nothing is listed.

use std::collections::BTreeSet;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::server::{Kind, Server};
use super::{PAGES, known, of_pages, put, reach};
use crate::bench::{BUCKET, Bench, text, until};
use crate::webhooks::{SECRET, address, post, with_route};
use edgepurge::sandbox::{ACCESS_KEY, Operation};

/// A daemon with a route, beside a bucket of the sandbox that has these objects; their headers are known.
async fn started(kind: &str, lines: &str, origin: &str, keys: &[String]) -> Bench {
    let mut bench = Bench::new().await;
    let endpoint = bench.sandbox.storage_url().unwrap();
    reach(
        &mut bench,
        &endpoint,
        &format!("poll = \"1d\"\n{origin}"),
        ACCESS_KEY,
    );
    with_route(&mut bench, kind, lines, "");
    for key in keys {
        put(&bench, key, "page");
    }
    bench.spawn();
    known(&mut bench, keys.len() as u64).await;
    bench
}

fn pages(count: usize) -> Vec<String> {
    (0..count).map(|page| format!("p/{page:04}.html")).collect()
}

/// An event of `MinIO` about these keys, which it writes as forms are.
fn event(keys: &[&str]) -> Value {
    let record = |key: &&str| {
        let encode = |byte| match byte {
            b' ' => "+".to_owned(),
            b'a'..=b'z' | b'0'..=b'9' | b'.' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        let key: String = key.bytes().map(encode).collect();
        json!({
            "eventName": "s3:ObjectCreated:Put",
            "eventSource": "minio:s3",
            "s3": { "bucket": { "name": BUCKET }, "object": { "key": key } },
        })
    };
    let records: Vec<Value> = keys.iter().map(record).collect();
    json!({ "EventName": "s3:ObjectCreated:Put", "Records": records })
}

/// Sends a delivery, and waits until all that it asked for is done.
async fn deliver(bench: &Bench, body: &Value) {
    let address = address(bench).await;
    let answer = post(&address, body).await.unwrap();
    let event = crate::webhooks::event(&answer);
    crate::webhooks::becomes(&address, &event, "done").await;
}

/// The calls to the bucket of the sandbox since so many.
fn calls(bench: &Bench, since: usize, operation: Operation) -> Vec<String> {
    let calls = bench.sandbox.calls().into_iter().skip(since);
    let calls = calls.filter(|call| call.operation == Some(operation));
    calls.map(|call| call.path).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_thousand_objects_three_are_named_and_only_these_are_asked_for() {
    let odd = "p/a b+c%2Fd.html";
    let mut keys = pages(2_000);
    keys.push(odd.to_owned());
    let bench = started("s3", "", "", &keys).await;
    put(&bench, "p/0007.html", "changed");
    put(&bench, odd, "changed");
    let named = [odd, "p/0007.html", "p/0008.html"];
    let before = bench.sandbox.calls().len();
    deliver(&bench, &event(&named)).await;
    let asked: BTreeSet<String> = calls(&bench, before, Operation::HeadObject)
        .into_iter()
        .collect();
    assert_eq!(asked.len(), named.len(), "{asked:?}");
    let purges: BTreeSet<String> = bench.purges().into_iter().collect();
    assert!(purges.contains("/p/0007.html"), "{purges:?}");
    assert!(purges.contains("/p/a%20b+c%252Fd.html"), "{purges:?}");
    assert!(
        !purges.iter().any(|asset| asset.contains("0008")),
        "{purges:?}"
    );

    // Named again, and one that is gone.
    let count = bench.purges().len();
    deliver(&bench, &event(&named)).await;
    assert_eq!(bench.purges().len(), count);
    bench.sandbox.delete_object(BUCKET, "p/0009.html");
    for _ in 0..2 {
        deliver(&bench, &event(&["p/0009.html", "p/never.html"])).await;
        assert_eq!(bench.purges().len(), count + 1);
    }
    assert!(bench.purges().contains(&"/p/0009.html".to_owned()));
    assert_eq!(
        calls(&bench, before, Operation::ListObjects),
        Vec::<String>::new()
    );

    let bucket = bench.of_origin().await["bucket"].clone();
    assert_eq!(bucket["named_total"], 10, "{bucket}");
    let status = text(&bench.run(&["status", "www"]).await.stdout);
    assert!(
        status.contains("looked at 10 objects that webhooks named"),
        "{status}"
    );
    let why = text(&bench.run(&["explain", "/p/0009.html"]).await.stdout);
    assert!(why.contains("named by a webhook"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_names_than_are_looked_at_are_one_listing() {
    let bench = started("s3", "", "", &pages(20)).await;
    put(&bench, "p/0003.html", "changed");
    put(&bench, "unnamed.html", "new");
    let many = pages(1_001);
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let before = bench.sandbox.calls().len();
    deliver(&bench, &event(&many)).await;
    assert_eq!(calls(&bench, before, Operation::ListObjects).len(), 1);
    assert_eq!(bench.purges(), ["/p/0003.html", "/unnamed.html"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_a_restart_forgets_become_a_listing() {
    let mut bench = started("s3", "delay = \"1h\"", "", &pages(20)).await;
    put(&bench, "p/0003.html", "changed");
    put(&bench, "unnamed.html", "new");
    let address_ = address(&bench).await;
    let answer = post(&address_, &event(&["p/0003.html"])).await.unwrap();
    let event = crate::webhooks::event(&answer);
    bench.kill().await;
    bench.origin = bench.origin.replace("delay = \"1h\"", "");
    let before = bench.sandbox.calls().len();
    bench.spawn();
    known(&mut bench, 21).await;
    crate::webhooks::becomes(&address(&bench).await, &event, "done").await;
    assert!(!calls(&bench, before, Operation::ListObjects).is_empty());
    assert_eq!(bench.purges(), ["/p/0003.html", "/unnamed.html"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_a_deploy_tool_is_looked_at_below_the_prefix_or_by_whole_keys() {
    let keys: Vec<String> = pages(20).iter().map(|key| format!("site/{key}")).collect();
    let bench = started("generic", "", "prefix = \"site/\"", &keys).await;
    for key in ["site/p/0003.html", "site/p/0004.html", "site/p/0005.html"] {
        put(&bench, key, "changed");
    }
    let list = bench.path("list");
    std::fs::write(&list, "p/0003.html\nsite/p/0004.html\n\np/0006.html\r\n").unwrap();
    let url = format!("http://{}/hooks/www", address(&bench).await);
    let before = bench.sandbox.calls().len();
    let notify = async |from: &str, input: std::process::Stdio| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_edgepurge"));
        let arguments = ["notify", &url, "--wait", "--paths-from", from];
        command.args(arguments).env_clear().stdin(input);
        command.env("EDGEPURGE_TOKEN", SECRET).kill_on_drop(true);
        let output = tokio::time::timeout(crate::bench::LIMIT, command.output());
        output.await.expect("it ends in time").unwrap()
    };
    let input = std::fs::File::open(&list).unwrap();
    let output = notify("-", input.into()).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(bench.purges(), ["/p/0003.html", "/p/0004.html"]);
    assert_eq!(
        calls(&bench, before, Operation::ListObjects),
        Vec::<String>::new()
    );

    // What is nowhere may be a folder: its objects are found.
    put(&bench, "site/new/a.html", "new");
    std::fs::write(&list, "new\n").unwrap();
    let output = notify(list.to_str().unwrap(), std::process::Stdio::null()).await;
    assert!(output.status.success(), "{output:?}");
    let purges = [
        "/new/a.html",
        "/p/0003.html",
        "/p/0004.html",
        "/p/0005.html",
    ];
    assert_eq!(bench.purges(), purges);

    // A list that is empty may be lost.
    put(&bench, "site/p/0007.html", "changed");
    let output = notify("-", std::process::Stdio::null()).await;
    assert!(output.status.success(), "{output:?}");
    assert!(bench.purges().contains(&"/p/0007.html".to_owned()));
    let missing = notify("/nowhere", std::process::Stdio::null()).await;
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_bucket_a_directory_is_scanned_for_what_is_named() {
    let mut bench = Bench::new().await;
    let endpoint = bench.sandbox.storage_url().unwrap();
    let directory = format!(
        "poll = \"1d\"\n[[pipeline.origin]]\nname = \"files\"\nurl_prefix = \"/files/\"\nwatch = \"off\"\n\
         root = \"{}\"\n",
        bench.site().display()
    );
    reach(&mut bench, &endpoint, &directory, ACCESS_KEY);
    with_route(&mut bench, "s3", "", "");
    bench.write("a.css", "one");
    put(&bench, "p.html", "page");
    put(&bench, "unnamed.html", "page");
    bench.start().await;
    until("the headers are known", async || {
        let status = bench.status().await;
        let mut origins = status["pipelines"][0]["origins"].as_array()?.iter();
        let known = |origin: &Value| {
            origin["bucket"]["unread_headers"] == 0 && origin["indexed_files"] == 2
        };
        origins.any(known).then_some(())
    })
    .await;
    bench.write("a.css", "two");
    put(&bench, "p.html", "changed");
    put(&bench, "unnamed.html", "changed");
    let before = bench.sandbox.calls().len();
    deliver(&bench, &event(&["a.css", "p.html"])).await;
    assert_eq!(bench.purges(), ["/files/a.css", "/p.html"]);
    assert_eq!(
        calls(&bench, before, Operation::ListObjects),
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_refuses_what_is_named_is_listed_once_it_allows_it() {
    let bench = started("s3", "", "", &pages(20)).await;
    put(&bench, "p/0003.html", "changed");
    let denied = edgepurge::sandbox::Fault::Storage {
        status: 403,
        code: "AccessDenied".to_owned(),
    };
    bench.sandbox.script(denied.on(Operation::HeadObject));
    deliver(&bench, &event(&["p/0003.html"])).await;
    assert_eq!(bench.purges(), ["/p/0003.html"]);
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_real_client_uploaded_is_looked_at_by_name_on_a_real_server() {
    let Some((server, between, mut bench)) = of_pages(Kind::Moto).await else {
        return;
    };
    // From here on the daemon lists by itself no more.
    assert_eq!(bench.terminate().await, Some(0));
    bench.origin = "poll = \"1d\"\n".to_owned();
    with_route(&mut bench, "s3", "", "");
    bench.spawn();
    known(&mut bench, PAGES).await;
    let odd = "ü a+b&c.html";
    bench.write("07.html", "changed");
    bench.write(odd, "new");
    std::fs::remove_file(bench.site().join("33.html")).unwrap();
    server.sync(&bench, &["--delete"]).await;
    server.set_header("08.html", "max-age=60").await;
    let before = between.calls().len();
    let named = ["07.html", "08.html", "09.html", "33.html", odd];
    deliver(&bench, &event(&named)).await;
    let calls = between.calls();
    let calls = &calls[before..];
    assert!(
        !calls.iter().any(|call| call.starts_with("GET")),
        "{calls:#?}"
    );
    // A header that is young is asked for again, which is signed anew.
    let head = |call: &String| call.split('?').next().unwrap().to_owned();
    let heads: BTreeSet<String> = calls.iter().map(head).collect();
    assert_eq!(heads.len(), named.len(), "{heads:#?}");
    let purges = bench.purges();
    for asset in ["/07.html", "/08.html", "/33.html", "/%C3%BC%20a+b&c.html"] {
        assert!(purges.contains(&asset.to_owned()), "{asset}: {purges:?}");
    }
    assert!(!purges.contains(&"/09.html".to_owned()), "{purges:?}");
    deliver(&bench, &event(&named)).await;
    assert_eq!(bench.purges(), purges);
    until("the headers are known", async || {
        (bench.of_origin().await["bucket"]["unread_headers"] == 0).then_some(())
    })
    .await;
    assert_eq!(bench.purges(), purges);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_documents_make_of_the_clients_output_names_what_it_changed() {
    let Some(server) = Server::start().await else {
        return;
    };
    let bench = Bench::new().await;
    for page in ["same.html", "changed.html", "gone.html"] {
        bench.write(page, "page");
        // The client compares with the server's whole seconds: what is written in that of its upload seems newer.
        let file = std::fs::File::options()
            .write(true)
            .open(bench.site().join(page));
        let before = std::time::SystemTime::now() - std::time::Duration::from_mins(1);
        file.unwrap().set_modified(before).unwrap();
    }
    server.sync(&bench, &[]).await;
    let odd = "ü a+b&c/d e.html";
    bench.write("changed.html", "another page");
    bench.write(odd, "new");
    std::fs::remove_file(bench.site().join("gone.html")).unwrap();
    let documents = include_str!("../../../docs/buckets.md");
    let recipe = documents
        .lines()
        .find(|line| line.starts_with("aws s3 sync"));
    let recipe = recipe.unwrap().trim_end_matches(['|', ' ']);
    let programs = std::env::var("EDGEPURGE_TEST_S3").unwrap();
    let site = bench.site().display().to_string();
    let aws = format!("{programs}/aws --endpoint-url {}", server.endpoint());
    let line = recipe.replacen("aws", &aws, 1).replacen("build/", &site, 1);
    let output = tokio::process::Command::new("sh")
        .args(["-c", &line])
        .env("AWS_ACCESS_KEY_ID", super::server::ACCESS_KEY)
        .env(
            "AWS_SECRET_ACCESS_KEY",
            bench.sandbox.secret_key().expose_secret(),
        )
        .env("AWS_DEFAULT_REGION", "fr-par")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("LC_ALL", "C.UTF-8")
        .env("NO_PROXY", "127.0.0.1")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(crate::bench::LIMIT, output).await;
    let output = output.expect("it ends in time").unwrap();
    let names = text(&output.stdout);
    let names: BTreeSet<&str> = names.lines().collect();
    assert_eq!(
        names,
        BTreeSet::from(["changed.html", "gone.html", odd]),
        "{output:?}"
    );
}
