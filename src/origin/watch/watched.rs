//! Which paths the watched directories have. An event of the kernel carries a watch descriptor, and
//! the kernel does not say which path it was added by. Pure.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

/// The kernel's number of a watch. The number of a watch that ended is not used again.
pub(super) type Descriptor = i32;

/// A watched directory.
#[derive(Debug)]
struct Entry {
    path: Arc<Path>,
    /// The last round that it was added in.
    round: u32,
    /// Its files are watched too.
    files: bool,
}

/// The watched directories, by descriptor and by path.
#[derive(Debug, Default)]
pub(super) struct Watched {
    entries: BTreeMap<Descriptor, Entry>,
    by_path: BTreeMap<Arc<Path>, Descriptor>,
    /// Further paths of a directory, as bind mounts make them.
    more: BTreeMap<Descriptor, Vec<Arc<Path>>>,
    round: u32,
    /// How many are watched with their files.
    files: u64,
}

impl Watched {
    /// A directory was added by `path`. `still`: whether the path that it had before still leads to
    /// it.
    pub(super) fn set(
        &mut self,
        descriptor: Descriptor,
        path: &Path,
        files: bool,
        still: impl FnOnce(&Path) -> bool,
    ) {
        let round = self.round;
        let Some(entry) = self.entries.get_mut(&descriptor) else {
            let path: Arc<Path> = path.into();
            self.files += u64::from(files);
            self.by_path.insert(Arc::clone(&path), descriptor);
            let entry = Entry { path, round, files };
            self.entries.insert(descriptor, entry);
            return;
        };
        entry.round = round;
        self.files += u64::from(files && !entry.files);
        entry.files |= files;
        if *entry.path == *path {
            self.by_path.insert(Arc::clone(&entry.path), descriptor);
            return;
        }
        let path: Arc<Path> = path.into();
        if still(&entry.path) {
            let more = self.more.entry(descriptor).or_default();
            if !more.contains(&path) {
                more.push(Arc::clone(&path));
            }
        } else {
            let before = std::mem::replace(&mut entry.path, Arc::clone(&path));
            if self.by_path.get(&before) == Some(&descriptor) {
                self.by_path.remove(&before);
            }
        }
        self.by_path.insert(path, descriptor);
    }

    /// The paths of a directory.
    pub(super) fn paths(&self, descriptor: Descriptor) -> impl Iterator<Item = &Arc<Path>> {
        let first = self.entries.get(&descriptor).map(|entry| &entry.path);
        let more = self.more.get(&descriptor).into_iter().flatten();
        first.into_iter().chain(more)
    }

    /// A watch has ended.
    pub(super) fn remove(&mut self, descriptor: Descriptor) {
        let more = self.more.remove(&descriptor).unwrap_or_default();
        let Some(entry) = self.entries.remove(&descriptor) else {
            return;
        };
        self.files -= u64::from(entry.files);
        for path in more.iter().chain([&entry.path]) {
            if self.by_path.get(path) == Some(&descriptor) {
                self.by_path.remove(path);
            }
        }
    }

