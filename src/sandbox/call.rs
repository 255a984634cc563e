//! What each call of the API does. Where the real one's behaviour is unknown, the table in the
//! documentation of [`sandbox`](crate::sandbox) says what was picked.

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Precision, document, replace_status};
use super::fault::{Fault, Operation};
use super::ledger::{Fate, PurgeTarget};
use super::state::{Pipeline, Shared, State};
use crate::core::change::PipelineId;

/// Of a list, unless the caller says otherwise.
const PAGE_SIZE: usize = 20;
/// When all stages were made.
const STAGED: &str = "2026-01-02T03:04:05.678901Z";
/// Of a list, at most.
const MAX_PAGE_SIZE: usize = 100;

/// A call, with what its path and query say.
#[derive(Debug)]
pub(super) enum Call {
    Create,
    Get(String),
    List(List),
    GetPipeline(String),
    ListPipelines(List),
    ListBackends(String),
}

/// The query of a list, checked.
#[derive(Debug)]
pub(super) struct List {
    newest_first: bool,
    page: usize,
    page_size: usize,
    organization: Option<String>,
    project: Option<String>,
    pipeline: Option<String>,
}

#[derive(Debug, Deserialize)]
struct CreateBody {
    pipeline_id: Option<String>,
    assets: Option<Vec<String>>,
    all: Option<bool>,
}

impl Call {
    pub(super) const fn operation(&self) -> Operation {
        match self {
            Self::Create => Operation::Create,
            Self::Get(_) => Operation::Get,
            Self::List(_) => Operation::List,
            Self::GetPipeline(_) => Operation::GetPipeline,
            Self::ListPipelines(_) => Operation::ListPipelines,
            Self::ListBackends(_) => Operation::ListBackends,
        }
    }
}

impl List {
    pub(super) fn read(query: Option<&str>) -> Result<Self, Answer> {
        let mut list = Self {
            newest_first: false,
            page: 1,
            page_size: PAGE_SIZE,
            organization: None,
            project: None,
            pipeline: None,
        };
        for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if value.is_empty() {
                continue;
            }
            let number = |max: usize| match value.parse() {
                Ok(number) if (1..=max).contains(&number) => Ok(number),
                _ => Err(Answer::invalid(
                    &key,
                    "constraint",
                    &format!("must be a number from 1 to {max}"),
                )),
            };
            match &*key {
                "order_by" => {
                    list.newest_first = match &*value {
                        "created_at_asc" => false,
                        "created_at_desc" => true,
                        _ => return Err(Answer::invalid(&key, "constraint", "no such order")),
                    }
                }
                "page" => list.page = number(i32::MAX as usize)?,
                "page_size" => list.page_size = number(MAX_PAGE_SIZE)?,
                "organization_id" => list.organization = Some(value.into_owned()),
                "project_id" => list.project = Some(value.into_owned()),
                "pipeline_id" => list.pipeline = Some(value.into_owned()),
                _ => {}
            }
        }
        Ok(list)
    }

    /// One page of what was found.
    fn page(&self, found: impl Iterator<Item = Value>) -> Vec<Value> {
        let before = (self.page - 1).saturating_mul(self.page_size);
        found.skip(before).take(self.page_size).collect()
    }

    /// Whether it asks for what is of this pipeline.
    fn wants(&self, id: &PipelineId, pipeline: Option<&Pipeline>) -> bool {
        let is = |filter: &Option<String>, value: Option<&str>| {
            filter.is_none() || filter.as_deref() == value
        };
        is(&self.pipeline, Some(id.as_str()))
            && is(&self.project, pipeline.map(|p| p.project_id.as_str()))
            && is(
                &self.organization,
                pipeline.map(|p| p.organization_id.as_str()),
            )
    }
}

/// Does what a call asks for.
pub(super) fn perform(shared: &Shared, call: &Call, body: &[u8], fault: Option<&Fault>) -> Answer {
    let done = shared.with(|state| match call {
        Call::Create => create(shared, state, body, fault),
        Call::Get(id) => get(state, id, fault),
        Call::List(list) => Ok(list_page(state, list)),
        Call::GetPipeline(id) => get_pipeline(state, id),
        Call::ListPipelines(list) => Ok(list_pipelines(state, list)),
        Call::ListBackends(id) => list_backends(state, id),
    });
    match done {
        Ok(mut document) => {
            if let Some(Fault::UnknownStatus(word)) = fault {
                replace_status(&mut document, word);
            }
            Answer::ok(&document)
        }
        Err(refused) => refused,
    }
}

