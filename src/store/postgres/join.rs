//! A node that starts: which it is, and what is known of its past.

use super::session::{NODES, Postgres};
use crate::core::lease::NodeId;
use crate::lineage::Beginning;
use crate::store::calls::node::{self, Known};
use crate::store::calls::operate;
use crate::store::db::{Db, values};
use crate::store::{StoreError, sql};

/// The key of the reason why commits of a node are missing, until its next start has read it.
fn forgotten(node: NodeId) -> String {
    format!("forgotten:{}", node.0)
}

/// The key of the name under which the queue goes on for a node that has lost commits.
fn epoch(node: NodeId) -> String {
    format!("epoch:{}", node.0)
}

impl Postgres {
    /// Finds out the node's number and its last mark, within the first transaction. `before` is the schema's
    /// version before this start.
    ///
    /// A node that was never here has nothing to purge where others run: they have noticed what changed. Where
    /// none does, changes may have been missed, as where a node comes back without its state directory.
    pub(super) fn join(&self, before: usize) -> Result<(NodeId, Beginning), StoreError> {
        let db: &dyn Db = self;
        let others_run = self.others_run()?;
        let identity = self.identity()?;
        let (node, known) = node::join(db, identity)?;
        self.read_mark(node)?;
        if let Some(why) = operate::meta(db, &forgotten(node))? {
            let new = uuid::Uuid::new_v4().to_string();
            Db::execute(self, sql::meta::SET, &values![&epoch(node), &new])?;
            Db::execute(self, sql::meta::DELETE, &values![&forgotten(node)])?;
            return Ok((node, Beginning::Anew(why)));
        }
        let beginning = match known {
            Known::ByKey => Beginning::Continued,
            // The first has nothing before it, or the work of a process that had no number yet.
            Known::Not if before == 0 => Beginning::New,
            Known::Not if before == 1 => Beginning::Continued,
            Known::Not if others_run => Beginning::New,
            Known::Not => Beginning::Anew(format!(
                "the node {} is new, and no other one was running",
                identity.name
            )),
            Known::ByName => Beginning::Anew(format!(
                "the node {} has another state directory than before",
                identity.name
            )),
        };
        Ok((node, beginning))
    }

    /// Whether another node runs: its session has the lock of its name.
    fn others_run(&self) -> Result<bool, StoreError> {
        let db: &dyn Db = self;
        let sql = format!(
            "SELECT EXISTS (
                 SELECT 1 FROM node JOIN pg_locks ON classid = {NODES}
                 AND objid = (hashtext(current_schema() || '.' || name)::bigint & 4294967295)::oid
                 WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
        );
        db.value(&sql, &[])
    }

    /// The name under which the queue goes on for a node, where it is not the queue's own.
    pub(super) fn epoch_of(&self, node: NodeId) -> Result<Option<String>, StoreError> {
        operate::meta(self, &epoch(node))
    }

    /// Remembers for the next start why the node's commits are missing.
    pub(super) fn note_forgotten(&self, node: NodeId, why: &str) -> Result<(), StoreError> {
        Db::execute(self, sql::meta::SET, &values![&forgotten(node), why]).map(drop)
    }
}
