//! Which node this is among those that share the queue.

use crate::core::lease::NodeId;
use crate::core::nodes::NodeRow;
use crate::core::time::Time;
use crate::store::StoreError;
use crate::store::db::{Db, values};
use crate::store::sql;

/// What is known of a node that starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Known {
    /// It goes on where it was.
    ByKey,
    /// Its state directory is another than before.
    ByName,
    /// It was never here.
    Not,
}

/// What says which node a process runs as.
#[derive(Clone, Debug)]
pub(in crate::store) struct Identity {
    /// What it is called; another node can have the name later.
    pub(in crate::store) name: String,
    /// What stays with the state directory.
    pub(in crate::store) key: String,
    /// A random number of the process.
    pub(in crate::store) instance: i64,
}

/// The number of the node from now on. No other process may run under its key or its name.
pub(in crate::store) fn join(
    db: &dyn Db,
    identity: &Identity,
) -> Result<(NodeId, Known), StoreError> {
    let Identity { name, key, .. } = identity;
    let found = db.optional(sql::node::FIND, &values![key, name], |row| {
        let known = if row.get::<&str>("key")? == key {
            Known::ByKey
        } else {
            Known::ByName
        };
        Ok((row.get("id")?, known))
    })?;
    let (id, known) = match found {
        Some(found) => found,
        None => (db.value::<i64>(sql::node::LAST, &[])? + 1, Known::Not),
    };
    join_as(db, NodeId(id), identity)?;
    Ok((NodeId(id), known))
}

/// The node of this number runs as this.
pub(in crate::store) fn join_as(
    db: &dyn Db,
    node: NodeId,
    identity: &Identity,
) -> Result<(), StoreError> {
    let Identity {
        name,
        key,
        instance,
    } = identity;
    let version = env!("CARGO_PKG_VERSION");
    let values = values![node, key, name, *instance, version];
    db.execute(sql::node::JOIN, &values).map(drop)
}

/// Every node.
pub(in crate::store) fn all(db: &dyn Db) -> Result<Vec<NodeRow>, StoreError> {
    db.query(sql::node::NODES, &[], |row| {
        let id: NodeId = row.get("id")?;
        Ok(NodeRow {
            id,
            name: row.get("name")?,
            beat: row.get("beat")?,
            has_left: row.get("has_left")?,
            leads: row.get::<Option<NodeId>>("leader")? == Some(id),
            since: row.get("since")?,
            version: row.get("version")?,
            report: row.get("status")?,
            config: row.get("config")?,
        })
    })
}

/// Says that a process runs as a node, at a time of its clock.
///
/// # Errors
/// [`StoreError::Unusable`] when another process has begun to.
pub(in crate::store) fn beat(
    db: &dyn Db,
    node: NodeId,
    instance: i64,
    now: Time,
) -> Result<(), StoreError> {
    match db.execute(sql::node::BEAT, &values![node, instance, now])? {
        0 => Err(replaced()),
        _ => Ok(()),
    }
}

/// Another process runs as this node.
pub(in crate::store) fn replaced() -> StoreError {
    let why = "another edgepurge has run as this node meanwhile; its state directory may be a copy of this one";
    StoreError::Unusable(why.to_owned().into())
}

/// The process that runs as a node, or did last, and the key of that node.
pub(in crate::store) fn instance(
    db: &dyn Db,
    node: NodeId,
) -> Result<Option<(i64, String)>, StoreError> {
    db.optional(sql::node::INSTANCE, &values![node], |row| {
        Ok((row.get("instance")?, row.get("key")?))
    })
}

/// Forgets a node whose beat has not moved from this one, with what it has said. Its last mark stays, from which it
/// goes on if it comes back. `false`: it has moved.
pub(in crate::store) fn forget(db: &dyn Db, node: NodeId, beat: i64) -> Result<bool, StoreError> {
    let is_still = db.execute(sql::node::FORGET, &values![node, beat])? > 0;
    let its = [
        sql::batch::FORGET,
        sql::agreement::FORGET,
        sql::round::FORGET,
    ];
    for of_node in its.iter().filter(|_| is_still) {
        db.execute(of_node, &values![node])?;
    }
    Ok(is_still)
}
