//! Changes: appended, and read again.

use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use super::{int, time, uint};
use crate::core::asset::Asset;
use crate::core::change::{Change, FileFact, Kind, NewChange, PipelineId, Seq, Source, Target};
use crate::store::Appended;
use crate::store::sql;

/// The last sequence number ever given.
pub(in crate::store) fn last_seq(connection: &Connection) -> rusqlite::Result<Seq> {
    connection
        .prepare_cached(sql::change::LAST)?
        .query_row([], |row| Ok(Seq(uint(row.get(0)?))))
}

pub(in crate::store) fn append(
    connection: &Connection,
    changes: &[NewChange],
) -> rusqlite::Result<Appended> {
    let before = last_seq(connection)?;
    let mut last = before;
    let mut insert = connection.prepare_cached(sql::change::APPEND)?;
    for change in changes {
        let asset = match &change.target {
            Target::Asset(asset) => Some(asset.as_str()),
            Target::All => None,
        };
        let file = change.file.as_ref();
        last = last.next();
        insert.execute(params![
            int(last.0),
            change.pipeline.as_str(),
            asset,
            change.kind.as_str(),
            change.source.as_str(),
            &*change.detail,
            file.map(|file| &*file.origin),
            file.map(|file| file.path.as_slice()),
            file.and_then(|file| file.hash),
            int(change.seen.millis()),
            file.and_then(|file| file.former),
        ])?;
    }
    Ok(Appended {
        first: before.next(),
        last,
    })
}

pub(in crate::store) fn queued_after(
    connection: &Connection,
    cursor: Seq,
    limit: usize,
) -> rusqlite::Result<Vec<Change>> {
    connection
        .prepare_cached(sql::change::QUEUED_AFTER)?
        .query_map(params![int(cursor.0), int(limit)], change)?
        .collect()
}

pub(in crate::store) fn change(row: &Row<'_>) -> rusqlite::Result<Change> {
    let asset: Option<String> = row.get("asset")?;
    let pipeline: String = row.get("pipeline")?;
    let detail: String = row.get("detail")?;
    Ok(Change {
        seq: Seq(uint(row.get("seq")?)),
        pipeline: PipelineId::new(&pipeline),
        target: asset.map_or(Target::All, |asset| {
            Target::Asset(Asset::from_stored(&asset))
        }),
        kind: word(row, "kind", Kind::parse)?,
        source: word(row, "source", Source::parse)?,
        detail: detail.into(),
        seen: time(row.get("seen")?),
        attempt: row.get("attempt")?,
        not_before: time(row.get("not_before")?),
        overdue: row.get("overdue")?,
        again: row.get("again")?,
    })
}

/// A word of a fixed set. One that is not in it is damage, not something to guess at.
pub(in crate::store) fn word<T>(
    row: &Row<'_>,
    column: &str,
    parse: fn(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    parse(&text).ok_or_else(|| {
        let why = format!("`{text}` is no {column}");
        rusqlite::Error::FromSqlConversionFailure(0, Type::Text, why.into())
    })
}

pub(in crate::store) fn facts_after(
    connection: &Connection,
    pipeline: &PipelineId,
    origin: &str,
    after: Seq,
    limit: usize,
) -> rusqlite::Result<Vec<(Seq, FileFact)>> {
    connection
        .prepare_cached(sql::change::FACTS_AFTER)?
        .query_map(
            params![pipeline.as_str(), origin, int(after.0), int(limit)],
            |row| {
                let fact = FileFact {
                    origin: origin.into(),
                    path: row.get("path")?,
                    hash: row.get("hash")?,
                    former: row.get("former")?,
                };
                Ok((Seq(uint(row.get("seq")?)), fact))
            },
        )?
        .collect()
}

pub(in crate::store) fn queued_files(
    connection: &Connection,
    pipeline: &PipelineId,
    after: Seq,
    limit: usize,
) -> rusqlite::Result<Vec<(Seq, NewChange)>> {
    connection
        .prepare_cached(sql::change::QUEUED_FILES)?
        .query_map(
            params![pipeline.as_str(), int(after.0), int(limit)],
            |row| {
                let known = change(row)?;
                let origin: String = row.get("origin")?;
                let file = FileFact {
                    origin: origin.into(),
                    path: row.get("path")?,
                    hash: row.get("hash")?,
                    former: row.get("former")?,
                };
                let new = NewChange {
                    pipeline: known.pipeline,
                    target: known.target,
                    kind: known.kind,
                    source: known.source,
                    detail: known.detail,
                    file: Some(file),
                    seen: known.seen,
                };
                Ok((known.seq, new))
            },
        )?
        .collect()
}
