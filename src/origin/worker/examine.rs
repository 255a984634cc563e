//! From a path to facts: looks at one file, and puts what it found into the batch. Owns
//! what each outcome of a look leads to; commits nothing itself but full batches.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::large::Answer;
use super::rounds::ROUND;
use super::scans::Pending;
use super::scope::Former;
use super::{End, Worker};
use crate::core::change::{ContentHash, Kind, Source};
use crate::core::loss::{Verdict, was_missed};
use crate::core::time::Time;
use crate::origin::index::known::{Confidence, Found, Signs};
use crate::origin::index::look::{Outcome, Patience, racy_until, read_as};
use crate::origin::index::{Edit, Row};
use crate::origin::settings::RACY;
use crate::origin::status::ScanReason;
use crate::origin::tree::fingerprint::Content;
use crate::origin::tree::resolver::Seen;
use crate::origin::tree::walk::open_above;
use crate::origin::watch::hints::{Cause, Hint};
use crate::sink::FileChange;

/// A file that could not be looked at for a passing reason is looked at again after this.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// Files of so many bytes at most are read all the same.
const SMALL: u64 = 64 * 1024;
/// How often it is asked whether a large file was read; that it was is said at once.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// What seems gone waits like this for the end of a scan that may find that everything is.
const AFTER_SCAN: Duration = Duration::from_millis(500);

/// What one look at a path is for, and how patient it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) cause: Cause,
    pub(super) first: Time,
    pub(super) complete: bool,
    /// The kernel reported this very path.
    pub(super) event: bool,
    /// When the newest event came that brings the look.
    pub(super) event_at: Option<Time>,
    /// Its stat says nothing.
    pub(super) doubt: bool,
    pub(super) baseline: Option<Time>,
}

impl Look {
    /// What a hint asks for.
    pub(super) const fn of(hint: &Hint) -> Self {
        Self {
            cause: hint.cause,
            first: hint.first,
            complete: hint.complete,
            event: hint.event && !hint.subtree,
            event_at: hint.event_at,
            doubt: false,
            baseline: None,
        }
    }

    fn hint(self, due: Time) -> Hint {
        Hint {
            complete: self.complete,
            event: self.event,
            first: self.first,
            due,
            ..Hint::again(self.cause, due)
        }
    }

    /// What points to a change beside the stat.
    const fn signs(self) -> Signs {
        Signs {
            event: self.event && self.complete,
            doubt: self.doubt,
        }
    }
}

impl Worker {
    /// Looks at `path` as a file, if it is one or was one.
    pub(super) fn examine_file(
        &mut self,
        path: &[u8],
        row: Option<Row>,
        look: Look,
    ) -> Result<(), End> {
        let resolver = self.resolver();
        match resolver.see(path) {
            Ok(Some(Seen::Directory) | None) => row.map_or(Ok(()), |row| self.absent(&row, look)),
            found => {
                let open = open_above(&resolver, path);
                self.examine(path, found, row, open, look).map(drop)
            }
        }
    }

    pub(super) fn commit_if_full(&mut self) -> Result<(), End> {
        if !self.context.inbox.go_on() {
            return Err(End::Stopping);
        }
        if self.batch.is_full() {
            self.commit()?;
        }
        Ok(())
    }

    /// If this is a link to a file, what happens on the way to the file is watched, and leads back; and
    /// it is followed once in a while. So is what could not be looked at.
    pub(super) fn follow_link(&self, path: &[u8]) {
        let real = self.names.resolver().real(path);
        let Some(cover) = self.watching.cover(&self.context) else {
            return;
        };
        self.context.inbox.targets.add(path, &real);
        let targets = self.context.inbox.links.add(&real, path);
        cover.link_targets(&targets);
    }

    /// How long a look at a file waits for what is still being written.
    fn patience(&self, silent: bool, look: Look, now: Time) -> Patience {
        if silent {
            Patience::Unread
        } else if now >= look.first.after(self.context.settings.write_wait) {
            Patience::Over
        } else if look.complete {
            Patience::Complete
        } else {
            Patience::Wait
        }
    }

