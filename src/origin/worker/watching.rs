//! The watch of an origin: whether there is one, since when, and whether a scan has come to everything
//! since it began or lost something.

use std::sync::Arc;

use super::context::Context;
use crate::core::time::Time;
use crate::origin::watch::cover::Cover;
use crate::origin::watch::{Watch, WatchBackend};

/// The watch, and what makes it.
pub(super) struct Watching {
    backend: Box<dyn WatchBackend>,
    watch: Option<Arc<dyn Watch>>,
    /// Why there is none.
    trouble: Option<String>,
    /// A scan has come to everything since the watch began or lost something.
    covered: bool,
    /// When the watch was in place; zero before the first.
    armed_at: Time,
}

impl Watching {
    pub(super) fn new(backend: Box<dyn WatchBackend>) -> Self {
        Self {
            backend,
            watch: None,
            trouble: None,
            covered: false,
            armed_at: Time::ZERO,
        }
    }

    pub(super) const fn watch(&self) -> Option<&Arc<dyn Watch>> {
        self.watch.as_ref()
    }

    pub(super) const fn is_open(&self) -> bool {
        self.watch.is_some()
    }

    /// Why there is no watch, for the alarm.
    pub(super) const fn trouble(&self) -> Option<&String> {
        self.trouble.as_ref()
    }

    pub(super) const fn armed_at(&self) -> Time {
        self.armed_at
    }

    pub(super) const fn is_covered(&self) -> bool {
        self.covered
    }

    /// Only a scan finds what happened up to now.
    pub(super) const fn lose(&mut self) {
        self.covered = false;
    }

    /// From now on events count, if there are any; a scan has to find what was before.
    pub(super) const fn arm(&mut self, now: Time) {
        self.armed_at = now;
        self.covered = false;
    }

    /// A scan has come to everything.
    pub(super) const fn cover_all(&mut self) {
        self.covered = true;
    }

    /// No events are wanted.
    pub(super) fn close(&mut self) {
        self.watch = None;
        self.trouble = None;
    }

    /// Makes the watch, if there is none.
    pub(super) fn open(&mut self, context: &Context) {
        if self.watch.is_some() {
            return;
        }
        let inbox = Arc::clone(&context.inbox);
        match self.backend.open(Box::new(move |event| inbox.take(event))) {
            Ok(watch) => {
                self.watch = Some(watch);
                self.trouble = None;
            }
            Err(error) => {
                self.trouble = Some(format!(
                    "origin `{}` has no file events ({error}): it is scanned every few seconds; when the limit of inotify instances is reached, raise the sysctl fs.inotify.max_user_instances, it is taken up by itself",
                    context.settings.name
                ));
            }
        }
    }

    /// With what a walk covers directories; nothing without events.
    pub(super) fn cover(&self, context: &Context) -> Option<Cover> {
        let watch = self.watch.clone()?;
        let inbox = Arc::clone(&context.inbox);
        Some(Cover { inbox, watch })
    }
}
