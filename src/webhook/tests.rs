//! What must hold for deploy webhooks, in the words of those who send and receive them.

mod bench;
mod negative;
mod routes;
mod senders;
mod vectors;
