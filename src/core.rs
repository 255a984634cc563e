//! The pure core: what decides. No I/O, no clock, no async, no randomness of its own, ordered
//! collections only, so that the same history always leads to the same decisions and a
//! simulation can replay it (`tests/sim.rs`).
//!
//! Everything else in the crate is a thin shell around this module. It depends on nothing else
//! in the crate.

pub mod agreement;
pub mod alarm;
pub mod api_time;
pub mod asset;
pub mod backoff;
pub mod budget;
pub mod capacity;
pub mod cause;
pub mod change;
pub mod delivery;
pub mod drift;
pub mod etag;
pub mod lease;
pub mod loss;
pub mod mapping;
pub mod nodes;
pub mod pause;
pub mod planner;
pub mod purge;
pub mod queue;
pub mod refusal;
pub mod ring;
pub mod round;
pub mod suggestion;
pub mod sum;
pub mod time;
pub mod verify;
pub mod website;
