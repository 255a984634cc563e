//! The kernel's file events, behind a small trait: inotify's own names stay in here. Never decides what an
//! event means for a file.
//!
//! Events are hints. What they can't report is found by other means, and no file counts as gone because
//! it can't be seen; `docs/watching.md` has the table. A walk adds the watch of a directory before it
//! lists the directory: what came before the watch is in the list, what comes after it is an event. The
//! background scan finds what is left, and counts it in `edgepurge_drift_total`.
//!
//! The crate `notify` is not used. Its version 9.0.0-rc.7, tried behind the same trait, fails three of the
//! tests in `watch/tests.rs`:
//!
//! - It does not watch a path again that it watches. Where another directory is there by now, as after an
//!   overflow, `watch` returns `Ok` and no event comes. To end that watch first drops the events that are
//!   queued for it: 4 to 6 % of a writer's, while 256 directories are added again in batches of 64.
//! - An event has one path: the one added last, of a directory with several; and of what is written right
//!   after a rename the old one or none, in 100 of 100 tries. Here a watch descriptor leads to all paths.
//! - One mask is for all paths, so that the way to a root, watched for names, takes a second instance, or
//!   an event for each write beside the root.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::core::time::Time;
use crate::origin::watch::hints::Nature;

pub(super) mod cookie;
pub(super) mod cover;
pub(super) mod hints;
pub(super) mod inbox;
mod inotify;
#[cfg(test)]
mod tests;
pub(super) mod unwatched;
mod watched;

pub(super) use inotify::Inotify;

/// What a watch reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Something happened at a path. `at`: when the event came, or a few milliseconds earlier.
    Hint {
        path: PathBuf,
        nature: Nature,
        is_dir: bool,
        at: Time,
    },
    /// The kernel dropped events: everything has to be looked at.
    Overflow,
    /// The kernel ended a watch at an unmount: everything has to be looked at.
    Lost,
}

/// Why a directory is not watched.
#[derive(Debug, thiserror::Error)]
pub(super) enum WatchError {
    /// There is no directory at the path, so nothing is missed.
    #[error("it is not there")]
    Missing,
    /// The directory can't be listed either. An event of the directory above reports when that
    /// changes.
    #[error("permission denied")]
    Denied,
    /// The limit of watches is reached. Watches that exist stay.
    #[error("the limit of watches is reached")]
    Limit,
    /// Anything else.
    #[error("{0}")]
    Other(std::io::Error),
}

/// Receives a watch's events, on the watch's thread. It must return at once.
pub(super) type Handler = Box<dyn Fn(Event) + Send + Sync + 'static>;

/// Opens watches.
pub(super) trait WatchBackend: Send + 'static {
    /// A new watch, on no directory yet.
    fn open(&self, handler: Handler) -> Result<Arc<dyn Watch>, WatchError>;
}

/// A running watch. It ends when it is dropped.
///
/// It watches directories one by one, and adds none by itself. The caller adds a directory before
/// it lists it, so that no change between the two is missed, and adds no directory that is ignored.
/// A directory that appears or gets another name is reported, so that the caller lists it.
pub(super) trait Watch: Send + Sync {
    /// Watches the directory that is at this path now, with the contents and metadata of its
    /// files. There is no link on the way to it. To add a path again loses no event; where another
    /// directory is at the path by then, that one is watched.
    fn add(&self, directory: &Path) -> Result<(), WatchError>;

    /// The same for names alone: what appears in the directory, and what disappears. Writes to its
    /// files bring no event.
    fn add_names(&self, directory: &Path) -> Result<(), WatchError>;

    /// Waits until every event that came before this call has been handed over, but no longer than
    /// half a second.
    fn take_in(&self) {}

    /// Begins a round, in which the caller adds every directory again that is to stay watched.
    fn begin_round(&self);

    /// Ends the round: what was not added since it began is watched no longer.
    fn end_round(&self);

    /// How many directories are watched with their files.
    fn directories(&self) -> u64;
}
