//! After a first scan, which remembers stats only, the files are read in the background: slowly, so
//! that the web server does not notice, and never in the way of an event.

use std::sync::Arc;
use std::time::Duration;

use super::End;
use super::context::Context;
use super::denied::Denied;
use super::large::LargeReader;
use super::watching::Watching;
use crate::core::time::Time;
use crate::origin::index::known::Confidence;
use crate::origin::index::look::LARGE;
use crate::origin::index::look::known_as;
use crate::origin::index::{Edit, Row};
use crate::origin::settings::ROOT_CHECK;
use crate::origin::status::{OriginStatus, shown};
use crate::origin::tree::resolver::Resolver;
use crate::origin::watch::hints::{Cause, Hint};

/// Files read before anything else gets its turn, unless that takes longer than [`TURN`].
const FILES: u32 = 512;
/// No file is begun after this.
const TURN: Duration = Duration::from_millis(20);
/// The shortest rest between two turns.
const SHORTEST: Duration = Duration::from_millis(5);

/// A large file that changed so short a time ago is not read: it may change again.
pub(in crate::origin) const RESTLESS: Duration = Duration::from_secs(10);

/// How far the reading has come.
pub(super) struct Reading {
    large: Arc<LargeReader>,
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
    pub(super) const fn new(large: Arc<LargeReader>) -> Self {
        Self {
            large,
            unread: 0,
            first: None,
            busy: false,
            read: 0,
            put_off: 0,
            after: Vec::new(),
            due: Time::ZERO,
        }
    }

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

    /// Counts what is left to be read, and begins at the first of them.
    pub(super) fn recount(&mut self, context: &Context) -> Result<(), End> {
        self.unread = context.index().count_unread()?;
        let first = context.index().some_unread(b"", 1)?.pop();
        self.first = first.map(|row| row.path);
        self.busy = self.unread > 0;
        (self.read, self.put_off) = (0, 0);
        self.after.clear();
        Ok(())
    }

    /// Reads some files, then rests for as long as that took: at most half of a disk's time is
    /// used up.
    pub(super) fn read_some(
        &mut self,
        context: &Context,
        resolver: &Resolver,
        watching: &Watching,
        denied: &mut Denied,
        now: Time,
    ) -> Result<(), End> {
        let mut edits: Vec<Edit> = self.take_known(context)?.into_iter().collect();
        let wanted = self.wakes_at().is_some_and(|due| due <= now);
        if !wanted && edits.is_empty() {
            return Ok(());
        }
        let rows = if wanted {
            let after = &self.after;
            context.index().some_unread(after, FILES)?
        } else {
            Vec::new()
        };
        let mut last = None;
        for row in &rows {
            if last.is_some() && context.clock.now().since(now) >= TURN {
                break;
            }
            last = Some(&row.path);
            if context.inbox.stopped() {
                return Err(End::Stopping);
            }
            edits.extend(self.read_one(row, context, resolver, denied, now));
        }
        // An event at one of them is a change, and has to find it unread.
        if let Some(watch) = watching.watch().filter(|_| !edits.is_empty()) {
            watch.take_in();
            let mut mail = context.inbox.lock();
            edits.retain(|edit| !mail.hints.event_at(&edit.path));
        }
        // A row that was written meanwhile is right without this.
        let beaten = context.write(|index| index.apply(&edits, None))?;
        let read = u64::try_from(edits.len() - beaten.len()).unwrap_or(u64::MAX);
        self.read += read;
        self.unread = self.unread.saturating_sub(read);
        let ended = context.clock.now();
        if wanted {
            self.due = ended.after(ended.since(now).max(SHORTEST));
        }
        match last {
            Some(last) => self.after.clone_from(last),
            None if wanted => self.end_pass(context, ended)?,
            None => {}
        }
        Ok(())
    }

    /// One file that was never read.
    fn read_one(
        &mut self,
        row: &Row,
        context: &Context,
        resolver: &Resolver,
        denied: &mut Denied,
        now: Time,
    ) -> Option<Edit> {
        let (path, stat) = (&row.path, &row.entry.stat);
        if row.entry.absent.is_some() {
            self.put_off += 1;
            return None;
        }
        if stat.size > LARGE {
            self.put_off += 1;
            let rested = now.since(stat.changed_at()) >= RESTLESS;
            if rested {
                // The result is taken when it is there, and the file not waited for.
                let real = resolver.real(path);
                self.large.know(path, real, stat);
            }
            return None;
        }
        let Some(entry) = resolver.read(path, &row.entry, context.clock.now()) else {
            // It has changed: an event says so too, or this does.
            context.inbox.hint(path, Hint::again(Cause::Recheck, now));
            return None;
        };
        if entry.hash.is_none() {
            denied.report_unread(context, path);
        }
        Some(Edit::new(path, Some(row), Some(entry)))
    }

    /// Takes over a large file that was read.
    fn take_known(&mut self, context: &Context) -> Result<Option<Edit>, End> {
        let Some(done) = self.large.take_known() else {
            return Ok(None);
        };
        let Some(row) = context.index().get(&done.path)? else {
            return Ok(None);
        };
        let read = done
            .content
            .filter(|_| row.entry.known == Confidence::Unread && row.entry.stat.same(&done.stat));
        let now = context.clock.now();
        let entry = read.and_then(|read| known_as(&Ok(read), &row.entry, now));
        self.put_off += 1;
        Ok(entry.map(|entry| Edit::new(&done.path, Some(&row), Some(entry))))
    }

    /// The last file was come to. What was beaten, had changed or was put off on the way is counted
    /// anew; what can't be read is left to the next start.
    fn end_pass(&mut self, context: &Context, now: Time) -> Result<(), End> {
        let (read, put_off) = (self.read, self.put_off);
        self.recount(context)?;
        if read == 0 {
            let reads_one = self.large.progress().is_some();
            self.busy = reads_one && self.unread > 0;
            self.put_off = put_off;
            self.due = now.after(ROOT_CHECK);
        }
        Ok(())
    }
}
