//! The files that are diverged from those of other nodes (`core/agreement.rs`): kept over a restart, so that one that
//! never is the same is waited for once, and not once for each start.

use rusqlite::params;

use super::{Index, IndexError};
use crate::core::agreement::{Content, Diverged, File};
use crate::core::change::{ContentHash, PipelineId};
use crate::core::lease::NodeId;
use crate::core::time::Time;

/// Made where it is missing, since an older edgepurge that finds it knows nothing of it, and loses nothing.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS diverged (
    pipeline TEXT NOT NULL,
    origin TEXT NOT NULL,
    path BLOB NOT NULL,
    node INTEGER NOT NULL,
    gone INTEGER NOT NULL,
    hash BLOB,
    since INTEGER NOT NULL,
    PRIMARY KEY (pipeline, origin, path, node)
) STRICT, WITHOUT ROWID;
";

impl Index {
    /// The diverged files of a pipeline, as they were kept last.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn diverged(&self, pipeline: &PipelineId) -> Result<Vec<Diverged>, IndexError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT origin, path, node, gone, hash, since FROM diverged WHERE pipeline = ?1",
        )?;
        let rows = statement.query_map([pipeline.as_str()], |row| {
            let hash: Option<ContentHash> = row.get(4)?;
            Ok(Diverged {
                file: File {
                    origin: row.get::<_, String>(0)?.into(),
                    path: row.get(1)?,
                },
                node: NodeId(row.get(2)?),
                content: if row.get(3)? {
                    Content::Gone
                } else {
                    hash.map_or(Content::Unread, Content::Hash)
                },
                since: Time::from_millis(row.get::<_, i64>(5)?.cast_unsigned()),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Keeps the diverged files of a pipeline, and no others. Blocks.
    ///
    /// # Errors
    /// When the database can't be written.
    pub fn keep_diverged(
        &self,
        pipeline: &PipelineId,
        diverged: &[Diverged],
    ) -> Result<(), IndexError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        transaction.execute(
            "DELETE FROM diverged WHERE pipeline = ?1",
            [pipeline.as_str()],
        )?;
        let mut insert = transaction
            .prepare_cached("INSERT INTO diverged VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        for one in diverged {
            let hash = match &one.content {
                Content::Hash(hash) => Some(hash),
                Content::Gone | Content::Unread => None,
            };
            insert.execute(params![
                pipeline.as_str(),
                &*one.file.origin,
                one.file.path,
                one.node.0,
                one.content == Content::Gone,
                hash,
                one.since.millis().cast_signed()
            ])?;
        }
        drop(insert);
        Ok(transaction.commit()?)
    }
}
