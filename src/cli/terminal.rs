//! The terminal: its size, and keys as they are typed.

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};

/// How often keys are looked for.
const KEYS: Duration = Duration::from_millis(50);

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// The size of the terminal that a stream is; `None` where it is none, or does not know.
pub(super) fn size(stream: &impl AsFd) -> Option<Size> {
    let size = termios::tcgetwinsize(stream).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some(Size {
        columns: size.ws_col.into(),
        rows: size.ws_row.into(),
    })
}

/// The whole screen, until it is dropped: what stood there before comes back then.
#[derive(Debug)]
pub(super) struct Screen {
    before: Option<Termios>,
}

impl Screen {
    /// Takes the screen, and has keys read as they are typed, unseen.
    pub(super) fn take() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut modes = before.clone();
            modes
                .local_modes
                .remove(LocalModes::ICANON | LocalModes::ECHO);
            // A read takes what was typed, and waits for nothing.
            modes.special_codes[SpecialCodeIndex::VMIN] = 0;
            modes.special_codes[SpecialCodeIndex::VTIME] = 0;
            termios::tcsetattr(io::stdin(), OptionalActions::Now, &modes)?;
        }
        let screen = Self { before };
        // Another screen, without cursor.
        write("\x1b[?1049h\x1b[?25l")?;
        Ok(screen)
    }

    /// The next key that is typed; `None`: the terminal is gone.
    pub(super) async fn key(&self) -> Option<u8> {
        if self.before.is_none() {
            return std::future::pending().await;
        }
        let mut key = [0];
        loop {
            match rustix::io::read(io::stdin(), &mut key) {
                Ok(0) | Err(Errno::INTR) => tokio::time::sleep(KEYS).await,
                Ok(_) => return Some(key[0]),
                Err(_) => return None,
            }
        }
    }

    /// Shows these lines from the top, in place of what was there.
    pub(super) fn show(lines: &[String]) -> io::Result<()> {
        let mut text = String::from("\x1b[H");
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                text.push_str("\r\n");
            }
            text.push_str(line);
            text.push_str("\x1b[K");
        }
        text.push_str("\x1b[J");
        write(&text)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Where the terminal is gone, there is nothing to restore.
        drop(write("\x1b[?25h\x1b[?1049l"));
        if let Some(before) = &self.before {
            termios::tcsetattr(io::stdin(), OptionalActions::Now, before).unwrap_or_default();
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
