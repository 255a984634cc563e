//! What became of the last attempt to reload the configuration.

use std::sync::{Mutex, PoisonError};

/// Shared by all that a reload replaces.
#[derive(Debug, Default)]
pub struct Reloads(Mutex<Option<String>>);

impl Reloads {
    /// The configuration that the file has is at work.
    pub fn succeeded(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// It is not, and why.
    pub fn failed(&self, why: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Why the last attempt failed, unless it succeeded.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let failure = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failure.clone()
    }
}
