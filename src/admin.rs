//! The admin listener and socket: health, status, history, metrics, and what a person may ask of
//! a running daemon.
//!
//! Two doors, one router. Over TCP every route refuses a foreign `Host`, and what changes anything
//! needs the token; the socket is guarded by its file permission.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};

use crate::clock::Clock;
use crate::config::SecretSource;
use crate::core::alarm::Place;
use crate::core::change::PipelineId;
use crate::core::nodes::Node;
use crate::core::planner::View;
use crate::core::time::Time;
use crate::credentials::Credentials;
use crate::engine::EngineHandle;
use crate::explain::Explainer;
use crate::fleet::{Agreements, FleetHandle};
use crate::intake::Intake;
use crate::metrics::Metrics;
use crate::origin::OriginHandle;
use crate::scaleway::Client;
use crate::store::{Orphan, Store, StoreError};
use crate::webhook::ListenerHandle;

mod alarm_times;
pub mod api;
mod asks;
mod cause;
mod divergence;
pub(crate) mod explain;
mod gauges;
mod guard;
mod health;
pub(crate) mod history;
pub(crate) mod input;
pub mod listen;
mod news;
mod nodes;
pub(crate) mod operate;
mod paging;
mod peer;
pub(crate) mod purge;
mod refusal;
mod reloads;
mod remote;
pub(crate) mod scan;
mod status;
mod trees;

pub(crate) use alarm_times::AlarmKey;
pub use alarm_times::AlarmTimes;
pub use api::Status;
pub(crate) use asks::{ASK_LOOK, ASK_PATIENCE};
pub use cause::counted;
pub(crate) use cause::{causes, progress};
pub(crate) use guard::{Access, is_token};
pub use guard::{Door, Token};
pub(crate) use news::News;
pub(crate) use paging::ListQuery;
pub(crate) use peer::Peer;
pub(crate) use refusal::AdminError;
pub use reloads::Reloads;
use status::known;

/// How long an answer may take that needs the engine or the store.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
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
    /// Where its id is in the configuration.
    pub place: Option<Place>,
    /// Where the roots of its origins are, by the origins' names.
    pub roots: BTreeMap<Arc<str>, Place>,
}

/// What the routes work with.
pub struct Admin {
    /// The engine.
    pub engine: EngineHandle,
    /// The other nodes; `None` where the queue is this node's alone.
    pub fleet: Option<FleetHandle>,
    /// What of the others' files is not the same here.
    pub agreements: Agreements,
    /// The store.
    pub store: Arc<Store>,
    /// Where manual purges enter.
    pub intake: Arc<Intake>,
    /// The API, for the `requests` commands.
    pub client: Arc<Client>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The pipelines.
    pub pipelines: Arc<BTreeMap<PipelineId, AdminPipeline>>,
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
    /// Since when the alarms are on.
    pub alarm_times: Arc<AlarmTimes>,
    /// The file of the configuration.
    pub config_file: PathBuf,
    /// When it was read.
    pub config_read: Time,
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

    /// Whether this node does not lead, so that it has no engine.
    fn follows(&self) -> bool {
        self.fleet.is_some() && self.engine.is_closed()
    }

    /// What the engine is doing, here or elsewhere.
    async fn view(&self) -> Result<View, AdminError> {
        match tokio::time::timeout(PATIENCE, self.engine.view()).await {
            Ok(Some(view)) => Ok(view),
            _ if self.follows() => {
                let unsettled = known(self.store.unsettled().await)?;
                let queued = known(self.store.queued_assets().await)?;
                Ok(View::elsewhere(unsettled, queued, self.clock.now()))
            }
            _ => Err(AdminError::Unavailable(
                "the engine does not answer".to_owned(),
            )),
        }
    }

    /// The nodes that share the queue, as this one observes them; none where the queue is its own.
    fn nodes(&self) -> Vec<Node> {
        let nodes = self.fleet.as_ref().map(FleetHandle::nodes);
        nodes.unwrap_or_default()
    }

