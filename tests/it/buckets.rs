//! A pipeline whose origin is a bucket: the real binary beside a real server (moto), which a real client (the AWS
//! CLI) uploads to.

mod between;
mod commands;
mod named;
mod server;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use secrecy::ExposeSecret as _;

use edgepurge::sandbox::{self, ACCESS_KEY, Operation};

use crate::bench::{BUCKET, Bench, until};
use crate::verify;
use between::{Between, Fault};
use server::Server;

/// A daemon whose origin is the bucket, as it is reached there.
async fn bench(endpoint: &str, origin: &str) -> Bench {
    let mut bench = Bench::new().await;
    reach(&mut bench, endpoint, origin, server::ACCESS_KEY);
    bench
}

/// Has the daemon list the bucket at that endpoint, with this access key.
fn reach(bench: &mut Bench, endpoint: &str, origin: &str, access_key: &str) {
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

/// Waits until the daemon has listed everything once, and knows every object's headers.
async fn known(bench: &mut Bench, objects: u64) {
    bench
        .started(|origin| {
            origin["indexed_files"] == objects && origin["bucket"]["unread_headers"] == 0
        })
        .await;
}

/// The pages of [`of_pages`].
const PAGES: u64 = 45;

/// A daemon that knows a bucket of some pages and lists it every second, through what has faults; `None`
/// where this machine has no server.
async fn of_pages() -> Option<(Server, Between, Bench)> {
    let server = Server::start().await?;
    let between = Between::start(server.endpoint()).await;
    let mut bench = bench(&between.endpoint(), "poll = \"1s\"").await;
    for number in 0..PAGES {
        bench.write(&format!("{number:02}.html"), "page");
    }
    server.sync(&bench, &[]).await;
    bench.spawn();
    known(&mut bench, PAGES).await;
    Some((server, between, bench))
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

    for number in [3, 700, 1_999] {
        bench.write(&format!("p/{number:04}.html"), "another page");
    }
    bench.write("p/0999b.html", "a new page");
    bench.write("new/üñ x+y.html", "a new page in a new folder");
    fs::remove_file(bench.site().join("p/1000.html")).unwrap();
    server.sync(&bench, &["--delete"]).await;
    server.set_header("p/0042.html", "max-age=60").await;
    bench.rested().await;
    let mut expected = [
        "/p/0003.html",
        "/p/0042.html",
        "/p/0700.html",
        "/p/0999b.html",
        "/p/1000.html",
        "/p/1999.html",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut purges = bench.purges();
    // One file, and the spellings that browsers send.
    let odd: Vec<String> = purges
        .extract_if(.., |asset| asset.starts_with("/new/"))
        .collect();
    assert!(
        odd.contains(&"/new/%C3%BC%C3%B1%20x+y.html".to_owned()),
        "{odd:?}"
    );
    expected.sort();
    assert_eq!(purges, expected);

    // And nothing after that, also over a restart.
    let before = bench.purges();
    assert_eq!(bench.terminate().await, Some(0));
    bench.spawn();
    known(&mut bench, 2_001).await;
    bench.rested().await;
    assert_eq!(bench.purges(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_refuses_breaks_off_or_loses_a_page_loses_no_change() {
    let Some((server, between, bench)) = of_pages().await else {
        return;
    };

    // Its policy is turned off for a while, and things change meanwhile.
    between.set(Fault::Denied);
    let text = bench.alarm("bucket").await;
    assert!(text.contains("AccessDenied"), "{text}");
    bench.write("07.html", "changed");
    fs::remove_file(bench.site().join("33.html")).unwrap();
    server.sync(&bench, &["--delete"]).await;
    between.met(3).await;
    assert_eq!(bench.purges(), Vec::<String>::new());
    between.set(Fault::None);
    bench.no_alarm().await;
    bench.rested().await;
    assert_eq!(bench.purges(), ["/07.html", "/33.html"]);

    // A listing that ends after its first page, and says that it is whole.
    between.set(Fault::LosesPages);
    between.met(3).await;
    bench.rested().await;
    // One that breaks off in the middle of its second page.
    between.set(Fault::CutShort);
    bench.alarm("bucket").await;
    bench.write("02.html", "changed");
    bench.write("40.html", "changed");
    server.sync(&bench, &[]).await;
    between.met(6).await;
    between.set(Fault::None);
    bench.no_alarm().await;
    bench.rested().await;
    let expected = ["/02.html", "/07.html", "/33.html", "/40.html"];
    assert_eq!(bench.purges(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_there_or_emptied_is_an_alarm_and_purges_nothing() {
    let Some((server, between, bench)) = of_pages().await else {
        return;
    };
    for number in 0..40 {
        fs::remove_file(bench.site().join(format!("{number:02}.html"))).unwrap();
    }
    // The client deletes one after the other: no listing sees only some of them gone.
    between.set(Fault::Denied);
    between.met(1).await;
    server.sync(&bench, &["--delete"]).await;
    between.set(Fault::None);
    let text = bench.alarm("loss").await;
    assert!(text.contains("40 objects"), "{text}");
    assert_eq!(bench.purges(), Vec::<String>::new());
    server.delete_bucket().await;
    let text = bench.alarm("bucket").await;
    assert!(text.contains("NoSuchBucket"), "{text}");
    assert_eq!(bench.purges(), Vec::<String>::new());
    server.make_bucket().await;
    for number in 0..45 {
        bench.write(&format!("{number:02}.html"), "page");
    }
    server.sync(&bench, &[]).await;
    until("the loss is over", async || {
        let status = bench.status().await;
        (status["alarms"] == serde_json::json!([])).then_some(())
    })
    .await;
    // They were missing, so that an edge may have kept the 404.
    bench.rested().await;
    let purges = bench.purges();
    for number in 0..40 {
        assert!(purges.contains(&format!("/{number:02}.html")), "{purges:?}");
    }
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
    let Some((server, _between, mut bench)) = of_pages().await else {
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
    let between = Between::start(server.endpoint()).await;
    let mut bench = bench(&between.endpoint(), "poll = \"1d\"").await;
    for number in 0..35 {
        bench.write(&format!("{number:02}.html"), "page");
    }
    let odd = [
        "üñ x+y.html",
        "a&b=c;d.html",
        "~'(1)*!$@:,.html",
        "%41%zz.html",
        "日本/語.html",
    ];
    for name in odd {
        bench.write(name, "page");
    }
    server.sync(&bench, &[]).await;
    bench.spawn();
    known(&mut bench, 35 + odd.len() as u64).await;
    let calls = between.calls();
    for part in ["HEAD ", "GET ", "continuation-token", "%2541%25zz.html"] {
        assert!(
            calls.iter().any(|call| call.contains(part)),
            "{part}: {calls:#?}"
        );
    }
    let secret = bench.sandbox.secret_key().expose_secret().to_owned();
    assert_eq!(
        server.wrongly_signed(&calls, &secret).await,
        Vec::<String>::new()
    );
    let wrong = server.wrongly_signed(&calls, "another secret key").await;
    assert_eq!(wrong.len(), calls.len(), "the judge knows a wrong one");
}
