//! The queue of `queue.db` becomes the queue in a database, at the first start with one: under the lock of the
//! state directory, in the transaction that makes the tables.
//!
//! **A schema that is new gets every row**: both engines have the same tables. The epoch and the numbers stay,
//! so that the index goes on, and history, follow-ups and pauses with it. **To a schema that has a queue
//! already, what is open is appended** under new numbers: changes that are not done, purges of everything,
//! follow-ups (as changes), deliveries that wait, and pauses. The history stays in the file then.
//!
//! The transaction notes the epoch of `queue.db`, and the file is renamed after the commit. A start that finds
//! both, after a crash between the two, only renames the file: nothing is queued twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::core::change::{Change, Kind, NewChange, Source};
use crate::core::pause::Pause;
use crate::lineage::Beginning;
use crate::store::calls::{operate, queue};
use crate::store::db::{CHUNK, Db, Value, int, values};
use crate::store::sqlite::open_or_set_aside;
use crate::store::written::Written;
use crate::store::{StoreError, StoreSettings, Why, sql};

/// The tables whose rows are copied: a table comes behind those that it refers to.
pub(super) const COPIED: [&str; 14] = [
    "meta",
    "request",
    "request_asset",
    "queued_all",
    "last_all",
    "learned",
    "pause",
    "verification",
    "verified",
    "repurge",
    "change",
    "delivery",
    "delivery_target",
    "pruned",
];

/// What `queue.db` is called when its queue is in a database.
pub(in crate::store) fn moved(queue: &Path) -> PathBuf {
    queue.with_extension("db.moved")
}

/// A queue that was taken over in a transaction.
pub(super) struct Import {
    path: PathBuf,
    /// What was appended of what is open, and has to be there though a failover forgets it.
    pub(super) wrote: Vec<Written>,
    /// How the queue began from which all was copied.
    pub(super) beginning: Beginning,
    what: String,
}

/// Takes over the queue of the state directory, where it has one, within a transaction.
pub(super) fn import(
    settings: &StoreSettings,
    db: &dyn Db,
    is_new: bool,
) -> Result<Option<Import>, StoreError> {
    let path = settings.directory.join("queue.db");
    if !path.exists() {
        return Ok(None);
    }
    let (queue, lineage) = open_or_set_aside(&path, &settings.api_url)?;
    let note = format!("moved:{}", lineage.epoch);
    let mut wrote = Vec::new();
    let what = if operate::meta(db, &note)?.is_some() {
        "the queue was moved before".to_owned()
    } else {
        let what = if is_new {
            copy_all(&queue, db)?
        } else {
            append_open(&queue, db, &mut wrote)?
        };
        db.execute(sql::meta::SET, &values![&note, "queue.db"])?;
        what
    };
    Ok(Some(Import {
        path,
        wrote,
        beginning: lineage.beginning,
        what,
    }))
}

impl Import {
    /// Renames the file: its queue is committed elsewhere.
    pub(super) fn finish(&self) -> Result<(), StoreError> {
        let (path, moved) = (self.path.display(), moved(&self.path));
        std::fs::rename(&self.path, &moved).map_err(|error| {
            let text = format!("{path} can't be renamed to {}: {error}", moved.display());
            StoreError::Failed(Why::because(text, error))
        })?;
        tracing::info!(
            "the queue is in PostgreSQL now: {}; {path} is kept as {}",
            self.what,
            moved.display()
        );
        Ok(())
    }
}

/// Copies every row. Returns what there was, in words.
fn copy_all(queue: &dyn Db, db: &dyn Db) -> Result<String, StoreError> {
    for table in COPIED {
        copy(queue, db, table, &[], "")?;
    }
    // A number that was given is not given again, though its row is gone.
    let (change, delivery): (i64, i64) = (
        queue.value(sql::change::LAST, &[])?,
        queue.value(sql::delivery::LAST, &[])?,
    );
    db.execute(sql::change::KEEP_LAST, &values![change])?;
    db.execute(sql::delivery::KEEP_LAST, &values![delivery])?;
    let count = |table| queue.value::<u64>(&format!("SELECT count(*) FROM {table}"), &[]);
    Ok(format!(
        "{} changes, {} requests, {} deliveries and {} pauses were moved",
        count("change")?,
        count("request")?,
        count("delivery")?,
        count("pause")?
    ))
}

