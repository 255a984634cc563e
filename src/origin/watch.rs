//! The kernel's file events, behind a small trait: inotify's own names stay in here. Never decides what an
//! event means for a file.
//!
//! Events are hints. What they can't report is found by other means, and no file counts as gone because
//! it can't be seen; `docs/watching.md` has the table. A walk adds the watch of a directory before it
//! lists the directory: what came before the watch is in the list, what comes after it is an event. The
//! background scan finds what is left, and counts it in `edgepurge_drift_total`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::hints::Nature;
use crate::core::time::Time;

mod inotify;
mod labels;

pub(super) use inotify::Inotify;

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Look here. `at`: when it came, or up to some milliseconds before.
    Hint {
        path: PathBuf,
        nature: Nature,
        is_dir: bool,
        at: Time,
    },
    /// Events were dropped: look everywhere.
    Overflow,
    /// A watch ended on its own, at an unmount: look everywhere.
    Lost,
}

/// Why a directory is not watched.
#[derive(Debug, thiserror::Error)]
pub(super) enum WatchError {
    /// It is not there any more: nothing is lost.
    #[error("it is not there")]
    Missing,
    /// It can't be listed either: an event of the directory above tells when that changes.
    #[error("permission denied")]
    Denied,
    /// The limit of watches is reached; what was watched before stays so.
    #[error("the limit of watches is reached")]
    Limit,
    /// Anything else.
    #[error("{0}")]
    Other(std::io::Error),
}

/// Where a watch's events go. It must return at once.
pub(super) type Handler = Box<dyn Fn(Event) + Send + Sync + 'static>;

/// Makes watches.
pub(super) trait WatchBackend: Send + 'static {
    /// A new watch on nothing yet.
    fn open(&self, handler: Handler) -> Result<Arc<dyn Watch>, WatchError>;
}

/// A running watch; it ends when it is dropped.
///
/// It watches directories one by one, and follows none on its own: whoever lists a directory adds
/// it first, and a directory that appears, or comes under another name, is told of, so that it is
/// listed. Between the two, nothing can be missed, and what is ignored costs no watch.
pub(super) trait Watch: Send + Sync {
    /// Watches a directory: its names, and the contents and metadata of its files. `directory` has
    /// no links on its way. Once more for one that is watched already says what it is called now.
    fn add(&self, directory: &Path) -> Result<(), WatchError>;

    /// Watches a directory only for names that come and go.
    fn add_names(&self, directory: &Path) -> Result<(), WatchError>;

    /// Waits until every event that came before now has been handed over, but not for long.
    fn take_in(&self) {}

    /// A round begins, in which every directory that is to stay watched is added once more.
    fn begin_round(&self);

    /// The round is over: what was not added since it began is not watched any more.
    fn end_round(&self);

    /// How many directories are watched with their files.
    fn directories(&self) -> u64;
}
