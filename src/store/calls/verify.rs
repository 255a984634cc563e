//! What follows on a purge: looks at the edge, and another purge.

use super::queue;
use crate::core::asset::Asset;
use crate::core::change::{PipelineId, Seq};
use crate::core::purge::RequestId;
use crate::core::queue::QUEUE_CAP;
use crate::core::time::Time;
use crate::core::verify::{
    Check, FollowUp, FollowUps, FollowedUp, Follows, LONGEST_WAIT, Looked, SAMPLE, Seen, Then,
    WAITING, Word,
};
use crate::store::StoreError;
use crate::store::db::{Db, Row, values};
use crate::store::sql;

mod known;

pub(in crate::store) use known::known;

pub(in crate::store) fn begin(
    db: &dyn Db,
    follows: &[Follows],
    now: Time,
) -> Result<(), StoreError> {
    db.execute(sql::verify::SOONER, &values![now.after(LONGEST_WAIT)])?;
    for one in follows {
        let id = &one.pipeline;
        match one.repurge_after {
            Some(after) => {
                db.execute(sql::verify::SOONER_REPURGE, &values![id, now.after(after)])?
            }
            None => db.execute(sql::verify::FORGET_REPURGE, &values![id])?,
        };
        if !one.verify {
            db.execute(sql::verify::FORGET, &values![id])?;
        }
        if !one.verify && one.repurge_after.is_none() {
            db.execute(sql::request::UNFOLLOW_ALL, &values![id])?;
        }
    }
    Ok(())
}

pub(in crate::store) fn follow_up(
    db: &dyn Db,
    plan: &FollowUp,
    limit: usize,
) -> Result<FollowedUp, StoreError> {
    let settled: Vec<(Purged, String)> = db.query(
        sql::request::TO_FOLLOW,
        &values![&plan.pipeline, limit],
        |row| {
            let purged = Purged {
                request: row.get("id")?,
                through: row.get("through")?,
            };
            Ok((purged, row.get("stage")?))
        },
    )?;
    let mut followed = FollowedUp::default();
    for (purged, stage) in settled {
        if stage == "done" {
            if plan.verify {
                followed.left_out += enrol(db, plan, purged)?;
            }
            if let Some(due) = plan.repurge {
                repurge(db, plan, purged, due)?;
            }
        } else {
            // Nothing follows on a purge that will not be.
            let request = values![&plan.pipeline, purged.request];
            db.execute(sql::verify::FORGET_OF_REQUEST, &request)?;
        }
        db.execute(sql::request::UNFOLLOW, &values![purged.request])?;
        followed.requests += 1;
    }
    Ok(followed)
}

/// A request that is done, and for one of everything the last change that it covers.
#[derive(Clone, Copy)]
struct Purged {
    request: RequestId,
    through: Option<Seq>,
}

/// The last change of an asset that a request purged, and of which file it was.
struct Covered {
    asset: Asset,
    seq: Seq,
    seen: Time,
    cause: Option<Seq>,
}

/// The assets of a request are to be looked at. Returns how many there is no room for.
fn enrol(db: &dyn Db, plan: &FollowUp, purged: Purged) -> Result<u64, StoreError> {
    let Purged { request, through } = purged;
    let (id, now) = (&plan.pipeline, plan.now);
    let most = through.map_or(usize::MAX, |_| SAMPLE);
    let assets: Vec<Covered> = db.query(
        sql::change::ASSETS_OF_REQUEST,
        &values![request, most],
        |row| {
            Ok(Covered {
                asset: row.get("asset")?,
                seq: row.get("last")?,
                seen: row.get("first_seen")?,
                cause: row.get("cause")?,
            })
        },
    )?;
    let mut waiting: u64 = db.value(sql::verify::COUNT, &values![id])?;
    let mut left_out = 0;
    let mut fitting = Vec::new();
    for covered in assets {
        let there = values![id, &covered.asset];
        if db
            .optional(sql::verify::IS_THERE, &there, |_| Ok(()))?
            .is_none()
        {
            if waiting >= WAITING as u64 {
                left_out += 1;
                continue;
            }
            waiting += 1;
        }
        fitting.push(covered);
    }
    let enrolled = fitting.iter().map(|covered| {
        let Covered {
            asset,
            seq,
            seen,
            cause,
        } = covered;
        values![id, asset, *seq, *cause, request, *seen, now]
    });
    db.many(sql::verify::ENROL, enrolled)?;
    if let Some(through) = through {
        // What waited for a purge of its own had one.
        let after = values![id, request, through, now];
        db.execute(sql::verify::PROBE_AFTER_ALL, &after)?;
    }
    Ok(left_out)
}

