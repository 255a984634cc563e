//! Opening the index: its schema, and whether it belongs to the queue beside it.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::IndexError;
use crate::core::change::PipelineId;
use crate::lineage::{Beginning, Lineage, set_aside};

/// The schema this program writes.
pub(super) const VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE origin (
    id INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    name TEXT NOT NULL,
    seq INTEGER NOT NULL DEFAULT 0,
    indexed INTEGER NOT NULL DEFAULT 0,
    scope TEXT,
    files INTEGER NOT NULL DEFAULT 0,
    UNIQUE (pipeline, name)
) STRICT;
CREATE TABLE file (
    origin INTEGER NOT NULL REFERENCES origin(id) ON DELETE CASCADE,
    path BLOB NOT NULL,
    rev INTEGER NOT NULL,
    known INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    dev INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    links INTEGER NOT NULL,
    readable INTEGER NOT NULL,
    hash BLOB,
    former BLOB,
    absent INTEGER,
    PRIMARY KEY (origin, path)
) STRICT, WITHOUT ROWID;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE loss (pipeline TEXT PRIMARY KEY, reason TEXT NOT NULL) STRICT;
CREATE INDEX file_twins ON file (inode) WHERE links > 1;
CREATE INDEX file_unread ON file (origin, path) WHERE known = 3;
CREATE INDEX file_absent ON file (origin, path) WHERE absent IS NOT NULL;
";

/// Opens what is there, or sets it aside and makes it anew. A past that can't be known is written
/// down before anything else is.
pub(super) fn open(
    path: &Path,
    queue: &Lineage,
    pipelines: &[PipelineId],
) -> Result<Connection, IndexError> {
    let why = if path.exists() {
        match open_as_it_is(path) {
            Ok(connection) => match stranger(&connection, queue)? {
                None => return Ok(connection),
                Some(why) => Some(why),
            },
            Err(IndexError::Failed(error)) if damaged(&error) => {
                Some(format!("{} is damaged: {error}", path.display()))
            }
            Err(error) => return Err(error),
        }
    } else {
        None
    };
    let mut loss = match &queue.beginning {
        // Neither was there: a first start.
        Beginning::New if why.is_none() => None,
        Beginning::New => Some("queue.db is missing".to_owned()),
        Beginning::Anew(reason) => Some(reason.clone()),
        Beginning::Continued => Some(format!("{} is missing", path.display())),
    };
    if let Some(why) = why {
        let aside = set_aside(path).map_err(|error| IndexError::InTheWay {
            why: why.clone(),
            error,
        })?;
        if queue.beginning == Beginning::Continued {
            loss = Some(format!("{why}; it is kept as {}", aside.display()));
        }
    }
    let connection = open_as_it_is(path)?;
    begin(&connection, queue, pipelines, loss.as_deref())?;
    Ok(connection)
}

/// Opens what is there, and changes nothing.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, IndexError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(Duration::from_secs(10))?;
    plan_once(&connection)?;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found != VERSION {
        return Err(IndexError::Newer {
            path: path.to_owned(),
            found,
        });
    }
    Ok(connection)
}

fn open_as_it_is(path: &Path) -> Result<Connection, IndexError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    plan_once(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Losing the last commits at a power cut is repaired by redo; losing order is not.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let transaction = connection.transaction()?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match found {
        0 => {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        VERSION => {}
        found => {
            return Err(IndexError::Newer {
                path: path.to_owned(),
                found,
            });
        }
    }
    transaction.execute_batch(super::diverged::SCHEMA)?;
    transaction.commit()?;
    Ok(connection)
}

/// Else a statement may be planned anew for every value that is bound to it.
fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map(drop)
}

/// Why this index does not belong to the queue; `None` when it does.
fn stranger(connection: &Connection, queue: &Lineage) -> Result<Option<String>, IndexError> {
    let epoch: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| {
            row.get(0)
        })
        .optional()?;
    if epoch.as_deref() != Some(&queue.epoch) {
        return Ok(Some("index.db belongs to another queue.db".to_owned()));
    }
    let last: i64 =
        connection.query_row("SELECT coalesce(max(seq), 0) FROM origin", [], |row| {
            row.get(0)
        })?;
    if last.cast_unsigned() > queue.last.0 {
        return Ok(Some(format!(
            "queue.db is older than index.db: it ends at change {}, and {last} was committed",
            queue.last
        )));
    }
    let mut origins = connection.prepare("SELECT pipeline, name, seq FROM origin")?;
    let mut origins = origins.query([])?;
    while let Some(row) = origins.next()? {
        let (pipeline, name): (String, String) = (row.get(0)?, row.get(1)?);
        let ends = row.get::<_, i64>(2)?.cast_unsigned();
        let pruned = queue.pruned.get(&(PipelineId::new(&pipeline), name));
        if let Some(pruned) = pruned.filter(|pruned| pruned.0 > ends) {
            return Ok(Some(format!(
                "index.db is older than the history in queue.db: it ends at change {ends}, and what \
                 followed, up to {pruned}, was deleted after state.retention"
            )));
        }
    }
    Ok(None)
}

fn begin(
    connection: &Connection,
    queue: &Lineage,
    pipelines: &[PipelineId],
    loss: Option<&str>,
) -> Result<(), IndexError> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute("INSERT INTO meta VALUES ('epoch', ?1)", [&queue.epoch])?;
    if let Some(loss) = loss {
        for pipeline in pipelines {
            let row = [pipeline.as_str(), loss];
            transaction.execute("INSERT OR REPLACE INTO loss VALUES (?1, ?2)", row)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn damaged(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(
        error.sqlite_error_code(),
        Some(DatabaseCorrupt | NotADatabase)
    ) || matches!(error, rusqlite::Error::SqliteFailure(_, Some(why)) if why.contains("already exists"))
}
