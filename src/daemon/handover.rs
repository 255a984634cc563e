//! What stays when everything else is stopped and started for a new configuration: the sockets, so
//! that no connection is refused meanwhile, and the counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::StartError;
use super::webhooks::{self, Bound};
use crate::admin::AlarmTimes;
use crate::admin::listen::Listeners;
use crate::config::{Config, Environment};
use crate::metrics::Metrics;
use crate::origin::{OriginId, OriginStatus};
use crate::webhook::{Sockets, Tallies};

/// What stays.
pub(super) struct Handover {
    pub(super) metrics: Arc<Metrics>,
    /// The alarms that are on, as far as the log has them.
    pub(super) told: Arc<AlarmTimes>,
    /// What the routes have counted.
    pub(super) routes: Tallies,
    /// What the origins have counted, in their last status.
    pub(super) origins: BTreeMap<OriginId, OriginStatus>,
    listeners: Listeners,
    webhooks: Option<Sockets>,
    /// Called before others serve the sockets: the listeners of now stop without closing them.
    staying: Vec<Box<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Handover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handover").finish_non_exhaustive()
    }
}

impl Handover {
    /// Binds what is not bound yet, and keeps a second handle of everything.
    pub(super) async fn open(
        handover: Option<Self>,
        config: &Config,
        environment: &Environment,
    ) -> Result<(Listeners, Option<Bound>, Self), StartError> {
        let (metrics, told, listeners, mut sockets, routes, origins) = match handover {
            Some(handover) => (
                Some(handover.metrics),
                handover.told,
                Some(handover.listeners),
                handover.webhooks,
                handover.routes,
                handover.origins,
            ),
            None => Default::default(),
        };
        let temporary = |error: std::io::Error| StartError::Temporary(error.to_string());
        let listeners = match listeners {
            Some(listeners) => listeners,
            None => Listeners::bind(config.admin.listen, &config.admin.socket)
                .await
                .map_err(temporary)?,
        };
        let webhooks = webhooks::bind(config, environment, &mut sockets).await?;
        let names = config.pipelines.iter().map(|pipeline| &*pipeline.name);
        let metrics = match metrics {
            Some(metrics) => {
                names.for_each(|name| metrics.prepare(name));
                metrics
            }
            None => Arc::new(Metrics::new(names)),
        };
        let mut staying: Vec<Box<dyn Fn() + Send + Sync>> = vec![Box::new(listeners.staying())];
        if let Some(bound) = &webhooks {
            staying.push(Box::new(bound.sockets().staying()));
        }
        let again = match &webhooks {
            Some(bound) => Some(bound.sockets().again().map_err(temporary)?),
            // What systemd handed over is not handed over again.
            None => sockets.filter(|sockets| sockets.from_systemd),
        };
        let handover = Self {
            metrics,
            told,
            routes,
            origins,
            listeners: listeners.again().map_err(temporary)?,
            webhooks: again,
            staying,
        };
        Ok((listeners, webhooks, handover))
    }

    /// The same once more, for when those that are started with it don't start.
    pub(super) fn again(&self) -> std::io::Result<Self> {
        Ok(Self {
            metrics: Arc::clone(&self.metrics),
            told: Arc::clone(&self.told),
            routes: self.routes.clone(),
            origins: self.origins.clone(),
            listeners: self.listeners.again()?,
            webhooks: self.webhooks.as_ref().map(Sockets::again).transpose()?,
            staying: Vec::new(),
        })
    }

    /// Those who serve the sockets now leave them bound when they stop.
    pub(super) fn stay(&self) {
        self.staying.iter().for_each(|stay| stay());
    }
}
