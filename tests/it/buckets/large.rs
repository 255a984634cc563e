//! A bucket that is listed in several ranges at once, by a real server.

use super::bench;
use super::between::{Between, Fault};
use super::server::{Kind, Server};

const OBJECTS: u64 = 21_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_bucket_whose_ranges_break_off_or_end_early_loses_no_change() {
    let Some(server) = Server::of(Kind::S3rver).await else {
        return;
    };
    for number in 0..OBJECTS {
        let (folder, page) = (number / 1_000, number % 1_000);
        server.put(&format!("{folder:02}/{page:03}.html"), "page");
    }
    let between = Between::start(server.endpoint(), 1_000).await;
    let mut bench = bench(&between.endpoint(), "poll = \"1d\"").await;
    bench.spawn();
    bench
        .started(|origin| origin["indexed_files"] == OBJECTS)
        .await;
    let in_ranges = |call: &String| call.contains("start-after");
    assert!(!between.calls().iter().any(in_ranges), "nothing is known");

    // In each of the two ranges, and beside their border.
    for key in ["00/003.html", "10/499.html", "10/501.html", "20/500b.html"] {
        server.put(key, "changed");
    }
    server.delete("05/000.html");
    server.delete("15/000.html");
    // `wait` asks for a listing, which is made again until it is whole.
    for fault in [Fault::CutShort, Fault::LosesPages] {
        between.set(fault);
        let mended = async {
            between.met(&bench, 2).await;
            between.set(Fault::None);
        };
        tokio::join!(bench.rested(), mended);
    }
    assert!(between.calls().iter().any(in_ranges));
    let expected = [
        "/00/003.html",
        "/05/000.html",
        "/10/499.html",
        "/10/501.html",
        "/15/000.html",
        "/20/500b.html",
    ];
    assert_eq!(bench.purges(), expected);
    bench.no_alarm().await;
}
