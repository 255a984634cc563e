//! Facts on their way: first the sink commits them, then the index takes them over together with
//! the sequence number. Owns that order, and trying again; nothing of a batch is ever given up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::losses::Believed;
use crate::core::change::{FileFact, Kind, PipelineId, Seq};
use crate::core::time::Time;
use crate::origin::index::{Edit, IndexError, OriginIndex};
use crate::origin::settings::CHUNK;
use crate::origin::tree::paths::below;
use crate::origin::watch::inbox::Inbox;
use crate::sink::{FileChange, Sink, SinkError};

/// The longest wait between two tries.
const BACKOFF: Duration = Duration::from_secs(30);
/// How often a queue that was full is tried.
const FULL: Duration = Duration::from_secs(1);

/// The process is stopping; what was not committed is found again at the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::origin) struct Stopping;

/// Facts and rows that belong together.
#[derive(Debug, Default)]
pub(in crate::origin) struct Batch {
    changes: Vec<FileChange>,
    edits: Vec<Edit>,
    /// With each, since when it waits to be looked at, if what was seen is believed only when no event
    /// has followed.
    paths: BTreeMap<Vec<u8>, Option<Time>>,
    /// New files.
    came: u64,
    /// Those that are gone, if the guard agrees.
    judged: BTreeSet<Vec<u8>>,
}

impl Batch {
    pub(super) fn contains(&self, path: &[u8]) -> bool {
        self.paths.contains_key(path)
    }

    pub(in crate::origin) fn is_full(&self) -> bool {
        self.edits.len() >= CHUNK
    }

    pub(in crate::origin) fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    pub(in crate::origin) fn add(&mut self, edit: Edit, change: Option<FileChange>) {
        self.add_seen(edit, change, None);
    }

    /// A file as it was seen; with `first`, believed only if no event has followed.
    pub(super) fn add_seen(&mut self, edit: Edit, change: Option<FileChange>, first: Option<Time>) {
        self.came += u64::from(edit.was.is_none() && change.is_some());
        let first = first.filter(|_| change.is_some());
        self.paths.insert(edit.path.clone(), first);
        self.edits.push(edit);
        self.changes.extend(change);
    }

    /// New files.
    pub(in crate::origin) const fn came(&self) -> u64 {
        self.came
    }

    /// Changes that are believed only if no event has followed, and since when they wait.
    pub(super) fn unsure(&self) -> impl Iterator<Item = (&[u8], Time)> {
        self.paths
            .iter()
            .filter_map(|(path, first)| Some((path.as_slice(), (*first)?)))
    }

    /// Gives up what was seen of these files: they are looked at again.
    pub(super) fn leave_out(&mut self, paths: &BTreeSet<Vec<u8>>) {
        if paths.is_empty() {
            return;
        }
        self.changes.retain(|change| !paths.contains(&change.path));
        let new = |edit: &Edit| edit.was.is_none() && paths.contains(&edit.path);
        let left_out = self.edits.extract_if(.., |edit| paths.contains(&edit.path));
        let came = left_out.filter(new).count();
        self.came = self
            .came
            .saturating_sub(u64::try_from(came).unwrap_or(u64::MAX));
        self.paths.retain(|path, _| !paths.contains(path));
    }

    /// A file that is gone. `judge`: only if the guard agrees.
    pub(super) fn add_gone(&mut self, edit: Edit, change: FileChange, judge: bool) {
        if judge {
            self.judged.insert(edit.path.clone());
        }
        self.add(edit, Some(change));
    }

    pub(super) fn has_gone(&self) -> bool {
        self.changes.iter().any(is_gone)
    }

    /// How many files are gone that the guard has to agree to.
    pub(super) fn judged(&self) -> u64 {
        u64::try_from(self.judged.len()).unwrap_or(u64::MAX)
    }

    /// Whether a file is gone at or below one of these paths.
    pub(super) fn gone_below(&self, places: &[Vec<u8>]) -> bool {
        let mut gone = self.changes.iter().filter(|change| is_gone(change));
        gone.any(|change| places.iter().any(|place| below(&change.path, place)))
    }

    /// Gives up what is gone and not believed: nothing is said of it, and the index keeps it.
    pub(super) fn keep_gone(&mut self, believed: Believed) {
        let judged = std::mem::take(&mut self.judged);
        let kept: BTreeSet<Vec<u8>> = match believed {
            Believed::All => return self.judged = judged,
            Believed::Accepted => judged,
            Believed::Nothing => {
                let gone = self.changes.iter().filter(|change| is_gone(change));
                gone.map(|change| change.path.clone()).collect()
            }
        };
        self.changes
            .retain(|change| !is_gone(change) || !kept.contains(&change.path));
        self.edits.retain(|edit| !kept.contains(&edit.path));
        self.paths.retain(|path, _| !kept.contains(path));
    }

    pub(in crate::origin) fn changes(&self) -> &[FileChange] {
        &self.changes
    }
}

fn is_gone(change: &FileChange) -> bool {
    change.kind == Kind::Gone
}

/// Brings batches to the sink and to the index.
pub(in crate::origin) struct Committer {
    pub(in crate::origin) pipeline: PipelineId,
    pub(in crate::origin) origin: Arc<str>,
    pub(in crate::origin) sink: Arc<dyn Sink>,
    pub(in crate::origin) index: OriginIndex,
    pub(in crate::origin) inbox: Arc<Inbox>,
    pub(in crate::origin) runtime: tokio::runtime::Handle,
    pub(in crate::origin) stopping: CancellationToken,
}

impl Committer {
    /// Commits a batch, for as long as it takes. `trouble` is called with why it did not work yet, and
    /// with `None` when it did. Returns the paths whose rows had changed meanwhile: they have to be
    /// looked at again.
    pub(in crate::origin) fn commit(
        &self,
        batch: &Batch,
        trouble: &mut dyn FnMut(Option<String>),
    ) -> Result<Vec<Vec<u8>>, Stopping> {
        let seq = if batch.changes.is_empty() {
            None
        } else {
            self.insist(trouble, || {
                self.drive(self.sink.files(&self.pipeline, batch.changes.clone()))
            })?
        };
        self.write(trouble, |index| index.apply(&batch.edits, seq))
    }

    /// Writes to the index, for as long as it takes.
    pub(in crate::origin) fn write<T>(
        &self,
        trouble: &mut dyn FnMut(Option<String>),
        write: impl Fn(&OriginIndex) -> Result<T, IndexError>,
    ) -> Result<T, Stopping> {
        self.insist(trouble, || {
            write(&self.index).map_err(|error| Refusal::Again(error.to_string()))
        })
    }

    /// Brings the index up to what was committed before a crash.
    pub(in crate::origin) fn redo(
        &self,
        trouble: &mut dyn FnMut(Option<String>),
    ) -> Result<(), Stopping> {
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
                    SinkError::NotCommitted(_)
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
