//! A node that starts: which it is, and what is known of its past.

use super::session::{NODES, Postgres};
use crate::core::lease::NodeId;
use crate::lineage::Beginning;
use crate::store::StoreError;
use crate::store::calls::node::{self, Known};
use crate::store::db::Db;

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
        if let Some(why) = self.marks().begin(db, node, before == 0)? {
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
}
