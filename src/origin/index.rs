//! What edgepurge remembers of every origin file: `index.db`, `SQLite`, local, rebuildable. Owns its
//! schema and transactions; never looks at a file and never decides what a difference means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, Transaction, params};

use super::fingerprint::Stat;
use super::inbox::Inbox;
use crate::core::change::{ContentHash, FileFact, PipelineId, Seq};
use crate::core::time::Time;
use crate::lineage::Lineage;

mod open;
mod twins;

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
    /// Only the stat is known: the first scan does not read files, that is done after it.
    Unread,
}

impl Known {
    const fn code(self) -> i64 {
        match self {
            Self::Surely => 0,
            Self::Racy => 1,
            Self::HashOnly => 2,
            Self::Unread => 3,
        }
    }

    const fn parse(code: i64) -> Self {
        match code {
            0 => Self::Surely,
            1 => Self::Racy,
            3 => Self::Unread,
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

/// What a scan needs of a row, and nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Brief {
    pub(super) path: Vec<u8>,
    known: Known,
    stat: Stat,
    readable: bool,
    absent: bool,
}

impl Brief {
    /// Whether a file with this stat is as remembered, for sure.
    pub(super) fn is_unchanged(&self, stat: &Stat, open: bool) -> bool {
        matches!(self.known, Known::Surely | Known::Unread)
            && !self.absent
            && self.stat.same(stat)
            && self.readable == stat.readable(open)
    }
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
    /// The queue's last sequence number at the start: an origin that is new here has nothing to
    /// be told of what came before.
    last: Seq,
    /// Where looks at the files of each origin are asked for, by its number here.
    inboxes: Mutex<BTreeMap<i64, Weak<Inbox>>>,
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
        })))
    }

    /// The part of one origin, if it was ever indexed completely.
    pub(super) fn indexed(
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
                    absent IS NOT NULL
             FROM file WHERE origin = ?1 AND path {from} ?2 AND {until} ORDER BY path LIMIT ?4"
        ))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![self.id, after, end, limit], |row| {
            Ok(Brief {
                path: row.get(0)?,
                known: Known::parse(row.get(1)?),
                stat: Stat {
                    size: row.get::<_, i64>(2)?.cast_unsigned(),
                    mtime_ns: row.get(3)?,
                    ctime_ns: row.get(4)?,
                    inode: row.get::<_, i64>(5)?.cast_unsigned(),
                    mode: row.get(6)?,
                    ..Stat::default()
                },
                readable: row.get(7)?,
                absent: row.get(8)?,
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
        let mut grown = 0_i64;
        for edit in edits {
            if !self.write(&transaction, edit)? {
                beaten.push(edit.path.clone());
                continue;
            }
            grown += match (edit.was, &edit.becomes) {
                (None, Some(_)) => 1,
                (Some(_), None) => -1,
                _ => 0,
            };
        }
        if grown != 0 {
            transaction
                .prepare_cached("UPDATE origin SET files = files + ?2 WHERE id = ?1")?
                .execute(params![self.id, grown])?;
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
             inode = ?8, dev = ?9, mode = ?10, links = ?11, readable = ?12, hash = ?13, former = ?14,
             absent = ?15
             WHERE origin = ?1 AND path = ?2 AND rev = ?3"
        } else {
            "INSERT INTO file VALUES (?1, ?2, coalesce(?3, 1), ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
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
            stat.links,
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
                links: row.get(9)?,
            },
            readable: row.get(10)?,
            hash: row.get(11)?,
            former: row.get(12)?,
            absent: row
                .get::<_, Option<i64>>(13)?
                .map(|millis| Time::from_millis(millis.cast_unsigned())),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::Beginning;

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

    fn queue(last: u64) -> Lineage {
        Lineage {
            epoch: "one".to_owned(),
            last: Seq(last),
            beginning: Beginning::Continued,
        }
    }

    /// An index beside a queue, both new.
    fn first(dir: &Path) -> Arc<Index> {
        let queue = Lineage {
            beginning: Beginning::New,
            ..queue(0)
        };
        Arc::new(Index::open(dir, &queue, &[PipelineId::new("p")]).unwrap())
    }

    fn open() -> (tempfile::TempDir, OriginIndex) {
        let dir = tempfile::tempdir().unwrap();
        let index = first(dir.path());
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
        let all = index.briefs(b"", true, None, 3).unwrap();
        assert_eq!(all.len(), 3);
        let rest = index.briefs(&all[2].path, false, None, 10).unwrap();
        let found: Vec<_> = all
            .iter()
            .chain(&rest)
            .map(|row| row.path.as_slice())
            .collect();
        assert_eq!(found, paths);
        let below = index.briefs(b"a/", true, Some(b"a0"), 10).unwrap();
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
        index.set_indexed("all").unwrap();
        drop(index);
        let index = Arc::new(Index::open(dir.path(), &queue(2), &[]).unwrap());
        let same = index.origin(&PipelineId::new("p"), "site").unwrap();
        let other = index.origin(&PipelineId::new("q"), "site").unwrap();
        assert_eq!(same.progress().unwrap(), (Seq(2), true));
        assert_eq!(same.counts().unwrap(), (1, 0));
        assert_eq!(other.counts().unwrap(), (0, 0));
    }

    #[test]
    fn a_newer_index_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        drop(first(dir.path()));
        Connection::open(dir.path().join("index.db"))
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        let error = Index::open(dir.path(), &queue(0), &[]).unwrap_err();
        assert!(
            matches!(error, IndexError::Newer { found: 99, .. }),
            "{error}"
        );
    }

    #[test]
    fn an_index_that_does_not_belong_to_the_queue_is_set_aside_and_each_pipeline_told() {
        let pipelines = [PipelineId::new("p"), PipelineId::new("q")];
        let reason_for = |prepare: &dyn Fn(&Path), queue: &Lineage| {
            let dir = tempfile::tempdir().unwrap();
            let index = first(dir.path());
            assert_eq!(index.losses().unwrap(), []);
            let origin = index.origin(&PipelineId::new("p"), "site").unwrap();
            let row = Edit::new(b"a", None, Some(entry(1)));
            origin.apply(&[row], Some(Seq(5))).unwrap();
            drop((origin, index));
            prepare(&dir.path().join("index.db"));
            let index = Arc::new(Index::open(dir.path(), queue, &pipelines).unwrap());
            let origin = index.origin(&PipelineId::new("p"), "site").unwrap();
            let losses = index.losses().unwrap();
            let kept = origin.counts().unwrap().0 == 1;
            assert_eq!(kept, losses.is_empty());
            let reason = losses.first().map(|(_, reason)| reason.clone());
            assert!(losses.is_empty() || losses.len() == 2);
            for pipeline in &pipelines {
                index.made_good(pipeline).unwrap();
            }
            drop((origin, index));
            // Said once, and for good.
            let index = Index::open(dir.path(), queue, &pipelines).unwrap();
            assert_eq!(index.losses().unwrap(), []);
            reason.unwrap_or_default()
        };
        let untouched = |_: &Path| ();
        let missing = |path: &Path| std::fs::remove_file(path).unwrap();
        let garbage = |path: &Path| std::fs::write(path, [b'x'; 8_192]).unwrap();
        let other = Lineage {
            epoch: "two".to_owned(),
            ..queue(9)
        };
        let anew = Lineage {
            beginning: Beginning::Anew("the disk was full of holes".to_owned()),
            ..other.clone()
        };
        assert_eq!(reason_for(&untouched, &queue(5)), "");
        assert!(reason_for(&missing, &queue(5)).contains("is missing"));
        assert!(reason_for(&garbage, &queue(5)).contains("is damaged"));
        assert!(reason_for(&untouched, &queue(4)).contains("older"));
        assert!(reason_for(&untouched, &other).contains("another queue"));
        assert!(reason_for(&untouched, &anew).contains("holes"));
    }
}
