//! A database in memory, with the SQL and the schema of the one on disk.

use std::sync::{Arc, LazyLock, Mutex};

use tokio::sync::watch;

use super::lane::lock;
use super::{
    Beginning, DeliveryBatcher, DeliveryKeys, Lane, Lineage, NodeId, Pulled, Store, StoreError,
    Worker, history, queue, schema,
};
use crate::store::commits::Commits;
use crate::store::db::Db;
use crate::store::written::Lately;

/// An empty database of this version: to copy it is much faster than to run the migrations.
static EMPTY: LazyLock<Result<Vec<u8>, StoreError>> = LazyLock::new(schema::empty);

/// A database in memory. It outlives the stores that are opened on it, as a file outlives a process:
/// what was committed is there, and what a store has in its own memory is not.
#[derive(Clone)]
pub struct InlineDatabase {
    worker: Arc<Mutex<Worker>>,
    commits: Arc<Commits>,
}

impl std::fmt::Debug for InlineDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InlineDatabase")
    }
}

impl InlineDatabase {
    /// An empty database.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new() -> Result<Self, StoreError> {
        let empty = EMPTY.as_ref().map_err(Clone::clone)?;
        let connection = schema::open_copy(empty)?;
        let commits = Arc::default();
        let worker = Worker::writer(connection, &commits, None);
        Ok(Self {
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

    /// The same, of one of several nodes.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn open_as(&self, node: NodeId) -> Result<Store, StoreError> {
        let store = self.store(lock(&self.worker).db())?;
        Ok(Store { node, ..store })
    }

    fn store(&self, db: &dyn Db) -> Result<Store, StoreError> {
        let lineage = Lineage {
            epoch: "inline".to_owned(),
            last: queue::last_seq(db)?,
            pruned: history::pruned(db, NodeId::ONLY)?,
            beginning: Beginning::Continued,
        };
        let last = Arc::new(watch::Sender::new(lineage.last));
        let keys = DeliveryKeys::read(db)?;
        let pulled = Pulled::here();
        Ok(Store {
            writer: Lane::InlineWriter(Arc::clone(&self.worker)),
            publisher: Lane::InlineWriter(Arc::clone(&self.worker)),
            reader: Lane::InlineReader(Arc::clone(&self.worker)),
            arrivals: DeliveryBatcher::new(
                keys.clone(),
                pulled.clone(),
                Arc::clone(&last),
                &self.commits,
            ),
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
        })
    }
}
