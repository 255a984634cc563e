//! What people and programs do to files, and what is reported of it: nothing missed, nothing twice,
//! nothing that did not change.

use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::Ordering;

use super::harness::{Site, changed, gone, new, until};
use crate::core::change::Source;
use crate::origin::{Compare, ScanReason, WatchMode};

fn mode(site: &Site, name: &str, mode: u32) {
    std::fs::set_permissions(site.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_indexes_everything_and_purges_nothing() {
    let mut site = Site::new();
    site.write("a/b.html", "b");
    site.start().await;
    site.rested().await;
    assert_eq!(site.take(), []);
    let status = site.status();
    assert_eq!(status.indexed_files, 2);
    assert_eq!(status.watched_directories, 2);
    assert_eq!(site.sink.scanning.lock().unwrap().as_slice(), [true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn creating_writing_and_deleting_a_file() {
    let mut site = Site::watched().await;
    site.write("a.html", "one");
    assert_eq!(site.news().await, [new("a.html")]);
    site.write("a.html", "two");
    assert_eq!(site.news().await, [changed("a.html")]);
    std::fs::OpenOptions::new()
        .append(true)
        .open(site.path("a.html"))
        .unwrap()
        .write_all(b" more")
        .unwrap();
    assert_eq!(site.news().await, [changed("a.html")]);
    std::fs::File::options()
        .write(true)
        .open(site.path("a.html"))
        .unwrap()
        .set_len(1)
        .unwrap();
    assert_eq!(site.news().await, [changed("a.html")]);
    std::fs::remove_file(site.path("a.html")).unwrap();
    assert_eq!(site.news().await, [gone("a.html")]);
    let changes = site.sink.changes.lock().unwrap();
    assert!(
        changes
            .iter()
            .all(|(_, change)| change.source == Source::Watch)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn overwriting_in_place_with_as_many_bytes() {
    let mut site = Site::watched().await;
    let mut file = std::fs::File::options()
        .write(true)
        .open(site.path("index.html"))
        .unwrap();
    file.rewind().unwrap();
    file.write_all(b"HOME").unwrap();
    drop(file);
    assert_eq!(site.news().await, [changed("index.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_again_are_no_change() {
    let mut site = Site::watched().await;
    site.write("index.html", "home");
    site.sh("touch index.html; cp index.html t.tmp; mv t.tmp index.html; chmod 755 index.html; chmod 644 index.html");
    assert_eq!(site.news().await, []);
    assert!(site.status().unchanged_total > 0);
    // Young files get a second look; it tells nothing, and ends.
    until("no second look is left", || {
        site.handle().inbox.lock().hints.next_due().is_none()
    })
    .await;
    assert_eq!(site.news().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_metadata_a_touch_is_a_change_and_a_link_is_not() {
    let mut site = Site::new();
    site.settings.compare = Compare::Metadata;
    site.start().await;
    std::fs::hard_link(site.path("index.html"), site.path("other.html")).unwrap();
    assert_eq!(site.news().await, [new("other.html")]);
    site.sh("touch -d 2001-01-01 index.html");
    // Its other name had no event, and is found all the same.
    let expected = [changed("index.html"), changed("other.html")];
    assert_eq!(site.news().await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_read_counts_and_other_modes_do_not() {
    let mut site = Site::watched().await;
    site.write("d/a.html", "a");
    assert_eq!(site.news().await, [new("d/a.html")]);
    mode(&site, "index.html", 0o600);
    assert_eq!(site.news().await, [changed("index.html")]);
    mode(&site, "index.html", 0o700);
    assert_eq!(site.news().await, []);
    mode(&site, "index.html", 0o644);
    assert_eq!(site.news().await, [changed("index.html")]);
    mode(&site, "d", 0o700);
    assert_eq!(site.news().await, [changed("d/a.html")]);
    mode(&site, "d", 0o755);
    assert_eq!(site.news().await, [changed("d/a.html")]);
    mode(&site, "d", 0o775);
    assert_eq!(site.news().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn renaming_inside_in_and_out() {
    let mut site = Site::watched().await;
    site.write("a.html", "a");
    assert_eq!(site.news().await, [new("a.html")]);
    std::fs::rename(site.path("a.html"), site.path("b.html")).unwrap();
    assert_eq!(site.news().await, [gone("a.html"), new("b.html")]);
    let outside = site.outside().join("elsewhere.html");
    std::fs::rename(site.path("b.html"), &outside).unwrap();
    assert_eq!(site.news().await, [gone("b.html")]);
    std::fs::rename(&outside, site.path("c.html")).unwrap();
    assert_eq!(site.news().await, [new("c.html")]);
    site.write("d.html", "d");
    std::fs::rename(site.path("d.html"), site.path("c.html")).unwrap();
    assert_eq!(site.news().await, [changed("c.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn renaming_a_directory_tells_of_every_file_in_it() {
    let mut site = Site::watched().await;
    site.sh("mkdir -p d/e; echo 1 > d/a.html; echo 2 > d/e/b.html");
    assert_eq!(site.news().await, [new("d/a.html"), new("d/e/b.html")]);
    site.sh("mv d f");
    let expected = [
        gone("d/a.html"),
        gone("d/e/b.html"),
        new("f/a.html"),
        new("f/e/b.html"),
    ];
    assert_eq!(site.news().await, expected);
    // The renamed directories are still watched, under their new names.
    site.write("f/e/b.html", "other");
    assert_eq!(site.news().await, [changed("f/e/b.html")]);
    site.sh("mkdir d; mkdir d/e; echo 3 > d/e/c.html");
    assert_eq!(site.news().await, [new("d/e/c.html")]);
    site.sh("mv f ../f; mv ../f g");
    let expected = [
        gone("f/a.html"),
        gone("f/e/b.html"),
        new("g/a.html"),
        new("g/e/b.html"),
    ];
    assert_eq!(site.news().await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_a_tree_and_a_file_in_the_place_of_a_directory() {
    let mut site = Site::watched().await;
    site.sh("mkdir -p d/e; echo 1 > d/a.html; echo 2 > d/e/b.html");
    assert_eq!(site.news().await.len(), 2);
    site.sh("rm -rf d; echo file > d");
    assert_eq!(
        site.news().await,
        [new("d"), gone("d/a.html"), gone("d/e/b.html")]
    );
    site.sh("rm d; mkdir d; echo 3 > d/c.html");
    assert_eq!(site.news().await, [gone("d"), new("d/c.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn editors_that_save_by_renaming() {
    let mut site = Site::watched().await;
    site.sh("echo atomic > .index.html.tmp123; mv .index.html.tmp123 index.html");
    assert_eq!(site.news().await, [changed("index.html")]);
    // As vim does with backupcopy=no, and with a directory it tests for writing.
    site.sh(": > 4913; rm 4913; mv index.html index.html~; echo vim > index.html; rm index.html~");
    assert_eq!(site.news().await, [changed("index.html")]);
    site.sh("mv index.html index.html~; echo vim > index.html; rm index.html~");
    assert_eq!(site.news().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_away_for_a_moment_was_never_gone() {
    let mut site = Site::new();
    site.settings.gone_after = std::time::Duration::from_secs(3);
    site.start().await;
    let away = site.outside().join("away");
    std::fs::rename(site.path("index.html"), &away).unwrap();
    until("the absence is noticed", || site.status().pending_hints > 0).await;
    std::fs::rename(&away, site.path("index.html")).unwrap();
    assert_eq!(site.news().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_closed_while_it_is_filled_changes_nothing_and_is_told_of_once() {
    let mut site = Site::new();
    site.settings.gone_after = std::time::Duration::from_secs(3);
    site.write("d/a.html", "a");
    site.start().await;
    // As `cp -a` and `tar` do with the modes of directories.
    mode(&site, "d", 0o700);
    site.sh("echo -n b > d/b.html; rm d/a.html; echo -n a > d/a.html; mkdir -m 700 n; echo n > n/n.html");
    until("the closed directory is noticed", || {
        site.status().pending_hints >= 3
    })
    .await;
    mode(&site, "d", 0o755);
    mode(&site, "n", 0o755);
    assert_eq!(site.news().await, [new("d/b.html"), new("n/n.html")]);
    // One that stays closed counts, and so does its opening.
    mode(&site, "n", 0o700);
    assert_eq!(site.news().await, [changed("n/n.html")]);
    mode(&site, "n", 0o755);
    assert_eq!(site.news().await, [changed("n/n.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_and_their_files_at_once() {
    let mut site = Site::watched().await;
    site.sh("mkdir -p a/b/c; for d in a a/b a/b/c; do echo $d > $d/index.html; done");
    let expected = [
        new("a/b/c/index.html"),
        new("a/b/index.html"),
        new("a/index.html"),
    ];
    assert_eq!(site.news().await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_files_in_new_directories_are_each_told_once() {
    let mut site = Site::watched().await;
    let mut expected = BTreeMap::new();
    for dir in 0..200 {
        let path = format!("{}/{}/{}", dir / 20, dir / 4, dir);
        std::fs::create_dir_all(site.path(&path)).unwrap();
        for file in 0..10 {
            let name = format!("{path}/{file}.html");
            std::fs::write(site.path(&name), &name).unwrap();
            expected.insert(name, 1);
        }
    }
    let mut reported = BTreeMap::new();
    for (_, path) in site.news().await {
        *reported.entry(path).or_insert(0) += 1;
    }
    assert_eq!(reported, expected);
    assert_eq!(site.status().lost_events, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_files_than_hints_are_kept_apart_are_each_told_once() {
    let mut site = Site::new();
    site.settings.max_loss_percent = 100;
    site.write("d/index.html", "d");
    site.start().await;
    let names: Vec<_> = (0..3_000).map(|n| format!("d/{n:04}.html")).collect();
    let source = site.outside().join("many/d");
    std::fs::create_dir_all(&source).unwrap();
    for name in &names {
        std::fs::write(site.outside().join("many").join(name), name).unwrap();
    }
    // While a commit waits, no hint is followed: they gather until they are too many.
    site.sink.refuse.store(true, Ordering::SeqCst);
    site.write("z.html", "z");
    until("a commit waits", || {
        site.sink.refused.load(Ordering::SeqCst) > 0
    })
    .await;
    for entry in std::fs::read_dir(&source).unwrap() {
        let entry = entry.unwrap();
        std::fs::rename(entry.path(), site.path("d").join(entry.file_name())).unwrap();
    }
    site.sink.refuse.store(false, Ordering::SeqCst);
    let mut expected: Vec<_> = names.iter().map(|name| new(name)).collect();
    expected.push(new("z.html"));
    assert!(site.news().await == expected);
    assert!(site.status().scans[&ScanReason::Directory] > 0);
    site.sh("rm -rf d/[0-2]*");
    let expected: Vec<_> = names.iter().map(|name| gone(name)).collect();
    assert!(site.news().await == expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn unpacking_an_archive_new_and_over_itself() {
    let mut site = Site::watched().await;
    let source = site.outside().join("source");
    for n in 0..50 {
        let dir = source.join(format!("d{}/e{}", n % 5, n % 10));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(format!("{n}.html")), format!("{n}")).unwrap();
    }
    site.sh("tar -C ../source -cf ../one.tar . && tar -xf ../one.tar");
    let reported = site.news().await;
    assert_eq!(reported.len(), 50, "{reported:?}");
    std::fs::write(source.join("d0/e0/0.html"), "other").unwrap();
    site.sh("tar -C ../source -cf ../two.tar . && tar -xf ../two.tar");
    assert_eq!(site.news().await, [changed("d0/e0/0.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rsync_in_its_ways() {
    let version = std::process::Command::new("rsync")
        .arg("--version")
        .output();
    if !version.is_ok_and(|version| version.status.success()) {
        println!("skipped: rsync is not installed here");
        return;
    }
    let mut site = Site::watched().await;
    let source = site.outside().join("source");
    std::fs::create_dir_all(source.join("d")).unwrap();
    std::fs::write(source.join("index.html"), "home").unwrap();
    std::fs::write(source.join("d/a.html"), "a").unwrap();
    site.sh("rsync -a ../source/ .");
    assert_eq!(site.news().await, [new("d/a.html")]);
    std::fs::write(source.join("d/a.html"), "longer").unwrap();
    site.sh("rsync -a --inplace ../source/ .");
    assert_eq!(site.news().await, [changed("d/a.html")]);
    std::fs::write(source.join("d/a.html"), "longer still").unwrap();
    site.sh(
        "rsync -a --delay-updates ../source/ .; touch ../source/d/a.html; rsync -a ../source/ .",
    );
    assert_eq!(site.news().await, [changed("d/a.html")]);
    std::fs::remove_file(source.join("d/a.html")).unwrap();
    site.sh("rsync -a --delete --exclude 'barrier*' ../source/ .");
    assert_eq!(site.news().await, [gone("d/a.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn git_checkout_between_two_commits() {
    let mut site = Site::new();
    site.sh(
        "git init -q . && git config user.email a@b.c && git config user.name a
         echo same > same.html; echo one > page.html; mkdir old; echo o > old/o.html
         git add . && git commit -qm one && git branch one
         git rm -q old/o.html; echo two > page.html; mkdir -p new/deep; echo n > new/deep/n.html
         git add . && git commit -qm two && git branch two && git checkout -q one",
    );
    site.start().await;
    site.sh("git checkout -q two");
    let there = [
        new("new/deep/n.html"),
        gone("old/o.html"),
        changed("page.html"),
    ];
    assert_eq!(site.news().await, there);
    site.sh("git checkout -q one");
    let back = [
        gone("new/deep/n.html"),
        new("old/o.html"),
        changed("page.html"),
    ];
    assert_eq!(site.news().await, back);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_link_and_a_file_that_gets_its_name_at_the_end() {
    let mut site = Site::watched().await;
    std::fs::hard_link(site.path("index.html"), site.path("copy.html")).unwrap();
    assert_eq!(site.news().await, [new("copy.html")]);
    let unnamed = rustix::fs::open(
        site.root(),
        rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::WRONLY,
        rustix::fs::Mode::from_raw_mode(0o644),
    );
    let Ok(unnamed) = unnamed else {
        println!("the rest is skipped: no O_TMPFILE on this filesystem");
        return;
    };
    rustix::io::write(&unnamed, b"late").unwrap();
    let proc_path = format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&unnamed)
    );
    rustix::fs::linkat(
        rustix::fs::CWD,
        proc_path,
        rustix::fs::CWD,
        site.path("late.html"),
        rustix::fs::AtFlags::SYMLINK_FOLLOW,
    )
    .unwrap();
    assert_eq!(site.news().await, [new("late.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_told_of_when_it_is_complete() {
    let mut site = Site::watched().await;
    let mut file = std::fs::File::create(site.path("slow.html")).unwrap();
    for _ in 0..30 {
        file.write_all(b"part").unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert_eq!(site.reported(), []);
    }
    drop(file);
    assert_eq!(site.news().await, [new("slow.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_never_complete_is_told_of_after_write_wait() {
    let mut site = Site::new();
    site.settings.write_wait = std::time::Duration::from_secs(2);
    site.start().await;
    let mut file = std::fs::File::create(site.path("endless.log")).unwrap();
    until("the file is reported while it is written", || {
        file.write_all(b"line\n").unwrap();
        site.reported() == [new("endless.log")]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ignored_is_never_told() {
    let mut site = Site::new();
    site.settings.ignore = vec!["drafts/".to_owned(), "*.map".to_owned()];
    site.start().await;
    site.sh("mkdir -p drafts .git; echo 1 > drafts/a.html; echo 1 > .git/x; echo 1 > a.map; echo 1 > b.part; mkdir .well-known; echo 1 > .well-known/x");
    assert_eq!(site.news().await, [new(".well-known/x")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_files_is_no_event() {
    let mut site = Site::new();
    for n in 0..100 {
        site.write(&format!("d/{n}.html"), "x");
    }
    site.start().await;
    site.news().await;
    let before = site.status().hints_total;
    for _ in 0..100 {
        for n in 0..100 {
            std::fs::read(site.path(&format!("d/{n}.html"))).unwrap();
        }
    }
    site.sh("ls -R . > /dev/null; cat d/* > /dev/null");
    site.quiet().await;
    // The two barriers: created, written, and closed.
    assert!(site.status().hints_total <= before + 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_to_directories_inside_and_outside() {
    let mut site = Site::watched().await;
    let shared = site.outside().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::write(shared.join("s.html"), "s").unwrap();
    site.sh("mkdir -p releases/1 releases/2; echo 1 > releases/1/a.html; echo 2 > releases/2/a.html; echo same > releases/1/b.html; echo same > releases/2/b.html");
    assert_eq!(site.news().await.len(), 4);
    symlink("releases/1", site.path("current")).unwrap();
    symlink(&shared, site.path("shared")).unwrap();
    let expected = [
        new("current/a.html"),
        new("current/b.html"),
        new("shared/s.html"),
    ];
    assert_eq!(site.news().await, expected);
    // One file, two names; and a directory outside of the root.
    site.write("releases/1/a.html", "one");
    std::fs::write(shared.join("t.html"), "t").unwrap();
    let expected = [
        changed("current/a.html"),
        changed("releases/1/a.html"),
        new("shared/t.html"),
    ];
    assert_eq!(site.news().await, expected);
    // A deploy by swapping the link tells of what differs, and of nothing else.
    site.sh("ln -s releases/2 next; mv -T next current");
    assert_eq!(site.news().await, [changed("current/a.html")]);
    site.write("releases/2/b.html", "new b");
    assert_eq!(
        site.news().await,
        [changed("current/b.html"), changed("releases/2/b.html")]
    );
    site.sh("rm current");
    assert_eq!(
        site.news().await,
        [gone("current/a.html"), gone("current/b.html")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_events_it_is_polled() {
    let mut site = Site::new();
    site.settings.watch = WatchMode::Poll;
    site.start().await;
    site.write("a.html", "a");
    until("the poll tells", || site.reported() == [new("a.html")]).await;
    assert_eq!(site.status().drift_total, 0);
    assert!(site.status().polling);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_through_one_hard_link_is_a_change_of_every_name() {
    let mut site = Site::new();
    site.write("d/page.html", "page");
    site.start().await;
    std::fs::hard_link(site.path("d/page.html"), site.path("other.html")).unwrap();
    assert_eq!(site.news().await, [new("other.html")]);
    // In place: the kernel tells of the one name only.
    site.write("other.html", "PAGE");
    let expected = [changed("d/page.html"), changed("other.html")];
    assert_eq!(site.news().await, expected);
    site.write("d/page.html", "Page");
    assert_eq!(site.news().await, expected);
    std::fs::remove_file(site.path("other.html")).unwrap();
    assert_eq!(site.news().await, [gone("other.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_volume_of_kubernetes_is_found_by_its_link() {
    let mut site = Site::new();
    let volume = |site: &Site, number: u32, a: &str| {
        site.write(&format!("..{number}/a.html"), a);
        site.write(&format!("..{number}/b.html"), "same");
    };
    volume(&site, 1, "one");
    site.sh("ln -s ..1 ..data; ln -s ..data/a.html a.html; ln -s ..data/b.html b.html");
    site.start().await;
    volume(&site, 2, "two");
    site.sh("ln -s ..2 ..tmp; mv -T ..tmp ..data; rm -r ..1");
    assert_eq!(site.news().await, [changed("a.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_a_file_is_a_change_of_the_links_to_it() {
    let mut site = Site::new();
    site.write("d/page.html", "one");
    site.sh("ln -s d/page.html link.html; ln -s link.html second.html");
    site.start().await;
    let all = |change: fn(&str) -> super::harness::Short| {
        ["d/page.html", "link.html", "second.html"].map(change)
    };
    site.write("d/page.html", "two");
    assert_eq!(site.news().await, all(changed));
    site.sh("echo three > t.tmp; mv t.tmp d/page.html");
    assert_eq!(site.news().await, all(changed));
    site.sh("rm d/page.html");
    assert_eq!(site.news().await, all(gone));
    site.write("d/page.html", "again");
    assert_eq!(site.news().await, all(new));
    // The directory of the file goes and comes.
    site.sh("mv d ../away");
    assert_eq!(site.news().await, all(gone));
    site.sh("mv ../away d");
    assert_eq!(site.news().await, all(new));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_dated_by_its_event_and_until_then_said_to_be_looked_at() {
    let clock = crate::clock::Clock::start();
    let mut site = Site::watched().await;
    for (name, rename) in [("a.html", false), ("b/c.html", true)] {
        let before = clock.now();
        // The look lasts until it is committed, so that it can be seen.
        site.sink.refuse.store(true, Ordering::SeqCst);
        if rename {
            std::fs::create_dir(site.path("../outside")).unwrap();
            std::fs::write(site.path("../outside/c.html"), "new").unwrap();
            // Long ago, so that nothing is waited for.
            let file = std::fs::File::open(site.path("../outside/c.html")).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH)
                .unwrap();
            std::fs::rename(site.path("../outside"), site.path("b")).unwrap();
        } else {
            site.write(name, "new");
        }
        let handle = site.running.as_ref().unwrap().handle.clone();
        let after = clock.now();
        // A file whose event came a moment before is dated a moment before, too.
        let later = after.after(std::time::Duration::from_secs(1));
        until("it is looked at", || handle.looks(later)).await;
        // The events of one read are dated when the thread woke for the first of them.
        let long_before = before.before(std::time::Duration::from_secs(1));
        assert!(!handle.looks(long_before), "nothing happened before");
        site.sink.refuse.store(false, Ordering::SeqCst);
        let sink = std::sync::Arc::clone(&site.sink);
        let change = || {
            let changes = sink.changes.lock().unwrap();
            let found = changes
                .iter()
                .rev()
                .find(|(_, change)| change.path == name.as_bytes());
            found.map(|(_, change)| change.clone())
        };
        until("it is reported", || change().is_some()).await;
        let (reported, seen) = (clock.now(), change().unwrap().seen);
        assert!(seen >= long_before);
        assert!(
            reported.since(seen) >= std::time::Duration::from_millis(48),
            "the look at {name} came 50 ms after the event: {reported} {seen}"
        );
        until("it is over", || !handle.looks(later)).await;
        site.news().await;
    }
}
