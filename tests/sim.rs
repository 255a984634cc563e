//! The seeded simulation of engine, core and store: random histories of changes, crashes, lost, late and repeated
//! replies, refusals, errors, clock steps, reloads and strangers, against a model of the API and of
//! the edge. A sixth of them have several nodes, of which one leads, and which freeze, die, are cut off
//! from the store, join and leave (`sim/fleet.rs`), whose files come one after the other (`sim/agree.rs`), and whose
//! store forgets what it had (`sim/failover.rs`). After each, what must always hold is checked.
//!
//! `SIM_SEEDS=n` runs n seeds (default 4,000), `SIM_FROM=k` begins at another one, `SIM_SEED=k` replays
//! one with its trace. A seed that fails is shrunk to a short history that still fails
//! (`SIM_SHRINK=0`: it is only named).

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test program speaks, trusts itself, and is told its seed by the environment"
)]

#[path = "sim/agree.rs"]
mod agree;
#[path = "sim/api.rs"]
mod api;
#[path = "sim/asks.rs"]
mod asks;
#[path = "sim/checks.rs"]
mod checks;
#[path = "sim/edge.rs"]
mod edge;
#[path = "sim/engine.rs"]
mod engine;
#[path = "sim/failover.rs"]
mod failover;
#[path = "sim/fleet.rs"]
mod fleet;
#[path = "sim/follow.rs"]
mod follow;
#[path = "sim/history.rs"]
mod history;
#[path = "sim/operate.rs"]
mod operate;
#[path = "sim/shrink.rs"]
mod shrink;
#[path = "sim/turns.rs"]
mod turns;
#[path = "sim/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use history::History;
use world::World;

/// So many run by default: a seed costs about 55 ms of one core (debug, `SQLite` optimised), so that these
/// take less than two minutes on two free cores, and they meet everything in [`checks::MEETS`].
const SEEDS: u64 = 4_000;
/// So many seeds meet everything.
const ENOUGH: u64 = SEEDS;

#[test]
fn every_history_keeps_every_promise() {
    if let Some(seed) = env("SIM_SEED") {
        replay(&History::random(seed));
        return;
    }
    let first = env("SIM_FROM").unwrap_or(0);
    let end = first + env("SIM_SEEDS").unwrap_or(SEEDS);
    let began = Instant::now();
    let (next, failed) = (AtomicU64::new(first), AtomicBool::new(false));
    let met = Mutex::new(BTreeMap::<&'static str, u64>::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, Into::into) {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    match live(&History::random(seed)) {
                        Ok(world) => {
                            let mut met = met.lock().expect("nobody panics with it");
                            for (what, times) in world {
                                *met.entry(what).or_default() += times;
                            }
                        }
                        Err(broken) if !failed.swap(true, Ordering::Relaxed) => {
                            tell(seed, &broken);
                        }
                        Err(_) => {}
                    }
                }
            });
        }
    });
    assert!(!failed.load(Ordering::Relaxed), "a seed failed, see above");
    let (seeds, took) = (end - first, began.elapsed().as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = seeds as f64 / took;
    eprintln!("{seeds} seeds in {took:.1} s, {rate:.0} a second");
    let met = met.into_inner().expect("nobody panicked with it");
    eprintln!("{met:?}");
    // A simulation that never meets what it is for would be blind and green.
    if seeds >= ENOUGH {
        let missing: Vec<&&str> = checks::MEETS
            .iter()
            .filter(|what| !met.contains_key(**what))
            .collect();
        assert!(missing.is_empty(), "never met: {missing:?}");
    }
}

/// Lives a history, and tells what was met; a panic counts as a broken promise.
fn live(history: &History) -> Result<BTreeMap<&'static str, u64>, String> {
    let lived = std::panic::catch_unwind(|| {
        let mut world = World::new(history, false);
        world.live(history).map(|()| world.ledger.met())
    });
    lived.unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("it panics: {}", what.unwrap_or_default()))
    })
}

/// Shrinks what failed, and prints its trace.
fn tell(seed: u64, broken: &str) {
    if env("SIM_SHRINK") == Some(0) {
        eprintln!("seed {seed}: {broken}");
        return;
    }
    let short = shrink::shrink(History::random(seed), |history| live(history).is_err());
    let mut again = World::new(&short, true);
    let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| again.live(&short)));
    eprintln!("{}", again.trace());
    eprintln!(
        "seed {seed}: {broken}\nshrunk to {} steps: {said:?}\nreplay the whole with SIM_SEED={seed}",
        short.steps.len()
    );
}

fn replay(history: &History) {
    let mut world = World::new(history, true);
    let result = world.live(history);
    eprintln!("{}", world.trace());
    result.expect("it keeps every promise");
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
