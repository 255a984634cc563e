//! `edgepurge run`: the daemon.

use std::process::ExitCode;

use super::{Failure, Global};
use crate::config::Environment;
use crate::daemon::{Daemon, End, StartError, systemd};
use crate::supervise::Faults;

pub(super) async fn run(global: &Global) -> Result<ExitCode, Failure> {
    let config = global.load()?;
    let environment = Environment::of_process();
    let mut daemon = Daemon::start(&config, &environment)
        .await
        .map_err(|error| unstarted(&error))?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pipelines = config.pipelines.len(),
        socket = %daemon.socket.display(),
        admin = daemon.admin_address.map(|address| address.to_string()),
        "started"
    );
    tokio::select! {
        () = daemon.armed() => {}
        end = end(&mut daemon.faults) => return finish(daemon, end).await,
    }
    systemd::ready("watching");
    systemd::feed_watchdog(&daemon);
    tracing::info!("ready: every origin is watched");
    let end = end(&mut daemon.faults).await;
    finish(daemon, end).await
}

/// A failure to start.
pub(super) fn unstarted(error: &StartError) -> Failure {
    match error {
        StartError::Config(text) => Failure::config(text),
        StartError::Temporary(text) => Failure::temporary(text),
    }
}

/// Waits for a signal, or for the first fault.
pub(super) async fn end(faults: &mut Faults) -> End {
    tokio::select! {
        () = signal() => End::Signal,
        fault = faults.first() => End::Fault(fault),
    }
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async |kind| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(error) => {
            tracing::error!("signals can't be received: {error}");
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::interrupt()) => {}
    }
}

/// Stops in order after a signal, and at once after a fault: the state is on disk either way.
pub(super) async fn finish(daemon: Daemon, end: End) -> Result<ExitCode, Failure> {
    systemd::stopping();
    match end {
        End::Signal => {
            tracing::info!("stopping");
            daemon.stop().await;
            tracing::info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        End::Fault(fault) => Err(Failure::fault(&fault)),
    }
}
