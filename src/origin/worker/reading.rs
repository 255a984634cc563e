//! After a first scan, which remembers stats only, the files are read in the background: slowly, so
//! that the web server does not notice, and never in the way of an event.

use std::time::Duration;

use super::{End, Worker};
use crate::core::time::Time;
use crate::origin::index::known::Confidence;
use crate::origin::index::look::LARGE;
use crate::origin::index::look::known_as;
use crate::origin::index::{Edit, Row};
use crate::origin::settings::ROOT_CHECK;
use crate::origin::status::{OriginStatus, shown};
use crate::origin::watch::hints::{Cause, Mark};

/// Files read before anything else gets its turn, unless that takes longer than [`TURN`].
const FILES: u32 = 512;
/// No file is begun after this.
const TURN: Duration = Duration::from_millis(20);
/// The shortest rest between two turns.
const SHORTEST: Duration = Duration::from_millis(5);

/// A large file that changed so short a time ago is not read: it may change again.
pub(in crate::origin) const RESTLESS: Duration = Duration::from_secs(10);

/// How far the reading has come.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Files whose content is not known.
    unread: u64,
    /// The first of them.
    first: Option<Vec<u8>>,
    /// Some of those that are left can be read now.
    busy: bool,
    /// Files read since the first of them, or put off since they are restless or still being read.
    read: u64,
    put_off: u64,
    after: Vec<u8>,
    /// No turn before this.
    due: Time,
}

impl Reading {
    pub(super) fn wakes_at(&self) -> Option<Time> {
        (self.unread > 0 && (self.busy || self.put_off > 0)).then_some(self.due)
    }

    /// Whether there are some that can be read now.
    const fn is_busy(&self) -> bool {
        self.busy && self.unread > 0
    }

    /// Sets what is left in the status.
    pub(super) fn count(&self, status: &mut OriginStatus) {
        status.unread_files = self.unread;
        status.first_unread = self.first.as_deref().map(shown);
        status.reading = self.is_busy();
    }

    /// There is one more.
    pub(super) fn add(&mut self) {
        self.unread += 1;
        self.busy = true;
    }
}

impl Worker {
    /// Counts what is left to be read.
    pub(super) fn count_unread(&mut self) -> Result<(), End> {
        let unread = self.context.index().count_unread()?;
        let first = self.context.index().some_unread(b"", 1)?.pop();
        self.reading = Reading {
            unread,
            first: first.map(|row| row.path),
            busy: unread > 0,
            due: self.reading.due,
            ..Reading::default()
        };
        Ok(())
    }

    /// Reads some files, then rests for as long as that took: at most half of a disk's time is
    /// used up.
    pub(super) fn read_some(&mut self, now: Time) -> Result<(), End> {
        let mut edits = Vec::new();
        self.take_known(&mut edits)?;
        let wanted = self.reading.wakes_at().is_some_and(|due| due <= now);
        if !wanted && edits.is_empty() {
            return Ok(());
        }
        let rows = if wanted {
            let after = &self.reading.after;
            self.context.index().some_unread(after, FILES)?
        } else {
            Vec::new()
        };
        let mut last = None;
        for row in &rows {
            if last.is_some() && self.context.clock.now().since(now) >= TURN {
                break;
            }
            last = Some(&row.path);
            if self.context.inbox.stopped() {
                return Err(End::Stopping);
            }
            self.read_one(row, now, &mut edits);
        }
        // An event at one of them is a change, and has to find it unread.
        if let Some(watch) = self.watching.watch().filter(|_| !edits.is_empty()) {
            watch.take_in();
            let mut mail = self.context.inbox.lock();
            edits.retain(|edit| !mail.hints.event_at(&edit.path));
        }
        // A row that was written meanwhile is right without this.
        let beaten = self.context.write(|index| index.apply(&edits, None))?;
        let read = u64::try_from(edits.len() - beaten.len()).unwrap_or(u64::MAX);
        self.reading.read += read;
        self.reading.unread = self.reading.unread.saturating_sub(read);
        let ended = self.context.clock.now();
        if wanted {
            self.reading.due = ended.after(ended.since(now).max(SHORTEST));
        }
        match last {
            Some(last) => self.reading.after.clone_from(last),
            None if wanted => self.end_pass(ended)?,
            None => {}
        }
        Ok(())
    }

    /// One file that was never read.
    fn read_one(&mut self, row: &Row, now: Time, edits: &mut Vec<Edit>) {
        let (path, stat) = (&row.path, &row.entry.stat);
        if row.entry.absent.is_some() {
            self.reading.put_off += 1;
            return;
        }
        if stat.size > LARGE {
            self.reading.put_off += 1;
            let rested = now.since(stat.changed_at()) >= RESTLESS;
            if rested {
                // The result is taken when it is there, and the file not waited for.
                let real = self.names.resolver().real(path);
                self.large.know(path, real, stat);
            }
            return;
        }
        match self
            .names
            .resolver()
            .read(path, &row.entry, self.context.clock.now())
        {
            Some(entry) => {
                if entry.hash.is_none() {
                    self.denied.report_unread(&self.context, path);
                }
                edits.push(Edit::new(path, Some(row), Some(entry)));
            }
            // It has changed: an event says so too, or this does.
            None => self
                .context
                .inbox
                .hint(path, Mark::again(Cause::Recheck, now)),
        }
    }

    /// Takes over a large file that was read.
    fn take_known(&mut self, edits: &mut Vec<Edit>) -> Result<(), End> {
        let Some(done) = self.large.take_known() else {
            return Ok(());
        };
        let Some(row) = self.context.index().get(&done.path)? else {
            return Ok(());
        };
        let content = done
            .content
            .filter(|_| row.entry.known == Confidence::Unread && row.entry.stat.same(&done.stat));
        let now = self.context.clock.now();
        let entry = content.and_then(|content| known_as(&Ok(content), &row.entry, now));
        if let Some(entry) = entry {
            edits.push(Edit::new(&done.path, Some(&row), Some(entry)));
        }
        self.reading.put_off += 1;
        Ok(())
    }

    /// The last file was come to. What was beaten, had changed or was put off on the way is counted
    /// anew; what can't be read is left to the next start.
    fn end_pass(&mut self, now: Time) -> Result<(), End> {
        let (read, put_off) = (self.reading.read, self.reading.put_off);
        self.count_unread()?;
        if read == 0 {
            let reads_one = self.large.progress().is_some();
            self.reading.busy = reads_one && self.reading.unread > 0;
            self.reading.put_off = put_off;
            self.reading.due = now.after(ROOT_CHECK);
        }
        Ok(())
    }
}
