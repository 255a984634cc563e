//! The seeded simulation of the core: random histories of changes, crashes, lost and late replies,
//! refusals, errors and clock steps, against a model of the API and of the edge. After each, what
//! must always hold is checked.
//!
//! `SIM_SEEDS=n` runs n seeds (default 500), `SIM_SEED=k` replays one with its trace.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test program speaks, trusts itself, and is told its seed by the environment"
)]

#[path = "sim/api.rs"]
mod api;
#[path = "sim/checks.rs"]
mod checks;
#[path = "sim/world.rs"]
mod world;

use world::World;

const SEEDS: u64 = 500;

#[test]
fn every_history_keeps_every_promise() {
    if let Some(seed) = env("SIM_SEED") {
        let mut world = World::new(seed, true);
        let result = world.live();
        eprintln!("{}", world.trace());
        result.unwrap();
        return;
    }
    let seeds = env("SIM_SEEDS").unwrap_or(SEEDS);
    for seed in 0..seeds {
        let mut world = World::new(seed, false);
        if let Err(broken) = world.live() {
            let mut again = World::new(seed, true);
            drop(again.live());
            eprintln!("{}", again.trace());
            panic!("seed {seed}: {broken}; replay with SIM_SEED={seed}");
        }
    }
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
