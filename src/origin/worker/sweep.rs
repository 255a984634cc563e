//! A look at a whole subtree: everything on disk merged with everything the index has, both in the
//! order of their paths, neither ever whole in memory.

use std::sync::Arc;

use super::doubt::Doubt;
use crate::core::time::Time;
use crate::origin::index::OriginIndex;
use crate::origin::index::rows::Rows;
use crate::origin::tree::ignore::Ignore;
use crate::origin::tree::parallel::{AnyWalk, ParallelWalk};
use crate::origin::tree::resolver::Resolver;
use crate::origin::tree::walk::{DirectoryObserver, Walk};
use crate::origin::watch::hints::Cause;

/// A look at a subtree, in the middle.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) walk: AnyWalk,
    pub(super) rows: Rows,
    pub(super) cause: Cause,
    /// Since when this look is wanted.
    pub(super) first: Time,
    /// When the newest event came that brings the look.
    pub(super) event_at: Option<Time>,
    /// The watch was in place before this; with an index that was never complete, only what came
    /// later is a change.
    pub(super) baseline: Option<Time>,
    /// Files whose stat says nothing.
    pub(super) doubt: Doubt,
    pub(super) files: u64,
}

impl Sweep {
    /// `index` is that of the origin; a look at all of it walks on threads of its own.
    pub(super) fn new(
        resolver: &Arc<Resolver>,
        ignore: &Arc<Ignore>,
        observer: Option<&Arc<dyn DirectoryObserver>>,
        index: OriginIndex,
        start: &[u8],
        cause: Cause,
        first: Time,
    ) -> Self {
        let walk = || {
            Walk::new(
                Arc::clone(resolver),
                Arc::clone(ignore),
                observer.cloned(),
                start,
            )
        };
        let parallel = start.is_empty().then(|| ParallelWalk::new(walk()));
        let walk = match parallel {
            Some(Ok(parallel)) => AnyWalk::Parallel(parallel),
            // Without a thread it takes longer, and comes to the same.
            Some(Err(_)) | None => AnyWalk::Single(walk()),
        };
        Self {
            walk,
            rows: Rows::below(index, start),
            cause,
            first,
            event_at: None,
            baseline: None,
            doubt: Doubt::default(),
            files: 0,
        }
    }

    /// Whether a file's stat says nothing. Where it is only known later, a link's file is doubted as
    /// what lies under its name.
    pub(super) fn doubts(&self, path: &[u8], device: Option<u64>) -> bool {
        !self.doubt.is_empty() && self.doubt.covers(path, device.unwrap_or_default())
    }
}
