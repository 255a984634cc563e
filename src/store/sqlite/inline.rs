//! A database in memory, with the SQL and the schema of the one on disk. Several nodes can share it, and it can go
//! back to what it was, as a server does that another one replaces.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::watch;

use super::{
    Beginning, DeliveryBatcher, DeliveryKeys, Lane, Lineage, NodeId, Pulled, Store, StoreError,
    Worker, history, queue, schema,
};
use crate::core::change::Seq;
use crate::core::ring::Mark;
use crate::core::time::Time;
use crate::store::calls::node::{self, Identity, Known};
use crate::store::commits::Commits;
use crate::store::db::{Db, Session as _};
use crate::store::marks::{self, MarkFile, Marks};
use crate::store::servers::Servers;
use crate::store::written::Lately;
use session::{InlineSession, Shared};

mod session;

/// An empty database of this version: to copy it is much faster than to run the migrations.
static EMPTY: LazyLock<Result<Vec<u8>, StoreError>> = LazyLock::new(schema::empty);

/// A database in memory. It outlives the stores that are opened on it, as a file outlives a process:
/// what was committed is there, and what a store has in its own memory is not.
#[derive(Clone)]
pub struct InlineDatabase {
    shared: Arc<Shared>,
    worker: Arc<Mutex<Worker>>,
    commits: Arc<Commits>,
}

/// A node that shares a database in memory: what outlives its processes, as a state directory does.
#[derive(Clone, Debug)]
pub struct InlineNode {
    name: String,
    mark: Arc<Mutex<Option<Mark>>>,
}

/// What a database in memory was once.
pub struct Snapshot(Vec<u8>);

impl std::fmt::Debug for InlineDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InlineDatabase")
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Snapshot")
    }
}

impl InlineNode {
    /// A node that was never there.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            mark: Arc::default(),
        }
    }
}

impl MarkFile for InlineNode {
    fn read(&self) -> Option<Mark> {
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, mark: Mark) {
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark);
    }
}

impl InlineDatabase {
    /// An empty database.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new() -> Result<Self, StoreError> {
        let empty = EMPTY.as_ref().map_err(Clone::clone)?;
        let shared = Shared::new(schema::open_copy(empty)?);
        let commits = Arc::default();
        let worker = Worker::writer(InlineSession::alone(&shared), &commits, None);
        Ok(Self {
            shared,
            worker: Arc::new(Mutex::new(worker)),
            commits,
        })
    }

    /// A store that works on the thread of each caller, and answers at the first poll. One at a time:
    /// each recognises what it has committed itself.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn open(&self) -> Result<Store, StoreError> {
        self.open_as(NodeId::ONLY)
    }

    /// The same, of one of several nodes, which does not notice that the database goes back.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn open_as(&self, node: NodeId) -> Result<Store, StoreError> {
        let db = InlineSession::alone(&self.shared);
        let lineage = Lineage {
            epoch: "inline".to_owned(),
            last: queue::last_seq(&db)?,
            pruned: history::pruned(&db, NodeId::ONLY)?,
            beginning: Beginning::Continued,
        };
        let last = Arc::new(watch::Sender::new(lineage.last));
        let writer = || Lane::InlineWriter(Arc::clone(&self.worker));
        let reader = Lane::InlineReader(Arc::clone(&self.worker));
        let lanes = [writer(), writer(), reader];
        let keys = DeliveryKeys::read(&db)?;
        Ok(Store {
            node,
            ..self.store(lanes, lineage, last, keys, Pulled::here())
        })
    }

    /// The store of the only process, by the ways of its writer, its publisher and its reader.
    fn store(
        &self,
        [writer, publisher, reader]: [Lane; 3],
        lineage: Lineage,
        last: Arc<watch::Sender<Seq>>,
        keys: DeliveryKeys,
        pulled: Pulled,
    ) -> Store {
        let (of, to) = (keys.clone(), Arc::clone(&last));
        Store {
            arrivals: DeliveryBatcher::new(of, pulled.clone(), to, &self.commits),
            writer,
            publisher,
            reader,
            last,
            keys,
            commits: Arc::clone(&self.commits),
            pulled,
            lineage,
            node: NodeId::ONLY,
            instance: 0,
            others: Arc::default(),
            full: Arc::default(),
            history: Arc::default(),
            lately: Lately::default(),
            is_on_server: false,
        }
    }

    /// A node's process begins: a store of its own, as one on a server. Each process remembers what it has committed
    /// lately, and commits it again where the database goes back.
    ///
    /// # Errors
    /// When the database can't be read, or written.
    pub fn join(&self, state: &InlineNode) -> Result<Store, StoreError> {
        let last = Arc::new(watch::Sender::new(Seq(0)));
        let servers = Arc::new(Servers::new(&last));
        let identity = Identity {
            name: state.name.clone(),
            key: state.name.clone(),
            instance: fastrand::i64(..),
        };
        let marks = Marks::new(&servers, Some(Box::new(state.clone())));
        let session = InlineSession::of_node(&self.shared, marks, Some(identity.clone()));
        session.begin()?;
        let (node, lineage, lately) = began(&session, &identity)?;
        session.commit()?;
        last.send_replace(lineage.last);
        let beside = || {
            let session = InlineSession::of_node(&self.shared, Marks::new(&servers, None), None);
            Lane::InlineReader(Arc::new(Mutex::new(Worker::reader(session))))
        };
        let writer = Worker::writer(session, &self.commits, None);
        let writer = Lane::InlineWriter(Arc::new(Mutex::new(writer)));
        let lanes = [writer, beside(), beside()];
        let (keys, pulled) = (DeliveryKeys::shared(), Pulled::elsewhere());
        let store = self.store(lanes, lineage, last, keys, pulled);
        Ok(Store {
            arrivals: store.arrivals.clone().keeping(lately.clone()),
            node,
            instance: identity.instance,
            history: Arc::clone(servers.history()),
            lately,
            is_on_server: true,
            ..store
        })
    }

    /// What it is now.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.shared.snapshot().map(Snapshot)
    }

    /// It is again what it was: what was committed since is forgotten.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn go_back(&self, to: &Snapshot) -> Result<(), StoreError> {
        self.shared.go_back(schema::open_copy(&to.0)?);
        Ok(())
    }

    /// The time, which says how old commits are.
    pub fn set_time(&self, now: Time) {
        self.shared.set_time(now);
    }
}

/// A node's process begins, in its first transaction.
fn began(
    session: &InlineSession,
    identity: &Identity,
) -> Result<(NodeId, Lineage, Lately), StoreError> {
    let db: &dyn Db = session;
    let marks = session.marks().ok_or(StoreError::Closed)?;
    let (node, known) = node::join(db, identity)?;
    let why = marks.begin(db, node, false)?;
    let lineage = Lineage {
        epoch: marks::epoch_of(db, node)?.unwrap_or_else(|| "inline".to_owned()),
        last: queue::last_seq(db)?,
        pruned: history::pruned(db, node)?,
        beginning: match (why, known) {
            (Some(why), _) => Beginning::Anew(why),
            (None, Known::ByKey) => Beginning::Continued,
            (None, Known::ByName | Known::Not) => Beginning::New,
        },
    };
    Ok((node, lineage, marks.lately()))
}
