//! Cookies: files of edgepurge's own, in a directory (`state/cookies`) under the same watch as the origin.
//! A watch reports events in order, so the event of a cookie comes after every event that came before it.
//!
//! `wait` uses them to know that everything before it was noticed. Where file events do not report
//! everything, a scan takes the cookie's place. Then the worker looks once at the root (a root whose way
//! has changed counts as not noticed before that), and at the mounts and links below it, since no event
//! reports a mount. Then it looks at the pending hints and commits them. A file that is written on and on
//! is waited for once; a file that is unread, and can be read, is waited for too. Last, the queue
//! settles.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Cookies that may be waited for at once.
const WAITING: usize = 1_024;

#[derive(Debug)]
pub(in crate::origin) struct Cookies {
    directory: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    watched: bool,
    waiting: BTreeMap<OsString, oneshot::Sender<()>>,
}

/// A cookie that is waited for; its file goes with it.
#[derive(Debug)]
pub(in crate::origin) struct Cookie {
    path: PathBuf,
    pub(in crate::origin) seen: oneshot::Receiver<()>,
}

impl Drop for Cookie {
    fn drop(&mut self) {
        // One that stays behind is removed at the next start.
        drop(std::fs::remove_file(&self.path));
    }
}

impl Cookies {
    pub(in crate::origin) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            state: Mutex::default(),
        }
    }

    /// Where they are made.
    pub(in crate::origin) fn directory(&self) -> &Path {
        &self.directory
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic stops the process; until then nothing here is half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the directory is under watch from now on, and with it everything else. A new watch
    /// tells nothing of cookies made before: what they wait for is left to the scan that follows.
    pub(in crate::origin) fn watch(&self, watched: bool) {
        let mut state = self.state();
        if state.watched != watched {
            state.watched = watched;
            state.waiting.clear();
        }
    }

    /// Events were dropped, perhaps those of cookies: a wait for one becomes a wait for a scan.
    pub(in crate::origin) fn give_up(&self) {
        self.state().waiting.clear();
    }

    /// Makes a cookie; `None` when no event would report it.
    pub(in crate::origin) fn make(&self) -> io::Result<Option<Cookie>> {
        let name = OsString::from(uuid::Uuid::new_v4().to_string());
        let path = self.directory.join(&name);
        let (tell, seen) = oneshot::channel();
        {
            let mut state = self.state();
            if !state.watched || state.waiting.len() >= WAITING {
                return Ok(None);
            }
            state.waiting.retain(|_, waiting| !waiting.is_closed());
            state.waiting.insert(name, tell);
        }
        let cookie = Cookie { path, seen };
        std::fs::write(&cookie.path, [])?;
        Ok(Some(cookie))
    }

    /// Takes what a watch tells of a path; `true` when it is of a cookie and of nothing else.
    pub(in crate::origin) fn take(&self, path: &Path) -> bool {
        if path.parent() != Some(self.directory.as_path()) {
            return path == self.directory;
        }
        let name = path.file_name().unwrap_or(OsStr::new(""));
        if let Some(waiting) = self.state().waiting.remove(name) {
            // Who waited may have given up.
            waiting.send(()).unwrap_or_default();
        }
        true
    }
}
