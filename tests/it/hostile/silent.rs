//! Filesystems that tell nothing, or not everything: what changes behind them is found all the same.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::machine::{Mount, has, may_mount, release, released};
use crate::bench::{Bench, sh, skip_unprivileged, until};

/// A FUSE filesystem that shows `from` at `at`, and sees nothing of what happens in `from`.
pub(super) struct Fuse {
    pub(super) process: Child,
    _mount: Mount,
}

pub(super) async fn bindfs(from: &Path, at: &Path) -> Fuse {
    let process = Command::new("bindfs")
        .arg("-f")
        .args([from, at])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mount = Mount::of(at);
    until("bindfs has mounted", async || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        mounts
            .contains(&format!(" {} ", at.display()))
            .then_some(())
    })
    .await;
    Fuse {
        process,
        _mount: mount,
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_on_a_filesystem_without_events_is_polled() {
    if !has("bindfs") || !may_mount() {
        return;
    }
    let mut bench = Bench::new().await;
    bench.origin = "gone_after = \"200ms\"".to_owned();
    let source = bench.path("source");
    release(&source, "one");
    let mut fuse = bindfs(&source, &bench.site()).await;
    bench.start().await;
    let origin = bench.of_origin().await;
    assert_eq!(
        (&origin["polling"], &origin["watched_directories"]),
        (&true.into(), &0.into())
    );
    assert_eq!(origin["indexed_files"], 30);
    fs::write(source.join("d0/0.css"), "two").unwrap();
    fs::create_dir(source.join("new")).unwrap();
    fs::write(source.join("new/new.css"), "new").unwrap();
    fs::remove_file(source.join("d1/1.css")).unwrap();
    let expected = ["/d0/0.css", "/d1/1.css", "/new/new.css"];
    until("the poll finds it", async || {
        (bench.purges() == expected).then_some(())
    })
    .await;

    // The filesystem dies: what nobody can reach is not gone.
    fuse.process.kill().unwrap();
    fuse.process.wait().unwrap();
    bench.alarm("root_missing").await;
    drop(fuse);
    // What is below is empty.
    bench.alarm("loss").await;
    // Not a wait for something: what is back within `gone_after` is no change.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _fuse = bindfs(&source, &bench.site()).await;
    bench.no_alarm().await;
    // A visitor may have seen each of them missing; the one that was removed is purged once.
    let others = ["/d0/0.css", "/new/new.css", "/new/new.css"];
    let expected = released("", &others);
    until("all are purged", async || {
        (bench.purges() == expected).then_some(())
    })
    .await;
    // Not `wait`: what a filesystem in between does not show yet, nobody can see.
    fs::write(source.join("d2/2.css"), "two").unwrap();
    let expected = released("", &[&others[..], &["/d2/2.css"]].concat());
    until("what changed then is found", async || {
        (bench.purges() == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_on_a_filesystem_without_events_is_polled_and_the_rest_watched() {
    if !has("bindfs") || !may_mount() {
        return;
    }
    let mut bench = Bench::new().await;
    let source = bench.path("source");
    release(&source, "one");
    release(&bench.site(), "one");
    fs::create_dir(bench.path("site/media")).unwrap();
    let mut fuse = bindfs(&source, &bench.path("site/media")).await;
    bench.start().await;
    let origin = bench.of_origin().await;
    assert_eq!(origin["polling"], true);
    assert!(
        origin["watched_directories"].as_u64().unwrap() >= 4,
        "{origin}"
    );
    fs::write(source.join("d0/0.css"), "two").unwrap();
    bench.write("d0/0.css", "two");
    let expected = ["/d0/0.css", "/media/d0/0.css"];
    until("both are found", async || {
        (bench.purges() == expected).then_some(())
    })
    .await;

    // It dies: less than half of the files lie there, so no guard holds anything back.
    bench.write("more/1.css", "1");
    bench.rested().await;
    fuse.process.kill().unwrap();
    fuse.process.wait().unwrap();
    let scanned = bench.run(&["scan", "www", "--apply"]).await;
    assert!(scanned.status.success(), "{scanned:?}");
    bench.write("d1/1.css", "two");
    bench.settle().await;
    assert_eq!(
        bench.purges(),
        ["/d0/0.css", "/d1/1.css", "/media/d0/0.css", "/more/1.css"]
    );
    drop(fuse);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlay_is_watched_and_polled() {
    if !may_mount() {
        return;
    }
    let mut bench = Bench::new().await;
    sh(&bench, "mkdir lower upper work");
    release(&bench.path("lower"), "one");
    // Not on the filesystem of `/`, where a container's files may be an overlay themselves.
    let base = Mount::tmpfs(&bench.path("upper"));
    sh(&bench, "mkdir upper/files upper/work");
    let home = bench.path("").display().to_string();
    let home = home.trim_end_matches('/');
    let options =
        format!("lowerdir={home}/lower,upperdir={home}/upper/files,workdir={home}/upper/work");
    let overlay = Mount::new(&["-t", "overlay", "overlay", "-o", &options], &bench.site());
    let overlay = match overlay {
        Ok(overlay) => overlay,
        Err(why) => return skip_unprivileged(&format!("no overlay can be mounted: {why}")),
    };
    bench.start().await;
    let origin = bench.of_origin().await;
    assert_eq!(
        (&origin["polling"], &origin["watched_directories"]),
        (&true.into(), &4.into())
    );
    // Through it, there are events.
    bench.write("d1/1.css", "two");
    bench.purged("/d1/1.css").await;
    let told = "source=\"watch\" kind=\"changed\" target=Asset(Asset(\"/d1/1.css\"))";
    assert!(bench.log().contains(told));
    // Behind its back there are none.
    fs::write(bench.path("lower/d0/0.css"), "two").unwrap();
    until("the poll finds it", async || {
        (bench.purges() == ["/d0/0.css", "/d1/1.css"]).then_some(())
    })
    .await;
    bench.kill().await;
    drop(overlay);
    drop(base);
}
