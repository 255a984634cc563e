//! From a path to facts: looks at one file, and puts what it found into the batch. Owns
//! what each outcome of a look leads to; commits nothing itself but full batches.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::hints::{Cause, Mark, Nature};
use super::index::{Edit, Entry, Known, Row};
use super::look::{Found, Outcome, Patience, Seen, racy_until};
use super::scan::{Pending, Running};
use super::scope::Former;
use super::settings::RACY;
use super::status::ScanReason;
use super::walk::open_above;
use super::worker::{End, Worker};
use crate::core::change::{ContentHash, Kind, Source};
use crate::core::time::Time;
use crate::sink::FileChange;

/// A file that could not be looked at for a passing reason is looked at again after this.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// New names of known files are collected for so long: a deploy links many.
const TWINS_WAIT: Duration = Duration::from_millis(500);
/// More of them than this are left to a scan.
const TWINS: usize = 65_536;
/// Changes of files with many names whose other names were asked for, that are remembered.
const ASKED: usize = 1_024;
/// What seems gone waits like this for the end of a scan that may find that everything is.
const AFTER_SCAN: Duration = Duration::from_millis(500);

/// Why and how patiently something is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reason {
    pub(super) cause: Cause,
    pub(super) first: Time,
    pub(super) complete: bool,
    pub(super) baseline: Option<Time>,
}

impl Reason {
    fn mark(self, due: Time) -> Mark {
        Mark {
            subtree: false,
            complete: self.complete,
            named: true,
            cause: self.cause,
            first: self.first,
            due,
            flood: None,
        }
    }
}

impl Worker {
    /// Looks at `path` as a file, if it is one or was one.
    pub(super) fn examine_file(
        &mut self,
        path: &[u8],
        row: Option<Row>,
        reason: Reason,
    ) -> Result<(), End> {
        let eyes = self.eyes();
        match eyes.see(path) {
            Ok(Some(Seen::Directory) | None) => row.map_or(Ok(()), |row| self.absent(&row, reason)),
            found => {
                let open = open_above(&eyes, path);
                self.examine(path, found, row, open, reason).map(drop)
            }
        }
    }

    pub(super) fn commit_if_full(&mut self) -> Result<(), End> {
        if !self.inbox.go_on() {
            return Err(End::Stopping);
        }
        if self.batch.is_full() {
            self.commit()?;
        }
        Ok(())
    }

    /// If this is a link to a file, what happens on the way to the file is watched, and leads back; and
    /// it is followed once in a while. So is what nobody could look at.
    pub(super) fn follow_link(&self, path: &[u8]) {
        let real = self.eyes.real(path);
        let Some(cover) = self.cover() else { return };
        self.inbox.targets.add(path, &real);
        let targets = self.inbox.links.add(&real, path);
        cover.link_targets(&targets);
    }

    /// Looks at one path, where `found` was a moment ago. Returns whether something is there.
    pub(super) fn examine(
        &mut self,
        path: &[u8],
        found: io::Result<Option<Seen>>,
        row: Option<Row>,
        open: bool,
        mut reason: Reason,
    ) -> Result<bool, End> {
        if self.regrouped(row.as_ref(), &found, open) {
            return Ok(true);
        }
        let now = self.clock.now();
        let eyes = self.eyes();
        let silent = row.is_none()
            && (self.was_there_before(path, reason.baseline, now) || self.entered(path, now));
        let patience = if silent {
            Patience::Unread
        } else if now >= reason.first.after(self.settings.write_wait) {
            Patience::Over
        } else if reason.complete {
            Patience::Complete
        } else {
            Patience::Wait
        };
        let entry = row.as_ref().map(|row| &row.entry);
        match eyes.look_at(found, path, entry, open, patience, now) {
            Outcome::Same => {
                let unread = |entry: &Entry| entry.known == Known::Surely && entry.hash.is_none();
                if entry.is_some_and(unread) {
                    self.try_to_read(path)?;
                }
            }
            Outcome::Directory => {
                let mark = Mark::event(Nature::Subtree, now);
                self.inbox.hint(
                    path,
                    Mark {
                        cause: reason.cause,
                        ..mark
                    },
                );
            }
            Outcome::Absent => {
                if let Some(row) = row {
                    self.absent(&row, reason)?;
                }
                return Ok(false);
            }
            Outcome::Unknown(error) => {
                tracing::debug!(origin = %self.settings.name, path = %String::from_utf8_lossy(path), %error, "cannot be looked at");
                if error.kind() != io::ErrorKind::PermissionDenied {
                    self.inbox.hint(path, reason.mark(now.after(TRY_AGAIN)));
                } else if eyes.real(path).is_symlink() {
                    self.tell_closed(path);
                }
            }
            Outcome::Later(due) => self.inbox.hint(path, reason.mark(due)),
            Outcome::Recheck(due) => self.recheck(path, due, now),
            Outcome::Found(found) if !silent && self.closes(row.as_ref(), &found, reason, now) => {
                let due = reason.first.after(self.settings.gone_after);
                self.inbox.hint(path, reason.mark(due));
            }
            Outcome::Found(found) => {
                if reason.cause == Cause::Scan(ScanReason::Rescan)
                    && self.inbox.lock().hints.heard_of(path)
                {
                    reason.cause = Cause::Watch;
                }
                self.found(path, row.as_ref(), found, reason, silent, now)?;
            }
        }
        Ok(true)
    }

