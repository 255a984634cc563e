//! Reloading the configuration (SIGHUP): everything stops and starts again in the usual order, inside the
//! process, while the sockets stay bound. No part has to change while it runs, and a start finds what
//! changed meanwhile; so a reload loses nothing that a restart would not lose.
//!
//! A file with problems, in itself or in the secrets that it names, changes nothing: all problems are
//! reported. `daemon/handover.rs` is what stays: a second handle of each socket, so that connections wait and
//! are not refused, and the counts, those of routes and origins by their names. A change of
//! `state.directory`, `scaleway.api_url` or the address of a bound listener is refused, with what to do
//! instead. If the new configuration does not start, the old one is started again.

use std::sync::Arc;

use super::{Daemon, Process, StartError, check_projects, client, databases, settings, webhooks};
use crate::config::{ApiUrl, Config, Environment};
use crate::webhook::ListenerHandle;

impl Daemon {
    /// Goes on with another configuration, or, when that can't be, with the one it has: then says
    /// why not.
    ///
    /// # Errors
    /// When neither starts: the process has to end.
    pub async fn reload(
        self,
        now: &Config,
        new: &Config,
        environment: &Environment,
    ) -> Result<(Self, Result<(), String>), StartError> {
        if let Err(why) = self.check(now, new, environment).await {
            self.reloads.failed(why.clone());
            return Ok((self, Err(why)));
        }
        let (clock, reloads) = (self.clock, Arc::clone(&self.reloads));
        if let Some(handover) = &self.handover {
            handover.stay();
        }
        let routes = self.webhooks.as_ref().map(ListenerHandle::tallies);
        let origins = self.origins.clone();
        let credentials = self.credentials.clone();
        let (handover, stopped) = self.end().await;
        let Some(mut handover) = handover.filter(|_| stopped) else {
            return Err(StartError::Temporary(
                "not everything stopped in time to reload; the state is on disk, start again"
                    .to_owned(),
            ));
        };
        handover.routes = routes.unwrap_or_default();
        handover.origins = origins
            .iter()
            .map(|origin| (origin.id().clone(), origin.status()))
            .collect();
        drop(origins);
        let temporary = |error: std::io::Error| StartError::Temporary(error.to_string());
        let again = handover.again().map_err(temporary)?;
        let process = |handover| Process {
            clock: Some(clock),
            reloads: Arc::clone(&reloads),
            handover: Some(handover),
        };
        let started = Self::start_with(new, environment, process(handover), |_| {});
        let why = match started.await {
            Ok(daemon) => {
                daemon.reloads.succeeded();
                daemon.credentials.tell_reloaded(&credentials);
                return Ok((daemon, Ok(())));
            }
            Err(error) => error.to_string(),
        };
        tracing::error!("the new configuration does not start, so the old one is started: {why}");
        reloads.failed(why.clone());
        let daemon = Self::start_with(now, environment, process(again), |_| {}).await?;
        Ok((daemon, Err(why)))
    }

    /// The file could not be read as a configuration: the one at work stays.
    pub fn refuse(&self, why: String) {
        self.reloads.failed(why);
    }

    /// Everything that can be known before anything is stopped.
    async fn check(
        &self,
        now: &Config,
        new: &Config,
        environment: &Environment,
    ) -> Result<(), String> {
        let mut problems = unchangeable(now, new);
        let mut note = |result: Result<(), String>| problems.extend(result.err());
        let token = new.admin.token();
        note(token.map(drop).map_err(|found| found.to_string()));
        note(
            webhooks::hooks(new, environment)
                .map(drop)
                .map_err(|error| error.to_string()),
        );
        let certificate = webhooks::certificate(new).map(drop);
        note(certificate.map_err(|error| error.to_string()));
        note(settings::explainer(new).map(drop));
        // What does not answer now would not answer the old configuration either, once that has stopped.
        let fit = databases::fit_database(new, environment).await.map(drop);
        note(fit.map_err(|error| error.to_string()));
        if new.scaleway.api_url != ApiUrl::Sandbox {
            match client(new, environment, None, None, self.clock) {
                Ok(client) => {
                    let checked = check_projects(new, &client).await;
                    note(checked.map_err(|error| error.to_string()));
                }
                Err(error) => note(Err(error.to_string())),
            }
        }
        match problems.as_slice() {
            [] => Ok(()),
            problems => Err(problems.join("\n")),
        }
    }
}

/// What is different and can't be changed while the process runs.
fn unchangeable(now: &Config, new: &Config) -> Vec<String> {
    let api = |config: &Config| config.scaleway.api_url.as_str().to_owned();
    let shown = |path: &std::path::Path| path.display().to_string();
    let listen = |config: &Config| {
        let listen = config.admin.listen;
        listen.map_or_else(|| "off".to_owned(), |address| address.to_string())
    };
    let routes = |config: &Config| config.pipelines.iter().any(|one| !one.webhooks.is_empty());
    let webhooks = |config: &Config| format!("{:?}", config.webhooks.listen);
    // Sockets that are not bound can be bound anywhere.
    let bound = routes(now) && routes(new);
    let pairs = [
        ("scaleway.api_url", api(now), api(new)),
        (
            "state.directory",
            shown(&now.state.directory),
            shown(&new.state.directory),
        ),
        ("admin.listen", listen(now), listen(new)),
        (
            "admin.socket",
            shown(&now.admin.socket),
            shown(&new.admin.socket),
        ),
        (
            "webhooks.listen",
            webhooks(now),
            if bound { webhooks(new) } else { webhooks(now) },
        ),
    ];
    let changed = pairs.into_iter().filter(|(_, now, new)| now != new);
    changed
        .map(|(key, now, new)| {
            format!(
                "{key}: is {now} and can't become {new} while edgepurge runs; restart it, nothing \
                 is lost: systemctl restart edgepurge"
            )
        })
        .collect()
}
