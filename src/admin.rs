//! The admin listener and socket: health, status, history, metrics, and what a person may ask of
//! a running daemon.
//!
//! Two doors, one router. Over TCP every route refuses a foreign `Host`, and what changes anything
//! needs the token; the socket is guarded by its file permission.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use crate::clock::Clock;
use crate::config::SecretSource;
use crate::core::change::PipelineId;
use crate::core::planner::View;
use crate::credentials::Credentials;
use crate::engine::EngineHandle;
use crate::explain::Explainer;
use crate::intake::Intake;
use crate::metrics::Metrics;
use crate::origin::OriginHandle;
use crate::scaleway::Client;
use crate::store::{Orphan, Store, StoreError};
use crate::webhook::ListenerHandle;

mod cause;
mod explain;
mod gauges;
mod guard;
mod health;
mod history;
pub mod listen;
mod operate;
mod peer;
mod purge;
mod reloads;
mod remote;
mod scan;
mod status;

pub use cause::{Cause, CauseWord, counted};
pub use explain::{AssetExplained, ExplainQuery, TOLD};
pub use guard::{Door, Token};
pub use history::ChangeProgress;
pub use operate::{DropBody, PauseBody, ResumeBody, RetryBody};
pub use purge::{PurgeAnswer, PurgeBody};
pub use reloads::Reloads;
pub use scan::{ScanBody, WaitQuery};
pub use status::{AlarmView, OriginView, PipelineStatus, Status};

/// How long an answer may take that needs the engine or the store.
const PATIENCE: Duration = Duration::from_secs(5);
/// A request's body at most, in bytes: what a purge of the longest list of assets takes.
const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// A pipeline, as the admin side knows it.
#[derive(Debug)]
pub struct AdminPipeline {
    /// Its name.
    pub name: Arc<str>,
    /// Assets in one purge request, at most.
    pub max_assets: usize,
    /// Its origins, by name.
    pub origins: Vec<(Arc<str>, OriginHandle)>,
}

/// What the routes work with.
pub struct Admin {
    /// The engine.
    pub engine: EngineHandle,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Where manual purges enter.
    pub intake: Arc<Intake>,
    /// The API, for the `requests` commands.
    pub client: Arc<Client>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The pipelines.
    pub pipelines: BTreeMap<PipelineId, AdminPipeline>,
    /// The webhook listener, where there is one.
    pub webhooks: Option<ListenerHandle>,
    /// The configuration, as it can be explained.
    pub explainer: Arc<Explainer>,
    /// What became of the last reload.
    pub reloads: Arc<Reloads>,
    /// The API's URL.
    pub api_url: String,
    /// Where its secret key is from; `None` for the sandbox.
    pub key: Option<SecretSource>,
    /// The secrets that are copies of systemd's.
    pub credentials: Credentials,
    /// The clock.
    pub clock: Clock,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin")
            .field("pipelines", &self.pipelines)
            .finish_non_exhaustive()
    }
}

impl Admin {
    /// The whole status; `None` while engine or store do not answer.
    pub async fn status(&self) -> Option<Status> {
        status::collect(self).await.ok()
    }

    /// What the engine is doing.
    async fn view(&self) -> Result<View, AdminError> {
        tokio::time::timeout(PATIENCE, self.engine.view())
            .await
            .ok()
            .flatten()
            .ok_or_else(|| AdminError::Unavailable("the engine does not answer".to_owned()))
    }

    /// Queues whose pipelines are in the config no more.
    async fn orphans(&self) -> Result<Vec<Orphan>, AdminError> {
        let known = self.pipelines.keys().cloned().collect();
        Ok(self.store.orphans(known).await?)
    }

    /// What a person calls a pipeline: its name, or its id where it has none any more.
    fn name(&self, id: &PipelineId) -> String {
        self.pipelines
            .get(id)
            .map_or_else(|| id.to_string(), |pipeline| pipeline.name.to_string())
    }

    /// The pipeline that a person means: by name or by id.
    fn pipeline(&self, name: &str) -> Result<(&PipelineId, &AdminPipeline), AdminError> {
        self.pipelines
            .iter()
            .find(|(id, pipeline)| &*pipeline.name == name || id.as_str() == name)
            .ok_or_else(|| {
                let known: Vec<&str> = self.pipelines.values().map(|p| &*p.name).collect();
                AdminError::NotFound(format!(
                    "there is no pipeline `{name}` in the config; it has {}",
                    known.join(", ")
                ))
            })
    }
}

/// All routes, behind the guard of a door.
pub fn router(admin: Arc<Admin>, door: Door) -> Router {
    let door = Arc::new(door);
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/requests", get(history::requests))
        .route("/api/v1/requests/{id}", get(history::request))
        .route("/api/v1/changes", get(history::changes))
        .route("/api/v1/explain", get(explain::explain))
        .route("/api/v1/purge", post(purge::purge))
        .route("/api/v1/pause", post(operate::pause))
        .route("/api/v1/resume", post(operate::resume))
        .route("/api/v1/retry", post(operate::retry))
        .route("/api/v1/drop", post(operate::drop_queue))
        .route("/api/v1/scan", post(scan::scan))
        .route("/api/v1/wait", get(scan::wait))
        .route(
            "/api/v1/purge-requests",
            get(remote::list).post(remote::create),
        )
        .route("/api/v1/purge-requests/{id}", get(remote::get))
        .route("/api/v1/edge-pipelines/{id}", get(remote::pipeline))
        .fallback(async || AdminError::NotFound("there is no such page".to_owned()))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_LIMIT))
        .layer(axum::middleware::from_fn_with_state(door, guard::guard))
        .with_state(admin)
}

/// Why a route does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    /// The call makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It is not in a state for that.
    #[error("{0}")]
    Conflict(String),
    /// The daemon can't do it now.
    #[error("{0}")]
    Unavailable(String),
    /// The API refused it.
    #[error("{0}")]
    Refused(crate::core::purge::Refusal),
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(format!("the store does not answer: {error}"))
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let (status, class) = match &self {
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Refused(refusal) => (StatusCode::BAD_GATEWAY, refusal.class()),
        };
        let body = json!({ "error": self.to_string(), "class": class });
        (status, axum::Json(body)).into_response()
    }
}
