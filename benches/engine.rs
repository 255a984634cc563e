//! What the planner and the engine cost, each beside a baseline of the same run.
//!
//! `cargo bench --bench engine`
//!
//! - **throughput**: changes a second through store and planner to `done`, beside the store alone;
//! - **latency**: from the commit of a change (no debounce) to the head of its POST at a server on this
//!   machine, beside the disk's own `fdatasync`;
//! - **idle**: wake-ups of the process while nothing happens, beside a runtime with nothing in it;
//! - **backlog**: 100,000 queued assets: what they take to queue, to send, and of memory;
//! - **calls**: calls to an API whose purges take three seconds, beside the requests that were needed.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a measuring program speaks, trusts itself, and reads the clock"
)]

#[path = "engine/api.rs"]
mod api;
#[path = "engine/daemon.rs"]
mod daemon;
#[path = "engine/plan.rs"]
mod plan;

use std::time::Duration;

/// What is asked of the latency: so much above the disk's own sync.
const ABOVE_SYNC: Duration = Duration::from_millis(3);

fn main() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    throughput(home.path());
    latency(home.path());
    idle(home.path());
    plan::backlog();
    plan::calls();
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The value below which so many hundredths lie.
fn percentile(sorted: &[Duration], hundredths: usize) -> Duration {
    sorted[(sorted.len() * hundredths / 100).min(sorted.len() - 1)]
}

fn throughput(home: &std::path::Path) {
    const CHANGES: usize = 50_000;
    let alone = daemon::store_alone(&home.join("alone"), CHANGES);
    let whole = daemon::store_and_planner(&home.join("whole"), CHANGES);
    println!(
        "throughput: {:.0} changes/s through store and planner to done; the store's appends alone \
         {:.0}/s; ratio {:.2}",
        CHANGES as f64 / whole.as_secs_f64(),
        CHANGES as f64 / alone.as_secs_f64(),
        alone.as_secs_f64() / whole.as_secs_f64()
    );
}

fn latency(home: &std::path::Path) {
    let before = sync(home);
    let posts = daemon::latency(&home.join("latency"), 300);
    let after = sync(home);
    let disk = percentile(&before, 99).max(percentile(&after, 99));
    let (p50, p99) = (percentile(&posts, 50), percentile(&posts, 99));
    let verdict = if p99 <= disk + ABOVE_SYNC {
        "met"
    } else {
        "MISSED"
    };
    println!(
        "latency: commit to POST p50 {:.2} ms, p99 {:.2} ms; fdatasync p50 {:.2} ms, p99 {:.2} ms; \
         p99 ratio {:.2}; target p99 <= {:.2} ms: {verdict}",
        millis(p50),
        millis(p99),
        millis(percentile(&before, 50)),
        millis(disk),
        p99.as_secs_f64() / disk.as_secs_f64(),
        millis(disk + ABOVE_SYNC),
    );
}

/// How long the disk takes to sync 4 KiB, sorted.
fn sync(home: &std::path::Path) -> Vec<Duration> {
    use std::io::Write as _;
    let mut file = std::fs::File::create(home.join("sync")).unwrap();
    let mut took: Vec<Duration> = (0..300)
        .map(|_| {
            file.write_all(&[7; 4_096]).unwrap();
            let began = std::time::Instant::now();
            file.sync_data().unwrap();
            began.elapsed()
        })
        .collect();
    took.sort();
    took
}

fn idle(home: &std::path::Path) {
    let (empty, engine) = daemon::idle(&home.join("idle"), Duration::from_secs(10));
    println!(
        "idle: {engine:.1} wake-ups a second with store and engine, {empty:.1} with a runtime alone"
    );
}
