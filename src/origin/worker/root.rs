//! The root and its watch: whether it still is the directory it was, and whether everything below
//! is told of. Owns when a watch is made anew; a scan then closes the gap.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::scans::Pending;
use super::{End, Worker};
use crate::core::loss::was_missed;
use crate::core::time::Time;
use crate::origin::settings::{POLL, ROOT_CHECK, WatchMode};
use crate::origin::status::ScanReason;
use crate::origin::tree::guard::{Events, Root};
use crate::origin::tree::mounts::Mounts;
use crate::origin::tree::resolver::nothing_there;
use crate::origin::tree::surroundings::Surroundings;
use crate::origin::tree::walk::{DirectoryObserver, Walk};
use crate::origin::watch::cover::Cover;
use crate::origin::watch::hints::{Cause, Mark};
use crate::origin::worker::batch::Batch;

impl Worker {
    /// Whether the root is still the directory it was; if not, everything starts over with it.
    pub(super) fn check_root(&mut self, now: Time) {
        self.root_check = now.after(ROOT_CHECK);
        let path = &self.context.settings.root;
        let still = self.root.as_ref().map(|root| root.is_still(path));
        let found = match still {
            Some(Ok(true)) => {
                self.retry_watch();
                self.check_mounts();
                self.check_targets(now);
                self.denied.retry(&self.context, self.names.resolver(), now);
                return;
            }
            Some(Err(error)) => Err(error),
            Some(Ok(false)) | None => Root::find(path),
        };
        match found {
            Ok(root) => {
                self.missed_root(now);
                self.missing = None;
                let first = self.root.is_none() && self.armed_at == Time::ZERO;
                tracing::info!(origin = %self.context.settings.name, root = %root.resolved.display(), "the root is there");
                self.root_trouble = None;
                self.found_root(root);
                self.abort_scan();
                self.arm();
                if first {
                    self.compare_surroundings();
                } else {
                    self.scans.want(Pending::new(ScanReason::LostWatch));
                }
                // The way may have been changed once more, before it was watched.
                let root = self.root.as_ref();
                if !root.is_some_and(|root| {
                    matches!(root.is_still(&self.context.settings.root), Ok(true))
                }) {
                    self.context.inbox.check_root();
                }
            }
            Err(error) => {
                self.root_trouble = Some(format!(
                    "the root {} of origin `{}` cannot be read ({error}): nothing is purged and the index is kept; it goes on by itself when the directory is back",
                    self.context.settings.root.display(),
                    self.context.settings.name
                ));
                if self.root.take().is_some() {
                    self.abort_scan();
                    self.covered = false;
                }
                if nothing_there(&error) {
                    self.missing.get_or_insert(now);
                    self.missed_root(now);
                }
                self.watch_way();
                self.batch = Batch::default();
            }
        }
    }

    /// Once the root has been missing for longer than a file may be, each of its files counts as
    /// absent since then: an edge may have cached a 404 for it, so that its return is a change.
    fn missed_root(&mut self, now: Time) {
        let Some(since) = self.missing else { return };
        let gone_after = self.context.settings.gone_after;
        if !was_missed(since, now, gone_after) {
            let soon = since.after(gone_after).after(Duration::from_millis(1));
            self.root_check = self.root_check.min(soon);
            return;
        }
        let index = &self.context.index();
        // What can't be written now is tried again at the next check.
        match index.all_absent(since) {
            Ok(0) => {}
            Ok(files) => {
                tracing::warn!(origin = %self.context.settings.name, files, "the root is missing: its files are purged when they are back");
            }
            Err(error) => {
                tracing::warn!(origin = %self.context.settings.name, %error, "the missing root is not noted in the index yet");
            }
        }
    }

    /// What the last run knew: a device that a reboot has given another number, and what was mounted
    /// and is not.
    fn compare_surroundings(&mut self) {
        let Some(root) = &self.root else { return };
        let before = self.context.index().surroundings().ok().flatten();
        let before: Option<Surroundings> = before.and_then(|text| serde_json::from_str(&text).ok());
        let Some(before) = before else { return };
        let now = Surroundings::now(&root.resolved, root.id.device(), &self.mounts);
        self.renumbered = before.renumbered(&now);
        let mut gone = before.mounted;
        gone.retain(|place| !now.mounted.contains(place));
        let time = self.context.clock.now();
        self.unmounted(gone, time);
    }

