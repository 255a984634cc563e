//! Deploy webhooks: who may report a deploy, and what that makes stale.
//!
//! A [`Route`] has one kind, one scheme and its secrets, all from the configuration; nothing that a
//! sender sends chooses among them. The listener accepts connections within limits (`http/listener.rs`), passes
//! each request to its route (`http/server.rs`), and answers when what the delivery asks for is committed
//! ([`crate::sink::Deliveries`]).
//!
//! The body streams through the route's verifier, which keeps nothing of it (but Ed25519, which needs the
//! whole body: 1 MiB). Whatever is wrong, the work and the answer are the same. Nothing is parsed before
//! the delivery is authentic. Then `payload/push.rs` says whether its list of files is complete, `payload/paths.rs` checks
//! them, and `route/scope.rs` says whether the route is for it.
//!
//! **A duplicate is recognised by signed bytes, or not at all.** By a signed id: `standard`, `gitlab` with
//! a signing token, `contentful` with a signed idempotency key, `vercel`, `generic` with a signature and
//! `id`. By the digest of the signed bytes, where they name their event: `github` (runs, deployments,
//! builds, releases, and pushes with their time), `sanity` (the time is signed), `netlify`. Not: `gitea`,
//! `forgejo`, `bitbucket` (a push back and forth and back has equal bytes), and all that only show a
//! token. So a repeated `{"scan":true}` is never a duplicate. What a duplicate does is in
//! `core/delivery.rs`.

mod auth;
mod http;
pub mod kind;
mod payload;
mod route;
mod tls;

pub use auth::refused::Refused;
pub use auth::secret::{MAX_SECRETS, SecretError};
pub use auth::signature::{Digest, Encoding, Mac, Piece, Protocol, Scheme, Stamp, StampPlace};
pub use auth::timestamp::Unit;
pub use auth::verifier::{Authentic, Verifier};
pub use http::{
    CertificateReader, CertificateStatus, CurrentCertificate, Hook, LastDelivery, LastRefusal,
    Listen, ListenerHandle, Outcome, RouteStatus, ServerSettings, Sockets, Tallies, serve,
};
pub use kind::{Handshake, Kind};
pub use payload::content::Unreadable;
pub(crate) use payload::pattern::{BranchProblem, check_branch};
pub use payload::pointer::Pointer;
pub(crate) use payload::repository::{RepositoryProblem, check_repository};
pub use route::delivery::{Delivery, Wish};
pub use route::{Origins, Purge, Route, RouteSettings};
pub use tls::{Certificate, CertificateError, CertificateFacts};

#[cfg(test)]
mod tests;
