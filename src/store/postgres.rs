//! The store in `PostgreSQL`: the tables of `queue.db` in a schema of a database.
//!
//! A connection works as one of `SQLite` does, in a thread of its own that waits for each answer
//! ([`Session`](super::db::Session)), so that the statements and what is between them are one code. The
//! thread runs the connection itself (a runtime of one thread): a statement costs one way to the server and
//! back, and no change of threads. Where a transaction writes many rows, they leave together: rows that are
//! inserted as one statement over arrays, others in one flight.
//!
//! **One writer at a time**, as `SQLite` has it: each transaction that writes takes a lock of the schema
//! first, and the lock ends with it. So numbers are consecutive in the order of commits, and no
//! transaction has to be made again.
//!
//! **A connection that is lost is made again** (`session.rs`); while it can't be, calls fail at once with
//! [`StoreError::Away`], and a task tries (`probe.rs`). **A commit whose answer was lost is resolved**: each
//! writes a mark (the table `batch`), and the next connection looks which was the last. **What a server has
//! forgotten**, as a standby that was behind, is committed again from memory ([`Ring`](crate::core::ring::Ring));
//! what a process before this one was answered, its last mark in the state directory shows (`marked.rs`). What
//! follows from marks is one code for this and for a database in memory (`store/marks.rs`).
//!
//! **A queue that was in `queue.db` is taken over** at the first start with a database (`import.rs`).
//!
//! Several nodes work on a schema, each with marks of its own, by which it also notices that another process
//! runs as the same node. A lock of the writer's session keeps that out before it writes: it is copied with
//! the disk, or has the same name. The lock is free as soon as a process has ended.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_postgres::error::SqlState;

use super::calls::delivery_keys::DeliveryKeys;
use super::calls::node::Identity;
use super::calls::queue::Pulled;
use super::calls::{history, operate, queue};
use super::db::Session as _;
use super::marks::{self, Marks};
use super::servers::Servers;
use super::sqlite::lock::Lock;
use super::sqlite::{DeliveryBatcher, Lane, Worker};
use super::{Store, StoreError, StoreSettings, Why};
use crate::core::change::Seq;
use crate::core::lease::NodeId;
use crate::database::DatabaseUrl;
use crate::lineage::Lineage;
use crate::supervise::Supervisor;
pub use demo::{begin_demo, end_demo};
pub(super) use import::moved;
use listener::Listener;
use marked::Marked;
use session::{Part, Postgres};
pub use survey::{Survey, survey};

mod demo;
mod form;
mod import;
mod join;
mod key;
mod listener;
mod marked;
mod pooler;
mod probe;
mod schema;
mod session;
mod survey;

/// Reads the URL of a database, from wherever it is by then. An error is why it can't.
pub type UrlReader = Arc<dyn Fn() -> Result<DatabaseUrl, String> + Send + Sync>;

/// A database that has queue and history.
#[derive(Clone)]
pub struct Database {
    /// Its URL, which is read again for each connection.
    pub url: UrlReader,
    /// The schema that has the tables; made when it is missing.
    pub schema: String,
    /// What this node is called among those that use the schema.
    pub node: String,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({})", self.schema)
    }
}

