//! The client: one method, one call.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode, redirect, retry};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::backend::{Backends, PipelinePage};
use super::ceiling::Ceiling;
use super::endpoint::Endpoint;
use super::operation::{Observer, Operation};
use super::refusal;
use super::wire::{CreateBody, CreateTarget, ListPage, ListQuery, Pipeline, PurgeRequest};
use crate::clock::Clock;
use crate::core::change::PipelineId;
use crate::core::planner::MOST_CALLS;
use crate::core::purge::Refusal;
use crate::core::time::Time;

/// No answer is longer: a list page of 100 full requests is far below it.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Of an answer that is an error, no more is read.
const MAX_ERROR_BODY: usize = 64 * 1024;
/// A connection that is not there by then will not come.
const MAX_CONNECT: Duration = Duration::from_secs(10);

/// Of a list of pipelines or backends; more is not known to work.
pub const PAGE_SIZE: u32 = 100;

/// What a client is made of.
pub struct ClientSettings {
    /// Where the API is.
    pub endpoint: Endpoint,
    /// The key that is sent with every call.
    pub secret_key: SecretString,
    /// The ceiling of all calls together, per second.
    pub requests_per_second: NonZeroU32,
    /// How many may go at once after a rest.
    pub burst: NonZeroU32,
    /// How long one call may take, from connecting to the last byte.
    pub request_timeout: Duration,
    /// The clock.
    pub clock: Clock,
    /// What observes each call.
    pub observer: Option<Arc<dyn Observer>>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// `main` installs one in its first line; a test has to do so too.
    #[error("no TLS provider is installed; this is a bug of edgepurge")]
    NoTlsProvider,
    /// TLS or the system's certificates could not be set up.
    #[error("the HTTP client can't be set up: {0}; are the CA certificates of the system there?")]
    Setup(#[source] reqwest::Error),
}

/// An answer that could be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply<T> {
    /// What it says.
    pub value: T,
    /// The API's own document.
    pub json: Value,
    /// The API's id of the call (`X-Request-Id`).
    pub request_id: Option<String>,
    /// When it was given, by the API's clock (`Date`).
    pub date: Option<Time>,
}

