//! Where a hint leads: to one path, or to everything below it. What is found there is examined one by
//! one (`examine`).

use std::io;

use super::examine::Look;
use super::scans::Pending;
use super::sweep::Sweep;
use super::{End, STEP, Worker};
use crate::origin::index::Row;
use crate::origin::status::ScanReason;
use crate::origin::tree::paths::join;
use crate::origin::tree::resolver::{Seen, Sight};
use crate::origin::tree::walk::Item;
use crate::origin::watch::hints::{Cause, Hint};

/// Files that differ from their rows whose rows are read at once.
const TOGETHER: usize = 128;

/// A file that is not as the index had it.
struct Other {
    path: Vec<u8>,
    found: io::Result<Option<Seen>>,
    /// Others may enter the directories above it.
    open: bool,
    /// Its stat says nothing.
    doubt: bool,
}

impl Worker {
    /// Follows one hint. `row`: what is remembered of the path, unless the hint is of a subtree.
    pub(super) fn follow(&mut self, path: &[u8], hint: Hint, row: Option<Row>) -> Result<(), End> {
        if path.is_empty() {
            self.follow_root(hint);
            return Ok(());
        }
        if self.batch.contains(path) {
            self.commit()?;
        }
        if hint.subtree {
            return self.look_into(path, hint);
        }
        let look = Look::of(&hint);
        if hint.named && self.names.depend_on(path) {
            self.scans.want_for_links(self.context.clock.now());
        }
        let resolver = self.resolver();
        let Sight { is_link, found } = resolver.sight(path);
        let is_dir = matches!(found, Ok(Some(Seen::Directory)));
        if hint.cause == Cause::Watch && is_dir {
            if hint.named || self.denied.differs(self.names.resolver(), path) {
                return self.look_into(path, hint);
            }
            return Ok(());
        }
        let open = self.looks.open_above(self.names.resolver(), path);
        if is_link {
            self.follow_link(path);
        }
        let there = self.examine(path, found, row, open, look)?;
        if !there && self.has_rows_below(path)? {
            return self.look_into(path, hint);
        }
        Ok(())
    }

    fn follow_root(&mut self, hint: Hint) {
        if hint.named && !hint.subtree {
            self.check_root(self.context.clock.now());
            return;
        }
        if !hint.subtree && !self.denied.differs(self.names.resolver(), b"") {
            return;
        }
        let reason = match hint.cause {
            Cause::Scan(reason) if reason != ScanReason::Rescan => reason,
            _ => ScanReason::Directory,
        };
        self.scans.want(Pending::new(reason));
    }

    fn has_rows_below(&self, path: &[u8]) -> Result<bool, End> {
        let from = [path, b"/"].concat();
        let to = [path, b"0"].concat();
        Ok(!self
            .context
            .index()
            .briefs(&from, true, Some(&to), 1)?
            .is_empty())
    }

    fn look_into(&mut self, path: &[u8], hint: Hint) -> Result<(), End> {
        self.report.count_scan(ScanReason::Directory);
        if self.names.depend_on_directories() {
            self.scans.want_for_links(self.context.clock.now());
        }
        self.look_below(path, hint)
    }

    /// Looks at everything at and below `path`.
    pub(super) fn look_below(&mut self, path: &[u8], hint: Hint) -> Result<(), End> {
        self.commit()?;
        self.looks.count_subtree();
        let resolver = self.resolver();
        let look = Look {
            baseline: (hint.cause == Cause::Recheck && !self.scope.is_complete())
                .then_some(self.watching.armed_at()),
            ..Look::of(&hint)
        };
        self.context.inbox.forget_places(path);
        self.context.inbox.unwatched.remove_below(path);
        self.denied.forget_below(path);
        let row = self.context.index().get(path)?;
        self.examine_file(path, row, look)?;
        let mut sweep = Sweep::new(
            &resolver,
            &self.context.ignore,
            self.observer().as_ref(),
            self.context.index().clone(),
            path,
            hint.cause,
            hint.first,
        );
        sweep.baseline = look.baseline;
        sweep.event_at = hint.event_at;
        sweep.doubt = self.filesystems.doubt().clone();
        while self.sweep(&mut sweep, STEP)? {}
        self.commit()
    }

