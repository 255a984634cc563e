//! First watch, then list: what a walk does with each directory before it looks inside. Owns which
//! directories are watched or polled; never lists one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::inbox::Inbox;
use super::{Watch, WatchError};
use crate::origin::tree::guard::{Events, events};
use crate::origin::tree::walk::DirectoryObserver;

/// Links on the way to a root, followed no further than this.
const HOPS: usize = 40;

/// Covers directories with watches.
#[derive(Clone)]
pub(in crate::origin) struct Cover {
    pub(in crate::origin) inbox: Arc<Inbox>,
    pub(in crate::origin) watch: Arc<dyn Watch>,
}

impl std::fmt::Debug for Cover {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Cover")
    }
}

impl Cover {
    /// The directories that a link to a file leads through: what happens there happens under the
    /// link's name. One that can't be watched is left to the look at every target.
    pub(in crate::origin) fn link_targets(&self, targets: &[PathBuf]) {
        for directory in targets.iter().filter_map(|target| target.parent()) {
            drop(self.watch.add(directory));
        }
    }

    /// Everything on the way to the root: a rename or replacement there changes the root.
    pub(in crate::origin) fn way(&self, root: &Path) {
        let way = way(root);
        for directory in way.iter().filter_map(|step| step.parent()) {
            // What can't be watched is looked at every few seconds.
            drop(self.watch.add_names(directory));
        }
        self.inbox.set_way(way);
    }
}

impl DirectoryObserver for Cover {
    fn directory(&self, real: &Path, logical: &[u8], is_link: bool) {
        if is_link {
            self.inbox.targets.add(logical, real);
            self.inbox.add_place(real, logical);
        }
        let unwatched = &self.inbox.unwatched;
        match self.watch.add(real) {
            // One that can't be entered is found to be so when it is listed.
            Ok(()) | Err(WatchError::Missing | WatchError::Denied) => unwatched.remove(logical),
            Err(WatchError::Limit) => unwatched.add(logical, true),
            Err(WatchError::Other(error)) => {
                tracing::warn!(directory = %real.display(), %error, "not watched, but polled");
                unwatched.add(logical, false);
            }
        }
    }

    fn crossed(&self, real: &Path, logical: &[u8]) {
        if events(real) != Events::All {
            self.inbox.unwatched.add(logical, false);
        }
    }
}

/// Every name that the way to `path` leads over, links followed; the last of them may be missing.
fn way(path: &Path) -> Vec<PathBuf> {
    let mut way = Vec::new();
    let mut at = PathBuf::from("/");
    let mut rest: Vec<_> = path
        .components()
        .rev()
        .map(|part| part.as_os_str().to_owned())
        .collect();
    let mut hops = 0;
    while let Some(part) = rest.pop() {
        if part == "/" {
            at = PathBuf::from("/");
            continue;
        }
        if part == ".." {
            at.pop();
            continue;
        }
        if part == "." {
            continue;
        }
        let step = at.join(&part);
        way.push(step.clone());
        match std::fs::read_link(&step) {
            Ok(target) if hops < HOPS => {
                hops += 1;
                let parts = target.components().rev();
                rest.extend(parts.map(|part| part.as_os_str().to_owned()));
            }
            Ok(_) => break,
            Err(_) => at = step,
        }
    }
    way
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_way_to_a_root_leads_over_every_link_and_its_target() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("releases/2/public")).unwrap();
        symlink("releases/2", base.join("current")).unwrap();
        symlink(base.join("current/public"), base.join("www")).unwrap();
        let way = way(&base.join("www"));
        for step in [
            "www",
            "current",
            "releases",
            "releases/2",
            "releases/2/public",
        ] {
            assert!(way.contains(&base.join(step)), "{step}: {way:?}");
        }
        assert!(!way.contains(&base.join("current/public")), "{way:?}");
    }

    #[test]
    fn a_way_in_circles_ends_and_one_into_nothing_says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        symlink("b", base.join("a")).unwrap();
        symlink("a", base.join("b")).unwrap();
        assert!(way(&base.join("a")).len() > HOPS);
        assert!(way(&base.join("not/there")).contains(&base.join("not")));
    }
}
