//! What the history knows of the bytes behind an asset, and of the last look at it.

use crate::core::change::Kind;
use crate::core::purge::RequestId;
use crate::core::verify::{Check, Known, Past};
use crate::store::StoreError;
use crate::store::db::{Db, values};
use crate::store::sql;

/// Of so many requests for an asset what its files held is remembered, and of so many for everything.
const REMEMBERED: usize = 64;

pub(in crate::store) fn known(db: &dyn Db, check: &Check) -> Result<Known, StoreError> {
    let files = values![&check.pipeline, &check.asset, check.cause, REMEMBERED];
    let history: Vec<Past> = db.query(sql::change::FILES_OF_ASSET, &files, |row| {
        Ok(Past {
            node: row.get("node")?,
            origin: row.get("origin")?,
            path: row.get("path")?,
            kind: row.word("kind", Kind::parse)?,
            hash: row.get("hash")?,
            former: row.get("former")?,
        })
    })?;
    let newer = values![&check.pipeline, &check.asset, check.seq];
    let newer = db.value(sql::change::NEWER_OF_ASSET, &newer)?;
    let mut known = Known::new(history, newer);
    known.absent = absent(db, check)?;
    Ok(known)
}

/// Whether the last look at the asset that came to an end found no file, and none came anew since.
fn absent(db: &dyn Db, check: &Check) -> Result<bool, StoreError> {
    let last = db.optional(
        sql::verify::LAST_ABSENT,
        &values![&check.pipeline, &check.asset, check.request, REMEMBERED],
        |row| Ok((row.get("request")?, row.get("absent")?)),
    )?;
    let Some((request, true)) = last else {
        return Ok(false);
    };
    let came: Option<Option<RequestId>> =
        db.optional(sql::change::REQUEST_OF_NEW, &values![check.cause], |row| {
            row.get("request")
        })?;
    Ok(came.flatten().is_none_or(|came| came <= request))
}
