//! Changes: appended, and read again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::change::{Change, FileFact, Kind, NewChange, PipelineId, Seq, Source};
use crate::core::lease::NodeId;
use crate::core::time::Time;
use crate::store::db::{Db, Row, values};
use crate::store::sql;
use crate::store::{Appended, StoreError};

/// The last sequence number ever given.
pub(in crate::store) fn last_seq(db: &dyn Db) -> Result<Seq, StoreError> {
    db.value(sql::change::LAST, &[])
}

/// The last queued change that the planner has pulled. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::store) struct Pulled(Option<Arc<AtomicU64>>);

impl Pulled {
    /// For a queue whose planner runs in this process.
    pub(in crate::store) fn here() -> Self {
        Self(Some(Arc::default()))
    }

    /// For a queue whose planner may run elsewhere: it is not known.
    pub(in crate::store) const fn elsewhere() -> Self {
        Self(None)
    }

    /// The planner is about to get these.
    pub(in crate::store) fn note(&self, changes: &[Change]) {
        let last = changes.iter().map(|change| change.seq.0).max();
        if let (Some(pulled), Some(last)) = (&self.0, last) {
            pulled.fetch_max(last, Ordering::Relaxed);
        }
    }

    /// Which it is, where that is known.
    pub(super) fn last(&self) -> Option<Seq> {
        let pulled = self.0.as_ref()?;
        Some(Seq(pulled.load(Ordering::Relaxed)))
    }
}

/// Appends changes; `node` has noticed the files behind them, where there are any.
pub(in crate::store) fn append(
    db: &dyn Db,
    node: Option<NodeId>,
    changes: &[NewChange],
) -> Result<Appended, StoreError> {
    let before = last_seq(db)?;
    append_from(db, node, before.next(), changes)?;
    Ok(Appended {
        first: before.next(),
        last: Seq(before.0 + changes.len() as u64),
    })
}

/// Appends changes with the numbers from `first` on, which are the next.
pub(in crate::store) fn append_from(
    db: &dyn Db,
    node: Option<NodeId>,
    first: Seq,
    changes: &[NewChange],
) -> Result<(), StoreError> {
    let numbers = (first.0..).map(Seq);
    let rows = changes.iter().zip(numbers).map(|(change, seq)| {
        let file = change.file.as_ref();
        values![
            seq,
            &change.pipeline,
            &change.target,
            change.kind.as_str(),
            change.source.as_str(),
            &*change.detail,
            file.map(|file| &*file.origin),
            file.map(|file| file.path.as_slice()),
            file.and_then(|file| file.hash.as_ref()),
            change.seen,
            file.and_then(|file| file.former.as_ref()),
            file.and(node),
        ]
    });
    db.many(sql::change::APPEND, rows)
}

pub(in crate::store) fn queued_after(
    db: &dyn Db,
    cursor: Seq,
    limit: usize,
) -> Result<Vec<Change>, StoreError> {
    db.query(sql::change::QUEUED_AFTER, &values![cursor, limit], change)
}

pub(in crate::store) fn change(row: &Row<'_>) -> Result<Change, StoreError> {
    Ok(Change {
        seq: row.get("seq")?,
        pipeline: row.get("pipeline")?,
        target: row.get("asset")?,
        kind: row.word("kind", Kind::parse)?,
        source: row.word("source", Source::parse)?,
        detail: row.get("detail")?,
        seen: row.get("seen")?,
        attempt: row.get("attempt")?,
        not_before: row.get("not_before")?,
        overdue: row.get("overdue")?,
        again: row.get("again")?,
    })
}

/// Whether something of a pipeline up to a change is neither purged nor given up.
pub(in crate::store) fn is_pending(
    db: &dyn Db,
    pipeline: &PipelineId,
    last: Seq,
) -> Result<bool, StoreError> {
    db.value(sql::change::PENDING, &values![pipeline, last])
}

pub(in crate::store) fn queued_assets(
    db: &dyn Db,
) -> Result<BTreeMap<PipelineId, (usize, Time)>, StoreError> {
    let rows: Vec<_> = db.query(sql::change::QUEUED_ASSETS, &[], |row| {
        let (assets, oldest): (u64, Time) = (row.get("assets")?, row.get("oldest")?);
        let assets = usize::try_from(assets).unwrap_or(usize::MAX);
        Ok((row.get("pipeline")?, (assets, oldest)))
    })?;
    Ok(rows.into_iter().collect())
}

pub(in crate::store) fn facts_after(
    db: &dyn Db,
    node: NodeId,
    pipeline: &PipelineId,
    origin: &str,
    after: Seq,
    limit: usize,
) -> Result<Vec<(Seq, FileFact)>, StoreError> {
    db.query(
        sql::change::FACTS_AFTER,
        &values![pipeline, origin, after, limit, node],
        |row| Ok((row.get("seq")?, fact(row, origin)?)),
    )
}

fn fact(row: &Row<'_>, origin: &str) -> Result<FileFact, StoreError> {
    Ok(FileFact {
        origin: origin.into(),
        path: row.get("path")?,
        hash: row.get("hash")?,
        former: row.get("former")?,
    })
}

pub(in crate::store) fn queued_files(
    db: &dyn Db,
    pipeline: &PipelineId,
    node: NodeId,
    after: Seq,
    limit: usize,
) -> Result<Vec<(Seq, NewChange)>, StoreError> {
    db.query(
        sql::change::QUEUED_FILES,
        &values![pipeline, after, limit, node],
        |row| {
            let known = change(row)?;
            let origin = row.get("origin")?;
            let new = NewChange {
                pipeline: known.pipeline,
                target: known.target,
                kind: known.kind,
                source: known.source,
                detail: known.detail,
                file: Some(fact(row, origin)?),
                seen: known.seen,
            };
            Ok((known.seq, new))
        },
    )
}
