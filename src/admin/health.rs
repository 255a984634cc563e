//! Health, readiness, metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::gauges::Gauges;
use super::status::collect;
use super::{Admin, AdminError, PATIENCE};
use crate::metrics::Exposition;

/// Whether the process turns: the engine answers, where there is one.
pub(super) async fn healthz(State(admin): State<Arc<Admin>>) -> Response {
    let view = tokio::time::timeout(PATIENCE, admin.engine.view()).await;
    match view {
        Ok(Some(_)) => (StatusCode::OK, "ok\n").into_response(),
        _ if admin.follows() => (StatusCode::OK, "ok\n").into_response(),
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the engine does not answer\n",
        )
            .into_response(),
    }
}

/// Whether it can do its work: the store commits, each origin is armed or in alarm. A pipeline's troubles
/// are in the status, not here.
pub(super) async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    let mut lacking = Vec::new();
    match tokio::time::timeout(PATIENCE, admin.store.append(Vec::new())).await {
        Ok(Ok(_)) => {}
        // Why is in the status, which is not open to all as this is.
        Ok(Err(_)) => lacking.push("the store does not commit".to_owned()),
        Err(_) => lacking.push("the store does not answer".to_owned()),
    }
    for pipeline in admin.pipelines.values() {
        for (name, origin) in &pipeline.origins {
            if !origin.status().is_ready() {
                lacking.push(format!(
                    "origin {} of {} is not watched and compared yet",
                    name, pipeline.name
                ));
            }
        }
    }
    if lacking.is_empty() {
        return (StatusCode::OK, "ready\n").into_response();
    }
    let text = lacking.join("\n") + "\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// The metrics, in the form that `Accept` asks for.
pub(super) async fn metrics(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
) -> Result<Response, AdminError> {
    let state = Gauges(Arc::new(collect(&admin).await?));
    // Several lines are one list.
    let accepts = headers.get_all(header::ACCEPT).iter();
    let accepts: Vec<&str> = accepts.filter_map(|line| line.to_str().ok()).collect();
    let form = Exposition::accepted(&accepts.join(","));
    let text = admin.metrics.render(state, form).map_err(|error| {
        AdminError::Unavailable(format!("the metrics can't be written: {error}"))
    })?;
    let about = [
        (header::CONTENT_TYPE, form.content_type()),
        (header::VARY, "accept"),
    ];
    Ok((about, text).into_response())
}