/// Calls the API. Cheap to clone: the clones share one ceiling, one key and the connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    http: reqwest::Client,
    endpoint: Endpoint,
    secret_key: RwLock<SecretString>,
    ceiling: Ceiling,
    /// The places on the wire, for all that call.
    places: Semaphore,
    clock: Clock,
    observer: Option<Arc<dyn Observer>>,
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSettings")
            .field("endpoint", &self.endpoint)
            .field("requests_per_second", &self.requests_per_second)
            .field("burst", &self.burst)
            .field("request_timeout", &self.request_timeout)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.shared.endpoint)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client. Nothing is sent yet.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(settings: ClientSettings) -> Result<Self, ClientError> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(ClientError::NoTlsProvider);
        }
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("edgepurge/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            // Every call that is sent counts against the limit, so none is repeated unseen.
            .retry(retry::never())
            .timeout(settings.request_timeout)
            // Sooner than the whole call, so that a dead host is distinguished from a lost answer.
            .connect_timeout(MAX_CONNECT.min(settings.request_timeout / 2));
        if settings.endpoint.is_loopback() {
            http = http.no_proxy();
        }
        Ok(Self {
            shared: Arc::new(Shared {
                http: http.build().map_err(ClientError::Setup)?,
                endpoint: settings.endpoint,
                secret_key: RwLock::new(settings.secret_key),
                ceiling: Ceiling::new(settings.requests_per_second, settings.burst, settings.clock),
                places: Semaphore::new(MOST_CALLS),
                clock: settings.clock,
                observer: settings.observer,
            }),
        })
    }

    /// Takes another key for every call from now on.
    pub fn set_secret_key(&self, secret_key: SecretString) {
        *self
            .shared
            .secret_key
            .write()
            .unwrap_or_else(PoisonError::into_inner) = secret_key;
    }

    /// Creates a purge request.
    ///
    /// # Errors
    /// [`Refusal::UnknownOutcome`] where it may have been made, else by what must be done.
    pub async fn create(
        &self,
        pipeline: &PipelineId,
        target: &CreateTarget,
    ) -> Result<Reply<PurgeRequest>, Refusal> {
        let assets = match target {
            CreateTarget::All => None,
            CreateTarget::Assets(assets) if assets.is_empty() => {
                return Err(Refusal::Invalid(
                    "could not create a purge request: it has no asset".to_owned(),
                ));
            }
            CreateTarget::Assets(assets) => Some(assets.as_slice()),
        };
        let body = CreateBody {
            pipeline_id: pipeline.as_str(),
            assets,
            all: assets.is_none().then_some(true),
        };
        self.call(
            Operation::Create,
            "purge-requests",
            |request| request.json(&body),
            |made: &PurgeRequest| (!made.id.is_empty()).then_some(()),
        )
        .await
    }

    /// Gets a purge request by the API's id for it.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] where the API does not know it, else by what must be done.
    pub async fn get(&self, id: &str) -> Result<Reply<PurgeRequest>, Refusal> {
        let path = path_of("purge-requests", id)?;
        self.call(
            Operation::Get,
            &path,
            |request| request,
            |got: &PurgeRequest| got.id.eq_ignore_ascii_case(id).then_some(()),
        )
        .await
    }

    /// Lists purge requests, one page of them.
    ///
    /// # Errors
    /// By what must be done.
    pub async fn list(&self, query: &ListQuery) -> Result<Reply<ListPage>, Refusal> {
        self.call(
            Operation::List,
            "purge-requests",
            |request| request.query(query),
            |_: &ListPage| Some(()),
        )
        .await
    }

    /// Gets a pipeline.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] where the API does not know it, else by what must be done.
    pub async fn get_pipeline(&self, id: &PipelineId) -> Result<Reply<Pipeline>, Refusal> {
        let path = path_of("pipelines", id.as_str())?;
        self.call(
            Operation::GetPipeline,
            &path,
            |request| request,
            |got: &Pipeline| got.id.eq_ignore_ascii_case(id.as_str()).then_some(()),
        )
        .await
    }

    /// Lists pipelines that the key may see, with what is behind each: one page of them, from 1.
    ///
    /// # Errors
    /// By what must be done.
    pub async fn list_pipelines(&self, page: u32) -> Result<Reply<PipelinePage>, Refusal> {
        self.call(
            Operation::ListPipelines,
            "pipelines-stages",
            |request| request.query(&[("page", page), ("page_size", PAGE_SIZE)]),
            |_: &PipelinePage| Some(()),
        )
        .await
    }

    /// Lists what is behind a pipeline, at most so many backends as are on one page.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] where the API does not know it, else by what must be done.
    pub async fn list_backends(&self, id: &PipelineId) -> Result<Reply<Backends>, Refusal> {
        let path = path_of("pipelines", id.as_str())?;
        self.call(
            Operation::ListBackends,
            &format!("{path}/backend-stages"),
            |request| request.query(&[("page_size", PAGE_SIZE)]),
            |_: &Backends| Some(()),
        )
        .await
    }

    /// Waits for a place and for the ceiling, makes the call, and reports it to the observer.
    async fn call<T: DeserializeOwned>(
        &self,
        operation: Operation,
        path: &str,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
        usable: impl FnOnce(&T) -> Option<()>,
    ) -> Result<Reply<T>, Refusal> {
        let shared = &self.shared;
        let method = match operation {
            Operation::Create => Method::POST,
            _ => Method::GET,
        };
        // It is never closed.
        let _place = shared.places.acquire().await.ok();
        shared.ceiling.ready().await;
        let (token, key) = self.token(operation)?;
        let request = shared
            .http
            .request(method, shared.endpoint.below(path))
            .header("X-Auth-Token", token)
            .header(ACCEPT, "application/json");
        let started = shared.clock.now();
        let answer = Answer::of(operation, fill(request)).await;
        let took = shared.clock.now().since(started);
        let status = answer.as_ref().ok().map(|answer| answer.status.as_u16());
        let request_id = answer
            .as_ref()
            .ok()
            .and_then(|answer| refusal::request_id(&answer.headers));
        let result = answer
            .and_then(|answer| answer.read(operation, shared.clock.now(), usable))
            .map_err(|refusal| without_key(refusal, &key));
        let class = result.as_ref().map_or_else(Refusal::class, |_| "ok");
        tracing::debug!(
            operation = operation.as_str(),
            class,
            status,
            request_id,
            took_ms = took.as_millis(),
            "api call"
        );
        if let Some(observer) = &shared.observer {
            observer.call(operation.as_str(), class, took);
        }
        result
    }

    /// The key as a header that is never shown, and as it is.
    fn token(&self, operation: Operation) -> Result<(HeaderValue, SecretString), Refusal> {
        let key = self
            .shared
            .secret_key
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut token = HeaderValue::from_str(key.expose_secret()).map_err(|_| {
            Refusal::Unauthorized(format!(
                "could not {}: the secret key holds characters that can't be sent; \
                 is it the key and nothing else?",
                operation.aim()
            ))
        })?;
        token.set_sensitive(true);
        Ok((token, key))
    }
}

