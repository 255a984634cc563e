//! After a first scan, which remembers stats only, the files are read in the background: slowly, so
//! that whoever serves them does not notice, and never in the way of an event.

use std::time::Duration;

use super::hints::{Cause, Mark};
use super::index::Edit;
use super::worker::{End, Worker};
use crate::core::time::Time;

/// Files read before anything else gets its turn, unless that takes longer than [`TURN`].
const FILES: u32 = 512;
/// No file is begun after this.
const TURN: Duration = Duration::from_millis(20);
/// The shortest rest between two turns.
const SHORTEST: Duration = Duration::from_millis(5);

/// How far the reading has come.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Files that were never read.
    pub(super) left: u64,
    /// Files read since the first of them.
    read: u64,
    after: Vec<u8>,
    /// No turn before this.
    due: Time,
}

impl Reading {
    pub(super) fn wakes_at(&self) -> Option<Time> {
        (self.left > 0).then_some(self.due)
    }
}

impl Worker {
    /// Counts what is left to be read.
    pub(super) fn count_unread(&mut self) -> Result<(), End> {
        self.reading = Reading {
            left: self.committer.index.count_unread()?,
            ..Reading::default()
        };
        Ok(())
    }

    /// Reads some files, then rests for as long as that took: at most half of a disk's time is
    /// used up.
    pub(super) fn read_some(&mut self, now: Time) -> Result<(), End> {
        if self.reading.left == 0 || self.reading.due > now {
            return Ok(());
        }
        let rows = self
            .committer
            .index
            .some_unread(&self.reading.after, FILES)?;
        let eyes = self.eyes();
        let mut edits = Vec::with_capacity(rows.len());
        let mut last = None;
        for row in &rows {
            if last.is_some() && self.clock.now().since(now) >= TURN {
                break;
            }
            last = Some(&row.path);
            if self.inbox.stopped() {
                return Err(End::Stopping);
            }
            match eyes.read(&row.path, &row.entry, self.clock.now()) {
                Some(entry) => {
                    if entry.hash.is_none() {
                        self.tell_unread(&row.path);
                    }
                    edits.push(Edit::new(&row.path, Some(row), Some(entry)));
                }
                // It has changed: an event says so too, or this does.
                None => self.inbox.hint(&row.path, Mark::again(Cause::Recheck, now)),
            }
        }
        // A row that somebody wrote meanwhile is right without this.
        let mut status = self.trouble_reporter();
        let beaten = self
            .committer
            .write(&mut status, |index| index.apply(&edits, None))?;
        let read = u64::try_from(edits.len() - beaten.len()).unwrap_or(u64::MAX);
        self.reading.read += read;
        self.reading.left = self.reading.left.saturating_sub(read);
        let ended = self.clock.now();
        self.reading.due = ended.after(ended.since(now).max(SHORTEST));
        match last {
            Some(last) => self.reading.after.clone_from(last),
            // The end; what was beaten or had changed on the way is counted anew, unless nothing
            // can be read: that is left to the next start.
            None if self.reading.read > 0 => self.count_unread()?,
            None => self.reading.left = 0,
        }
        Ok(())
    }
}
