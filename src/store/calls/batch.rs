//! The marks of a node's commits.

use crate::core::lease::NodeId;
use crate::core::ring::Mark;
use crate::store::StoreError;
use crate::store::db::{Db, Row, values};
use crate::store::sql;

/// The last one.
pub(in crate::store) fn last(db: &dyn Db, node: NodeId) -> Result<Mark, StoreError> {
    let last = db.optional(sql::batch::LAST, &values![node], mark)?;
    Ok(last.unwrap_or(Mark::NONE))
}

/// The one of a number, or the first that is kept after it.
pub(in crate::store) fn first_or_equal(
    db: &dyn Db,
    node: NodeId,
    n: i64,
) -> Result<Option<Mark>, StoreError> {
    db.optional(sql::batch::FIRST_OR_EQUAL, &values![node, n], mark)
}

/// Adds these.
pub(in crate::store) fn add(
    db: &dyn Db,
    node: NodeId,
    marks: impl Iterator<Item = Mark>,
) -> Result<(), StoreError> {
    let rows = marks.map(|mark| values![node, mark.n, mark.mark]);
    db.many(sql::batch::ADD, rows)
}

fn mark(row: &Row<'_>) -> Result<Mark, StoreError> {
    Ok(Mark {
        n: row.get("n")?,
        mark: Some(row.get("mark")?),
    })
}
