//! Where facts become queued changes: the mapping is applied, the store commits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::core::asset::{Asset, AssetError};
use crate::core::change::{FileFact, Kind, NewChange, PipelineId, Seq, Source, Target};
use crate::core::mapping::{Effect, Mapping};
use crate::core::time::Time;
use crate::sink::{FileChange, Sink, SinkError, SinkFuture};
use crate::store::{Appended, Store, StoreError};

/// Told when a scan of a pipeline's origins begins (`true`) and ends.
pub type ScanListener = Arc<dyn Fn(&PipelineId, bool) + Send + Sync>;

/// What the intake knows of a pipeline.
#[derive(Clone, Debug)]
pub struct IntakePipeline {
    /// Its rules and settings.
    pub mapping: Mapping,
    /// Each origin's `url_prefix`, by the origin's name.
    pub prefixes: BTreeMap<String, String>,
}

/// What a person or a program asks to be purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Assets, or URLs of them.
    Assets(Vec<String>),
    /// Everything.
    All,
}

/// Why what was asked for can't be queued. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Some of the assets are none.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Assets(Vec<AssetError>),
    /// There is no such pipeline.
    #[error("pipeline {0} is not in the config")]
    Unknown(PipelineId),
    /// It could not be committed.
    #[error("it could not be committed: {0}")]
    Store(#[from] StoreError),
}

/// Applies the mapping, and commits.
pub struct Intake {
    pipelines: BTreeMap<PipelineId, IntakePipeline>,
    store: Arc<dyn Store>,
    scanning: ScanListener,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake")
            .field("pipelines", &self.pipelines)
            .finish_non_exhaustive()
    }
}

impl Intake {
    /// An intake for these pipelines.
    #[must_use]
    pub fn new(
        pipelines: BTreeMap<PipelineId, IntakePipeline>,
        store: Arc<dyn Store>,
        scanning: ScanListener,
    ) -> Self {
        Self {
            pipelines,
            store,
            scanning,
        }
    }

    /// Queues what was asked for: all of it, or nothing.
    ///
    /// # Errors
    /// When an asset is none (all bad ones are named), or the store does not commit.
    pub async fn asked(
        &self,
        pipeline: &PipelineId,
        asked: Asked,
        source: Source,
        detail: Arc<str>,
        now: Time,
    ) -> Result<Appended, AskError> {
        let known = self
            .pipelines
            .get(pipeline)
            .ok_or_else(|| AskError::Unknown(pipeline.clone()))?;
        let targets: Vec<Target> = match asked {
            Asked::All => vec![Target::All],
            Asked::Assets(texts) => known
                .mapping
                .spellings(parse_all(&texts)?)
                .into_iter()
                .map(Target::Asset)
                .collect(),
        };
        let changes = targets
            .into_iter()
            .map(|target| NewChange {
                pipeline: pipeline.clone(),
                target,
                kind: Kind::Asked,
                source,
                detail: Arc::clone(&detail),
                file: None,
                seen: now,
            })
            .collect();
        Ok(self.store.append(changes).await?)
    }
}

