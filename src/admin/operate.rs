//! What an operator does with a queue: pause, resume, retry, drop.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, State};

use super::api::{CountAnswer, DropBody, PauseAnswer, PauseBody, ResumeBody, RetryBody};
use super::input::Body;
use super::peer::Peer;
use super::{Admin, AdminError};
use crate::core::change::PipelineId;
use crate::core::pause::{Holder, LEASE, Pause, Retry};
use crate::engine::{Operated, Operation};
use crate::store::{RequestFilter, RequestRecord, Slice};

/// The longest name of a lease, and the longest reason, in bytes.
const LONGEST_TEXT: usize = 500;
/// The longest pause that ends by itself; a longer one has to be resumed.
const LONGEST_PAUSE: Duration = Duration::from_hours(365 * 24);

/// `POST /api/v1/pause`
pub(super) async fn pause(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(Peer(who)): ConnectInfo<Peer>,
    Body(body): Body<PauseBody>,
) -> Result<Json<PauseAnswer>, AdminError> {
    pause_by(&admin, &who, body).await
}

/// Pauses a pipeline, with a record of who did it.
pub(crate) async fn pause_by(
    admin: &Admin,
    who: &str,
    body: PauseBody,
) -> Result<Json<PauseAnswer>, AdminError> {
    let (id, _) = admin.pipeline(&body.pipeline)?;
    let length = body.seconds.map(Duration::from_secs);
    let (holder, length) = match (body.lease, length) {
        (Some(_), Some(length)) if length > LEASE => {
            return Err(AdminError::Invalid(
                "seconds: a lease lasts a minute at most; renew it in time".to_owned(),
            ));
        }
        (Some(lease), length) => (deploy(lease)?, Some(length.unwrap_or(LEASE))),
        (None, length) => (Holder::Operator, length),
    };
    if length.is_some_and(|length| length.is_zero() || length > LONGEST_PAUSE) {
        return Err(AdminError::Invalid(
            "a pause lasts from a second to 365 days, or, without a time, until it is resumed"
                .to_owned(),
        ));
    }
    let reason = text("reason", body.reason)?;
    let operation = Operation::Pause {
        pipeline: id.clone(),
        holder,
        who: who.to_owned(),
        reason,
        length,
    };
    let paused = admin.operate(operation).await?;
    answer(admin, id, matches!(paused, Operated::Paused(true))).await
}

/// `POST /api/v1/resume`
pub(crate) async fn resume(
    State(admin): State<Arc<Admin>>,
    Body(body): Body<ResumeBody>,
) -> Result<Json<PauseAnswer>, AdminError> {
    let (id, _) = admin.pipeline(&body.pipeline)?;
    let holder = body.lease.map_or(Ok(Holder::Operator), deploy)?;
    let pipeline = id.clone();
    let operation = Operation::Resume { pipeline, holder };
    let resumed = admin.operate(operation).await?;
    answer(&admin, id, matches!(resumed, Operated::Resumed(true))).await
}

fn deploy(lease: String) -> Result<Holder, AdminError> {
    // The word for a person in the database is no name for a lease.
    let holder = Holder::Deploy(text("lease", lease)?);
    match holder.as_str() {
        "" | "operator" => Err(AdminError::Invalid("lease: is no name for one".to_owned())),
        _ => Ok(holder),
    }
}

fn text(what: &str, text: String) -> Result<String, AdminError> {
    if text.len() > LONGEST_TEXT || text.chars().any(char::is_control) {
        return Err(AdminError::Invalid(format!(
            "{what}: is longer than {LONGEST_TEXT} bytes, or holds a control character"
        )));
    }
    Ok(text)
}

async fn paused(admin: &Admin, id: &PipelineId) -> Result<Vec<Pause>, AdminError> {
    let mut view = admin.view().await?;
    Ok(view
        .pipelines
        .remove(id)
        .map(|pipeline| pipeline.pauses)
        .unwrap_or_default())
}

