//! A pipeline whose origin is a bucket: the real binary beside real servers (moto, s3rver), which real clients (the
//! AWS CLI, rclone) upload to; and beside a bucket of the sandbox.

mod between;
mod commands;
mod every;
mod large;
mod many;
mod named;
mod rclone;
mod server;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use secrecy::SecretString;

use edgepurge::sandbox::{self, ACCESS_KEY, Operation, Sandbox};

use crate::bench::{BUCKET, Bench, until};
use crate::verify;
use between::Between;
use server::{Kind, SECRET_KEY, Server};

/// A daemon whose origin is the bucket, as it is reached there.
async fn bench(endpoint: &str, origin: &str) -> Bench {
    let mut bench = Bench::new().await;
    bench.sandbox.set_secret_key(SecretString::from(SECRET_KEY));
    reach(&mut bench, endpoint, origin, server::ACCESS_KEY);
    bench
}

/// Has the daemon list the bucket at that endpoint, with this access key.
pub(crate) fn reach(bench: &mut Bench, endpoint: &str, origin: &str, access_key: &str) {
    let key = bench.path("access_key");
    fs::write(&key, access_key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    bench.scaleway = format!("access_key_file = \"{}\"", key.display());
    bench.place = Some(format!(
        "bucket = \"{BUCKET}\"\nregion = \"fr-par\"\nendpoint = \"{endpoint}\"\n"
    ));
    origin.clone_into(&mut bench.origin);
}

/// A daemon that knows [`PAGES`] pages in the bucket of the sandbox, and lists them when it is asked to.
async fn of_the_sandbox() -> Bench {
    let mut bench = Bench::new().await;
    let endpoint = bench.sandbox.storage_url().unwrap();
    reach(&mut bench, &endpoint, "poll = \"1d\"", ACCESS_KEY);
    for number in 0..PAGES {
        put(&bench, &format!("{number:02}.html"), "page");
    }
    bench.spawn();
    known(&mut bench, PAGES).await;
    bench
}

fn put(bench: &Bench, key: &str, body: &str) {
    assert!(bench.sandbox.put_object(BUCKET, key, body.as_bytes(), &[]));
}

/// How many pages of listings the sandbox was asked for.
fn listings(sandbox: &Sandbox) -> usize {
    let calls = sandbox.calls().into_iter();
    calls
        .filter(|call| call.operation == Some(Operation::ListObjects))
        .count()
}

/// Waits until the daemon has listed everything once, and knows every object's headers.
async fn known(bench: &mut Bench, objects: u64) {
    bench
        .started(|origin| {
            origin["indexed_files"] == objects && origin["bucket"]["unread_headers"] == 0
        })
        .await;
}

/// Keys that have to be encoded, in a listing or in a call.
const ODD: [&str; 5] = [
    "üñ x+y.html",
    "a&b=c;d.html",
    "~'(1)*!$@:,.html",
    "%41%zz.html",
    "日本/語.html",
];

/// Asks for a listing, and waits a second for what comes of it. Where a listing takes long, the next one that is
/// not asked for comes late.
async fn list(bench: &Bench) {
    bench.run(&["wait", "www", "--timeout", "1s"]).await;
}

/// The pages of [`of_pages`].
const PAGES: u64 = 45;

/// A daemon that knows a bucket of some pages and lists it every second, through what has faults; `None`
/// where this machine has no server.
async fn of_pages(kind: Kind) -> Option<(Server, Between, Bench)> {
    let server = Server::of(kind).await?;
    let between = Between::start(server.endpoint(), 30).await;
    let mut bench = bench(&between.endpoint(), "poll = \"1s\"").await;
    for number in 0..PAGES {
        bench.write(&format!("{number:02}.html"), "page");
    }
    server.sync(&bench, &[]).await;
    bench.spawn();
    known(&mut bench, PAGES).await;
    Some((server, between, bench))
}

/// Makes the site differ from two thousand pages that were uploaded, in six files.
fn differ(bench: &Bench) {
    for number in [3, 700, 1_999] {
        bench.write(&format!("p/{number:04}.html"), "another page");
    }
    bench.write("p/0999b.html", "a new page");
    bench.write("new/üñ x+y.html", "a new page in a new folder");
    fs::remove_file(bench.site().join("p/1000.html")).unwrap();
}

/// Exactly these are purged: what [`differ`] made, and the page 42, which has other headers.
fn the_seven_are_purged(bench: &Bench) {
    let mut purges = bench.purges();
    // One file, and the spellings that browsers send.
    let odd: Vec<String> = purges
        .extract_if(.., |asset| asset.starts_with("/new/"))
        .collect();
    assert!(
        odd.contains(&"/new/%C3%BC%C3%B1%20x+y.html".to_owned()),
        "{odd:?}"
    );
    let expected = [
        "/p/0003.html",
        "/p/0042.html",
        "/p/0700.html",
        "/p/0999b.html",
        "/p/1000.html",
        "/p/1999.html",
    ];
    assert_eq!(purges, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_thousand_objects_the_seven_that_differ_are_purged() {
    let Some(server) = Server::start().await else {
        return;
    };
    let mut bench = bench(&server.endpoint(), "poll = \"1d\"").await;
    for number in 0..2_000 {
        bench.write(&format!("p/{number:04}.html"), &format!("page {number}"));
    }
    server.sync(&bench, &[]).await;
    bench.spawn();
    known(&mut bench, 2_000).await;
    assert_eq!(bench.purges(), Vec::<String>::new());

    // The client uploads every object again, so that all times are others.
    server.upload(&bench).await;
    bench.rested().await;
    assert_eq!(bench.purges(), Vec::<String>::new());
    assert_eq!(bench.of_origin().await["unchanged"], 2_000);

    differ(&bench);
    server.sync(&bench, &["--delete"]).await;
    server.set_header("p/0042.html", "max-age=60").await;
    bench.rested().await;
    the_seven_are_purged(&bench);

    // And nothing after that, also over a restart.
    let before = bench.purges();
    assert_eq!(bench.terminate().await, Some(0));
    bench.spawn();
    known(&mut bench, 2_001).await;
    bench.rested().await;
    assert_eq!(bench.purges(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_it_is_listed_is_purged_and_nothing_else_is() {
    let bench = of_the_sandbox().await;
    // Behind the listing, before it, and in the page that was just listed.
    let changes = vec![
        ("44.html".to_owned(), Some(b"changed".to_vec())),
        ("00.html".to_owned(), Some(b"changed".to_vec())),
        ("17.html".to_owned(), None),
        ("17b.html".to_owned(), Some(b"new".to_vec())),
    ];
    let meanwhile = sandbox::Fault::Meanwhile(changes);
    bench.sandbox.script(meanwhile.on(Operation::ListObjects));
    bench.rested().await;
    bench.rested().await;
    let expected = ["/00.html", "/17.html", "/17b.html", "/44.html"];
    assert_eq!(bench.purges(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_a_crash_ends_halfway_loses_nothing() {
    let mut bench = of_the_sandbox().await;
    put(&bench, "03.html", "changed");
    put(&bench, "44.html", "changed");
    put(&bench, "44b.html", "new");
    bench.sandbox.delete_object(BUCKET, "17.html");
    // The second page does not come.
    for fault in [
        sandbox::Fault::Delay(std::time::Duration::ZERO),
        sandbox::Fault::Hang,
    ] {
        bench.sandbox.script(fault.on(Operation::ListObjects));
    }
    let before = listings(&bench.sandbox);
    let mut waiting = bench.command(&["wait", "www"]);
    let waiting = waiting.stderr(Stdio::null()).spawn().unwrap();
    until("the second page is asked for", async || {
        (listings(&bench.sandbox) == before + 2).then_some(())
    })
    .await;
    bench.kill().await;
    drop(waiting);
    bench.spawn();
    known(&mut bench, PAGES).await;
    bench.rested().await;
    let expected = ["/03.html", "/17.html", "/44.html", "/44b.html"];
    assert_eq!(bench.purges(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_slow_busy_or_breaks_off_is_asked_again() {
    let bench = of_the_sandbox().await;
    put(&bench, "31.html", "changed");
    let busy = || sandbox::Fault::Storage {
        status: 503,
        code: "SlowDown".to_owned(),
    };
    for fault in [
        sandbox::Fault::Delay(std::time::Duration::from_millis(500)),
        sandbox::Fault::DropBeforeAccept,
        sandbox::Fault::Corrupt,
        busy(),
    ] {
        bench.sandbox.script(fault.on(Operation::ListObjects));
    }
    bench.sandbox.script(busy().on(Operation::GetWebsite));
    bench.rested().await;
    assert_eq!(bench.purges(), ["/31.html"]);
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_redirects_elsewhere_is_purged_and_its_key_needs_no_extension() {
    let bench = of_the_sandbox().await;
    let redirect = |to: &'static str| {
        let headers = [
            ("x-amz-website-redirect-location", to),
            ("content-type", "text/html"),
        ];
        bench.sandbox.put_object(BUCKET, "about", b"", &headers)
    };
    assert!(redirect("/a"));
    bench.rested().await;
    until("its headers are read", async || {
        (bench.of_origin().await["bucket"]["unread_headers"] == 0).then_some(())
    })
    .await;
    assert!(redirect("/a"));
    bench.rested().await;
    assert_eq!(bench.purges(), ["/about"]);
    assert!(redirect("/b"));
    bench.rested().await;
    assert_eq!(bench.purges(), ["/about", "/about"]);
}

/// An edge that answers everything with the same bytes; they can be set.
async fn edge() -> (String, Arc<Mutex<&'static str>>) {
    let body = Arc::new(Mutex::new("page"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let bytes = Arc::clone(&body);
    let router = axum::Router::new().fallback(async move || *bytes.lock().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_object_is_compared_with_what_the_edge_has() {
    let Some(server) = Server::start().await else {
        return;
    };
    let (url, bytes) = edge().await;
    let mut bench = bench(&server.endpoint(), "poll = \"1d\"").await;
    verify::verifying(&mut bench, &url, "");
    bench.write("00.html", "page");
    server.sync(&bench, &[]).await;
    bench.spawn();
    known(&mut bench, 1).await;
    // The edge keeps the old bytes, and has the new ones when it is asked once more.
    bench.write("00.html", "other");
    server.sync(&bench, &[]).await;
    bench.rested().await;
    verify::looked(&bench, "/00.html", &["stale"]).await;
    *bytes.lock().unwrap() = "other";
    verify::looked(&bench, "/00.html", &["fresh", "stale"]).await;
    assert_eq!(bench.purges(), ["/00.html", "/00.html"]);
    *bytes.lock().unwrap() = "never seen";
    bench.write("00.html", "third");
    server.sync(&bench, &[]).await;
    bench.rested().await;
    verify::looked(&bench, "/00.html", &["unverified", "fresh", "stale"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_the_bucket_is_served_is_read_at_each_listing_and_what_is_not_purged_is_an_alarm() {
    let Some((server, _between, mut bench)) = of_pages(Kind::Moto).await else {
        return;
    };
    let website = async || bench.of_origin().await["bucket"]["website"].clone();
    assert_eq!(website().await, serde_json::Value::Null);
    server.make_website("home.html", "oops.html").await;
    bench.rested().await;
    let expected = serde_json::json!({"index": "home.html", "error": "oops.html", "rules": false});
    assert_eq!(website().await, expected);
    assert!(bench.log().contains("served in another way than before"));
    let text = bench.alarm("website").await;
    for part in [
        "home.html answers for its folder, which is not purged with it: write a [[pipeline.rule]] with match = \
         [\"home.html\", \"**/home.html\"]",
        "oops.html answers for every URL that is missing",
        "match = [\"oops.html\"] and purge = \"all\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let check = bench.run(&["check", "--online"]).await;
    let said = crate::bench::text(&check.stderr);
    for part in [
        "a website: home.html at every level",
        "home.html answers for its folder",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(bench.purges(), Vec::<String>::new());

    // What the alarm says is written.
    bench.origin.push_str(
        "\n[[pipeline.rule]]\nmatch = [\"home.html\", \"**/home.html\"]\npurge = [\"/{path}\", \"/{dir}/\", \"/{dir}\"]\n\
         [[pipeline.rule]]\nmatch = [\"oops.html\"]\npurge = \"all\"\n",
    );
    bench.reload().await;
    known(&mut bench, PAGES).await;
    bench.rested().await;
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_is_signed_as_the_library_of_amazon_signs_it() {
    let Some(server) = Server::start().await else {
        return;
    };
    let between = Between::start(server.endpoint(), 30).await;
    let mut bench = bench(&between.endpoint(), "poll = \"1d\"").await;
    for number in 0..35 {
        bench.write(&format!("{number:02}.html"), "page");
    }
    for name in ODD {
        bench.write(name, "page");
    }
    server.sync(&bench, &[]).await;
    bench.spawn();
    known(&mut bench, 35 + ODD.len() as u64).await;
    let calls = between.calls();
    for part in ["HEAD ", "GET ", "continuation-token", "%2541%25zz.html"] {
        assert!(
            calls.iter().any(|call| call.contains(part)),
            "{part}: {calls:#?}"
        );
    }
    assert_eq!(
        server.wrongly_signed(&calls, SECRET_KEY).await,
        Vec::<String>::new()
    );
    let wrong = server.wrongly_signed(&calls, "another secret key").await;
    assert_eq!(wrong.len(), calls.len(), "the judge knows a wrong one");
}
