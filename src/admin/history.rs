//! The local history: purge requests and what became of changes.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};

use super::{Admin, AdminError};
use crate::core::asset::Asset;
use crate::core::change::{PipelineId, Seq};
use crate::store::{RequestFilter, RequestPage, RequestRecord, StageCounts};

/// Records on a page, unless told; and at most.
const PAGE: usize = 50;
const LONGEST_PAGE: usize = 1_000;

/// The API's own filter names, and `status`, `asset`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestQuery {
    pipeline_id: Option<String>,
    status: Option<String>,
    asset: Option<String>,
    order_by: Option<String>,
    page: Option<usize>,
    page_size: Option<usize>,
}

/// `GET /api/v1/requests`
pub(super) async fn requests(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<RequestQuery>,
) -> Result<Json<RequestPage>, AdminError> {
    let ascending = match query.order_by.as_deref() {
        Some("created_at_asc") => true,
        None | Some("created_at_desc") => false,
        Some(other) => {
            return Err(AdminError::Invalid(format!(
                "order_by `{other}` is neither created_at_asc nor created_at_desc"
            )));
        }
    };
    let limit = query.page_size.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
    let page = query.page.unwrap_or(1).max(1);
    let filter = RequestFilter {
        pipeline: query.pipeline_id.as_deref().map(PipelineId::new),
        status: query.status,
        id: None,
        remote_id: None,
        asset: query.asset.as_deref().map(Asset::from_stored),
        ascending,
        offset: limit.saturating_mul(page - 1),
        limit,
    };
    Ok(Json(admin.store.requests(filter).await?))
}

/// `GET /api/v1/requests/{id}`
pub(super) async fn request(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<u64>,
) -> Result<Json<RequestRecord>, AdminError> {
    let filter = RequestFilter {
        id: Some(id),
        limit: 1,
        ..RequestFilter::default()
    };
    let page = admin.store.requests(filter).await?;
    page.purge_requests
        .into_iter()
        .next()
        .map(Json)
        .ok_or_else(|| AdminError::NotFound(format!("there is no request {id} in the history")))
}

/// Which changes are asked about, both ends included.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeQuery {
    first: u64,
    last: u64,
    /// Only those of this pipeline, by name or id.
    pipeline: Option<String>,
}

/// What became of changes.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChangeProgress {
    /// How many are in which stage.
    #[serde(flatten)]
    pub stages: StageCounts,
    /// The local numbers of the requests that last took them.
    pub requests: Vec<u64>,
}

/// `GET /api/v1/changes`
pub(super) async fn changes(
    State(admin): State<Arc<Admin>>,
    Query(query): Query<ChangeQuery>,
) -> Result<Json<ChangeProgress>, AdminError> {
    let (first, last) = (Seq(query.first), Seq(query.last));
    Ok(Json(ChangeProgress {
        stages: match &query.pipeline {
            None => admin.store.stages(first, last).await?,
            Some(name) => {
                let (id, _) = admin.pipeline(name)?;
                admin.store.stages_of(id.clone(), first, last).await?
            }
        },
        requests: admin.store.requests_of(first, last).await?,
    }))
}
