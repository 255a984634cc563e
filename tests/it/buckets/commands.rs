//! What the commands say of a bucket: `scan`, `explain`, `check`.

use std::fs;

use super::between::Fault;
use super::{Kind, PAGES, bench, known, of_pages, server};
use crate::bench::{Bench, text};
use server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn scan_and_explain_tell_of_objects_with_the_daemon_and_without() {
    let Some((server, between, mut bench)) = of_pages(Kind::Moto).await else {
        return;
    };
    // The daemon finds nothing meanwhile.
    between.set(Fault::Denied);
    bench.alarm("bucket").await;
    assert_eq!(bench.terminate().await, Some(0));
    between.set(Fault::None);
    bench.write("03.html", "changed");
    bench.write("new.html", "new");
    fs::remove_file(bench.site().join("33.html")).unwrap();
    server.sync(&bench, &["--delete"]).await;
    server.set_header("07.html", "max-age=60").await;
    let found = bench.run(&["scan", "www"]).await;
    assert!(found.status.success(), "{found:?}");
    assert_eq!(
        text(&found.stdout),
        "changed  03.html\nchanged  07.html\ngone     33.html\nnew      new.html\n\
         origin /: 45 files: 1 new, 2 changed, 1 gone; --apply queues that\n"
    );
    assert_eq!(bench.purges(), Vec::<String>::new());

    let output = bench
        .run(&["explain", "03.html", "s3://my-site/a//b"])
        .await;
    let told = text(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for said in [
        "03.html: an object of www, origin /, bucket my-site\n",
        "the built-in mapping purges /03.html\n",
        "a//b: an object of www, origin /, bucket my-site\n  left out, since",
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
    let elsewhere = bench.run(&["explain", "s3://other/03.html"]).await;
    assert_eq!(elsewhere.status.code(), Some(2), "{elsewhere:?}");

    between.set(Fault::Denied);
    let refused = bench.run(&["scan", "www"]).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = text(&refused.stderr);
    assert!(
        told.contains("AccessDenied") && told.contains("ObjectStorageObjectsRead"),
        "{told}"
    );
}

/// `check --online`: its exit code, and what it says.
async fn online(bench: &Bench) -> (Option<i32>, String) {
    let output = bench.run(&["check", "--online"]).await;
    (output.status.code(), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_what_a_bucket_costs_and_whether_it_can_be_read() {
    let Some((server, between, bench)) = of_pages(Kind::Moto).await else {
        return;
    };
    let (code, told) = online(&bench).await;
    assert_eq!(code, Some(0), "{told}");
    for said in [
        "origin /, bucket my-site, listed every 1 s: 45 objects: a listing is 1 call and about 18 kB; 86,400 calls",
        "origin /: bucket my-site can be listed and read\n",
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
    assert!(!told.contains("clock"), "{told}");
    let cost = &bench.json(&["check"]).await["buckets"][0]["cost"];
    assert_eq!(cost["objects"], PAGES);
    assert_eq!(cost["bytes_a_day"], PAGES * 400 * 86_400);

    between.set(Fault::Late);
    let (code, told) = online(&bench).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("s behind that of"), "{told}");

    between.set(Fault::Denied);
    let (code, told) = online(&bench).await;
    assert_eq!(code, Some(78), "{told}");
    assert!(told.contains("ObjectStorageObjectsRead"), "{told}");

    between.set(Fault::None);
    server.delete_bucket().await;
    let (code, told) = online(&bench).await;
    assert_eq!(code, Some(78), "{told}");
    assert!(
        told.contains("NoSuchBucket") && told.contains("correct `bucket`"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_indexed_has_nothing_to_be_compared_with() {
    let Some(server) = Server::start().await else {
        return;
    };
    let mut bench = bench(&server.endpoint(), "poll = \"1d\"").await;
    bench.config();
    let early = bench.run(&["scan", "www"]).await;
    assert_eq!(early.status.code(), Some(75), "{early:?}");
    let (code, told) = online(&bench).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(
        told.contains("bucket my-site can be listed, and has no object"),
        "{told}"
    );
    assert!(told.contains("not indexed yet"), "{told}");
    bench.spawn();
    known(&mut bench, 0).await;
    let empty = bench.run(&["scan", "www"]).await;
    assert_eq!(
        text(&empty.stdout),
        "origin /: 0 files: 0 new, 0 changed, 0 gone\n"
    );
}
