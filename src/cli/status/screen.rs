//! `status --watch` on a terminal: the whole screen, until q.

use std::io;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::render::{self, View};
use super::{LOOK, look};
use crate::cli::client::Daemon;
use crate::cli::moment::Moment;
use crate::cli::style::{BAD, DIM, styled};
use crate::cli::terminal::{self, Screen, Size};
use crate::cli::{Failure, style};

/// Where the terminal does not say how large it is.
const USUAL: Size = Size {
    columns: 80,
    rows: 24,
};

/// Shows the status until q is typed or a signal comes.
pub(super) async fn watch(daemon: &Daemon, names: &[String]) -> Result<ExitCode, Failure> {
    let broken = |error: io::Error| Failure::failed(format!("the terminal: {error}"));
    // Where a name is wrong, that is said without taking the screen.
    look(daemon, names).await?;
    let mut resized = signal(SignalKind::window_change()).map_err(broken)?;
    let mut ends = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    let screen = Screen::take().map_err(broken)?;
    loop {
        let size = terminal::size(&io::stdout()).unwrap_or(USUAL);
        let lines = match look(daemon, names).await {
            Ok(reply) => {
                let moment = Moment::new(reply.value.now, true);
                let view = View::once(moment, Some(size), !names.is_empty());
                render::lines(&reply.value, &view)
            }
            // It may be restarting: it is looked for again.
            Err(failure) => vec![styled(BAD, format!("▲ {failure}"))],
        };
        Screen::show(&fitted(lines, size)).map_err(broken)?;
        let [interrupt, terminate] = &mut ends;
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = resized.recv() => {}
            key = screen.key() => match key {
                Some(b'q' | b'Q' | 4) | None => return Ok(ExitCode::SUCCESS),
                Some(_) => {}
            },
            () = comes(interrupt) => return Ok(ExitCode::SUCCESS),
            () = comes(terminate) => return Ok(ExitCode::SUCCESS),
        }
    }
}

async fn comes(signal: &mut io::Result<Signal>) {
    match signal {
        Ok(signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

/// As many lines as there are rows, none longer than a row; with what to type at the end.
fn fitted(lines: Vec<String>, size: Size) -> Vec<String> {
    let room = size.rows.saturating_sub(1).max(1);
    let hidden = lines.len().saturating_sub(room);
    let mut shown: Vec<String> = lines
        .into_iter()
        .take(room)
        .map(|line| cut(&line, size.columns))
        .collect();
    let more = match hidden {
        0 => String::new(),
        more => format!("{more} more lines; "),
    };
    shown.push(styled(DIM, format!("{more}q quits")));
    if !style::on_stdout() {
        shown = shown
            .into_iter()
            .map(|line| anstream::adapter::strip_str(&line).to_string())
            .collect();
    }
    shown
}

/// The first characters of a line, with all of its escape sequences.
fn cut(line: &str, columns: usize) -> String {
    let mut used = 0;
    let mut escaped = false;
    let mut text = String::new();
    for one in line.chars() {
        match (escaped, one) {
            (false, '\x1b') => escaped = true,
            (true, 'a'..='z' | 'A'..='Z') => escaped = false,
            (true, _) => {}
            (false, _) if used >= columns => continue,
            (false, _) => used += 1,
        }
        text.push(one);
    }
    text
}
