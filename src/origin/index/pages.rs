//! Whole rows, in the order of their paths, a page at a time.

use rusqlite::{OptionalExtension as _, params};

use super::{COLUMNS, IndexError, OriginIndex, Row, read};

impl OriginIndex {
    /// At most `limit` rows after a path, and none behind `until` where that is given.
    pub(in crate::origin) fn rows_after(
        &self,
        after: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, IndexError> {
        let end = if until.is_some() {
            "path <= ?3"
        } else {
            "?3 IS NULL"
        };
        self.page(
            &format!(
                "SELECT {COLUMNS} FROM file
                 WHERE origin = ?1 AND path > ?2 AND {end} ORDER BY path LIMIT ?4"
            ),
            after,
            until,
            limit,
        )
    }

    /// The path of the row that so many come before.
    pub(in crate::origin) fn nth(&self, before: u64) -> Result<Option<Vec<u8>>, IndexError> {
        let connection = self.index.lock();
        let mut statement = connection.prepare_cached(
            "SELECT path FROM file WHERE origin = ?1 ORDER BY path LIMIT 1 OFFSET ?2",
        )?;
        let path = statement.query_row(params![self.id, before.cast_signed()], |row| row.get(0));
        Ok(path.optional()?)
    }

    /// At most `limit` rows after a path, of what was found absent.
    pub(in crate::origin) fn absent_after(
        &self,
        after: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, IndexError> {
        self.page(
            &format!(
                "SELECT {COLUMNS} FROM file INDEXED BY file_absent
                 WHERE origin = ?1 AND absent IS NOT NULL AND path > ?2 AND ?3 IS NULL
                 ORDER BY path LIMIT ?4"
            ),
            after,
            None,
            limit,
        )
    }

    fn page(
        &self,
        sql: &str,
        after: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, IndexError> {
        let connection = self.index.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![self.id, after, until, limit], read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
