//! The listener: connections within limits and deadlines, requests within a budget of memory, and the
//! responses. It finds the route of a request, passes it to the route, gives what the delivery asks for to the
//! sink, and keeps the metrics of each route. What a delivery means is decided below, in `route`.

pub(super) mod answer;
pub(super) mod body;
mod budget;
pub(super) mod certificate;
pub(super) mod client;
pub(super) mod connections;
mod deadlines;
mod failures;
mod handshake;
pub(super) mod listener;
mod meant;
mod refusal;
mod reused;
pub(super) mod server;
pub(super) mod socket;
pub(super) mod tally;
