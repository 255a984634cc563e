//! How many connections there are, in total and per client.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::client::Client;

#[derive(Debug, Default)]
struct Open {
    total: usize,
    clients: BTreeMap<Client, usize>,
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

    /// Takes a place; `None` where there is none left. A `client` of `None` stands for many (it is
    /// a trusted proxy, or the Unix socket), and only the total counts.
    pub(super) fn open(&self, client: Option<Client>) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.total {
            return None;
        }
        if let Some(client) = client {
            let count = open.clients.entry(client).or_default();
            if *count >= self.per_client {
                return None;
            }
            *count += 1;
        }
        open.total += 1;
        Some(Place {
            client,
            open: Arc::clone(&self.open),
        })
    }
}

/// The place of one connection, given back at its end.
#[derive(Debug)]
pub(super) struct Place {
    client: Option<Client>,
    open: Arc<Mutex<Open>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        let Some(client) = self.client else { return };
        if let Some(count) = open.clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                open.clients.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_cannot_take_every_place_and_places_come_back() {
        let client = |last| Some(Client::of([10, 0, 0, last].into()));
        let connections = Connections::new(4, 2);
        let mine = [connections.open(client(1)), connections.open(client(1))];
        assert!(mine.iter().all(Option::is_some));
        assert!(connections.open(client(1)).is_none());
        let proxy = [connections.open(None), connections.open(None)];
        assert!(proxy.iter().all(Option::is_some));
        assert!(connections.open(client(2)).is_none(), "all are taken");
        drop(mine);
        assert!(connections.open(client(2)).is_some());
        drop(proxy);
        let open = connections.open.lock().unwrap();
        assert_eq!((open.total, open.clients.len()), (0, 0));
    }
}
