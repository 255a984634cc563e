//! The listener: connections within limits and deadlines, requests within a budget of memory, and the
//! responses. It finds the route of a request, passes it to the route, gives what the delivery asks for to the
//! sink, and keeps the metrics of each route. What a delivery means is decided below, in `route`.

mod answer;
mod body;
mod budget;
mod certificate;
mod client;
mod connections;
mod deadlines;
mod failures;
mod handshake;
mod listener;
mod meant;
mod refusal;
mod server;
mod socket;
mod tally;

pub use answer::Outcome;
pub use certificate::{CertificateReader, CertificateStatus, CurrentCertificate};
pub use listener::{ListenerHandle, serve};
pub use server::{Hook, ServerSettings};
pub use socket::{Listen, Sockets};
pub use tally::{LastDelivery, LastRefusal, RouteStatus, Tallies};

#[cfg(test)]
mod tests;
