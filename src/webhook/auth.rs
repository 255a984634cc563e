//! Who sent a delivery: whether its headers and its body are those of a sender that has the route's
//! secret. A scheme is a value of the configuration; a kind whose scheme is its own describes it as a
//! [`signature::Protocol`]. Nothing here reads what a body says, knows a kind, or does I/O.

pub(super) mod headers;
pub(super) mod refused;
pub(super) mod secret;
pub(super) mod signature;
pub(super) mod timestamp;
pub(super) mod verifier;
