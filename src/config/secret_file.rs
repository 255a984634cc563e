//! Reads small files that hold secrets. What it says of them never quotes them.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// The largest file that is read, in bytes.
const LIMIT: u64 = 64 * 1024;

/// What such a file holds.
pub(super) struct Content {
    /// The text.
    pub(super) text: String,
    /// Whether others than the owner can read or write the file.
    pub(super) open_to_others: bool,
}

/// Reads a regular file of UTF-8 text. An error is why, and what to do.
pub(super) fn read(path: &Path) -> Result<Content, (String, String)> {
    // Non-blocking, so that opening a pipe without a writer does not wait for one.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = rustix::fs::open(path, flags, Mode::empty())
        .map(File::from)
        .map_err(|error| {
            let error = std::io::Error::from(error);
            (
                format!("{} can't be opened: {error}", path.display()),
                "correct the path, or let the user that edgepurge runs as read it".to_owned(),
            )
        })?;
    let unreadable = |error: std::io::Error| {
        (
            format!("{} can't be read: {error}", path.display()),
            "try again, and look at the file system".to_owned(),
        )
    };
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err((
            format!("{} is not a regular file", path.display()),
            "name a file".to_owned(),
        ));
    }
    let mut bytes = Vec::new();
    file.by_ref()
        .take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LIMIT {
        return Err((
            format!("{} is larger than 64 KiB", path.display()),
            "name the file that holds the secret and nothing else".to_owned(),
        ));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        (
            format!("{} is not text", path.display()),
            "write the secret into it as text".to_owned(),
        )
    })?;
    Ok(Content {
        text,
        open_to_others: metadata.permissions().mode() & 0o077 != 0,
    })
}
