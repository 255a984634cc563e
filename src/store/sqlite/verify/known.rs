//! What the history knows of the bytes behind an asset, and of the last look at it.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::queue::word;
use super::super::{int, uint};
use crate::core::change::{Kind, Seq};
use crate::core::verify::{Check, Known, Past};

/// Of so many requests for an asset what its files held is remembered, and of so many for everything.
const REMEMBERED: usize = 64;

pub(in crate::store) fn known(connection: &Connection, check: &Check) -> rusqlite::Result<Known> {
    let (id, asset) = (check.pipeline.as_str(), check.asset.as_str());
    let history = connection
        .prepare_cached(
            "SELECT seq, origin, path, kind, hash, former FROM change
             WHERE seq = ?3 AND path IS NOT NULL
             UNION
             SELECT seq, origin, path, kind, hash, former FROM change INDEXED BY change_request
             WHERE request IN (SELECT request FROM request_asset WHERE asset = ?2
                               ORDER BY request DESC LIMIT ?4)
               AND pipeline = ?1 AND asset = ?2 AND path IS NOT NULL
             UNION
             SELECT seq, origin, path, kind, hash, former FROM change INDEXED BY change_request
             WHERE request IN (SELECT id FROM request INDEXED BY request_all
                               WHERE pipeline = ?1 AND through IS NOT NULL
                               ORDER BY id DESC LIMIT ?4)
               AND pipeline = ?1 AND asset = ?2 AND path IS NOT NULL
             ORDER BY seq",
        )?
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
        .prepare_cached(
            "SELECT max(seq) FROM (
                 SELECT max(seq) AS seq FROM change INDEXED BY change_queued_asset
                 WHERE stage = 'queued' AND pipeline = ?1 AND asset = ?2
                 UNION ALL
                 SELECT max(request_asset.seq) FROM request INDEXED BY request_unsettled
                 JOIN request_asset ON request_asset.request = request.id
                 WHERE request.settled IS NULL AND request.pipeline = ?1 AND asset = ?2
                 UNION ALL
                 SELECT max(change.seq) FROM request INDEXED BY request_unsettled
                 JOIN change ON change.request = request.id
                 WHERE request.settled IS NULL AND request.pipeline = ?1
                   AND request.through IS NOT NULL AND change.asset = ?2) AS newer
             WHERE seq > ?3",
        )?
        .query_row(params![id, asset, int(check.seq.0)], |row| row.get(0))?;
    let mut known = Known::new(history, newer.map(|seq| Seq(uint(seq))));
    known.absent = absent(connection, check)?;
    Ok(known)
}

/// Whether the last look at the asset that came to an end found no file, and none came anew since.
fn absent(connection: &Connection, check: &Check) -> rusqlite::Result<bool> {
    let (id, asset) = (check.pipeline.as_str(), check.asset.as_str());
    let last: Option<(i64, bool)> = connection
        .prepare_cached(
            "SELECT verified.request, absent FROM request JOIN verified ON verified.request = request.id
             WHERE id IN (
                 SELECT request FROM (SELECT request FROM request_asset WHERE asset = ?2
                                      ORDER BY request DESC LIMIT ?4)
                 UNION
                 SELECT id FROM (SELECT id FROM request INDEXED BY request_all
                                 WHERE pipeline = ?1 AND through IS NOT NULL
                                 ORDER BY id DESC LIMIT ?4))
               AND pipeline = ?1 AND asset = ?2 AND id < ?3
             ORDER BY id DESC LIMIT 1",
        )?
        .query_row(
            params![id, asset, int(check.request.0), int(REMEMBERED)],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((request, true)) = last else {
        return Ok(false);
    };
    let came: Option<i64> = connection
        .prepare_cached("SELECT request FROM change WHERE seq = ?1 AND kind = 'new'")?
        .query_row([check.cause.map(|seq| int(seq.0))], |row| row.get(0))
        .optional()?
        .flatten();
    Ok(came.is_none_or(|came| came <= request))
}
