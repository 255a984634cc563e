//! The intake: where facts about files, and what people ask for, become changes in the store.
//!
//! It holds the mapping of each pipeline, and passes everything through it. It never decides when
//! or how something is purged, and keeps nothing: what it has answered is on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::core::asset::{Asset, AssetError};
use crate::core::change::{FileFact, Kind, NewChange, PipelineId, Seq, Source, Target};
use crate::core::mapping::{Effect, Encoding, Mapping, UrlPrefix};
use crate::core::time::Time;
use crate::core::website::Website;
use crate::sink::{FileChange, Remembered, Sink, SinkError, SinkFuture};
use crate::store::{Appended, Store, StoreError};

mod admission;
mod deliveries;
mod looks;
#[cfg(test)]
mod tests;

pub use admission::{Admission, Full};
pub use looks::{Looks, ToLook, Wanted};

/// Is notified that a scan of a pipeline's origins began (`true`) or ended.
pub type OnScanning = Arc<dyn Fn(&PipelineId, bool) + Send + Sync>;

/// What the intake has to know of an origin.
#[derive(Clone, Debug)]
pub struct IntakeOrigin {
    /// Where its files lie in the URL space.
    pub url_prefix: UrlPrefix,
    /// What the keys begin with that it serves, where it is a bucket: its objects are looked at by their names.
    pub bucket: Option<Arc<str>>,
}

/// What the intake has to know of a pipeline.
#[derive(Clone, Debug)]
pub struct IntakePipeline {
    /// How its paths become assets.
    pub mapping: Mapping,
    /// Its origins by name.
    pub origins: BTreeMap<Arc<str>, IntakeOrigin>,
}

/// What a manual purge names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskedTargets {
    /// Everything of the pipeline.
    All,
    /// These assets, as written: absolute URL paths, or `http(s)` URLs; in every spelling that is
    /// purged, where they are not spelled out.
    Assets(Vec<String>),
    /// These assets as written, and no other spelling.
    Exactly(Vec<String>),
}

/// Why something that was asked for was not taken. Nothing of it was kept.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The pipeline is not configured.
    #[error("there is no pipeline {0} in the configuration")]
    UnknownPipeline(PipelineId),
    /// Neither everything nor any asset was asked for.
    #[error("nothing to purge: name at least one asset, or ask for all")]
    Empty,
    /// Some of it is not an asset: every one that isn't, in order.
    #[error("{}", one_a_line(.0))]
    Assets(Vec<AssetError>),
    /// There is no room for it now.
    #[error("{0}")]
    Full(#[from] Full),
    /// The store could not commit.
    #[error("the changes could not be committed: {0}")]
    Store(#[from] StoreError),
}

/// Maps, and commits to a store.
#[derive(Clone)]
pub struct Intake {
    pipelines: BTreeMap<PipelineId, IntakePipeline>,
    store: Arc<Store>,
    on_scanning: OnScanning,
    admission: Arc<Admission>,
    remembered: Option<Arc<dyn Remembered>>,
    looks: Arc<Looks>,
}

impl Intake {
    /// An intake for these pipelines and no others.
    #[must_use]
    pub fn new(
        pipelines: BTreeMap<PipelineId, IntakePipeline>,
        store: Arc<Store>,
        on_scanning: OnScanning,
        clock: Clock,
    ) -> Self {
        Self {
            pipelines,
            store,
            on_scanning,
            admission: Admission::new(
                BTreeMap::new(),
                watch::Sender::new(None).subscribe(),
                watch::Sender::default().subscribe(),
            ),
            remembered: None,
            looks: Arc::new(Looks::new(clock)),
        }
    }

    /// What deliveries have looked at.
    #[must_use]
    pub const fn looks(&self) -> &Arc<Looks> {
        &self.looks
    }

    /// The same, which can distinguish a directory from a file in what a delivery lists.
    #[must_use]
    pub fn with_remembered(self, remembered: Arc<dyn Remembered>) -> Self {
        Self {
            remembered: Some(remembered),
            ..self
        }
    }

    /// The same, with doors to queues that take no more than they have room for.
    #[must_use]
    pub fn with_admission(self, admission: Arc<Admission>) -> Self {
        Self { admission, ..self }
    }

    /// What it knows of a pipeline: to explain what it would do.
    #[must_use]
    pub fn pipeline(&self, pipeline: &PipelineId) -> Option<&IntakePipeline> {
        self.pipelines.get(pipeline)
    }

    /// Commits a manual purge. `detail` says who or why, for the history.
    ///
    /// # Errors
    /// [`AskError`]; nothing is committed then.
    pub async fn asked(
        &self,
        pipeline: &PipelineId,
        targets: AskedTargets,
        source: Source,
        detail: &str,
        now: Time,
    ) -> Result<Appended, AskError> {
        let Some(known) = self.pipelines.get(pipeline) else {
            return Err(AskError::UnknownPipeline(pipeline.clone()));
        };
        let detail: Arc<str> = detail.into();
        let changes: Vec<NewChange> = targets_of(targets, known.mapping.encoding())?
            .into_iter()
            .map(|target| NewChange {
                pipeline: pipeline.clone(),
                target,
                kind: Kind::Asked,
                source,
                detail: detail.clone(),
                file: None,
                seen: now,
            })
            .collect();
        let place = self.admission.enter(pipeline, &changes).await?;
        let appended = self.store.append(changes).await?;
        place.committed(appended.last);
        Ok(appended)
    }
}

impl IntakePipeline {
    /// What of a website the mapping does not purge, and what to write; nothing where the origin is no bucket.
    #[must_use]
    pub fn uncovered(&self, origin: &str, website: &Website) -> Vec<String> {
        let origin = self.origins.get(origin);
        let prefixes = origin.and_then(|one| Some((&one.url_prefix, one.bucket.as_deref()?)));
        prefixes.map_or_else(Vec::new, |(urls, keys)| {
            website.uncovered(&self.mapping, urls, keys)
        })
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake")
            .field("pipelines", &self.pipelines)
            .finish_non_exhaustive()
    }
}

impl From<StoreError> for SinkError {
    fn from(error: StoreError) -> Self {
        Self::NotCommitted(Box::new(error))
    }
}

impl Sink for Intake {
    fn files<'a>(
        &'a self,
        pipeline: &'a PipelineId,
        changes: Vec<FileChange>,
    ) -> SinkFuture<'a, Option<Seq>> {
        Box::pin(async move {
            let Some(known) = self.pipelines.get(pipeline) else {
                return Err(SinkError::UnknownPipeline(pipeline.clone()));
            };
            let mut new = Vec::with_capacity(changes.len());
            for change in changes {
                new.extend(changes_of(pipeline, known, change)?);
            }
            if new.is_empty() {
                return Ok(None);
            }
            let place = self.admission.enter(pipeline, &new).await?;
            let last = self.store.append(new).await?.last;
            place.committed(last);
            Ok(Some(last))
        })
    }

    fn facts_after<'a>(
        &'a self,
        pipeline: &'a PipelineId,
        origin: &'a str,
        after: Seq,
        limit: usize,
    ) -> SinkFuture<'a, Vec<(Seq, FileFact)>> {
        Box::pin(async move {
            let facts = self
                .store
                .facts_after(pipeline.clone(), origin.to_owned(), after, limit)
                .await?;
            Ok(facts)
        })
    }

    fn scanning(&self, pipeline: &PipelineId, running: bool) {
        (self.on_scanning)(pipeline, running);
    }
}