fn parse_all(texts: &[String]) -> Result<BTreeSet<Asset>, AskError> {
    let mut assets = BTreeSet::new();
    let mut errors = Vec::new();
    for text in texts {
        let parsed = if text.contains("://") && !text.starts_with('/') {
            Asset::parse_url(text)
        } else {
            Asset::parse(text)
        };
        match parsed {
            Ok(asset) => drop(assets.insert(asset)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(assets)
    } else {
        Err(AskError::Assets(errors))
    }
}

/// The changes that a changed file makes, one for each asset.
fn changes_of(
    pipeline: &PipelineId,
    known: &IntakePipeline,
    file: FileChange,
    changes: &mut Vec<NewChange>,
) {
    let prefix = known
        .prefixes
        .get(&*file.origin)
        .map_or("/", |prefix| prefix);
    let (effect, rule) = known.mapping.effect(prefix, &file.path, file.kind);
    let (targets, detail): (Vec<Target>, Arc<str>) = match effect {
        Effect::Nothing => return,
        Effect::Assets(assets) => (assets.into_iter().map(Target::Asset).collect(), file.detail),
        Effect::All => {
            let globs = rule.map_or(&[][..], |rule| known.mapping.rule_globs(rule));
            let path = String::from_utf8_lossy(&file.path);
            let detail = format!("rule {} for {}", globs.join(", "), path.escape_debug());
            (vec![Target::All], detail.into())
        }
    };
    let fact = FileFact {
        origin: file.origin,
        path: file.path,
        hash: file.hash,
    };
    changes.extend(targets.into_iter().map(|target| NewChange {
        pipeline: pipeline.clone(),
        target,
        kind: file.kind,
        source: file.source,
        detail: Arc::clone(&detail),
        file: Some(fact.clone()),
        seen: file.seen,
    }));
}

impl Sink for Intake {
    fn files<'a>(
        &'a self,
        pipeline: &'a PipelineId,
        files: Vec<FileChange>,
    ) -> SinkFuture<'a, Seq> {
        Box::pin(async move {
            let mut changes = Vec::new();
            match self.pipelines.get(pipeline) {
                Some(known) => {
                    for file in files {
                        changes_of(pipeline, known, file, &mut changes);
                    }
                }
                None => {
                    let why = format!("pipeline {pipeline} is not in the config");
                    return Err(SinkError::Store(StoreError::Failed(why)));
                }
            }
            Ok(self.store.append(changes).await?.last)
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
                .facts_after(pipeline.clone(), origin.to_owned(), after, limit);
            Ok(facts.await?)
        })
    }

    fn scanning(&self, pipeline: &PipelineId, running: bool) {
        (self.scanning)(pipeline, running);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::mapping::{Encoding, Pages, Rule, RulePurge};
    use crate::store::memory::MemoryStore;

    const WWW: &str = "11111111-1111-4111-8111-111111111111";

    fn intake() -> (Intake, Arc<MemoryStore>) {
        let rules = vec![
            Rule {
                globs: vec!["templates/**".to_owned()],
                on: vec![Kind::Changed],
                purge: RulePurge::All,
            },
            Rule {
                globs: vec!["drafts/**".to_owned()],
                on: vec![Kind::New, Kind::Changed, Kind::Gone],
                purge: RulePurge::Nothing,
            },
        ];
        let known = IntakePipeline {
            mapping: Mapping::new(rules, Pages::Directory, Encoding::Both).unwrap(),
            prefixes: [("docs".to_owned(), "/docs/".to_owned())].into(),
        };
        let store = Arc::new(MemoryStore::default());
        let pipelines = [(PipelineId::new(WWW), known)].into();
        let intake = Intake::new(pipelines, Arc::clone(&store) as _, Arc::new(|_, _| {}));
        (intake, store)
    }

    fn file(path: &str) -> FileChange {
        FileChange {
            origin: "docs".into(),
            path: path.into(),
            kind: Kind::Changed,
            hash: Some([7; 32]),
            source: Source::Watch,
            detail: "".into(),
            seen: Time::from_millis(5),
        }
    }

    async fn queued(store: &MemoryStore) -> Vec<String> {
        let rows = store.queued_after(Seq(0), 100).await.unwrap();
        rows.into_iter()
            .map(|row| match row.target {
                Target::Asset(asset) => asset.to_string(),
                Target::All => format!("all: {}", row.detail),
            })
            .collect()
    }

    #[tokio::test]
    async fn a_file_is_queued_as_its_assets_with_its_fact() {
        let (intake, store) = intake();
        let pipeline = PipelineId::new(WWW);
        let files = vec![file("index.html"), file("drafts/x"), file("templates/base")];
        let last = intake.files(&pipeline, files).await.unwrap();
        assert_eq!(last, Seq(4));
        assert_eq!(
            queued(&store).await,
            [
                "/docs",
                "/docs/",
                "/docs/index.html",
                "all: rule templates/** for templates/base"
            ]
        );
        let facts = intake
            .facts_after(&pipeline, "docs", Seq(0), 9)
            .await
            .unwrap();
        assert_eq!(facts.len(), 4);
        assert_eq!(facts[0].1.path, b"index.html");
    }

    #[tokio::test]
    async fn what_is_asked_for_is_queued_whole_or_not_at_all() {
        let (intake, store) = intake();
        let pipeline = PipelineId::new(WWW);
        let ask = async |texts: &[&str]| {
            let texts = texts.iter().map(ToString::to_string).collect();
            intake
                .asked(
                    &pipeline,
                    Asked::Assets(texts),
                    Source::Manual,
                    "".into(),
                    Time::ZERO,
                )
                .await
        };
        let error = ask(&["/good", "bad", "/a/../b"])
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`bad`") && error.contains("`/a/../b`"),
            "{error}"
        );
        assert_eq!(queued(&store).await, Vec::<String>::new());
        ask(&["/a%5B1%5D", "https://example.com/x?y=1"])
            .await
            .unwrap();
        assert_eq!(queued(&store).await, ["/a%5B1%5D", "/a[1]", "/x?y=1"]);
    }

    #[tokio::test]
    async fn a_failing_store_is_an_error_and_an_unknown_pipeline_too() {
        let (intake, store) = intake();
        store.fail_next(1);
        let pipeline = PipelineId::new(WWW);
        assert!(intake.files(&pipeline, vec![file("a")]).await.is_err());
        let other = PipelineId::new("other");
        assert!(intake.files(&other, vec![file("a")]).await.is_err());
        assert_eq!(queued(&store).await, Vec::<String>::new());
    }
}
