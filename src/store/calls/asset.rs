//! The history of one asset.

use super::history::record;
use super::verify;
use crate::core::asset::Asset;
use crate::core::change::{Kind, PipelineId, Seq, Source};
use crate::store::db::{Db, Row, values};
use crate::store::sql;
use crate::store::{AssetHistory, AssetPurge, Cause, StoreError};

/// How many waiting changes are returned.
const WAITING: usize = 20;

pub(in crate::store) fn history(
    db: &dyn Db,
    pipeline: &PipelineId,
    asset: &Asset,
    limit: usize,
) -> Result<AssetHistory, StoreError> {
    let waiting = values![pipeline, asset, WAITING];
    let mut waiting: Vec<Cause> = db.query(sql::change::WAITING_OF_ASSET, &waiting, |row| {
        cause(db, row)
    })?;
    waiting.reverse();
    // The same asset of other pipelines comes between.
    let purges = values![pipeline, asset, limit, limit * 8];
    let purges = db.query(sql::request::OF_ASSET, &purges, |row| {
        let request = record(db, row)?;
        let cause = match row.get("covers")? {
            Some(seq) => change(db, seq)?,
            None => of_everything(db, request.id, asset)?,
        };
        Ok(AssetPurge {
            verified: verify::seen(db, request.id, asset)?,
            request,
            cause,
        })
    })?;
    Ok(AssetHistory { waiting, purges })
}

fn change(db: &dyn Db, seq: Seq) -> Result<Option<Cause>, StoreError> {
    db.optional(sql::change::CAUSE, &values![seq], |row| cause(db, row))
}

/// What led to a purge of everything: a change of the asset, or one that asked for everything.
fn of_everything(db: &dyn Db, request: u64, asset: &Asset) -> Result<Option<Cause>, StoreError> {
    // A purge of everything may cover very many changes: both are found without looking at them.
    let of_asset = values![request, asset];
    let found = db.optional(sql::change::CAUSE_OF_REQUEST, &of_asset, |row| {
        cause(db, row)
    })?;
    if found.is_some() {
        return Ok(found);
    }
    db.optional(sql::change::CAUSE_OF_ALL, &values![request], |row| {
        cause(db, row)
    })
}

pub(in crate::store) fn cause(db: &dyn Db, row: &Row<'_>) -> Result<Cause, StoreError> {
    let seq = row.get("seq")?;
    let source = row.word("source", Source::parse)?;
    let detail: String = row.get("detail")?;
    let origin: Option<String> = row.get("origin")?;
    let path: Option<&[u8]> = row.get("path")?;
    let asked = source == Source::Webhook || (source == Source::Scan && detail == "webhook");
    Ok(Cause {
        seq,
        source,
        kind: row.word("kind", Kind::parse)?,
        file: origin
            .zip(path)
            .map(|(origin, path)| (origin, String::from_utf8_lossy(path).into_owned())),
        delivery: if asked {
            delivery(db, &row.get("pipeline")?, seq)?
        } else {
            None
        },
        detail,
        seen: row.get("seen")?,
        stage: row.get("stage")?,
    })
}

/// The first delivery that the change is counted to.
fn delivery(
    db: &dyn Db,
    pipeline: &PipelineId,
    seq: Seq,
) -> Result<Option<(String, String)>, StoreError> {
    db.optional(sql::delivery::OF_CHANGE, &values![seq, pipeline], |row| {
        Ok((row.get("route")?, row.get("event")?))
    })
}
