//! The sum of an origin's files (`core/sum.rs`). It is made when it is first asked for, and kept up to date from then
//! on by what is written: no commit reads more than it writes, and a start makes it anew.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use rusqlite::params;

use super::{Edit, Index, IndexError, OriginIndex};
use crate::core::change::ContentHash;
use crate::core::sum::Sum;

/// Rows added up at once: a worker that writes waits no longer than for these.
const PAGE: u32 = 2_000;

/// The sum of an origin's rows, as far as they are added up.
#[derive(Debug, Default)]
pub(super) struct Summed {
    sum: Sum,
    /// The last path that is in it; `None`: all are.
    through: Option<Vec<u8>>,
}

impl Summed {
    fn has(&self, path: &[u8]) -> bool {
        self.through
            .as_deref()
            .is_none_or(|through| path <= through)
    }
}

impl Index {
    fn sums(&self) -> MutexGuard<'_, BTreeMap<i64, Summed>> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OriginIndex {
    /// The sum of all its files. Blocks; the first time, for as long as it takes to read the index.
    pub(in crate::origin) fn sum(&self) -> Result<Sum, IndexError> {
        loop {
            if let Some(sum) = self.add_up()? {
                return Ok(sum);
            }
        }
    }

    /// Adds up a page of the rows, while nothing is written; the sum, when all are in it.
    fn add_up(&self) -> Result<Option<Sum>, IndexError> {
        let connection = self.index.lock();
        let mut sums = self.index.sums();
        let summed = sums.entry(self.id).or_insert_with(|| Summed {
            through: Some(Vec::new()),
            ..Summed::default()
        });
        let Some(through) = &summed.through else {
            return Ok(Some(summed.sum));
        };
        let mut statement = connection.prepare_cached(
            "SELECT path, hash FROM file WHERE origin = ?1 AND path > ?2 ORDER BY path LIMIT ?3",
        )?;
        let rows = statement.query_map(params![self.id, through, PAGE], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        let rows: Vec<(Vec<u8>, Option<ContentHash>)> = rows.collect::<Result<_, _>>()?;
        for (path, hash) in &rows {
            summed.sum = summed.sum.with(path, hash.as_ref());
        }
        summed.through = rows.into_iter().next_back().map(|(path, _)| path);
        Ok(None)
    }

    /// Takes over what was written of this origin, while no one else writes or reads.
    pub(super) fn adjust_sum<'a>(&self, written: impl Iterator<Item = &'a Edit>) {
        let mut sums = self.index.sums();
        let Some(summed) = sums.get_mut(&self.id) else {
            return;
        };
        for edit in written {
            if !summed.has(&edit.path) {
                continue;
            }
            let before = edit.was.map(|_| edit.held.as_ref());
            let after = edit.becomes.as_ref().map(|entry| entry.hash.as_ref());
            if before == after {
                continue;
            }
            if let Some(hash) = before {
                summed.sum = summed.sum.without(&edit.path, hash);
            }
            if let Some(hash) = after {
                summed.sum = summed.sum.with(&edit.path, hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::change::{FileFact, PipelineId, Seq};
    use crate::origin::index::Entry;
    use crate::origin::index::tests::{entry, open};

    fn with(content: u8) -> Entry {
        Entry {
            hash: Some([content; 32]),
            ..entry(1)
        }
    }

    fn write(index: &OriginIndex, path: &[u8], becomes: Option<Entry>) {
        let row = index.get(path).unwrap();
        let edit = Edit::new(path, row.as_ref(), becomes);
        assert!(index.apply(&[edit], None).unwrap().is_empty());
    }

    #[test]
    fn what_is_written_before_while_and_after_it_is_added_up_counts_once() {
        let (_dir, index) = open();
        let rows = PAGE + PAGE / 2;
        let path = |number: u32| format!("{number:06}").into_bytes();
        let edits = (0..rows).map(|number| Edit::new(&path(number), None, Some(with(1))));
        index.apply(&edits.collect::<Vec<_>>(), None).unwrap();
        assert_eq!(index.add_up().unwrap(), None);
        // Some of them are added up by now, the others are not.
        for number in [0, PAGE - 1, PAGE, rows - 1] {
            write(&index, &path(number), Some(with(2)));
        }
        for number in [1, rows - 2] {
            write(&index, &path(number), None);
        }
        write(&index, b"000000a", Some(with(3)));
        write(&index, b"new", Some(with(3)));
        let begun = index.sum().unwrap();
        let again = |index: &OriginIndex| {
            index.index.sums().clear();
            index.sum().unwrap()
        };
        assert_eq!(begun, again(&index));
        write(&index, &path(2), Some(with(4)));
        write(&index, &path(3), None);
        write(
            &index,
            b"later",
            Some(Entry {
                hash: None,
                ..entry(1)
            }),
        );
        // One that another look was faster with changes nothing.
        let late = Edit::new(b"later", None, Some(with(5)));
        assert_eq!(index.apply(&[late], None).unwrap().len(), 1);
        let fact = FileFact {
            origin: "site".into(),
            path: path(4),
            hash: Some([6; 32]),
            former: None,
        };
        index.redo(&[(Seq(1), fact)]).unwrap();
        let kept = index.sum().unwrap();
        assert_ne!(kept, begun);
        assert_eq!(kept, again(&index));
        // Another origin has its own.
        let other = index.index.origin(&PipelineId::new("p"), "other");
        assert_eq!(other.unwrap().sum().unwrap(), Sum::default());
    }
}
