//! The daemon as a whole: starts every part in order, and stops them in order.
//!
//! The order of starting: lock and store, index, API client, origins, engine, listeners. Nothing is
//! noticed before it can be committed, and nothing is asked before it can be answered. What only a leader
//! does is a unit of its own (`daemon/desk.rs`); the rest is every node's. Stopping is
//! the reverse, and always safe: what is not committed by then is found again at the next start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokio::runtime::Handle;

use crate::admin::{Admin, AdminPipeline, Reloads, Token};
use crate::clock::Clock;
use crate::config::{self, ApiUrl, Config, Environment};
use crate::core::change::PipelineId;
use crate::core::website::Website;
use crate::credentials::Credentials;
use crate::engine::EngineHandle;
use crate::explain::Explainer;
use crate::fleet::Agreements;
use crate::intake::{Admission, Intake};
use crate::jobs::{self, JobError, remap};
use crate::origin::{BucketOrigin, Index, Origin, OriginHandle, OriginSettings};
use crate::page;
use crate::s3::Bucket;
use crate::sandbox::Sandbox;
use crate::sink::Sink;
use crate::store::{Database, Store, StoreError};
use crate::supervise::{Fault, Faults, Supervisor};
use crate::webhook::ListenerHandle;
pub use api::client;
use api::{check_projects, key_reader, key_source};
use databases::{fit_database, open_databases, started_clock};
use desk::Leader;
use handover::Handover;
use settings::Committing;

mod api;
mod databases;
mod desk;
mod handover;
mod herald;
mod reload;
mod settings;
pub mod systemd;
mod webhooks;

/// How long stopping may take before the process ends anyway.
const STOP: Duration = Duration::from_secs(20);
/// The same, where an origin's filesystem hangs: its worker does not stop at all.
const STOP_HUNG: Duration = Duration::from_secs(3);

/// Why the daemon does not start, with the exit code that says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration, or what it names, is wrong: exit 78.
    #[error("{0}")]
    Config(String),
    /// Something is in the way now; starting again may help: exit 75.
    #[error("{0}")]
    Temporary(String),
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unusable(_) | StoreError::Damaged(_) => Self::Config(error.to_string()),
            StoreError::Locked(_)
            | StoreError::Failed(_)
            | StoreError::Superseded
            | StoreError::Withdrawn
            | StoreError::Away(_)
            | StoreError::Closed => Self::Temporary(error.to_string()),
        }
    }
}

impl From<JobError> for StartError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Store(error) => error.into(),
            JobError::Temporary(why) => Self::Temporary(why),
        }
    }
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    /// Its tasks and threads.
    pub supervisor: Supervisor,
    /// Where the first fault arrives.
    pub faults: Faults,
    /// The engine.
    pub engine: EngineHandle,
    /// Where the admin side listens on TCP.
    pub admin_address: Option<SocketAddr>,
    /// The webhook listener, where a pipeline has a webhook.
    pub webhooks: Option<ListenerHandle>,
    /// The admin socket.
    pub socket: PathBuf,
    /// The embedded simulator, where it is the API.
    pub sandbox: Option<Sandbox>,
    /// The origins.
    pub origins: Vec<OriginHandle>,
    /// The clock.
    pub clock: Clock,
    reloads: Arc<Reloads>,
    credentials: Credentials,
    /// Set when the watchdog is fed.
    fed: OnceLock<()>,
    /// `None` once it stops for good.
    handover: Option<Handover>,
}

/// What outlives a reload.
struct Process {
    /// `None` until the first start has found the time.
    clock: Option<Clock>,
    reloads: Arc<Reloads>,
    handover: Option<Handover>,
}

impl Daemon {
    /// Starts everything.
    ///
    /// # Errors
    /// When a part can't start; the error says what, why, and what to do.
    pub async fn start(config: &Config, environment: &Environment) -> Result<Self, StartError> {
        Self::start_prepared(config, environment, |_| {}).await
    }

