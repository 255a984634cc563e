//! What this process may not see: directories that can't be listed, and files that can't be read. Nobody
//! knows what happens there, so nothing there counts as gone; and it is said.

use std::os::unix::fs::MetadataExt as _;

use super::examine::Reason;
use super::scan::Running;
use super::sweep::Sweep;
use super::{End, Worker};
use crate::core::time::Time;
use crate::origin::index::Edit;
use crate::origin::index::known::{Found, Known};
use crate::origin::settings::{Compare, WatchMode};
use crate::origin::status::ScanReason;
use crate::origin::tree::fingerprint::may_read;
use crate::origin::tree::resolver::{Seen, nothing_there};
use crate::origin::watch::hints::{Cause, Mark};

/// Files, and directories, that have a line in the log each.
const TOLD: u64 = 1_024;
/// Directories that are tried at once.
const AT_ONCE: usize = 256;

impl Worker {
    /// A directory that can't be listed, and so not be watched: what is known of is looked at one by
    /// one, from now on every few seconds, as far as it can be reached.
    pub(super) fn look_through_closed(
        &mut self,
        sweep: &mut Sweep,
        directory: &[u8],
        reason: Reason,
    ) -> Result<(), End> {
        if directory.is_empty() {
            // The root itself: that is another trouble.
            sweep.rows.skip_all();
            return Ok(());
        }
        let end = [directory, b"0"].concat();
        let mut some = false;
        self.above = None;
        while let Some(brief) = sweep.rows.next_before(Some(&end))? {
            some = true;
            let Ok(found) = self.resolver.see(&brief.path) else {
                continue;
            };
            let open = self.open_above(&brief.path);
            if let Some(Seen::File(stat)) = &found
                && brief.is_unchanged(stat, self.resolver.readable(stat, open))
            {
                continue;
            }
            let row = self.committer.index.get(&brief.path)?;
            self.examine(&brief.path, Ok(found), row, open, reason)?;
            self.commit_if_full()?;
        }
        if some && self.watch.is_some() {
            self.inbox.unwatched.add(directory, false);
        }
        self.tell_closed(directory);
        Ok(())
    }

    /// Says once of each directory, or link to what can't be reached, that it can't be listed.
    pub(super) fn tell_closed(&mut self, directory: &[u8]) {
        let new = self.unreadable.add(directory, self.clock.now());
        if new && self.unreadable.count() <= TOLD {
            tracing::warn!(
                origin = %self.settings.name,
                directory = %String::from_utf8_lossy(directory).escape_debug(),
                "this directory can't be listed (by the user that edgepurge runs as, or at all): what can't be reached in it does not count as gone, and nothing new in it is noticed, until it can"
            );
        }
    }

    /// Tries whether directories can be listed by now: no event may tell of a right that comes with
    /// another group, or by a directory above a link's target.
    pub(super) fn check_closed(&mut self, now: Time) {
        for path in self.unreadable.next(AT_ONCE) {
            match std::fs::read_dir(self.resolver.real(&path)) {
                Err(error) if nothing_there(&error) => self.unreadable.remove(&path),
                Err(_) => {}
                Ok(_) if self.settings.watch == WatchMode::Off => self.unreadable.remove(&path),
                Ok(_) => {
                    let mark = Mark {
                        subtree: true,
                        ..Mark::again(Cause::Scan(ScanReason::Poll), now)
                    };
                    self.inbox.hint(&path, mark);
                }
            }
        }
    }

    /// The alarm for directories that can't be listed.
    pub(super) fn closed_alarm(&self) -> Option<String> {
        let (count, first) = self.unreadable.lasting(self.clock.now())?;
        let group = std::fs::metadata(self.resolver.real(first)).ok();
        let group = group.filter(|found| found.mode() & 0o050 == 0o050);
        let join = group.map_or_else(String::new, |found| {
            format!(
                "SupplementaryGroups={} in a drop-in of its unit (`systemctl edit edgepurge`, then restart), ",
                found.gid()
            )
        });
        Some(format!(
            "{count} {} below the root of origin `{}` can't be listed by the user that edgepurge runs as (uid {}), the first is `{}`: what changes there is not noticed, and nothing there counts as gone. Let that user in: {join}chmod, or setfacl; or put what nobody is served into `ignore`. It goes on by itself",
            if count == 1 {
                "directory"
            } else {
                "directories"
            },
            self.settings.name,
            rustix::process::geteuid().as_raw(),
            String::from_utf8_lossy(first).escape_debug(),
        ))
    }

    /// Whether a file's bytes could be read, when it was looked at.
    pub(super) fn note_unread(&mut self, path: &[u8], found: &Found) {
        if found.entry.hash.is_none() && found.entry.known != Known::Unread {
            self.tell_unread(path);
        } else {
            self.unread.remove(path);
        }
    }

    /// Says once of each file that its bytes can't be read.
    pub(super) fn tell_unread(&mut self, path: &[u8]) {
        let content = self.settings.compare == Compare::Content;
        if content && self.unread.add(path, self.clock.now()) && self.unread.count() <= TOLD {
            tracing::warn!(
                origin = %self.settings.name,
                path = %String::from_utf8_lossy(path).escape_debug(),
                "this file can't be read by the user that edgepurge runs as: it is compared by size and times"
            );
        }
    }

    /// Files can be read that could not be: there is more to read in the background.
    pub(super) fn count_regained(&mut self) -> Result<(), End> {
        let walking = self.running.as_ref().is_some_and(Running::walking);
        if self.regained && !walking {
            self.regained = false;
            self.count_unread()?;
        }
        Ok(())
    }

    /// Tries a file that could not be read, and is as it was: from then on it is one that was not read
    /// yet.
    pub(super) fn try_to_read(&mut self, path: &[u8]) -> Result<(), End> {
        if self.settings.compare != Compare::Content {
            return Ok(());
        }
        if !may_read(&self.resolver.real(path)) {
            self.tell_unread(path);
            return Ok(());
        }
        self.unread.remove(path);
        let Some(row) = self.committer.index.get(path)? else {
            return Ok(());
        };
        let mut entry = row.entry.clone();
        entry.known = Known::Unread;
        self.batch
            .add(Edit::new(path, Some(&row), Some(entry)), None);
        self.regained = true;
        Ok(())
    }
}
