//! What the history knows of the bytes behind an asset, and of the last look at it.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::queue::word;
use super::super::{int, uint};
use crate::core::change::{Kind, Seq};
use crate::core::verify::{Check, Known, Past};
use crate::store::sql;

/// Of so many requests for an asset what its files held is remembered, and of so many for everything.
const REMEMBERED: usize = 64;

pub(in crate::store) fn known(connection: &Connection, check: &Check) -> rusqlite::Result<Known> {
    let (id, asset) = (check.pipeline.as_str(), check.asset.as_str());
    let history = connection
        .prepare_cached(sql::change::FILES_OF_ASSET)?
        .query_map(
            params![
                id,
                asset,
                check.cause.map(|seq| int(seq.0)),
                int(REMEMBERED)
            ],
            |row| {
                let origin: String = row.get("origin")?;
                Ok(Past {
                    origin: origin.into(),
                    path: row.get("path")?,
                    kind: word(row, "kind", Kind::parse)?,
                    hash: row.get("hash")?,
                    former: row.get("former")?,
                })
            },
        )?
        .collect::<rusqlite::Result<Vec<Past>>>()?;
    let newer: Option<i64> = connection
        .prepare_cached(sql::change::NEWER_OF_ASSET)?
        .query_row(params![id, asset, int(check.seq.0)], |row| row.get(0))?;
    let mut known = Known::new(history, newer.map(|seq| Seq(uint(seq))));
    known.absent = absent(connection, check)?;
    Ok(known)
}

/// Whether the last look at the asset that came to an end found no file, and none came anew since.
fn absent(connection: &Connection, check: &Check) -> rusqlite::Result<bool> {
    let (id, asset) = (check.pipeline.as_str(), check.asset.as_str());
    let last: Option<(i64, bool)> = connection
        .prepare_cached(sql::verify::LAST_ABSENT)?
        .query_row(
            params![id, asset, int(check.request.0), int(REMEMBERED)],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((request, true)) = last else {
        return Ok(false);
    };
    let came: Option<i64> = connection
        .prepare_cached(sql::change::REQUEST_OF_NEW)?
        .query_row([check.cause.map(|seq| int(seq.0))], |row| row.get(0))
        .optional()?
        .flatten();
    Ok(came.is_none_or(|came| came <= request))
}