    /// Whether nobody can read the file any more, or not yet, since a moment ago: `cp -a` and `tar`
    /// open a directory to others when all that is in it has been written. Like a file that is
    /// gone, it counts when it stays so.
    fn closes(&self, row: Option<&Row>, found: &Found, reason: Reason, now: Time) -> bool {
        found.kind.is_some()
            && !found.entry.readable
            && row.is_none_or(|row| row.entry.readable)
            && now < reason.first.after(self.settings.gone_after)
    }

    fn found(
        &mut self,
        path: &[u8],
        row: Option<&Row>,
        found: Found,
        reason: Reason,
        silent: bool,
        now: Time,
    ) -> Result<(), End> {
        if found.entry.known == Known::Racy {
            let due = racy_until(&found.entry.stat, now).unwrap_or(now.after(RACY));
            self.recheck(path, due, now);
        }
        self.status.unchanged_total += u64::from(found.unchanged);
        self.twins(path, row, &found, reason, now)?;
        self.note_unread(path, &found);
        let hash = found.entry.hash;
        let change = found
            .kind
            .filter(|_| !silent)
            .map(|kind| self.change(path, kind, hash, row, (reason, now)));
        let edit = Edit::new(path, row, Some(found.entry));
        if change.is_some() {
            self.ask_links(path, now);
        }
        self.batch.add(edit, change);
        Ok(())
    }

    /// The other names of a file whose change an event told: nobody tells of those.
    fn twins(
        &mut self,
        path: &[u8],
        row: Option<&Row>,
        found: &Found,
        reason: Reason,
        now: Time,
    ) -> Result<(), End> {
        let stat = &found.entry.stat;
        if stat.links < 2 || reason.cause != Cause::Watch {
            return Ok(());
        }
        let known =
            row.is_some_and(|row| row.entry.stat.links > 1 && row.entry.stat.inode == stat.inode);
        if !known {
            self.new_twins.insert(stat.inode);
            self.twins_due.get_or_insert(now.after(TWINS_WAIT));
            if self.new_twins.len() > TWINS {
                self.new_twins.clear();
                self.twins_due = None;
                self.want(Pending::new(ScanReason::Directory));
            }
        }
        if known && found.kind.is_some() {
            if self.asked_twins.len() >= ASKED {
                self.asked_twins.clear();
            }
            // Each of them is changed too, and would ask for all others.
            if self.asked_twins.insert((stat.inode, stat.ctime_ns)) {
                self.committer.index.hint_twins(stat.inode, path, now)?;
            }
        }
        Ok(())
    }

    /// Looks for the older names of files that have got another one.
    pub(super) fn find_twins(&mut self, now: Time) -> Result<(), End> {
        if self.twins_due.is_none_or(|due| due > now) {
            return Ok(());
        }
        self.twins_due = None;
        let inodes = std::mem::take(&mut self.new_twins);
        self.committer.index.hint_new_twins(&inodes, now)?;
        Ok(())
    }

    /// A file changed: the links to it are looked at too.
    fn ask_links(&self, path: &[u8], now: Time) {
        let real = self.eyes.resolved.join(OsStr::from_bytes(path));
        for link in self.inbox.links.to(&real) {
            self.inbox.hint(&link, Mark::again(Cause::Watch, now));
        }
    }

    /// One more look, when the file's times are old enough to be told apart.
    fn recheck(&self, path: &[u8], due: Time, now: Time) {
        self.inbox.hint(
            path,
            Mark {
                due,
                ..Mark::again(Cause::Recheck, now)
            },
        );
    }

