//! What watched directories are called. The kernel tells of a number; which path it stands for,
//! only whoever added it knows. Pure.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

/// The kernel's number of a watch. A number that ended does not come back.
pub(super) type Number = i32;

#[derive(Debug)]
struct Label {
    path: Arc<Path>,
    /// The last round that it was added in.
    round: u32,
    /// Its files are watched too.
    files: bool,
}

/// Numbers and paths.
#[derive(Debug, Default)]
pub(super) struct Labels {
    by_number: BTreeMap<Number, Label>,
    by_path: BTreeMap<Arc<Path>, Number>,
    /// More paths of the same directory, as bind mounts make them.
    more: BTreeMap<Number, Vec<Arc<Path>>>,
    round: u32,
    files: u64,
}

impl Labels {
    /// `number` stands for `path` now. `still`: whether the path that it stood for before leads to
    /// it still.
    pub(super) fn set(
        &mut self,
        number: Number,
        path: &Path,
        files: bool,
        still: impl FnOnce(&Path) -> bool,
    ) {
        let round = self.round;
        let Some(label) = self.by_number.get_mut(&number) else {
            let path: Arc<Path> = path.into();
            self.files += u64::from(files);
            self.by_path.insert(Arc::clone(&path), number);
            let label = Label { path, round, files };
            self.by_number.insert(number, label);
            return;
        };
        label.round = round;
        self.files += u64::from(files && !label.files);
        label.files |= files;
        if *label.path == *path {
            self.by_path.insert(Arc::clone(&label.path), number);
            return;
        }
        let path: Arc<Path> = path.into();
        if still(&label.path) {
            let more = self.more.entry(number).or_default();
            if !more.contains(&path) {
                more.push(Arc::clone(&path));
            }
        } else {
            let before = std::mem::replace(&mut label.path, Arc::clone(&path));
            if self.by_path.get(&before) == Some(&number) {
                self.by_path.remove(&before);
            }
        }
        self.by_path.insert(path, number);
    }

    /// The paths that a number stands for.
    pub(super) fn paths(&self, number: Number) -> impl Iterator<Item = &Arc<Path>> {
        let first = self.by_number.get(&number).map(|label| &label.path);
        let more = self.more.get(&number).into_iter().flatten();
        first.into_iter().chain(more)
    }

    /// A watch has ended.
    pub(super) fn remove(&mut self, number: Number) {
        let more = self.more.remove(&number).unwrap_or_default();
        let Some(label) = self.by_number.remove(&number) else {
            return;
        };
        self.files -= u64::from(label.files);
        for path in more.iter().chain([&label.path]) {
            if self.by_path.get(path) == Some(&number) {
                self.by_path.remove(path);
            }
        }
    }

