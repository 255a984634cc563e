//! Deploy webhooks: who may tell that something was deployed, and what that makes stale.
//!
//! A [`Route`] has one fixed kind, which says how its deliveries are authenticated and what they
//! mean; neither is ever guessed from what a sender sends. A delivery is verified over the exact
//! bytes, and nothing of it is parsed before that.

mod bounded;
mod branch;
mod content;
mod delivery;
mod headers;
pub mod kind;
mod paths;
mod pointer;
mod printable;
mod push;
mod reading;
mod route;
mod secret;
mod signature;
mod timestamp;
mod verifier;

pub use delivery::{Delivery, Unreadable, Wish};
pub use kind::Kind;
pub use pointer::Pointer;
pub use route::{Handshake, Purge, Route, RouteSettings};
pub use secret::{MAX_SECRETS, SecretError};
pub use signature::{Digest, Encoding, Piece};
pub use timestamp::Unit;
pub use verifier::{Authentic, Refused, Verifier};

#[cfg(test)]
mod tests;
