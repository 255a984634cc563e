//! A database of the state directory is lost: what changed before can't be known, so everything is
//! purged once, and said. Two lost are a first start.

use std::fs;

use crate::bench::{Bench, until};

/// Everything that starts with this name: the database and its journals.
fn remove(bench: &Bench, name: &str) {
    for entry in fs::read_dir(bench.path("state")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .is_some_and(|file| file.to_string_lossy().starts_with(name))
        {
            fs::remove_file(path).unwrap();
        }
    }
}

/// A daemon that ran, saw a change, and was stopped; then a change that nobody saw.
async fn stopped() -> Bench {
    let mut bench = Bench::new().await;
    bench.write("a.css", "one");
    bench.start().await;
    bench.write("a.css", "two");
    bench.settle().await;
    assert_eq!(bench.purges(), ["/a.css"]);
    assert_eq!(bench.terminate().await, Some(0));
    bench.fetch("/a.css").await;
    bench.write("a.css", "three");
    bench
}

/// After the start everything is purged once, for this reason, and from then on it goes on as ever.
async fn is_made_good(mut bench: Bench, reason: &str) {
    bench.start().await;
    bench.purged("*").await;
    bench.settle().await;
    let (_, _, body) = bench.fetch("/a.css").await;
    assert_eq!(body, "three");
    let records = bench.requests().into_iter();
    assert!(records.last().is_some_and(|request| request.done));
    assert!(bench.log().contains(reason), "{}", bench.log());

    bench.write("a.css", "four");
    bench.settle().await;
    assert_eq!(bench.terminate().await, Some(0));
    bench.start().await;
    bench.settle().await;
    let purges = bench.purges();
    let everything = purges.iter().filter(|asset| *asset == "*").count();
    assert_eq!(everything, 1, "{purges:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_index_costs_one_purge_of_everything() {
    let bench = stopped().await;
    remove(&bench, "index.db");
    is_made_good(bench, "index.db is missing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_index_is_kept_aside_and_costs_one_purge_of_everything() {
    let bench = stopped().await;
    remove(&bench, "index.db");
    fs::write(bench.path("state/index.db"), vec![b'x'; 20_000]).unwrap();
    is_made_good(bench, "it is kept as").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_queue_costs_one_purge_of_everything() {
    let bench = stopped().await;
    remove(&bench, "queue.db");
    is_made_good(bench, "queue.db is missing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_yesterday_costs_one_purge_of_everything() {
    let mut bench = Bench::new().await;
    bench.write("a.css", "zero");
    bench.start().await;
    bench.settle().await;
    assert_eq!(bench.terminate().await, Some(0));
    let journal = bench.path("state/queue.db-wal");
    fs::copy(bench.path("state/queue.db"), bench.path("backup")).unwrap();
    // A stopped daemon may leave its last commits there.
    let kept = fs::copy(&journal, bench.path("backup-wal")).is_ok();
    bench.start().await;
    bench.write("a.css", "one");
    bench.settle().await;
    assert_eq!(bench.terminate().await, Some(0));
    bench.fetch("/a.css").await;
    bench.write("a.css", "three");
    remove(&bench, "queue.db");
    fs::copy(bench.path("backup"), bench.path("state/queue.db")).unwrap();
    if kept {
        fs::copy(bench.path("backup-wal"), &journal).unwrap();
    }
    is_made_good(bench, "queue.db is older than index.db").await;
}

/// Keeps a database as it is while nobody has it open, for [`restore`].
fn back_up(bench: &Bench, name: &str) {
    for suffix in ["", "-wal"] {
        let from = bench.path(&format!("state/{name}{suffix}"));
        let to = bench.path(&format!("{name}{suffix}.backup"));
        // A stopped daemon may leave its last commits in the journal.
        let copied = fs::copy(from, to);
        assert!(copied.is_ok() || !suffix.is_empty(), "{copied:?}");
    }
}

fn restore(bench: &Bench, name: &str) {
    remove(bench, name);
    for suffix in ["", "-wal"] {
        let from = bench.path(&format!("{name}{suffix}.backup"));
        let to = bench.path(&format!("state/{name}{suffix}"));
        let copied = fs::copy(from, to);
        assert!(copied.is_ok() || !suffix.is_empty(), "{copied:?}");
    }
}

/// A daemon that keeps little history, whose index is backed up; since then `b.css` has changed, and
/// the edge has what it was.
async fn backed_up() -> Bench {
    let mut bench = Bench::new().await;
    "retention = \"1s\"".clone_into(&mut bench.state);
    for name in ["a.css", "b.css"] {
        bench.write(name, "zero");
    }
    bench.start().await;
    bench.settle().await;
    assert_eq!(bench.terminate().await, Some(0));
    back_up(&bench, "index.db");
    bench.start().await;
    bench.write("b.css", "one");
    bench.settle().await;
    bench.fetch("/b.css").await;
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_older_than_the_history_costs_one_purge_of_everything() {
    let mut bench = backed_up().await;
    assert_eq!(bench.terminate().await, Some(0));
    // Back to what the old index knows: by it, nothing has changed.
    bench.write("b.css", "zero");
    bench.start().await;
    bench.settle().await;
    // A start deletes what is old by then.
    let changes = |bench: &Bench| -> i64 {
        let queue = rusqlite::Connection::open(bench.path("state/queue.db")).unwrap();
        let count = queue.query_row("SELECT count(*) FROM change", [], |row| row.get(0));
        count.unwrap()
    };
    while changes(&bench) > 0 {
        assert_eq!(bench.terminate().await, Some(0));
        bench.start().await;
    }
    assert_eq!(bench.terminate().await, Some(0));
    restore(&bench, "index.db");
    bench.fetch("/a.css").await;
    bench.write("a.css", "three");
    is_made_good(bench, "index.db is older than the history in queue.db").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_yesterday_whose_history_is_there_is_brought_up_to_date() {
    let mut bench = backed_up().await;
    assert_eq!(bench.terminate().await, Some(0));
    restore(&bench, "index.db");
    bench.state = String::new();
    bench.write("b.css", "zero");
    bench.start().await;
    bench.settle().await;
    assert_eq!(bench.purges(), ["/b.css", "/b.css"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_both_are_gone_it_is_a_first_start_and_purges_nothing() {
    let mut bench = stopped().await;
    remove(&bench, "index.db");
    remove(&bench, "queue.db");
    let before = bench.requests().len();
    bench.start().await;
    bench.settle().await;
    let since: Vec<String> = bench.requests()[before..]
        .iter()
        .flat_map(|request| request.assets.clone())
        .filter(|asset| !asset.starts_with("/settled-"))
        .collect();
    assert_eq!(since, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_purge_of_everything_survives_a_kill_before_it_is_sent() {
    let mut bench = stopped().await;
    remove(&bench, "index.db");
    bench.sandbox.revoke_key();
    bench.start().await;
    until("the purge is queued", async || {
        let status = bench.status().await;
        (status["pipelines"][0]["queued_all"] == "loss").then_some(())
    })
    .await;
    bench.kill().await;
    bench.sandbox.restore_key();
    is_made_good(bench, "can't be known").await;
}
