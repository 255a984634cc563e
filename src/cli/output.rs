//! What goes to stdout. A reader that has gone away (`| head`) is no error.

use std::io::{self, Write as _};

use serde::Serialize;

use super::client::Reply;
use super::{Failure, Format, Global};

/// Writes a line. Its colours are left out where there are none.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    written(writeln!(stdout, "{text}").and_then(|()| stdout.flush()))
}

/// Writes a document for programs.
pub(super) fn json(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document).map_err(|error| {
        Failure::failed(format!("the result can't be written as JSON: {error}"))
    })?;
    line(&text)
}

/// Writes an answer of the daemon: as it came for programs, as `text` has it for people.
pub(super) fn reply<T>(
    global: &Global,
    reply: &Reply<T>,
    text: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    match global.format {
        Format::Json => json(&reply.document),
        Format::Text => line(&text(&reply.value)),
    }
}

/// Writes text as it is.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    written(write!(stdout, "{text}").and_then(|()| stdout.flush()))
}

/// Writes to stderr what is not the result. Where stderr is gone, it is lost.
pub(super) fn to_stderr(text: &str) {
    drop(write!(anstream::stderr(), "{text}"));
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("stdout can't be written: {error}")))
        }
        _ => Ok(()),
    }
}