/// Opens the store in a database: makes the tables when they are missing.
///
/// # Errors
/// [`StoreError::Unusable`] when the tables are a newer version's, or for another API; then nothing is
/// changed. [`StoreError::Locked`] when another edgepurge has the state directory, [`StoreError::Away`] when
/// the database can't be reached, or another edgepurge runs as the same node.
pub(super) fn open(
    settings: &StoreSettings,
    database: &Database,
    supervisor: &Supervisor,
) -> Result<Store, StoreError> {
    let lock = Lock::take(&settings.directory)?;
    // A thread may wait for its own runtime only outside of another.
    let last = Arc::new(watch::Sender::new(Seq(0)));
    let servers = Arc::new(Servers::new(&last));
    let opened = std::thread::scope(|scope| {
        let opening = scope.spawn(|| Opened::new(settings, database, &servers));
        opening.join()
    });
    let opened = opened.unwrap_or(Err(StoreError::Closed))?;
    last.send_replace(opened.lineage.last);
    let lately = opened.writer.marks().lately();
    let commits = Arc::default();
    let (pulled, keys) = (Pulled::elsewhere(), DeliveryKeys::shared());
    let arrivals = DeliveryBatcher::new(keys.clone(), pulled.clone(), Arc::clone(&last), &commits)
        .answering_from_a_task(supervisor)
        .answering_in_time()
        .keeping(lately.clone());
    let (away, instance) = (opened.writer.away(), opened.writer.identity()?.instance);
    let writer = Worker::writer(
        opened.writer,
        &commits,
        Some((arrivals.clone(), Some(lock))),
    );
    let writer = Lane::thread("queue writer", writer, supervisor)?.of_server(away);
    let beside = |name, part| {
        let session = Postgres::new(database, part, Marks::new(&servers, None))?;
        let away = session.away();
        let lane = Lane::thread(name, Worker::reader(session), supervisor)?;
        Ok::<_, StoreError>(lane.of_server(away))
    };
    let publisher = beside("queue publisher", Part::Publisher(opened.node))?;
    let reader = beside("queue reader", Part::Reader)?;
    probe::spawn("probe of the queue's writer", &writer, supervisor);
    probe::spawn("probe of the queue's publisher", &publisher, supervisor);
    probe::spawn("probe of the queue's reader", &reader, supervisor);
    let (others, full) = (Arc::default(), Arc::default());
    let listener = Listener {
        database: database.clone(),
        node: opened.node,
        last: Arc::downgrade(&last),
        arrivals: arrivals.clone(),
        others: Arc::clone(&others),
        full: Arc::clone(&full),
        servers: Arc::clone(&servers),
    };
    listener.spawn(supervisor);
    Ok(Store {
        writer,
        publisher,
        reader,
        others,
        full,
        history: Arc::clone(servers.history()),
        lately,
        last,
        arrivals,
        keys,
        commits,
        pulled,
        lineage: opened.lineage,
        node: opened.node,
        instance,
        is_on_server: true,
    })
}

/// The connection of a store that writes, and what was read at its start.
struct Opened {
    writer: Postgres,
    node: NodeId,
    lineage: Lineage,
}

impl Opened {
    fn new(
        settings: &StoreSettings,
        database: &Database,
        servers: &Arc<Servers>,
    ) -> Result<Self, StoreError> {
        let identity = Identity {
            name: database.node.clone(),
            key: key::key(&settings.directory)?,
            instance: fastrand::i64(..),
        };
        let marked = Box::new(Marked::open(&settings.directory)?);
        let marks = Marks::new(servers, Some(marked));
        let writer = Postgres::new(database, Part::Writer(identity), marks)?;
        writer.begin()?;
        let before = schema::migrate(&writer)?;
        let mut import = import::import(settings, &writer, before == 0)?;
        let (epoch, api) = operate::identity(&writer, &settings.api_url)?;
        if api != settings.api_url {
            let why = format!(
                "the queue in PostgreSQL is for the API {api}, not for {}",
                settings.api_url
            );
            return Err(StoreError::Unusable(why.into()));
        }
        let (node, joined) = writer.join(before)?;
        let beginning = match &import {
            Some(import) if before == 0 => import.beginning.clone(),
            _ => joined,
        };
        let lineage = Lineage {
            epoch: marks::epoch_of(&writer, node)?.unwrap_or(epoch),
            last: queue::last_seq(&writer)?,
            pruned: history::pruned(&writer, node)?,
            beginning,
        };
        let wrote = import.iter_mut().flat_map(|import| import.wrote.drain(..));
        writer.marks().begins_with(wrote);
        writer.commit()?;
        if let Some(import) = &import {
            import.finish()?;
        }
        Ok(Self {
            writer,
            node,
            lineage,
        })
    }
}

/// The error of a call to `PostgreSQL`. Where the server is not reached, or does not work as it is now,
/// the call can be made again later.
fn failed(error: tokio_postgres::Error) -> StoreError {
    let (text, away) = if let Some(said) = error.as_db_error() {
        let code = said.code().code();
        let mut text = format!("PostgreSQL: {} ({code})", said.message());
        if *said.code() == SqlState::DISK_FULL {
            text.push_str("; make room on the disk of the server");
        }
        (text, AWAY.iter().any(|class| code.starts_with(class)))
    } else {
        let source = std::error::Error::source(&error);
        let source = source.and_then(|source| source.downcast_ref::<std::io::Error>());
        let text = match source {
            Some(source) => format!("PostgreSQL: {source}"),
            None => format!("PostgreSQL: {error}"),
        };
        (text, error.is_closed() || source.is_some())
    };
    let why = Why::because(text, error);
    if away {
        StoreError::Away(why)
    } else {
        StoreError::Failed(why)
    }
}

/// What a server says that is there and does not work for now: connections that break, a shutdown or a
/// start, too many connections, a standby, a lock that another holds, and another writer's mark.
const AWAY: [&str; 6] = ["08", "57P", "53300", "25006", "55P03", session::OTHER_MARK];

#[cfg(test)]
mod tests;
