//! `edgepurge run [--dry-run]`: the daemon.

use std::os::fd::AsFd as _;
use std::process::ExitCode;

use clap::Args;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal, SignalKind, signal};

use tokio::sync::broadcast::Receiver;

use super::{Failure, Global};
use crate::config::{Config, Environment};
use crate::daemon::{Daemon, End, StartError, systemd};
use crate::engine::Notice;
use crate::supervise::Faults;

mod dry;

/// What the log says when the daemon is ready.
pub(super) const READY: &str = "ready: every origin is watched, or in alarm";

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Send nothing, and say what would have been sent.
    ///
    /// With a state of its own in the state directory, without webhooks and admin listener; runs
    /// beside the real one. Like that, the first start remembers the files and purges nothing.
    #[arg(long)]
    dry_run: bool,
    /// End when standard input does: it is a pipe of what has started this process.
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

/// What happens to a running daemon.
enum Event {
    Ready,
    Reload,
    Would(dry::Would),
    End(End),
}

pub(super) async fn run(global: &Global, args: &RunArgs) -> Result<ExitCode, Failure> {
    // Registered first: a signal during the start counts after it.
    let (mut signals, mut hangup) = (Signals::new()?, hear(SignalKind::hangup())?);
    let mut starter = args.until_stdin_ends.then(standard_input).transpose()?;
    let effective = |config| {
        if args.dry_run {
            dry::harmless(config)
        } else {
            Ok(config)
        }
    };
    let mut config = effective(global.load()?)?;
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
    let mut ready = false;
    let mut notices = args.dry_run.then(|| daemon.engine.notices());
    loop {
        let event = tokio::select! {
            () = daemon.ready(), if !ready => Event::Ready,
            () = signals.end() => Event::End(End::Signal),
            () = ends(starter.as_mut()) => Event::End(End::Signal),
            fault = daemon.faults.first() => Event::End(End::Fault(fault)),
            _ = hangup.recv() => Event::Reload,
            Some(would) = would(notices.as_mut()) => Event::Would(would),
        };
        match event {
            Event::Ready => {
                ready = true;
                systemd::ready();
                systemd::feed_watchdog(&daemon);
                tracing::info!("{READY}");
            }
            Event::Would(would) => would.say(&config, global.format)?,
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
                        let new = effective(new)?;
                        let reload = daemon.reload(&config, &new, &environment).await;
                        let (daemon, result) = reload.map_err(|error| unstarted(&error))?;
                        if result.is_ok() {
                            config = new;
                        }
                        (daemon, result)
                    }
                };
                daemon = reloaded;
                notices = args.dry_run.then(|| daemon.engine.notices());
                // What was started anew is fed for while it looks at its origins.
                ready = false;
                systemd::feed_watchdog(&daemon);
                tell(result);
            }
        }
    }
}

/// What would have been sent, in a dry run.
async fn would(notices: Option<&mut Receiver<Notice>>) -> Option<dry::Would> {
    match notices {
        Some(notices) => dry::next(notices).await,
        None => std::future::pending().await,
    }
}

fn standard_input() -> Result<pipe::Receiver, Failure> {
    let copied = std::io::stdin().as_fd().try_clone_to_owned();
    let pipe = copied.and_then(pipe::Receiver::from_owned_fd);
    pipe.map_err(|error| {
        Failure::config(format!("standard input can't be read as a pipe: {error}"))
    })
}

/// Waits until a pipe ends.
async fn ends(pipe: Option<&mut pipe::Receiver>) {
    match pipe {
        Some(pipe) => while matches!(pipe.read(&mut [0; 64]).await, Ok(1..)) {},
        None => std::future::pending().await,
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
