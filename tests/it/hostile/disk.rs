//! No room on the disk of the state directory: nothing is lost, the daemon says what to do and waits,
//! and goes on when there is room.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use super::machine::{Mount, Systemd, may_mount};
use crate::bench::{Bench, until};

/// Puts the state directory on a small disk of its own.
fn small_state(bench: &Bench) -> Mount {
    fs::create_dir(bench.path("state")).unwrap();
    let options = ["-t", "tmpfs", "-o", "mode=700,size=16m", "tmpfs"];
    Mount::new(&options, &bench.path("state")).unwrap()
}

fn fill(bench: &Bench) {
    let mut file = fs::File::create(bench.path("state/filler")).unwrap();
    let page = [1; 4096];
    while file.write_all(&page).is_ok() {}
}

fn make_room(bench: &Bench) {
    fs::remove_file(bench.path("state/filler")).unwrap();
}

fn errors(bench: &Bench) -> Vec<String> {
    let log = bench.log();
    let errors = log.lines().filter(|line| line.contains("ERROR"));
    errors.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_changes_wait_and_are_purged_when_there_is_room() {
    if !may_mount() {
        return;
    }
    let mut bench = Bench::new().await;
    let _state = small_state(&bench);
    bench.write("a.css", "one");
    bench.write("b.css", "one");
    bench.start().await;
    fill(&bench);
    bench.write("a.css", "two");
    let said = bench.alarm("commit").await;
    assert!(said.contains("make room"), "{said}");
    bench.write("b.css", "two");
    bench.write("d/new.css", "new");
    // Not a wait for something: the time over which the log is looked at.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let errors = errors(&bench);
    assert!((1..=3).contains(&errors.len()), "{errors:#?}");
    assert_eq!(bench.purges(), Vec::<String>::new());
    make_room(&bench);
    bench.settle().await;
    assert_eq!(bench.purges(), ["/a.css", "/b.css", "/d/new.css"]);
    bench.no_alarm().await;
    assert_eq!(bench.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_on_its_way_when_the_disk_fills_up_is_followed_up_and_said_once() {
    if !may_mount() {
        return;
    }
    let mut bench = Bench::new().await;
    let _state = small_state(&bench);
    bench.sandbox.set_purge_delay(Duration::from_secs(5));
    bench.write("a.css", "one");
    bench.start().await;
    bench.write("a.css", "two");
    until("the purge is on its way", async || {
        (bench.requests().len() == 1).then_some(())
    })
    .await;
    fill(&bench);
    let stuck = "can't be committed, nothing is sent";
    until("it can't be written down", async || {
        bench.log().contains(stuck).then_some(())
    })
    .await;
    // Not a wait for something: the time over which the log is looked at.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let errors = errors(&bench);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].contains("make room"), "{errors:#?}");
    // It answers meanwhile.
    bench.status().await;
    make_room(&bench);
    bench.purged("/a.css").await;
    bench.settle().await;
    assert_eq!(bench.purges(), ["/a.css"]);
    assert!(bench.log().contains("takes what it is given again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_during_the_first_reading_ends_nothing() {
    if !may_mount() {
        return;
    }
    let mut bench = Bench::new().await;
    let _state = small_state(&bench);
    for number in 0..12_000 {
        let path = bench.site().join(format!("{}/{number}.css", number % 20));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "one").unwrap();
    }
    bench.spawn();
    bench
        .started(|origin| origin["unread_files"].as_u64() > Some(0))
        .await;
    fill(&bench);
    let said = bench.alarm("commit").await;
    assert!(
        said.contains("index.db") && said.contains("make room"),
        "{said}"
    );
    bench.write("0/0.css", "two");
    make_room(&bench);
    bench.started(|origin| origin["unread_files"] == 0).await;
    bench.settle().await;
    assert_eq!(bench.purges(), ["/0/0.css"]);
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_a_full_disk_it_starts_when_there_is_room_and_has_lost_nothing() {
    if !may_mount() {
        return;
    }
    let mut bench = Bench::new().await;
    let _state = small_state(&bench);
    bench.write("a.css", "one");
    bench.start().await;
    fill(&bench);
    bench.write("a.css", "two");
    bench.alarm("commit").await;
    bench.kill().await;
    // Whether it comes up without room or not: it says why, and leaves all as it is.
    bench.spawn();
    until("it says so", async || {
        bench.log().contains("make room").then_some(())
    })
    .await;
    bench.kill().await;
    make_room(&bench);
    bench.start().await;
    bench.settle().await;
    assert_eq!(bench.purges(), ["/a.css"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_waits_for_room_is_not_taken_for_dead() {
    if !may_mount() {
        return;
    }
    let mut bench = Bench::new().await;
    let _state = small_state(&bench);
    let mut systemd = Systemd::of(&mut bench);
    bench.sandbox.set_purge_delay(Duration::from_secs(5));
    // Both that commit wait: the engine, whose purge is on its way, and the origin.
    bench.write("a.css", "one");
    bench.start().await;
    bench.write("a.css", "two");
    until("the purge is on its way", async || {
        (bench.requests().len() == 1).then_some(())
    })
    .await;
    fill(&bench);
    bench.write("b.css", "two");
    bench.alarm("commit").await;
    let stuck = "can't be committed, nothing is sent";
    until("it can't be written down", async || {
        bench.log().contains(stuck).then_some(())
    })
    .await;
    systemd.is_fed().await;
    make_room(&bench);
    bench.settle().await;
    assert_eq!(bench.purges(), ["/a.css", "/b.css"]);
}
