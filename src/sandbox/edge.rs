//! An edge: a cache in front of an origin, on a port of its own.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use tokio::io::AsyncReadExt;

use super::event::{CacheResult, Event};
use super::origin::{self, Fetched, Page, WebServer};
use super::state::Shared;
use crate::core::change::PipelineId;

/// How much of a file that is passed through is in memory at once.
const CHUNK: usize = 64 * 1024;

/// The edge of one pipeline.
#[derive(Clone)]
struct Edge {
    shared: Arc<Shared>,
    pipeline: PipelineId,
}

/// The edge of a pipeline as a service.
pub(super) fn router(shared: Arc<Shared>, pipeline: PipelineId) -> Router {
    Router::new()
        .fallback(serve)
        .with_state(Edge { shared, pipeline })
}

async fn serve(Extract(edge): Extract<Edge>, request: Request) -> Response {
    let method = request.method();
    if *method != Method::GET && *method != Method::HEAD {
        let mut refused = respond(&Page::text(405, "Method Not Allowed\n"), CacheResult::Miss);
        let allowed = HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(header::ALLOW, allowed);
        return refused;
    }
    let (path, query) = (request.uri().path(), request.uri().query());
    // The line as the client spelled it: `/%e6` and `/%E6` are two objects, and a purge names one.
    let key = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let cookies = request.headers().contains_key(header::COOKIE);
    let (response, result) = if cookies {
        edge.through(&key, path, query, false).await
    } else if let Some(page) = edge.cached(&key) {
        (respond(&page, CacheResult::HitFresh), CacheResult::HitFresh)
    } else {
        edge.through(&key, path, query, *method == Method::GET)
            .await
    };
    edge.shared.tell(Event::Served {
        pipeline: edge.pipeline,
        path: key,
        status: response.status().as_u16(),
        cache: result,
    });
    response
}

/// What is behind an edge: the answer of a bucket, which is in memory, or the server whose turn it is.
enum Backend {
    Bucket(Page),
    Server(Arc<WebServer>),
}

impl Edge {
    fn cached(&self, key: &str) -> Option<Arc<Page>> {
        let now = self.shared.clock.now();
        self.shared
            .with(|state| state.pipelines.get(&self.pipeline)?.cache.get(key, now))
    }

    /// Asks the origin, and keeps the answer if it may be kept.
    async fn through(
        &self,
        key: &str,
        path: &str,
        query: Option<&str>,
        keep: bool,
    ) -> (Response, CacheResult) {
        let miss = CacheResult::Miss;
        let ticket = self.shared.with(|state| {
            let pipeline = state.pipelines.get_mut(&self.pipeline)?;
            let ticket = pipeline.cache.ticket();
            if let Some(served) = &pipeline.bucket {
                let page = state.buckets.get(&served.name)?.serve(path, served.website);
                return Some((Backend::Bucket(page), ticket));
            }
            Some((Backend::Server(pipeline.servers.take_turn()?), ticket))
        });
        let Some((backend, ticket)) = ticket else {
            return (respond(&bad_gateway(), miss), miss);
        };
        let (path, query) = (path.to_owned(), query.map(str::to_owned));
        let fetched = match backend {
            Backend::Bucket(page) => Fetched::Page(page),
            Backend::Server(server) => {
                let fetch = move || origin::fetch(&server, &path, query.as_deref());
                let fetched = tokio::task::spawn_blocking(fetch).await;
                fetched.unwrap_or(Fetched::Broken)
            }
        };
        let response = match fetched {
            Fetched::Page(page) => {
                let page = Arc::new(page);
                if keep {
                    let now = self.shared.clock.now();
                    self.shared.with(|state| {
                        if let Some(pipeline) = state.pipelines.get_mut(&self.pipeline) {
                            pipeline.cache.put(key, &page, ticket, now);
                        }
                    });
                }
                respond(&page, miss)
            }
            Fetched::Large {
                content_type,
                file,
                bytes,
            } => pass_through(content_type, file, bytes),
            Fetched::Broken => respond(&bad_gateway(), miss),
        };
        (response, miss)
    }
}

fn bad_gateway() -> Page {
    Page::text(502, "Bad Gateway\n")
}

fn respond(page: &Page, cache: CacheResult) -> Response {
    let mut response = Response::new(Body::from(page.body.clone()));
    *response.status_mut() =
        StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().extend(page.headers.iter().cloned());
    set(&mut response, X_CACHE, cache.as_str());
    if let Some(etag) = &page.etag {
        set(&mut response, header::ETAG, etag);
    }
    if let Some(location) = &page.location {
        set(&mut response, header::LOCATION, location);
    }
    response
}

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn pass_through(content_type: &'static str, file: std::fs::File, bytes: u64) -> Response {
    let file = tokio::fs::File::from_std(file).take(bytes);
    let chunks = futures_util::stream::try_unfold(file, |mut file| async move {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = file.read_buf(&mut chunk).await?;
        Ok::<_, std::io::Error>((read > 0).then(|| (Bytes::from(chunk), file)))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    set(&mut response, header::CONTENT_TYPE, content_type);
    set(&mut response, header::CONTENT_LENGTH, &bytes.to_string());
    set(&mut response, X_CACHE, CacheResult::Miss.as_str());
    response
}
