//! The webhook listener, from the configuration to a bound socket and routes at work.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::StartError;
use crate::admin;
use crate::clock::Clock;
use crate::config::{Config, Environment, WebhookListen};
use crate::core::cause::Cause;
use crate::core::change::PipelineId;
use crate::core::delivery::{DeliveryProgress, DeliveryRecord, Intent, NewDelivery, Taken};
use crate::engine::EngineHandle;
use crate::intake::Intake;
use crate::jobs;
use crate::origin::OriginHandle;
use crate::sink::{Deliveries, SinkFuture};
use crate::supervise::Supervisor;
use crate::webhook::{
    CurrentCertificate, Hook, Listen, ListenerHandle, ServerSettings, Sockets, Tallies, serve,
};

/// A listener that is bound, and answers nothing yet.
#[derive(Debug)]
pub(super) struct Bound {
    sockets: Sockets,
    hooks: Vec<Hook>,
    settings: ServerSettings,
}

/// The routes, with their secrets read.
pub(super) fn hooks(config: &Config, environment: &Environment) -> Result<Vec<Hook>, StartError> {
    let mut hooks = Vec::new();
    for pipeline in &config.pipelines {
        for webhook in &pipeline.webhooks {
            let route = webhook
                .route(environment)
                .map_err(|problems| StartError::Config(problems.to_string()))?;
            hooks.push(Hook {
                route,
                pipeline: pipeline.name.as_str().into(),
            });
        }
    }
    Ok(hooks)
}

/// The certificate, with its files read; `None` for plain HTTP.
pub(super) fn certificate(config: &Config) -> Result<Option<CurrentCertificate>, StartError> {
    let Some(files) = config.webhooks.certificate_files() else {
        return Ok(None);
    };
    let paths = [files.certificate.clone(), files.key.clone()];
    let read = move || files.read().map_err(|problems| problems.to_string());
    CurrentCertificate::open(paths, Box::new(read))
        .map(Some)
        .map_err(StartError::Config)
}

/// Reads the secrets and binds, unless sockets are there already; `None` where no pipeline has a
/// webhook.
pub(super) async fn bind(
    config: &Config,
    environment: &Environment,
    bound: &mut Option<Sockets>,
) -> Result<Option<Bound>, StartError> {
    let hooks = hooks(config, environment)?;
    if hooks.is_empty() {
        return Ok(None);
    }
    let certificate = certificate(config)?;
    if let Some(sockets) = bound.take() {
        check_open(config, &sockets)?;
        return Ok(Some(Bound::new(config, sockets, hooks, certificate)));
    }
    let (listen, shown) = match &config.webhooks.listen {
        WebhookListen::Tcp(address) => (Listen::Tcp(*address), address.to_string()),
        WebhookListen::Unix(path) => (
            Listen::Unix(path.clone()),
            format!("unix:{}", path.display()),
        ),
    };
    let sockets = Sockets::bind(&listen).await.map_err(|error| {
        StartError::Temporary(format!(
            "webhooks.listen {shown}: {error}; is another program listening there?"
        ))
    })?;
    check_open(config, &sockets)?;
    Ok(Some(Bound::new(config, sockets, hooks, certificate)))
}

/// A route without a secret is refused where others can reach it. What the configuration says of
/// that is known already; a socket from systemd may be bound somewhere else.
fn check_open(config: &Config, sockets: &Sockets) -> Result<(), StartError> {
    let public = sockets
        .public()
        .map_err(|error| StartError::Temporary(format!("a webhook socket: {error}")))?;
    let mut webhooks = config.pipelines.iter().flat_map(|p| &p.webhooks);
    match (
        public,
        webhooks.find(|webhook| webhook.settings.kind.is_open()),
    ) {
        (Some(address), Some(open)) => Err(StartError::Config(format!(
            "{}.auth: \"none\" lets every machine purge: the socket from systemd, {address}, can be reached from \
             others; hint: give the route {} a secret, or let ListenStream= name 127.0.0.1 or a Unix socket",
            open.section, open.settings.path
        ))),
        _ => Ok(()),
    }
}

