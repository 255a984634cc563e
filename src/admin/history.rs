//! The local history: purge requests, changes, deliveries, and what became of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::api::{ChangePage, ChangeProgress, ChangeQuery, DeliveryPage, RequestPage};
use super::input::Segment;
use super::paging::{ListQuery, one_more, page};
use super::{Admin, AdminError};
use crate::config::parse_duration;
use crate::core::asset::Asset;
use crate::core::change::{PipelineId, Seq, Source};
use crate::core::purge::Outcome;
use crate::core::time::Time;
use crate::store::{ChangeFilter, DeliveryFilter, RequestFilter, RequestRecord, Slice};

/// The stages of a change.
const STAGES: [&str; 5] = ["queued", "taken", "done", "failed", "dropped"];
/// The stages of a request before it has an outcome.
const UNSETTLED: [&str; 2] = ["submitting", "accepted"];

/// A text that is looked for, at most, in bytes.
const LONGEST_TEXT: usize = 500;

/// The API's own filter names, and those of the local history.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestQuery {
    #[serde(alias = "pipeline")]
    pipeline_id: Option<String>,
    project_id: Option<String>,
    organization_id: Option<String>,
    status: Option<String>,
    asset: Option<String>,
    /// Where a change was noticed.
    source: Option<String>,
    /// A part of an asset's name.
    q: Option<String>,
    /// Since when: a time, a day, or how long ago.
    from: Option<String>,
}

/// `GET /api/v1/requests`
pub(crate) async fn requests(
    State(admin): State<Arc<Admin>>,
    ListQuery { filter, slice }: ListQuery<RequestQuery>,
) -> Result<Json<RequestPage>, AdminError> {
    for (key, value) in [
        ("project_id", filter.project_id),
        ("organization_id", filter.organization_id),
    ] {
        if value.is_some() {
            return Err(AdminError::Invalid(format!(
                "{key}: the local history does not know it; say pipeline_id, or ask the API itself: \
                 /api/v1/purge-requests"
            )));
        }
    }
    let outcomes = Outcome::ALL.map(Outcome::as_str);
    let known: Vec<&str> = UNSETTLED.into_iter().chain(outcomes).collect();
    let filter = RequestFilter {
        pipeline: asked(&admin, filter.pipeline_id.as_deref())?,
        status: word("status", filter.status, &known)?,
        asset: filter.asset.as_deref().map(Asset::from_stored),
        source: filter.source.as_deref().map(source).transpose()?,
        text: filter.q.map(text).transpose()?,
        from: filter
            .from
            .map(|from| since(&from, admin.clock.now()))
            .transpose()?,
        slice: one_more(slice),
        ..RequestFilter::default()
    };
    let listed = admin.store.requests(filter).await?;
    let (purge_requests, page) = page(listed, slice, |record| record.id);
    Ok(Json(RequestPage {
        purge_requests,
        page,
    }))
}

/// `GET /api/v1/requests/{id}`
pub(super) async fn request(
    State(admin): State<Arc<Admin>>,
    Segment(id): Segment<u64>,
) -> Result<Json<RequestRecord>, AdminError> {
    let filter = RequestFilter {
        id: Some(id),
        slice: Slice::first(1),
        ..RequestFilter::default()
    };
    let found = admin.store.requests(filter).await?.rows.into_iter().next();
    found
        .map(Json)
        .ok_or_else(|| AdminError::NotFound(format!("there is no request {id} in the history")))
}

