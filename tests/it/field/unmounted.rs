//! A filesystem that is mounted in a site, or is the site, goes.

use std::fs;

use super::{count, fresh_after_wait, page, pages, quick, visit};
use crate::bench::{Bench, until};
use crate::hostile::machine::{Mount, may_mount};
use crate::reported;

/// An alarm about it, whatever its reason is called.
async fn alarm_about(bench: &Bench, what: &str) {
    until(&format!("an alarm about {what}"), async || {
        let status = bench.status().await;
        let alarms = status["alarms"].as_array().unwrap();
        let said = alarms.iter().filter_map(|alarm| alarm["text"].as_str());
        let about = said.into_iter().any(|text| text.contains(what));
        // None of this may be over before it is said.
        assert!(bench.purges().is_empty(), "{:?}", bench.purges());
        (about && !reported::fresh(&status)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_directory_whose_mount_goes_is_an_alarm_and_no_purge() {
    if !may_mount() {
        return;
    }
    let mut bench = quick("debounce = \"100ms\"", "gone_after = \"500ms\"").await;
    pages(&bench.site(), 0..40, "page");
    pages(&bench.path("disk"), 0..13, "image");
    fs::create_dir(bench.path("site/media")).unwrap();
    let disk = Mount::bind(&bench.path("disk"), &bench.path("site/media"));
    bench.start().await;
    let urls: Vec<String> = (0..13).map(|nth| format!("/media{}", page(nth))).collect();
    visit(&bench, &urls).await;
    disk.off().await;
    alarm_about(&bench, "media").await;
    // The rest of the site goes on.
    bench.write("d1/page-1.html", "new");
    bench.purged("/d1/page-1.html").await;
    assert_eq!(bench.purges(), ["/d1/page-1.html"]);
    let disk = Mount::bind(&bench.path("disk"), &bench.path("site/media"));
    bench.no_alarm().await;
    fresh_after_wait(&bench, &urls).await;
    let before = count(&bench, &urls[7]);
    bench.write(&urls[7][1..], "another");
    fresh_after_wait(&bench, &urls).await;
    assert_eq!(count(&bench, &urls[7]), before + 1);
    bench.kill().await;
    disk.off().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_site_whose_mount_goes_is_an_alarm_and_no_purge() {
    if !may_mount() {
        return;
    }
    let mut bench = quick("debounce = \"100ms\"", "gone_after = \"500ms\"").await;
    let urls = pages(&bench.path("disk"), 0..9, "page");
    let disk = Mount::bind(&bench.path("disk"), &bench.site());
    bench.start().await;
    visit(&bench, &urls).await;
    disk.off().await;
    alarm_about(&bench, bench.site().to_str().unwrap()).await;
    let disk = Mount::bind(&bench.path("disk"), &bench.site());
    bench.no_alarm().await;
    fresh_after_wait(&bench, &urls).await;
    bench.kill().await;
    disk.off().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_goes_while_the_daemon_is_down_is_an_alarm_and_no_purge() {
    if !may_mount() {
        return;
    }
    let mut bench = quick("", "gone_after = \"500ms\"").await;
    pages(&bench.site(), 0..40, "page");
    pages(&bench.path("disk"), 0..9, "image");
    fs::create_dir(bench.path("site/media")).unwrap();
    let disk = Mount::bind(&bench.path("disk"), &bench.path("site/media"));
    bench.start().await;
    bench.kill().await;
    disk.off().await;
    bench.start().await;
    alarm_about(&bench, "media").await;
}
