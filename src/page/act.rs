//! What can be done on the page, by whom the token let in: the calls of the admin API, with a record of
//! who made them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use serde::Deserialize;

use super::Page;
use super::session::{Said, Session};
use super::text::{counted, segment};
use super::visitor::{PageError, Visitor};
use crate::admin::api::{DropBody, PauseBody, PurgeBody, ResumeBody, RetryBody, ScanBody};
use crate::admin::input::Body;
use crate::admin::{Access, AdminError, operate, purge, scan};
use crate::intake::AskedTargets;
use crate::origin::ScanSummary;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Pause,
    Resume,
    Retry,
    Scan,
    AcceptLoss,
    Purge,
    PurgeAll,
    Drop,
}

/// A form, as a browser sends it.
#[derive(Debug, Deserialize)]
pub(super) struct ActForm {
    action: Action,
    pipeline: String,
    /// What says that the form is of this session.
    form: String,
    #[serde(default)]
    minutes: String,
    #[serde(default)]
    reason: String,
    /// Assets or URLs, one a line.
    #[serde(default)]
    assets: String,
    /// The pipeline's name, typed by hand.
    #[serde(default)]
    confirm: String,
    /// `now` where the form is on the first page.
    #[serde(default)]
    from: String,
}

/// `POST /do`
pub(super) async fn act(
    State(page): State<Arc<Page>>,
    Extension(access): Extension<Access>,
    headers: HeaderMap,
    Form(form): Form<ActForm>,
) -> Result<Response, PageError> {
    let Some(session) = Visitor::of(&page, &access, &headers).session else {
        return Err(AdminError::Forbidden("the session is over; log in again".to_owned()).into());
    };
    if !session.sent(&form.form) {
        let text = "this form is of another session; open the page anew, and send it again";
        return Err(AdminError::Forbidden(text.to_owned()).into());
    }
    let done = carry_out(&page, &session, &form).await;
    let (who, pipeline, action) = (&session.who, &form.pipeline, form.action);
    let said = match done {
        Ok(text) => {
            tracing::info!(pipeline, who, "{action:?} by {who}: {text}");
            Said { done: true, text }
        }
        Err(error) => {
            let text = error.to_string();
            tracing::info!(pipeline, who, "{action:?} by {who} was not done: {text}");
            Said { done: false, text }
        }
    };
    page.sessions.say(&session.id, said);
    let to = match &*form.from {
        "now" => ".".to_owned(),
        _ => format!("p/{}", segment(&form.pipeline)),
    };
    Ok((StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response())
}

/// Does it, and says what was done.
async fn carry_out(page: &Page, session: &Session, form: &ActForm) -> Result<String, AdminError> {
    match form.action {
        Action::Pause => pause(page, session, form).await,
        Action::Resume => resume(page, form).await,
        Action::Retry => retry(page, form).await,
        Action::Scan | Action::AcceptLoss => scan_now(page, form).await,
        Action::Purge | Action::PurgeAll => purge_now(page, session, form).await,
        Action::Drop => drop_queue(page, form).await,
    }
}

async fn pause(page: &Page, session: &Session, form: &ActForm) -> Result<String, AdminError> {
    let minutes =
        match form.minutes.trim() {
            "" => None,
            minutes => Some(minutes.parse::<u64>().map_err(|_| {
                AdminError::Invalid("minutes: has to be a whole number".to_owned())
            })?),
        };
    let body = PauseBody {
        pipeline: form.pipeline.clone(),
        seconds: minutes.map(|minutes| minutes.saturating_mul(60)),
        reason: form.reason.trim().to_owned(),
        lease: None,
    };
    let answer = operate::pause_by(&page.admin, &session.who, body).await?.0;
    let name = answer.pipeline;
    Ok(format!(
        "{name} is paused: changes queue, and nothing is sent."
    ))
}

async fn resume(page: &Page, form: &ActForm) -> Result<String, AdminError> {
    let body = ResumeBody {
        pipeline: form.pipeline.clone(),
        lease: None,
    };
    let answer = operate::resume(page.admin(), Body(body)).await?.0;
    let name = answer.pipeline;
    Ok(if answer.paused {
        format!("{name}: the operator's pause is over; another one still holds.")
    } else {
        format!("{name} goes on.")
    })
}

async fn retry(page: &Page, form: &ActForm) -> Result<String, AdminError> {
    let target = form.pipeline.clone();
    let answer = operate::retry(page.admin(), Body(RetryBody { target }))
        .await?
        .0;
    let changes = counted(answer.changes, "change");
    Ok(format!("{}: {changes} queued again.", answer.pipeline))
}

async fn scan_now(page: &Page, form: &ActForm) -> Result<String, AdminError> {
    let accept_loss = form.action == Action::AcceptLoss;
    let body = ScanBody {
        pipeline: form.pipeline.clone(),
        accept_loss,
        // The losses that the page shows are this node's.
        node: page.admin.node().filter(|_| accept_loss),
    };
    let answer = scan::scan(page.admin(), Body(body)).await?.0;
    let sum = |of: fn(&ScanSummary) -> u64| {
        let scans = answer.origins.iter();
        scans.map(|origin| of(&origin.scan)).sum::<u64>()
    };
    let without = match answer.silent.as_slice() {
        [] => String::new(),
        silent => format!(" Not on {}, which is silent.", silent.join(", ")),
    };
    Ok(format!(
        "{} scanned: {}, {} new, {} changed, {} gone.{without}",
        answer.pipeline,
        counted(sum(|scan| scan.files), "file"),
        sum(|scan| scan.new),
        sum(|scan| scan.changed),
        sum(|scan| scan.gone)
    ))
}

async fn purge_now(page: &Page, session: &Session, form: &ActForm) -> Result<String, AdminError> {
    let all = form.action == Action::PurgeAll;
    if all {
        confirmed(form)?;
    }
    let assets = form.assets.lines().map(str::trim);
    let assets = assets.filter(|line| !line.is_empty() && !all);
    let body = PurgeBody {
        pipeline: form.pipeline.clone(),
        assets: assets.map(str::to_owned).collect(),
        globs: Vec::new(),
        all,
    };
    let detail = format!("purge by {}", session.who);
    let answer = purge::ask(&page.admin, &body, &detail, AskedTargets::Assets).await?;
    let purges = counted(answer.changes, "purge");
    Ok(format!("{}: {purges} queued.", answer.pipeline))
}

async fn drop_queue(page: &Page, form: &ActForm) -> Result<String, AdminError> {
    confirmed(form)?;
    let body = DropBody {
        pipeline: form.pipeline.clone(),
        confirm: form.confirm.clone(),
    };
    let answer = operate::drop_queue(page.admin(), Body(body)).await?.0;
    let changes = counted(answer.changes, "change");
    Ok(format!("{}: {changes} dropped.", answer.pipeline))
}

/// What can't be made good takes the pipeline's name, typed by hand.
fn confirmed(form: &ActForm) -> Result<(), AdminError> {
    if form.confirm == form.pipeline {
        return Ok(());
    }
    let text = "the name that was typed is not that of the pipeline";
    Err(AdminError::Invalid(text.to_owned()))
}