async fn answer(
    admin: &Admin,
    id: &PipelineId,
    was_paused: bool,
) -> Result<Json<PauseAnswer>, AdminError> {
    let pauses = paused(admin, id).await?;
    Ok(Json(PauseAnswer {
        pipeline: admin.name(id),
        was_paused,
        paused: !pauses.is_empty(),
        pauses,
        last: admin.store.append(Vec::new()).await?.last.0,
    }))
}

/// `POST /api/v1/retry`
pub(crate) async fn retry(
    State(admin): State<Arc<Admin>>,
    Body(body): Body<RetryBody>,
) -> Result<Json<CountAnswer>, AdminError> {
    let target = &body.target;
    let unknown = match pipeline_or_orphan(&admin, target).await {
        Ok(id) => return retried(&admin, &id, Retry::Pipeline(id.clone())).await,
        Err(unknown @ AdminError::UnknownPipeline(_)) => unknown,
        Err(error) => return Err(error),
    };
    let Some(request) = request(&admin, target).await? else {
        return Err(match target.parse::<u64>() {
            Ok(_) => AdminError::NotFound(format!("there is no request {target} in the history")),
            Err(_) => unknown,
        });
    };
    let id = request.id;
    let advice = match request.status.as_str() {
        "failed" => {
            return retried(&admin, &request.pipeline_id, Retry::Request(id)).await;
        }
        "done" => "is done; to purge its assets once more: edgepurge purge".to_owned(),
        "submitting" | "accepted" => "is still in flight".to_owned(),
        status => format!(
            "is `{status}`, and what it was for is queued again already; to end its wait: \
             edgepurge retry {}",
            admin.name(&request.pipeline_id)
        ),
    };
    Err(AdminError::Conflict(format!("request {id} {advice}")))
}

async fn retried(
    admin: &Admin,
    id: &PipelineId,
    what: Retry,
) -> Result<Json<CountAnswer>, AdminError> {
    counted(admin, id, Operation::Retry(what)).await
}

async fn counted(
    admin: &Admin,
    id: &PipelineId,
    operation: Operation,
) -> Result<Json<CountAnswer>, AdminError> {
    let changes = match admin.operate(operation).await? {
        Operated::Retried(changes) | Operated::Dropped(changes) => changes,
        Operated::Paused(_) | Operated::Resumed(_) => 0,
    };
    let pipeline = admin.name(id);
    Ok(Json(CountAnswer { pipeline, changes }))
}

async fn request(admin: &Admin, id: &str) -> Result<Option<RequestRecord>, AdminError> {
    let filter = match id.parse() {
        Ok(number) => RequestFilter {
            id: Some(number),
            slice: Slice::first(1),
            ..RequestFilter::default()
        },
        Err(_) => RequestFilter {
            remote_id: Some(id.to_owned()),
            slice: Slice::first(1),
            ..RequestFilter::default()
        },
    };
    let page = admin.store.requests(filter).await?;
    Ok(page.rows.into_iter().next())
}

/// `POST /api/v1/drop`
pub(crate) async fn drop_queue(
    State(admin): State<Arc<Admin>>,
    Body(body): Body<DropBody>,
) -> Result<Json<CountAnswer>, AdminError> {
    if body.confirm != body.pipeline {
        return Err(AdminError::Invalid(
            "confirm: is not what `pipeline` says; what is dropped stays stale, so say it twice"
                .to_owned(),
        ));
    }
    let id = pipeline_or_orphan(&admin, &body.pipeline).await?;
    counted(&admin, &id, Operation::Drop(id.clone())).await
}

/// The pipeline that a person means, even if it is in the config no more.
async fn pipeline_or_orphan(admin: &Admin, name: &str) -> Result<PipelineId, AdminError> {
    let unknown = match admin.pipeline(name) {
        Ok((id, _)) => return Ok(id.clone()),
        Err(unknown) => unknown,
    };
    let mut orphans = admin.orphans().await?.into_iter();
    orphans
        .find(|orphan| orphan.id.as_str() == name)
        .map(|orphan| orphan.id)
        .ok_or(unknown)
}
