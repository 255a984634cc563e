//! The versions of the tables in `PostgreSQL`.
//!
//! **Two versions of edgepurge may work on one schema**, while one after the other is upgraded: the newer brings
//! it up to date, and the older goes on as long as the newer has only added to it. `readable_from` says since
//! which version that is so. What has gone further is left as it is.

use super::Postgres;
use crate::store::calls::operate;
use crate::store::db::{Db, values};
use crate::store::{StoreError, sql};

/// The versions, in order: the first makes version 1.
const MIGRATIONS: [&str; 3] = [
    include_str!("0001_initial.sql"),
    include_str!("0002_node.sql"),
    include_str!("0003_members.sql"),
];
/// The oldest version whose edgepurge can use the tables of the last one.
const OLDEST_READER: usize = 2;
/// The key of the version among what the queue knows of itself.
pub(super) const VERSION: &str = "schema";
/// The key of the oldest version whose edgepurge can use the tables.
pub(super) const READABLE_FROM: &str = "readable_from";

/// What brings tables of a version up to date: nothing, where a newer edgepurge has only added to them.
///
/// # Errors
/// [`StoreError::Unusable`] when this edgepurge can't use them.
pub(super) fn pending(
    version: usize,
    readable_from: Option<usize>,
) -> Result<&'static [&'static str], StoreError> {
    let known = MIGRATIONS.len();
    if let Some(pending) = MIGRATIONS.get(version..) {
        return Ok(pending);
    }
    if readable_from.is_some_and(|from| from <= known) {
        return Ok(&[]);
    }
    let why = format!(
        "the queue in PostgreSQL has version {version}, and this edgepurge ({}) knows versions up to {known}; \
         nothing was changed in it; install the newer edgepurge again",
        env!("CARGO_PKG_VERSION"),
    );
    Err(StoreError::Unusable(why.into()))
}

/// Brings the tables up to date, within a transaction. Returns their version before; 0: there were none.
pub(super) fn migrate(session: &Postgres) -> Result<usize, StoreError> {
    let db: &dyn Db = session;
    let is_new: bool = db.value("SELECT to_regclass('meta') IS NULL", &[])?;
    let (before, readable_from) = if is_new { (0, None) } else { versions(db)? };
    let pending = pending(before, readable_from)?;
    for migration in pending {
        session.run(migration)?;
    }
    if !pending.is_empty() {
        let versions = [(VERSION, MIGRATIONS.len()), (READABLE_FROM, OLDEST_READER)];
        for (key, version) in versions {
            db.execute(sql::meta::SET, &values![key, &version.to_string()])?;
        }
    }
    Ok(before)
}

/// Whether the tables are still those that this program knows.
///
/// # Errors
/// [`StoreError::Unusable`] where a newer one has gone further than that, or where they are of a backup from before
/// the last upgrade: the next start brings these up to date.
pub(super) fn fits(db: &dyn Db) -> Result<(), StoreError> {
    let (version, readable_from) = versions(db)?;
    if pending(version, readable_from)?.is_empty() {
        return Ok(());
    }
    let why = format!("the queue in PostgreSQL went back to version {version}: start again");
    Err(StoreError::Unusable(why.into()))
}

/// The version of the tables, and the oldest whose edgepurge can use them. A version that can't be read is a newer one.
fn versions(db: &dyn Db) -> Result<(usize, Option<usize>), StoreError> {
    let number = |key| {
        let number = operate::meta(db, key)?;
        Ok::<_, StoreError>(number.and_then(|number| number.parse().ok()))
    };
    Ok((
        number(VERSION)?.unwrap_or(usize::MAX),
        number(READABLE_FROM)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_version_has_only_added_to_can_be_used_and_nothing_further() {
        let last = MIGRATIONS.len();
        assert_eq!(pending(0, None).unwrap().len(), last);
        assert!(pending(last, Some(1)).unwrap().is_empty());
        assert!(pending(last + 1, Some(last)).unwrap().is_empty());
        assert!(pending(last + 2, Some(1)).unwrap().is_empty());
        for readable_from in [Some(last + 1), None] {
            let refused = pending(last + 1, readable_from).unwrap_err();
            assert!(matches!(refused, StoreError::Unusable(_)), "{refused}");
            assert!(refused.to_string().contains("newer"), "{refused}");
        }
    }
}
