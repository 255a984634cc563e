//! Runs a command as if it had been started alone: its streams are ours, and signals are passed on.

use std::io::{self, IsTerminal as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{self, SignalKind};

use crate::cli::Failure;

/// Signals that end a process unless it says otherwise.
pub(super) struct Signals {
    hangup: unix::Signal,
    interrupt: unix::Signal,
    quit: unix::Signal,
    terminate: unix::Signal,
}

impl Signals {
    /// Takes them from now on.
    pub(super) fn new() -> Result<Self, Failure> {
        let take = |kind| {
            unix::signal(kind)
                .map_err(|error| Failure::temporary(format!("signals can't be received: {error}")))
        };
        Ok(Self {
            hangup: take(SignalKind::hangup())?,
            interrupt: take(SignalKind::interrupt())?,
            quit: take(SignalKind::quit())?,
            terminate: take(SignalKind::terminate())?,
        })
    }

    /// The next that comes.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.hangup.recv() => Signal::HUP,
            Some(()) = self.interrupt.recv() => Signal::INT,
            Some(()) = self.quit.recv() => Signal::QUIT,
            Some(()) = self.terminate.recv() => Signal::TERM,
            else => std::future::pending().await,
        }
    }
}

/// Runs a command to its end.
pub(super) async fn run(command: &[String], signals: &mut Signals) -> io::Result<ExitStatus> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .spawn()?;
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    // What is typed at a terminal reaches the command by itself.
    let typed = io::stdin().is_terminal() || io::stderr().is_terminal();
    loop {
        let signal = tokio::select! {
            status = child.wait() => return status,
            signal = signals.next() => signal,
        };
        if typed && matches!(signal, Signal::INT | Signal::QUIT) {
            continue;
        }
        if let Some(pid) = pid
            && let Err(error) = kill_process(pid, signal)
        {
            // It has ended in this moment, mostly; the loop sees that.
            tracing::debug!("the signal could not be passed on: {error}");
        }
    }
}

/// The exit code, as a shell reports it.
pub(super) fn code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// The exit code of what a signal ends.
pub(super) fn of_signal(signal: Signal) -> u8 {
    u8::try_from(128 + signal.as_raw()).unwrap_or(1)
}
