//! Failed authentications, counted per client and minute, in bounded space.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::client::Client;
use crate::core::time::Time;

/// Clients that are counted by name; the rest is counted together.
const CLIENTS: usize = 4_096;
/// How long a failure counts, and no longer than twice that.
const WINDOW: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Time,
    failures: u32,
}

#[derive(Debug, Default)]
struct Table {
    clients: BTreeMap<Client, Window>,
    /// All clients for which `clients` has no room.
    others: Option<Window>,
}

/// Counts.
#[derive(Debug)]
pub(super) struct Failures {
    limit: u32,
    table: Mutex<Table>,
}

impl Failures {
    pub(super) fn new(limit: NonZeroU32) -> Self {
        Self {
            limit: limit.get(),
            table: Mutex::default(),
        }
    }

    /// Counts one more. Returns whether it is within the limit.
    pub(super) fn count(&self, client: Client, now: Time) -> bool {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |window: &Window| now.since(window.began) >= WINDOW;
        if !table.clients.contains_key(&client) && table.clients.len() >= CLIENTS {
            table.clients.retain(|_, window| !over(window));
        }
        let fresh = Window {
            began: now,
            failures: 0,
        };
        let room = table.clients.len() < CLIENTS || table.clients.contains_key(&client);
        let window = if room {
            table.clients.entry(client).or_insert(fresh)
        } else {
            table.others.get_or_insert(fresh)
        };
        if over(window) {
            *window = fresh;
        }
        window.failures = window.failures.saturating_add(1);
        window.failures <= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> Client {
        Client::of(std::net::Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn each_client_has_a_limit_that_is_forgotten_after_a_minute() {
        let failures = Failures::new(NonZeroU32::new(2).unwrap());
        let at = Time::from_millis;
        for (number, second, within) in [
            (1, 0, true),
            (1, 1, true),
            (1, 2, false),
            (2, 2, true),
            (1, 59, false),
            (1, 60, true),
        ] {
            let counted = failures.count(client(number), at(second * 1_000));
            assert_eq!(counted, within, "client {number} at {second} s");
        }
    }

    #[test]
    fn the_table_is_bounded_and_the_rest_is_counted_together() {
        let failures = Failures::new(NonZeroU32::new(1).unwrap());
        for number in 0..10_000 {
            failures.count(client(number), Time::ZERO);
        }
        assert_eq!(failures.table.lock().unwrap().clients.len(), CLIENTS);
        assert!(!failures.count(client(20_000), Time::ZERO));
        assert!(failures.count(client(20_000), Time::ZERO.after(WINDOW)));
    }
}