fn create(
    shared: &Shared,
    state: &mut State,
    body: &[u8],
    fault: Option<&Fault>,
) -> Result<Value, Answer> {
    let body: CreateBody = serde_json::from_slice(body)
        .map_err(|error| Answer::invalid("body", "format", &error.to_string()))?;
    let pipeline = body
        .pipeline_id
        .ok_or_else(|| Answer::invalid("pipeline_id", "required", "must be set"))?;
    let pipeline = PipelineId::new(&pipeline);
    let target = match (body.assets, body.all.unwrap_or_default()) {
        (Some(_), true) => {
            return Err(Answer::invalid(
                "target",
                "constraint",
                "only one of assets and all may be set",
            ));
        }
        (None, false) => {
            return Err(Answer::invalid(
                "target",
                "required",
                "one of assets and all must be set",
            ));
        }
        (None, true) => PurgeTarget::All,
        (Some(assets), false) => PurgeTarget::Assets(check(assets, state.max_assets)?),
    };
    if !state.pipelines.contains_key(&pipeline) {
        return Err(Answer::not_found());
    }
    let fate = match fault {
        Some(Fault::Error) => Fate::Error,
        Some(Fault::Keep) => Fate::Kept,
        Some(Fault::NeverFinish) => Fate::Never,
        _ => Fate::Done,
    };
    let id = shared.create(state, &pipeline, &target, fate);
    let made = state
        .ledger
        .get(&id)
        .map(|record| document(record, Precision::Nanos))
        .ok_or_else(Answer::not_found);
    if fault == Some(&Fault::Vanish) {
        state.ledger.forget(&id);
    }
    made
}

fn check(assets: Vec<String>, max: usize) -> Result<Vec<String>, Answer> {
    let refused = |help: &str| Err(Answer::invalid("assets", "constraint", help));
    if assets.is_empty() {
        return refused("must not be empty");
    }
    if assets.len() > max {
        return refused(&format!("must have at most {max} elements"));
    }
    if let Some(bad) = assets.iter().find(|asset| !asset.starts_with('/')) {
        return refused(&format!("must begin with a slash: {bad}"));
    }
    Ok(assets)
}

fn get(state: &mut State, id: &str, fault: Option<&Fault>) -> Result<Value, Answer> {
    if fault == Some(&Fault::Vanish) {
        state.ledger.forget(id);
    }
    let record = state.ledger.get(id).ok_or_else(Answer::not_found)?;
    Ok(document(record, Precision::Micros))
}

fn list_page(state: &State, list: &List) -> Value {
    let wanted = |id: &PipelineId| list.wants(id, state.pipelines.get(id));
    let mut matching: Vec<_> = state
        .ledger
        .all()
        .filter(|record| wanted(&record.pipeline))
        .collect();
    if list.newest_first {
        matching.reverse();
    }
    let records = matching.iter();
    let page = list.page(records.map(|record| document(record, Precision::Micros)));
    json!({ "purge_requests": page, "total_count": matching.len() })
}

fn list_pipelines(state: &State, list: &List) -> Value {
    let pipelines = state.pipelines.iter();
    let wanted: Vec<_> = pipelines
        .filter(|(id, pipeline)| list.wants(id, Some(pipeline)))
        .collect();
    let page = list.page(wanted.iter().map(|(id, pipeline)| {
        json!({
            "backend_stages": backends(id, pipeline),
            "cache_stages": [],
            "dns_stages": [],
            "pipeline": shown(id, pipeline),
            "route_stages": [],
            "tls_stages": [],
            "waf_stages": [],
        })
    }));
    json!({ "pipelines": page, "total_count": wanted.len() })
}

fn list_backends(state: &State, id: &str) -> Result<Value, Answer> {
    let id = PipelineId::new(id);
    let pipeline = state.pipelines.get(&id).ok_or_else(Answer::not_found)?;
    let stages = backends(&id, pipeline);
    let count = stages.as_array().map_or(0, Vec::len);
    Ok(json!({ "stages": stages, "total_count": count }))
}

/// The backend stages of a pipeline: its bucket, or a load balancer before its servers.
fn backends(id: &PipelineId, pipeline: &Pipeline) -> Value {
    if let Some(backends) = &pipeline.backends {
        return backends.clone();
    }
    let mut stage = json!({
        "created_at": STAGED,
        "id": related("b", id),
        "pipeline_id": id.as_str(),
        "status": "active",
        "updated_at": STAGED,
    });
    match &pipeline.bucket {
        Some(bucket) => {
            stage["scaleway_s3"] = json!({
                "bucket_name": bucket.name,
                "bucket_region": bucket.region,
                "is_website": bucket.website,
            });
        }
        None => {
            stage["scaleway_lb"] = json!({ "lbs": [{
                "domain_name": "",
                "frontend_id": related("f", id),
                "id": related("a", id),
                "is_ssl": false,
                "zone": "fr-par-1",
            }] });
        }
    }
    json!([stage])
}

/// The id of something that belongs to a pipeline: that of the pipeline with another first digit.
fn related(digit: &str, id: &PipelineId) -> String {
    format!("{digit}{}", id.as_str().get(1..).unwrap_or_default())
}

fn get_pipeline(state: &State, id: &str) -> Result<Value, Answer> {
    let id = PipelineId::new(id);
    let pipeline = state.pipelines.get(&id).ok_or_else(Answer::not_found)?;
    Ok(shown(&id, pipeline))
}

fn shown(id: &PipelineId, pipeline: &Pipeline) -> Value {
    json!({
        "description": "",
        "errors": [],
        "id": id.as_str(),
        "name": pipeline.name,
        "organization_id": pipeline.organization_id,
        "project_id": pipeline.project_id,
        "status": "ready",
    })
}