    /// Starts everything; `prepare` gets the sandbox, where it is the API, before any origin looks at it.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub async fn start_prepared(
        config: &Config,
        environment: &Environment,
        prepare: impl FnOnce(&Sandbox) + Send,
    ) -> Result<Self, StartError> {
        let reloads = Arc::new(Reloads::default());
        let process = Process {
            clock: None,
            reloads,
            handover: None,
        };
        Self::start_with(config, environment, process, prepare).await
    }

    /// Starts everything, with what stays when the configuration is reloaded.
    async fn start_with(
        config: &Config,
        environment: &Environment,
        process: Process,
        prepare: impl FnOnce(&Sandbox) + Send,
    ) -> Result<Self, StartError> {
        let (supervisor, faults) = Supervisor::new();
        let parts = supervisor.clone();
        let started = async {
            let clock = process.clock.unwrap_or_else(Clock::start);
            let sandbox = start_sandbox(config, environment, clock, &supervisor).await?;
            if let Some(sandbox) = &sandbox {
                prepare(sandbox);
            }
            Self::assemble(config, environment, process, sandbox, supervisor, faults).await
        };
        let started = started.await;
        if started.is_err() {
            // What is left of it would be in the way of the next start.
            drop(tokio::time::timeout(STOP, parts.stop()).await);
        }
        started
    }

    async fn assemble(
        config: &Config,
        environment: &Environment,
        process: Process,
        sandbox: Option<Sandbox>,
        supervisor: Supervisor,
        faults: Faults,
    ) -> Result<Self, StartError> {
        warn(config, environment);
        let credentials = credentials(config, environment);
        let database = fit_database(config, environment).await?;
        let (store, index) = open_databases(config, database, &supervisor)?;
        let (reloads, handover) = (process.reloads, process.handover);
        let clock = started_clock(process.clock, &store).await?;
        let (listeners, webhooks, handover) = Handover::open(handover, config, environment).await?;
        let metrics = Arc::clone(&handover.metrics);
        store.observe_commits(clock, Committing::new(config, &metrics));
        let client = client(config, environment, sandbox.as_ref(), Some(&metrics), clock)?;
        let client = Arc::new(client);
        check_projects(config, &client).await?;
        let engine = EngineHandle::new();
        let intake = Arc::new(intake(config, &store, &index, &engine, clock)?);
        remap::remap(config, &store, &intake).await?;
        // What the origins find from now on is news; what is asked waits for the engine.
        let history = *store.subscribe().borrow();
        let seat = (!store.is_on_server()).then(|| engine.seat());
        let pipelines = start_origins(
            config,
            settings::Reach::new(environment, sandbox.as_ref()),
            &index,
            &intake,
            &handover,
            clock,
            &supervisor,
        )?;
        let jobs = jobs::Parts {
            store: Arc::clone(&store),
            index,
            intake: Arc::clone(&intake),
            pipelines: Arc::new(pipelines),
            engine: engine.clone(),
            metrics: Arc::clone(&metrics),
            agreements: Agreements::default(),
            clock,
        };
        let leader = Leader {
            config: config.clone(),
            parts: jobs.clone(),
            client: Arc::clone(&client),
            key: key_reader(config, environment),
            supervisor: supervisor.clone(),
        };
        let fleet = leader.start(seat, history).await?;
        jobs::start(config, &jobs, fleet.as_ref(), &supervisor).await?;
        let webhooks = webhooks.map(|bound| bound.serve(&jobs, &handover.routes, &supervisor));
        let admin = Arc::new(Admin {
            engine: engine.clone(),
            store,
            intake,
            client,
            metrics,
            pipelines: jobs.pipelines,
            fleet,
            agreements: jobs.agreements,
            webhooks: webhooks.clone(),
            explainer: Arc::new(explainer(config)?),
            reloads: Arc::clone(&reloads),
            api_url: api_url(config, sandbox.as_ref()),
            key: key_source(config, environment),
            credentials: credentials.clone(),
            alarm_times: Arc::clone(&handover.told),
            config_file: config.file.clone(),
            config_read: clock.now(),
            clock,
        });
        herald::spawn(&admin, &handover.told, config, &supervisor);
        let admin_address = listeners.address();
        let page = page::routes(&admin, supervisor.stopping());
        listeners.serve(&admin, &page, token(config)?, &supervisor);
        Ok(Self {
            supervisor,
            faults,
            engine,
            admin_address,
            webhooks,
            socket: config.admin.socket.clone(),
            sandbox,
            origins: handles(&admin.pipelines),
            clock,
            reloads,
            credentials,
            fed: OnceLock::new(),
            handover: Some(handover),
        })
    }

    /// Waits until every origin is armed (watched, and compared once) or in alarm.
    pub fn ready(&self) -> impl Future<Output = ()> + use<> {
        let origins = self.origins.clone();
        async move {
            for origin in &origins {
                origin.ready().await;
            }
        }
    }

    /// Stops everything, in order, within a limit.
    pub async fn stop(mut self) {
        // Connections from now on are refused, not left waiting.
        drop(self.handover.take());
        if !self.end().await.1 {
            tracing::warn!("not everything stopped in time; ending anyway, the state is on disk");
        }
    }

    /// Stops everything but what is kept; and whether that was in time.
    async fn end(self) -> (Option<Handover>, bool) {
        let Self {
            supervisor,
            engine,
            sandbox,
            origins,
            webhooks,
            handover,
            ..
        } = self;
        // A thread that waits for a filesystem that hangs does not see the signal.
        let patience = if origins.iter().any(OriginHandle::is_hung) {
            STOP_HUNG
        } else {
            STOP
        };
        // What is held here keeps the store open; it ends when the last user has let go of it.
        drop((engine, sandbox, origins, webhooks));
        let stopped = tokio::time::timeout(patience, supervisor.stop()).await;
        (handover, stopped.is_ok())
    }
}