    /// A directory was renamed, and with it everything below.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        for (path, descriptor) in self.below(from) {
            self.by_path.remove(&path);
            let rest = path.strip_prefix(from).unwrap_or(Path::new(""));
            let renamed: Arc<Path> = if rest.as_os_str().is_empty() {
                to.into()
            } else {
                to.join(rest).into()
            };
            if let Some(entry) = self.entries.get_mut(&descriptor)
                && entry.path == path
            {
                entry.path = Arc::clone(&renamed);
            } else if let Some(other) = self
                .more
                .get_mut(&descriptor)
                .and_then(|more| more.iter_mut().find(|other| **other == path))
            {
                *other = Arc::clone(&renamed);
            }
            self.by_path.insert(renamed, descriptor);
        }
    }

    /// A directory left with everything below it. Returns the watches without a path, which are
    /// forgotten.
    pub(super) fn left(&mut self, from: &Path) -> Vec<Descriptor> {
        let mut ended = Vec::new();
        for (path, descriptor) in self.below(from) {
            self.by_path.remove(&path);
            let mut more = self.more.remove(&descriptor).unwrap_or_default();
            more.retain(|other| *other != path);
            let Some(entry) = self.entries.get_mut(&descriptor) else {
                continue;
            };
            if entry.path == path {
                let Some(other) = more.pop() else {
                    ended.push(descriptor);
                    continue;
                };
                entry.path = other;
            }
            if !more.is_empty() {
                self.more.insert(descriptor, more);
            }
        }
        for descriptor in &ended {
            self.remove(*descriptor);
        }
        ended
    }

    fn below(&self, directory: &Path) -> Vec<(Arc<Path>, Descriptor)> {
        // Paths are ordered by their parts: what is below a directory follows it directly.
        let from = (Bound::Included(directory), Bound::Unbounded);
        self.by_path
            .range::<Path, _>(from)
            .take_while(|(path, _)| path.starts_with(directory))
            .map(|(path, descriptor)| (Arc::clone(path), *descriptor))
            .collect()
    }

    pub(super) fn begin_round(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// Returns the watches that were not added since the round began, and forgets them.
    pub(super) fn end_round(&mut self) -> Vec<Descriptor> {
        let round = self.round;
        let old = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.round != round);
        let old: Vec<Descriptor> = old.map(|(descriptor, _)| *descriptor).collect();
        for descriptor in &old {
            self.remove(*descriptor);
        }
        old
    }

    /// Whether a directory is watched with its files.
    pub(super) fn has_files(&self, descriptor: Descriptor) -> bool {
        self.entries
            .get(&descriptor)
            .is_some_and(|entry| entry.files)
    }

    /// How many are watched with their files.
    pub(super) const fn files(&self) -> u64 {
        self.files
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn first(watched: &Watched, descriptor: Descriptor) -> &str {
        let path = watched.paths(descriptor).next();
        path.and_then(|path| path.to_str()).unwrap_or_default()
    }

    fn watched(paths: &[&str]) -> Watched {
        let mut watched = Watched::default();
        for (descriptor, path) in paths.iter().enumerate() {
            let descriptor = Descriptor::try_from(descriptor).unwrap();
            watched.set(descriptor, Path::new(path), true, |_| false);
        }
        watched
    }

    fn all(watched: &Watched) -> Vec<(String, Descriptor)> {
        let paths = watched.by_path.iter();
        paths
            .map(|(path, descriptor)| (path.to_str().unwrap().to_owned(), *descriptor))
            .collect()
    }

    #[test]
    fn a_renamed_directory_takes_everything_below_along_and_nothing_beside_it() {
        let mut watched = watched(&["/r", "/r/a", "/r/a/b", "/r/a-b", "/r/a.c", "/r/ab"]);
        watched.rename(Path::new("/r/a"), Path::new("/r/z"));
        let paths: Vec<_> = (0..6).map(|n| first(&watched, n)).collect();
        let expected = ["/r", "/r/z", "/r/z/b", "/r/a-b", "/r/a.c", "/r/ab"];
        assert_eq!(paths, expected);
    }

    #[test]
    fn what_leaves_is_watched_no_longer_unless_it_has_another_path() {
        let mut watched = watched(&["/r", "/r/a", "/r/a/b"]);
        watched.set(2, Path::new("/mnt/b"), true, |_| true);
        assert_eq!(watched.paths(2).count(), 2);
        assert_eq!(watched.left(Path::new("/r/a")), [1]);
        assert_eq!(first(&watched, 2), "/mnt/b");
        assert_eq!(all(&watched), [("/mnt/b".into(), 2), ("/r".into(), 0)]);
        watched.remove(2);
        assert_eq!(all(&watched), [("/r".into(), 0)]);
        assert_eq!(watched.files(), 1);
    }

    #[test]
    fn a_directory_that_was_renamed_without_an_event_gets_its_new_path_when_it_is_added() {
        let mut watched = watched(&["/r", "/r/a"]);
        watched.set(1, Path::new("/r/b"), true, |_| false);
        assert_eq!(all(&watched), [("/r".into(), 0), ("/r/b".into(), 1)]);
    }

    #[test]
    fn a_round_ends_what_was_not_added_in_it() {
        let mut watched = watched(&["/r", "/r/a", "/r/b"]);
        watched.begin_round();
        watched.set(0, Path::new("/r"), true, |_| false);
        watched.set(2, Path::new("/r/b"), false, |_| false);
        assert_eq!(watched.end_round(), [1]);
        assert_eq!(all(&watched), [("/r".into(), 0), ("/r/b".into(), 2)]);
        assert_eq!(watched.files(), 2);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(Descriptor, String, bool),
        Rename(String, String),
        Left(String),
        Remove(Descriptor),
        Round,
    }

    fn path() -> impl Strategy<Value = String> {
        proptest::collection::vec("[ab]", 1..4).prop_map(|parts| format!("/{}", parts.join("/")))
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..8, path(), any::<bool>()).prop_map(|(n, p, s)| Step::Set(n, p, s)),
            2 => (path(), path()).prop_map(|(from, to)| Step::Rename(from, to)),
            1 => path().prop_map(Step::Left),
            1 => (0..8).prop_map(Step::Remove),
            1 => Just(Step::Round),
        ]
    }

    proptest! {
        /// After any sequence of steps every path has a watch, and the count is right.
        #[test]
        fn both_directions_stay_consistent(steps in proptest::collection::vec(step(), 1..40)) {
            let mut watched = Watched::default();
            for step in steps {
                match step {
                    Step::Set(descriptor, path, still) => {
                        watched.set(descriptor, Path::new(&path), true, |_| still);
                        let found = watched.paths(descriptor).any(|p| **p == *Path::new(&path));
                        prop_assert!(found);
                    }
                    Step::Rename(from, to) => watched.rename(Path::new(&from), Path::new(&to)),
                    Step::Left(path) => drop(watched.left(Path::new(&path))),
                    Step::Remove(descriptor) => watched.remove(descriptor),
                    Step::Round => {
                        watched.begin_round();
                        watched.end_round();
                        prop_assert!(watched.entries.is_empty());
                    }
                }
                for (path, descriptor) in &watched.by_path {
                    prop_assert!(watched.entries.contains_key(descriptor), "{path:?}");
                }
                prop_assert_eq!(watched.files(), watched.entries.len() as u64);
            }
        }
    }
}
