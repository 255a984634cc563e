//! What edgepurge remembers of every origin file: `index.db`, `SQLite`, local, rebuildable. Owns its
//! schema and transactions; never looks at a file and never decides what a difference means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};
use tokio::sync::watch;

use crate::core::change::{ContentHash, PipelineId, Seq};
use crate::core::time::Time;
use crate::lineage::Lineage;
use crate::origin::index::known::Confidence;
use crate::origin::tree::fingerprint::Stat;
use crate::origin::watch::inbox::Inbox;

mod contents;
mod directories;
mod diverged;
pub(super) mod known;
pub(super) mod look;
mod open;
mod pages;
pub(super) mod rows;
mod sum;
mod twins;
mod write;

use open::VERSION;

const COLUMNS: &str = "path, rev, known, size, mtime_ns, ctime_ns, inode, dev, mode, links, readable, hash, former, absent";

/// Why the index could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A newer edgepurge wrote it: start that one, or move the file away to build it anew.
    #[error(
        "{} was written by a newer edgepurge (schema {found}, this one knows {VERSION}): start the newer one, or move the file away and the index is built anew",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
    },
    /// It is no index, and can't be set aside either: correct the permissions of the directory.
    #[error("{why}; it can't be set aside: {error}")]
    InTheWay {
        /// What is wrong with it.
        why: String,
        /// Why it stays where it is.
        error: std::io::Error,
    },
    /// It could not be read or written: disk full, I/O error, permission. Trying again may help.
    #[error("index.db: {}{}", .0, advice(.0))]
    Failed(#[from] rusqlite::Error),
}

/// What to do about an error, where that is known.
fn advice(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => "; make room on the disk of the state directory",
        _ => "",
    }
}

/// What is remembered of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) known: Confidence,
    pub(super) stat: Stat,
    /// The web server may read it: by its own mode, and that of the directories above it.
    pub(super) readable: bool,
    /// `None` where only metadata is compared, or where it cannot be read.
    pub(super) hash: Option<ContentHash>,
    /// The hash before this one.
    pub(super) former: Option<ContentHash>,
    /// Since when it was found absent; it is not gone yet.
    pub(super) absent: Option<Time>,
}

/// A row as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) path: Vec<u8>,
    rev: i64,
    pub(super) entry: Entry,
}

/// What a scan needs of a row, and nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Brief {
    pub(super) path: Vec<u8>,
    known: Confidence,
    stat: Stat,
    readable: bool,
    /// Since when it was found absent.
    pub(super) absent: Option<Time>,
    hashed: bool,
}

impl Brief {
    /// Whether its bytes are not known, though they were to be read.
    pub(super) fn may_be_unread(&self) -> bool {
        self.known == Confidence::Surely && !self.hashed
    }

    /// Whether a file with this stat, that is readable or not, is as remembered, for sure.
    pub(super) fn is_unchanged(&self, stat: &Stat, readable: bool) -> bool {
        matches!(self.known, Confidence::Surely | Confidence::Unread)
            && self.absent.is_none()
            && self.stat.same(stat)
            && self.readable == readable
    }
}

/// One row to write, if it is still the one that was read.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    pub(super) path: Vec<u8>,
    /// The row's revision when it was read; `None` when there was none.
    pub(super) was: Option<i64>,
    /// The hash that it had then.
    held: Option<ContentHash>,
    /// What it becomes; `None` to forget it.
    pub(super) becomes: Option<Entry>,
}

impl Edit {
    pub(super) fn new(path: &[u8], row: Option<&Row>, becomes: Option<Entry>) -> Self {
        Self {
            path: path.to_vec(),
            was: row.map(|row| row.rev),
            held: row.and_then(|row| row.entry.hash),
            becomes,
        }
    }
}

/// The index of all origins of a state directory.
#[derive(Debug)]
pub struct Index {
    connection: Mutex<Connection>,
    /// The queue's last sequence number at the start: an origin that is new here has nothing to
    /// be told of what came before.
    last: Seq,
    /// Where looks at the files of each origin are asked for, by its number here.
    inboxes: Mutex<BTreeMap<i64, Weak<Inbox>>>,
    /// The sums that were asked for, by the numbers of their origins. Only taken while the connection is.
    sums: Mutex<BTreeMap<i64, sum::Summed>>,
    moved: watch::Sender<()>,
}