/// The changes that one changed file makes: one for each asset, each with the file behind it.
fn changes_of(
    pipeline: &PipelineId,
    known: &IntakePipeline,
    change: FileChange,
) -> Result<Vec<NewChange>, SinkError> {
    let Some(origin) = known.origins.get(&change.origin) else {
        return Err(SinkError::UnknownOrigin {
            pipeline: pipeline.clone(),
            origin: change.origin,
        });
    };
    let mapped = known
        .mapping
        .effect(&origin.url_prefix, &change.path, change.kind);
    for error in &mapped.refused {
        tracing::warn!(
            pipeline = %pipeline,
            origin = %change.origin,
            "an asset of a changed file is left out, since no request can name it: {error}"
        );
    }
    let (targets, detail): (Vec<_>, _) = match mapped.effect {
        Effect::Nothing => return Ok(Vec::new()),
        Effect::All => (vec![Target::All], mapped.decided.to_string().into()),
        Effect::Assets(assets) => (
            assets.into_iter().map(Target::Asset).collect(),
            change.detail,
        ),
    };
    let file = FileFact {
        origin: change.origin,
        path: change.path,
        hash: change.hash,
        former: change.former,
    };
    let changes = targets.into_iter().map(|target| NewChange {
        pipeline: pipeline.clone(),
        target,
        kind: change.kind,
        source: change.source,
        detail: Arc::clone(&detail),
        file: Some(file.clone()),
        seen: change.seen,
    });
    Ok(changes.collect())
}

/// What is asked for as targets: each once, in the spellings that are purged.
fn targets_of(asked: AskedTargets, encoding: Encoding) -> Result<Vec<Target>, AskError> {
    let (texts, encoding) = match asked {
        AskedTargets::All => return Ok(vec![Target::All]),
        AskedTargets::Assets(texts) => (texts, encoding),
        AskedTargets::Exactly(texts) => (texts, Encoding::Canonical),
    };
    if texts.is_empty() {
        return Err(AskError::Empty);
    }
    let mut assets = BTreeSet::new();
    let mut errors = Vec::new();
    for text in texts {
        match parse_asset(&text) {
            Ok(asset) => assets.extend(encoding.spellings(asset)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(assets.into_iter().map(Target::Asset).collect())
    } else {
        Err(AskError::Assets(errors))
    }
}

/// The asset that a person means: an absolute URL path, or an `http(s)` URL.
///
/// # Errors
/// When it is neither.
pub fn parse_asset(text: &str) -> Result<Asset, AssetError> {
    // A path may hold `://` in its query, a URL never starts with a slash.
    if !text.starts_with('/') && text.contains("://") {
        Asset::parse_url(text)
    } else {
        Asset::parse(text)
    }
}

fn one_a_line(errors: &[AssetError]) -> String {
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
