//! Explaining: what a file's change purges, which files an asset stands for, and its last purges.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::api::{AssetExplained, ExplainAnswer, ExplainQuery, PURGES};
use super::input::Query;
use super::status::known;
use super::{Admin, AdminError, divergence};
use crate::core::agreement::{Compared, File, live};
use crate::core::asset::Asset;
use crate::core::change::{PipelineId, Seq};
use crate::explain::{FileExplained, host_of};
use crate::intake::parse_asset;
use crate::store::AssetHistory;

/// `GET /api/v1/explain`
pub(crate) async fn explain(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<ExplainAnswer>, AdminError> {
    let host = query.asset.as_deref().and_then(host_of);
    let wanted: Vec<PipelineId> = if let Some(name) = &query.pipeline {
        vec![admin.pipeline(name)?.0.clone()]
    } else {
        let serving = admin.explainer.of_host(host.as_deref());
        let known = admin.pipelines.keys();
        let known = known.filter(|id| serving.iter().any(|one| one.id == **id));
        known.cloned().collect()
    };
    let invalid = |error: &dyn std::fmt::Display| AdminError::Invalid(error.to_string());
    match (query.asset, query.path) {
        (Some(asset), None) => {
            let asset = parse_asset(&asset).map_err(|error| invalid(&error))?;
            let mut assets = Vec::new();
            for id in wanted {
                let explained = admin.explainer.pipeline(id.as_str());
                let other = explained.and_then(|one| one.other_host(host.as_deref()?));
                let mut found = one(&admin, id, asset.clone(), query.history_only).await?;
                found.other_host = other;
                assets.push(found);
            }
            let files = Vec::new();
            Ok(Json(ExplainAnswer { files, assets }))
        }
        (None, Some(path)) => {
            // It looks at the disk, which may hang.
            let explainer = Arc::clone(&admin.explainer);
            let looked = tokio::task::spawn_blocking(move || explainer.file(&path)).await;
            let mut files = looked
                .map_err(|error| AdminError::Unavailable(error.to_string()))?
                .map_err(|error| invalid(&error))?;
            files.retain(|file| wanted.iter().any(|id| admin.name(id) == file.pipeline));
            for file in &mut files {
                file.diverged = diverged(&admin, file);
            }
            let assets = Vec::new();
            Ok(Json(ExplainAnswer { files, assets }))
        }
        _ => Err(AdminError::Invalid(
            "say either asset or path: what is to be explained".to_owned(),
        )),
    }
}

/// How a file is diverged from those of other nodes, as far as this one knows.
fn diverged(admin: &Admin, file: &FileExplained) -> Vec<String> {
    let of = File {
        origin: file.origin.as_str().into(),
        path: file.path.clone().into_bytes(),
    };
    let pipeline = admin.pipeline(&file.pipeline).ok();
    pipeline.map_or_else(Vec::new, |(id, _)| divergence::of_file(admin, id, &of))
}

async fn one(
    admin: &Admin,
    id: PipelineId,
    asset: Asset,
    history_only: bool,
) -> Result<AssetExplained, AdminError> {
    let history = admin.store.purges_of(id.clone(), asset.clone(), PURGES);
    let history = history.await?;
    let not_yet_on = not_yet_on(admin, &id, &history).await?;
    let (explainer, of) = (Arc::clone(&admin.explainer), asset.clone());
    let name = admin.name(&id);
    // It looks at the whole index.
    let stands_for = tokio::task::spawn_blocking(move || {
        let pipeline = explainer.pipeline(id.as_str()).filter(|_| !history_only)?;
        Some(pipeline.files_of(&explainer.state, &of))
    });
    let unavailable = |why: String| AdminError::Unavailable(why);
    let stands_for = stands_for
        .await
        .map_err(|error| unavailable(error.to_string()))?
        .transpose()
        .map_err(|error| unavailable(error.to_string()))?;
    Ok(AssetExplained {
        pipeline: name,
        asset: asset.to_string(),
        other_host: None,
        stands_for,
        history: Some(history),
        not_yet_on,
    })
}

/// The nodes that live and have not got the files yet whose changes are queued.
async fn not_yet_on(
    admin: &Admin,
    id: &PipelineId,
    history: &AssetHistory,
) -> Result<Vec<String>, AdminError> {
    let waiting = history.waiting.iter();
    let queued = waiting.filter(|change| change.stage == "queued" && change.file.is_some());
    let queued: Vec<Seq> = queued.map(|change| change.seq).collect();
    let nodes = admin.nodes();
    if nodes.is_empty() || queued.is_empty() {
        return Ok(Vec::new());
    }
    let members = live(&nodes, known(admin.store.members().await)?).remove(id);
    let lacks = |(name, node): (Arc<str>, Compared)| {
        let lacks = queued.iter().any(|seq| !node.has(*seq, *seq));
        lacks.then(|| name.to_string())
    };
    Ok(members.into_iter().flatten().filter_map(lacks).collect())
}
