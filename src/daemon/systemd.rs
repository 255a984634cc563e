//! What systemd is told: ready, stopping, alive. Without systemd, nothing.

use std::time::Duration;

use sd_notify::NotifyState;

use super::Daemon;
use crate::core::time::Time;

/// Everything is started.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is read again; [`ready`] follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!("systemd can't be told of a reload: {error}"),
    }
}

/// The process stops.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("systemd could not be told: {error}");
    }
}

/// Feeds the watchdog from now on, once, where systemd wants it, and only while the engine, the store behind it, and
/// every origin's worker answer: a part that is stuck gets the process restarted.
pub fn feed_watchdog(daemon: &Daemon) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    if daemon.fed.set(()).is_err() {
        return;
    }
    let every = limit / 3;
    let (engine, origins) = (daemon.engine.clone(), daemon.origins.clone());
    let (clock, stopping) = (daemon.clock, daemon.supervisor.stopping());
    daemon.supervisor.spawn("watchdog", async move {
        loop {
            let asked: Time = clock.now();
            let all = async {
                let mut alive = engine.echo().await;
                for origin in &origins {
                    alive &= origin.echo().await;
                }
                alive
            };
            if matches!(tokio::time::timeout(every, all).await, Ok(true)) {
                tell(&[NotifyState::Watchdog]);
            } else {
                tracing::error!(
                    waited_ms = clock.now().since(asked).as_millis(),
                    "a part does not answer; the watchdog is not fed"
                );
            }
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                () = tokio::time::sleep(every.max(Duration::from_millis(100))) => {}
            }
        }
    });
}