/// What a request purged is purged once more, unless that was the second time.
fn repurge(db: &dyn Db, plan: &FollowUp, purged: Purged, due: Time) -> Result<(), StoreError> {
    let Purged { request, through } = purged;
    let id = &plan.pipeline;
    let everything = |seq: Seq| {
        db.execute(sql::verify::REPURGE_ALL, &values![id, seq, due])
            .map(drop)
    };
    if let Some(through) = through {
        let asked: bool = db.value(sql::change::WAS_ASKED, &values![request])?;
        return if asked { everything(through) } else { Ok(()) };
    }
    db.execute(sql::verify::REPURGE, &values![id, request, due])?;
    let waiting: u64 = db.value(sql::verify::COUNT_REPURGE, &values![id])?;
    if waiting > QUEUE_CAP as u64 {
        db.execute(sql::verify::FORGET_REPURGE, &values![id])?;
        everything(Seq(0))?;
    }
    Ok(())
}

pub(in crate::store) fn follow_ups(
    db: &dyn Db,
    of: &[PipelineId],
    checks: usize,
) -> Result<FollowUps, StoreError> {
    let unplanned = db.query(sql::request::PIPELINES_TO_FOLLOW, &[], |row| {
        row.get("pipeline")
    })?;
    let mut next: Vec<Check> = Vec::new();
    for pipeline in of {
        let probes: Vec<Check> =
            db.query(sql::verify::PROBES, &values![pipeline, checks], check)?;
        next.extend(probes);
    }
    next.sort_by_key(|check| check.due);
    Ok(FollowUps {
        unplanned,
        checks: next,
        again: db.value(sql::verify::NEXT_AGAIN, &[])?,
    })
}

fn check(row: &Row<'_>) -> Result<Check, StoreError> {
    Ok(Check {
        pipeline: row.get("pipeline")?,
        asset: row.get("asset")?,
        seq: row.get("seq")?,
        cause: row.get("cause")?,
        request: row.get("request")?,
        seen: row.get("seen")?,
        round: row.get("round")?,
        tries: row.get("tries")?,
        due: row.get("due")?,
    })
}

/// What is due to be purged again.
struct Due {
    pipeline: PipelineId,
    /// Empty: everything.
    asset: String,
    seq: Seq,
    stale: bool,
}

pub(in crate::store) fn purge_again(
    db: &dyn Db,
    now: Time,
    limit: usize,
) -> Result<usize, StoreError> {
    let due: Vec<Due> = db.query(sql::verify::DUE, &values![now, limit], |row| {
        Ok(Due {
            pipeline: row.get("pipeline")?,
            asset: row.get("asset")?,
            seq: row.get("seq")?,
            stale: row.get("stale")?,
        })
    })?;
    let numbers = queue::last_seq(db)?.next().0..;
    for (due, number) in due.iter().zip(numbers) {
        let (pipeline, asset) = (&due.pipeline, &due.asset);
        let detail = if due.stale {
            "stale at the edge"
        } else {
            "repurge_after"
        };
        let again = values![pipeline, asset, due.seq, detail, now, number];
        db.execute(sql::change::ASK_AGAIN, &again)?;
        if due.stale {
            db.execute(sql::verify::PURGING, &values![pipeline, asset, number])?;
        } else {
            db.execute(sql::verify::REPURGED, &values![pipeline, asset])?;
        }
    }
    Ok(due.len())
}

pub(in crate::store) fn looked(db: &dyn Db, looked: &Looked) -> Result<bool, StoreError> {
    let check = &looked.check;
    let (id, asset, request) = (&check.pipeline, &check.asset, check.request);
    let (stage, due, seq, tries) = match looked.then {
        Then::Over | Then::Failed => (None, check.due, check.seq, check.tries),
        Then::Again(due) => (Some("again"), due, check.seq, check.tries),
        Then::Retry(due) => (Some("probe"), due, check.seq, check.tries + 1),
        Then::Wait(seq) => (Some("purging"), looked.at, seq, check.tries),
    };
    let wanted = match stage {
        None => db.execute(sql::verify::OVER, &values![id, asset, request])?,
        Some(stage) => db.execute(
            sql::verify::LOOKED,
            &values![id, asset, request, stage, due, seq, tries],
        )?,
    };
    if wanted == 0 {
        return Ok(false);
    }
    if matches!(looked.then, Then::Failed) {
        db.execute(sql::change::FAIL, &values![check.seq])?;
    }
    if !matches!(looked.then, Then::Wait(_)) {
        let word = looked.word.as_str();
        db.execute(
            sql::verify::VERDICT,
            &values![request, asset, looked.at, word, &looked.why, looked.absent],
        )?;
    }
    Ok(true)
}

/// What the edge had after a request.
pub(in crate::store) fn seen(
    db: &dyn Db,
    request: u64,
    asset: &Asset,
) -> Result<Option<Seen>, StoreError> {
    db.optional(sql::verify::VERDICT_OF, &values![request, asset], |row| {
        Ok(Seen {
            at: row.get("at")?,
            verdict: row.word("verdict", Word::parse)?,
            why: row.get("why")?,
        })
    })
}

/// Nothing follows on the purges of a pipeline any more.
pub(in crate::store) fn forget(db: &dyn Db, pipeline: &PipelineId) -> Result<(), StoreError> {
    for sql in [sql::verify::FORGET, sql::verify::FORGET_REPURGE] {
        db.execute(sql, &values![pipeline])?;
    }
    Ok(())
}
