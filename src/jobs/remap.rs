//! A changed mapping: a digest of a node's mapping is in the queue. If it differs at a start, the node's files whose
//! changes are not settled get the assets of the new mapping too, and keep those of the old one. Of a fleet, each node
//! does that for its own files when it starts with the new mapping: until then it queues by the old one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::{Config, Pipeline};
use crate::core::change::{Kind, NewChange, PipelineId, Seq, Target};
use crate::core::mapping::{Effect, REVISION};
use crate::intake::{Intake, IntakePipeline};
use crate::store::{Store, StoreError};

/// Changes looked at and committed at once.
const PAGE: usize = 1_000;

/// Adds what the mappings of now say of the files whose changes are not settled, where the mapping
/// is another than at the last start. A crash in between adds it once more, which costs nothing.
pub(crate) async fn remap(
    config: &Config,
    store: &Arc<Store>,
    intake: &Intake,
) -> Result<(), StoreError> {
    for pipeline in &config.pipelines {
        let Some(known) = intake.pipeline(&pipeline.id) else {
            continue;
        };
        let key = format!("mapping:{}:{}", store.node().0, pipeline.id);
        let digest = digest(pipeline);
        let before = match store.noted(key.clone()).await? {
            // As it was called when a queue had one node.
            None => store.noted(format!("mapping:{}", pipeline.id)).await?,
            known => known,
        };
        if before.as_ref() == Some(&digest) {
            continue;
        }
        // A pipeline that was never seen has nothing queued by another mapping.
        if before.is_some() {
            let added = add(store, &pipeline.id, known).await?;
            if added > 0 {
                tracing::info!(
                    pipeline = pipeline.name,
                    changes = added,
                    "the mapping changed: its assets of what is queued are queued too"
                );
            }
        }
        store.note(key, digest).await?;
    }
    Ok(())
}

/// What says how a pipeline's files become assets.
fn digest(pipeline: &Pipeline) -> String {
    let origins = pipeline.origins.iter();
    let prefixes: Vec<_> = origins.map(|one| (&one.name, &one.url_prefix)).collect();
    let (rules, pages, encoding) = (&pipeline.rules, pipeline.pages, pipeline.encoding);
    let mapping = (REVISION, rules, pages, encoding, prefixes);
    blake3::hash(format!("{mapping:?}").as_bytes()).to_string()
}

async fn add(
    store: &Arc<Store>,
    id: &PipelineId,
    known: &IntakePipeline,
) -> Result<usize, StoreError> {
    let (mut after, mut added) = (Seq(0), 0);
    // What is added has no file, and so is not found again.
    loop {
        let rows = store.queued_files(id.clone(), after, PAGE).await?;
        let Some((last, _)) = rows.last() else {
            return Ok(added);
        };
        after = *last;
        let mut there: BTreeSet<(Vec<u8>, Target)> = rows
            .iter()
            .filter_map(|(_, row)| Some((row.file.as_ref()?.path.clone(), row.target.clone())))
            .collect();
        let mut new: Vec<NewChange> = Vec::new();
        for (_, row) in rows {
            let Some(file) = &row.file else { continue };
            for target in targets(known, &file.origin, &file.path, row.kind) {
                if there.insert((file.path.clone(), target.clone())) {
                    new.push(NewChange {
                        target,
                        // The index knows of the file, or will, by the first change.
                        file: None,
                        ..row.clone()
                    });
                }
            }
        }
        added += new.len();
        store.append(new).await?;
    }
}

fn targets(known: &IntakePipeline, origin: &str, path: &[u8], kind: Kind) -> Vec<Target> {
    let Some(origin) = known.origins.get(origin) else {
        return Vec::new();
    };
    let mapped = known.mapping.effect(&origin.url_prefix, path, kind);
    match mapped.effect {
        Effect::Nothing => Vec::new(),
        Effect::All => vec![Target::All],
        Effect::Assets(assets) => assets.into_iter().map(Target::Asset).collect(),
    }
}
