//! Rounds: opened at any node, done by each that takes part.

use super::{deliveries, number, queue};
use crate::core::change::PipelineId;
use crate::core::lease::NodeId;
use crate::core::round::{DeliveryRound, DueRounds, KEPT, NewRound, RoundId, RoundKind, Served};
use crate::core::time::Time;
use crate::store::StoreError;
use crate::store::db::{Db, values};
use crate::store::sql;

pub(in crate::store) fn last(db: &dyn Db) -> Result<RoundId, StoreError> {
    db.value(sql::round::LAST, &[])
}

/// Opens a round, which serves no delivery.
pub(in crate::store) fn open(db: &dyn Db, new: &NewRound) -> Result<RoundId, StoreError> {
    insert(db, new, Time::ZERO, 0)
}

fn insert(db: &dyn Db, new: &NewRound, due: Time, delivery: u64) -> Result<RoundId, StoreError> {
    let NewRound {
        pipeline,
        kind,
        accept_loss,
    } = new;
    let (id, kind) = (RoundId(number::after(last(db)?.0)), kind.as_str());
    let round = values![id, pipeline, kind, due, delivery, *accept_loss];
    db.execute(sql::round::OPEN, &round)?;
    db.execute(sql::round::PRUNE, &values![pipeline, kind, KEPT])?;
    Ok(id)
}

/// The first round after another that serves a delivery which waits; where there is none, it is opened, for
/// all that are due.
pub(in crate::store) fn of_deliveries(
    db: &dyn Db,
    pipeline: &PipelineId,
    after: RoundId,
    now: Time,
) -> Result<DeliveryRound, StoreError> {
    let found = db.optional(
        sql::round::OF_DELIVERIES,
        &values![pipeline, after],
        |row| {
            Ok(DeliveryRound {
                id: row.get("id")?,
                due: row.get("due")?,
                last: row.get("delivery")?,
            })
        },
    )?;
    if let Some(found) = found {
        return Ok(found);
    }
    let new = NewRound {
        pipeline: pipeline.clone(),
        kind: RoundKind::Scan,
        accept_loss: None,
    };
    let last = deliveries::last_id(db)?.unsigned_abs();
    let id = insert(db, &new, now, last)?;
    Ok(DeliveryRound { id, due: now, last })
}

/// A node takes part in the rounds of these pipelines, and of no other.
pub(in crate::store) fn take_part(
    db: &dyn Db,
    node: NodeId,
    pipelines: &[PipelineId],
) -> Result<(), StoreError> {
    let before: Vec<PipelineId> =
        db.query(sql::round::PARTS, &values![node], |row| row.get("pipeline"))?;
    for pipeline in before.iter().filter(|one| !pipelines.contains(one)) {
        db.execute(sql::round::LEAVE, &values![node, pipeline])?;
    }
    for (pipeline, kind) in pipelines
        .iter()
        .flat_map(|one| RoundKind::ALL.map(|kind| (one, kind)))
    {
        db.execute(
            sql::round::TAKE_PART,
            &values![node, pipeline, kind.as_str()],
        )?;
    }
    Ok(())
}

/// What a node has to do.
pub(in crate::store) fn due(
    db: &dyn Db,
    node: NodeId,
    pipeline: &PipelineId,
    kind: RoundKind,
) -> Result<Option<DueRounds>, StoreError> {
    db.optional(
        sql::round::DUE,
        &values![node, pipeline, kind.as_str()],
        |row| {
            Ok(DueRounds {
                last: row.get("last")?,
                asked: row.get("asked")?,
                accept_loss: row.get("accept_loss")?,
            })
        },
    )
}

/// A node has done the rounds up to one. A loss that was accepted in them is accepted no more. Nothing is written
/// where a failover has forgotten that one: what is open now may not have been when the node began.
pub(in crate::store) fn serve(
    db: &dyn Db,
    node: NodeId,
    pipeline: &PipelineId,
    kind: RoundKind,
    round: RoundId,
    report: &str,
) -> Result<(), StoreError> {
    let last = queue::last_seq(db)?;
    if is_forgotten(db, pipeline, kind, round)? {
        return Ok(());
    }
    let done = values![node, pipeline, kind.as_str(), round, last, report];
    db.execute(sql::round::SERVE, &done)?;
    let accepted = values![node, pipeline, kind.as_str(), round];
    db.execute(sql::round::ACCEPTED, &accepted).map(drop)
}

/// Whether a failover has forgotten a round that was opened.
pub(in crate::store) fn is_forgotten(
    db: &dyn Db,
    pipeline: &PipelineId,
    kind: RoundKind,
    round: RoundId,
) -> Result<bool, StoreError> {
    let of = values![pipeline, kind.as_str(), round];
    db.value(sql::round::IS_FORGOTTEN, &of)
}

/// How far each node is.
pub(in crate::store) fn served(
    db: &dyn Db,
    pipeline: &PipelineId,
    kind: RoundKind,
) -> Result<Vec<Served>, StoreError> {
    db.query(
        sql::round::SERVED,
        &values![pipeline, kind.as_str()],
        |row| {
            Ok(Served {
                node: row.get("node")?,
                name: row.get("name")?,
                beat: row.get("beat")?,
                has_left: row.get("has_left")?,
                round: row.get("round")?,
                last: row.get("last")?,
                report: row.get("report")?,
            })
        },
    )
}