impl Index {
    /// Opens `index.db` in the state directory, and creates it where there is none. One that is
    /// damaged or does not belong to the queue is set aside, and a new one made. When what changed
    /// before can't be known, these pipelines are remembered as [`Index::losses`].
    ///
    /// # Errors
    /// When it is newer, or cannot be opened or set aside.
    pub fn open(
        state_dir: &Path,
        queue: &Lineage,
        pipelines: &[PipelineId],
    ) -> Result<Self, IndexError> {
        let connection = open::open(&state_dir.join("index.db"), queue, pipelines)?;
        Ok(Self {
            connection: Mutex::new(connection),
            last: queue.last,
            inboxes: Mutex::default(),
            sums: Mutex::default(),
            moved: watch::Sender::default(),
        })
    }

    /// Opens the index of a state directory to read, beside a daemon or without one; `None` when
    /// there is none.
    pub(super) fn read(state_dir: &Path) -> Result<Option<Arc<Self>>, IndexError> {
        let path = state_dir.join("index.db");
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(Arc::new(Self {
            connection: Mutex::new(open::open_to_read(&path)?),
            last: Seq(0),
            inboxes: Mutex::default(),
            sums: Mutex::default(),
            moved: watch::Sender::default(),
        })))
    }

    /// What a state directory has of one origin, if it was ever indexed completely; only to read.
    pub(super) fn read_of(
        directory: &Path,
        pipeline: &PipelineId,
        name: &str,
    ) -> Result<Option<OriginIndex>, IndexError> {
        let index = Self::read(directory)?;
        index.map_or(Ok(None), |index| index.indexed(pipeline, name))
    }

    /// The part of one origin, if it was ever indexed completely.
    fn indexed(
        self: Arc<Self>,
        pipeline: &PipelineId,
        name: &str,
    ) -> Result<Option<OriginIndex>, IndexError> {
        let id = self
            .lock()
            .query_row(
                "SELECT id FROM origin WHERE pipeline = ?1 AND name = ?2 AND indexed = 1",
                params![pipeline.as_str(), name],
                |row| row.get(0),
            )
            .optional()?;
        Ok(id.map(|id| OriginIndex { index: self, id }))
    }

    /// Pipelines whose past is lost, and why: each needs one purge of everything, made after its
    /// origins are watched.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn losses(&self) -> Result<Vec<(PipelineId, String)>, IndexError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare("SELECT pipeline, reason FROM loss ORDER BY pipeline")?;
        let rows = statement.query_map([], |row| {
            Ok((PipelineId::new(&row.get::<_, String>(0)?), row.get(1)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The purge of everything for a lost past is committed.
    ///
    /// # Errors
    /// When the database can't be written.
    pub fn made_good(&self, pipeline: &PipelineId) -> Result<(), IndexError> {
        let sql = "DELETE FROM loss WHERE pipeline = ?1";
        self.lock().execute(sql, [pipeline.as_str()])?;
        Ok(())
    }

    /// Changes when it has taken over what looks found.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic stops the process, and a transaction that was open has rolled back.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The part of one origin.
    pub(super) fn origin(
        self: &Arc<Self>,
        pipeline: &PipelineId,
        name: &str,
    ) -> Result<OriginIndex, IndexError> {
        let connection = self.lock();
        connection.execute(
            "INSERT INTO origin (pipeline, name, seq) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![pipeline.as_str(), name, self.last.0.cast_signed()],
        )?;
        let id = connection.query_row(
            "SELECT id FROM origin WHERE pipeline = ?1 AND name = ?2",
            params![pipeline.as_str(), name],
            |row| row.get(0),
        )?;
        drop(connection);
        Ok(OriginIndex {
            index: Arc::clone(self),
            id,
        })
    }
}

/// The index of one origin.
#[derive(Clone, Debug)]
pub(super) struct OriginIndex {
    index: Arc<Index>,
    id: i64,
}

impl OriginIndex {
    /// The last sequence number taken over, and whether the origin was ever indexed completely.
    pub(super) fn progress(&self) -> Result<(Seq, bool), IndexError> {
        Ok(self.index.lock().query_row(
            "SELECT seq, indexed FROM origin WHERE id = ?1",
            [self.id],
            |row| Ok((Seq(row.get::<_, i64>(0)?.cast_unsigned()), row.get(1)?)),
        )?)
    }

    /// From now on the index is complete for this scope: what is not in it is new.
    pub(super) fn set_indexed(&self, scope: &str) -> Result<(), IndexError> {
        self.index.lock().execute(
            "UPDATE origin SET indexed = 1, scope = ?2 WHERE id = ?1",
            params![self.id, scope],
        )?;
        Ok(())
    }

    /// Which files the index is complete for, as [`OriginIndex::set_indexed`] was told.
    pub(super) fn scope(&self) -> Result<Option<String>, IndexError> {
        Ok(self.index.lock().query_row(
            "SELECT scope FROM origin WHERE id = ?1",
            [self.id],
            |row| row.get(0),
        )?)
    }

    /// What [`OriginIndex::keep_surroundings`] was given last.
    pub(super) fn surroundings(&self) -> Result<Option<String>, IndexError> {
        let key = format!("surroundings of {}", self.id);
        Ok(self
            .index
            .lock()
            .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| {
                row.get(0)
            })
            .optional()?)
    }

    /// Keeps a text for the next start.
    pub(super) fn keep_surroundings(&self, text: &str) -> Result<(), IndexError> {
        let key = format!("surroundings of {}", self.id);
        self.index.lock().execute(
            "INSERT OR REPLACE INTO meta VALUES (?1, ?2)",
            params![key, text],
        )?;
        Ok(())
    }

    pub(super) fn get(&self, path: &[u8]) -> Result<Option<Row>, IndexError> {
        let connection = self.index.lock();
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM file WHERE origin = ?1 AND path = ?2"
        ))?;
        Ok(statement
            .query_row(params![self.id, path], read)
            .optional()?)
    }

    /// The rows of these paths, where there are any, in one transaction.
    pub(super) fn rows(&self, paths: &[&[u8]]) -> Result<BTreeMap<Vec<u8>, Row>, IndexError> {
        let mut connection = self.index.lock();
        let transaction = connection.transaction()?;
        let mut found = BTreeMap::new();
        {
            let mut statement = transaction.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM file WHERE origin = ?1 AND path = ?2"
            ))?;
            for path in paths {
                let row = statement
                    .query_row(params![self.id, path], read)
                    .optional()?;
                found.extend(row.map(|row| (row.path.clone(), row)));
            }
        }
        transaction.commit()?;
        Ok(found)
    }

    /// At most `limit` rows in the order of their paths' bytes: after `after`, and before `end`
    /// where there is one.
    pub(super) fn briefs(
        &self,
        after: &[u8],
        inclusive: bool,
        end: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Brief>, IndexError> {
        let connection = self.index.lock();
        let from = if inclusive { ">=" } else { ">" };
        // Two statements, so that both ends are a range of the key and not a filter.
        let until = if end.is_some() {
            "path < ?3"
        } else {
            "?3 IS NULL"
        };
        let mut statement = connection.prepare_cached(&format!(
            "SELECT path, known, size, mtime_ns, ctime_ns, inode, mode, readable,
                    absent, dev, hash IS NOT NULL
             FROM file WHERE origin = ?1 AND path {from} ?2 AND {until} ORDER BY path LIMIT ?4"
        ))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![self.id, after, end, limit], |row| {
            Ok(Brief {
                path: row.get(0)?,
                known: Confidence::parse(row.get(1)?),
                stat: Stat {
                    size: row.get::<_, i64>(2)?.cast_unsigned(),
                    mtime_ns: row.get(3)?,
                    ctime_ns: row.get(4)?,
                    inode: row.get::<_, i64>(5)?.cast_unsigned(),
                    mode: row.get(6)?,
                    dev: row.get::<_, i64>(9)?.cast_unsigned(),
                    ..Stat::default()
                },
                readable: row.get(7)?,
                absent: time(row.get(8)?),
                hashed: row.get(10)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Files remembered.
    pub(super) fn files(&self) -> Result<u64, IndexError> {
        let files: i64 = self
            .index
            .lock()
            .prepare_cached("SELECT files FROM origin WHERE id = ?1")?
            .query_row([self.id], |row| row.get(0))?;
        Ok(files.cast_unsigned())
    }

    /// Files remembered, and how many of them were found absent.
    pub(super) fn counts(&self) -> Result<(u64, u64), IndexError> {
        let connection = self.index.lock();
        let count = |sql: &str| -> Result<u64, IndexError> {
            let count: i64 = connection
                .prepare_cached(sql)?
                .query_row([self.id], |row| row.get(0))?;
            Ok(count.cast_unsigned())
        };
        Ok((
            count("SELECT files FROM origin WHERE id = ?1")?,
            count(
                "SELECT count(*) FROM file INDEXED BY file_absent
                 WHERE origin = ?1 AND absent IS NOT NULL",
            )?,
        ))
    }

    /// How many files were found absent at this time or before.
    pub(super) fn count_absent_until(&self, until: Time) -> Result<u64, IndexError> {
        let count: i64 = self
            .index
            .lock()
            .prepare_cached(
                "SELECT count(*) FROM file INDEXED BY file_absent
                 WHERE origin = ?1 AND absent IS NOT NULL AND absent <= ?2",
            )?
            .query_row(params![self.id, until.millis().cast_signed()], |row| {
                row.get(0)
            })?;
        Ok(count.cast_unsigned())
    }

    /// Files remembered below a directory, and how many of them were found absent.
    pub(super) fn counts_below(&self, directory: &[u8]) -> Result<(u64, u64), IndexError> {
        if directory.is_empty() {
            return self.counts();
        }
        let (from, to) = ([directory, b"/"].concat(), [directory, b"0"].concat());
        let (files, absent): (i64, i64) = self
            .index
            .lock()
            .prepare_cached(
                "SELECT count(*), count(absent) FROM file
                 WHERE origin = ?1 AND path >= ?2 AND path < ?3",
            )?
            .query_row(params![self.id, from, to], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        Ok((files.cast_unsigned(), absent.cast_unsigned()))
    }

    /// From now on every file counts as absent since `since`, unless it was so before. Returns how many
    /// are new in that.
    pub(super) fn all_absent(&self, since: Time) -> Result<usize, IndexError> {
        Ok(self.index.lock().execute(
            "UPDATE file SET absent = ?2, rev = rev + 1 WHERE origin = ?1 AND absent IS NULL",
            params![self.id, since.millis().cast_signed()],
        )?)
    }

    /// How many files were never read.
    pub(super) fn count_unread(&self) -> Result<u64, IndexError> {
        let count: i64 = self.index.lock().query_row(
            "SELECT count(*) FROM file INDEXED BY file_unread WHERE origin = ?1 AND known = 3",
            [self.id],
            |row| row.get(0),
        )?;
        Ok(count.cast_unsigned())
    }

    /// The first of the files that were never read, behind a path.
    pub(super) fn some_unread(&self, after: &[u8], limit: u32) -> Result<Vec<Row>, IndexError> {
        let connection = self.index.lock();
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM file INDEXED BY file_unread
             WHERE origin = ?1 AND known = 3 AND path > ?2 ORDER BY path LIMIT ?3"
        ))?;
        let rows = statement.query_map(params![self.id, after, limit], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Some of the files that were found absent.
    pub(super) fn some_absent(&self, limit: u32) -> Result<Vec<Vec<u8>>, IndexError> {
        let connection = self.index.lock();
        let mut statement = connection.prepare_cached(
            "SELECT path FROM file INDEXED BY file_absent
             WHERE origin = ?1 AND absent IS NOT NULL ORDER BY path LIMIT ?2",
        )?;
        let paths = statement.query_map(params![self.id, limit], |row| row.get(0))?;
        Ok(paths.collect::<Result<_, _>>()?)
    }
}

fn time(millis: Option<i64>) -> Option<Time> {
    millis.map(|millis| Time::from_millis(millis.cast_unsigned()))
}

fn read(row: &SqlRow<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        path: row.get(0)?,
        rev: row.get(1)?,
        entry: Entry {
            known: Confidence::parse(row.get(2)?),
            stat: Stat {
                size: row.get::<_, i64>(3)?.cast_unsigned(),
                mtime_ns: row.get(4)?,
                ctime_ns: row.get(5)?,
                inode: row.get::<_, i64>(6)?.cast_unsigned(),
                dev: row.get::<_, i64>(7)?.cast_unsigned(),
                mode: row.get(8)?,
                links: row.get(9)?,
                ..Stat::default()
            },
            readable: row.get(10)?,
            hash: row.get(11)?,
            former: row.get(12)?,
            absent: time(row.get(13)?),
        },
    })
}

#[cfg(test)]
mod tests;
