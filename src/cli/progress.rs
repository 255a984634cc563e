//! What a command that waits says meanwhile, on stderr: one live line on a terminal, else a line now
//! and then.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::time::Instant;

use super::terminal;
use crate::clock::Clock;
use crate::core::time::Time;

/// Nothing is shown before this: a short wait needs no explanation.
const SOON: Duration = Duration::from_secs(1);
/// Where it is no terminal, a line is said so often.
const AGAIN: Duration = Duration::from_secs(10);
/// The columns of a terminal that does not say how many it has.
const COLUMNS: usize = 80;

/// What is said while something is waited for.
#[derive(Debug)]
pub(super) struct Line {
    clock: Clock,
    live: bool,
    /// Whether a live line stands there.
    stands: bool,
    next: Time,
}

impl Line {
    pub(super) fn new() -> Self {
        let clock = Clock::start();
        Self {
            live: io::stderr().is_terminal(),
            stands: false,
            next: clock.now().after(SOON),
            clock,
        }
    }

    /// When the next line is due.
    pub(super) fn due(&self) -> Instant {
        self.clock.instant(self.next)
    }

    /// Says it now: it is something else than before.
    pub(super) fn say_now(&mut self, text: &str) {
        self.next = self.clock.now();
        self.say(text);
    }

    /// Says what is waited for, if it is time.
    pub(super) fn say(&mut self, text: &str) {
        let now = self.clock.now();
        if now < self.next {
            return;
        }
        self.next = now.after(if self.live { SOON } else { AGAIN });
        if self.live {
            // One that wraps could not be replaced.
            let size = terminal::size(&io::stderr());
            let columns = size.map_or(COLUMNS, |size| size.columns);
            let short: String = text.chars().take(columns.saturating_sub(1)).collect();
            self.stands = true;
            write(&format!("\r\x1b[2K{short}"));
        } else {
            write(&format!("{text}\n"));
        }
    }

    /// Nothing is waited for any more: what comes now has a line of its own.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.stands) {
            write("\r\x1b[2K");
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.end();
    }
}

/// Where stderr is gone, it is lost.
fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    drop(
        stderr
            .write_all(text.as_bytes())
            .and_then(|()| stderr.flush()),
    );
}
