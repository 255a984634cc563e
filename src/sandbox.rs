//! The sandbox: an edge and a purge API on this machine, on real sockets, for `edgepurge demo`,
//! `api_url = "sandbox"` and tests.
//!
//! It owns an honest model of three things: the purge-requests API, per pipeline an edge that
//! caches what it fetched from a directory or a bucket and forgets what is purged, after a delay, and the
//! buckets themselves. It is bound to loopback only, keeps everything in memory, all of it bounded, and makes
//! no call.
//!
//! Where the real API's behaviour is unknown, it does this, and edgepurge depends on none of it:
//!
//! | question | here |
//! |---|---|
//! | `assets` and `all: true` together | 400 `invalid_arguments` |
//! | `assets` and `all: false` | the assets |
//! | neither, `all: false` alone, `assets: []` | 400 `invalid_arguments` |
//! | an asset without a slash in front | 400 `invalid_arguments` |
//! | more than `max_assets` (5) assets | 400 `invalid_arguments` |
//! | the same asset twice | taken as it is |
//! | a pipeline that there is not, in create | 404 `{"message":"Not Found"}` |
//! | `page_size` | 20 unless given; 1 to 100, else 400 |
//! | `page` | from 1, else 400; past the end: 200 with an empty list |
//! | a filter that matches nothing | 200 with an empty list |
//! | parameters with an empty value, and unknown ones | as if absent |
//! | how long requests are remembered | the last 10,000 |
//! | the cache's key | path and query as in the request line, byte by byte: purging `/x` leaves `/x?v=1`, purging `/%E6` leaves `/%e6` |
//! | what is cached | 200 up to 8 MiB, 301, 403, 404; until the TTL |
//! | an answer of the origin that a purge overtook | served, and not kept |
//! | HEAD | answered from the cache; on a miss from the origin, and not kept |
//! | errors | `{"message": …}`, and those of [`ErrorType`] where they are scripted |
//! | order of checks | rate limit, key, scripted fault, body |
//! | what a pipeline's backend is | its bucket, or a load balancer |
//! | objects of a bucket | can be read, put and deleted from this machine without a key; a listing takes a signature in its URL |
//! | `ETag` of an object | that of a multipart upload, which is no hash of the bytes |
//! | an object that is put without a `Content-Type` | gets that of its name |
//! | `/a` where a website has `a/index.html` | 302 to `/a/` |

mod answer;
mod api;
mod bucket;
mod cache;
mod call;
mod edge;
mod error_type;
mod event;
mod fault;
mod ledger;
mod listener;
mod origin;
mod signature;
mod state;
mod storage;
mod storage_answer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue};
use secrecy::SecretString;
use tokio::sync::broadcast;

use self::bucket::Bucket;
pub use self::bucket::BucketSettings;
use self::cache::Cache;
pub use self::error_type::ErrorType;
pub use self::event::{ApiCall, CacheResult, Event};
pub use self::fault::{Fault, Operation, Script};
use self::ledger::Ledger;
pub use self::ledger::{PurgeRecord, PurgeStatus, PurgeTarget};
pub use self::origin::{Mount, Reads, WebServer};
use self::state::{Pipeline, Servers, Shared, State};
use crate::clock::Clock;
use crate::core::change::PipelineId;
use crate::core::website::Website;
use crate::supervise::Supervisor;

/// How many purge requests are remembered.
const MAX_REQUESTS: usize = 10_000;
/// The access key that signatures for buckets name, beside the API's secret key.
pub const ACCESS_KEY: &str = "SCWSANDBOX0000000000";
/// How many events a slow listener may fall behind before it misses some.
const MAX_EVENTS: usize = 1_024;

/// How a sandbox is to be.
#[derive(Debug)]
pub struct SandboxSettings {
    /// The clock.
    pub clock: Clock,
    /// The only key that is accepted; a new one unless given.
    pub secret_key: Option<SecretString>,
    /// The port of the API; 0 for any.
    pub api_port: u16,
    /// How long a purge takes; zero: the answer to its creation already says done.
    pub purge_delay: Duration,
    /// How long an edge keeps an object.
    pub ttl: Duration,
    /// How many assets one request may name.
    pub max_assets: usize,
    /// The API's limit; none unless given.
    pub rate_limit: Option<RateLimit>,
    /// The pipelines.
    pub pipelines: Vec<PipelineSettings>,
    /// The buckets.
    pub buckets: Vec<BucketSettings>,
    /// The port of the buckets, where there are any; 0 for any.
    pub storage_port: u16,
}

impl SandboxSettings {
    /// A sandbox without pipelines and buckets: any port, 1 s a purge, objects kept for 1 h, 5 assets a
    /// request, no limit.
    #[must_use]
    pub const fn new(clock: Clock) -> Self {
        Self {
            clock,
            secret_key: None,
            api_port: 0,
            purge_delay: Duration::from_secs(1),
            ttl: Duration::from_hours(1),
            max_assets: 5,
            rate_limit: None,
            pipelines: Vec::new(),
            buckets: Vec::new(),
            storage_port: 0,
        }
    }
}

