//! `edgepurge run`: the daemon.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, Global};
use crate::config::{Config, Environment};
use crate::daemon::{Daemon, End, StartError, systemd};
use crate::supervise::Faults;

/// What happens to a running daemon.
enum Event {
    Armed,
    Reload,
    End(End),
}

pub(super) async fn run(global: &Global) -> Result<ExitCode, Failure> {
    // Heard from the first moment: a signal during the start counts after it.
    let (mut signals, mut hangup) = (Signals::new()?, hear(SignalKind::hangup())?);
    let mut config = global.load()?;
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
    let mut armed = false;
    loop {
        let event = tokio::select! {
            () = daemon.armed(), if !armed => Event::Armed,
            () = signals.end() => Event::End(End::Signal),
            fault = daemon.faults.first() => Event::End(End::Fault(fault)),
            _ = hangup.recv() => Event::Reload,
        };
        match event {
            Event::Armed => {
                armed = true;
                systemd::ready("watching");
                systemd::feed_watchdog(&daemon);
                tracing::info!("ready: every origin is watched");
            }
            Event::End(end) => return finish(daemon, end).await,
            Event::Reload => {
                systemd::reloading();
                let new = Config::load(&global.config, &environment);
                let (reloaded, result) = match new {
                    Err(problems) => {
                        let why = problems.to_string();
                        daemon.refuse(why.clone());
                        (daemon, Err(why))
                    }
                    Ok(new) => {
                        let reload = daemon.reload(&config, &new, &environment).await;
                        let (daemon, result) = reload.map_err(|error| unstarted(&error))?;
                        if result.is_ok() {
                            config = new;
                        }
                        (daemon, result)
                    }
                };
                daemon = reloaded;
                // What was started anew is fed for while it looks at its origins.
                armed = false;
                systemd::feed_watchdog(&daemon);
                tell(result);
            }
        }
    }
}

fn tell(reloaded: Result<(), String>) {
    match reloaded {
        Ok(()) => tracing::info!("the configuration is reloaded"),
        Err(why) => {
            for line in why.lines().filter(|line| !line.trim().is_empty()) {
                tracing::error!(
                    "the configuration is not reloaded, the one of before stays: {line}"
                );
            }
        }
    }
}

fn hear(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::temporary(format!("signals can't be received: {error}")))
}

/// The signals that end the daemon.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            terminate: hear(SignalKind::terminate())?,
            interrupt: hear(SignalKind::interrupt())?,
        })
    }

    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
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
        () = ended() => End::Signal,
        fault = faults.first() => End::Fault(fault),
    }
}

async fn ended() {
    match Signals::new() {
        Ok(mut signals) => signals.end().await,
        Err(failure) => {
            tracing::error!("{failure}");
            std::future::pending::<()>().await;
        }
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
