//! The marks of a node's commits, and what follows from them: what became of a commit in doubt, and what a server
//! has forgotten. It is committed again from memory, or a loss, which the next start of the node makes good.
//!
//! An engine says when a connection is new and which server it is to, and brings the transaction.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::calls::node::{self, Identity};
use super::calls::{batch, operate, queue};
use super::db::{Db, values};
use super::servers::Servers;
use super::written::{Lately, Written};
use super::{StoreError, sql};
use crate::core::change::Seq;
use crate::core::lease::NodeId;
use crate::core::ring::{Compared, Mark, Ring};
use crate::core::time::Time;

/// From here on the queue goes on under a name of its own for a node that has lost commits, which is made good.
pub(in crate::store) fn begin_anew(
    db: &dyn Db,
    node: NodeId,
    name: &str,
) -> Result<(), StoreError> {
    db.execute(sql::meta::SET, &values![&epoch(node), name])?;
    db.execute(sql::meta::DELETE, &values![&forgotten(node)])
        .map(drop)
}

/// The key of the reason why commits of a node are missing, until its next start has read it.
fn forgotten(node: NodeId) -> String {
    format!("forgotten:{}", node.0)
}

/// The key of the name under which the queue goes on for a node that has lost commits.
fn epoch(node: NodeId) -> String {
    format!("epoch:{}", node.0)
}

/// The name under which the queue goes on for a node, where it is not the queue's own.
pub(in crate::store) fn epoch_of(db: &dyn Db, node: NodeId) -> Result<Option<String>, StoreError> {
    operate::meta(db, &epoch(node))
}

/// Where the mark of the last commit outlives the process.
pub(in crate::store) trait MarkFile: Send {
    /// The mark; `None` where there is none yet.
    fn read(&self) -> Option<Mark>;

    /// Keeps a mark in the place of the one before.
    fn keep(&self, mark: Mark);
}

/// What a new connection shows.
pub(in crate::store) enum Found {
    /// Every commit is there that was answered, and this one that was in doubt.
    All(Option<i64>),
    /// So many commits with so many changes were missing, and are committed again: up to this change.
    Again {
        commits: u64,
        changes: usize,
        last: Seq,
    },
    /// Commits are missing that can't be committed again: why.
    Lost(String),
}

/// The marks of a connection that writes as a node, or of one that follows the same servers beside it.
pub(in crate::store) struct Marks {
    /// `None` until the first transaction has read the last mark, and for a connection that writes none.
    node: Cell<Option<NodeId>>,
    /// The mark of a commit whose answer was lost.
    in_doubt: Cell<Option<i64>>,
    /// Whether the commit that was in doubt was kept.
    resolved: Cell<Option<bool>>,
    lately: RefCell<Lately>,
    /// What the first transaction writes.
    first: RefCell<Vec<Written>>,
    /// Has the last mark for the next process.
    file: Option<Box<dyn MarkFile>>,
    servers: Arc<Servers>,
    /// How often the server had changed when the connection was made.
    made_at: Cell<u64>,
}

impl Marks {
    /// Of a connection that is to be made; `file` has the last mark of the process before, where it writes.
    pub(in crate::store) fn new(servers: &Arc<Servers>, file: Option<Box<dyn MarkFile>>) -> Self {
        Self {
            node: Cell::default(),
            in_doubt: Cell::default(),
            resolved: Cell::default(),
            lately: RefCell::default(),
            first: RefCell::default(),
            file,
            servers: Arc::clone(servers),
            made_at: Cell::default(),
        }
    }

    /// A node's process begins, within its first transaction: the ring begins after the node's last mark. Returns why
    /// commits of the process before are missing, where they are. Of a database that `is_new` none can be.
    pub(in crate::store) fn begin(
        &self,
        db: &dyn Db,
        node: NodeId,
        is_new: bool,
    ) -> Result<Option<String>, StoreError> {
        let found = batch::last(db, node)?;
        self.lately.replace(Lately::of(Ring::new(found)));
        self.node.set(Some(node));
        let noted = operate::meta(db, &forgotten(node))?;
        let why = match noted {
            None if !is_new => self.forgotten_since(db, node, found)?,
            noted => noted,
        };
        if why.is_some() {
            let new = Written::Epoch(uuid::Uuid::new_v4().to_string());
            new.again(db, node)?;
            self.first.borrow_mut().push(new);
        }
        Ok(why)
    }

    /// Why the database is not one that has all that the process before this one was answered.
    fn forgotten_since(
        &self,
        db: &dyn Db,
        node: NodeId,
        found: Mark,
    ) -> Result<Option<String>, StoreError> {
        let Some(answered) = self.file.as_ref().and_then(|file| file.read()) else {
            return Ok(None);
        };
        // Of a directory that is older than the database, the mark may be one that is not kept any more.
        let known = batch::first_or_equal(db, node, answered.n)?;
        let is_kept = known.is_some_and(|known| known == answered || known.n > answered.n);
        Ok((!is_kept).then(|| {
            format!(
                "PostgreSQL has forgotten commits of this node while it did not run, as in a failover to a standby \
                 that was behind, or a backup that was restored: of {}, {} are there",
                answered.n, found.n
            )
        }))
    }

