//! The root and its watch: whether it still is the directory it was, and whether everything below
//! is reported. Owns when a watch is made anew; a scan then closes the gap.

use std::sync::Arc;
use std::time::Duration;

use super::scans::Pending;
use super::{End, Worker};
use crate::core::loss::was_missed;
use crate::core::time::Time;
use crate::origin::settings::WatchMode;
use crate::origin::status::ScanReason;
use crate::origin::tree::guard::{Events, Root};
use crate::origin::tree::resolver::nothing_there;
use crate::origin::tree::walk::{DirectoryObserver, Walk};
use crate::origin::watch::hints::{Cause, Hint};
use crate::origin::worker::batch::Batch;

impl Worker {
    /// Whether the root is still the directory it was; if not, everything starts over with it.
    pub(super) fn check_root(&mut self, now: Time) {
        self.presence.begin_check(now);
        let path = &self.context.settings.root;
        let still = self.presence.root().map(|root| root.is_still(path));
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
                let first = !self.presence.is_there() && self.watching.armed_at() == Time::ZERO;
                tracing::info!(origin = %self.context.settings.name, root = %root.resolved.display(), "the root is there");
                self.found_root(&root);
                self.abort_scan();
                self.arm();
                if first {
                    let root = self.presence.root();
                    let gone = root.map(|root| self.filesystems.compare(&self.context, root));
                    let time = self.context.clock.now();
                    self.losses.unmounted(gone.unwrap_or_default(), time);
                } else {
                    self.scans.want(Pending::new(ScanReason::LostWatch));
                }
                // The way may have been changed once more, before it was watched.
                if !self.presence.is_still(&self.context.settings.root) {
                    self.context.inbox.check_root();
                }
            }
            Err(error) => {
                let trouble = format!(
                    "the root {} of origin `{}` cannot be read ({error})",
                    self.context.settings.root.display(),
                    self.context.settings.name
                );
                if self.presence.lose(trouble) {
                    self.abort_scan();
                    self.watching.lose();
                }
                if nothing_there(&error) {
                    self.presence.miss(now);
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
        let Some(since) = self.presence.missing() else {
            return;
        };
        let gone_after = self.context.settings.gone_after;
        if !was_missed(since, now, gone_after) {
            let soon = since.after(gone_after).after(Duration::from_millis(1));
            self.presence.check_by(soon);
            return;
        }
        let index = self.context.index();
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

    /// A mount hides files, or shows others, and no event tells of it.
    pub(super) fn check_mounts(&mut self) {
        if !self.presence.is_there() {
            return;
        }
        let Some(gone) = self.filesystems.changed(&self.context.inbox) else {
            return;
        };
        let time = self.context.clock.now();
        self.losses.unmounted(gone, time);
        self.watching.lose();
        self.scans.want(Pending::new(ScanReason::LostWatch));
    }

    /// There was no watch to be had: perhaps there is one now.
    fn retry_watch(&mut self) {
        if self.watching.is_open() || !self.wants_events() || self.scans.is_running() {
            return;
        }
        self.watching.open(&self.context);
        if self.watching.is_open() {
            self.arm();
            self.scans.want(Pending::new(ScanReason::LostWatch));
        }
    }

    /// Follows the links whose targets no event may tell of.
    fn check_targets(&self, now: Time) {
        if !self.watching.is_open() {
            return;
        }
        let resolver = self.resolver();
        for changed in self
            .context
            .inbox
            .targets
            .changed(|link| resolver.real(link))
        {
            let hint = Hint {
                subtree: changed.directory,
                ..Hint::again(Cause::Scan(ScanReason::Poll), now)
            };
            self.context.inbox.hint(&changed.link, hint);
        }
    }

    pub(super) fn wants_events(&self) -> bool {
        self.context.settings.watch == WatchMode::Auto
            && self
                .presence
                .root()
                .is_some_and(|root| root.events != Events::None)
    }

    /// Whether the whole origin is looked at every few seconds: there are no events, or they do not
    /// tell everything.
    pub(super) fn polls_all(&self) -> bool {
        let partly = |root: &Root| root.events == Events::Some;
        self.context.settings.watch != WatchMode::Off
            && (!self.watching.is_open()
                || self.presence.root().is_some_and(partly)
                || self.context.inbox.unwatched.summary().everything
                || self.context.inbox.targets.too_many())
    }

    /// Sees that events come, for the scan that follows: it watches what it walks through.
    pub(super) fn arm(&mut self) {
        let Some(root) = self.presence.root().cloned() else {
            return;
        };
        self.watching.arm(self.context.clock.now());
        self.context.inbox.forget_places(b"");
        self.context.inbox.add_place(&root.resolved, b"");
        self.context.inbox.cookies.watch(false);
        self.context.inbox.unwatched.remove_below(b"");
        if !self.wants_events() {
            self.watching.close();
            return;
        }
        self.watching.open(&self.context);
        self.cover_surroundings();
        if !self.scope.is_complete() && self.watching.is_open() {
            // What the first scan finds was there before: so it may only come to what is watched.
            let (resolver, ignore) = (self.resolver(), Arc::clone(&self.context.ignore));
            let mut walk = Walk::new(resolver, ignore, self.observer(), b"");
            while walk.next().is_some() && self.context.inbox.go_on() {}
        }
    }

    /// The root is missing: the names on the way to it are watched.
    fn watch_way(&mut self) {
        if self.context.settings.watch == WatchMode::Auto {
            self.watching.open(&self.context);
            if let Some(cover) = self.watching.cover(&self.context) {
                cover.way(&self.context.settings.root);
            }
        }
    }

    /// What is watched beside the origin itself: the way to its root, and the cookies.
    fn cover_surroundings(&self) {
        let Some(cover) = self.watching.cover(&self.context) else {
            return;
        };
        cover.way(&self.context.settings.root);
        let cookies = self.context.inbox.cookies.directory();
        let reported = cover.watch.add_names(cookies).is_ok();
        let all = !self.polls_all() && !self.context.inbox.unwatched.summary().some;
        self.context.inbox.cookies.watch(reported && all);
    }

    /// What watches the directories of a walk; nothing without events.
    pub(super) fn observer(&self) -> Option<Arc<dyn DirectoryObserver>> {
        Some(Arc::new(self.watching.cover(&self.context)?))
    }

    /// A scan begins: whatever it does not come to is watched no more when it ends.
    pub(super) fn begin_round(&mut self) {
        self.names.forget_bound();
        self.denied.begin_round();
        self.context.inbox.unwatched.begin_round();
        self.context.inbox.targets.begin_round();
        if let Some(watch) = self.watching.watch() {
            watch.begin_round();
        }
        self.cover_surroundings();
    }

    /// A scan has come to everything.
    pub(super) fn end_round(&mut self) {
        self.watching.cover_all();
        self.denied.end_round();
        self.context.inbox.unwatched.end_round();
        self.context.inbox.targets.end_round();
        if let Some(watch) = self.watching.watch() {
            watch.end_round();
        }
        self.cover_surroundings();
        self.polls.scanned(self.context.clock.now());
    }

    /// Looks at the directories that are not watched, if it is time: one, and then events get their
    /// turn. Returns whether there are more.
    pub(super) fn poll_rest(&mut self, now: Time) -> Result<bool, End> {
        if self.scans.is_running() || self.polls_all() {
            // That looks at all of them.
            self.polls.give_up();
            return Ok(false);
        }
        if !self.polls.is_running() {
            if now < self.polls.due() {
                return Ok(false);
            }
            let tops = self.context.inbox.unwatched.tops();
            self.polls.begin(tops, now);
            if self.polls.is_running() {
                self.context.inbox.unwatched.begin_round();
                self.report.count_scan(ScanReason::Poll);
            }
        }
        let Some(top) = self.polls.next() else {
            return Ok(false);
        };
        self.look_below(&top, Hint::again(Cause::Scan(ScanReason::Poll), now))?;
        if !self.polls.is_running() {
            self.context.inbox.unwatched.end_round();
            self.cover_surroundings();
            let ended = self.context.clock.now();
            self.polls.end(self.context.settings.rescan, ended);
        }
        Ok(self.polls.is_running())
    }

    /// When [`Worker::poll_rest`] has something to do.
    pub(super) fn rest_wakes_at(&self) -> Option<Time> {
        let waits = !self.scans.is_running() && !self.polls_all();
        let some = waits && self.context.inbox.unwatched.summary().some;
        some.then_some(self.polls.due())
    }

    /// The root is another directory now.
    fn found_root(&mut self, root: &Root) {
        self.names.set_resolved(root.resolved.clone());
        match self.presence.found(root.clone()) {
            None => self.filesystems.begin(root),
            Some(before) => {
                if before.resolved == root.resolved {
                    self.check_mounts();
                }
                if !before.id.same_mount(&root.id) {
                    self.filesystems.doubt_all();
                }
            }
        }
    }
}
