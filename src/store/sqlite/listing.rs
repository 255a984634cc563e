//! Lists of the history, a part at a time.

use rusqlite::{Connection, Row, ToSql};

use super::{asset, deliveries, history, int, uint};
use crate::core::change::{PipelineId, Seq};
use crate::store::sql::listing::{CHANGES, DELIVERIES, List, Part};
use crate::store::{ChangeFilter, ChangeRecord, DeliveryFilter, Listed, ListedDelivery, Slice};

/// A part of the rows of a list, narrowed by the conditions that have a value.
pub(in crate::store) fn listed<T, const CONDITIONS: usize>(
    connection: &Connection,
    list: &List<CONDITIONS>,
    values: [Option<&dyn ToSql>; CONDITIONS],
    slice: Slice,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Listed<T>> {
    let wanted = values.map(|value| value.is_some());
    let mut values: Vec<&dyn ToSql> = values.into_iter().flatten().collect();
    let total: i64 = connection
        .prepare_cached(&list.count(wanted))?
        .query_row(values.as_slice(), |row| row.get(0))?;
    let (cursor, limit, offset) = (slice.cursor.map(int), int(slice.limit), int(slice.offset));
    let part = Part {
        ascending: slice.ascending,
        beyond: cursor.is_some(),
    };
    values.extend(value(cursor.as_ref()));
    values.extend([&limit as &dyn ToSql, &offset]);
    let rows = connection
        .prepare_cached(&list.rows(wanted, part))?
        .query_map(values.as_slice(), read)?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Listed {
        rows,
        total_count: uint(total),
    })
}

/// A value as a parameter of a statement.
pub(in crate::store) fn value<T: ToSql>(of: Option<&T>) -> Option<&dyn ToSql> {
    of.map(|value| value as &dyn ToSql)
}

pub(in crate::store) fn changes(
    connection: &Connection,
    filter: &ChangeFilter,
) -> rusqlite::Result<Listed<ChangeRecord>> {
    let pipeline = filter.pipeline.as_ref().map(PipelineId::as_str);
    let number = |seq: Option<Seq>| seq.map(|seq| int(seq.0));
    let (first, last) = (number(filter.first), number(filter.last));
    let values = [
        value(first.as_ref()),
        value(last.as_ref()),
        value(pipeline.as_ref()),
        value(filter.stage.as_ref()),
        value(filter.asset.as_ref()),
    ];
    listed(connection, &CHANGES, values, filter.slice, |row| {
        change(connection, row)
    })
}

/// Reads the columns of [`CHANGE`].
pub(super) fn change(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<ChangeRecord> {
    let request: Option<i64> = row.get("request")?;
    Ok(ChangeRecord {
        pipeline_id: history::pipeline(row)?,
        asset: row.get("asset")?,
        request: request.map(uint),
        cause: asset::cause(connection, row)?,
    })
}

pub(in crate::store) fn deliveries(
    connection: &Connection,
    filter: &DeliveryFilter,
) -> rusqlite::Result<Listed<ListedDelivery>> {
    let pipeline = filter.pipeline.as_ref().map(PipelineId::as_str);
    let values = [value(pipeline.as_ref()), value(filter.route.as_ref())];
    listed(connection, &DELIVERIES, values, filter.slice, |row| {
        delivery(connection, row)
    })
}

/// Reads the columns of [`DELIVERY`].
pub(super) fn delivery(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<ListedDelivery> {
    let id: i64 = row.get("id")?;
    Ok(ListedDelivery {
        id: uint(id),
        route: row.get("route")?,
        pipeline_id: history::pipeline(row)?,
        record: deliveries::record(connection, row)?,
    })
}
