//! Where the sources bring what they found: the seam between noticing and remembering.
//!
//! A source (`origin`, `webhook`) knows neither the mapping nor the database. It hands facts to a
//! [`Sink`], or what is asked for to [`Deliveries`], and what those have answered is on disk.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::core::change::{ContentHash, FileFact, Kind, PipelineId, Seq, Source};
use crate::core::delivery::{DeliveryProgress, DeliveryRecord, Intent, NewDelivery, Taken};
use crate::core::time::Time;

/// A file that changed, as a look found it. No asset yet: the mapping makes those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// The origin's name in its pipeline.
    pub origin: Arc<str>,
    /// The path below the origin's root, as bytes, without a leading `/`.
    pub path: Vec<u8>,
    /// New, changed or gone.
    pub kind: Kind,
    /// The hash of the new content; `None` when gone, or when only metadata is compared.
    pub hash: Option<ContentHash>,
    /// The hash of the content before, where it is known.
    pub former: Option<ContentHash>,
    /// Watch or scan.
    pub source: Source,
    /// The cause in words, for the history: a scan's reason; may be empty.
    pub detail: Arc<str>,
    /// When it was noticed: the newest event that brought the look, or else the look.
    pub seen: Time,
}

/// Why a sink did not take something. Nothing of it was kept; the source has to bring it again.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// What is behind the sink could not commit.
    #[error("the changes could not be committed: {0}")]
    NotCommitted(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The pipeline is not configured, so nothing would be purged for it.
    #[error("there is no pipeline {0} in the configuration")]
    UnknownPipeline(PipelineId),
    /// The pipeline has no such origin, so the URLs of its files are unknown.
    #[error("the pipeline {pipeline} has no origin {origin:?} in the configuration")]
    UnknownOrigin {
        /// The pipeline.
        pipeline: PipelineId,
        /// The origin's name.
        origin: Arc<str>,
    },
    /// There is no room for it now.
    #[error("{0}")]
    Full(String),
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}

/// What a sink's calls return.
pub type SinkFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, SinkError>> + Send + 'a>>;

/// Takes facts, and answers when they are committed to disk.
pub trait Sink: Send + Sync + 'static {
    /// Commits changed files of one origin and returns the last sequence number of theirs:
    /// the index may take the files over, and remember that number, only after this. Files that
    /// map to nothing are not committed, and are not an error; where none is left, there is no number.
    fn files<'a>(
        &'a self,
        pipeline: &'a PipelineId,
        changes: Vec<FileChange>,
    ) -> SinkFuture<'a, Option<Seq>>;

    /// The file facts of an origin committed after `after`, in order, at most `limit`: what the
    /// index has to be given again after a crash between the two commits (redo).
    fn facts_after<'a>(
        &'a self,
        pipeline: &'a PipelineId,
        origin: &'a str,
        after: Seq,
        limit: usize,
    ) -> SinkFuture<'a, Vec<(Seq, FileFact)>>;

    /// A scan of the pipeline's origins began or ended: a batch stays open meanwhile.
    fn scanning(&self, pipeline: &PipelineId, running: bool);
}

/// Reads what is remembered of the origins.
pub trait Remembered: Send + Sync + 'static {
    /// The first of these paths below an origin's root that is a directory, as far as files are
    /// remembered below it; `None` too where the origin was never indexed completely. Blocks.
    ///
    /// # Errors
    /// Why the index can't be read.
    fn directory(
        &self,
        pipeline: &PipelineId,
        origin: &str,
        paths: &[Vec<u8>],
    ) -> Result<Option<Vec<u8>>, String>;
}

/// Takes deliveries, and reports their states.
pub trait Deliveries: Send + Sync + 'static {
    /// Commits a delivery together with what it asks for, and answers when that is on disk.
    fn deliver(&self, delivery: NewDelivery<Intent>) -> SinkFuture<'_, Taken>;

    /// What became of the last delivery of this name; `None` when there is none, or none any more.
    fn delivery<'a>(
        &'a self,
        route: &'a str,
        event: &'a str,
    ) -> SinkFuture<'a, Option<DeliveryRecord>>;

    /// How far the last delivery of this name is, and what it waits for: takes longer.
    fn progress<'a>(
        &'a self,
        route: &'a str,
        event: &'a str,
    ) -> SinkFuture<'a, Option<DeliveryProgress>>;
}
