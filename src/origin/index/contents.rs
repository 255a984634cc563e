//! What is remembered of single files, to compare it with what other nodes have.

use rusqlite::{OptionalExtension as _, params};

use super::{Index, IndexError};
use crate::core::agreement::{Content, File};
use crate::core::change::{ContentHash, PipelineId};

/// Rows read at once: a worker that writes waits no longer than for these.
const CHUNK: usize = 128;

impl Index {
    /// What is remembered of these files of pipelines, in their order. A file that is absent, and does not count
    /// as gone yet, is there. Blocks.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn contents(&self, files: &[(PipelineId, File)]) -> Result<Vec<Content>, IndexError> {
        let mut contents = Vec::with_capacity(files.len());
        for chunk in files.chunks(CHUNK) {
            let connection = self.lock();
            let mut statement = connection.prepare_cached(
                "SELECT hash FROM file
                 WHERE origin = (SELECT id FROM origin WHERE pipeline = ?1 AND name = ?2) AND path = ?3",
            )?;
            for (pipeline, file) in chunk {
                let of = params![pipeline.as_str(), &*file.origin, file.path];
                let row = statement.query_row(of, |row| row.get(0));
                let row: Option<Option<ContentHash>> = row.optional()?;
                contents.push(match row {
                    None => Content::Gone,
                    Some(hash) => hash.map_or(Content::Unread, Content::Hash),
                });
            }
        }
        Ok(contents)
    }
}
