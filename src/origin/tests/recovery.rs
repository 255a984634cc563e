//! What happens to programs: stops, crashes, full disks, lost events, roots that come and go.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::harness::{Site, changed, gone, new, until};
use crate::origin::ScanReason;
use crate::origin::watch::{Event, Handler, Watch, WatchBackend, WatchError};

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_while_stopped_is_told_at_the_next_start() {
    let mut site = Site::new();
    site.write("gone.html", "x");
    site.write("same.html", "x");
    site.start().await;
    site.rested().await;
    site.stop().await;
    site.sh("echo other > index.html; rm gone.html; echo x > d.html; touch same.html; mkdir n; echo 1 > n/n.html");
    site.start().await;
    site.rested().await;
    let expected = [
        new("d.html"),
        gone("gone.html"),
        changed("index.html"),
        new("n/n.html"),
    ];
    assert_eq!(site.take(), expected);
    site.stop().await;
    site.start().await;
    site.rested().await;
    assert_eq!(site.take(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_the_two_commits_loses_nothing() {
    // Write B, queue it, crash, write A back: without redo, B stays at the edge.
    let mut site = Site::watched().await;
    site.sink.crash.store(true, Ordering::SeqCst);
    site.write("index.html", "B");
    until("B is queued", || site.reported() == [changed("index.html")]).await;
    site.stop().await;
    site.sink.crash.store(false, Ordering::SeqCst);
    site.write("index.html", "home");
    site.start().await;
    site.rested().await;
    assert_eq!(
        site.reported(),
        [changed("index.html"), changed("index.html")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_the_two_commits_tells_nothing_twice() {
    let mut site = Site::watched().await;
    site.sink.crash.store(true, Ordering::SeqCst);
    site.write("a.html", "a");
    until("a is queued", || site.reported() == [new("a.html")]).await;
    site.stop().await;
    site.sink.crash.store(false, Ordering::SeqCst);
    site.start().await;
    site.rested().await;
    assert_eq!(site.reported(), [new("a.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_fails_for_a_while_loses_nothing() {
    let mut site = Site::watched().await;
    site.sink.refuse.store(true, Ordering::SeqCst);
    site.write("a.html", "a");
    until("the sink refused twice", || {
        site.sink.refused.load(Ordering::SeqCst) >= 2
    })
    .await;
    assert!(site.alarm("commit"));
    site.write("d/b.html", "b");
    std::fs::remove_file(site.path("index.html")).unwrap();
    site.sink.refuse.store(false, Ordering::SeqCst);
    assert_eq!(
        site.news().await,
        [new("a.html"), new("d/b.html"), gone("index.html")]
    );
    assert!(!site.alarm("commit"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_is_a_link_that_a_deploy_swaps() {
    let mut site = Site::new();
    site.sh("mkdir ../r1 ../r2; echo same > ../r1/same.html; echo same > ../r2/same.html
             echo 1 > ../r1/a.html; echo 2 > ../r2/a.html; echo old > ../r1/old.html; echo new > ../r2/new.html");
    site.settings.root = site.outside().join("current");
    symlink("r1", site.root()).unwrap();
    site.start().await;
    site.rested().await;
    let next = site.outside().join("next");
    symlink("r2", &next).unwrap();
    std::fs::rename(&next, site.root()).unwrap();
    let expected = 3;
    until("the new release is reported", || {
        site.reported().len() >= expected
    })
    .await;
    assert_eq!(
        site.news().await,
        [changed("a.html"), new("new.html"), gone("old.html")]
    );
    // The new release is watched now.
    site.write("same.html", "no longer");
    assert_eq!(site.news().await, [changed("same.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_deleted_and_comes_back() {
    let mut site = Site::watched().await;
    site.write("a.html", "a");
    assert_eq!(site.news().await, [new("a.html")]);
    std::fs::rename(site.root(), site.outside().join("away")).unwrap();
    until("the alarm", || site.alarm("root_missing")).await;
    assert_eq!(site.take(), []);
    std::fs::create_dir(site.root()).unwrap();
    site.write("index.html", "home");
    site.write("a.html", "other");
    until("the alarm is over", || !site.alarm("root_missing")).await;
    until("what differs is reported", || {
        site.reported() == [changed("a.html")]
    })
    .await;
    site.take();
    site.write("b.html", "b");
    let reported = site.news().await;
    assert!(
        reported.contains(&new("b.html")) && !reported.contains(&changed("index.html")),
        "{reported:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_removed_file_by_file_purges_nothing() {
    let mut site = Site::watched().await;
    site.write("a.html", "a");
    assert_eq!(site.news().await, [new("a.html")]);
    std::fs::remove_dir_all(site.root()).unwrap();
    until("the alarm", || site.alarm("root_missing")).await;
    assert_eq!(site.take(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_missing_at_the_start_is_an_alarm() {
    let mut site = Site::new();
    let away = site.outside().join("away");
    std::fs::rename(site.root(), &away).unwrap();
    site.start_with(None);
    until("the alarm", || site.alarm("root_missing")).await;
    assert!(!site.status().armed);
    std::fs::rename(&away, site.root()).unwrap();
    site.armed().await;
    site.write("a.html", "a");
    assert_eq!(site.news().await, [new("a.html")]);
}

/// A watch that can be made deaf, and that says what the test wants.
#[derive(Clone, Default)]
struct Deaf {
    handlers: Arc<Mutex<Vec<Arc<Handler>>>>,
    refuse: Arc<std::sync::atomic::AtomicBool>,
}

struct DeafWatch {
    refuse: bool,
}

impl WatchBackend for Deaf {
    fn open(&self, handler: Handler) -> Result<Arc<dyn Watch>, WatchError> {
        self.handlers.lock().unwrap().push(Arc::new(handler));
        Ok(Arc::new(DeafWatch {
            refuse: self.refuse.load(Ordering::SeqCst),
        }))
    }
}

impl Watch for DeafWatch {
    fn add(&self, _: &Path) -> Result<(), WatchError> {
        if self.refuse {
            Err(WatchError::Limit)
        } else {
            Ok(())
        }
    }

    fn add_names(&self, directory: &Path) -> Result<(), WatchError> {
        self.add(directory)
    }

    fn begin_round(&self) {}

    fn end_round(&self) {}

    fn directories(&self) -> u64 {
        0
    }
}

impl Deaf {
    fn say(&self, event: Event) {
        let handler = Arc::clone(self.handlers.lock().unwrap().last().unwrap());
        handler(event);
    }

    fn watches(&self) -> usize {
        self.handlers.lock().unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overflow_is_a_scan_with_the_same_watch() {
    let mut site = Site::new();
    let deaf = Deaf::default();
    site.start_with(Some(Box::new(deaf.clone())));
    site.armed().await;
    site.rested().await;
    site.write("a.html", "a");
    site.write("d/b.html", "b");
    deaf.say(Event::Overflow);
    until("the scan tells", || site.reported().len() == 2).await;
    assert_eq!(site.take(), [new("a.html"), new("d/b.html")]);
    assert_eq!(deaf.watches(), 1);
    site.rested().await;
    assert_eq!(site.status().lost_events, 1);
    assert_eq!(site.status().scans[&ScanReason::Overflow], 1);
    assert_eq!(site.status().drift_total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_overflows_is_few_scans_and_always_one_at_the_end() {
    let mut site = Site::new();
    let deaf = Deaf::default();
    site.start_with(Some(Box::new(deaf.clone())));
    site.armed().await;
    for n in 0..300 {
        site.write("index.html", &format!("{n}"));
        deaf.say(Event::Overflow);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    site.write("last.html", "last");
    deaf.say(Event::Overflow);
    until("the last one is reported", || {
        site.reported().contains(&new("last.html"))
    })
    .await;
    let scans = site.status().scans[&ScanReason::Overflow];
    assert!(scans <= 5, "{scans}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmount_is_a_scan() {
    let mut site = Site::new();
    let deaf = Deaf::default();
    site.start_with(Some(Box::new(deaf.clone())));
    site.armed().await;
    site.write("a.html", "a");
    deaf.say(Event::Lost);
    until("the scan tells", || site.reported() == [new("a.html")]).await;
    assert_eq!(site.status().scans[&ScanReason::LostWatch], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_enough_watches_the_rest_is_polled_and_the_sysctl_is_named() {
    let mut site = Site::new();
    let deaf = Deaf::default();
    deaf.refuse.store(true, Ordering::SeqCst);
    site.start_with(Some(Box::new(deaf.clone())));
    until("the alarm", || site.alarm("watch_limit")).await;
    let alarms = site.status().alarms;
    assert!(
        alarms[0].text.contains("fs.inotify.max_user_watches"),
        "{alarms:?}"
    );
    site.write("a.html", "a");
    until("the poll tells", || site.reported() == [new("a.html")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_is_armed_before_it_has_read_everything_and_misses_nothing() {
    let mut site = Site::new();
    let names: Vec<_> = (0..2_000)
        .map(|n| format!("{}/{n:04}.css", n % 20))
        .collect();
    for name in &names {
        site.write(name, name);
    }
    site.start_with(None);
    until("the origin is armed", || site.status().armed).await;
    assert!(site.status().unread_files > 0, "{:?}", site.status());
    assert_eq!(site.status().indexed_files, 2_001);
    // Before and after it is read: a change is a change.
    site.write(&names[1_999], "other");
    site.write(&names[0], "other");
    assert_eq!(
        site.news().await,
        [changed(&names[0]), changed(&names[1_999])]
    );
    // What is read at last is compared by its bytes.
    site.armed().await;
    site.sh("touch */*.css");
    assert_eq!(site.news().await, []);
    // Killed in the middle, it goes on where it was.
    site.stop().await;
    site.start().await;
    assert_eq!(site.news().await, []);
}
