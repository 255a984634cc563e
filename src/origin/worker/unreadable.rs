//! Directories that can't be listed and files that can't be read, by name, as the last looks found them.
//! Bounded: more than [`PATHS`] are not kept apart. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use crate::core::time::Time;

/// Paths that are kept at most.
const PATHS: usize = 65_536;
/// A deploy may close a directory while it writes: so long, that is no trouble.
const PATIENCE: Duration = Duration::from_secs(10);

/// Paths, and since when each of them is closed.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    paths: BTreeMap<Vec<u8>, Time>,
    /// Those that were found since a scan of everything began.
    round: Option<BTreeSet<Vec<u8>>>,
    /// Those that were forgotten for a look at a subtree, which may find them again.
    before: BTreeMap<Vec<u8>, Time>,
    /// The last one that was tried.
    tried: Vec<u8>,
}

impl Unreadable {
    /// A path can't be read. Returns whether that is new.
    pub(super) fn add(&mut self, path: &[u8], now: Time) -> bool {
        if let Some(round) = self.round.as_mut().filter(|round| round.len() < PATHS) {
            round.insert(path.to_vec());
        }
        if self.paths.contains_key(path) || self.paths.len() >= PATHS {
            return false;
        }
        let before = self.before.remove(path);
        self.paths.insert(path.to_vec(), before.unwrap_or(now));
        before.is_none()
    }

    /// It can be read, or is not there any more.
    pub(super) fn remove(&mut self, path: &[u8]) {
        if self.paths.remove(path).is_some()
            && let Some(round) = &mut self.round
        {
            round.remove(path);
        }
    }

    /// A path and everything below it is about to be looked at.
    pub(super) fn remove_below(&mut self, path: &[u8]) {
        self.before.clear();
        if self.paths.is_empty() {
            return;
        }
        let below = |found: &[u8]| {
            path.is_empty()
                || found
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        // What is below comes behind the path, with other names that begin like it.
        let from = (Bound::Included(path.to_vec()), Bound::Unbounded);
        let like = self.paths.range(from);
        let found: Vec<_> = like
            .take_while(|(found, _)| found.starts_with(path))
            .filter(|(found, _)| below(found))
            .map(|(found, since)| (found.clone(), *since))
            .collect();
        for (path, since) in found {
            self.remove(&path);
            self.before.insert(path, since);
        }
    }

    /// Everything is about to be looked at; until that ends, what was found before holds too.
    pub(super) fn begin_round(&mut self) {
        self.round = Some(BTreeSet::new());
    }

    /// Everything was looked at.
    pub(super) fn end_round(&mut self) {
        if let Some(round) = self.round.take() {
            self.paths.retain(|path, _| round.contains(path));
        }
    }

    pub(super) fn contains(&self, path: &[u8]) -> bool {
        self.paths.contains_key(path)
    }

    pub(super) fn count(&self) -> u64 {
        self.paths.len() as u64
    }

    /// The first of them.
    pub(super) fn first(&self) -> Option<&[u8]> {
        self.paths.keys().next().map(Vec::as_slice)
    }

    /// Those that have been closed for longer than a deploy needs: how many, and the first.
    pub(super) fn lasting(&self, now: Time) -> Option<(u64, &[u8])> {
        let lasting = |since: &Time| now >= since.after(PATIENCE);
        let mut paths = self.paths.iter().filter(|(_, since)| lasting(since));
        let (first, _) = paths.next()?;
        Some((1 + paths.count() as u64, first))
    }

    /// The next of them to try, `many` at most; all of them take their turn.
    pub(super) fn next(&mut self, many: usize) -> Vec<Vec<u8>> {
        let behind = (Bound::Excluded(self.tried.as_slice()), Bound::Unbounded);
        let next = self.paths.range::<[u8], _>(behind).take(many);
        let next: Vec<_> = next.map(|(path, _)| path.clone()).collect();
        let full = next.last().filter(|_| next.len() == many);
        self.tried = full.cloned().unwrap_or_default();
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_000_000);

    fn paths(unreadable: &mut Unreadable) -> Vec<String> {
        let all = unreadable.next(usize::MAX).into_iter();
        all.map(|path| String::from_utf8(path).unwrap()).collect()
    }

    #[test]
    fn a_round_keeps_what_it_found_and_what_was_before_until_it_ends() {
        let mut unreadable = Unreadable::default();
        assert!(unreadable.add(b"a", NOW) && unreadable.add(b"b", NOW));
        unreadable.begin_round();
        assert!(!unreadable.add(b"b", NOW) && unreadable.add(b"c", NOW));
        assert_eq!(unreadable.count(), 3);
        unreadable.remove(b"c");
        unreadable.end_round();
        assert_eq!(paths(&mut unreadable), ["b"]);
    }

    #[test]
    fn a_look_at_a_subtree_forgets_what_is_below_and_not_since_when() {
        let mut unreadable = Unreadable::default();
        for path in ["a", "a-b", "a/b", "a/b/c", "ab", "b"] {
            unreadable.add(path.as_bytes(), NOW);
        }
        unreadable.remove_below(b"a");
        assert_eq!(paths(&mut unreadable), ["a-b", "ab", "b"]);
        let later = NOW.after(PATIENCE);
        assert!(!unreadable.add(b"a/b", later), "it is the same as before");
        assert_eq!(unreadable.lasting(later), Some((4, &b"a-b"[..])));
    }

    #[test]
    fn what_a_deploy_closes_for_a_moment_does_not_last() {
        let mut unreadable = Unreadable::default();
        unreadable.add(b"b", NOW);
        unreadable.add(b"a", NOW.after(PATIENCE));
        assert_eq!(unreadable.lasting(NOW), None);
        let later = NOW.after(PATIENCE);
        assert_eq!(unreadable.lasting(later), Some((1, &b"b"[..])));
        assert_eq!(unreadable.first(), Some(&b"a"[..]));
    }

    #[test]
    fn all_are_tried_in_turn() {
        let mut unreadable = Unreadable::default();
        for path in ["a", "b", "c"] {
            unreadable.add(path.as_bytes(), NOW);
        }
        let next = |unreadable: &mut Unreadable| unreadable.next(2).concat();
        let tried = [(); 4].map(|()| next(&mut unreadable));
        assert_eq!(tried, [&b"ab"[..], b"c", b"ab", b"c"]);
    }
}
