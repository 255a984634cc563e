//! Verified, distinct deliveries per second, beside Debian's `webhook` package, in one run.
//!
//! `cargo bench --bench webhook -- [--seconds N] [--rounds N] [--together]`
//!
//! **The same for both**: 64 connections that are kept open, each with one delivery on its way; bodies
//! of 1 KiB as GitHub sends them for a push, every one different, with an id and the time by which a
//! repeated one would be recognised, signed with HMAC-SHA256; an answer counts only when it says that
//! the delivery was taken. The generator (`webhook/generator.rs`: one thread, no HTTP library) signs
//! each body. It has a core of its own, and what it measures has another, so that a delivery's cost to
//! the server decides and not the generator's; with `--together` all of them share all cores. Neither
//! server logs deliveries. They take turns.
//!
//! **Not the same**: `webhook` has the equal HMAC rule and no command, so that it verifies and forgets.
//! edgepurge verifies, reads, commits the delivery with its change in a synced transaction, and purges
//! (at its simulated API). Case `asset`: every delivery asks for the same asset. Case `files`: each
//! lists a file of its own, so that each is a row of the queue.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring program speaks, trusts itself, and reads the clock"
)]

#[path = "webhook/cores.rs"]
mod cores;
#[path = "webhook/disk.rs"]
mod disk;
#[path = "webhook/generator.rs"]
mod generator;
#[path = "webhook/servers.rs"]
mod servers;

use std::time::Duration;

use cores::Cores;
use generator::Sample;
use servers::{Edgepurge, Peer, Server};

/// What is asked of the first case: how many times as many as `webhook`, how much above the disk's own
/// sync, and how much memory.
const RATIO: f64 = 3.0;
const ABOVE_SYNC: Duration = Duration::from_millis(10);
const RESIDENT_KB: u64 = 64 * 1024;

struct Options {
    time: Duration,
    rounds: usize,
    cores: Cores,
}

fn options() -> Options {
    let mut options = Options {
        time: Duration::from_secs(8),
        rounds: 3,
        cores: Cores::Apart,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || -> u64 {
            let number = arguments.next().expect("it takes a number");
            number.parse().expect("it takes a number")
        };
        match argument.as_str() {
            // Cargo's own.
            "--bench" => {}
            "--seconds" => options.time = Duration::from_secs(number()),
            "--together" => options.cores = Cores::Together,
            "--rounds" => options.rounds = usize::try_from(number()).unwrap(),
            other => panic!("there is no option {other}"),
        }
    }
    options
}

fn main() {
    let options = options();
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let sync = disk::sync(home.path());
    println!(
        "fdatasync of 8 KiB: p50 {:.2} ms, p99 {:.2} ms",
        millis(sync.p50),
        millis(sync.p99)
    );
    let Some(peer) = Peer::start(home.path(), options.cores) else {
        println!("`webhook` is not installed: apt-get install webhook");
        return;
    };
    let asset = Edgepurge::start(
        &home.path().join("asset"),
        "[\"/index.html\"]",
        options.cores,
    );
    let files = Edgepurge::start(&home.path().join("files"), "\"files\"", options.cores);
    let mut servers: [(&str, Box<dyn Server>, Vec<Sample>); 3] = [
        ("webhook", Box::new(peer), Vec::new()),
        ("edgepurge asset", Box::new(asset), Vec::new()),
        ("edgepurge files", Box::new(files), Vec::new()),
    ];
    for round in 0..options.rounds {
        for (name, server, samples) in &mut servers {
            let sample = generator::run(&**server, options.time, options.cores);
            println!(
                "round {}: {name}: {:.0}/s, {:.1} us of CPU each, p50 {:.2} ms, p99 {:.2} ms, {} refused",
                round + 1,
                sample.per_second,
                sample.cpu_us,
                millis(sample.p50),
                millis(sample.p99),
                sample.refused
            );
            samples.push(sample);
        }
    }
    let after = disk::sync(home.path());
    println!(
        "fdatasync of 8 KiB: p50 {:.2} ms, p99 {:.2} ms",
        millis(after.p50),
        millis(after.p99)
    );
    report(&servers, sync.p99.max(after.p99));
}

fn report(servers: &[(&str, Box<dyn Server>, Vec<Sample>)], sync: Duration) {
    println!(
        "\n{:<16} {:>9} {:>9} {:>9} {:>9} {:>9} {:>6}",
        "median", "per s", "CPU us", "p50 ms", "p99 ms", "RSS MB", "ratio"
    );
    let mut base = 0.0;
    for (name, server, samples) in servers {
        let mut sorted = samples.clone();
        sorted.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        let median = sorted[sorted.len() / 2];
        let resident = server.peak_kb();
        if base == 0.0 {
            base = median.per_second;
        }
        let ratio = median.per_second / base;
        println!(
            "{name:<16} {:>9.0} {:>9.1} {:>9.2} {:>9.2} {:>7}.{} {ratio:>6.2}",
            median.per_second,
            median.cpu_us,
            millis(median.p50),
            millis(median.p99),
            resident / 1_024,
            resident % 1_024 * 10 / 1_024
        );
        if *name == "edgepurge asset" {
            let met = |good: bool| if good { "met" } else { "MISSED" };
            println!("  at least {RATIO} times: {}", met(ratio >= RATIO));
            println!(
                "  p99 at most {:.2} ms, 10 more than a sync: {}",
                millis(sync + ABOVE_SYNC),
                met(median.p99 <= sync + ABOVE_SYNC)
            );
            println!("  below 64 MB: {}", met(resident < RESIDENT_KB));
        }
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
