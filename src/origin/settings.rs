//! The settings of an origin. Built from the configuration elsewhere; nothing here reads files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::change::PipelineId;

/// How a file is compared with the index once its stat differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// By the hash of its bytes: a rewrite of the same bytes is no change.
    Content,
    /// By size, modification time and inode: nothing is read.
    Metadata,
}

/// How changes are noticed between scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchMode {
    /// By file events where the filesystem has them, else as [`WatchMode::Poll`].
    Auto,
    /// By a scan every [`POLL`].
    Poll,
    /// Not at all: only the background scan and scans that are asked for.
    Off,
}

/// Which symbolic links below the root are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FollowSymlinks {
    /// All.
    Any,
    /// Those whose target lies below the root.
    Root,
    /// None: a link is as good as absent.
    No,
}

/// One origin of one pipeline.
#[derive(Clone, Debug)]
pub struct OriginSettings {
    /// The pipeline that serves these files.
    pub pipeline: PipelineId,
    /// The origin's name in its pipeline.
    pub name: Arc<str>,
    /// The directory; may be, or lie behind, a symbolic link.
    pub root: PathBuf,
    /// How files are compared.
    pub compare: Compare,
    /// How changes are noticed.
    pub watch: WatchMode,
    /// Time between the end of a scan and the next one in the background.
    pub rescan: Duration,
    /// How long a file may be in writing before it is looked at all the same.
    pub write_wait: Duration,
    /// How long a file has to be absent to be gone.
    pub gone_after: Duration,
    /// More than this share of the files (and more than 20) gone at once is an alarm, in percent.
    pub max_loss_percent: u8,
    /// Which symbolic links are followed.
    pub follow_symlinks: FollowSymlinks,
    /// The number of the web server's group: what that may read counts, as what others may.
    pub web_group: Option<u32>,
    /// Patterns in gitignore syntax, added to the built-in list.
    pub ignore: Vec<String>,
    /// A directory of edgepurge's own, for files whose events prove that all earlier ones came.
    pub cookies: PathBuf,
    /// What takes the duration of every scan that ended.
    pub observer: Option<Arc<dyn ScanObserver>>,
}

/// Takes how long scans took.
pub trait ScanObserver: std::fmt::Debug + Send + Sync {
    /// A scan of the whole origin ended.
    fn scanned(&self, took: Duration);
}

/// Without events, an origin is scanned this often; a scan that takes long is given ten times its
/// own duration before the next.
pub const POLL: Duration = Duration::from_secs(5);

/// No look before a path had this long no further event.
pub(super) const QUIET: Duration = Duration::from_millis(50);

/// Events that never pause put a look off for at most this long.
pub(super) const QUIET_AT_MOST: Duration = Duration::from_secs(1);

/// A file whose size and modification time stayed the same for this long is no longer in writing.
pub(super) const SETTLED: Duration = Duration::from_secs(1);

/// Two writes closer together than this may leave the same times behind on a filesystem with
/// one-second times: what such a one writes has no part below a second.
pub(super) const RACY: Duration = Duration::from_secs(2);

/// The same where times are finer: the kernel's clock for them ticks every 10 ms at most (before
/// multigrain timestamps), and this is well above. Shorter than [`QUIET`], so that most files need
/// one look only.
pub(super) const RACY_FINE: Duration = Duration::from_millis(40);

/// How often the identity of the root is checked: one stat.
pub(super) const ROOT_CHECK: Duration = Duration::from_secs(2);

/// At most this many changes go to the sink in one call.
pub(super) const CHUNK: usize = 500;