/// A bucket that a pipeline serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedBucket {
    /// Its name.
    pub name: String,
    /// Its region, as the pipeline has it.
    pub region: String,
    /// Whether it is served as a website.
    pub website: bool,
}

/// A pipeline of the sandbox.
#[derive(Clone, Debug)]
pub struct PipelineSettings {
    /// Its id.
    pub id: PipelineId,
    /// Its name.
    pub name: String,
    /// The project that it belongs to.
    pub project_id: String,
    /// The organization that it belongs to.
    pub organization_id: String,
    /// The port of its edge; 0 for any.
    pub edge_port: u16,
    /// The directories that it serves.
    pub origins: Vec<Mount>,
    /// The bucket that it serves instead.
    pub bucket: Option<ServedBucket>,
}

impl PipelineSettings {
    /// A pipeline that serves one directory, on any port, of a project and organization of the
    /// sandbox's own.
    #[must_use]
    pub fn new(id: PipelineId, root: &std::path::Path) -> Self {
        Self {
            name: id.to_string(),
            id,
            project_id: "22222222-2222-4222-8222-222222222222".to_owned(),
            organization_id: "33333333-3333-4333-8333-333333333333".to_owned(),
            edge_port: 0,
            origins: vec![Mount {
                url_prefix: "/".to_owned(),
                root: root.to_owned(),
            }],
            bucket: None,
        }
    }
}

/// So many calls per second, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls per second.
    pub per_second: NonZeroU32,
    /// Calls at once after a rest.
    pub burst: NonZeroU32,
}

