//! What holds on every server.

use std::fs;

use super::between::Fault;
use super::rclone::Rclone;
use super::server::{ACCESS_KEY, Kind, Server};
use super::{ODD, bench, differ, known, list, of_pages, the_seven_are_purged};
use crate::bench::{sh, text, until};

/// A test on each server, by a function that takes the server.
macro_rules! on_every_server {
    ($($test:ident)*) => {
        mod moto {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(super::Kind::Moto).await;
            })*
        }
        mod s3rver {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(super::Kind::S3rver).await;
            })*
        }
    };
}

on_every_server! {
    of_two_thousand_objects_that_rclone_uploads_the_seven_that_differ_are_purged
    keys_that_have_to_be_encoded_are_listed_and_asked_for
    a_bucket_that_refuses_breaks_off_or_loses_a_page_loses_no_change
    a_bucket_that_is_not_there_or_emptied_is_an_alarm_and_purges_nothing
}

async fn of_two_thousand_objects_that_rclone_uploads_the_seven_that_differ_are_purged(kind: Kind) {
    let Some(server) = Server::of(kind).await else {
        return;
    };
    let Some(rclone) = Rclone::of(&server) else {
        return;
    };
    let mut bench = bench(&server.endpoint(), "poll = \"1d\"").await;
    for number in 0..2_000 {
        bench.write(&format!("p/{number:04}.html"), &format!("page {number}"));
    }
    rclone.sync(&bench).await;
    bench.spawn();
    known(&mut bench, 2_000).await;

    // Every object is uploaded again, with another time.
    sh(&bench, "find site -type f -exec touch -d '+1 day' {} +");
    rclone.upload(&bench, "", "", &[]).await;
    bench.rested().await;
    assert_eq!(bench.purges(), Vec::<String>::new());
    assert_eq!(bench.of_origin().await["unchanged"], 2_000);
    // Of some, only the time is written.
    sh(&bench, "touch -d '+2 days' site/p/11??.html");
    rclone.sync(&bench).await;
    bench.rested().await;
    assert_eq!(bench.purges(), Vec::<String>::new());

    differ(&bench);
    rclone.sync(&bench).await;
    let header = ["--header-upload", "Cache-Control: max-age=60"];
    rclone.upload(&bench, "p/0042.html", "p", &header).await;
    bench.rested().await;
    the_seven_are_purged(&bench);
}

async fn keys_that_have_to_be_encoded_are_listed_and_asked_for(kind: Kind) {
    let Some(server) = Server::of(kind).await else {
        return;
    };
    let mut bench = bench(&server.endpoint(), "poll = \"1d\"").await;
    for name in ODD {
        bench.write(name, "page");
    }
    server.sync(&bench, &[]).await;
    bench.spawn();
    known(&mut bench, ODD.len() as u64).await;
    for name in ODD {
        fs::remove_file(bench.site().join(name)).unwrap();
    }
    server.sync(&bench, &["--delete"]).await;
    bench.rested().await;
    for asset in ["/%C3%BC%C3%B1%20x+y.html", "/%2541%25zz.html"] {
        assert!(bench.purges().contains(&asset.to_owned()), "{asset}");
    }
    let left = bench.json(&["check"]).await["buckets"][0]["cost"]["objects"].clone();
    assert_eq!(left, 0);
}

async fn a_bucket_that_refuses_breaks_off_or_loses_a_page_loses_no_change(kind: Kind) {
    let Some((server, between, bench)) = of_pages(kind).await else {
        return;
    };

    // Its policy is turned off for a while, and things change meanwhile.
    between.set(Fault::Denied);
    between.met(&bench, 1).await;
    let text = bench.alarm("bucket").await;
    assert!(text.contains("AccessDenied"), "{text}");
    bench.write("07.html", "changed");
    fs::remove_file(bench.site().join("33.html")).unwrap();
    server.sync(&bench, &["--delete"]).await;
    between.met(&bench, 3).await;
    assert_eq!(bench.purges(), Vec::<String>::new());
    between.set(Fault::None);
    bench.rested().await;
    bench.no_alarm().await;
    assert_eq!(bench.purges(), ["/07.html", "/33.html"]);

    // A listing that ends after its first page, and says that it is whole.
    between.set(Fault::LosesPages);
    between.met(&bench, 3).await;
    bench.rested().await;
    // One that breaks off in the middle of its second page.
    between.set(Fault::CutShort);
    between.met(&bench, 1).await;
    bench.alarm("bucket").await;
    bench.write("02.html", "changed");
    bench.write("40.html", "changed");
    server.sync(&bench, &[]).await;
    between.met(&bench, 6).await;
    between.set(Fault::None);
    bench.rested().await;
    bench.no_alarm().await;
    let expected = ["/02.html", "/07.html", "/33.html", "/40.html"];
    assert_eq!(bench.purges(), expected);
}

async fn a_bucket_that_is_not_there_or_emptied_is_an_alarm_and_purges_nothing(kind: Kind) {
    let Some((server, between, bench)) = of_pages(kind).await else {
        return;
    };
    for number in 0..40 {
        fs::remove_file(bench.site().join(format!("{number:02}.html"))).unwrap();
    }
    // The client deletes one after the other: no listing sees only some of them gone.
    between.set(Fault::Denied);
    between.met(&bench, 1).await;
    server.sync(&bench, &["--delete"]).await;
    between.set(Fault::None);
    list(&bench).await;
    let text = bench.alarm("loss").await;
    assert!(text.contains("40 objects"), "{text}");
    assert_eq!(bench.purges(), Vec::<String>::new());
    server.delete_bucket().await;
    list(&bench).await;
    let text = bench.alarm("bucket").await;
    assert!(text.contains("NoSuchBucket"), "{text}");
    assert_eq!(bench.purges(), Vec::<String>::new());
    server.make_bucket().await;
    for number in 0..45 {
        bench.write(&format!("{number:02}.html"), "page");
    }
    server.sync(&bench, &[]).await;
    until("the loss is over", async || {
        list(&bench).await;
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

/// What the server itself refuses.
#[tokio::test(flavor = "multi_thread")]
async fn an_access_key_that_is_wrong_is_an_alarm_until_it_is_replaced() {
    let Some(server) = Server::of(Kind::S3rver).await else {
        return;
    };
    let mut bench = bench(&server.endpoint(), "poll = \"1s\"").await;
    bench.write("a.html", "page");
    server.sync(&bench, &[]).await;
    bench.spawn();
    known(&mut bench, 1).await;
    let key = bench.path("access_key");
    fs::write(&key, "SCWYYYYYYYYYYYYYYYYY").unwrap();
    let told = bench.alarm("bucket").await;
    assert!(told.contains("InvalidAccessKeyId"), "{told}");
    let check = bench.run(&["check", "--online"]).await;
    let told = text(&check.stderr);
    assert!(told.contains("InvalidAccessKeyId"), "{told}");
    bench.write("a.html", "changed");
    server.sync(&bench, &[]).await;
    fs::write(&key, ACCESS_KEY).unwrap();
    bench.rested().await;
    bench.no_alarm().await;
    assert_eq!(bench.purges(), ["/a.html"]);
}