/// An answer, read to its end or to the limit.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    async fn of(operation: Operation, request: RequestBuilder) -> Result<Self, Refusal> {
        let mut response = request
            .send()
            .await
            .map_err(|error| refusal::of_transport(operation, error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = if status.is_success() {
            read_body(operation, &mut response).await?
        } else {
            read_error_body(&mut response).await
        };
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    fn read<T: DeserializeOwned>(
        self,
        operation: Operation,
        now: Time,
        usable: impl FnOnce(&T) -> Option<()>,
    ) -> Result<Reply<T>, Refusal> {
        if !self.status.is_success() {
            return Err(refusal::of_answer(
                operation,
                self.status,
                &self.headers,
                &self.body,
                now,
            ));
        }
        let unusable = |why: &str| refusal::unusable(operation, &self.headers, why);
        let json: Value =
            serde_json::from_slice(&self.body).map_err(|error| unusable(&error.to_string()))?;
        let value = T::deserialize(&json).map_err(|error| unusable(&error.to_string()))?;
        usable(&value).ok_or_else(|| unusable("its id is missing, or not the one asked for"))?;
        Ok(Reply {
            value,
            json,
            request_id: refusal::request_id(&self.headers),
            date: refusal::date(&self.headers),
        })
    }
}

async fn read_body(operation: Operation, response: &mut Response) -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| refusal::of_transport(operation, error))?
    {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(refusal::unusable(
                operation,
                response.headers(),
                "it is longer than 4 MiB",
            ));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The status is known and says what to do; of the words, what comes is enough.
async fn read_error_body(response: &mut Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = MAX_ERROR_BODY - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == MAX_ERROR_BODY {
            break;
        }
    }
    body
}

/// An id goes into a path only where it cannot change the path.
fn path_of(collection: &str, id: &str) -> Result<String, Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.is_empty() || id.len() > 128 || !id.chars().all(plain) {
        return Err(Refusal::Invalid(format!(
            "{} is no id; ids look like 11111111-1111-4111-8111-111111111111",
            super::printable::printable(&format!("{id:?}"))
        )));
    }
    Ok(format!("{collection}/{id}"))
}

/// A server that repeats what it was sent must not bring the key into a log.
fn without_key(refusal: Refusal, key: &SecretString) -> Refusal {
    let key = key.expose_secret();
    refusal.map_words(|text| match key {
        "" => text.to_owned(),
        key => text.replace(key, "[secret]"),
    })
}