/// Appends what is open. Returns what there was, in words.
fn append_open(
    queue: &dyn Db,
    db: &dyn Db,
    wrote: &mut Vec<Written>,
) -> Result<String, StoreError> {
    let mut changes: Vec<NewChange> =
        queue.query(sql::change::OPEN, &[], |row| queue::change(row).map(anew))?;
    let others: Vec<NewChange> = queue.query(sql::change::TO_PURGE, &[], |row| {
        Ok(NewChange {
            pipeline: row.get("pipeline")?,
            target: row.get("asset")?,
            kind: Kind::Asked,
            source: Source::Manual,
            detail: row.get("reason")?,
            file: None,
            seen: row.get("since")?,
        })
    })?;
    changes.extend(others);
    let first = queue::append(db, None, &changes)?.first;
    let shift: i64 = db.value(sql::delivery::LAST, &[])?;
    // What a delivery has of the changes behind it is counted from the first that is appended.
    let shifts = [("id", shift), ("first", int(first.0))];
    let deliveries = copy(queue, db, "delivery", &shifts, "WHERE stage <> 'made'")?;
    copy(queue, db, "delivery_target", &[("delivery", shift)], "")?;
    let known = operate::pauses(db)?;
    let mut pauses: Vec<Pause> = operate::pauses(queue)?;
    pauses.retain(|pause| {
        let mut known = known.iter();
        !known.any(|known| (&known.pipeline, &known.holder) == (&pause.pipeline, &pause.holder))
    });
    for pause in &pauses {
        operate::pause(db, pause)?;
    }
    let what = format!(
        "{} changes, {deliveries} deliveries and {} pauses were appended to the queue that it had, and the \
         history stays in the file",
        changes.len(),
        pauses.len()
    );
    wrote.push(Written::Changes(Arc::new(changes)));
    wrote.extend(pauses.into_iter().map(Written::Pause));
    Ok(what)
}

/// A change that is to be purged as if it came now.
fn anew(change: Change) -> NewChange {
    NewChange {
        pipeline: change.pipeline,
        target: change.target,
        kind: change.kind,
        source: change.source,
        detail: change.detail,
        file: None,
        seen: change.seen,
    }
}

/// Copies rows of a table, with numbers added to some columns. Returns how many.
fn copy(
    queue: &dyn Db,
    db: &dyn Db,
    table: &str,
    shifts: &[(&str, i64)],
    which: &str,
) -> Result<usize, StoreError> {
    let columns = "SELECT name FROM pragma_table_info(?1)";
    let columns: Vec<String> = queue.query(columns, &values![table], |row| row.first())?;
    let shifted = columns.iter().map(|column| {
        let shift = shifts.iter().find(|(name, _)| name == column);
        shift.map_or_else(|| column.clone(), |(_, by)| format!("{column} + {by}"))
    });
    let select = shifted.collect::<Vec<_>>().join(", ");
    let places = (1..=columns.len()).map(|place| format!("?{place}"));
    let insert = format!(
        "INSERT INTO {table} ({}) VALUES ({})",
        columns.join(", "),
        places.collect::<Vec<_>>().join(", ")
    );
    let insert = |rows: &[Stored]| {
        let values: Vec<Value<'_>> = rows.iter().map(Value::from).collect();
        db.execute_all(&insert, columns.len(), &values)
    };
    let (mut rows, mut copied) = (Vec::new(), 0);
    queue.each_row(
        &format!("SELECT {select} FROM {table} {which}"),
        &[],
        &mut |row| {
            for position in 0..columns.len() {
                rows.push(Stored::from(row.0.at(position)?));
            }
            copied += 1;
            if rows.len() == CHUNK * columns.len() {
                insert(&rows)?;
                rows.clear();
            }
            Ok(())
        },
    )?;
    insert(&rows)?;
    Ok(copied)
}

/// A value that outlives its row.
enum Stored {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<Value<'_>> for Stored {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Int(number) => Self::Int(number),
            Value::Text(text) => Self::Text(text.to_owned()),
            Value::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
        }
    }
}

impl<'v> From<&'v Stored> for Value<'v> {
    fn from(stored: &'v Stored) -> Self {
        match stored {
            Stored::Null => Self::Null,
            Stored::Int(number) => Self::Int(*number),
            Stored::Text(text) => Self::Text(text),
            Stored::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}
