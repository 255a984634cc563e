//! What became of the last attempt to reload the configuration.

use tokio::sync::watch;

/// Shared by all that a reload replaces.
#[derive(Debug)]
pub struct Reloads(watch::Sender<Option<String>>);

impl Default for Reloads {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Reloads {
    /// The configuration that the file has is at work.
    pub fn succeeded(&self) {
        self.0.send_replace(None);
    }

    /// It is not, and why.
    pub fn failed(&self, why: String) {
        self.0.send_replace(Some(why));
    }

    /// Why the last attempt failed, unless it succeeded.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// The outcome of each attempt from now on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<String>> {
        self.0.subscribe()
    }
}
