//! Manual purges.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;

use super::api::{PurgeAnswer, PurgeBody};
use super::input::Body;
use super::peer::Peer;
use super::{Admin, AdminError};
use crate::core::change::{PipelineId, Source};
use crate::explain::GlobError;
use crate::intake::{AskError, AskedTargets, parse_asset};

/// An answer lists the spellings of so many assets.
const SPELLED: usize = 1_000;

/// `POST /api/v1/purge`
pub(crate) async fn purge(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(Peer(who)): ConnectInfo<Peer>,
    Body(body): Body<PurgeBody>,
) -> Result<(StatusCode, Json<PurgeAnswer>), AdminError> {
    let detail = format!("purge by {who}");
    let answer = ask(&admin, &body, &detail, AskedTargets::Assets).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// Queues what a person asks for; `of` says how the assets are meant.
pub(crate) async fn ask(
    admin: &Admin,
    body: &PurgeBody,
    detail: &str,
    of: fn(Vec<String>) -> AskedTargets,
) -> Result<PurgeAnswer, AdminError> {
    let (id, pipeline) = admin.pipeline(&body.pipeline)?;
    let (mut assets, mut matched) = (body.assets.clone(), 0);
    if !body.globs.is_empty() && !body.all {
        let expanded = expand(admin, id.clone(), body.globs.clone()).await?;
        matched = expanded.len() as u64;
        assets.extend(expanded);
    }
    let asked = match (body.all, assets.as_slice()) {
        (true, []) if body.globs.is_empty() => AskedTargets::All,
        (false, [_, ..]) => of(assets),
        (true, _) => {
            return Err(AdminError::Invalid(
                "assets and all are given; say one of them".to_owned(),
            ));
        }
        (false, []) => {
            return Err(AdminError::Invalid(
                "neither assets nor all is given".to_owned(),
            ));
        }
    };
    let now = admin.clock.now();
    let appended = admin
        .intake
        .asked(id, asked, Source::Manual, detail, now)
        .await
        .map_err(|error| match error {
            AskError::Store(error) => AdminError::from(error),
            AskError::Full(_) => AdminError::Unavailable(error.to_string()),
            other => AdminError::Invalid(other.to_string()),
        })?;
    Ok(PurgeAnswer {
        pipeline: pipeline.name.to_string(),
        matched,
        spelled: spelled(admin, id, &body.assets),
        changes: (appended.last.0 + 1).saturating_sub(appended.first.0),
        first: appended.first.0,
        last: appended.last.0,
    })
}

/// What is purged for each of these that is not purged just as it is written.
fn spelled(admin: &Admin, id: &PipelineId, given: &[String]) -> BTreeMap<String, Vec<String>> {
    let encoding = admin.intake.pipeline(id).map(|one| one.mapping.encoding());
    let spelled = given.iter().filter_map(|text| {
        let assets = encoding?.spellings(parse_asset(text).ok()?);
        let assets: Vec<String> = assets.iter().map(ToString::to_string).collect();
        (assets != [text.as_str()]).then(|| (text.clone(), assets))
    });
    spelled.take(SPELLED).collect()
}

/// The assets of indexed files that match.
async fn expand(
    admin: &Admin,
    id: PipelineId,
    globs: Vec<String>,
) -> Result<Vec<String>, AdminError> {
    let explainer = Arc::clone(&admin.explainer);
    // It looks at the whole index.
    let expanded = tokio::task::spawn_blocking(move || {
        let pipeline = explainer.pipeline(id.as_str());
        pipeline.map_or_else(
            || Ok(BTreeSet::new()),
            |pipeline| pipeline.expand(&explainer.state, &globs),
        )
    });
    let expanded = expanded
        .await
        .map_err(|error| AdminError::Unavailable(error.to_string()))?;
    let assets = expanded.map_err(|error| match error {
        GlobError::Syntax(_) => AdminError::Invalid(error.to_string()),
        GlobError::Nothing(_) => AdminError::NotFound(error.to_string()),
        GlobError::NotIndexed(_) | GlobError::Index(_) => {
            AdminError::Unavailable(error.to_string())
        }
    })?;
    Ok(assets.iter().map(ToString::to_string).collect())
}
