//! What must hold for deploy webhooks, in the words of those who send and receive them.

mod bench;
mod bodies;
mod forges;
mod identity;
mod negative;
mod platforms;
mod properties;
mod routes;
mod senders;
mod uniform;
mod vectors;
