//! Health, readiness, metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::status::collect;
use super::{Admin, PATIENCE};

/// Whether the process turns: the engine answers.
pub(super) async fn healthz(State(admin): State<Arc<Admin>>) -> Response {
    match tokio::time::timeout(PATIENCE, admin.engine.view()).await {
        Ok(Some(_)) => (StatusCode::OK, "ok\n").into_response(),
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
        Ok(Err(error)) => lacking.push(format!("the store does not commit: {error}")),
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

/// The metrics.
pub(super) async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let status = match collect(&admin).await {
        Ok(status) => status,
        Err(error) => return error.into_response(),
    };
    match admin.metrics.render(&status.gauges(admin.clock.now())) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
