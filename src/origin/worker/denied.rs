//! What this process may not see: directories that can't be listed, and files that can't be read. What
//! happens there is not known, so nothing there counts as gone; and it is reported.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use super::End;
use super::context::Context;
use super::unreadable::Unreadable;
use crate::core::time::Time;
use crate::origin::index::Edit;
use crate::origin::index::known::{Confidence, Found};
use crate::origin::settings::{Compare, WatchMode};
use crate::origin::status::{OriginStatus, ScanReason, shown};
use crate::origin::tree::fingerprint::may_read;
use crate::origin::tree::paths::{join, remove_below};
use crate::origin::tree::resolver::{Resolver, nothing_there};
use crate::origin::tree::walk::open_above;
use crate::origin::watch::hints::{Cause, Hint};

/// Files, and directories, that have a line in the log each.
const LOGGED: u64 = 1_024;
/// Directories that are tried at once.
const AT_ONCE: usize = 256;

/// Directories and files that are closed to this process, or to visitors.
#[derive(Debug, Default)]
pub(super) struct Denied {
    /// Directories that others may not enter. A change of a directory's mode counts only where it
    /// changes these, or those that can't be listed.
    unentered: BTreeSet<Vec<u8>>,
    /// Directories that can't be listed.
    unlisted: Unreadable,
    /// Files whose bytes can't be read.
    unread: Unreadable,
    /// Some that could not be read can be now: they are to be read in the background.
    regained: bool,
}

impl Denied {
    /// Whether a change of a directory's mode changes who gets at the files below it.
    pub(super) fn differs(&self, resolver: &Resolver, path: &[u8]) -> bool {
        let unentered = !open_above(resolver, &join(path, b"x"));
        let unlisted = std::fs::read_dir(resolver.real(path))
            .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        unentered != self.unentered.contains(path) || unlisted != self.unlisted.contains(path)
    }

    /// Everything is about to be looked at: until that ends, what was found closed to this process
    /// counts too.
    pub(super) fn begin_round(&mut self) {
        self.unlisted.begin_round();
        self.unread.begin_round();
        self.unentered.clear();
    }

    /// Everything was looked at.
    pub(super) fn end_round(&mut self) {
        self.unlisted.end_round();
        self.unread.end_round();
    }

    /// A path and everything below it is about to be looked at.
    pub(super) fn forget_below(&mut self, path: &[u8]) {
        remove_below(&mut self.unentered, path);
        self.unlisted.remove_below(path);
    }

    /// A directory was listed; `open`: others may enter it.
    pub(super) fn listed(&mut self, path: Vec<u8>, open: bool) {
        self.unlisted.remove(&path);
        if !open {
            self.unentered.insert(path);
        }
    }

    /// A file is gone.
    pub(super) fn gone(&mut self, path: &[u8]) {
        self.unread.remove(path);
    }

    /// Whether files can be read since the last question that could not be: there is more to read in
    /// the background.
    pub(super) const fn take_regained(&mut self) -> bool {
        std::mem::replace(&mut self.regained, false)
    }

    /// Sets the counts in the status.
    pub(super) fn count(&self, status: &mut OriginStatus) {
        status.unreadable_directories = self.unlisted.count();
        status.unreadable_files = self.unread.count();
        status.unreadable_file = self.unread.first().map(shown);
    }

    /// Says once of each directory, or link to what can't be reached, that it can't be listed.
    pub(super) fn report_unlisted(&mut self, context: &Context, directory: &[u8]) {
        let new = self.unlisted.add(directory, context.clock.now());
        if new && self.unlisted.count() <= LOGGED {
            tracing::warn!(
                origin = %context.settings.name,
                directory = %String::from_utf8_lossy(directory).escape_debug(),
                "this directory can't be listed (by the user that edgepurge runs as, or at all): what can't be reached in it does not count as gone, and nothing new in it is noticed, until it can"
            );
        }
    }

    /// Tries whether directories can be listed by now: no event may report a right that comes with
    /// another group, or by a directory above a link's target.
    pub(super) fn retry(&mut self, context: &Context, resolver: &Resolver, now: Time) {
        for path in self.unlisted.next(AT_ONCE) {
            match std::fs::read_dir(resolver.real(&path)) {
                Err(error) if nothing_there(&error) => self.unlisted.remove(&path),
                Err(_) => {}
                Ok(_) if context.settings.watch == WatchMode::Off => self.unlisted.remove(&path),
                Ok(_) => {
                    let hint = Hint {
                        subtree: true,
                        ..Hint::again(Cause::Scan(ScanReason::Poll), now)
                    };
                    context.inbox.hint(&path, hint);
                }
            }
        }
    }

    /// The alarm for directories that can't be listed.
    pub(super) fn alarm(&self, context: &Context, resolver: &Resolver) -> Option<String> {
        let (count, first) = self.unlisted.lasting(context.clock.now())?;
        let group = std::fs::metadata(resolver.real(first)).ok();
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
            context.settings.name,
            rustix::process::geteuid().as_raw(),
            String::from_utf8_lossy(first).escape_debug(),
        ))
    }

    /// Whether a file's bytes could be read, when it was looked at.
    pub(super) fn looked(&mut self, context: &Context, path: &[u8], found: &Found) {
        if found.entry.hash.is_none() && found.entry.known != Confidence::Unread {
            self.report_unread(context, path);
        } else {
            self.unread.remove(path);
        }
    }

    /// Says once of each file that its bytes can't be read.
    pub(super) fn report_unread(&mut self, context: &Context, path: &[u8]) {
        let reads = context.settings.compare == Compare::Content;
        if reads && self.unread.add(path, context.clock.now()) && self.unread.count() <= LOGGED {
            tracing::warn!(
                origin = %context.settings.name,
                path = %String::from_utf8_lossy(path).escape_debug(),
                "this file can't be read by the user that edgepurge runs as: it is compared by size and times"
            );
        }
    }

    /// Tries a file that could not be read, and is as it was: from then on it is one that was not read
    /// yet.
    pub(super) fn try_to_read(
        &mut self,
        context: &Context,
        resolver: &Resolver,
        path: &[u8],
    ) -> Result<Option<Edit>, End> {
        if context.settings.compare != Compare::Content {
            return Ok(None);
        }
        if !may_read(&resolver.real(path)) {
            self.report_unread(context, path);
            return Ok(None);
        }
        self.unread.remove(path);
        let Some(row) = context.index().get(path)? else {
            return Ok(None);
        };
        let mut entry = row.entry.clone();
        entry.known = Confidence::Unread;
        self.regained = true;
        Ok(Some(Edit::new(path, Some(&row), Some(entry))))
    }
}
