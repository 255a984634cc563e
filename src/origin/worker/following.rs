//! The worker's part in the bound of links: a scan finds it anew, and comes where a link is newer than
//! the bound. What is not followed is an alarm.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use super::Worker;
use super::scan::{Pending, Running};
use crate::core::time::Time;
use crate::origin::status::ScanReason;
use crate::origin::tree::links_bound::Cut;
use crate::origin::tree::resolver::Resolver;

/// The longest time between two scans that are made for new links.
const WAIT: Duration = Duration::from_mins(1);

/// When a scan was last made for new links, and what was found not to be followed.
#[derive(Debug, Default)]
pub(super) struct Following {
    wanted: Option<Time>,
    wait: Duration,
    cut: Option<Cut>,
}

impl Following {
    /// Directories with more names than are followed.
    pub(super) fn unfollowed(&self) -> u64 {
        self.cut.as_ref().map_or(0, |cut| cut.directories)
    }
}

impl Worker {
    /// A scan begins: which names are followed is found anew.
    pub(super) fn forget_bound(&mut self) {
        self.resolver = Arc::new(Resolver {
            links: self.resolver.links.anew(),
            ..Resolver::clone(&self.resolver)
        });
    }

    /// A link was met that the bound does not know: what is behind it waits for a scan.
    pub(super) fn check_links(&mut self) {
        if self.resolver.links.take_news() {
            self.want_bound();
        }
    }

    /// A name came or went. With fewer links, there may be room for names that are not followed.
    pub(super) fn notice_link(&mut self, path: &[u8]) {
        let at = self.resolver.resolved.join(OsStr::from_bytes(path));
        let bound = self.resolver.links.bound();
        if bound.is_some_and(|bound| bound.cut.is_some() && bound.counts(&at)) {
            self.want_bound();
        }
    }

    /// The same of a directory, with whatever links are in it.
    pub(super) fn notice_directory(&mut self) {
        let bound = self.resolver.links.bound();
        if bound.is_some_and(|bound| bound.cut.is_some()) {
            self.want_bound();
        }
    }

    /// Links that come one by one get a scan at once, and then ever more rarely, but always one after
    /// the last.
    fn want_bound(&mut self) {
        if self.pending.is_some() {
            return;
        }
        let now = self.context.clock.now();
        let following = &mut self.following;
        let last = following.wanted.unwrap_or(Time::ZERO);
        if now.since(last) > WAIT * 2 {
            following.wait = Duration::ZERO;
        }
        let not_before = last.after(following.wait).max(now);
        following.wait = (following.wait * 2).clamp(Duration::from_secs(1), WAIT);
        following.wanted = Some(not_before);
        self.want(Pending {
            not_before,
            ..Pending::new(ScanReason::Directory)
        });
    }

    /// The alarm for names that are not followed; until a scan has found the bound, that of the last one.
    pub(super) fn link_alarm(&mut self) -> Option<String> {
        let walking = self.running.as_ref().is_some_and(Running::walking);
        match self.resolver.links.bound() {
            Some(bound) => self.following.cut.clone_from(&bound.cut),
            None if walking || self.pending.is_some() => {}
            None => self.following.cut = None,
        }
        let cut = self.following.cut.as_ref();
        cut.map(|cut| {
            format!(
                "links of origin `{}` lead to each other, so that {} directories have more names than are followed: `{}`, which leads to {}, is the first that is not. What changes there is purged under the names with the fewest links, and not under all others: put those that nobody fetches into `ignore`, such as the directory that the link lies in, or set `follow_symlinks` to \"no\" (\"root\", where the links lead out of the root)",
                self.context.settings.name,
                cut.directories,
                String::from_utf8_lossy(&cut.first).escape_debug(),
                cut.leads_to.display(),
            )
        })
    }
}
