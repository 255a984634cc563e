//! One file under many names: hard links. The kernel tells of a change under the one name it was
//! made through; the others are found here, in every origin of every pipeline.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use rusqlite::{Connection, params};

use super::{IndexError, OriginIndex};
use crate::core::time::Time;
use crate::origin::watch::hints::{Cause, Hint};
use crate::origin::watch::inbox::Inbox;

/// Rows looked through at once, so that no other call waits long for the database.
const STEP: u32 = 20_000;

impl OriginIndex {
    /// From now on looks at files of this origin are asked for there.
    pub(in crate::origin) fn listen(&self, inbox: &Arc<Inbox>) {
        let mut inboxes = self.index.inboxes.lock();
        let inboxes = inboxes.as_mut().unwrap_or_else(|error| error.get_mut());
        inboxes.insert(self.id, Arc::downgrade(inbox));
    }

    /// Asks for a look at every other known name of a file.
    pub(in crate::origin) fn hint_twins(
        &self,
        inode: u64,
        path: &[u8],
        now: Time,
    ) -> Result<(), IndexError> {
        let found = {
            let connection = self.index.lock();
            let mut statement = connection
                .prepare_cached("SELECT origin, path FROM file INDEXED BY file_twins WHERE inode = ?1 AND links > 1")?;
            let rows = statement.query_map([inode.cast_signed()], name)?;
            rows.collect::<Result<Vec<_>, _>>()?
        };
        self.hint(found, path, now);
        Ok(())
    }

    /// Asks for a look at what had one name so far and is one of these files: it has more now, and
    /// no event reported that. One pass through the rows, whatever the number of files.
    pub(in crate::origin) fn hint_new_twins(
        &self,
        inodes: &BTreeSet<u64>,
        now: Time,
    ) -> Result<(), IndexError> {
        let mut after = (0, Vec::new());
        loop {
            let (found, last) = singles(&self.index.lock(), &after, inodes)?;
            self.hint(found, b"", now);
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    fn hint(&self, found: Vec<Name>, except: &[u8], now: Time) {
        let inboxes = self
            .index
            .inboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (origin, path) in found {
            if origin == self.id && path == except {
                continue;
            }
            if let Some(inbox) = inboxes.get(&origin).and_then(std::sync::Weak::upgrade) {
                inbox.ask(&path, Hint::again(Cause::Watch, now));
            }
        }
    }
}

/// An origin's number, and a path in it.
type Name = (i64, Vec<u8>);

fn name(row: &rusqlite::Row<'_>) -> rusqlite::Result<Name> {
    Ok((row.get(0)?, row.get(1)?))
}

/// Those of the next rows that are one of these files, and where to go on.
fn singles(
    connection: &Connection,
    (origin, path): &Name,
    inodes: &BTreeSet<u64>,
) -> Result<(Vec<Name>, Option<Name>), IndexError> {
    let mut statement = connection.prepare_cached(
        "SELECT origin, path, inode, links FROM file WHERE (origin, path) > (?1, ?2)
         ORDER BY origin, path LIMIT ?3",
    )?;
    let mut rows = statement.query(params![origin, path, STEP])?;
    let (mut found, mut last, mut count) = (Vec::new(), None, 0);
    while let Some(row) = rows.next()? {
        count += 1;
        let inode: i64 = row.get(2)?;
        let links: u32 = row.get(3)?;
        if links <= 1 && inodes.contains(&inode.cast_unsigned()) {
            found.push(name(row)?);
        }
        if count == STEP {
            last = Some(name(row)?);
        }
    }
    Ok((found, last))
}
