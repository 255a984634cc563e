//! An origin that is a bucket of Object Storage. Nothing reports its changes, so it is listed: every
//! [`BucketOrigin::poll`], and at once for whatever asks for a scan.
//!
//! 1. **List.** Pages come in the order of the keys and are merged with the rows of the index, so that a page
//!    is in memory and no more (`listing.rs`); of a large bucket, that of several ranges (`range.rs`). The difference is always the whole one, by key: a time is never
//!    a mark up to which everything is known.
//! 2. **Compare.** `compare.rs`, which is pure, says what an object means beside its row. The `ETag` is opaque.
//!    Where it is the same and the time is another, the headers are asked for, and those compared that a cache
//!    keeps (`s3/object.rs`).
//! 3. **Gone** is what a complete listing lacks and the server then says that it does not have; `core/loss.rs`
//!    guards it (`absent.rs`). A listing that breaks off, a key that is refused, a bucket that is not there are
//!    alarms, and nothing is gone.
//! 4. **Named.** Objects that a delivery names are asked for and judged in the same way, without a listing
//!    (`named.rs`).
//! 5. **Headers** of what is new are read in the background (`headers.rs`). Until they are, an object that is
//!    written again counts as changed.
//!
//! The index's row of an object has its size, its time (`mtime_ns`), a digest of its headers (`ctime_ns`, the
//! state of its metadata) and of its `ETag` (`hash`), which facts have too: it is none of the bytes, and the
//! probe of the edge makes it of what comes (`core/etag.rs`).

mod absent;
mod compare;
mod cost;
mod differences;
mod headers;
mod keys;
mod listing;
mod named;
mod range;
mod reach;
mod report;
mod storage;
#[cfg(test)]
mod tests;
mod tries;
mod walker;

use std::sync::Arc;
use std::time::Duration;

use crate::core::change::PipelineId;
use crate::origin::settings::ScanObserver;
use crate::s3::BucketSettings;

pub use cost::Cost;
pub use differences::bucket_differences;
pub use keys::path_of_key;
pub use reach::{Reach, reach};
pub(super) use storage::Remote;
pub(super) use walker::{Pace, Parts, Walker};

/// One bucket that is an origin of one pipeline.
#[derive(Clone, Debug)]
pub struct BucketOrigin {
    /// The pipeline that serves these objects.
    pub pipeline: PipelineId,
    /// The origin's name in its pipeline.
    pub name: Arc<str>,
    /// The bucket.
    pub bucket: BucketSettings,
    /// Time between the end of a listing and the next one; ten times what a listing took, if that is longer.
    pub poll: Duration,
    /// More than this share of the objects (and more than 20) gone at once is an alarm, in percent.
    pub max_loss_percent: u8,
    /// Patterns in gitignore syntax, added to the built-in list.
    pub ignore: Vec<String>,
    /// What observes every listing that ended.
    pub observer: Option<Arc<dyn ScanObserver>>,
}