    /// Keeps what this run knows for the next.
    pub(super) fn keep_surroundings(&mut self) -> Result<(), End> {
        let Some(root) = &self.root else {
            return Ok(());
        };
        let mut now = Surroundings::now(&root.resolved, root.id.device(), &self.mounts);
        // What vanished is still waited for.
        now.mounted.extend(self.losses.vanished().iter().cloned());
        let text = serde_json::to_string(&now).unwrap_or_default();
        if self.surroundings != text {
            self.context.write(|index| index.keep_surroundings(&text))?;
            self.surroundings = text;
        }
        Ok(())
    }

    /// A mount hides files, or shows others, and no event tells of it.
    pub(super) fn check_mounts(&mut self) {
        if self.root.is_none() {
            return;
        }
        let Some(now) = self.mounts.changed() else {
            return;
        };
        let root = Path::new("/");
        let names = |point: &Path| {
            let point = Some(point).filter(|point| *point != root);
            point.map_or_else(Vec::new, |point| self.context.inbox.names_of(point))
        };
        let gone: Vec<_> = self.mounts.gone(&now).flat_map(names).collect();
        let others: Vec<_> = now.new_since(&self.mounts).flat_map(names).collect();
        self.mounts = now;
        if gone.is_empty() && others.is_empty() {
            return;
        }
        self.doubt.add_below(gone.iter().cloned().chain(others));
        let time = self.context.clock.now();
        self.unmounted(gone, time);
        self.covered = false;
        self.scans.want(Pending::new(ScanReason::LostWatch));
    }

    /// There was no watch to be had: perhaps there is one now.
    fn retry_watch(&mut self) {
        if self.watch.is_some() || !self.wants_events() || self.scans.is_running() {
            return;
        }
        self.open_watch();
        if self.watch.is_some() {
            self.arm();
            self.scans.want(Pending::new(ScanReason::LostWatch));
        }
    }

    /// Follows the links whose targets no event may tell of.
    fn check_targets(&self, now: Time) {
        if self.watch.is_none() {
            return;
        }
        let resolver = self.resolver();
        for changed in self
            .context
            .inbox
            .targets
            .changed(|link| resolver.real(link))
        {
            let mark = Mark {
                subtree: changed.directory,
                ..Mark::again(Cause::Scan(ScanReason::Poll), now)
            };
            self.context.inbox.hint(&changed.link, mark);
        }
    }

    pub(super) fn wants_events(&self) -> bool {
        self.context.settings.watch == WatchMode::Auto
            && self
                .root
                .as_ref()
                .is_some_and(|root| root.events != Events::None)
    }

    /// Whether the whole origin is looked at every few seconds: there are no events, or they do not
    /// tell everything.
    pub(super) fn polls_all(&self) -> bool {
        let partly = |root: &Root| root.events == Events::Some;
        self.context.settings.watch != WatchMode::Off
            && (self.watch.is_none()
                || self.root.as_ref().is_some_and(partly)
                || self.context.inbox.unwatched.summary().everything
                || self.context.inbox.targets.too_many())
    }

    /// Sees that events come, for the scan that follows: it watches what it walks through.
    pub(super) fn arm(&mut self) {
        let Some(root) = self.root.clone() else {
            return;
        };
        self.armed_at = self.context.clock.now();
        self.covered = false;
        self.context.inbox.forget_places(b"");
        self.context.inbox.add_place(&root.resolved, b"");
        self.context.inbox.cookies.watch(false);
        self.context.inbox.unwatched.remove_below(b"");
        if !self.wants_events() {
            self.watch = None;
            self.watch_trouble = None;
            return;
        }
        self.open_watch();
        self.cover_surroundings();
        if !self.scope.is_complete() && self.watch.is_some() {
            // What the first scan finds was there before: so it may only come to what is watched.
            let (resolver, ignore) = (self.resolver(), Arc::clone(&self.context.ignore));
            let mut walk = Walk::new(resolver, ignore, self.observer(), b"");
            while walk.next().is_some() && self.context.inbox.go_on() {}
        }
    }

    fn open_watch(&mut self) {
        if self.watch.is_some() {
            return;
        }
        let inbox = Arc::clone(&self.context.inbox);
        match self.backend.open(Box::new(move |event| inbox.take(event))) {
            Ok(watch) => {
                self.watch = Some(watch);
                self.watch_trouble = None;
            }
            Err(error) => {
                self.watch_trouble = Some(format!(
                    "origin `{}` has no file events ({error}): it is scanned every few seconds; when the limit of inotify instances is reached, raise the sysctl fs.inotify.max_user_instances, it is taken up by itself",
                    self.context.settings.name
                ));
            }
        }
    }

