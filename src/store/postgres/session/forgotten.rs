//! A new connection of the writer: what became of a commit in doubt, and what the server has forgotten.

use super::{Marks, Postgres};
use crate::core::lease::NodeId;
use crate::core::ring::{Compared, Mark};
use crate::store::calls::{node, queue};
use crate::store::db::{Db, values};
use crate::store::{StoreError, sql};

/// The mark of a transaction that is committed once more.
const MARK_AGAIN: &str = "INSERT INTO batch (node, n, mark) VALUES (?1, ?2, ?3)";

impl Postgres {
    /// Looks which commit was the last, where this is not the first connection. The lock waits for what the
    /// lost one may still be doing. What the server has forgotten is committed again. No number that was seen is
    /// given again.
    pub(super) fn resolve(&self) -> Result<(), StoreError> {
        let Some(Marks { node, in_doubt }) = self.marks.get() else {
            return Ok(());
        };
        self.lock()?;
        let found = self.last_mark(node)?;
        let kept = in_doubt.filter(|mark| found == self.last().next(*mark));
        let compared = match (kept, self.lately.borrow().ring()) {
            (Some(_), _) => Compared::All,
            (None, Some(ring)) => ring.compare(found),
            (None, None) => Compared::Beyond,
        };
        let db: &dyn Db = self;
        db.execute(sql::change::KEEP_LAST, &values![self.servers.last()])?;
        match compared {
            Compared::All => self.run("COMMIT")?,
            Compared::Missing(from) => self.commit_again(node, from)?,
            Compared::Beyond => return Err(self.give_up(node, found)?),
        }
        if let Some(mark) = kept {
            self.acknowledged(mark);
        }
        if in_doubt.is_some() {
            self.resolved.set(Some(kept.is_some()));
            self.marks.set(Some(Marks {
                node,
                in_doubt: None,
            }));
        }
        Ok(())
    }

    /// Commits what is missing once more, with the same marks: if this answer is lost, too, the next connection
    /// finds out in the same way.
    fn commit_again(&self, node: NodeId, from: usize) -> Result<(), StoreError> {
        let (db, lately): (&dyn Db, _) = (self, self.lately.borrow());
        let Some(ring) = lately.ring() else {
            return Ok(());
        };
        // That this process runs as the node may be among it.
        node::join_as(db, node, self.identity()?)?;
        let (mut commits, mut changes) = (0, 0);
        for commit in ring.from(from) {
            for written in &commit.wrote {
                written.again(db, node)?;
                changes += written.changes();
            }
            commits += 1;
        }
        let marks = ring.from(from).map(|commit| commit.mark);
        let marks = marks.map(|mark| values![node, mark.n, mark.mark]);
        db.many(MARK_AGAIN, marks)?;
        let last = queue::last_seq(db)?;
        let schema = &self.database.schema;
        self.run(&format!(
            "SELECT pg_notify('{schema}', '{}'); COMMIT",
            node.0
        ))?;
        tracing::error!(
            commits,
            changes,
            "PostgreSQL has forgotten commits of this node, as in a failover to a standby that was behind; they \
             are committed again"
        );
        self.made_at.set(self.servers.forgot(commits, changes));
        self.servers.announce(last);
        Ok(())
    }

    /// Remembers for the next start that commits are missing which are not in the ring. Returns why.
    fn give_up(&self, node: NodeId, found: Mark) -> Result<StoreError, StoreError> {
        let identity = self.identity()?;
        if node::instance(self, node)?.is_some_and(|instance| instance != identity.instance) {
            return Ok(node::replaced());
        }
        let why = format!(
            "PostgreSQL has forgotten commits, as in a failover to a standby that was far behind, or a backup that \
             was restored: of {}, {} are there",
            self.last().n,
            found.n
        );
        self.note_forgotten(node, &why)?;
        self.run("COMMIT")?;
        Ok(StoreError::Unusable(why.into()))
    }
}
