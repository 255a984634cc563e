//! Lists of the history, a part at a time.

use rusqlite::{Connection, Row, ToSql};

use super::{asset, deliveries, history, int, uint};
use crate::core::change::{PipelineId, Seq};
use crate::store::{ChangeFilter, ChangeRecord, DeliveryFilter, Listed, ListedDelivery, Slice};

/// A condition on a column, and its value, where the list is narrowed by it.
pub(super) type Wanted<'w> = (&'static str, Option<&'w dyn ToSql>);

/// What is read of a change, and of a delivery.
pub(super) const CHANGE: &str =
    "seq, pipeline, asset, kind, source, detail, origin, path, seen, stage, request";
pub(super) const DELIVERY: &str = "id, route, pipeline, stage, due, first, last, event, what, at";

/// A part of the rows of a table that are wanted, in the order of the number in `key`, with
/// these columns.
pub(in crate::store) fn listed<T>(
    connection: &Connection,
    (table, key, columns): (&str, &str, &str),
    wanted: &[Wanted<'_>],
    slice: Slice,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Listed<T>> {
    let mut conditions = vec!["true"];
    let mut values: Vec<&dyn ToSql> = Vec::new();
    for (condition, value) in wanted {
        if let Some(value) = value {
            conditions.push(condition);
            values.push(*value);
        }
    }
    let conditions = conditions.join(" AND ");
    let total: i64 = connection
        .prepare_cached(&format!("SELECT count(*) FROM {table} WHERE {conditions}"))?
        .query_row(values.as_slice(), |row| row.get(0))?;
    let (order, beyond) = if slice.ascending {
        ("ASC", ">")
    } else {
        ("DESC", "<")
    };
    let (cursor, limit, offset) = (slice.cursor.map(int), int(slice.limit), int(slice.offset));
    let beyond = match &cursor {
        Some(cursor) => {
            values.push(cursor);
            format!(" AND {key} {beyond} ?")
        }
        None => String::new(),
    };
    values.extend([&limit as &dyn ToSql, &offset]);
    let rows = connection
        .prepare_cached(&format!(
            "SELECT {columns} FROM {table} WHERE {conditions}{beyond} ORDER BY {key} {order} LIMIT ? OFFSET ?"
        ))?
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
    let wanted: [Wanted<'_>; 5] = [
        ("seq >= ?", value(first.as_ref())),
        ("seq <= ?", value(last.as_ref())),
        ("pipeline = ?", value(pipeline.as_ref())),
        ("stage = ?", value(filter.stage.as_ref())),
        ("asset = ?", value(filter.asset.as_ref())),
    ];
    listed(
        connection,
        ("change", "seq", CHANGE),
        &wanted,
        filter.slice,
        |row| change(connection, row),
    )
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
    let wanted: [Wanted<'_>; 2] = [
        ("pipeline = ?", value(pipeline.as_ref())),
        ("route = ?", value(filter.route.as_ref())),
    ];
    listed(
        connection,
        ("delivery", "id", DELIVERY),
        &wanted,
        filter.slice,
        |row| delivery(connection, row),
    )
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
