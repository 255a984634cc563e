//! The client and the sandbox against each other, over real sockets.

mod api;
mod edge;
mod faults;
mod storage;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::core::purge::Refusal;
use crate::scaleway::{
    Client, ClientSettings, CreateTarget, Endpoint, ListQuery, Observer, PurgeRequest, Reply,
};
use crate::supervise::Faults;

const WWW: &str = "11111111-1111-4111-8111-111111111111";
const BLOG: &str = "99999999-9999-4999-8999-999999999999";
/// Nothing here takes longer, unless it hangs.
const LIMIT: Duration = Duration::from_secs(20);

/// A sandbox with two pipelines, and a client of it.
struct World {
    sandbox: Sandbox,
    client: Client,
    seen: Arc<Seen>,
    site: PathBuf,
    http: reqwest::Client,
    _supervisor: Supervisor,
    _faults: Faults,
    _dir: tempfile::TempDir,
}

/// Counts calls by operation and class.
#[derive(Default)]
struct Seen(Mutex<BTreeMap<(&'static str, &'static str), u32>>);

impl Observer for Seen {
    fn call(&self, operation: &'static str, class: &'static str, _took: Duration) {
        *self
            .0
            .lock()
            .unwrap()
            .entry((operation, class))
            .or_default() += 1;
    }
}

impl Seen {
    fn count(&self, operation: &'static str, class: &'static str) -> u32 {
        let seen = self.0.lock().unwrap();
        seen.get(&(operation, class)).copied().unwrap_or_default()
    }
}

/// What an edge answered.
#[derive(Debug, PartialEq, Eq)]
struct Served {
    status: u16,
    cache: String,
    body: String,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}, Duration::from_secs(10)).await
    }

    async fn with(adjust: impl FnOnce(&mut SandboxSettings), request_timeout: Duration) -> Self {
        // Another test may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let dir = tempfile::tempdir().unwrap();
        let site = dir.path().join("site");
        std::fs::create_dir(&site).unwrap();
        let clock = Clock::start();
        let mut settings = SandboxSettings::new(clock);
        settings.purge_delay = Duration::from_millis(50);
        settings.pipelines = vec![
            PipelineSettings::new(PipelineId::new(WWW), &site),
            PipelineSettings {
                name: "blog".to_owned(),
                project_id: "project-of-blog".to_owned(),
                organization_id: "organization-of-blog".to_owned(),
                ..PipelineSettings::new(PipelineId::new(BLOG), &site)
            },
        ];
        adjust(&mut settings);
        let (supervisor, faults) = Supervisor::new();
        let sandbox = Sandbox::start(settings, &supervisor).await.unwrap();
        let seen = Arc::new(Seen::default());
        let fast = NonZeroU32::new(10_000).unwrap();
        let client = Client::new(ClientSettings {
            endpoint: Endpoint::parse(&sandbox.api_url()).unwrap(),
            secret_key: sandbox.secret_key(),
            requests_per_second: fast,
            burst: fast,
            request_timeout,
            clock,
            observer: Some(Arc::<Seen>::clone(&seen)),
        })
        .unwrap();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(LIMIT)
            .build()
            .unwrap();
        Self {
            sandbox,
            client,
            seen,
            site,
            http,
            _supervisor: supervisor,
            _faults: faults,
            _dir: dir,
        }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.site.join(name), text).unwrap();
    }

    /// Web servers of these directories, in turn.
    fn serve(&self, roots: &[&PathBuf], reads: Reads) {
        let server = |root: &&PathBuf| WebServer {
            mounts: vec![Mount {
                url_prefix: "/".to_owned(),
                root: PathBuf::clone(root),
            }],
            reads,
        };
        let servers = roots.iter().map(server).collect();
        self.sandbox.set_servers(&PipelineId::new(WWW), servers);
    }

    async fn create(&self, assets: &[&str]) -> Result<Reply<PurgeRequest>, Refusal> {
        let target = if assets.is_empty() {
            CreateTarget::All
        } else {
            CreateTarget::Assets(assets.iter().map(ToString::to_string).collect())
        };
        self.client.create(&PipelineId::new(WWW), &target).await
    }

    /// Makes a purge request and waits until it settled.
    async fn purge(&self, assets: &[&str]) -> PurgeStatus {
        let mut events = self.sandbox.events();
        let made = self.create(assets).await.unwrap().value.id;
        let settled = async {
            loop {
                if let Event::RequestDone { id, status, .. } = events.recv().await.unwrap()
                    && id == made
                {
                    return status;
                }
            }
        };
        tokio::time::timeout(LIMIT, settled).await.unwrap()
    }

    fn edge(&self) -> String {
        self.sandbox.edge_url(&PipelineId::new(WWW)).unwrap()
    }

    async fn visit(&self, path: &str) -> Served {
        self.send(self.http.get(format!("{}{path}", self.edge())))
            .await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Served {
        let response = request.send().await.unwrap();
        Served {
            status: response.status().as_u16(),
            cache: response.headers()["x-cache"].to_str().unwrap().to_owned(),
            body: response.text().await.unwrap(),
        }
    }

    /// A call as some other client makes it.
    fn raw(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        use secrecy::ExposeSecret;
        self.http
            .request(
                method,
                format!("{}/edge-services/v1beta1/{path}", self.sandbox.api_url()),
            )
            .header("x-auth-token", self.sandbox.secret_key().expose_secret())
    }
}

fn served(status: u16, cache: &str, body: &str) -> Served {
    Served {
        status,
        cache: cache.to_owned(),
        body: body.to_owned(),
    }
}

fn page(page: u32, page_size: u32) -> ListQuery {
    ListQuery {
        page: Some(page),
        page_size: Some(page_size),
        ..ListQuery::default()
    }
}
