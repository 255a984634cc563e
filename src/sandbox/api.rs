//! The API: routes, the key, the limit, faults. What a call does is in `call`.

use std::sync::Arc;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State as Extract};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use secrecy::ExposeSecret;

use super::answer::Answer;
use super::call::{self, Call, List};
use super::fault::{Fault, Operation};
use super::listener::Cut;
use super::state::Shared;

/// A create call of 100,000 assets fits.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// The API as a service.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(serve).with_state(shared)
}

async fn serve(
    Extract(shared): Extract<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let call = Call::of(&parts.method, parts.uri.path(), parts.uri.query());
    let operation = call.as_ref().ok().map(Call::operation);
    let number = shared.note(operation, &parts.uri);
    // Also a GET may have a body: the official Python client sends one, and it means nothing.
    let answer = match (call, to_bytes(body, MAX_BODY).await) {
        (_, Err(_)) => Some(Answer::untyped(
            StatusCode::PAYLOAD_TOO_LARGE,
            "Payload Too Large",
        )),
        (Err(refused), _) => Some(refused),
        (Ok(call), Ok(body)) => answer(&shared, &call, &parts.headers, &body).await,
    };
    shared.answer(number, answer.map(Answer::into_response), &cut)
}

/// The answer; `None` where the connection is to be cut instead.
async fn answer(shared: &Shared, call: &Call, headers: &HeaderMap, body: &Bytes) -> Option<Answer> {
    let fault = match admit(shared, call.operation(), headers) {
        Ok(fault) => fault,
        Err(refused) => return Some(refused),
    };
    match fault {
        Some(Fault::Hang) => {
            shared.stopping.cancelled().await;
            None
        }
        Some(Fault::DropBeforeAccept) => None,
        Some(Fault::Unauthorized) => Some(Answer::denied()),
        Some(Fault::RateLimit { retry_after }) => {
            Some(Answer::rate_limited(retry_after.map(|wait| wait.as_secs())))
        }
        Some(Fault::Refuse { status, body }) => Some(Answer::refused(status, body)),
        Some(Fault::Typed(error)) => Some(Answer::typed(error)),
        Some(Fault::Delay(delay)) => {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = shared.stopping.cancelled() => return None,
            }
            Some(call::perform(shared, call, body, None))
        }
        Some(Fault::DropAfterAccept) => {
            call::perform(shared, call, body, None);
            None
        }
        Some(Fault::HangAfterAccept) => {
            call::perform(shared, call, body, None);
            shared.stopping.cancelled().await;
            None
        }
        Some(Fault::Corrupt) => {
            let mut answer = call::perform(shared, call, body, None);
            answer.body.truncate(answer.body.len() / 2);
            Some(answer)
        }
        fault => Some(call::perform(shared, call, body, fault.as_ref())),
    }
}

/// First the gateway's limit, then the key, then what was scripted.
fn admit(
    shared: &Shared,
    operation: Operation,
    headers: &HeaderMap,
) -> Result<Option<Fault>, Answer> {
    shared.with(|state| {
        if let Some(limiter) = &state.limiter
            && limiter.check().is_err()
        {
            return Err(Answer::rate_limited(None));
        }
        let token = headers
            .get("x-auth-token")
            .and_then(|token| token.to_str().ok());
        if state.revoked || token != Some(state.secret_key.expose_secret()) {
            return Err(Answer::denied());
        }
        let fault = state.faults.take(operation);
        if fault == Some(Fault::Unauthorized) {
            state.revoked = true;
        }
        Ok(fault)
    })
}

impl Call {
    /// What a request asks for.
    fn of(method: &Method, path: &str, query: Option<&str>) -> Result<Self, Answer> {
        let below = path
            .strip_prefix("/edge-services/v1beta1/")
            .ok_or_else(Answer::not_found)?;
        let get = *method == Method::GET;
        match below.split_once('/') {
            None if below == "purge-requests" && *method == Method::POST => Ok(Self::Create),
            None if below == "purge-requests" && get => Ok(Self::List(List::read(query)?)),
            None if below == "pipelines-stages" && get => {
                Ok(Self::ListPipelines(List::read(query)?))
            }
            Some(("purge-requests", id)) if get => Ok(Self::Get(id.to_owned())),
            Some(("pipelines", below)) if get => match below.split_once('/') {
                None => Ok(Self::GetPipeline(below.to_owned())),
                Some((id, "backend-stages")) => Ok(Self::ListBackends(id.to_owned())),
                Some(_) => Err(Answer::not_found()),
            },
            None if below == "purge-requests" => Err(method_not_allowed()),
            Some(("purge-requests" | "pipelines", _)) => Err(method_not_allowed()),
            _ => Err(Answer::not_found()),
        }
    }
}

fn method_not_allowed() -> Answer {
    Answer::untyped(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}
