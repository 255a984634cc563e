//! What the file system is: names, links, mounts, stats and bytes below a root, and walks through it.
//! Knows no events and remembers nothing.

pub(super) mod fingerprint;
pub(super) mod guard;
pub(super) mod ignore;
pub(super) mod links;
pub(super) mod links_bound;
mod links_census;
pub(super) mod mounts;
pub(super) mod parallel;
pub(super) mod paths;
pub(super) mod places;
pub(super) mod resolver;
pub(super) mod surroundings;
pub(super) mod targets;
pub(super) mod walk;
