//! The connections, in total and per client, and which one is closed when there is no slot: the oldest
//! that has sent nothing authentic.
//!
//! An unauthenticated connection ends with its answer, so that it can't keep a slot by asking again and
//! again, or by never reading. An authenticated one stays open.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::client::{Client, Peer};
use super::deadlines::Deadlines;

#[derive(Debug, Default)]
struct Open {
    total: usize,
    clients: BTreeMap<Client, usize>,
    /// Those that have not sent an authentic delivery, in the order in which they came.
    unauthenticated: BTreeMap<u64, Unauthenticated>,
    /// The number of the next.
    next: u64,
}

/// A connection without an authentic delivery.
#[derive(Debug)]
struct Unauthenticated {
    client: Option<Client>,
    /// Cancelled when it has to make room.
    leave: CancellationToken,
}

impl Open {
    /// A slot is given back.
    fn back(&mut self, client: Option<Client>) {
        self.total = self.total.saturating_sub(1);
        let Some(client) = client else { return };
        if let Some(count) = self.clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
    }
}

/// Counts connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    total: usize,
    per_client: usize,
    open: Arc<Mutex<Open>>,
}

impl Connections {
    pub(super) fn new(total: usize, per_client: usize) -> Self {
        Self {
            total,
            per_client,
            open: Arc::default(),
        }
    }

    /// Whether the next has to wait for one that leaves.
    pub(super) fn is_full(&self) -> bool {
        lock(&self.open).total >= self.total
    }

    /// Takes a slot; `None` where there is none left. A `client` of `None` stands for many (it is
    /// a trusted proxy, or the Unix socket), and only the total counts. When all are taken, the
    /// oldest unauthenticated connection is closed: a sender has sent what it wants by then.
    pub(super) fn open(&self, client: Option<Client>, leave: CancellationToken) -> Option<Slot> {
        let mut open = lock(&self.open);
        if client.is_some_and(|client| open.clients.get(&client) >= Some(&self.per_client)) {
            return None;
        }
        if open.total >= self.total {
            let (_, oldest) = open.unauthenticated.pop_first()?;
            open.back(oldest.client);
            oldest.leave.cancel();
        }
        if let Some(client) = client {
            *open.clients.entry(client).or_default() += 1;
        }
        open.total += 1;
        let number = open.next;
        open.next += 1;
        open.unauthenticated
            .insert(number, Unauthenticated { client, leave });
        Some(Slot {
            number,
            known: AtomicBool::new(false),
            client,
            open: Arc::clone(&self.open),
        })
    }
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The slot of one connection, given back at its end.
#[derive(Debug)]
pub(super) struct Slot {
    number: u64,
    /// Whether it has sent an authentic delivery.
    known: AtomicBool,
    client: Option<Client>,
    open: Arc<Mutex<Open>>,
}

impl Slot {
    /// It has sent an authentic delivery: it does not have to leave for others any more, unless it had
    /// to already, which is `false`.
    pub(super) fn mark_authenticated(&self) -> bool {
        if self.known.load(Ordering::Relaxed) {
            return true;
        }
        let stays = lock(&self.open)
            .unauthenticated
            .remove(&self.number)
            .is_some();
        self.known.store(stays, Ordering::Relaxed);
        stays
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        // One that had to leave has given its slot back already.
        if open.unauthenticated.remove(&self.number).is_some() || self.known.load(Ordering::Relaxed)
        {
            open.back(self.client);
        }
    }
}

/// One connection, as its requests share it.
#[derive(Debug)]
pub(super) struct Connection {
    /// Where it comes from.
    pub(super) peer: Peer,
    /// By when it has to do its next thing.
    pub(super) deadlines: Deadlines,
    /// Its slot among those that there are.
    pub(super) slot: Slot,
}

#[cfg(test)]
impl Connection {
    /// One through the Unix socket, with all the time that a listener gives.
    pub(super) fn local(clock: crate::clock::Clock) -> std::sync::Arc<Self> {
        Self::of(&Connections::new(1, 1), clock)
    }

    /// One that has to leave, since another came.
    pub(super) fn evicted(clock: crate::clock::Clock) -> std::sync::Arc<Self> {
        let connections = Connections::new(1, 1);
        let first = Self::of(&connections, clock);
        drop(Self::of(&connections, clock));
        first
    }

    fn of(connections: &Connections, clock: crate::clock::Clock) -> std::sync::Arc<Self> {
        let token = tokio_util::sync::CancellationToken::new();
        std::sync::Arc::new(Self {
            peer: Peer::Local,
            deadlines: Deadlines::new(clock, std::time::Duration::from_secs(5)),
            slot: connections.open(None, token).unwrap(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> CancellationToken {
        CancellationToken::new()
    }

    #[test]
    fn one_client_cannot_take_every_slot_and_slots_come_back() {
        let client = |last| Some(Client::of([10, 0, 0, last].into()));
        let connections = Connections::new(4, 2);
        let mine = [
            connections.open(client(1), token()),
            connections.open(client(1), token()),
        ];
        assert!(mine.iter().all(Option::is_some));
        assert!(connections.open(client(1), token()).is_none());
        let proxy = [
            connections.open(None, token()),
            connections.open(None, token()),
        ];
        assert!(proxy.iter().all(Option::is_some));
        for slot in mine.iter().chain(&proxy).flatten() {
            assert!(slot.mark_authenticated());
        }
        assert!(
            connections.open(client(2), token()).is_none(),
            "all are taken"
        );
        drop(mine);
        assert!(connections.open(client(2), token()).is_some());
        drop(proxy);
        let open = connections.open.lock().unwrap();
        assert_eq!((open.total, open.clients.len()), (0, 0));
    }

    #[test]
    fn the_oldest_unauthenticated_connection_makes_room() {
        let connections = Connections::new(3, 3);
        let tokens = [token(), token(), token(), token(), token()];
        let open = |number: usize| connections.open(None, tokens[number].clone());
        let left = || -> Vec<usize> {
            let gone = |number: &usize| tokens[*number].is_cancelled();
            (0..tokens.len()).filter(gone).collect()
        };
        let slots = [open(0).unwrap(), open(1).unwrap(), open(2).unwrap()];
        assert!(
            slots[0].mark_authenticated() && slots[0].mark_authenticated(),
            "as often as it likes"
        );
        let fourth = open(3).unwrap();
        assert_eq!(left(), [1]);
        assert!(!slots[1].mark_authenticated(), "it is too late for that");
        let [first, second, third] = slots;
        drop(second);
        assert_eq!(
            connections.open.lock().unwrap().total,
            3,
            "its slot is given away"
        );
        assert!(fourth.mark_authenticated() && third.mark_authenticated());
        assert!(open(4).is_none(), "all of them are authenticated");
        drop((first, third, fourth));
        assert_eq!(left(), [1]);
        let open = connections.open.lock().unwrap();
        assert_eq!((open.total, open.unauthenticated.len()), (0, 0));
    }
}
