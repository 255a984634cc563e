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
//! writes a mark (the table `batch`), and the next connection looks which was the last.
//!
//! **A queue that was in `queue.db` is taken over** at the first start with a database (`import.rs`).
//!
//! One edgepurge works on a schema: a lock of its writer's session keeps others out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::watch;

use super::calls::delivery_keys::DeliveryKeys;
use super::calls::{history, operate, queue};
use super::db::{Db, Session as _};
use super::sqlite::lock::Lock;
use super::sqlite::{DeliveryBatcher, Lane, Worker};
use super::{Store, StoreError, StoreSettings, Why};
use crate::database::DatabaseUrl;
use crate::lineage::{Beginning, Lineage};
use crate::supervise::Supervisor;
pub(super) use import::moved;
use session::{Part, Postgres};
pub use survey::{Survey, survey};

mod form;
mod import;
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
/// the database can't be reached, or another edgepurge has its schema.
pub(super) fn open(
    settings: &StoreSettings,
    database: &Database,
    supervisor: &Supervisor,
) -> Result<Store, StoreError> {
    let lock = Lock::take(&settings.directory)?;
    // A thread may wait for its own runtime only outside of another.
    let opened = std::thread::scope(|scope| scope.spawn(|| Opened::new(settings, database)).join());
    let opened = opened.unwrap_or(Err(StoreError::Closed))?;
    let last = Arc::new(watch::Sender::new(opened.lineage.last));
    let commits = Arc::new(AtomicU64::new(0));
    let pulled = Arc::default();
    let arrivals =
        DeliveryBatcher::new(opened.keys.clone(), Arc::clone(&pulled), Arc::clone(&last))
            .answering_from_a_task(supervisor)
            .answering_in_time();
    let (writer_away, reader_away) = (opened.writer.away(), opened.reader.away());
    let writer = Worker::writer(
        opened.writer,
        &commits,
        Some((arrivals.clone(), Some(lock))),
    );
    let reader = Worker::reader(opened.reader);
    let writer = Lane::thread("queue writer", writer, supervisor)?.of_server(writer_away);
    let reader = Lane::thread("queue reader", reader, supervisor)?.of_server(reader_away);
    probe::spawn("probe of the queue's writer", &writer, supervisor);
    probe::spawn("probe of the queue's reader", &reader, supervisor);
    Ok(Store {
        writer,
        reader,
        last,
        arrivals,
        keys: opened.keys,
        commits,
        pulled,
        lineage: opened.lineage,
        is_on_server: true,
    })
}

/// The connections of a store, and what was read at its start.
struct Opened {
    writer: Postgres,
    reader: Postgres,
    keys: DeliveryKeys,
    lineage: Lineage,
}

impl Opened {
    fn new(settings: &StoreSettings, database: &Database) -> Result<Self, StoreError> {
        let writer = Postgres::new(database, Part::Writer)?;
        writer.begin()?;
        let new = schema::migrate(&writer)?;
        let import = import::import(settings, &writer, new)?;
        let (epoch, api) = operate::identity(&writer, &settings.api_url)?;
        if api != settings.api_url {
            let why = format!(
                "the queue in PostgreSQL is for the API {api}, not for {}",
                settings.api_url
            );
            return Err(StoreError::Unusable(why.into()));
        }
        writer.read_mark()?;
        let forgotten = writer.take_forgotten()?;
        writer.commit()?;
        if let Some(import) = &import {
            import.finish()?;
        }
        let db: &dyn Db = &writer;
        Ok(Self {
            reader: Postgres::new(database, Part::Reader)?,
            keys: DeliveryKeys::read(db)?,
            lineage: Lineage {
                epoch: forgotten.as_ref().map_or(epoch, |(epoch, _)| epoch.clone()),
                last: queue::last_seq(db)?,
                pruned: history::pruned(db)?,
                beginning: match forgotten {
                    Some((_, why)) => Beginning::Anew(why),
                    None if new => import.map_or(Beginning::New, |import| import.beginning),
                    None => Beginning::Continued,
                },
            },
            writer,
        })
    }
}

/// The error of a call to `PostgreSQL`. Where the server is not reached, or does not work as it is now,
/// the call can be made again later.
fn failed(error: tokio_postgres::Error) -> StoreError {
    let (text, away) = if let Some(said) = error.as_db_error() {
        let code = said.code().code();
        let text = format!("PostgreSQL: {} ({code})", said.message());
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
