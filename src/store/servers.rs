//! Which server the connections of a store are to: the same for all of them.
//!
//! What one server has shown, it never takes back. Another one, or its next start, may not have all of it. So
//! when a connection finds another server than before, all others are made again, and what was read until then
//! counts as history that may have changed ([`History`]).

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::History;
use super::sqlite::announce;
use crate::clock::Clock;
use crate::core::change::Seq;

/// The server of now.
pub(in crate::store) struct Servers {
    now: Mutex<Option<String>>,
    history: Arc<watch::Sender<History>>,
    /// The last change that was seen.
    last: Arc<watch::Sender<Seq>>,
}

impl Servers {
    pub(in crate::store) fn new(last: &Arc<watch::Sender<Seq>>) -> Self {
        Self {
            now: Mutex::default(),
            history: Arc::default(),
            last: Arc::clone(last),
        }
    }

    pub(in crate::store) const fn history(&self) -> &Arc<watch::Sender<History>> {
        &self.history
    }

    /// The last change that was seen.
    pub(in crate::store) fn last(&self) -> Seq {
        *self.last.borrow()
    }

    /// Changes up to this one are there.
    pub(in crate::store) fn announce(&self, last: Seq) {
        announce(&self.last, last);
    }

    /// How often the history may have changed.
    pub(in crate::store) fn changes(&self) -> u64 {
        self.history.borrow().changes
    }

    /// A new connection is to this server. Returns [`Servers::changes`].
    pub(in crate::store) fn found(&self, server: String) -> u64 {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let before = now.replace(server);
        if before.is_some() && before != *now {
            self.history.send_modify(|history| history.changes += 1);
        }
        self.changes()
    }

    /// Commits of this node were missing, and are committed again. Returns [`Servers::changes`].
    pub(in crate::store) fn forgot(&self, commits: u64, changes: usize) -> u64 {
        self.history.send_modify(|history| {
            history.changes += 1;
            history.forgotten += commits;
            history.replayed += changes as u64;
            history.at = Some(Clock::since_boot());
        });
        self.changes()
    }
}
