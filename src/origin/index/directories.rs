//! Which paths are directories: those with files below them.

use rusqlite::{OptionalExtension, params};

use super::{Index, IndexError};
use crate::core::change::PipelineId;
use crate::sink::Remembered;

impl Remembered for Index {
    fn directory(
        &self,
        pipeline: &PipelineId,
        origin: &str,
        paths: &[Vec<u8>],
    ) -> Result<Option<Vec<u8>>, String> {
        self.first_directory(pipeline, origin, paths)
            .map_err(|error| error.to_string())
    }
}

impl Index {
    fn first_directory(
        &self,
        pipeline: &PipelineId,
        origin: &str,
        paths: &[Vec<u8>],
    ) -> Result<Option<Vec<u8>>, IndexError> {
        let connection = self.lock();
        let id: Option<i64> = connection
            .prepare_cached(
                "SELECT id FROM origin WHERE pipeline = ?1 AND name = ?2 AND indexed = 1",
            )?
            .query_row(params![pipeline.as_str(), origin], |row| row.get(0))
            .optional()?;
        let Some(id) = id else { return Ok(None) };
        let mut below = connection.prepare_cached(
            "SELECT 1 FROM file WHERE origin = ?1 AND path >= ?2 AND path < ?3 LIMIT 1",
        )?;
        for path in paths {
            let (from, to) = ([path, &b"/"[..]].concat(), [path, &b"0"[..]].concat());
            if below.exists(params![id, from, to])? {
                return Ok(Some(path.clone()));
            }
        }
        Ok(None)
    }
}