    /// Whether a file that the index does not know was there before anybody watched: then it is
    /// taken over in silence. Only while the index was never complete.
    fn was_there_before(&self, path: &[u8], baseline: Option<Time>, now: Time) -> bool {
        let Some(armed) = baseline else { return false };
        let Ok(Some(Seen::File(stat))) = self.eyes().see(path) else {
            return false;
        };
        let changed = stat.changed_at();
        let before = changed < armed || changed > now.after(RACY);
        before && !self.inbox.lock().hints.heard_of(path)
    }

    /// Whether a file counts only since the configuration changed, and was there before the start.
    fn entered(&self, path: &[u8], now: Time) -> bool {
        let counted = |former: &Former| former.counted(&self.eyes(), path);
        self.former.as_ref().is_some_and(|former| !counted(former))
            && self.was_there_before(path, Some(self.armed_at), now)
    }

    /// Takes over in silence who may read a file that is as it was, when the configuration has another
    /// group now.
    fn regrouped(
        &mut self,
        row: Option<&Row>,
        found: &io::Result<Option<Seen>>,
        open: bool,
    ) -> bool {
        let (Some(row), Ok(Some(Seen::File(stat)))) = (row, found) else {
            return false;
        };
        let regroups = |former: &Former| former.regroups(&self.eyes);
        let readable = self.eyes.readable(stat, open);
        let same = row.entry.stat.same(stat) && row.entry.absent.is_none();
        if !self.former.as_ref().is_some_and(regroups) || !same || row.entry.readable == readable {
            return false;
        }
        let mut entry = row.entry.clone();
        entry.readable = readable;
        let edit = Edit::new(&row.path, Some(row), Some(entry));
        self.batch.add(edit, None);
        true
    }

    /// Whether a file that does not count any more is as it was.
    fn left(&self, path: &[u8]) -> bool {
        self.ignore.matches(path, false)
            || self.eyes.is_cut_off(path)
            || self
                .former
                .as_ref()
                .is_some_and(|former| former.counted(&self.eyes(), path))
    }

    /// A file of the index is not there.
    pub(super) fn absent(&mut self, row: &Row, reason: Reason) -> Result<(), End> {
        if self.batch.contains(&row.path) {
            self.commit()?;
        }
        self.unread.remove(&row.path);
        if self.left(&row.path) {
            self.batch.add(Edit::new(&row.path, Some(row), None), None);
            return Ok(());
        }
        let now = self.clock.now();
        let again = |due: Time| Mark {
            complete: true,
            first: now,
            ..reason.mark(due)
        };
        let Some(since) = row.entry.absent else {
            let mut entry = row.entry.clone();
            entry.absent = Some(now);
            self.batch
                .add(Edit::new(&row.path, Some(row), Some(entry)), None);
            let due = now.after(self.settings.gone_after);
            self.inbox.hint(&row.path, again(due));
            return Ok(());
        };
        let accept = self.running.as_ref().is_some_and(Running::accepts_loss);
        let due = since.min(now).after(self.settings.gone_after);
        if due > now {
            self.inbox.hint(&row.path, again(due));
        } else if self.guard.held() && !accept {
            // Kept as it is; looked at again when the loss is over.
        } else if self.running.as_ref().is_some_and(Running::walking) && !accept {
            self.inbox.hint(&row.path, again(now.after(AFTER_SCAN)));
        } else {
            let change = self.change(&row.path, Kind::Gone, None, Some(row), (reason, now));
            self.ask_links(&row.path, now);
            self.batch
                .add(Edit::new(&row.path, Some(row), None), Some(change));
        }
        Ok(())
    }

    fn change(
        &self,
        path: &[u8],
        kind: Kind,
        hash: Option<ContentHash>,
        row: Option<&Row>,
        (reason, now): (Reason, Time),
    ) -> FileChange {
        let (source, detail) = match reason.cause {
            Cause::Scan(reason) => (Source::Scan, reason.as_str()),
            Cause::Watch | Cause::Recheck => (Source::Watch, ""),
        };
        FileChange {
            origin: self.settings.name.clone(),
            path: path.to_vec(),
            kind,
            hash: hash.filter(|_| kind != Kind::Gone),
            former: row.and_then(|row| row.entry.hash.or(row.entry.former)),
            source,
            detail: detail.into(),
            seen: now,
        }
    }
}
