//! Which of the last deliveries has a name or a dedupe key. In memory, and made from the rows at
//! each start: an index over random numbers in the database would be the dearest part of a commit,
//! since each delivery would write two pages of it anew. Where other nodes take deliveries into the same
//! database, it has those indexes, and what comes is looked for there, in each transaction.
//!
//! It knows where to look, and no more: the reader of a row found here compares it. So an entry
//! of a delivery that was forgotten does no harm. One that was not committed after all hides the one
//! before it: then the keys are read anew. Only the thread that writes may ask, since it alone sees
//! what it has not committed yet.

use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::core::delivery::NewDelivery;
use crate::store::db::{Db, int, values};
use crate::store::sql;
use crate::store::{DELIVERIES_KEPT, StoreError};

/// Keys in memory: a few more than deliveries that are kept, so that not each has to forget one.
const MOST: usize = DELIVERIES_KEPT + DELIVERIES_KEPT / 8;

/// The keys. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct DeliveryKeys {
    rows: Arc<Mutex<Rows>>,
    /// Whether other nodes take deliveries, too.
    is_shared: bool,
}

/// Rows by hashes. Nothing depends on their order, and a tree of so many misses the cache at each level.
#[expect(
    clippy::disallowed_types,
    reason = "the order is never seen, and does not depend on a seed"
)]
type ByHash = std::collections::HashMap<i64, i64, BuildHasherDefault<Hashed>>;

/// Takes a number for its hash, which it is.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_i64(&mut self, number: i64) {
        self.0 = number.cast_unsigned();
    }
}

/// Row numbers by the short hashes that stand for what they are looked up by.
#[derive(Debug, Default)]
struct Rows {
    events: ByHash,
    dedupes: ByHash,
    /// Some of these may not be there.
    doubtful: bool,
}

/// A number that stands for the name of a delivery; only as long as this process runs.
pub(in crate::store) fn event_key(route: &str, event: &str) -> i64 {
    hash(&(route, event))
}

/// A number that stands for what repeated deliveries have in common; as [`event_key`].
pub(in crate::store) fn dedupe_key(route: &str, pipeline: &str, key: &[u8]) -> i64 {
    hash(&(route, pipeline, key))
}

fn hash(of: &impl Hash) -> i64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish().cast_signed()
}

impl DeliveryKeys {
    /// Of deliveries that other nodes take, too.
    pub(in crate::store) fn shared() -> Self {
        Self {
            is_shared: true,
            ..Self::default()
        }
    }

    /// The keys of the last [`DELIVERIES_KEPT`] deliveries.
    pub(in crate::store) fn read(db: &dyn Db) -> Result<Self, StoreError> {
        let keys = Self::default();
        keys.fill(db)?;
        Ok(keys)
    }

    /// Something was not committed: what is here may not be there.
    pub(in crate::store) fn doubt(&self) {
        self.lock().doubtful = true;
    }

    /// Reads the keys anew where they are doubtful, for deliveries that come next.
    pub(in crate::store) fn renew<'d>(
        &self,
        db: &dyn Db,
        coming: impl Iterator<Item = &'d NewDelivery>,
    ) -> Result<(), StoreError> {
        if self.is_shared {
            return self.look_up(db, coming);
        }
        self.read_again(db)
    }

    /// Finds the last delivery that each of these may repeat.
    fn look_up<'d>(
        &self,
        db: &dyn Db,
        coming: impl Iterator<Item = &'d NewDelivery>,
    ) -> Result<(), StoreError> {
        let keyed = coming.filter_map(|delivery| {
            let key = delivery.dedupe_key.as_ref()?;
            Some((key, &*delivery.route, &delivery.pipeline))
        });
        let keyed: Vec<_> = keyed.collect();
        let values: Vec<_> = keyed
            .iter()
            .flat_map(|(key, route, pipeline)| values![*key, *route, *pipeline])
            .collect();
        let mut rows = Rows::default();
        db.each_row_of_all(sql::delivery::LAST_OF_DEDUPE, 3, &values, &mut |at, row| {
            if let Some((key, route, pipeline)) = keyed.get(at) {
                let key = dedupe_key(route, pipeline.as_str(), *key);
                rows.dedupes.insert(key, row.get("id")?);
            }
            Ok(())
        })?;
        *self.lock() = rows;
        Ok(())
    }

    fn read_again(&self, db: &dyn Db) -> Result<(), StoreError> {
        if !self.lock().doubtful {
            return Ok(());
        }
        *self.lock() = Rows {
            doubtful: true,
            ..Rows::default()
        };
        self.fill(db)?;
        self.lock().doubtful = false;
        Ok(())
    }

    fn fill(&self, db: &dyn Db) -> Result<(), StoreError> {
        let kept = values![DELIVERIES_KEPT];
        db.each_row(sql::delivery::KEYS, &kept, &mut |row| {
            let (route, pipeline) = (row.get("route")?, row.get("pipeline")?);
            let dedupe: Option<&[u8]> = row.get("dedupe")?;
            let dedupe = dedupe.map(|key| dedupe_key(route, pipeline, key));
            self.add(row.get("id")?, event_key(route, row.get("event")?), dedupe);
            Ok(())
        })
    }

    /// The last delivery with the name; another one may be at its place.
    pub(in crate::store) fn find(
        &self,
        db: &dyn Db,
        route: &str,
        event: &str,
    ) -> Result<Option<i64>, StoreError> {
        if self.is_shared {
            let of = values![route, event];
            return db.optional(sql::delivery::LAST_OF_EVENT, &of, |row| row.get("id"));
        }
        self.read_again(db)?;
        Ok(self.of_event(event_key(route, event)))
    }

    fn of_event(&self, key: i64) -> Option<i64> {
        self.lock().events.get(&key).copied()
    }

    /// The last delivery with the dedupe key.
    pub(in crate::store) fn of_dedupe(&self, key: i64) -> Option<i64> {
        self.lock().dedupes.get(&key).copied()
    }

    /// Adds a delivery; of more than [`MOST`], all that are not kept are forgotten.
    pub(in crate::store) fn add(&self, id: i64, event: i64, dedupe: Option<i64>) {
        let mut rows = self.lock();
        rows.events.insert(event, id);
        if let Some(dedupe) = dedupe {
            rows.dedupes.insert(dedupe, id);
        }
        let kept = int(DELIVERIES_KEPT);
        if rows.events.len() > MOST || rows.dedupes.len() > MOST {
            rows.events.retain(|_, row| *row > id - kept);
            rows.dedupes.retain(|_, row| *row > id - kept);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_kept_and_the_memory_is_bounded() {
        let keys = DeliveryKeys::default();
        let kept = int(DELIVERIES_KEPT);
        for id in 0..5 * kept {
            keys.add(id, id % (3 * kept), Some(-id));
        }
        let last = 5 * kept - 1;
        for back in [0, 1, kept - 1] {
            let id = last - back;
            assert_eq!(keys.of_event(id % (3 * kept)), Some(id));
            assert_eq!(keys.of_dedupe(-id), Some(id));
        }
        assert_eq!(keys.of_dedupe(0), None, "older ones are forgotten");
        let rows = keys.lock();
        for map in [&rows.events, &rows.dedupes] {
            assert!(
                map.len() <= MOST && map.capacity() < 1 << 18,
                "{}",
                map.capacity()
            );
        }
    }
}