    /// The first transaction, which has begun, has written this as well.
    pub(in crate::store) fn begins_with(&self, written: impl IntoIterator<Item = Written>) {
        self.first.borrow_mut().extend(written);
    }

    /// The node whose commits these are, once its last mark is known.
    pub(in crate::store) const fn node(&self) -> Option<NodeId> {
        self.node.get()
    }

    /// The last commits of the node.
    pub(in crate::store) fn lately(&self) -> Lately {
        self.lately.borrow().clone()
    }

    /// The last commit that was acknowledged.
    pub(in crate::store) fn last(&self) -> Mark {
        let lately = self.lately.borrow();
        lately.ring().map_or(Mark::NONE, |ring| ring.last())
    }

    /// A commit was acknowledged.
    pub(in crate::store) fn acknowledged(&self, mark: i64, now: Time) {
        if let Some(mut ring) = self.lately.borrow().ring() {
            ring.committed(mark, now);
            for written in self.first.take() {
                let bytes = written.bytes();
                ring.add(written, bytes);
            }
            if let Some(file) = &self.file {
                file.keep(ring.last());
            }
        }
    }

    /// The answer to a commit was lost.
    pub(in crate::store) fn doubt(&self, mark: i64) {
        self.in_doubt.set(Some(mark));
    }

    /// Whether it is not known yet what became of a commit.
    pub(in crate::store) const fn is_in_doubt(&self) -> bool {
        self.in_doubt.get().is_some()
    }

    /// Once, after a commit was in doubt: whether it was kept.
    pub(in crate::store) fn resolved(&self) -> Option<bool> {
        self.resolved.take()
    }

    /// A new connection is to this server.
    pub(in crate::store) fn connected(&self, server: String) {
        self.made_at.set(self.servers.found(server));
    }

    /// Whether another connection has found another server since this one was made.
    pub(in crate::store) fn is_of_former_server(&self) -> bool {
        self.made_at.get() != self.servers.changes()
    }

    /// Within the first transaction of a new connection, before which nothing is done any more by the one that was
    /// lost: looks which commit was the last. What the server has forgotten is committed again, with the same marks:
    /// if the answer to this is lost, too, the next connection finds out in the same way. No number that was seen is
    /// given again. [`Marks::conclude`] takes it up when the transaction is committed.
    pub(in crate::store) fn resolve(
        &self,
        db: &dyn Db,
        node: NodeId,
        identity: &Identity,
    ) -> Result<Found, StoreError> {
        let found = batch::last(db, node)?;
        db.execute(sql::change::KEEP_LAST, &values![self.servers.last()])?;
        let in_doubt = self.in_doubt.get();
        let kept = in_doubt.filter(|mark| found == self.last().next(*mark));
        if kept.is_some() {
            return Ok(Found::All(kept));
        }
        let compared = match self.lately.borrow().ring() {
            Some(ring) => ring.compare(found),
            None => Compared::Beyond,
        };
        match compared {
            Compared::All => Ok(Found::All(None)),
            Compared::Missing(from) => self.commit_again(db, node, identity, from),
            Compared::Beyond => self.note_forgotten(db, node, identity, found),
        }
    }

    fn commit_again(
        &self,
        db: &dyn Db,
        node: NodeId,
        identity: &Identity,
        from: usize,
    ) -> Result<Found, StoreError> {
        let lately = self.lately.borrow();
        let Some(ring) = lately.ring() else {
            return Ok(Found::All(None));
        };
        // That this process runs as the node may be among it.
        node::join_as(db, node, identity)?;
        let (mut commits, mut changes) = (0, 0);
        for commit in ring.from(from) {
            for written in &commit.wrote {
                written.again(db, node)?;
                changes += written.changes();
            }
            commits += 1;
        }
        batch::add(db, node, ring.from(from).map(|commit| commit.mark))?;
        Ok(Found::Again {
            commits,
            changes,
            last: queue::last_seq(db)?,
        })
    }

    /// Remembers for the next start that commits are missing which are not in the ring.
    fn note_forgotten(
        &self,
        db: &dyn Db,
        node: NodeId,
        identity: &Identity,
        found: Mark,
    ) -> Result<Found, StoreError> {
        let now = node::instance(db, node)?;
        let is_of = |key: &str| key == identity.key;
        let is_ours = now.as_ref().is_none_or(|(_, key)| is_of(key));
        let other = now.is_some_and(|(instance, _)| instance != identity.instance);
        // With fewer commits than were answered, the database has gone back, perhaps to before this process began.
        if is_ours && other && found.n >= self.last().n {
            return Err(node::replaced());
        }
        let why = format!(
            "PostgreSQL has forgotten commits, as in a failover to a standby that was far behind, or a backup that \
             was restored: of {}, {} are there",
            self.last().n,
            found.n
        );
        // The number may have been forgotten, too, and given to a node that has lost nothing. This one finds out by its
        // mark file.
        if is_ours {
            db.execute(sql::meta::SET, &values![&forgotten(node), &why])?;
        }
        Ok(Found::Lost(why))
    }

