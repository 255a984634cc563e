//! The way to the API: through a running daemon and its rate limit where there is one, else straight.

use std::io::ErrorKind;
use std::path::Path;

use serde_json::Value;

use super::client::{self, Daemon};
use super::{Failure, Global};
use crate::admin::api::PurgeBody;
use crate::config::Config;
use crate::core::change::PipelineId;
use crate::core::purge::Refusal;
use crate::scaleway::{Backends, Client, CreateTarget, ListQuery, Pipeline, Reply};

/// The way to the API.
pub(super) enum Way {
    Daemon(Daemon),
    Direct(Box<Client>),
}

impl Way {
    pub(super) async fn find(config: &Config) -> Result<Self, Failure> {
        let socket = &config.admin.socket;
        if let Some(daemon) = Daemon::find(socket).await {
            return Ok(Self::Daemon(daemon));
        }
        is_shut(socket).await?;
        Ok(Self::Direct(Box::new(Global::api(config)?)))
    }

    pub(super) async fn list(&self, query: &ListQuery) -> Result<Value, Failure> {
        match self {
            Self::Daemon(daemon) => {
                let reply = daemon.get("/api/v1/purge-requests", query).await?;
                Ok(reply.value)
            }
            Self::Direct(client) => document(client.list(query).await),
        }
    }

    pub(super) async fn get(&self, id: &str) -> Result<Value, Failure> {
        match self {
            Self::Daemon(daemon) => {
                let path = format!("/api/v1/purge-requests/{}", path_segment(id));
                Ok(daemon.get(&path, &()).await?.value)
            }
            Self::Direct(client) => document(client.get(id).await),
        }
    }

    pub(super) async fn create(
        &self,
        pipeline: &str,
        assets: Vec<String>,
        all: bool,
    ) -> Result<Value, Failure> {
        match self {
            Self::Daemon(daemon) => {
                let body = PurgeBody {
                    pipeline: pipeline.to_owned(),
                    assets,
                    globs: Vec::new(),
                    all,
                };
                let reply = daemon.post("/api/v1/purge-requests", &body).await?;
                Ok(reply.value)
            }
            Self::Direct(client) => {
                let target = if all {
                    CreateTarget::All
                } else {
                    CreateTarget::Assets(assets)
                };
                document(client.create(&PipelineId::new(pipeline), &target).await)
            }
        }
    }

    pub(super) async fn pipeline(&self, id: &PipelineId) -> Result<Pipeline, Failure> {
        match self {
            Self::Daemon(daemon) => {
                let path = format!("/api/v1/edge-pipelines/{}", path_segment(id.as_str()));
                Ok(daemon.get(&path, &()).await?.value)
            }
            Self::Direct(client) => {
                let reply = client.get_pipeline(id).await;
                reply
                    .map(|reply| reply.value)
                    .map_err(|refusal| failure(&refusal))
            }
        }
    }

    /// What is behind a pipeline.
    pub(super) async fn backends(&self, id: &PipelineId) -> Result<Backends, Failure> {
        match self {
            Self::Daemon(daemon) => {
                let path = path_segment(id.as_str());
                let path = format!("/api/v1/edge-pipelines/{path}/backends");
                Ok(daemon.get(&path, &()).await?.value)
            }
            Self::Direct(client) => {
                let reply = client.list_backends(id).await;
                reply
                    .map(|reply| reply.value)
                    .map_err(|refusal| failure(&refusal))
            }
        }
    }
}

/// Whether a daemon is there that may not be spoken to: to go round it would break its rate limit.
async fn is_shut(socket: &Path) -> Result<(), Failure> {
    match tokio::net::UnixStream::connect(socket).await {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(client::refused(socket)),
        _ => Ok(()),
    }
}

fn document<T>(reply: Result<Reply<T>, Refusal>) -> Result<Value, Failure> {
    reply
        .map(|reply| reply.json)
        .map_err(|refusal| failure(&refusal))
}

fn path_segment(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn failure(refusal: &Refusal) -> Failure {
    let text = refusal.to_string();
    if refusal.passes() {
        Failure::temporary(text)
    } else {
        Failure::failed(text)
    }
}
