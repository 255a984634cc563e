//! What has to be so before a node writes: that its sessions are its own, and that no other process runs as it.

use std::time::Duration;

use tokio_postgres::Client;

use super::{NODES, Postgres};
use crate::store::StoreError;
use crate::store::calls::node::Identity;
use crate::store::db::{Db, values};
use crate::store::postgres::pooler;

/// The time between two attempts to be the only one.
const AGAIN: Duration = Duration::from_millis(200);
/// So many are made: the session of a process that was killed ends soon.
const ATTEMPTS: usize = 40;
/// A node whose beat moves so often meanwhile is alive. One may be on its way when a process dies.
const ALIVE: usize = 2;

/// Moves with the beat of another process that runs as this node: of this one, another session may still work.
const BEAT: &str = "SELECT coalesce(sum(beat), 0)::bigint FROM node
    WHERE (key = ?1 OR name = ?2) AND instance <> ?3";
/// What another process that has the key of this one runs as.
const OF_KEY: &str = "SELECT name FROM node WHERE key = ?1 AND instance <> ?2";
/// Whether a node was here before.
const IS_KNOWN: &str = "SELECT to_regclass('node') IS NOT NULL";

impl Postgres {
    /// Refuses a way to the server that leads through a pooler in transaction mode.
    pub(super) fn refuse_pooler(&self, client: &Client) -> Result<(), StoreError> {
        let asked = pooler::is_pooled(&self.database, client);
        let pooled = self.runtime.block_on(async {
            let asked = tokio::time::timeout(self.part.patience(), asked).await;
            asked.unwrap_or_else(|_| {
                Err(StoreError::Away("PostgreSQL: no answer".to_owned().into()))
            })
        });
        match pooled {
            Ok(false) => Ok(()),
            Ok(true) => {
                let url = (self.database.url)().map_or_else(|why| why, |url| url.to_string());
                Err(self.refusal(format!(
                    "PostgreSQL: {}; {}; database {url}",
                    pooler::WHY,
                    pooler::HELP
                )))
            }
            Err(error) => Err(StoreError::Away(error.to_string().into())),
        }
    }

    /// Takes the locks of the node's key and name, which last as long as the session.
    pub(super) fn be_alone(&self, identity: &Identity) -> Result<(), StoreError> {
        let Identity {
            name,
            key,
            instance,
        } = identity;
        let schema = &self.database.schema;
        let db: &dyn Db = self;
        let locks = [&**key, &**name].map(|of| format!("{schema}.{of}"));
        let take = format!(
            "SELECT pg_try_advisory_lock({NODES}, hashtext(?1)) AND pg_try_advisory_lock({NODES}, hashtext(?2))"
        );
        let beat = || {
            let is_known: bool = db.value(IS_KNOWN, &[])?;
            if is_known {
                db.value(BEAT, &values![key, name, *instance])
            } else {
                Ok(0)
            }
        };
        let (mut last, mut moves) = (None::<i64>, 0);
        for _ in 0..ATTEMPTS {
            if db.value(&take, &values![&*locks[0], &*locks[1]])? {
                return Ok(());
            }
            let now = beat()?;
            moves += usize::from(last.is_some_and(|last| last != now));
            last = Some(now);
            if moves == ALIVE {
                let copied = db.optional(OF_KEY, &values![key, *instance], |row| {
                    row.get::<String>("name")
                })?;
                return Err(self.refusal(match copied {
                    Some(other) => format!(
                        "another edgepurge runs as the node {other} with the key of this one, as where a disk was \
                         copied: remove the state directory of this one, and give it a name of its own (state.node)"
                    ),
                    None => format!(
                        "another edgepurge runs as the node {name}: give this one another name (state.node)"
                    ),
                }));
            }
            self.runtime
                .block_on(async { tokio::time::sleep(AGAIN).await });
        }
        let why = format!(
            "PostgreSQL: a session of the node {name} is still there, which another edgepurge has that is halted, or \
             a connection that was lost; such a one ends within half a minute"
        );
        Err(StoreError::Away(why.into()))
    }

    /// What stays until it is changed is refused at a start. A process that runs tries again.
    fn refusal(&self, why: String) -> StoreError {
        if self.marks.node().is_some() {
            StoreError::Away(why.into())
        } else {
            StoreError::Unusable(why.into())
        }
    }
}