    /// A path that could not be looked at: a later look tries again, or its directory is tried until it
    /// can be listed.
    fn unknown(&mut self, path: &[u8], error: &io::Error, look: Look, now: Time) {
        tracing::debug!(origin = %self.context.settings.name, path = %String::from_utf8_lossy(path), %error, "cannot be looked at");
        if error.kind() != io::ErrorKind::PermissionDenied {
            self.context
                .inbox
                .hint(path, look.hint(now.after(TRY_AGAIN)));
        } else if self.names.resolver().real(path).is_symlink() {
            self.denied.report_unlisted(&self.context, path);
        }
    }

    /// Looks at one path, where `found` was a moment ago. Returns whether something is there.
    pub(super) fn examine(
        &mut self,
        path: &[u8],
        found: io::Result<Option<Seen>>,
        row: Option<Row>,
        open: bool,
        mut look: Look,
    ) -> Result<bool, End> {
        if self.regrouped(row.as_ref(), &found, open) {
            return Ok(true);
        }
        let now = self.context.clock.now();
        let resolver = self.resolver();
        let row = row.map(|row| self.filesystems.renumber(row));
        let silent = row.is_none()
            && (self.was_there_before(path, look.baseline, now) || self.entered(path, now));
        let patience = self.patience(silent, look, now);
        let entry = row.as_ref().map(|row| &row.entry);
        let signs = look.signs();
        if self.reads_enough(&found) {
            self.keep_doubt(path, row.as_ref(), look);
            let hint = look.hint(now.after(ROUND));
            self.context.inbox.hint(
                path,
                Hint {
                    event_at: look.event_at,
                    ..hint
                },
            );
            return Ok(true);
        }
        let mut outcome = resolver.look_at(found, path, entry, open, patience, signs, now);
        if let Outcome::Large(seen) = outcome {
            let real = resolver.real(path);
            outcome = match self.large.ask(path, real, &seen.stat) {
                Answer::Read(content) => {
                    let content = Ok(content.unwrap_or(Content::GivenUp));
                    read_as(content, entry, seen, patience, signs, now)
                }
                Answer::Wait => {
                    self.keep_doubt(path, row.as_ref(), look);
                    Outcome::Later(now.after(ASK_AGAIN))
                }
            };
        }
        match outcome {
            Outcome::Same => {
                let unread =
                    |row: &Row| row.entry.known == Confidence::Surely && row.entry.hash.is_none();
                if row.as_ref().is_some_and(unread) {
                    self.try_to_read(path)?;
                }
                self.keep_number(path, row);
            }
            Outcome::Directory => {
                self.context.inbox.hint(path, Hint::below(look.cause, now));
            }
            Outcome::Absent => {
                if let Some(row) = row {
                    self.absent(&row, look)?;
                }
                return Ok(false);
            }
            Outcome::Unknown(error) => self.unknown(path, &error, look, now),
            Outcome::Large(_) => {}
            Outcome::Later(due) => self.context.inbox.hint(path, look.hint(due)),
            Outcome::Recheck(due) => self.recheck(path, due, now),
            Outcome::Found(found) if !silent && self.closes(row.as_ref(), &found, look, now) => {
                let due = look.first.after(self.context.settings.gone_after);
                self.context.inbox.hint(path, look.hint(due));
            }
            Outcome::Found(found) => {
                if look.cause == Cause::Scan(ScanReason::Rescan)
                    && self.context.inbox.lock().hints.heard_of(path)
                {
                    look.cause = Cause::Watch;
                }
                self.found(path, row.as_ref(), found, look, silent, now)?;
            }
        }
        Ok(true)
    }

    /// Whether so much was read in this turn that a file has to wait: small ones do not, so that a page
    /// is not kept waiting by a thousand films. A running scan rests by itself.
    fn reads_enough(&self, found: &io::Result<Option<Seen>>) -> bool {
        let large = matches!(found, Ok(Some(Seen::File(stat))) if stat.size > SMALL);
        large && self.looks.has_read_enough() && !self.scans.is_walking()
    }

    /// A file is as its row says, but for the number of its device, which may be another since a
    /// reboot: the row takes it over, so that the next start compares with it.
    fn keep_number(&mut self, path: &[u8], row: Option<Row>) {
        let renumbered = |row: &Row| self.filesystems.is_renumbered(row);
        if let Some(row) = row.filter(renumbered) {
            self.batch
                .add(Edit::new(path, Some(&row), Some(row.entry.clone())), None);
        }
    }

