//! Deploy webhooks: who may report a deploy, and what that makes stale.
//!
//! A [`Route`] has one kind, one scheme and its secrets, all from the configuration; nothing that a
//! sender sends chooses among them. The listener accepts connections within limits (`listener.rs`), passes
//! each request to its route (`server.rs`), and answers when what the delivery asks for is committed
//! ([`crate::sink::Deliveries`]).
//!
//! The body streams through the route's verifier, which keeps nothing of it (but Ed25519, which needs the
//! whole body: 1 MiB). Whatever is wrong, the work and the answer are the same. Nothing is parsed before
//! the delivery is authentic. Then `push.rs` says whether its list of files is complete, `paths.rs` checks
//! them, and `scope.rs` says whether the route is for it.
//!
//! **A duplicate is recognised by signed bytes, or not at all.** By a signed id: `standard`, `gitlab` with
//! a signing token, `contentful` with a signed idempotency key, `vercel`, `generic` with a signature and
//! `id`. By the digest of the signed bytes, where they name their event: `github` (runs, deployments,
//! builds, releases, and pushes with their time), `sanity` (the time is signed), `netlify`. Not: `gitea`,
//! `forgejo`, `bitbucket` (a push back and forth and back has equal bytes), and all that only show a
//! token. So a repeated `{"scan":true}` is never a duplicate. What a duplicate does is in
//! `core/delivery.rs`.

mod answer;
mod body;
mod bounded;
mod branch;
mod budget;
mod client;
mod connections;
mod content;
mod deadlines;
mod delivery;
mod diagnosis;
mod environment;
mod failures;
mod headers;
pub mod kind;
mod listener;
mod meant;
mod paths;
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
pub use tally::{LastDelivery, LastRefusal, RouteStatus, Tallies};
pub use timestamp::Unit;
pub use verifier::{Authentic, Refused, Verifier};

#[cfg(test)]
mod tests;
