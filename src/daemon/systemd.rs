//! The notifications for systemd: ready, stopping, alive, and what is waited for. Without systemd, none
//! is sent.

use std::time::Duration;

use sd_notify::NotifyState;

use super::Daemon;
use crate::core::time::Time;

/// Everything is started.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// What the daemon is doing, for `systemctl status`.
pub fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
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

/// Feeds the watchdog from now on, once, where systemd wants it, and only while the engine and the store
/// behind it answer: a part that is stuck gets the process restarted. An origin whose filesystem hangs is
/// an alarm instead: a restart would not mend it, and would interrupt the other origins.
pub fn feed_watchdog(daemon: &Daemon) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    if daemon.fed.set(()).is_err() {
        return;
    }
    let every = limit / 3;
    let engine = daemon.engine.clone();
    let (clock, stopping) = (daemon.clock, daemon.supervisor.stopping());
    daemon.supervisor.spawn("watchdog", async move {
        loop {
            let asked: Time = clock.now();
            // A follower has no engine.
            let turns = tokio::time::timeout(every, engine.echo()).await == Ok(true);
            if turns || engine.is_closed() {
                tell(&[NotifyState::Watchdog]);
            } else {
                tracing::error!(
                    waited_ms = clock.now().since(asked).as_millis(),
                    "the engine does not answer; the watchdog is not fed"
                );
            }
            tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                () = tokio::time::sleep(every.max(Duration::from_millis(100))) => {}
            }
        }
    });
}