    /// The look at a file whose stat says nothing is put off: no later look may take its stat for
    /// enough.
    fn keep_doubt(&mut self, path: &[u8], row: Option<&Row>, look: Look) {
        if let Some(row) = row.filter(|_| look.doubt) {
            let mut entry = row.entry.clone();
            entry.known = Confidence::HashOnly;
            self.batch
                .add(Edit::new(path, Some(row), Some(entry)), None);
        }
    }

    /// Tries a file that could not be read, and is as it was.
    pub(super) fn try_to_read(&mut self, path: &[u8]) -> Result<(), End> {
        let read = self
            .denied
            .try_to_read(&self.context, self.names.resolver(), path)?;
        if let Some(edit) = read {
            self.batch.add(edit, None);
        }
        Ok(())
    }

    /// Whether visitors can't read the file any more, or not yet, since a moment ago: `cp -a` and `tar`
    /// open a directory to others when all that is in it has been written. Like a file that is
    /// gone, it counts when it stays so.
    fn closes(&self, row: Option<&Row>, found: &Found, look: Look, now: Time) -> bool {
        found.kind.is_some()
            && !found.entry.readable
            && row.is_none_or(|row| row.entry.readable)
            && now < look.first.after(self.context.settings.gone_after)
    }

    fn found(
        &mut self,
        path: &[u8],
        row: Option<&Row>,
        mut found: Found,
        look: Look,
        silent: bool,
        now: Time,
    ) -> Result<(), End> {
        if let Some(since) = row.and_then(|row| row.entry.absent) {
            self.losses.back(now);
            if found.kind.is_none() && was_missed(since, now, self.context.settings.gone_after) {
                // A visitor may have got a 404 meanwhile, and the edge may keep it.
                found.kind = Some(Kind::New);
                found.unchanged = false;
            }
        }
        match (found.entry.known, found.entry.hash) {
            (Confidence::Unread, _) => self.reading.add(),
            (_, Some(_)) => self.looks.count_read(found.entry.stat.size),
            (_, None) => {}
        }
        if found.entry.known == Confidence::Racy {
            let due = racy_until(&found.entry.stat, now).unwrap_or(now.after(RACY));
            self.recheck(path, due, now);
        }
        self.report.count_unchanged(u64::from(found.unchanged));
        self.note_twins(path, row, &found, look, now)?;
        self.denied.looked(&self.context, path, &found);
        let hash = found.entry.hash;
        let change = found
            .kind
            .filter(|_| !silent)
            .map(|kind| self.change(path, kind, hash, row, look, now));
        let edit = Edit::new(path, row, Some(found.entry));
        if change.is_some() {
            self.ask_links(path, look.event_at, now);
        }
        // What was waited for long enough is believed, whatever follows.
        let over = now >= look.first.after(self.context.settings.write_wait);
        let first = Some(look.first).filter(|_| !over);
        self.batch.add_seen(edit, change, first);
        Ok(())
    }

    /// Hints at the other names of a changed file: an event reports only the name that was written.
    fn note_twins(
        &mut self,
        path: &[u8],
        row: Option<&Row>,
        found: &Found,
        look: Look,
        now: Time,
    ) -> Result<(), End> {
        let stat = &found.entry.stat;
        if stat.links < 2 || look.cause != Cause::Watch {
            return Ok(());
        }
        let known =
            row.is_some_and(|row| row.entry.stat.links > 1 && row.entry.stat.inode == stat.inode);
        if !known && !self.twins.add(stat.inode, now) {
            self.scans.want(Pending::new(ScanReason::Directory));
        }
        if known && found.kind.is_some() && self.twins.ask(stat) {
            self.context.index().hint_twins(stat.inode, path, now)?;
        }
        Ok(())
    }

    /// Looks for the older names of files that have got another one.
    pub(super) fn find_twins(&mut self, now: Time) -> Result<(), End> {
        if let Some(inodes) = self.twins.take_due(now) {
            self.context.index().hint_new_twins(&inodes, now)?;
        }
        Ok(())
    }

    /// A file changed: the links to it are looked at too.
    fn ask_links(&self, path: &[u8], event_at: Option<Time>, now: Time) {
        let real = self.names.resolver().resolved.join(OsStr::from_bytes(path));
        for link in self.context.inbox.links.to(&real) {
            let hint = Hint::again(Cause::Watch, now);
            self.context.inbox.hint(&link, Hint { event_at, ..hint });
        }
    }

