//! Who is at the other end of a connection, and what is known of it.

use super::client::Peer;
use super::connections::Place;
use super::deadlines::Deadlines;

/// One connection, as its requests share it.
#[derive(Debug)]
pub(super) struct Visitor {
    /// Where it comes from.
    pub(super) peer: Peer,
    /// By when it has to do its next thing.
    pub(super) deadlines: Deadlines,
    /// What it takes of the places that there are.
    pub(super) place: Place,
}

#[cfg(test)]
impl Visitor {
    /// One through the Unix socket, with all the time that a listener gives.
    pub(super) fn local(clock: crate::clock::Clock) -> std::sync::Arc<Self> {
        Self::of(&super::connections::Connections::new(1, 1), clock)
    }

    /// One that has to leave, since another came.
    pub(super) fn evicted(clock: crate::clock::Clock) -> std::sync::Arc<Self> {
        let connections = super::connections::Connections::new(1, 1);
        let first = Self::of(&connections, clock);
        drop(Self::of(&connections, clock));
        first
    }

    fn of(
        connections: &super::connections::Connections,
        clock: crate::clock::Clock,
    ) -> std::sync::Arc<Self> {
        let token = tokio_util::sync::CancellationToken::new();
        std::sync::Arc::new(Self {
            peer: Peer::Local,
            deadlines: Deadlines::new(clock, std::time::Duration::from_secs(5)),
            place: connections.open(None, token).unwrap(),
        })
    }
}
