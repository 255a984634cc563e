//! What edgepurge remembers of every origin file: `index.db`, `SQLite`, local, rebuildable. Owns its
//! schema and transactions; never looks at a file and never decides what a difference means.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, Transaction, params};

use super::fingerprint::Stat;
use crate::core::change::{ContentHash, FileFact, PipelineId, Seq};
use crate::core::time::Time;

/// The schema this program writes.
const VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE origin (
    id INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL,
    name TEXT NOT NULL,
    seq INTEGER NOT NULL DEFAULT 0,
    indexed INTEGER NOT NULL DEFAULT 0,
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
    readable INTEGER NOT NULL,
    hash BLOB,
    former BLOB,
    absent INTEGER,
    PRIMARY KEY (origin, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX file_absent ON file (origin, path) WHERE absent IS NOT NULL;
";

const COLUMNS: &str =
    "path, rev, known, size, mtime_ns, ctime_ns, inode, dev, mode, readable, hash, former, absent";

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
    /// It is damaged or no index at all: set it aside, it is rebuilt.
    #[error("{} is not usable as an index: {why}; move it away and it is built anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What `SQLite` says.
        why: String,
    },
    /// It could not be read or written: disk full, I/O error, permission. Trying again may help.
    #[error("the index could not be read or written: {0}")]
    Failed(#[from] rusqlite::Error),
}

/// How far a row can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// As long as the stat is the same, so are the bytes.
    Surely,
    /// It was hashed so soon after its last change that another one may hide behind the same
    /// times.
    Racy,
    /// Only the hash is known: it comes from the queue, after a crash.
    HashOnly,
}

impl Known {
    const fn code(self) -> i64 {
        match self {
            Self::Surely => 0,
            Self::Racy => 1,
            Self::HashOnly => 2,
        }
    }

    const fn parse(code: i64) -> Self {
        match code {
            0 => Self::Surely,
            1 => Self::Racy,
            _ => Self::HashOnly,
        }
    }
}

/// What is remembered of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) known: Known,
    pub(super) stat: Stat,
    /// Anybody may read it: its own mode, and that of the directories above it.
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

/// One row to write, if it is still the one that was read.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    pub(super) path: Vec<u8>,
    /// The row's revision when it was read; `None` when there was none.
    pub(super) was: Option<i64>,
    /// What it becomes; `None` to forget it.
    pub(super) becomes: Option<Entry>,
}

impl Edit {
    pub(super) fn new(path: &[u8], row: Option<&Row>, becomes: Option<Entry>) -> Self {
        Self {
            path: path.to_vec(),
            was: row.map(|row| row.rev),
            becomes,
        }
    }
}

/// The index of all origins of a state directory.
#[derive(Debug)]
pub struct Index {
    connection: Mutex<Connection>,
}