    /// How many files of a pipeline are not the same here and on other nodes, and not waited for.
    fn diverged_files(&self, id: &PipelineId) -> usize {
        let divergence = self.agreements.divergence(id, self.clock.now(), 0);
        divergence.map_or(0, |divergence| divergence.files)
    }

    /// What this node is called among those that share the queue.
    pub(crate) fn node(&self) -> Option<String> {
        let own = self.store.node();
        let nodes = self.fleet.iter().flat_map(FleetHandle::nodes);
        let mut owns = nodes.filter(|node| node.observed.is_some_and(|(id, _)| id == own));
        owns.next().map(|node| node.name)
    }

    /// Queues whose pipelines are in the config no more.
    async fn orphans(&self) -> Result<Vec<Orphan>, StoreError> {
        let known = self.pipelines.keys().cloned().collect();
        self.store.orphans(known).await
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
                AdminError::UnknownPipeline(format!(
                    "there is no pipeline `{name}` in the config; it has {}",
                    known.join(", ")
                ))
            })
    }
}

/// The pages and calls that there are.
fn pages() -> [(&'static str, MethodRouter<Arc<Admin>>); 24] {
    [
        ("/healthz", get(health::healthz)),
        ("/readyz", get(health::readyz)),
        ("/metrics", get(health::metrics)),
        ("/api/v1/status", get(status::status)),
        ("/api/v1/pipelines", get(status::pipelines)),
        ("/api/v1/pipelines/{pipeline}", get(status::pipeline)),
        ("/api/v1/requests", get(history::requests)),
        ("/api/v1/requests/{id}", get(history::request)),
        ("/api/v1/changes", get(history::changes)),
        ("/api/v1/deliveries", get(history::deliveries)),
        ("/api/v1/explain", get(explain::explain)),
        ("/api/v1/purge", post(purge::purge)),
        ("/api/v1/scan", post(scan::scan)),
        ("/api/v1/wait", get(scan::wait)),
        ("/api/v1/settled", get(scan::settled)),
        ("/api/v1/pause", post(operate::pause)),
        ("/api/v1/resume", post(operate::resume)),
        ("/api/v1/retry", post(operate::retry)),
        ("/api/v1/drop", post(operate::drop_queue)),
        ("/api/v1/forget", post(nodes::forget)),
        (
            "/api/v1/purge-requests",
            get(remote::list).post(remote::create),
        ),
        ("/api/v1/purge-requests/{id}", get(remote::get)),
        ("/api/v1/edge-pipelines/{id}", get(remote::pipeline)),
        (
            "/api/v1/edge-pipelines/{id}/backends",
            get(remote::backends),
        ),
    ]
}

/// What the page adds to the router.
#[derive(Clone, Debug)]
pub struct PageRoutes {
    /// Its routes; they have sessions, and a guard of their own.
    pub routes: Router,
    /// What answers a browser at an address where nothing is.
    pub unknown: fn(&Uri) -> Response,
}

/// All routes, behind the guard of a door.
pub fn router(admin: Arc<Admin>, page: PageRoutes, door: Door) -> Router {
    let door = Arc::new(door);
    let page_guard = axum::middleware::from_fn_with_state(Arc::clone(&door), guard::page_guard);
    let pages = pages();
    let paths = pages.each_ref().map(|(path, _)| *path).join(" ");
    let PageRoutes { routes, unknown } = page;
    let unknown = async move |headers: HeaderMap, uri: Uri| {
        let accepts = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
        if accepts.is_some_and(|accept| accept.contains("text/html")) {
            unknown(&uri)
        } else {
            let text = format!("there is no such page; there are {paths}");
            AdminError::NotFound(text).into_response()
        }
    };
    pages
        .into_iter()
        .fold(Router::new(), |router, (path, page)| {
            router.route(path, page)
        })
        .method_not_allowed_fallback(async || AdminError::Method)
        .fallback(unknown)
        .layer(axum::extract::DefaultBodyLimit::disable())
        .layer(axum::middleware::from_fn_with_state(door, guard::guard))
        .with_state(admin)
        .merge(routes.layer(page_guard))
}
