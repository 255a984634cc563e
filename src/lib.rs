//! edgepurge keeps a Scaleway Edge Services cache fresh: it watches the origin's files, works out
//! what really changed, coalesces it into purge requests, sends them within rate limits, and
//! tracks each one to its end.
//!
//! The flow of a change, and the modules it passes:
//!
//! ```text
//! origin (hint, look, fact) ─▶ sink ─▶ intake (mapping) ─▶ store ─▶ core::planner ─▶ engine ─▶ scaleway
//! webhook (verify, read) ────────┘
//! ```
//!
//! `ARCHITECTURE.md` has the map and the invariants. Which module may use which stands in
//! `tests/it/house.rs`, which checks it: dependence goes downwards only, and [`core`] uses nothing.

pub mod admin;
pub mod cli;
pub mod clock;
pub mod config;
pub mod core;
pub mod credentials;
pub mod daemon;
pub mod database;
pub mod engine;
pub mod explain;
pub mod fleet;
pub mod intake;
mod jobs;
pub mod lineage;
pub mod metrics;
pub mod origin;
mod page;
pub mod s3;
pub mod sandbox;
pub mod scaleway;
pub mod sink;
mod socket_file;
pub mod store;
pub mod supervise;
pub mod telemetry;
pub mod verify;
pub mod webhook;
