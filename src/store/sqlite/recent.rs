//! What the status shows of the history: the oldest changes, the last day, the last deliveries.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{history, int, listing, time, uint};
use crate::core::asset::Asset;
use crate::core::change::PipelineId;
use crate::core::planner::Stands;
use crate::core::time::Time;
use crate::store::sql::recent as sql;
use crate::store::{ChangeRecord, DoneRequest, ListedDelivery};

/// Among so many of the last deliveries the last one of each route is looked for.
const DELIVERIES: usize = 1_000;

/// The changes that are the oldest of their pipelines, as far as they are in the history.
pub(in crate::store) fn oldest(
    connection: &Connection,
    of: &[(PipelineId, Stands)],
) -> rusqlite::Result<Vec<ChangeRecord>> {
    let mut found = Vec::new();
    for (pipeline, stands) in of {
        let read = |row: &Row<'_>| listing::change(connection, row);
        let change = match stands {
            Stands::Queued(asset) => {
                let asset = asset.as_ref().map(Asset::as_str);
                let mut statement = connection.prepare_cached(sql::OLDEST_QUEUED)?;
                statement.query_row(params![pipeline.as_str(), asset], read)
            }
            Stands::InFlight(request) => {
                let mut statement = connection.prepare_cached(sql::OF_REQUEST)?;
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
        .prepare_cached(sql::DONE_BETWEEN)?
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

/// When the last request of a pipeline was done, as far as the history goes.
pub(in crate::store) fn last_done(
    connection: &Connection,
    pipeline: &PipelineId,
) -> rusqlite::Result<Option<Time>> {
    connection
        .prepare_cached(sql::LAST_DONE)?
        .query_row([pipeline.as_str()], |row| Ok(time(row.get("settled")?)))
        .optional()
}

/// The last delivery of each route, of the last thousand.
pub(in crate::store) fn last_deliveries(
    connection: &Connection,
) -> rusqlite::Result<Vec<ListedDelivery>> {
    connection
        .prepare_cached(sql::LAST_DELIVERIES)?
        .query_map([int(DELIVERIES)], |row| listing::delivery(connection, row))?
        .collect()
}