/// `GET /api/v1/changes`
pub(crate) async fn changes(
    State(admin): State<Arc<Admin>>,
    ListQuery { filter, slice }: ListQuery<ChangeQuery>,
) -> Result<Json<ChangePage>, AdminError> {
    let (first, last) = (filter.first.map(Seq), filter.last.map(Seq));
    let pipeline = asked(&admin, filter.pipeline_id.as_deref())?;
    let progress = match (first, last) {
        (Some(first), Some(last)) => Some(progress(&admin, pipeline.as_ref(), first, last).await?),
        _ => None,
    };
    let filter = ChangeFilter {
        first,
        last,
        pipeline,
        stage: word("status", filter.status, &STAGES)?,
        asset: filter.asset,
        slice: one_more(slice),
    };
    let listed = admin.store.changes(filter).await?;
    let (changes, page) = page(listed, slice, |record| record.cause.seq.0);
    Ok(Json(ChangePage {
        changes,
        page,
        progress,
    }))
}

async fn progress(
    admin: &Admin,
    pipeline: Option<&PipelineId>,
    first: Seq,
    last: Seq,
) -> Result<ChangeProgress, AdminError> {
    let stages = match pipeline {
        None => admin.store.stages(first, last).await?,
        Some(id) => admin.store.stages_of(id.clone(), first, last).await?,
    };
    let requests = admin.store.requests_of(first, last).await?;
    Ok(ChangeProgress { stages, requests })
}

/// Which deliveries are asked about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeliveryQuery {
    /// Only those of this pipeline, by name or id.
    #[serde(alias = "pipeline")]
    pipeline_id: Option<String>,
    route: Option<String>,
}

/// `GET /api/v1/deliveries`
pub(crate) async fn deliveries(
    State(admin): State<Arc<Admin>>,
    ListQuery { filter, slice }: ListQuery<DeliveryQuery>,
) -> Result<Json<DeliveryPage>, AdminError> {
    let filter = DeliveryFilter {
        pipeline: asked(&admin, filter.pipeline_id.as_deref())?,
        route: filter.route,
        slice: one_more(slice),
    };
    let listed = admin.store.deliveries(filter).await?;
    let (deliveries, page) = page(listed, slice, |delivery| delivery.id);
    Ok(Json(DeliveryPage { deliveries, page }))
}

/// The pipeline that a list is narrowed to, by name or id. The history may have one that is in the
/// configuration no more.
fn asked(admin: &Admin, name: Option<&str>) -> Result<Option<PipelineId>, AdminError> {
    let Some(name) = name else {
        return Ok(None);
    };
    match admin.pipeline(name) {
        Ok((id, _)) => Ok(Some(id.clone())),
        Err(_) if uuid::Uuid::parse_str(name).is_ok() => Ok(Some(PipelineId::new(name))),
        Err(unknown) => Err(unknown),
    }
}

fn source(word: &str) -> Result<Source, AdminError> {
    Source::parse(word).ok_or_else(|| {
        let known = Source::ALL.map(Source::as_str).join(", ");
        AdminError::Invalid(format!("source: `{word}` is none of {known}"))
    })
}

fn text(text: String) -> Result<String, AdminError> {
    if text.len() > LONGEST_TEXT {
        let error = format!("q: is longer than {LONGEST_TEXT} bytes");
        return Err(AdminError::Invalid(error));
    }
    Ok(text)
}

/// Reads since when: a time, a day of UTC, or how long ago.
fn since(text: &str, now: Time) -> Result<Time, AdminError> {
    if let Ok(ago) = parse_duration(text) {
        return Ok(now.before(ago));
    }
    let time = serde_json::from_value(text.into());
    let day = || serde_json::from_value(format!("{text}T00:00:00Z").into());
    time.or_else(|_| day()).map_err(|_| {
        AdminError::Invalid(format!(
            "from: `{text}` is no time; write one as 2026-11-29T16:00:00Z, a day as 2026-11-29, or how long ago as 24h"
        ))
    })
}

/// A word that has to be one of these.
fn word(key: &str, given: Option<String>, known: &[&str]) -> Result<Option<String>, AdminError> {
    match given {
        Some(word) if !known.contains(&word.as_str()) => Err(AdminError::Invalid(format!(
            "{key}: `{word}` is none of {}",
            known.join(", ")
        ))),
        given => Ok(given),
    }
}
