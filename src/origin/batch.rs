//! Facts on their way: first the sink commits them, then the index takes them over together with
//! the sequence number. Owns that order, and trying again; nothing of a batch is ever given up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::inbox::Inbox;
use super::index::{Edit, IndexError, OriginIndex};
use super::settings::CHUNK;
use crate::core::change::{FileFact, Kind, PipelineId, Seq};
use crate::sink::{FileChange, Sink, SinkError};

/// The longest wait between two tries.
const BACKOFF: Duration = Duration::from_secs(30);
/// How often a queue that was full is tried.
const FULL: Duration = Duration::from_secs(1);

/// The process is stopping; what was not committed is found again at the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stopping;

/// Facts and rows that belong together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    changes: Vec<FileChange>,
    edits: Vec<Edit>,
    paths: BTreeSet<Vec<u8>>,
}

impl Batch {
    pub(super) fn contains(&self, path: &[u8]) -> bool {
        self.paths.contains(path)
    }

    pub(super) fn is_full(&self) -> bool {
        self.edits.len() >= CHUNK
    }

    pub(super) fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    pub(super) fn add(&mut self, edit: Edit, change: Option<FileChange>) {
        self.paths.insert(edit.path.clone());
        self.edits.push(edit);
        self.changes.extend(change);
    }

    pub(super) fn has_gone(&self) -> bool {
        self.gone() > 0
    }

    /// How many of the changes are files that are gone.
    pub(super) fn gone(&self) -> u64 {
        let gone = self
            .changes
            .iter()
            .filter(|change| change.kind == Kind::Gone);
        u64::try_from(gone.count()).unwrap_or(u64::MAX)
    }

    /// Gives up what is gone: nobody may be told, and the index keeps it.
    pub(super) fn keep_gone(&mut self) {
        let gone: BTreeSet<Vec<u8>> = self
            .changes
            .extract_if(.., |change| change.kind == Kind::Gone)
            .map(|change| change.path)
            .collect();
        self.edits.retain(|edit| !gone.contains(&edit.path));
        self.paths.retain(|path| !gone.contains(path));
    }

    pub(super) fn changes(&self) -> &[FileChange] {
        &self.changes
    }
}

/// Brings batches to the sink and to the index.
pub(super) struct Committer {
    pub(super) pipeline: PipelineId,
    pub(super) origin: Arc<str>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) index: OriginIndex,
    pub(super) inbox: Arc<Inbox>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) stopping: CancellationToken,
}

impl Committer {
    /// Commits a batch, for as long as it takes. `trouble` hears why it did not work yet, and
    /// `None` when it did. Returns the paths whose rows had changed meanwhile: they have to be
    /// looked at again.
    pub(super) fn commit(
        &self,
        batch: &Batch,
        trouble: &mut dyn FnMut(Option<String>),
    ) -> Result<Vec<Vec<u8>>, Stopping> {
        let seq = if batch.changes.is_empty() {
            None
        } else {
            Some(self.insist(trouble, || {
                self.drive(self.sink.files(&self.pipeline, batch.changes.clone()))
            })?)
        };
        self.write(trouble, |index| index.apply(&batch.edits, seq))
    }

    /// Writes to the index, for as long as it takes.
    pub(super) fn write<T>(
        &self,
        trouble: &mut dyn FnMut(Option<String>),
        write: impl Fn(&OriginIndex) -> Result<T, IndexError>,
    ) -> Result<T, Stopping> {
        self.insist(trouble, || {
            write(&self.index).map_err(|error| Refusal::Again(error.to_string()))
        })
    }

    /// Brings the index up to what was committed before a crash.
    pub(super) fn redo(&self, trouble: &mut dyn FnMut(Option<String>)) -> Result<(), Stopping> {
        loop {
            let again = |error: IndexError| Refusal::Again(error.to_string());
            let after = self
                .insist(trouble, || self.index.progress().map_err(again))?
                .0;
            let facts: Vec<(Seq, FileFact)> = self.insist(trouble, || {
                self.drive(
                    self.sink
                        .facts_after(&self.pipeline, &self.origin, after, CHUNK),
                )
            })?;
            if facts.is_empty() {
                return Ok(());
            }
            self.insist(trouble, || self.index.redo(&facts).map_err(again))?;
        }
    }

    fn drive<T>(&self, future: impl Future<Output = Result<T, SinkError>>) -> Result<T, Refusal> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                answer = future => answer.map_err(|error| match error {
                    SinkError::Stopping => Refusal::Stopping,
                    SinkError::Full(_) => Refusal::Full(error.to_string()),
                    SinkError::Store(_)
                    | SinkError::UnknownPipeline(_)
                    | SinkError::UnknownOrigin { .. } => Refusal::Again(error.to_string()),
                }),
                () = self.stopping.cancelled() => Err(Refusal::Stopping),
            }
        })
    }

    fn insist<T>(
        &self,
        trouble: &mut dyn FnMut(Option<String>),
        mut attempt: impl FnMut() -> Result<T, Refusal>,
    ) -> Result<T, Stopping> {
        let mut wait = Duration::from_millis(100);
        loop {
            match attempt() {
                Ok(answer) => {
                    trouble(None);
                    return Ok(answer);
                }
                Err(Refusal::Stopping) => return Err(Stopping),
                Err(Refusal::Again(why)) => {
                    trouble(Some(why));
                    if !self.inbox.pause(wait) {
                        return Err(Stopping);
                    }
                    wait = (wait * 2).min(BACKOFF);
                }
                // There may be room at any moment.
                Err(Refusal::Full(why)) => {
                    trouble(Some(why));
                    if !self.inbox.pause(FULL) {
                        return Err(Stopping);
                    }
                }
            }
        }
    }
}

enum Refusal {
    Again(String),
    Full(String),
    Stopping,
}
