//! The store in `SQLite`: `queue.db` in the state directory, in WAL mode with full sync; or a
//! database in memory.
//!
//! One thread writes: it takes everything that waits, runs it in one transaction, and answers when
//! that is on disk, so that many callers share one sync. Another reads, so that a long look at the
//! history delays no commit.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::watch;

use super::calls::delivery_keys::DeliveryKeys;
use super::calls::queue::Pulled;
use super::calls::{deliveries, history, operate, queue};
use super::postgres::moved;
use super::written::Lately;
use super::{Database, Store, StoreError, StoreFuture, Why};
use crate::core::change::Seq;
use crate::core::lease::NodeId;
use crate::lineage::{Beginning, Lineage, set_aside};
use crate::supervise::Supervisor;

mod delivery_batcher;
mod driver;
mod inline;
mod lane;
pub(super) mod lock;
mod offline;
mod schema;
mod worker;

pub(super) use delivery_batcher::DeliveryBatcher;
pub use inline::{InlineDatabase, InlineNode, Snapshot};
pub(super) use lane::{Away, Lane};
use lock::Lock;
pub use offline::history_of;
use worker::Job;
pub(super) use worker::Worker;

/// Where the store is, and what it belongs to.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The state directory; made when it is missing.
    pub directory: PathBuf,
    /// The URL of the API that the queue is for.
    pub api_url: String,
    /// The `PostgreSQL` that has queue and history; `None`: they are in `queue.db`.
    pub database: Option<Database>,
}

/// Opens the store in a state directory: see [`Store::open`].
pub(super) fn open(settings: &StoreSettings, supervisor: &Supervisor) -> Result<Store, StoreError> {
    let lock = Lock::take(&settings.directory)?;
    let path = settings.directory.join("queue.db");
    refuse_moved(&path)?;
    let (writer, lineage) = open_or_set_aside(&path, &settings.api_url)?;
    let reader = schema::open_reader(&path)?;
    let last = Arc::new(watch::Sender::new(lineage.last));
    let commits = Arc::default();
    let keys = DeliveryKeys::read(&writer)?;
    let pulled = Pulled::here();
    let arrivals = DeliveryBatcher::new(keys.clone(), pulled.clone(), Arc::clone(&last), &commits)
        .answering_from_a_task(supervisor);
    // The lock goes with the thread that writes.
    let writer = Worker::writer(writer, &commits, Some((arrivals.clone(), Some(lock))));
    let writer = Lane::thread("queue writer", writer, supervisor)?;
    Ok(Store {
        publisher: writer.clone(),
        writer,
        reader: Lane::thread("queue reader", Worker::reader(reader), supervisor)?,
        last,
        arrivals,
        keys,
        commits,
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

/// Refuses to begin a new queue where the one before is in `PostgreSQL`.
fn refuse_moved(path: &Path) -> Result<(), StoreError> {
    let moved = moved(path);
    if path.exists() || !moved.exists() {
        return Ok(());
    }
    let why = format!(
        "the queue was moved to PostgreSQL, and no database is configured; set state.database_url_file again, or \
         remove {} to begin a new queue: what PostgreSQL has queued is not purged then, and everything is purged \
         once",
        moved.display()
    );
    Err(StoreError::Unusable(why.into()))
}

/// Opens the database as it is, or sets it aside and makes a new one.
pub(super) fn open_or_set_aside(
    path: &Path,
    api_url: &str,
) -> Result<(Connection, Lineage), StoreError> {
    let exists = path.exists();
    let why = match open_as_it_is(path, api_url) {
        Ok((connection, mut lineage, api)) if api == api_url => {
            if !exists {
                lineage.beginning = Beginning::New;
            }
            return Ok((connection, lineage));
        }
        Ok((.., api)) => format!("{} is for the API {api}, not for {api_url}", path.display()),
        Err(StoreError::Damaged(why)) => why.to_string(),
        Err(error) => return Err(error),
    };
    let aside = set_aside(path).map_err(|error| {
        let text = format!("{why}; it can't be set aside either: {error}");
        StoreError::Failed(Why::because(text, error))
    })?;
    let why = format!("{why}; it is kept as {}", aside.display());
    let (connection, mut lineage, _) = open_as_it_is(path, api_url)?;
    lineage.beginning = Beginning::Anew(why);
    Ok((connection, lineage))
}

fn open_as_it_is(path: &Path, api_url: &str) -> Result<(Connection, Lineage, String), StoreError> {
    let mut connection = schema::open(path)?;
    schema::migrate(&mut connection, path)?;
    schema::check(&connection, path)?;
    let (epoch, api) = operate::identity(&connection, api_url)?;
    let lineage = Lineage {
        epoch,
        last: queue::last_seq(&connection)?,
        pruned: history::pruned(&connection, NodeId::ONLY)?,
        beginning: Beginning::Continued,
    };
    Ok((connection, lineage, api))
}

pub(super) fn failed(error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode;
    let code = error.sqlite_error_code();
    let mut text = format!("queue.db: {error}");
    if code == Some(ErrorCode::DiskFull) {
        text.push_str("; make room on the disk of the state directory");
    }
    let why = Why::because(text, error);
    match code {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged(why),
        _ => StoreError::Failed(why),
    }
}

/// Announces the last change on disk to what waits for changes.
pub(super) fn announce(last: &watch::Sender<Seq>, appended: Seq) {
    last.send_if_modified(|last| {
        let grown = appended > *last;
        *last = appended.max(*last);
        grown
    });
}

#[cfg(test)]
mod tests;
