//! Lists of the history, a part at a time.

use super::{asset, deliveries};
use crate::store::db::{Db, Row, Value, values};
use crate::store::sql::listing::{CHANGES, DELIVERIES, List, Part};
use crate::store::{
    ChangeFilter, ChangeRecord, DeliveryFilter, Listed, ListedDelivery, Slice, StoreError,
};

/// A part of the rows of a list, narrowed by the conditions that have a value.
pub(in crate::store) fn listed<T, const CONDITIONS: usize>(
    db: &dyn Db,
    list: &List<CONDITIONS>,
    values: [Value<'_>; CONDITIONS],
    slice: Slice,
    read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Listed<T>, StoreError> {
    let wanted = values.map(|value| value != Value::Null);
    let mut values = values.to_vec();
    values.retain(|value| *value != Value::Null);
    let total_count = db.value(&list.count(wanted), &values)?;
    let part = Part {
        ascending: slice.ascending,
        beyond: slice.cursor.is_some(),
    };
    values.extend(slice.cursor.map(Value::from));
    values.extend(values![slice.limit, slice.offset]);
    Ok(Listed {
        rows: db.query(&list.rows(wanted, part), &values, read)?,
        total_count,
    })
}

pub(in crate::store) fn changes(
    db: &dyn Db,
    filter: &ChangeFilter,
) -> Result<Listed<ChangeRecord>, StoreError> {
    let values = values![
        filter.first,
        filter.last,
        filter.pipeline.as_ref(),
        filter.stage.as_ref(),
        filter.asset.as_ref(),
    ];
    listed(db, &CHANGES, values, filter.slice, |row| change(db, row))
}

/// Reads the columns of [`CHANGES`].
pub(super) fn change(db: &dyn Db, row: &Row<'_>) -> Result<ChangeRecord, StoreError> {
    Ok(ChangeRecord {
        pipeline_id: row.get("pipeline")?,
        asset: row.get("asset")?,
        request: row.get("request")?,
        cause: asset::cause(db, row)?,
    })
}

pub(in crate::store) fn deliveries(
    db: &dyn Db,
    filter: &DeliveryFilter,
) -> Result<Listed<ListedDelivery>, StoreError> {
    let values = values![filter.pipeline.as_ref(), filter.route.as_ref()];
    listed(db, &DELIVERIES, values, filter.slice, |row| {
        delivery(db, row)
    })
}

/// Reads the columns of [`DELIVERIES`].
pub(super) fn delivery(db: &dyn Db, row: &Row<'_>) -> Result<ListedDelivery, StoreError> {
    Ok(ListedDelivery {
        id: row.get("id")?,
        route: row.get("route")?,
        pipeline_id: row.get("pipeline")?,
        record: deliveries::record(db, row)?,
    })
}