    /// The root is missing: whoever makes it is told of.
    fn watch_way(&mut self) {
        if self.context.settings.watch == WatchMode::Auto {
            self.open_watch();
            if let Some(cover) = self.cover() {
                cover.way(&self.context.settings.root);
            }
        }
    }

    /// What is watched beside the origin itself: the way to its root, and the cookies.
    fn cover_surroundings(&self) {
        let Some(cover) = self.cover() else { return };
        cover.way(&self.context.settings.root);
        let cookies = self.context.inbox.cookies.directory();
        let told = cover.watch.add_names(cookies).is_ok();
        let all = !self.polls_all() && !self.context.inbox.unwatched.summary().some;
        self.context.inbox.cookies.watch(told && all);
    }

    /// With what a walk covers directories; nothing without events.
    pub(super) fn cover(&self) -> Option<Cover> {
        let watch = self.watch.clone()?;
        let inbox = Arc::clone(&self.context.inbox);
        Some(Cover { inbox, watch })
    }

    /// The same, as a walk takes it.
    pub(super) fn observer(&self) -> Option<Arc<dyn DirectoryObserver>> {
        Some(Arc::new(self.cover()?))
    }

    /// A scan begins: whatever it does not come to is watched no more when it ends.
    pub(super) fn begin_round(&mut self) {
        self.names.forget_bound();
        self.denied.begin_round();
        self.context.inbox.unwatched.begin_round();
        self.context.inbox.targets.begin_round();
        if let Some(watch) = &self.watch {
            watch.begin_round();
        }
        self.cover_surroundings();
    }

    /// A scan has come to everything.
    pub(super) fn end_round(&mut self) {
        self.covered = true;
        self.denied.end_round();
        self.context.inbox.unwatched.end_round();
        self.context.inbox.targets.end_round();
        if let Some(watch) = &self.watch {
            watch.end_round();
        }
        self.cover_surroundings();
        self.rest_poll = self.context.clock.now().after(POLL);
    }

    /// Looks at the directories that are not watched, if it is time: one, and then events get their
    /// turn. Returns whether there are more.
    pub(super) fn poll_rest(&mut self, now: Time) -> Result<bool, End> {
        if self.scans.is_running() || self.polls_all() {
            // That looks at all of them.
            self.rest.clear();
            return Ok(false);
        }
        if self.rest.is_empty() {
            if now < self.rest_poll {
                return Ok(false);
            }
            self.rest = self.context.inbox.unwatched.tops().into();
            self.rest_poll = now;
            if !self.rest.is_empty() {
                self.context.inbox.unwatched.begin_round();
                self.report.count_scan(ScanReason::Poll);
            }
        }
        let Some(top) = self.rest.pop_front() else {
            return Ok(false);
        };
        self.look_below(&top, Mark::again(Cause::Scan(ScanReason::Poll), now))?;
        if self.rest.is_empty() {
            self.context.inbox.unwatched.end_round();
            self.cover_surroundings();
            let ended = self.context.clock.now();
            let wait = POLL.max(ended.since(self.rest_poll).saturating_mul(10));
            self.rest_poll = ended.after(wait.min(self.context.settings.rescan));
        }
        Ok(!self.rest.is_empty())
    }

    /// When [`Worker::poll_rest`] has something to do.
    pub(super) fn rest_wakes_at(&self) -> Option<Time> {
        let waits = !self.scans.is_running() && !self.polls_all();
        let some = waits && self.context.inbox.unwatched.summary().some;
        some.then_some(self.rest_poll)
    }

    /// The root is another directory now.
    pub(super) fn found_root(&mut self, root: Root) {
        self.names.set_resolved(root.resolved.clone());
        match self.root_before.take() {
            None => {
                self.mounts = Mounts::now();
                self.doubt.add_devices(self.mounts.fixed_devices());
                if self.mounts.on_overlay(&root.resolved) {
                    self.doubt.add_below([Vec::new()]);
                }
            }
            Some(before) => {
                self.root = Some(root.clone());
                if before.resolved == root.resolved {
                    self.check_mounts();
                }
                if !before.id.same_mount(&root.id) {
                    self.doubt.add_below([Vec::new()]);
                }
            }
        }
        self.root_before = Some(root.clone());
        self.root = Some(root);
    }
}