/// Deliveries, and what their pipelines wait for.
struct Followed {
    intake: Arc<Intake>,
    engine: EngineHandle,
    /// The pipeline of each route, and its origins.
    routes: BTreeMap<String, (PipelineId, Vec<OriginHandle>)>,
    clock: Clock,
}

impl Followed {
    fn new(hooks: &[Hook], parts: &jobs::Parts) -> Self {
        let origins = |id: &PipelineId| {
            let pipeline = parts.pipelines.get(id);
            let origins = pipeline.into_iter().flat_map(|one| &one.origins);
            origins.map(|(_, origin)| origin.clone()).collect()
        };
        let routes = hooks.iter().map(|hook| {
            let id = hook.route.pipeline();
            (hook.route.path().to_owned(), (id.clone(), origins(id)))
        });
        Self {
            routes: routes.collect(),
            intake: Arc::clone(&parts.intake),
            engine: parts.engine.clone(),
            clock: parts.clock,
        }
    }

    /// What the pipeline of a route waits for; none where the engine does not answer.
    async fn causes(&self, route: &str) -> Vec<Cause> {
        let Some((id, origins)) = self.routes.get(route) else {
            return Vec::new();
        };
        // In the direction that changes flow, as the status is gathered.
        let origins: Vec<_> = origins.iter().map(OriginHandle::status).collect();
        let view = tokio::time::timeout(admin::PATIENCE, self.engine.view()).await;
        let Ok(Some(view)) = view else {
            return Vec::new();
        };
        let planned = view.pipelines.get(id).cloned().unwrap_or_default();
        let alarms = planned.alarms.iter().chain(&view.alarms);
        admin::causes(&origins, &planned, 0, alarms)
    }
}

impl Deliveries for Followed {
    fn deliver(&self, delivery: NewDelivery<Intent>) -> SinkFuture<'_, Taken> {
        self.intake.deliver(delivery)
    }

    fn delivery<'a>(
        &'a self,
        route: &'a str,
        event: &'a str,
    ) -> SinkFuture<'a, Option<DeliveryRecord>> {
        self.intake.delivery(route, event)
    }

    fn progress<'a>(
        &'a self,
        route: &'a str,
        event: &'a str,
    ) -> SinkFuture<'a, Option<DeliveryProgress>> {
        Box::pin(async move {
            Ok(match self.intake.progress(route, event).await? {
                Some(progress) if !progress.has_ended() => {
                    let causes = self.causes(route).await;
                    Some(progress.waiting_for(causes, self.clock.now()))
                }
                found => found,
            })
        })
    }
}

impl Bound {
    fn new(
        config: &Config,
        sockets: Sockets,
        hooks: Vec<Hook>,
        certificate: Option<CurrentCertificate>,
    ) -> Self {
        Self {
            sockets,
            hooks,
            settings: ServerSettings {
                body_limit: config.webhooks.body_limit,
                trusted_proxies: config.webhooks.trusted_proxies.clone(),
                failed_auth_per_minute: config.webhooks.failed_auth_per_minute,
                certificate: certificate.map(Arc::new),
            },
        }
    }

    pub(super) const fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Serves until the supervisor stops.
    pub(super) fn serve(
        self,
        parts: &jobs::Parts,
        tallies: &Tallies,
        supervisor: &Supervisor,
    ) -> ListenerHandle {
        let (routes, systemd) = (self.hooks.len(), self.sockets.from_systemd);
        let clock = parts.clock;
        let deliveries = Arc::new(Followed::new(&self.hooks, parts));
        let (sockets, hooks, settings) = (self.sockets, self.hooks, self.settings);
        let handle = serve(
            sockets, hooks, tallies, settings, deliveries, clock, supervisor,
        );
        if let Some(certificate) = handle.certificate() {
            let (facts, validity) = (&certificate.facts, certificate.facts.validity(clock.now()));
            tracing::info!(
                "webhooks are taken in TLS, with the certificate of {facts}; {validity}"
            );
        }
        tracing::info!(
            addresses = handle.addresses().join(", "),
            systemd,
            routes,
            "webhooks are taken"
        );
        handle
    }
}
