//! What the nodes of a fleet compare, and how far they say that they agree.

use std::collections::BTreeMap;

use super::queue;
use crate::core::agreement::{Compared, Content, Fact, File, Member};
use crate::core::change::{Kind, PipelineId, Seq};
use crate::core::lease::NodeId;
use crate::store::db::{Db, Row, values};
use crate::store::{CommittedFact, FactPage, StoreError, sql};

/// The changes of all nodes after `after`, in order, at most `limit`, with the files behind them.
pub(in crate::store) fn facts(
    db: &dyn Db,
    after: Seq,
    limit: usize,
) -> Result<FactPage, StoreError> {
    // Read first: what is committed in between is behind it.
    let last = queue::last_seq(db)?;
    let changes = db.query(
        sql::agreement::CHANGES_AFTER,
        &values![after, limit],
        |row| {
            Ok(CommittedFact {
                seq: row.get("seq")?,
                pipeline: row.get("pipeline")?,
                fact: fact(row)?,
            })
        },
    )?;
    Ok(FactPage { changes, last })
}

/// The fact behind a change; none where no node noticed a file.
fn fact(row: &Row<'_>) -> Result<Option<Fact>, StoreError> {
    let (Some(node), Some(path)) = (row.get("node")?, row.get("path")?) else {
        return Ok(None);
    };
    let hash: Option<_> = row.get("hash")?;
    let content = match row.word("kind", Kind::parse)? {
        Kind::Gone => Content::Gone,
        _ => hash.map_or(Content::Unread, Content::Hash),
    };
    let file = File {
        origin: row.get("origin")?,
        path,
    };
    let seq = row.get("seq")?;
    Ok(Some(Fact {
        seq,
        node,
        file,
        content,
    }))
}

/// The first queued change of each pipeline, and the last change of all.
pub(in crate::store) fn queued(
    db: &dyn Db,
) -> Result<(BTreeMap<PipelineId, Seq>, Seq), StoreError> {
    let last = queue::last_seq(db)?;
    let first = db.query(sql::agreement::FIRST_QUEUED, &[], |row| {
        Ok((row.get("pipeline")?, row.get("first")?))
    })?;
    Ok((first, last))
}

/// Says how far a node agrees. `None`: it is not to be waited for.
pub(in crate::store) fn publish(
    db: &dyn Db,
    node: NodeId,
    said: &[(PipelineId, Option<Compared>)],
) -> Result<(), StoreError> {
    for (pipeline, compared) in said {
        let Some(Compared { agreed, lagging }) = compared else {
            db.execute(sql::agreement::DISARM, &values![node, pipeline])?;
            continue;
        };
        let lagging: Vec<String> = lagging.iter().map(ToString::to_string).collect();
        let lagging = lagging.join(",");
        db.execute(
            sql::agreement::PUBLISH,
            &values![node, pipeline, *agreed, &lagging],
        )?;
    }
    Ok(())
}

/// What an earlier process of a node said does not count any more.
pub(in crate::store) fn disarm(db: &dyn Db, node: NodeId) -> Result<(), StoreError> {
    let all: Option<&PipelineId> = None;
    db.execute(sql::agreement::DISARM, &values![node, all])
        .map(drop)
}

/// How far the nodes agree that are to be waited for.
pub(in crate::store) fn members(db: &dyn Db) -> Result<Vec<Member>, StoreError> {
    db.query(sql::agreement::ARMED, &[], |row| {
        let lagging: &str = row.get("lagging")?;
        let numbers = lagging.split(',').filter_map(|one| one.parse().ok());
        Ok(Member {
            node: row.get("node")?,
            pipeline: row.get("pipeline")?,
            compared: Compared {
                agreed: row.get("agreed")?,
                lagging: numbers.map(Seq).collect(),
            },
        })
    })
}