/// A running sandbox. Cheap to clone. It runs until its supervisor stops.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
    api: SocketAddr,
    storage: Option<SocketAddr>,
    edges: Arc<BTreeMap<PipelineId, SocketAddr>>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox")
            .field("api", &self.api)
            .field("storage", &self.storage)
            .field("edges", &self.edges)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts a sandbox. It is reachable when this returns.
    ///
    /// # Errors
    /// When a port can't be listened on; the message says which.
    pub async fn start(settings: SandboxSettings, supervisor: &Supervisor) -> io::Result<Self> {
        let (api_listener, api) = listener::bind(settings.api_port, "API").await?;
        let mut listeners = Vec::new();
        let mut edges = BTreeMap::new();
        for pipeline in &settings.pipelines {
            let what = format!("edge of {}", pipeline.name);
            let (listener, address) = listener::bind(pipeline.edge_port, &what).await?;
            listeners.push((pipeline.id.clone(), listener));
            edges.insert(pipeline.id.clone(), address);
        }
        let mut storage = None;
        if !settings.buckets.is_empty() {
            storage = Some(listener::bind(settings.storage_port, "Object Storage").await?);
        }
        let (events, _) = broadcast::channel(MAX_EVENTS);
        let clock = settings.clock;
        let shared = Shared::new(clock, events, supervisor.stopping(), state(settings));
        listener::serve(
            supervisor,
            "sandbox-api",
            api_listener,
            api::router(Arc::clone(&shared)),
        );
        let storage = storage.map(|(listener, address)| {
            let router = storage::router(Arc::clone(&shared));
            listener::serve(supervisor, "sandbox-storage", listener, router);
            address
        });
        for (pipeline, listener) in listeners {
            let router = edge::router(Arc::clone(&shared), pipeline);
            listener::serve(supervisor, "sandbox-edge", listener, router);
        }
        let settling = Arc::clone(&shared);
        supervisor.spawn("sandbox-purge", async move {
            settling.settle_in_time().await;
            Ok(())
        });
        Ok(Self {
            shared,
            api,
            storage,
            edges: Arc::new(edges),
        })
    }

    /// Where the API is.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://{}", self.api)
    }

    /// Where the edge of a pipeline is; `None` for a pipeline that it has not.
    #[must_use]
    pub fn edge_url(&self, pipeline: &PipelineId) -> Option<String> {
        let address = self.edges.get(pipeline)?;
        Some(format!("http://{address}"))
    }

    /// Where the buckets are, in path style; `None` where there are none.
    #[must_use]
    pub fn storage_url(&self) -> Option<String> {
        self.storage.map(|address| format!("http://{address}"))
    }

    /// Puts an object, with these headers; `false`: there is no such bucket, no room, or no such key.
    #[must_use]
    pub fn put_object(
        &self,
        bucket: &str,
        key: &str,
        body: &[u8],
        headers: &[(&'static str, &'static str)],
    ) -> bool {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        let (headers, body) = (headers.collect(), Bytes::copy_from_slice(body));
        let now = self.shared.clock.now();
        self.shared.with(|state| {
            let bucket = state.buckets.get_mut(bucket);
            bucket.is_some_and(|bucket| bucket.put(key, body, headers, now))
        })
    }

    /// Deletes an object, if it is there.
    pub fn delete_object(&self, bucket: &str, key: &str) {
        self.shared.with(|state| {
            if let Some(bucket) = state.buckets.get_mut(bucket) {
                bucket.delete(key);
            }
        });
    }

    /// Gives a bucket another website configuration; `None`: it is no website.
    pub fn set_website(&self, bucket: &str, website: Option<Website>) {
        self.shared.with(|state| {
            if let Some(bucket) = state.buckets.get_mut(bucket) {
                bucket.website = website;
            }
        });
    }

    /// Has the API say this of a pipeline's backend stages, whatever it is.
    pub fn set_backends(&self, pipeline: &PipelineId, backends: serde_json::Value) {
        self.shared.with(|state| {
            if let Some(pipeline) = state.pipelines.get_mut(pipeline) {
                pipeline.backends = Some(backends);
            }
        });
    }

    /// The key that the API accepts.
    #[must_use]
    pub fn secret_key(&self) -> SecretString {
        self.shared.with(|state| state.secret_key.clone())
    }

    /// Accepts another key, and no longer the one before.
    pub fn set_secret_key(&self, secret_key: SecretString) {
        self.shared.with(|state| state.secret_key = secret_key);
    }

    /// Accepts no key, until [`Sandbox::restore_key`].
    pub fn revoke_key(&self) {
        self.shared.with(|state| state.revoked = true);
    }

    /// Accepts the key again.
    pub fn restore_key(&self) {
        self.shared.with(|state| state.revoked = false);
    }

    /// Lets the next calls that fit go wrong; after the faults scripted before.
    pub fn script(&self, script: impl Into<Script>) {
        self.shared.with(|state| state.faults.push(script.into()));
    }

    /// Forgets the faults that have not happened.
    pub fn clear_script(&self) {
        self.shared.with(|state| state.faults.clear());
    }

    /// Limits the API's calls from now on, with a full bucket; `None`: no longer.
    pub fn set_rate_limit(&self, limit: Option<RateLimit>) {
        self.shared
            .with(|state| state.limiter = limit.map(state::limiter));
    }

    /// How long purges take that are made from now on.
    pub fn set_purge_delay(&self, delay: Duration) {
        self.shared.with(|state| state.purge_delay = delay);
    }

    /// Puts these web servers behind the edge of a pipeline, as a load balancer does: what the edge
    /// has not is asked of each in turn. Until then one server has the directories of
    /// [`PipelineSettings::origins`].
    pub fn set_servers(&self, pipeline: &PipelineId, servers: Vec<WebServer>) {
        self.shared.with(|state| {
            if let Some(pipeline) = state.pipelines.get_mut(pipeline) {
                pipeline.servers = Servers::new(servers);
            }
        });
    }

    /// Empties the cache of a pipeline, without a purge request.
    pub fn flush(&self, pipeline: &PipelineId) {
        self.shared.with(|state| {
            if let Some(pipeline) = state.pipelines.get_mut(pipeline) {
                pipeline.cache.purge_all();
            }
        });
    }

    /// The purge requests that were made, oldest first; at most the last 10,000.
    #[must_use]
    pub fn requests(&self) -> Vec<PurgeRecord> {
        self.shared
            .with(|state| state.ledger.all().cloned().collect())
    }

    /// The calls that reached the API, oldest first; at most the last 10,000.
    #[must_use]
    pub fn calls(&self) -> Vec<ApiCall> {
        self.shared.with(|state| state.calls.all())
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }
}

fn state(settings: SandboxSettings) -> State {
    State {
        secret_key: settings
            .secret_key
            .unwrap_or_else(|| uuid::Uuid::new_v4().to_string().into()),
        revoked: false,
        limiter: settings.rate_limit.map(state::limiter),
        faults: fault::Faults::default(),
        ledger: Ledger::new(MAX_REQUESTS),
        calls: event::CallLog::default(),
        purge_delay: settings.purge_delay,
        max_assets: settings.max_assets,
        buckets: { settings.buckets.into_iter() }
            .map(|bucket| (bucket.name.clone(), Bucket::new(bucket)))
            .collect(),
        pipelines: settings
            .pipelines
            .into_iter()
            .map(|pipeline| {
                let served = Pipeline {
                    name: pipeline.name,
                    project_id: pipeline.project_id,
                    organization_id: pipeline.organization_id,
                    bucket: pipeline.bucket,
                    backends: None,
                    servers: Servers::new(vec![WebServer {
                        mounts: pipeline.origins,
                        reads: Reads::Own,
                    }]),
                    cache: Cache::new(settings.ttl),
                };
                (pipeline.id, served)
            })
            .collect(),
    }
}
