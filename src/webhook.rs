//! Deploy webhooks: who may tell that something was deployed, and what that makes stale.
//!
//! A [`Route`] has one fixed kind, which says how its deliveries are authenticated and what they
//! mean; neither is ever guessed from what a sender sends. A delivery is verified over the exact
//! bytes, and nothing of it is parsed before that.
//!
//! The listener takes connections within limits, passes deliveries to their routes, and answers
//! when what they ask for is committed ([`crate::sink::Deliveries`]).

mod answer;
mod body;
mod bounded;
mod branch;
mod budget;
mod client;
mod connections;
mod content;
mod delivery;
mod diagnosis;
mod environment;
mod failures;
mod headers;
pub mod kind;
mod listener;
mod meant;
mod paths;
mod patience;
mod pattern;
mod pointer;
mod printable;
mod push;
mod reading;
mod refusal;
mod repository;
mod reused;
mod route;
mod scope;
mod secret;
mod server;
mod signature;
mod socket;
mod tally;
mod timestamp;
mod verifier;
mod visitor;

pub use answer::Outcome;
pub use delivery::{Delivery, Unreadable, Wish};
pub use kind::Kind;
pub use listener::{ListenerHandle, serve};
pub(crate) use pattern::{BranchProblem, check_branch};
pub use pointer::Pointer;
pub(crate) use repository::{RepositoryProblem, check_repository};
pub use route::{Handshake, Purge, Route, RouteSettings};
pub use secret::{MAX_SECRETS, SecretError};
pub use server::{Hook, ServerSettings};
pub use signature::{Digest, Encoding, Mac, Piece, Scheme, Stamp, StampPlace};
pub use socket::{Listen, Sockets};
pub use tally::{LastDelivery, RouteStatus, Tallies};
pub use timestamp::Unit;
pub use verifier::{Authentic, Refused, Verifier};

#[cfg(test)]
mod tests;