/// The origins of all pipelines.
fn handles(pipelines: &BTreeMap<PipelineId, AdminPipeline>) -> Vec<OriginHandle> {
    let origins = pipelines.values().flat_map(|pipeline| &pipeline.origins);
    origins.map(|(_, origin)| origin.clone()).collect()
}

/// Where the API is.
fn api_url(config: &Config, sandbox: Option<&Sandbox>) -> String {
    let configured = || config.scaleway.api_url.as_str().to_owned();
    sandbox.map_or_else(configured, Sandbox::api_url)
}

/// Says what looks wrong with the configuration and its secrets.
fn warn(config: &Config, environment: &Environment) {
    let secrets = config.secret_warnings(environment);
    for warning in config.warnings.iter().chain(&secrets) {
        tracing::warn!("{warning}");
    }
}

fn credentials(config: &Config, environment: &Environment) -> Credentials {
    let directory = environment.path("CREDENTIALS_DIRECTORY");
    let names = config.credentials(environment);
    Credentials::new(directory.unwrap_or(Path::new("")), names)
}

/// The token of changing calls over TCP.
fn token(config: &Config) -> Result<Option<Token>, StartError> {
    let token = config.admin.token();
    let token = token.map_err(|problems| StartError::Config(problems.to_string()))?;
    Ok(token.map(|secret| secret.value))
}

/// Starts the sandbox, where it is the API, and says how to speak to it.
async fn start_sandbox(
    config: &Config,
    environment: &Environment,
    clock: Clock,
    supervisor: &Supervisor,
) -> Result<Option<Sandbox>, StartError> {
    if config.scaleway.api_url != ApiUrl::Sandbox {
        return Ok(None);
    }
    let given = config
        .scaleway
        .secret_key(environment)
        .map_err(|problems| StartError::Config(problems.to_string()))?;
    let mut settings = settings::sandbox(config, clock);
    settings.secret_key = given.as_ref().map(|secret| secret.value.clone());
    let sandbox = Sandbox::start(settings, supervisor)
        .await
        .map_err(|error| StartError::Temporary(format!("the sandbox does not start: {error}")))?;
    // One that was made for this run opens nothing else; one that was given may be a real one.
    let key = given.map_or_else(
        || sandbox.secret_key().expose_secret().to_owned(),
        |secret| format!("that of the {}", secret.source),
    );
    tracing::info!(
        "the sandbox's API is at {}, its key is {key}",
        sandbox.api_url()
    );
    Ok(Some(sandbox))
}

/// The origins of a pipeline, as the configuration has them.
#[must_use]
pub fn origins(config: &Config, pipeline: &config::Pipeline) -> Vec<OriginSettings> {
    settings::origins(config, pipeline)
}

/// The website configuration of a bucket, asked of the bucket itself; `None`: it is no website.
///
/// # Errors
/// Why it is not known.
pub async fn website(
    config: &Config,
    environment: &Environment,
    origin: &config::Origin,
) -> Result<Option<Website>, String> {
    let reach = settings::Reach::new(environment, None);
    let Some(settings) = settings::bucket(config, reach, origin) else {
        return Err("it is a bucket of the sandbox, which lives inside the daemon".to_owned());
    };
    let bucket = Bucket::new(settings, Clock::start()).map_err(|error| error.to_string())?;
    bucket.website().await.map_err(|error| error.to_string())
}

/// What of a website the configuration does not purge, and what to write.
///
/// # Errors
/// Never for a configuration without problems: it was checked with the same parsers.
pub fn uncovered(
    config: &Config,
    pipeline: &config::Pipeline,
    origin: &config::Origin,
    website: &Website,
) -> Result<Vec<String>, StartError> {
    let known = settings::intake(config).map_err(StartError::Config)?;
    let known = known.get(&pipeline.id);
    Ok(known.map_or_else(Vec::new, |known| known.uncovered(&origin.name, website)))
}