    /// One more look, when the file's times are old enough to differ from a later write.
    fn recheck(&self, path: &[u8], due: Time, now: Time) {
        self.context.inbox.hint(
            path,
            Hint {
                due,
                ..Hint::again(Cause::Recheck, now)
            },
        );
    }

    /// Whether a file that the index does not know was there before the watch: then it is
    /// taken over in silence. Only while the index was never complete.
    fn was_there_before(&self, path: &[u8], baseline: Option<Time>, now: Time) -> bool {
        let Some(armed) = baseline else { return false };
        let Ok(Some(Seen::File(stat))) = self.resolver().see(path) else {
            return false;
        };
        let changed = stat.changed_at();
        let before = changed < armed || changed > now.after(RACY);
        before && !self.context.inbox.lock().hints.heard_of(path)
    }

    /// Whether a file counts only since the configuration changed, and was there before the start.
    fn entered(&self, path: &[u8], now: Time) -> bool {
        let counted = |former: &Former| former.counted(&self.resolver(), path);
        self.scope.former().is_some_and(|former| !counted(former))
            && self.was_there_before(path, Some(self.watching.armed_at()), now)
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
        let regroups = |former: &Former| former.regroups(self.names.resolver());
        let readable = self.names.resolver().readable(stat, open);
        let same = row.entry.stat.same(stat) && row.entry.absent.is_none();
        if !self.scope.former().is_some_and(regroups) || !same || row.entry.readable == readable {
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
        self.context.ignore.matches(path, false)
            || self.names.resolver().is_cut_off(path)
            || self
                .scope
                .former()
                .is_some_and(|former| former.counted(&self.resolver(), path))
    }

    /// A file of the index is not there.
    pub(super) fn absent(&mut self, row: &Row, look: Look) -> Result<(), End> {
        if self.batch.contains(&row.path) {
            self.commit()?;
        }
        self.denied.gone(&row.path);
        if self.left(&row.path) {
            self.batch.add(Edit::new(&row.path, Some(row), None), None);
            return Ok(());
        }
        let now = self.context.clock.now();
        let again = |due: Time| Hint {
            complete: true,
            event: false,
            first: now,
            ..look.hint(due)
        };
        let Some(since) = row.entry.absent else {
            let mut entry = row.entry.clone();
            entry.absent = Some(now);
            self.losses.missed(now);
            self.batch
                .add(Edit::new(&row.path, Some(row), Some(entry)), None);
            let due = now.after(self.context.settings.gone_after);
            self.context.inbox.hint(&row.path, again(due));
            return Ok(());
        };
        let accept = self.scans.accepts_loss();
        let walking = self.scans.is_walking();
        let verdict = self.losses.verdict(&row.path, since, now);
        match verdict {
            Verdict::Wait(due) => self.context.inbox.hint(&row.path, again(due)),
            // Kept as it is; looked at again when the loss is over.
            Verdict::Held if !accept => {}
            Verdict::Judge if walking && !accept => {
                self.context
                    .inbox
                    .hint(&row.path, again(now.after(AFTER_SCAN)));
            }
            Verdict::Held | Verdict::Judge | Verdict::Gone => {
                let change = self.change(&row.path, Kind::Gone, None, Some(row), look, now);
                self.ask_links(&row.path, None, now);
                let edit = Edit::new(&row.path, Some(row), None);
                self.batch.add_gone(edit, change, verdict != Verdict::Gone);
            }
        }
        Ok(())
    }

    fn change(
        &self,
        path: &[u8],
        kind: Kind,
        hash: Option<ContentHash>,
        row: Option<&Row>,
        look: Look,
        now: Time,
    ) -> FileChange {
        let (source, detail) = match look.cause {
            Cause::Scan(reason) => (Source::Scan, reason.as_str()),
            Cause::Watch | Cause::Recheck => (Source::Watch, ""),
        };
        FileChange {
            origin: self.context.settings.name.clone(),
            path: path.to_vec(),
            kind,
            hash: hash.filter(|_| kind != Kind::Gone),
            former: row
                .and_then(|row| row.entry.hash.or(row.entry.former))
                .filter(|former| Some(*former) != hash),
            source,
            detail: detail.into(),
            // What has to stay gone, and what no event reported, is noticed by the look.
            seen: look
                .event_at
                .filter(|_| kind != Kind::Gone)
                .map_or(now, |at| at.min(now)),
        }
    }
}
