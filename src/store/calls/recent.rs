//! What the status shows of the history: the oldest changes, the last day, the last deliveries.

use std::time::Duration;

use super::listing;
use crate::core::change::PipelineId;
use crate::core::planner::Stands;
use crate::core::time::Time;
use crate::store::db::{Db, Row, values};
use crate::store::sql::recent as sql;
use crate::store::{ChangeRecord, DoneRequest, ListedDelivery, StoreError};

/// Among so many of the last deliveries the last one of each route is looked for.
const DELIVERIES: usize = 1_000;

/// The changes that are the oldest of their pipelines, as far as they are in the history.
pub(in crate::store) fn oldest(
    db: &dyn Db,
    of: &[(PipelineId, Stands)],
) -> Result<Vec<ChangeRecord>, StoreError> {
    let mut found = Vec::new();
    for (pipeline, stands) in of {
        let read = |row: &Row<'_>| listing::change(db, row);
        let change = match stands {
            Stands::Queued(Some(asset)) => {
                db.optional(sql::OLDEST_QUEUED, &values![pipeline, asset], read)
            }
            Stands::Queued(None) => db.optional(sql::OLDEST_ALL_QUEUED, &values![pipeline], read),
            Stands::InFlight(request) => db.optional(sql::OF_REQUEST, &values![*request], read),
        };
        found.extend(change?);
    }
    Ok(found)
}

/// The requests that were done from `from` on and before `until`, in order of time.
pub(in crate::store) fn done_between(
    db: &dyn Db,
    from: Time,
    until: Time,
) -> Result<Vec<DoneRequest>, StoreError> {
    db.query(sql::DONE_BETWEEN, &values![from, until], |row| {
        Ok(DoneRequest {
            pipeline: row.get("pipeline")?,
            at: row.get("settled")?,
            fresh: Duration::from_millis(row.get("fresh")?),
            assets: row.get("assets")?,
            all: row.get("whole")?,
        })
    })
}

/// When the last request of a pipeline was done, as far as the history goes.
pub(in crate::store) fn last_done(
    db: &dyn Db,
    pipeline: &PipelineId,
) -> Result<Option<Time>, StoreError> {
    db.optional(sql::LAST_DONE, &values![pipeline], |row| row.get("settled"))
}

/// The last delivery of each route, of the last thousand.
pub(in crate::store) fn last_deliveries(db: &dyn Db) -> Result<Vec<ListedDelivery>, StoreError> {
    db.query(sql::LAST_DELIVERIES, &values![DELIVERIES], |row| {
        listing::delivery(db, row)
    })
}
