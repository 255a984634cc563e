//! Directories below the root that have no watch, or none that tells everything: they are polled.
//! Bounded: too many of them, and the whole origin is polled.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::origin::tree::paths::remove_below;

/// Directories polled one by one at most; those below them come along.
const TOPS: usize = 4_096;

/// What is not watched.
#[derive(Debug, Default)]
pub(in crate::origin) struct Unwatched {
    state: Mutex<State>,
    /// Whether there is anything: asked for every directory of a walk.
    any: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    tops: BTreeSet<Vec<u8>>,
    last: Count,
    /// What a walk through all of them came to so far; until it ends, the last one counts.
    round: Option<Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// They are too many to be polled one by one.
    everything: bool,
    /// The limit of watches is reached.
    limit: bool,
    counted: u64,
}

impl State {
    /// What is found now.
    const fn now(&mut self) -> &mut Count {
        match &mut self.round {
            Some(round) => round,
            None => &mut self.last,
        }
    }
}

impl Unwatched {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic stops the process; until then nothing here is half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A directory is not watched. `limit`: because there are too many.
    pub(in crate::origin) fn add(&self, directory: &[u8], limit: bool) {
        let mut state = self.state();
        self.any.store(true, Ordering::SeqCst);
        state.last.limit |= limit;
        let now = state.now();
        now.limit |= limit;
        now.counted += 1;
        if now.everything || above(directory).any(|above| state.tops.contains(above)) {
            return;
        }
        if state.tops.len() >= TOPS {
            state.now().everything = true;
            state.last.everything = true;
            state.tops.clear();
            return;
        }
        state.tops.insert(directory.to_vec());
    }

    /// A directory is watched, or is not there any more; what is below it is reported by itself.
    pub(in crate::origin) fn remove(&self, directory: &[u8]) {
        if self.any.load(Ordering::SeqCst) {
            self.state().tops.remove(directory);
        }
    }

    /// A directory and everything below it is not there any more.
    pub(in crate::origin) fn remove_below(&self, directory: &[u8]) {
        if self.any.load(Ordering::SeqCst) {
            remove_below(&mut self.state().tops, directory);
        }
    }

    /// All of them are about to be walked: what cannot be watched is added once more.
    pub(in crate::origin) fn begin_round(&self) {
        self.state().round = Some(Count::default());
    }

    /// All of them were walked.
    pub(in crate::origin) fn end_round(&self) {
        let mut state = self.state();
        state.last = state.round.take().unwrap_or(state.last);
        if state.tops.is_empty() && !state.last.everything {
            state.last.limit = false;
            self.any.store(false, Ordering::SeqCst);
        }
    }

    /// The topmost of them; none when everything is polled.
    pub(in crate::origin) fn tops(&self) -> Vec<Vec<u8>> {
        if !self.any.load(Ordering::SeqCst) {
            return Vec::new();
        }
        let state = self.state();
        if state.last.everything {
            return Vec::new();
        }
        state.tops.iter().cloned().collect()
    }

    /// How many they are, and why.
    pub(in crate::origin) fn summary(&self) -> Summary {
        let state = self.state();
        let some = state.last.everything || !state.tops.is_empty();
        Summary {
            directories: if some { state.last.counted } else { 0 },
            everything: state.last.everything,
            some,
            limit: some && state.last.limit,
        }
    }
}

/// Directories without a watch, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::origin) struct Summary {
    /// How many.
    pub(in crate::origin) directories: u64,
    /// They are too many to be polled one by one.
    pub(in crate::origin) everything: bool,
    /// There are some.
    pub(in crate::origin) some: bool,
    /// The limit of watches is reached.
    pub(in crate::origin) limit: bool,
}

/// The directories above a path, from the root down.
fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let root = (!path.is_empty()).then_some(&path[..0]);
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    root.into_iter().chain(ends.map(|(end, _)| &path[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tops(unwatched: &Unwatched) -> Vec<String> {
        let tops = unwatched.tops().into_iter();
        tops.map(|top| String::from_utf8(top).unwrap()).collect()
    }

    #[test]
    fn what_lies_below_an_unwatched_directory_comes_along() {
        let unwatched = Unwatched::default();
        for directory in ["a/b", "a/b/c", "a/bc", "a/b/c/d"] {
            unwatched.add(directory.as_bytes(), true);
        }
        assert_eq!(tops(&unwatched), ["a/b", "a/bc"]);
        assert_eq!(unwatched.summary().directories, 4);
        unwatched.remove(b"a/bc");
        unwatched.remove_below(b"a");
        assert_eq!(tops(&unwatched), Vec::<String>::new());
        assert!(!unwatched.summary().limit && unwatched.summary().directories == 0);
    }

    #[test]
    fn too_many_are_everything_until_the_next_round() {
        let unwatched = Unwatched::default();
        for n in 0..=TOPS {
            unwatched.add(format!("{n}").as_bytes(), true);
        }
        assert!(unwatched.summary().everything && unwatched.tops().is_empty());
        unwatched.begin_round();
        unwatched.add(b"still", true);
        // Until everything was walked, it is not known that fewer would do.
        let summary = unwatched.summary();
        assert!(summary.everything && summary.limit && summary.directories > 4_000);
        assert!(unwatched.tops().is_empty());
        unwatched.end_round();
        assert_eq!(tops(&unwatched), ["still"]);
        assert!(!unwatched.summary().everything && unwatched.summary().limit);
        assert_eq!(unwatched.summary().directories, 1);
        unwatched.begin_round();
        unwatched.remove(b"still");
        unwatched.end_round();
        let summary = unwatched.summary();
        assert!(!summary.some && !summary.limit && summary.directories == 0);
    }
}
