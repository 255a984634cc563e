//! How a command fails: what is said on stderr, and the exit code.

use std::io::Write as _;
use std::process::ExitCode;

use super::style::{BAD, styled};
use crate::config::Environment;
use crate::telemetry;

/// A failure, with its exit code. The text says what, where, why, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// It was tried and did not work: exit 1.
    #[must_use]
    pub fn failed(text: impl Into<String>) -> Self {
        Self::new(1, text)
    }

    /// The command line is wrong: exit 2.
    #[must_use]
    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(2, text)
    }

    /// Try again later: exit 75.
    #[must_use]
    pub fn temporary(text: impl Into<String>) -> Self {
        Self::new(75, text)
    }

    /// The configuration is wrong: exit 78.
    #[must_use]
    pub fn config(text: impl Into<String>) -> Self {
        Self::new(78, text)
    }

    /// A fault in the daemon, for which starting again is the cure.
    #[must_use]
    pub fn fault(fault: &crate::supervise::Fault) -> Self {
        Self::temporary(fault.to_string())
    }

    /// Whether trying again may help.
    pub(super) const fn is_temporary(&self) -> bool {
        self.code == 75
    }

    /// The same, with one more thing that helps, on a line of its own.
    #[must_use]
    pub(super) fn help(mut self, help: &str) -> Self {
        self.text.push_str("\n  = help: ");
        self.text.push_str(help);
        self
    }

    fn new(code: u8, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    /// Says it on stderr.
    pub(super) fn report(&self) -> ExitCode {
        if !self.text.is_empty() {
            let error = styled(BAD, "error:");
            let mut text = format!("{error} {}", self.text.trim_end());
            let stream = Environment::of_process();
            if telemetry::stderr_is_journal(stream.get("JOURNAL_STREAM")) {
                // Each line is an entry there, and says of what priority.
                text = format!("<3>{}", text.replace('\n', "\n<3>"));
            }
            // Where stderr is gone, the exit code has to say it alone.
            drop(writeln!(anstream::stderr(), "{text}"));
        }
        ExitCode::from(self.code)
    }
}