    /// What a new connection shows is on disk.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] where commits are missing that are not in the ring: the process ends, and its next
    /// start purges everything.
    pub(in crate::store) fn conclude(&self, found: Found, now: Time) -> Result<(), StoreError> {
        let kept = match found {
            Found::All(kept) => kept,
            Found::Again {
                commits,
                changes,
                last,
            } => {
                tracing::error!(
                    commits,
                    changes,
                    "PostgreSQL has forgotten commits of this node, as in a failover to a standby that was behind; \
                     they are committed again"
                );
                self.made_at.set(self.servers.forgot(commits, changes));
                self.servers.announce(last);
                None
            }
            Found::Lost(why) => return Err(StoreError::Unusable(why.into())),
        };
        if let Some(mark) = kept {
            self.acknowledged(mark, now);
        }
        if self.in_doubt.take().is_some() {
            self.resolved.set(Some(kept.is_some()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use crate::lineage::Beginning;
    use crate::store::contract::change;
    use crate::store::{InlineDatabase, InlineNode, Store};

    /// What a node answers that appends something.
    fn appended(store: &Store, asset: &str) -> Result<(), String> {
        let appended = store.append(vec![change("www", asset)]).now_or_never();
        let appended = appended.unwrap().map(drop);
        appended.map_err(|error| error.to_string())
    }

    #[test]
    fn of_what_was_forgotten_with_the_start_of_the_process_it_says_so_and_names_no_other_process() {
        let (database, state) = (InlineDatabase::new().unwrap(), InlineNode::new("web-1"));
        let former = database.join(&state).unwrap();
        let then = database.snapshot().unwrap();
        appended(&former, "/a").unwrap();
        let process = database.join(&state).unwrap();
        database.go_back(&then).unwrap();
        let why = appended(&process, "/b").unwrap_err();
        assert!(why.contains("has forgotten commits"), "{why}");
        let next = database.join(&state).unwrap();
        assert!(matches!(next.lineage().beginning, Beginning::Anew(_)));
    }

    #[test]
    fn where_its_number_was_given_to_another_node_that_one_has_lost_nothing() {
        let database = InlineDatabase::new().unwrap();
        let (first, lost, new) = (
            InlineNode::new("web-1"),
            InlineNode::new("web-2"),
            InlineNode::new("web-3"),
        );
        let _runs = database.join(&first).unwrap();
        let then = database.snapshot().unwrap();
        let process = database.join(&lost).unwrap();
        appended(&process, "/a").unwrap();
        database.go_back(&then).unwrap();
        let other = database.join(&new).unwrap();
        assert_eq!(other.node(), process.node());
        let why = appended(&process, "/b").unwrap_err();
        assert!(why.contains("has forgotten commits"), "{why}");
        appended(&other, "/c").unwrap();
        let next = database.join(&new).unwrap();
        assert_eq!(next.lineage().beginning, Beginning::Continued);
        let next = database.join(&lost).unwrap();
        assert!(matches!(next.lineage().beginning, Beginning::Anew(_)));
    }

    #[test]
    fn a_loss_that_was_made_good_is_not_made_good_again_though_that_is_forgotten() {
        let (database, state) = (InlineDatabase::new().unwrap(), InlineNode::new("web-1"));
        let former = database.join(&state).unwrap();
        let then = database.snapshot().unwrap();
        appended(&former, "/a").unwrap();
        database.go_back(&then).unwrap();
        let then = database.snapshot().unwrap();
        let process = database.join(&state).unwrap();
        let lineage = process.lineage();
        assert!(matches!(lineage.beginning, Beginning::Anew(_)));
        database.go_back(&then).unwrap();
        appended(&process, "/b").unwrap();
        let next = database.join(&state).unwrap();
        assert_eq!(next.lineage().beginning, Beginning::Continued);
        assert_eq!(next.lineage().epoch, lineage.epoch);
    }

    #[test]
    fn what_another_process_has_written_as_the_node_names_it() {
        let (database, state) = (InlineDatabase::new().unwrap(), InlineNode::new("web-1"));
        let process = database.join(&state).unwrap();
        let copy = database.join(&InlineNode::new("web-1")).unwrap();
        appended(&copy, "/a").unwrap();
        let now = database.snapshot().unwrap();
        database.go_back(&now).unwrap();
        let why = appended(&process, "/b").unwrap_err();
        assert!(why.contains("another edgepurge has run"), "{why}");
    }
}
