//! The history of one asset.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::history::record;
use super::queue::word;
use super::{int, time, uint, verify};
use crate::core::asset::Asset;
use crate::core::change::{Kind, PipelineId, Seq, Source};
use crate::store::sql;
use crate::store::{AssetHistory, AssetPurge, Cause};

/// How many waiting changes are returned.
const WAITING: usize = 20;

pub(in crate::store) fn history(
    connection: &Connection,
    pipeline: &PipelineId,
    asset: &Asset,
    limit: usize,
) -> rusqlite::Result<AssetHistory> {
    let (id, name) = (pipeline.as_str(), asset.as_str());
    let mut waiting: Vec<Cause> = connection
        .prepare_cached(sql::change::WAITING_OF_ASSET)?
        .query_map(params![id, name, int(WAITING)], |row| {
            cause(connection, row)
        })?
        .collect::<rusqlite::Result<_>>()?;
    waiting.reverse();
    let purges = connection
        .prepare_cached(sql::request::OF_ASSET)?
        // The same asset of other pipelines comes between.
        .query_map(params![id, name, int(limit), int(limit * 8)], |row| {
            let covers: Option<i64> = row.get("covers")?;
            let request = record(connection, row)?;
            let cause = match covers {
                Some(seq) => change(connection, seq)?,
                None => of_everything(connection, request.id, name)?,
            };
            Ok(AssetPurge {
                verified: verify::seen(connection, request.id, name)?,
                request,
                cause,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(AssetHistory { waiting, purges })
}

fn change(connection: &Connection, seq: i64) -> rusqlite::Result<Option<Cause>> {
    connection
        .prepare_cached(sql::change::CAUSE)?
        .query_row([seq], |row| cause(connection, row))
        .optional()
}

/// What led to a purge of everything: a change of the asset, or one that asked for everything.
fn of_everything(
    connection: &Connection,
    request: u64,
    asset: &str,
) -> rusqlite::Result<Option<Cause>> {
    // A purge of everything may cover very many changes: both are found without looking at them.
    for name in [Some(asset), None] {
        let found = connection
            .prepare_cached(sql::change::CAUSE_OF_REQUEST)?
            .query_row(params![int(request), name], |row| cause(connection, row))
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

pub(in crate::store) fn cause(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<Cause> {
    let seq: i64 = row.get("seq")?;
    let source = word(row, "source", Source::parse)?;
    let detail: String = row.get("detail")?;
    let pipeline: String = row.get("pipeline")?;
    let origin: Option<String> = row.get("origin")?;
    let path: Option<Vec<u8>> = row.get("path")?;
    let asked = source == Source::Webhook || (source == Source::Scan && detail == "webhook");
    Ok(Cause {
        seq: Seq(uint(seq)),
        source,
        kind: word(row, "kind", Kind::parse)?,
        file: origin
            .zip(path)
            .map(|(origin, path)| (origin, String::from_utf8_lossy(&path).into_owned())),
        delivery: if asked {
            delivery(connection, &pipeline, seq)?
        } else {
            None
        },
        detail,
        seen: time(row.get("seen")?),
        stage: row.get("stage")?,
    })
}

/// The first delivery that the change is counted to.
fn delivery(
    connection: &Connection,
    pipeline: &str,
    seq: i64,
) -> rusqlite::Result<Option<(String, String)>> {
    connection
        .prepare_cached(sql::delivery::OF_CHANGE)?
        .query_row(params![seq, pipeline], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}
