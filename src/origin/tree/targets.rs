//! What symbolic links lead to, as a stat sees it. Events tell of most of what happens to a target;
//! not of one whose directory can't be watched, is missing, or is itself replaced on the way. So every
//! link is followed once in a while. Bounded: with more links than that, the whole origin is polled.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fingerprint::Stat;

/// Links that are followed at most.
const LINKS: usize = 65_536;
/// Those of them that are followed at once.
const AT_ONCE: usize = 4_096;

/// What a link leads to. Of a directory only which one it is: what is in it has events of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Nothing,
    Directory(u64, u64),
    File(u64, u64, i64, i64),
}

impl Target {
    fn of(path: &Path) -> Self {
        std::fs::metadata(path).map_or(Self::Nothing, |found| Self::from(&found))
    }
}

impl From<&Metadata> for Target {
    fn from(found: &Metadata) -> Self {
        if found.is_dir() {
            return Self::Directory(found.dev(), found.ino());
        }
        let stat = Stat::from(found);
        Self::File(stat.inode, stat.size, stat.mtime_ns, stat.ctime_ns)
    }
}

/// A link that leads to something else than before.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::origin) struct Changed {
    /// The link's path in the origin.
    pub(in crate::origin) link: Vec<u8>,
    /// It leads, or led, to a directory.
    pub(in crate::origin) directory: bool,
}

/// Every link's target.
#[derive(Debug, Default)]
pub(in crate::origin) struct Targets {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: BTreeMap<Vec<u8>, Target>,
    /// The last one that was followed.
    at: Vec<u8>,
    /// There were more links in the last round, or are in this one.
    full: [bool; 2],
}

impl Targets {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic stops the process; until then nothing here is half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A link is about to be looked at; `real` is where it is, or where it leads.
    pub(in crate::origin) fn add(&self, link: &[u8], real: &Path) {
        let target = Target::of(real);
        let mut state = self.state();
        if state.seen.len() < LINKS || state.seen.contains_key(link) {
            state.seen.insert(link.to_vec(), target);
        } else {
            state.full[1] = true;
        }
    }

    /// A scan begins, which finds all of them anew.
    pub(in crate::origin) fn begin_round(&self) {
        let mut state = self.state();
        state.seen.clear();
        state.full[0] |= std::mem::take(&mut state.full[1]);
    }

    /// It is over.
    pub(in crate::origin) fn end_round(&self) {
        let mut state = self.state();
        state.full[0] = state.full[1];
    }

    /// Whether there are more than can be followed.
    pub(in crate::origin) fn too_many(&self) -> bool {
        self.state().full.contains(&true)
    }

    /// Follows the next of them; `real` tells where a link is.
    pub(in crate::origin) fn changed(&self, real: impl Fn(&[u8]) -> PathBuf) -> Vec<Changed> {
        let next: Vec<_> = {
            let mut state = self.state();
            let behind = (Bound::Excluded(state.at.as_slice()), Bound::Unbounded);
            let next = state.seen.range::<[u8], _>(behind).take(AT_ONCE);
            let next: Vec<_> = next.map(|(link, target)| (link.clone(), *target)).collect();
            // Behind the last comes the first; no link has an empty path.
            let full = next.last().filter(|_| next.len() == AT_ONCE);
            state.at = full.map(|(link, _)| link.clone()).unwrap_or_default();
            next
        };
        let mut changed = Vec::new();
        for (link, before) in next {
            let now = Target::of(&real(&link));
            if now == before {
                continue;
            }
            // A walk may have seen it meanwhile: then it compares on its own.
            if let Some(target) = self.state().seen.get_mut(&link) {
                *target = now;
            }
            let directory = [before, now]
                .iter()
                .any(|t| matches!(t, Target::Directory(..)));
            changed.push(Changed { link, directory });
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn changed(targets: &Targets, base: &Path) -> Vec<(String, bool)> {
        let real = |link: &[u8]| base.join(std::str::from_utf8(link).unwrap());
        let changed = targets.changed(real).into_iter();
        changed
            .map(|changed| (String::from_utf8(changed.link).unwrap(), changed.directory))
            .collect()
    }

    #[test]
    fn a_target_that_comes_changes_or_is_another_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path();
        let targets = Targets::default();
        for (link, target) in [("a", "x/a"), ("b", "b.html"), ("d", "dir")] {
            symlink(target, base.join(link)).unwrap();
        }
        std::fs::write(base.join("b.html"), "1").unwrap();
        std::fs::create_dir(base.join("dir")).unwrap();
        for link in ["a", "b", "d"] {
            targets.add(link.as_bytes(), &base.join(link));
        }
        assert_eq!(changed(&targets, base), []);
        std::fs::create_dir(base.join("x")).unwrap();
        std::fs::write(base.join("x/a"), "a").unwrap();
        std::fs::write(base.join("b.html"), "22").unwrap();
        std::fs::rename(base.join("dir"), base.join("old")).unwrap();
        std::fs::create_dir(base.join("dir")).unwrap();
        // What happens in a directory is reported elsewhere.
        let expected = [("a", false), ("b", false), ("d", true)];
        assert_eq!(
            changed(&targets, base),
            expected.map(|(link, directory)| (link.to_owned(), directory))
        );
        std::fs::write(base.join("dir/f"), "f").unwrap();
        assert_eq!(changed(&targets, base), []);
    }

    #[test]
    fn more_links_than_are_followed_at_once_take_turns() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path();
        let targets = Targets::default();
        for n in 0..=AT_ONCE {
            targets.add(format!("{n:05}").as_bytes(), &base.join("nothing"));
        }
        for n in [0, AT_ONCE] {
            std::fs::write(base.join(format!("{n:05}")), "now").unwrap();
        }
        let one = |link: &str| vec![(link.to_owned(), false)];
        assert_eq!(changed(&targets, base), one("00000"));
        assert_eq!(changed(&targets, base), one("04096"));
        assert_eq!(changed(&targets, base), []);
    }

    #[test]
    fn too_many_are_too_many_until_a_whole_round_found_fewer() {
        let targets = Targets::default();
        let nowhere = Path::new("/nonexistent/target");
        for n in 0..=LINKS {
            targets.add(n.to_string().as_bytes(), nowhere);
        }
        assert!(targets.too_many());
        targets.begin_round();
        assert!(targets.too_many());
        targets.end_round();
        assert!(!targets.too_many());
    }
}