    /// A directory has another name: so has everything below it.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        for (path, number) in self.below(from) {
            self.by_path.remove(&path);
            let rest = path.strip_prefix(from).unwrap_or(Path::new(""));
            let renamed: Arc<Path> = if rest.as_os_str().is_empty() {
                to.into()
            } else {
                to.join(rest).into()
            };
            if let Some(label) = self.by_number.get_mut(&number)
                && label.path == path
            {
                label.path = Arc::clone(&renamed);
            } else if let Some(other) = self
                .more
                .get_mut(&number)
                .and_then(|more| more.iter_mut().find(|other| **other == path))
            {
                *other = Arc::clone(&renamed);
            }
            self.by_path.insert(renamed, number);
        }
    }

    /// A directory went away with everything below it. Returns the watches that have no path any
    /// more.
    pub(super) fn left(&mut self, from: &Path) -> Vec<Number> {
        let mut ended = Vec::new();
        for (path, number) in self.below(from) {
            self.by_path.remove(&path);
            let mut more = self.more.remove(&number).unwrap_or_default();
            more.retain(|other| *other != path);
            let Some(label) = self.by_number.get_mut(&number) else {
                continue;
            };
            if label.path == path {
                let Some(other) = more.pop() else {
                    ended.push(number);
                    continue;
                };
                label.path = other;
            }
            if !more.is_empty() {
                self.more.insert(number, more);
            }
        }
        for number in &ended {
            self.remove(*number);
        }
        ended
    }

    fn below(&self, directory: &Path) -> Vec<(Arc<Path>, Number)> {
        // Paths are ordered by their parts: what is below a directory comes right behind it.
        let from = (Bound::Included(directory), Bound::Unbounded);
        self.by_path
            .range::<Path, _>(from)
            .take_while(|(path, _)| path.starts_with(directory))
            .map(|(path, number)| (Arc::clone(path), *number))
            .collect()
    }

    /// A round begins.
    pub(super) fn begin_round(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// The watches that were not added since the round began. They are forgotten.
    pub(super) fn end_round(&mut self) -> Vec<Number> {
        let round = self.round;
        let old = self.by_number.iter().filter(|(_, l)| l.round != round);
        let old: Vec<Number> = old.map(|(number, _)| *number).collect();
        for number in &old {
            self.remove(*number);
        }
        old
    }

    /// Whether a directory is watched with its files.
    pub(super) fn has_files(&self, number: Number) -> bool {
        self.by_number.get(&number).is_some_and(|label| label.files)
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

    fn first(labels: &Labels, number: Number) -> &str {
        let path = labels.paths(number).next();
        path.and_then(|path| path.to_str()).unwrap_or_default()
    }

    fn labels(paths: &[&str]) -> Labels {
        let mut labels = Labels::default();
        for (number, path) in paths.iter().enumerate() {
            let number = Number::try_from(number).unwrap();
            labels.set(number, Path::new(path), true, |_| false);
        }
        labels
    }

    fn all(labels: &Labels) -> Vec<(String, Number)> {
        let paths = labels.by_path.iter();
        paths
            .map(|(path, number)| (path.to_str().unwrap().to_owned(), *number))
            .collect()
    }

    #[test]
    fn a_renamed_directory_takes_all_below_along_and_nothing_beside_it() {
        let mut labels = labels(&["/r", "/r/a", "/r/a/b", "/r/a-b", "/r/a.c", "/r/ab"]);
        labels.rename(Path::new("/r/a"), Path::new("/r/z"));
        let told: Vec<_> = (0..6).map(|n| first(&labels, n)).collect();
        let expected = ["/r", "/r/z", "/r/z/b", "/r/a-b", "/r/a.c", "/r/ab"];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_leaves_is_watched_no_more_unless_it_has_another_path() {
        let mut labels = labels(&["/r", "/r/a", "/r/a/b"]);
        labels.set(2, Path::new("/mnt/b"), true, |_| true);
        assert_eq!(labels.paths(2).count(), 2);
        assert_eq!(labels.left(Path::new("/r/a")), [1]);
        assert_eq!(first(&labels, 2), "/mnt/b");
        assert_eq!(all(&labels), [("/mnt/b".into(), 2), ("/r".into(), 0)]);
        labels.remove(2);
        assert_eq!(all(&labels), [("/r".into(), 0)]);
        assert_eq!(labels.files(), 1);
    }

    #[test]
    fn a_directory_that_was_renamed_unseen_gets_its_new_name_with_the_next_add() {
        let mut labels = labels(&["/r", "/r/a"]);
        labels.set(1, Path::new("/r/b"), true, |_| false);
        assert_eq!(all(&labels), [("/r".into(), 0), ("/r/b".into(), 1)]);
    }

    #[test]
    fn a_round_ends_what_was_not_added_in_it() {
        let mut labels = labels(&["/r", "/r/a", "/r/b"]);
        labels.begin_round();
        labels.set(0, Path::new("/r"), true, |_| false);
        labels.set(2, Path::new("/r/b"), false, |_| false);
        assert_eq!(labels.end_round(), [1]);
        assert_eq!(all(&labels), [("/r".into(), 0), ("/r/b".into(), 2)]);
        assert_eq!(labels.files(), 2);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(Number, String, bool),
        Rename(String, String),
        Left(String),
        Remove(Number),
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
        /// Whatever happens, no path points to a watch that is not there, and the count is right.
        #[test]
        fn both_directions_stay_consistent(steps in proptest::collection::vec(step(), 1..40)) {
            let mut labels = Labels::default();
            for step in steps {
                match step {
                    Step::Set(number, path, still) => {
                        labels.set(number, Path::new(&path), true, |_| still);
                        let found = labels.paths(number).any(|p| **p == *Path::new(&path));
                        prop_assert!(found);
                    }
                    Step::Rename(from, to) => labels.rename(Path::new(&from), Path::new(&to)),
                    Step::Left(path) => drop(labels.left(Path::new(&path))),
                    Step::Remove(number) => labels.remove(number),
                    Step::Round => {
                        labels.begin_round();
                        labels.end_round();
                        prop_assert!(labels.by_number.is_empty());
                    }
                }
                for (path, number) in &labels.by_path {
                    prop_assert!(labels.by_number.contains_key(number), "{path:?}");
                }
                prop_assert_eq!(labels.files(), labels.by_number.len() as u64);
            }
        }
    }
}
