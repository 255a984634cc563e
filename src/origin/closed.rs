//! What this process may not see: directories that can't be listed, and files that can't be read. Nobody
//! knows what happens there, so nothing there counts as gone; and it is said, once.

use super::examine::Reason;
use super::index::Known;
use super::look::{Found, Seen};
use super::settings::Compare;
use super::sweep::Sweep;
use super::worker::{End, Worker};

/// Files and directories that are remembered as told.
const TOLD: usize = 1_024;

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
            let Ok(found) = self.eyes.see(&brief.path) else {
                continue;
            };
            let open = self.open_above(&brief.path);
            if let Some(Seen::File(stat)) = &found
                && brief.is_unchanged(stat, self.eyes.readable(stat, open))
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

    /// Says once of each directory that it can't be listed.
    fn tell_closed(&mut self, directory: &[u8]) {
        if self.told_unreadable.len() < TOLD && self.told_unreadable.insert(directory.to_vec()) {
            tracing::warn!(
                origin = %self.settings.name,
                directory = %String::from_utf8_lossy(directory).escape_debug(),
                "this directory can't be listed (by the user that edgepurge runs as, or at all): what can't be reached in it does not count as gone, and nothing new in it is noticed, until it can"
            );
        }
    }

    /// Says once of each file that its bytes can't be read.
    pub(super) fn tell_unreadable(&mut self, path: &[u8], found: &Found) {
        let unread = found.entry.hash.is_none()
            && found.entry.known != Known::Unread
            && self.settings.compare == Compare::Content;
        if !unread {
            self.told_unreadable.remove(path);
        } else if self.told_unreadable.len() < TOLD && self.told_unreadable.insert(path.to_vec()) {
            tracing::warn!(
                origin = %self.settings.name,
                path = %String::from_utf8_lossy(path).escape_debug(),
                "this file can't be read by the user that edgepurge runs as: it is compared by size and times"
            );
        }
    }
}
