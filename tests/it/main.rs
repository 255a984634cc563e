//! The one integration binary: the real process, real files, real HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test program trusts itself, reads its environment, and speaks"
)]

mod bench;
mod commands;
mod config;
mod crash;
mod demo;
mod deploys;
mod hostile;
mod house;
mod loss;
mod random;
mod rate;
mod scan;
mod sdk;
mod signers;
mod swaps;
mod unit;
mod webhooks;
