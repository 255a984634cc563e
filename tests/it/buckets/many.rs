//! One edgepurge for the buckets of many sites.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use edgepurge::core::change::PipelineId;
use edgepurge::sandbox::{ACCESS_KEY, BucketSettings, PipelineSettings};

use super::{listings, reach};
use crate::bench::{BUCKET, Bench, PIPELINE, until};

const SITES: usize = 60;
const OBJECTS: usize = 50;

/// The bucket of a site: the first is that of the bench.
fn bucket(site: usize) -> String {
    match site {
        0 => BUCKET.to_owned(),
        site => format!("site-{site}"),
    }
}

fn pipeline(site: usize) -> String {
    match site {
        0 => PIPELINE.to_owned(),
        site => format!("{site:08}-0000-4000-8000-000000000000"),
    }
}

/// A daemon with a pipeline for each site, each with a bucket of [`OBJECTS`] objects.
async fn of_many_sites() -> Bench {
    let mut bench = Bench::with(|settings| {
        let buckets = (0..SITES).map(|site| BucketSettings::new(&bucket(site), "fr-par"));
        settings.buckets = buckets.collect();
        let pipelines = (1..SITES).map(|site| PipelineId::new(&pipeline(site)));
        let pipelines = pipelines.map(|id| PipelineSettings::new(id, Path::new("/nonexistent")));
        settings.pipelines.extend(pipelines);
    })
    .await;
    let endpoint = bench.sandbox.storage_url().unwrap();
    reach(&mut bench, &endpoint, "poll = \"1h\"\n", ACCESS_KEY);
    for site in 0..SITES {
        let name = bucket(site);
        for number in 0..OBJECTS {
            let key = format!("{number:02}.html");
            assert!(bench.sandbox.put_object(&name, &key, b"page", &[]));
        }
        if site > 0 {
            let id = pipeline(site);
            write!(
                bench.origin,
                "[[pipeline]]\nname = \"{name}\"\nid = \"{id}\"\n[[pipeline.origin]]\n\
                 bucket = \"{name}\"\nregion = \"fr-par\"\nendpoint = \"{endpoint}\"\npoll = \"1h\"\n"
            )
            .unwrap();
        }
    }
    bench.spawn();
    until("every bucket is known", async || {
        let output = bench.run(&["--format", "json", "status"]).await;
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        let pipelines = status["pipelines"].as_array()?;
        let known = pipelines.iter().filter(|pipeline| {
            let origin = &pipeline["origins"][0];
            origin["indexed_files"] == OBJECTS && origin["bucket"]["unread_headers"] == 0
        });
        (known.count() == SITES).then_some(())
    })
    .await;
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_buckets_take_the_calls_that_check_says_little_memory_and_no_work_in_between() {
    let bench = of_many_sites().await;
    let check = bench.json(&["check"]).await;
    let buckets = check["buckets"].as_array().unwrap();
    let of_all = |what: &str| -> u64 {
        let costs = buckets.iter().map(|bucket| bucket["cost"][what].as_u64());
        costs.map(Option::unwrap).sum()
    };
    let first = listings(&bench.sandbox);
    assert_eq!((buckets.len(), first), (SITES, SITES));
    assert_eq!(of_all("calls"), first as u64);
    assert_eq!(of_all("calls_a_day"), 24 * first as u64);

    let mut used = bench.processor_time();
    until("a second passes without work", async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = std::mem::replace(&mut used, bench.processor_time());
        (used == before).then_some(())
    })
    .await;
    // Not a wait for something: the time over which idleness is measured.
    let (before, sleeps) = (bench.processor_time(), bench.sleeps());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let used = bench.processor_time().saturating_sub(before);
    let sleeps = bench.sleeps() - sleeps;
    let resident = bench.resident_kb();
    println!("{resident} kB resident; in 10 s of idleness {used:?} of CPU and {sleeps} wake-ups");
    // A debug build is larger than what users run.
    assert!(resident < 150_000, "{resident} kB resident");
    assert!(used <= Duration::from_millis(200), "{used:?} of CPU");
    assert!(sleeps <= 600, "{sleeps} wake-ups");
    assert_eq!(listings(&bench.sandbox), first, "no bucket is listed");
    assert_eq!(bench.purges(), Vec::<String>::new());

    // A change in one bucket costs a listing of that one.
    assert!(
        bench
            .sandbox
            .put_object("site-33", "07.html", b"changed", &[])
    );
    let waited = bench.run(&["wait", "site-33"]).await;
    assert!(waited.status.success(), "{waited:?}");
    assert_eq!(bench.purges(), ["/07.html"]);
    assert_eq!(listings(&bench.sandbox), first + 1);
}
