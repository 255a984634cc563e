//! Opening, and the versions of the schema. Migrations go forward only, each in a transaction.
//!
//! The `CHECK`s of `change` and `delivery` are conditions, not lists: of a list with more than two words
//! `SQLite` makes a temporary table for each row that it writes.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use super::failed;
use crate::store::{StoreError, Why};

/// Says that a database is edgepurge's queue: "EPQ1".
const APPLICATION: i32 = 0x4550_5131;
/// Prepared statements that a connection keeps: about as many as there are.
const STATEMENTS: usize = 64;
/// The schema's versions, in order: the first makes version 1.
const MIGRATIONS: [&str; 13] = [
    include_str!("../migrations/0001_initial.sql"),
    include_str!("../migrations/0002_deliveries.sql"),
    include_str!("../migrations/0003_limits.sql"),
    include_str!("../migrations/0004_operate.sql"),
    include_str!("../migrations/0005_verify.sql"),
    include_str!("../migrations/0006_delivery_keys.sql"),
    include_str!("../migrations/0007_edge.sql"),
    include_str!("../migrations/0008_keys.sql"),
    include_str!("../migrations/0009_numbers.sql"),
    include_str!("../migrations/0010_paused_by.sql"),
    include_str!("../migrations/0011_fleet.sql"),
    include_str!("../migrations/0012_node.sql"),
    include_str!("../migrations/0013_members.sql"),
];

/// Opens the database to write.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path).map_err(|error| {
        let text = format!("{} can't be opened: {error}", path.display());
        StoreError::Failed(Why::because(text, error))
    })?;
    let configured = connection
        .busy_timeout(Duration::from_secs(5))
        .and_then(|()| connection.pragma_update(None, "journal_mode", "wal"))
        .and_then(|()| connection.pragma_update(None, "synchronous", "full"))
        .and_then(|()| connection.pragma_update(None, "foreign_keys", true))
        // Else a statement may be planned anew for every value that is bound to it.
        .and_then(|()| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true));
    configured.map_err(|error| unusable(path, error))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Opens the database to read, beside the writer.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection
        .busy_timeout(Duration::from_secs(5))
        .and_then(|()| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true))
        .map_err(failed)?;
    Ok(connection)
}

/// The bytes of an empty database of this version.
pub(super) fn empty() -> Result<Vec<u8>, StoreError> {
    let mut connection = Connection::open_in_memory().map_err(failed)?;
    migrate(&mut connection, Path::new(":memory:"))?;
    let bytes = connection.serialize(MAIN_DB);
    Ok(bytes.map_err(failed)?.to_vec())
}

/// A database in memory with these bytes. It ends with its process, so that it needs no journal on disk.
pub(super) fn open_copy(bytes: &[u8]) -> Result<Connection, StoreError> {
    let open = || {
        let mut connection = Connection::open_in_memory()?;
        connection.deserialize_read_exact(MAIN_DB, bytes, bytes.len(), false)?;
        connection.pragma_update(None, "journal_mode", "memory")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    };
    open().map_err(|error: rusqlite::Error| failed(error))
}

/// Brings the schema up to date.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let number = |connection: &Connection, pragma: &str| {
        connection
            .pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
            .map_err(|error| unusable(path, error))
    };
    let application = number(connection, "application_id")?;
    let version = number(connection, "user_version")?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| unusable(path, error))?;
    if tables > 0 && application != i64::from(APPLICATION) {
        return Err(StoreError::Unusable(
            format!(
                "{} is a database of another program; nothing was changed in it; move it away, or \
             set another state.directory",
                path.display()
            )
            .into(),
        ));
    }
    let known = MIGRATIONS.len();
    let Some(pending) = usize::try_from(version)
        .ok()
        .and_then(|at| MIGRATIONS.get(at..))
    else {
        return Err(StoreError::Unusable(
            format!(
                "{} has version {version}, and this edgepurge ({}) knows versions up to {known}; \
             nothing was changed in it; install the newer edgepurge again",
                path.display(),
                env!("CARGO_PKG_VERSION")
            )
            .into(),
        ));
    };
    for (done, migration) in pending.iter().enumerate() {
        let to = version + i64::try_from(done).unwrap_or(0) + 1;
        let transaction = connection.transaction().map_err(failed)?;
        transaction
            .execute_batch(migration)
            .and_then(|()| transaction.pragma_update(None, "user_version", to))
            .and_then(|()| transaction.pragma_update(None, "application_id", APPLICATION))
            .and_then(|()| transaction.commit())
            .map_err(|error| {
                let text = format!(
                    "{} can't be brought to version {to}: {error}; nothing was changed in it",
                    path.display()
                );
                StoreError::Failed(Why::because(text, error))
            })?;
    }
    Ok(())
}

/// Refuses a database that has another version than this program's, which only a start brings up
/// to date.
pub(super) fn check_version(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| unusable(path, error))?;
    if usize::try_from(version) == Ok(MIGRATIONS.len()) {
        return Ok(());
    }
    Err(StoreError::Failed(format!(
        "{} has version {version}, and this edgepurge ({}) reads version {}; start its daemon once",
        path.display(),
        env!("CARGO_PKG_VERSION"),
        MIGRATIONS.len()
    ).into()))
}

/// Reads every page once: what is damaged inside would else be found in the middle of work, start
/// after start.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| unusable(path, error))?;
    if found == "ok" {
        return Ok(());
    }
    Err(StoreError::Damaged(
        format!("{} is damaged: {found}", path.display()).into(),
    ))
}

fn unusable(path: &Path, error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode;
    let shown = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            let text = format!("{shown} is no database, or damaged: {error}");
            StoreError::Damaged(Why::because(text, error))
        }
        _ => StoreError::Failed(Why::because(format!("{shown}: {error}"), error)),
    }
}
