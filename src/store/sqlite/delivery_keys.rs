//! Which of the last deliveries has a name or a dedupe key. In memory, and made from the rows at
//! each start: an index over random numbers in the database would be the dearest part of a commit,
//! since each delivery would write two pages of it anew.
//!
//! It knows where to look, and no more: whoever finds a row here reads it, and compares. So an entry
//! of a delivery that was not committed after all, or was forgotten, does no harm.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, params};

use super::int;
use crate::store::DELIVERIES_KEPT;

/// The keys. Cheap to clone: one writes, others read.
#[derive(Clone, Debug, Default)]
pub(super) struct DeliveryKeys {
    rows: Arc<Mutex<Rows>>,
}

/// Row numbers by the short hashes that stand for what they are looked up by.
#[derive(Debug, Default)]
struct Rows {
    events: BTreeMap<i64, i64>,
    dedupes: BTreeMap<i64, i64>,
}

impl DeliveryKeys {
    /// The keys of the last [`DELIVERIES_KEPT`] deliveries.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let keys = Self::default();
        let mut statement = connection.prepare(
            "SELECT id, event_key, dedupe_key FROM delivery
             WHERE id > (SELECT ifnull(max(id), 0) FROM delivery) - ?1 ORDER BY id",
        )?;
        let mut rows = statement.query(params![int(DELIVERIES_KEPT)])?;
        while let Some(row) = rows.next()? {
            keys.add(row.get(0)?, row.get(1)?, row.get(2)?);
        }
        drop(rows);
        Ok(keys)
    }

    /// The last delivery with the name.
    pub(super) fn of_event(&self, key: i64) -> Option<i64> {
        self.lock().events.get(&key).copied()
    }

    /// The last delivery with the dedupe key.
    pub(super) fn of_dedupe(&self, key: i64) -> Option<i64> {
        self.lock().dedupes.get(&key).copied()
    }

    /// Adds a delivery; of more than twice as many as are kept, the older are forgotten.
    pub(super) fn add(&self, id: i64, event: i64, dedupe: Option<i64>) {
        let mut rows = self.lock();
        rows.events.insert(event, id);
        if let Some(dedupe) = dedupe {
            rows.dedupes.insert(dedupe, id);
        }
        let kept = int(DELIVERIES_KEPT);
        if rows.events.len() > 2 * DELIVERIES_KEPT || rows.dedupes.len() > 2 * DELIVERIES_KEPT {
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
            assert!(map.len() <= 2 * DELIVERIES_KEPT, "{}", map.len());
        }
    }
}
