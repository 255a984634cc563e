//! A node that starts: which it is, and what is known of its past.

use super::session::{NODES, Postgres};
use crate::core::lease::NodeId;
use crate::core::ring::Mark;
use crate::lineage::Beginning;
use crate::store::calls::node::{self, Known};
use crate::store::calls::operate;
use crate::store::db::{Db, values};
use crate::store::{StoreError, sql};

/// The mark of a number, or the first one that is kept after it.
const FIRST_OR_EQUAL: &str =
    "SELECT n, mark FROM batch WHERE node = ?1 AND n >= ?2 ORDER BY n LIMIT 1";

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
        let found = self.read_mark(node)?;
        let noted = operate::meta(db, &forgotten(node))?;
        let why = match noted {
            None if before > 0 => self.forgotten_since(node, found)?,
            noted => noted,
        };
        if let Some(why) = why {
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

    /// Why the database is not one that has all that the process before this one was answered.
    fn forgotten_since(&self, node: NodeId, found: Mark) -> Result<Option<String>, StoreError> {
        let db: &dyn Db = self;
        let Some(answered) = self.marked() else {
            return Ok(None);
        };
        // Of a directory that is older than the database, the mark may be one that is not kept any more.
        let known = db.optional(FIRST_OR_EQUAL, &values![node, answered.n], |row| {
            Ok(Mark {
                n: row.get("n")?,
                mark: Some(row.get("mark")?),
            })
        })?;
        let is_kept = known.is_some_and(|known| known == answered || known.n > answered.n);
        Ok((!is_kept).then(|| {
            format!(
                "PostgreSQL has forgotten commits of this node while it did not run, as in a failover to a standby \
                 that was behind, or a backup that was restored: of {}, {} are there",
                answered.n, found.n
            )
        }))
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
