//! What must hold for deploy webhooks, in the words of those who send and receive them.

pub(super) mod bench;
mod bodies;
mod diagnosis;
mod environments;
mod forges;
mod identity;
mod lists;
mod negative;
mod others;
mod payloads;
mod platforms;
pub(super) mod properties;
mod routes;
mod runs;
mod scopes;
pub(super) mod senders;