    /// Goes on with a look at a subtree. Returns whether there is more to do.
    pub(super) fn sweep(&mut self, sweep: &mut Sweep, entries: usize) -> Result<bool, End> {
        let look = Look {
            baseline: sweep.baseline,
            event_at: sweep.event_at,
            ..Look::of(&Hint::again(sweep.cause, sweep.first))
        };
        let mut others = Vec::new();
        if !self.context.inbox.go_on() {
            return Err(End::Stopping);
        }
        for _ in 0..entries {
            let Some(item) = sweep.walk.next() else {
                self.examine_others(&mut others, look)?;
                self.absent_before(sweep, None, look)?;
                return Ok(false);
            };
            match item {
                Item::File { path, stat, open } => {
                    sweep.files += 1;
                    self.absent_before(sweep, Some(&path), look)?;
                    let row = sweep.rows.take(&path)?;
                    let device = stat.as_ref().map(|stat| stat.dev);
                    let doubt = row.is_some() && sweep.doubts(&path, device);
                    if let (Some(row), Some(stat)) = (&row, &stat)
                        && !doubt
                        && row.is_unchanged(stat, self.names.resolver().readable(stat, open))
                    {
                        if row.may_be_unread() {
                            self.try_to_read(&path)?;
                        }
                        continue;
                    }
                    let found = if let Some(stat) = stat {
                        Ok(Some(Seen::File(stat)))
                    } else {
                        self.follow_link(&path);
                        self.names.resolver().see(&path)
                    };
                    others.push(Other {
                        path,
                        found,
                        open,
                        doubt,
                    });
                    if others.len() == TOGETHER {
                        self.examine_others(&mut others, look)?;
                    }
                }
                Item::Directory { path, open } => {
                    self.denied.listed(path, open);
                }
                Item::Unreadable { path } => {
                    self.absent_before(sweep, Some(&join(&path, b"/")), look)?;
                    self.look_through_unlisted(sweep, &path, look)?;
                }
            }
            self.commit_if_full()?;
            if self.looks.has_read_enough() && self.scans.is_running() {
                break;
            }
        }
        self.examine_others(&mut others, look)?;
        Ok(true)
    }

    /// Looks at files that are not as the index had them a moment ago.
    fn examine_others(&mut self, others: &mut Vec<Other>, look: Look) -> Result<(), End> {
        let paths: Vec<&[u8]> = others.iter().map(|other| other.path.as_slice()).collect();
        let mut rows = self.context.index().rows(&paths)?;
        for Other {
            path,
            found,
            open,
            doubt,
        } in others.drain(..)
        {
            let row = rows.remove(&path);
            let look = Look { doubt, ..look };
            self.examine(&path, found, row, open, look)?;
            self.commit_if_full()?;
        }
        Ok(())
    }

    /// A directory that can't be listed, and so not be watched: its files in the index are
    /// looked at one by one, from now on every few seconds, as far as they can be reached.
    fn look_through_unlisted(
        &mut self,
        sweep: &mut Sweep,
        directory: &[u8],
        look: Look,
    ) -> Result<(), End> {
        if directory.is_empty() {
            // The root itself: that is another trouble.
            sweep.rows.skip_all();
            return Ok(());
        }
        let end = [directory, b"0"].concat();
        let mut some = false;
        self.looks.forget_above();
        while let Some(brief) = sweep.rows.next_before(Some(&end))? {
            some = true;
            let Ok(found) = self.names.resolver().see(&brief.path) else {
                continue;
            };
            let open = self.looks.open_above(self.names.resolver(), &brief.path);
            if let Some(Seen::File(stat)) = &found
                && brief.is_unchanged(stat, self.names.resolver().readable(stat, open))
            {
                continue;
            }
            let row = self.context.index().get(&brief.path)?;
            self.examine(&brief.path, Ok(found), row, open, look)?;
            self.commit_if_full()?;
        }
        if some && self.watching.is_open() {
            self.context.inbox.unwatched.add(directory, false);
        }
        self.denied.report_unlisted(&self.context, directory);
        Ok(())
    }

    /// Everything that the index has before a path, and the disk has not.
    fn absent_before(
        &mut self,
        sweep: &mut Sweep,
        path: Option<&[u8]>,
        look: Look,
    ) -> Result<(), End> {
        while let Some(brief) = sweep.rows.next_before(path)? {
            if self.names.resolver().see(&brief.path).is_err() {
                // It lies behind something that fails: whether it is there is not known.
                continue;
            }
            if let Some(row) = self.context.index().get(&brief.path)? {
                self.absent(&row, look)?;
                self.commit_if_full()?;
            }
        }
        Ok(())
    }
}