/// The buckets of a pipeline, as the configuration has them; without those of the sandbox, which lives inside the
/// daemon.
#[must_use]
pub fn buckets(
    config: &Config,
    environment: &Environment,
    pipeline: &config::Pipeline,
) -> Vec<BucketOrigin> {
    settings::buckets(config, settings::Reach::new(environment, None), pipeline)
}

/// The database that has the queue; `None`: the queue is in the state directory.
///
/// # Errors
/// What is wrong with its URL.
pub fn database(config: &Config, environment: &Environment) -> Result<Option<Database>, String> {
    settings::database(config, environment)
}

/// The configuration, as it can be explained.
///
/// # Errors
/// Never for a configuration without problems: it was checked with the same parsers.
pub fn explainer(config: &Config) -> Result<Explainer, StartError> {
    settings::explainer(config).map_err(StartError::Config)
}

fn intake(
    config: &Config,
    store: &Arc<Store>,
    index: &Arc<Index>,
    engine: &EngineHandle,
    clock: Clock,
) -> Result<Intake, StartError> {
    let (engine, queued) = (engine.clone(), engine.queued());
    let runtime = Handle::current();
    let scanning = move |pipeline: &PipelineId, running: bool| {
        // Called from an origin's thread, which may wait for the engine.
        runtime.block_on(engine.scanning(pipeline.clone(), running));
    };
    let admission = Admission::new(settings::caps(config), queued, store.subscribe_full());
    let pipelines = settings::intake(config).map_err(StartError::Config)?;
    let intake = Intake::new(pipelines, Arc::clone(store), Arc::new(scanning), clock);
    Ok(intake
        .with_admission(admission)
        .with_remembered(Arc::clone(index) as Arc<_>))
}

fn start_origins(
    config: &Config,
    reach: settings::Reach<'_>,
    index: &Arc<Index>,
    intake: &Arc<Intake>,
    handover: &Handover,
    clock: Clock,
    supervisor: &Supervisor,
) -> Result<BTreeMap<PipelineId, AdminPipeline>, StartError> {
    settings::make_cookie_directory(config).map_err(|error| {
        StartError::Temporary(format!(
            "a directory in {} can't be made: {error}",
            config.state.directory.display()
        ))
    })?;
    let observer = Arc::new(settings::Observing::new(&handover.metrics));
    let mut pipelines = BTreeMap::new();
    for (at, pipeline) in config.pipelines.iter().enumerate() {
        let mut origins = Vec::new();
        for mut settings in settings::origins(config, pipeline) {
            settings.observer = Some(Arc::clone(&observer) as _);
            let sink: Arc<dyn Sink> = Arc::clone(intake) as Arc<dyn Sink>;
            let (name, root) = (Arc::clone(&settings.name), settings.root.clone());
            let origin = Origin::start(settings, index, sink, clock, supervisor, Handle::current())
                .map_err(|error| unstarted(&pipeline.name, &root, &error))?;
            origins.push((name, counting_on(handover, origin)));
        }
        for mut settings in settings::buckets(config, reach, pipeline) {
            settings.observer = Some(Arc::clone(&observer) as _);
            let sink: Arc<dyn Sink> = Arc::clone(intake) as Arc<dyn Sink>;
            let name = Arc::clone(&settings.name);
            let bucket = settings.bucket.name.clone();
            let runtime = Handle::current();
            let origin = Origin::start_bucket(settings, index, sink, clock, supervisor, &runtime)
                .map_err(|error| unstarted(&pipeline.name, Path::new(&bucket), &error))?;
            origins.push((name, counting_on(handover, origin)));
        }
        let entry = AdminPipeline {
            name: pipeline.name.as_str().into(),
            max_assets: pipeline.max_assets,
            origins,
            place: settings::place(config, &format!("pipeline[{at}]"), "id"),
            roots: settings::roots(config, at, pipeline),
        };
        pipelines.insert(pipeline.id.clone(), entry);
    }
    Ok(pipelines)
}

/// The origin, with what was counted before a reload.
fn counting_on(handover: &Handover, origin: OriginHandle) -> OriginHandle {
    let before = handover.origins.get(origin.id());
    let before = before.cloned().unwrap_or_default();
    origin.counting_on(before)
}

fn unstarted(pipeline: &str, root: &Path, error: &dyn std::fmt::Display) -> StartError {
    StartError::Temporary(format!(
        "the origin {} of {pipeline} can't be watched: {error}",
        root.display()
    ))
}

/// What ended the wait for the end.
#[derive(Debug)]
pub enum End {
    /// SIGTERM or SIGINT.
    Signal,
    /// A part failed.
    Fault(Fault),
}