impl Index {
    /// Opens `index.db` in the state directory, and creates it where there is none.
    ///
    /// # Errors
    /// When it is damaged, newer, or cannot be opened.
    pub fn open(state_dir: &Path) -> Result<Self, IndexError> {
        let path = state_dir.join("index.db");
        let connection = Self::prepare(&path).map_err(|error| match error {
            IndexError::Failed(error) if damaged(&error) => IndexError::Damaged {
                path: path.clone(),
                why: error.to_string(),
            },
            other => other,
        })?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    fn prepare(path: &Path) -> Result<Connection, IndexError> {
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // Losing the last commits at a power cut is repaired by redo; losing order is not.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
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
        transaction.commit()?;
        Ok(connection)
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
            "INSERT INTO origin (pipeline, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![pipeline.as_str(), name],
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

fn damaged(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(
        error.sqlite_error_code(),
        Some(DatabaseCorrupt | NotADatabase)
    ) || matches!(error, rusqlite::Error::SqliteFailure(_, Some(why)) if why.contains("already exists"))
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

    /// From now on the index is complete: what is not in it is new.
    pub(super) fn set_indexed(&self) -> Result<(), IndexError> {
        self.index
            .lock()
            .execute("UPDATE origin SET indexed = 1 WHERE id = ?1", [self.id])?;
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

    /// At most `limit` rows in the order of their paths' bytes: after `after`, and before `end`
    /// where there is one.
    pub(super) fn page(
        &self,
        after: &[u8],
        inclusive: bool,
        end: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, IndexError> {
        let connection = self.index.lock();
        let from = if inclusive { ">=" } else { ">" };
        // Two statements, so that both ends are a range of the key and not a filter.
        let until = if end.is_some() {
            "path < ?3"
        } else {
            "?3 IS NULL"
        };
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM file WHERE origin = ?1 AND path {from} ?2 AND {until}
             ORDER BY path LIMIT ?4"
        ))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![self.id, after, end, limit], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
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
            count("SELECT count(*) FROM file WHERE origin = ?1")?,
            count("SELECT count(*) FROM file WHERE origin = ?1 AND absent IS NOT NULL")?,
        ))
    }

    /// Some of the files that were found absent.
    pub(super) fn some_absent(&self, limit: u32) -> Result<Vec<Vec<u8>>, IndexError> {
        let connection = self.index.lock();
        let mut statement = connection.prepare_cached(
            "SELECT path FROM file WHERE origin = ?1 AND absent IS NOT NULL ORDER BY path LIMIT ?2",
        )?;
        let paths = statement.query_map(params![self.id, limit], |row| row.get(0))?;
        Ok(paths.collect::<Result<_, _>>()?)
    }

    /// Writes rows, each only if it is still the one that was read, together with the sequence
    /// number in one transaction. Returns the paths of the rows that were not.
    pub(super) fn apply(
        &self,
        edits: &[Edit],
        seq: Option<Seq>,
    ) -> Result<Vec<Vec<u8>>, IndexError> {
        let mut connection = self.index.lock();
        let transaction = connection.transaction()?;
        let mut beaten = Vec::new();
        for edit in edits {
            if !self.write(&transaction, edit)? {
                beaten.push(edit.path.clone());
            }
        }
        self.advance(&transaction, seq)?;
        transaction.commit()?;
        Ok(beaten)
    }

    /// Takes over facts that were committed to the queue before a crash: the hash counts, the stat
    /// is unknown, so that the next look reads the file.
    pub(super) fn redo(&self, facts: &[(Seq, FileFact)]) -> Result<(), IndexError> {
        for (seq, fact) in facts {
            let row = self.get(&fact.path)?;
            let becomes = fact.hash.map(|hash| {
                let old = row.as_ref().and_then(|row| row.entry.hash);
                Entry {
                    known: Known::HashOnly,
                    stat: Stat::default(),
                    readable: true,
                    hash: Some(hash),
                    former: old
                        .filter(|old| *old != hash)
                        .or_else(|| row.as_ref().and_then(|row| row.entry.former)),
                    absent: None,
                }
            });
            let edit = Edit::new(&fact.path, row.as_ref(), becomes);
            self.apply(&[edit], Some(*seq))?;
        }
        Ok(())
    }

    fn write(&self, transaction: &Transaction<'_>, edit: &Edit) -> Result<bool, IndexError> {
        let (path, was) = (&edit.path, edit.was);
        let Some(entry) = &edit.becomes else {
            let Some(was) = was else { return Ok(true) };
            let deleted = transaction
                .prepare_cached("DELETE FROM file WHERE origin = ?1 AND path = ?2 AND rev = ?3")?
                .execute(params![self.id, path, was])?;
            return Ok(deleted == 1);
        };
        // One statement for both: a row that must not exist conflicts with `rev = NULL`.
        let sql = if was.is_some() {
            "UPDATE file SET rev = rev + 1, known = ?4, size = ?5, mtime_ns = ?6, ctime_ns = ?7,
             inode = ?8, dev = ?9, mode = ?10, readable = ?11, hash = ?12, former = ?13, absent = ?14
             WHERE origin = ?1 AND path = ?2 AND rev = ?3"
        } else {
            "INSERT INTO file VALUES (?1, ?2, coalesce(?3, 1), ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT DO NOTHING"
        };
        let stat = &entry.stat;
        let written = transaction.prepare_cached(sql)?.execute(params![
            self.id,
            path,
            was,
            entry.known.code(),
            stat.size.cast_signed(),
            stat.mtime_ns,
            stat.ctime_ns,
            stat.inode.cast_signed(),
            stat.dev.cast_signed(),
            stat.mode,
            entry.readable,
            entry.hash,
            entry.former,
            entry.absent.map(|time| time.millis().cast_signed()),
        ])?;
        Ok(written == 1)
    }

    fn advance(&self, transaction: &Transaction<'_>, seq: Option<Seq>) -> Result<(), IndexError> {
        if let Some(Seq(seq)) = seq {
            transaction
                .prepare_cached("UPDATE origin SET seq = max(seq, ?2) WHERE id = ?1")?
                .execute(params![self.id, seq.cast_signed()])?;
        }
        Ok(())
    }
}

fn read(row: &SqlRow<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        path: row.get(0)?,
        rev: row.get(1)?,
        entry: Entry {
            known: Known::parse(row.get(2)?),
            stat: Stat {
                size: row.get::<_, i64>(3)?.cast_unsigned(),
                mtime_ns: row.get(4)?,
                ctime_ns: row.get(5)?,
                inode: row.get::<_, i64>(6)?.cast_unsigned(),
                dev: row.get::<_, i64>(7)?.cast_unsigned(),
                mode: row.get(8)?,
            },
            readable: row.get(9)?,
            hash: row.get(10)?,
            former: row.get(11)?,
            absent: row
                .get::<_, Option<i64>>(12)?
                .map(|millis| Time::from_millis(millis.cast_unsigned())),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(size: u64) -> Entry {
        Entry {
            known: Known::Surely,
            stat: Stat {
                size,
                ..Stat::default()
            },
            readable: true,
            hash: Some([7; 32]),
            former: None,
            absent: None,
        }
    }

    fn open() -> (tempfile::TempDir, OriginIndex) {
        let dir = tempfile::tempdir().unwrap();
        let index = Arc::new(Index::open(dir.path()).unwrap());
        let origin = index.origin(&PipelineId::new("p"), "site").unwrap();
        (dir, origin)
    }

    #[test]
    fn a_row_is_written_only_if_it_is_still_the_one_read() {
        let (_dir, index) = open();
        let add = Edit::new(b"a", None, Some(entry(1)));
        assert!(
            index
                .apply(std::slice::from_ref(&add), None)
                .unwrap()
                .is_empty()
        );
        assert_eq!(index.apply(&[add], None).unwrap(), [b"a".to_vec()]);

        let row = index.get(b"a").unwrap().unwrap();
        let second = Edit::new(b"a", Some(&row), Some(entry(2)));
        assert!(index.apply(&[second], None).unwrap().is_empty());
        let late = Edit::new(b"a", Some(&row), None);
        assert_eq!(index.apply(&[late], None).unwrap(), [b"a".to_vec()]);
        assert_eq!(index.get(b"a").unwrap().unwrap().entry, entry(2));
    }

    #[test]
    fn rows_stream_in_path_order_whatever_the_bytes() {
        let (_dir, index) = open();
        let paths: [&[u8]; 5] = [b"a", b"a.html", b"a/b", b"a0", b"\xff\xfe"];
        for path in paths.iter().rev() {
            index
                .apply(&[Edit::new(path, None, Some(entry(1)))], None)
                .unwrap();
        }
        let all = index.page(b"", true, None, 3).unwrap();
        assert_eq!(all.len(), 3);
        let rest = index.page(&all[2].path, false, None, 10).unwrap();
        let found: Vec<_> = all
            .iter()
            .chain(&rest)
            .map(|row| row.path.as_slice())
            .collect();
        assert_eq!(found, paths);
        let below = index.page(b"a/", true, Some(b"a0"), 10).unwrap();
        assert_eq!(below.len(), 1);
    }

    #[test]
    fn redo_brings_hashes_and_the_sequence_number() {
        let (_dir, index) = open();
        index
            .apply(
                &[
                    Edit::new(b"a", None, Some(entry(1))),
                    Edit::new(b"b", None, Some(entry(1))),
                ],
                Some(Seq(3)),
            )
            .unwrap();
        let fact = |path: &[u8], hash| FileFact {
            origin: "site".into(),
            path: path.to_vec(),
            hash,
        };
        index
            .redo(&[
                (Seq(4), fact(b"a", Some([9; 32]))),
                (Seq(6), fact(b"b", None)),
            ])
            .unwrap();
        let row = index.get(b"a").unwrap().unwrap().entry;
        assert_eq!((row.hash, row.former), (Some([9; 32]), Some([7; 32])));
        assert_eq!(row.known, Known::HashOnly);
        assert_eq!(index.get(b"b").unwrap(), None);
        assert_eq!(index.progress().unwrap(), (Seq(6), false));
    }

    #[test]
    fn two_origins_and_a_reopened_index_keep_their_own() {
        let (dir, index) = open();
        index
            .apply(&[Edit::new(b"a", None, Some(entry(1)))], Some(Seq(2)))
            .unwrap();
        index.set_indexed().unwrap();
        drop(index);
        let index = Arc::new(Index::open(dir.path()).unwrap());
        let same = index.origin(&PipelineId::new("p"), "site").unwrap();
        let other = index.origin(&PipelineId::new("q"), "site").unwrap();
        assert_eq!(same.progress().unwrap(), (Seq(2), true));
        assert_eq!(same.counts().unwrap(), (1, 0));
        assert_eq!(other.counts().unwrap(), (0, 0));
    }

    #[test]
    fn a_newer_or_damaged_index_is_refused_with_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        drop(Index::open(dir.path()).unwrap());
        Connection::open(dir.path().join("index.db"))
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        let error = Index::open(dir.path()).unwrap_err();
        assert!(
            matches!(error, IndexError::Newer { found: 99, .. }),
            "{error}"
        );

        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("index.db"), vec![b'x'; 8_192]).unwrap();
        let error = Index::open(dir.path()).unwrap_err();
        assert!(matches!(error, IndexError::Damaged { .. }), "{error}");
    }
}
