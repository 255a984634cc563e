//! Whether the root is there, which directory it is, and when that is checked next.

use std::path::Path;

use crate::core::time::Time;
use crate::origin::settings::ROOT_CHECK;
use crate::origin::tree::guard::Root;

/// The root, as the last check found it.
#[derive(Debug, Default)]
pub(super) struct Presence {
    root: Option<Root>,
    /// The root that was there last.
    last: Option<Root>,
    /// Since when there is none.
    missing: Option<Time>,
    /// When it is checked next.
    check: Time,
    /// Why it can't be read.
    trouble: Option<String>,
}

impl Presence {
    pub(super) const fn root(&self) -> Option<&Root> {
        self.root.as_ref()
    }

    pub(super) const fn is_there(&self) -> bool {
        self.root.is_some()
    }

    /// Whether the root that was found is still what is at `path`.
    pub(super) fn is_still(&self, path: &Path) -> bool {
        let root = self.root.as_ref();
        root.is_some_and(|root| matches!(root.is_still(path), Ok(true)))
    }

    /// Why it can't be read, for the alarm.
    pub(super) const fn trouble(&self) -> Option<&String> {
        self.trouble.as_ref()
    }

    /// When it is checked next.
    pub(super) const fn check_at(&self) -> Time {
        self.check
    }

    /// It is checked then at the latest.
    pub(super) fn check_by(&mut self, time: Time) {
        self.check = self.check.min(time);
    }

    /// A check begins.
    pub(super) fn begin_check(&mut self, now: Time) {
        self.check = now.after(ROOT_CHECK);
    }

    /// Since when there is no root.
    pub(super) const fn missing(&self) -> Option<Time> {
        self.missing
    }

    /// The root is there. Returns the one that was there last.
    pub(super) fn found(&mut self, root: Root) -> Option<Root> {
        self.missing = None;
        self.trouble = None;
        self.root = Some(root.clone());
        self.last.replace(root)
    }

    /// The root can't be read. Returns whether it could before.
    pub(super) fn lose(&mut self, trouble: String) -> bool {
        self.trouble = Some(trouble);
        self.root.take().is_some()
    }

    /// There certainly is none.
    pub(super) fn miss(&mut self, now: Time) {
        self.missing.get_or_insert(now);
    }
}
