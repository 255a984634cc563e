//! Which term is now, and the refusal of what is decided out of it.

use crate::core::lease::{LeaseRow, NodeId, Term};
use crate::store::StoreError;
use crate::store::db::{Db, values};
use crate::store::sql;

pub(in crate::store) fn lease(db: &dyn Db) -> Result<LeaseRow, StoreError> {
    db.one(sql::fleet::LEASE, &[], |row| {
        Ok(LeaseRow {
            term: Term(row.get("term")?),
            leader: row.get::<Option<i64>>("leader")?.map(NodeId),
            beat: row.get("beat")?,
        })
    })
}

/// Refuses whatever the transaction does, unless this is the term. Terms are compared for equality: after
/// a failover that lost some, an older one may be the later.
pub(in crate::store) fn fence(db: &dyn Db, term: Term) -> Result<(), StoreError> {
    if Term(db.value(sql::fleet::TERM, &[])?) == term {
        Ok(())
    } else {
        Err(StoreError::Superseded)
    }
}

/// Begins a term, if the row is as it was read. `false`: it is not.
pub(in crate::store) fn take(
    db: &dyn Db,
    read: LeaseRow,
    term: Term,
    node: NodeId,
) -> Result<bool, StoreError> {
    let values = values![read.term.0, read.beat, term.0, node.0];
    Ok(db.execute(sql::fleet::TAKE, &values)? > 0)
}

/// Moves the row. `false`: it is of another term.
pub(in crate::store) fn renew(db: &dyn Db, term: Term) -> Result<bool, StoreError> {
    Ok(db.execute(sql::fleet::RENEW, &values![term.0])? > 0)
}

/// Says that no node leads, if this is still the term.
pub(in crate::store) fn resign(db: &dyn Db, term: Term) -> Result<(), StoreError> {
    db.execute(sql::fleet::RESIGN, &values![term.0]).map(drop)
}
