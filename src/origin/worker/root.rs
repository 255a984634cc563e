//! The root and its watch: whether it still is the directory it was, and whether everything below
//! is told of. Owns when a watch is made anew; a scan then closes the gap.

use std::sync::Arc;

use super::Worker;
use crate::core::time::Time;
use crate::origin::batch::Batch;
use crate::origin::guard::{Root, identity, is_remote, mounts_below};
use crate::origin::look::Eyes;
use crate::origin::scan::Pending;
use crate::origin::settings::{ROOT_CHECK, WatchMode};
use crate::origin::status::ScanReason;
use crate::origin::watch::WatchError;

impl Worker {
    /// Whether the root is still the directory it was; if not, everything starts over with it.
    pub(in crate::origin) fn check_root(&mut self, now: Time) {
        self.root_check = now.after(ROOT_CHECK);
        let found = identity(&self.settings.root);
        if let (Ok(id), Some(root)) = (&found, &self.root)
            && *id == root.id
        {
            if self.watch.is_none() && self.wants_events() && self.running.is_none() {
                self.retry_watch();
            }
            self.check_mounts();
            return;
        }
        match found.and_then(|_| Root::find(&self.settings.root)) {
            Ok(root) => {
                let first = self.root.is_none() && self.armed_at == Time::ZERO;
                tracing::info!(origin = %self.settings.name, root = %root.resolved.display(), "the root is there");
                self.root_trouble = None;
                self.found_root(root);
                self.abort_scan();
                self.arm();
                if !first {
                    self.want(Pending::new(ScanReason::LostWatch));
                }
            }
            Err(error) => {
                self.root_trouble = Some(format!(
                    "the root {} of origin `{}` cannot be read ({error}): nothing is purged and the index is kept; it goes on by itself when the directory is back",
                    self.settings.root.display(),
                    self.settings.name
                ));
                if self.root.take().is_some() {
                    self.abort_scan();
                    self.watch = None;
                    self.retired = None;
                }
                self.batch = Batch::default();
            }
        }
    }

    /// A mount below the root hides files, or shows others, and no event tells of it.
    pub(in crate::origin) fn check_mounts(&mut self) {
        let Some(root) = &self.root else { return };
        let mounts = mounts_below(&root.resolved);
        if mounts != self.mounts {
            self.mounts = mounts;
            self.want(Pending {
                rearm: true,
                ..Pending::new(ScanReason::LostWatch)
            });
        }
    }

    pub(in crate::origin) fn retry_watch(&mut self) {
        self.arm();
        if self.watch.is_some() {
            self.want(Pending::new(ScanReason::LostWatch));
        }
    }

    pub(in crate::origin) fn wants_events(&self) -> bool {
        self.settings.watch == WatchMode::Auto
            && self
                .root
                .as_ref()
                .is_some_and(|root| !is_remote(&root.resolved))
    }

    /// A new watch on the root and on what links lead to; the one before stays until the next scan
    /// is done, so that nothing is uncovered between them.
    pub(in crate::origin) fn arm(&mut self) {
        use std::sync::atomic::Ordering;
        let Some(root) = self.root.clone() else {
            return;
        };
        let now = self.clock.now();
        self.armed_at = now;
        self.inbox.forget_places(b"");
        self.inbox.add_place(&root.resolved, b"");
        self.inbox.cookies.watch(false);
        if !self.wants_events() {
            self.watch = None;
            self.status.polling = self.settings.watch != WatchMode::Off;
            return;
        }
        {
            let mut mail = self.inbox.lock();
            mail.unwatched.clear();
            mail.limit = false;
        }
        let own = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        let (newest, inbox) = (Arc::clone(&self.generation), Arc::clone(&self.inbox));
        let opened = self.backend.open(Box::new(move |event| {
            inbox.take(event, newest.load(Ordering::SeqCst) == own);
        }));
        self.retired = self.watch.take().or(self.retired.take());
        match opened {
            Ok(watch) => {
                self.watch = Some(watch);
                self.status.polling = false;
                self.watch_trouble = None;
                if !self.watch_directory(&root.resolved) {
                    self.watch = None;
                    self.status.polling = true;
                }
                let cookies = self.inbox.cookies.directory().to_owned();
                let told = self.watch.is_some() && self.watch_directory(&cookies);
                self.inbox.cookies.watch(told && !self.inbox.lock().limit);
            }
            Err(error) => {
                self.status.polling = true;
                self.watch_trouble = Some(format!(
                    "origin `{}` has no file events ({error}): it is scanned every few seconds; when other programs use up fs.inotify.max_user_instances, raise that",
                    self.settings.name
                ));
            }
        }
    }

    /// Watches one directory. `false` when it is not watched.
    pub(in crate::origin) fn watch_directory(&mut self, directory: &std::path::Path) -> bool {
        let Some(watch) = &mut self.watch else {
            return false;
        };
        match watch.watch(directory) {
            Ok(()) => {
                self.inbox.lock().unwatched.remove(directory);
                true
            }
            // What is not there needs no watch.
            Err(WatchError::Missing) => true,
            Err(WatchError::Limit) => {
                // What is watched stays so; the rest is polled.
                self.inbox.lock().limit = true;
                self.status.polling = true;
                true
            }
            Err(WatchError::Other(why)) => {
                tracing::warn!(origin = %self.settings.name, directory = %directory.display(), why, "not watched");
                self.inbox.lock().unwatched.insert(directory.to_owned());
                false
            }
        }
    }

    /// The root is another directory now.
    pub(in crate::origin) fn found_root(&mut self, root: Root) {
        self.mounts = mounts_below(&root.resolved);
        self.eyes = Arc::new(Eyes {
            resolved: root.resolved.clone(),
            ..Eyes::clone(&self.eyes)
        });
        self.root = Some(root);
    }
}
