//! What the status shows of the history: the oldest changes, the last day, the last deliveries.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{history, int, listing, time, uint};
use crate::core::asset::Asset;
use crate::core::change::PipelineId;
use crate::core::planner::Stands;
use crate::core::time::Time;
use crate::store::{ChangeRecord, DoneRequest, ListedDelivery};

/// Among so many of the last deliveries the last one of each route is looked for.
const DELIVERIES: usize = 1_000;

/// The changes that are the oldest of their pipelines, as far as they are in the history.
pub(in crate::store) fn oldest(
    connection: &Connection,
    of: &[(PipelineId, Stands)],
) -> rusqlite::Result<Vec<ChangeRecord>> {
    let columns = listing::CHANGE;
    let queued = format!(
        "SELECT {columns} FROM change
         WHERE pipeline = ?1 AND asset IS ?2 AND stage = 'queued' ORDER BY seq LIMIT 1"
    );
    let taken = format!("SELECT {columns} FROM change WHERE request = ?1 LIMIT 1");
    let mut found = Vec::new();
    for (pipeline, stands) in of {
        let read = |row: &Row<'_>| listing::change(connection, row);
        let change = match stands {
            Stands::Queued(asset) => {
                let asset = asset.as_ref().map(Asset::as_str);
                let mut statement = connection.prepare_cached(&queued)?;
                statement.query_row(params![pipeline.as_str(), asset], read)
            }
            Stands::InFlight(request) => {
                let mut statement = connection.prepare_cached(&taken)?;
                statement.query_row([int(request.0)], read)
            }
        };
        found.extend(change.optional()?);
    }
    Ok(found)
}

/// The requests that were done from `from` on and before `until`, in order of time.
pub(in crate::store) fn done_between(
    connection: &Connection,
    from: Time,
    until: Time,
) -> rusqlite::Result<Vec<DoneRequest>> {
    connection
        .prepare_cached(
            "SELECT pipeline, settled, through IS NOT NULL AS whole,
                    (SELECT count(*) FROM request_asset WHERE request = request.id) AS assets,
                    coalesce((SELECT max(at) FROM verified WHERE request = request.id
                              AND verdict = 'fresh'), settled) - first_seen AS fresh
             FROM request INDEXED BY request_settled
             WHERE settled >= ?1 AND settled < ?2 AND stage = 'done' ORDER BY settled",
        )?
        .query_map(params![int(from.millis()), int(until.millis())], |row| {
            let fresh: i64 = row.get("fresh")?;
            Ok(DoneRequest {
                pipeline: history::pipeline(row)?,
                at: time(row.get("settled")?),
                fresh: Duration::from_millis(uint(fresh)),
                assets: uint(row.get("assets")?),
                all: row.get("whole")?,
            })
        })?
        .collect()
}

/// The last delivery of each route, of the last thousand.
pub(in crate::store) fn last_deliveries(
    connection: &Connection,
) -> rusqlite::Result<Vec<ListedDelivery>> {
    let columns = listing::DELIVERY;
    connection
        .prepare_cached(&format!(
            "SELECT {columns} FROM delivery WHERE id IN (
                 SELECT max(id) FROM (SELECT id, route FROM delivery ORDER BY id DESC LIMIT ?1)
                 GROUP BY route)"
        ))?
        .query_map([int(DELIVERIES)], |row| listing::delivery(connection, row))?
        .collect()
}
