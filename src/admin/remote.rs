//! The purge-request API as it is, through the daemon and its rate limit.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use serde::Deserialize;
use serde_json::Value;

use super::api::PurgeBody;
use super::input::{Body, Query, Segment};
use super::peer::Peer;
use super::purge::ask;
use super::{Admin, AdminError};
use crate::core::change::{PipelineId, Seq};
use crate::intake::AskedTargets;
use crate::scaleway::{CreateTarget, ListQuery, OrderBy};
use crate::store::{RequestFilter, Slice};

/// How long a manual request may take until the API has it; after that it goes on without its asker.
const ACCEPTANCE: Duration = Duration::from_secs(30);
/// How often the history is read meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// The API's own filters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoteQuery {
    order_by: Option<String>,
    page: Option<u32>,
    page_size: Option<u32>,
    organization_id: Option<String>,
    project_id: Option<String>,
    pipeline_id: Option<String>,
}

impl RemoteQuery {
    fn into_list(self) -> Result<ListQuery, AdminError> {
        let order_by = match self.order_by.as_deref() {
            None => None,
            Some("created_at_asc") => Some(OrderBy::CreatedAtAsc),
            Some("created_at_desc") => Some(OrderBy::CreatedAtDesc),
            Some(other) => {
                return Err(AdminError::Invalid(format!(
                    "order_by `{other}` is neither created_at_asc nor created_at_desc"
                )));
            }
        };
        Ok(ListQuery {
            order_by,
            page: self.page,
            page_size: self.page_size,
            organization_id: self.organization_id,
            project_id: self.project_id,
            pipeline_id: self.pipeline_id,
        })
    }
}

/// `GET /api/v1/purge-requests`
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<RemoteQuery>,
) -> Result<Json<Value>, AdminError> {
    let query = query.into_list()?;
    let reply = admin.client.list(&query).await;
    reply
        .map(|reply| Json(reply.json))
        .map_err(AdminError::Refused)
}

/// `GET /api/v1/purge-requests/{id}`
pub(super) async fn get(
    State(admin): State<Arc<Admin>>,
    Segment(id): Segment<String>,
) -> Result<Json<Value>, AdminError> {
    let reply = admin.client.get(&id).await;
    reply
        .map(|reply| Json(reply.json))
        .map_err(AdminError::Refused)
}

/// `GET /api/v1/edge-pipelines/{id}`: a pipeline, as the API has it.
pub(super) async fn pipeline(
    State(admin): State<Arc<Admin>>,
    Segment(id): Segment<String>,
) -> Result<Json<Value>, AdminError> {
    let reply = admin.client.get_pipeline(&PipelineId::new(&id)).await;
    reply
        .map(|reply| Json(reply.json))
        .map_err(AdminError::Refused)
}

/// `GET /api/v1/edge-pipelines/{id}/backends`: what is behind a pipeline, as the API has it.
pub(super) async fn backends(
    State(admin): State<Arc<Admin>>,
    Segment(id): Segment<String>,
) -> Result<Json<Value>, AdminError> {
    let reply = admin.client.list_backends(&PipelineId::new(&id)).await;
    reply
        .map(|reply| Json(reply.json))
        .map_err(AdminError::Refused)
}

/// `POST /api/v1/purge-requests`: one request, recorded as manual and tracked like any other; the
/// answer is the API's own document of it. Of a pipeline that is not configured it is made all the
/// same, and neither recorded nor tracked.
pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(Peer(who)): ConnectInfo<Peer>,
    Body(body): Body<PurgeBody>,
) -> Result<Json<Value>, AdminError> {
    if !body.globs.is_empty() {
        return Err(AdminError::Invalid(
            "one request takes no globs; `edgepurge purge` expands them".to_owned(),
        ));
    }
    let pipeline = match admin.pipeline(&body.pipeline) {
        Err(_) if uuid::Uuid::try_parse(&body.pipeline).is_ok() => {
            return elsewhere(&admin, body).await;
        }
        found => found?.1,
    };
    if body.assets.len() > pipeline.max_assets {
        return Err(AdminError::Invalid(format!(
            "{} assets are more than one request takes (max_assets = {}); `edgepurge purge` \
             spreads them over several",
            body.assets.len(),
            pipeline.max_assets
        )));
    }
    let detail = format!("requests create by {who}");
    let asked = ask(&admin, &body, &detail, AskedTargets::Exactly).await?;
    let mut why = String::new();
    let accepted = accepted(&admin, Seq(asked.first), &mut why);
    let Ok(remote_id) = tokio::time::timeout(ACCEPTANCE, accepted).await else {
        let why = match why.as_str() {
            "" => "see `edgepurge status`",
            why => why,
        };
        return Err(AdminError::Unavailable(format!(
            "the API has not taken it within {} s; it stays queued: {why}",
            ACCEPTANCE.as_secs()
        )));
    };
    let remote_id = remote_id?;
    let reply = admin.client.get(&remote_id).await;
    reply
        .map(|reply| Json(reply.json))
        .map_err(AdminError::Refused)
}

/// A request of a pipeline that is not configured.
async fn elsewhere(admin: &Admin, body: PurgeBody) -> Result<Json<Value>, AdminError> {
    let target = match (body.all, body.assets.is_empty()) {
        (true, true) => CreateTarget::All,
        (false, false) => CreateTarget::Assets(body.assets),
        _ => {
            return Err(AdminError::Invalid(
                "either assets or all has to be given".to_owned(),
            ));
        }
    };
    let pipeline = PipelineId::new(&body.pipeline);
    let reply = admin.client.create(&pipeline, &target).await;
    reply
        .map(|reply| Json(reply.json))
        .map_err(AdminError::Refused)
}

/// Waits until the request that took a change has an id at the API.
/// Notes why the last one came to nothing.
async fn accepted(admin: &Admin, change: Seq, why: &mut String) -> Result<String, AdminError> {
    loop {
        for id in admin.store.requests_of(change, change).await? {
            let filter = RequestFilter {
                id: Some(id),
                slice: Slice::first(1),
                ..RequestFilter::default()
            };
            for record in admin.store.requests(filter).await?.rows {
                if let Some(remote_id) = record.remote_id {
                    return Ok(remote_id);
                }
                if record.status == "failed" {
                    return Err(AdminError::Invalid(record.why));
                }
                *why = record.why;
            }
        }
        if admin.engine.is_closed() && admin.fleet.is_none() {
            return Err(AdminError::Unavailable(
                "the daemon is stopping; it stays queued".to_owned(),
            ));
        }
        tokio::time::sleep(LOOK).await;
    }
}
