//! What ordinary sites do, and a naive watcher misses: files that are kept open, unread files, holes
//! that visitors saw, large files.

use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use super::harness::{Short, Site, changed, gone, new, until};
use crate::core::change::Kind;
use crate::origin::{ScanReason, WaitsFor};

fn held_open(site: &Site, name: &str) -> std::fs::File {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    options.open(site.path(name)).unwrap()
}

async fn reported(site: &Site, what: &str, expected: &[Short]) {
    until(what, || site.reported().len() >= expected.len()).await;
    assert_eq!(site.take(), expected, "{what}");
}

/// A site that waits a second for a writer.
async fn hasty(files: &[(&str, &str)]) -> Site {
    let mut site = Site::new();
    site.settings.write_wait = Duration::from_secs(1);
    for (name, text) in files {
        site.write(name, text);
    }
    site.start().await;
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_kept_open_is_looked_at_after_write_wait_again_and_again() {
    let site = hasty(&[("feed.log", "1\n")]).await;
    let mut feed = held_open(&site, "feed.log");
    for line in ["2\n", "3\n"] {
        feed.write_all(line.as_bytes()).unwrap();
        until("it is reported as being written", || {
            let status = site.status();
            status.writing_files == 1 && status.waiting[0].path == "feed.log"
        })
        .await;
        assert_eq!(site.status().waiting[0].state, WaitsFor::Writing);
        reported(
            &site,
            "what was appended is noticed",
            &[changed("feed.log")],
        )
        .await;
    }
    let mut fresh = held_open(&site, "fresh.log");
    fresh.write_all(b"1").unwrap();
    reported(&site, "a new one is noticed", &[new("fresh.log")]).await;
    fresh.write_all(b"2").unwrap();
    reported(&site, "and what follows", &[changed("fresh.log")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_the_middle_and_a_cut_by_path_are_noticed() {
    let site = hasty(&[("a.db", "0123456789"), ("b.txt", "0123456789")]).await;
    let mut database = std::fs::OpenOptions::new()
        .write(true)
        .open(site.path("a.db"))
        .unwrap();
    database.seek(SeekFrom::Start(3)).unwrap();
    database.write_all(b"x").unwrap();
    reported(&site, "the write in the middle", &[changed("a.db")]).await;
    site.sh("python3 -c 'import os; os.truncate(\"b.txt\", 4)'");
    reported(&site, "the cut", &[changed("b.txt")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_writer_waits_for_its_end_and_is_waited_for_once() {
    let site = hasty(&[("busy.log", "")]).await;
    let mut busy = held_open(&site, "busy.log");
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let ends = std::sync::Arc::clone(&stop);
    let writer = tokio::task::spawn_blocking(move || {
        while !ends.load(std::sync::atomic::Ordering::SeqCst) {
            busy.write_all(b"more\n").unwrap();
            std::thread::park_timeout(Duration::from_millis(5));
        }
    });
    until("it is being written", || site.status().writing_files == 1).await;
    let handle = site.handle().clone();
    tokio::time::timeout(super::harness::LIMIT, handle.noticed())
        .await
        .expect("a writer that never ends is not waited for for ever")
        .unwrap();
    assert_eq!(site.reported()[0], changed("busy.log"));
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    writer.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unread_file_that_is_replaced_with_the_same_size_and_times_is_a_change() {
    let mut site = Site::new();
    site.write("page.html", "one");
    site.sh("touch -d 2020-01-01 page.html");
    site.start().await;
    site.stop().await;
    site.index()
        .execute("UPDATE file SET known = 3, hash = NULL", [])
        .unwrap();
    site.sh("printf two > page.html; touch -d 2020-01-01 page.html");
    site.start().await;
    assert_eq!(site.news().await, [changed("page.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_unread_file_the_event_alone_is_a_change() {
    let mut site = Site::watched().await;
    // A large file that came a moment ago is not read yet.
    site.sh("truncate -s 20M film.bin");
    reported(&site, "the large file", &[new("film.bin")]).await;
    assert_eq!(site.status().unread_files, 1);
    site.sh("exec 3<>film.bin; exec 3>&-");
    assert_eq!(site.news().await, [changed("film.bin")]);
    // To read it is no event.
    site.sh("cat film.bin > /dev/null");
    assert_eq!(site.news().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_holds_up_nothing_and_is_named_while_it_is_read() {
    const LARGE: u64 = 64 * 1024 * 1024 * 1024;
    let mut site = Site::watched().await;
    let file = std::fs::File::create(site.path("film.bin")).unwrap();
    file.set_len(LARGE).unwrap();
    drop(file);
    // It is new for sure, whatever is in it.
    reported(&site, "the large file is noticed", &[new("film.bin")]).await;
    until("it counts as unread", || site.status().unread_files == 1).await;
    // Once it is known, one of the same size has to be read to be compared.
    site.index()
        .execute(
            "UPDATE file SET known = 0, hash = zeroblob(32) WHERE path = CAST('film.bin' AS BLOB)",
            [],
        )
        .unwrap();
    site.sh("touch -d 2021-01-01 film.bin");
    until("it is being read", || {
        let waiting = site.status().waiting;
        waiting
            .iter()
            .any(|file| matches!(file.read, Some((_, LARGE))))
    })
    .await;
    site.write("page.html", "meanwhile");
    until("the page is noticed", || {
        site.reported().contains(&new("page.html"))
    })
    .await;
    let reads = |status: &crate::origin::OriginStatus| !status.waiting.is_empty();
    assert!(
        reads(&site.status()),
        "the page came before the end of the reading"
    );
    // A stop does not wait for it either.
    let stopped = tokio::time::timeout(Duration::from_secs(3), site.stop()).await;
    assert!(stopped.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_visitors_may_have_seen_missing_is_purged_when_it_is_back() {
    let mut site = Site::new();
    let names: Vec<String> = (10..70).map(|n| format!("{n}.html")).collect();
    for name in &names {
        site.write(name, "x");
    }
    site.start().await;
    site.sh("mkdir ../aside; mv * ../aside");
    until("the alarm", || site.alarm("loss")).await;
    let held = site.status().held.unwrap();
    assert_eq!((held.files, held.first.as_str()), (61, "10.html"));
    site.sh("mv ../aside/* .");
    until("the alarm is over", || !site.alarm("loss")).await;
    let mut expected: Vec<Short> = names.iter().map(|name| new(name)).collect();
    expected.push(new("index.html"));
    assert_eq!(site.news().await, expected);
    // A hole that is shorter than gone_after is none.
    site.settings.gone_after = Duration::from_mins(1);
    site.stop().await;
    site.start().await;
    site.sh("mv 10.html ../aside/; mv ../aside/10.html .");
    assert_eq!(site.news().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_was_missing_for_long_is_purged_when_it_is_back() {
    let mut site = Site::new();
    site.write("a.html", "a");
    site.start().await;
    site.sh("mv ../root ../away");
    until("the alarm", || site.alarm("root_missing")).await;
    let index = site.index();
    until("its files are noted as absent", || {
        let sql = "SELECT count(*) FROM file WHERE absent IS NULL";
        index
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
            == 0
    })
    .await;
    // Also when it is killed meanwhile.
    site.stop().await;
    site.start_with(None);
    std::fs::rename(site.outside().join("away"), site.root()).unwrap();
    until("it is armed", || site.status().armed).await;
    assert_eq!(site.news().await, [new("a.html"), new("index.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys_that_rename_most_files_are_no_loss_and_hide_no_takedown() {
    let mut site = Site::new();
    site.write("leaked.html", "secret");
    site.sh("for n in $(seq 60); do echo a$n > app.a$n.js; done");
    site.start().await;
    for (old, next, count) in [("a", "b", 60), ("b", "c", 60), ("c", "d", 25)] {
        site.sh(&format!(
            "for n in $(seq {count}); do echo {next}$n > app.{next}$n.js; done; rm app.{old}*.js"
        ));
        until("the old files are gone", || {
            let reported = site.reported();
            let gone = reported.iter().filter(|reported| reported.0 == Kind::Gone);
            gone.filter(|reported| reported.1.starts_with(&format!("app.{old}")))
                .count()
                == 60
        })
        .await;
        assert!(!site.alarm("loss"));
    }
    site.take();
    site.sh("rm leaked.html");
    reported(&site, "the takedown", &[gone("leaked.html")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_look_ends_a_loss_that_is_made_up_for_at_once() {
    let mut site = Site::new();
    site.settings.watch = crate::origin::WatchMode::Off;
    site.sh("for n in $(seq 50); do echo $n > $n.html; done");
    site.start().await;
    site.sh("mkdir ../aside; mv *.html ../aside");
    let scan = site
        .handle()
        .scan(ScanReason::Request, false)
        .await
        .unwrap();
    assert!(scan.held);
    site.sh("mv ../aside/*.html .");
    let scan = site
        .handle()
        .scan(ScanReason::Request, false)
        .await
        .unwrap();
    assert!(!scan.held && !site.alarm("loss"));
    assert_eq!(scan.new, 51);
}
