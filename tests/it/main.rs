//! The one integration binary: the real process, real files, real HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test program trusts itself, reads its environment, and speaks"
)]

mod admin;
mod agreement;
mod asks;
mod bench;
mod booted;
mod buckets;
mod commands;
mod config;
mod crash;
mod cut;
mod database;
mod demo;
mod deploy;
mod deploys;
mod discovery;
mod dry_run;
mod explain;
mod failover;
mod field;
mod fleet;
mod fleet_random;
mod fleet_status;
mod fleet_versions;
mod hostile;
mod house;
mod loss;
mod metrics;
mod names;
mod operate;
mod page;
mod prompt;
mod random;
mod rate;
mod refusals;
mod reload;
mod reported;
mod rounds;
mod scan;
mod sdk;
mod service;
mod signers;
mod snapshots;
mod status;
mod storm;
mod swaps;
mod unit;
mod verify;
mod visitors;
mod webhooks;
