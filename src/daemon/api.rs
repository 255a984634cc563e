//! The API, as the configuration has it: its client, its key, and whose pipelines it has.

use std::sync::Arc;

use secrecy::SecretString;

use super::{StartError, settings};
use crate::clock::Clock;
use crate::config::{ApiUrl, Config, Environment, SecretSource};
use crate::core::purge::Refusal;
use crate::engine::KeyReader;
use crate::metrics::Metrics;
use crate::sandbox::Sandbox;
use crate::scaleway::{Client, ClientSettings, Endpoint};

/// The API's client, as the configuration has it.
///
/// # Errors
/// When there is no usable secret key, or the URL is not one.
pub fn client(
    config: &Config,
    environment: &Environment,
    sandbox: Option<&Sandbox>,
    metrics: Option<&Arc<Metrics>>,
    clock: Clock,
) -> Result<Client, StartError> {
    let (endpoint, secret_key) = match (sandbox, &config.scaleway.api_url) {
        (Some(sandbox), _) => (sandbox.api_url(), sandbox.secret_key()),
        (None, ApiUrl::Sandbox) => {
            return Err(StartError::Temporary(
                "api_url = \"sandbox\" lives inside the daemon, and none runs; start it with \
                 `edgepurge run`"
                    .to_owned(),
            ));
        }
        (None, ApiUrl::Server(_)) => {
            let secret = config
                .scaleway
                .secret_key(environment)
                .map_err(|problems| StartError::Config(problems.to_string()))?;
            let Some(secret) = secret else {
                return Err(StartError::Config("there is no secret key".to_owned()));
            };
            tracing::info!(source = %secret.source, "secret key");
            (config.scaleway.api_url.as_str().to_owned(), secret.value)
        }
    };
    let endpoint =
        Endpoint::parse(&endpoint).map_err(|error| StartError::Config(error.to_string()))?;
    let observer = metrics.map(|metrics| Arc::new(settings::Observing::new(metrics)) as _);
    Client::new(ClientSettings {
        endpoint,
        secret_key,
        requests_per_second: config.scaleway.requests_per_second,
        burst: config.scaleway.burst,
        request_timeout: config.scaleway.request_timeout,
        clock,
        observer,
    })
    .map_err(|error| StartError::Config(error.to_string()))
}

/// Where the key is from; `None` where the sandbox is the API, or there is no key.
pub(super) fn key_source(config: &Config, environment: &Environment) -> Option<SecretSource> {
    let key = config.scaleway.secret_key(environment).ok()?;
    key.map(|key| key.source)
}

/// Reads the key again, from wherever it is by then.
pub(super) fn key_reader(config: &Config, environment: &Environment) -> Option<KeyReader> {
    if config.scaleway.api_url == ApiUrl::Sandbox {
        return None;
    }
    let (scaleway, environment) = (config.scaleway.clone(), environment.clone());
    Some(Arc::new(move || -> Option<SecretString> {
        match scaleway.secret_key(&environment) {
            Ok(secret) => secret.map(|secret| secret.value),
            Err(problems) => {
                tracing::warn!("the secret key can't be read again: {problems}");
                None
            }
        }
    }))
}

/// Refuses a pipeline that belongs to another project than its config says: purges of the wrong
/// pipeline succeed and do nothing.
pub(super) async fn check_projects(config: &Config, client: &Client) -> Result<(), StartError> {
    for pipeline in &config.pipelines {
        let Some(project) = &pipeline.project_id else {
            continue;
        };
        match client.get_pipeline(&pipeline.id).await {
            Ok(reply) if reply.value.project_id == *project => {}
            Ok(reply) => {
                return Err(StartError::Config(format!(
                    "pipeline {} ({}) belongs to project {}, and its project_id says {project}; \
                     correct id or project_id",
                    pipeline.name, pipeline.id, reply.value.project_id
                )));
            }
            Err(Refusal::NotFound(why) | Refusal::Forbidden(why)) => {
                return Err(StartError::Config(format!(
                    "pipeline {} ({}) can't be seen with this key: {why}; check id and key",
                    pipeline.name, pipeline.id
                )));
            }
            Err(refusal) => tracing::warn!(
                pipeline = pipeline.name,
                "its project could not be checked: {refusal}"
            ),
        }
    }
    Ok(())
}
