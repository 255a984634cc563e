//! Symbolic links to files: a change of the file is a change under the link's name too, and no
//! event says so. What is not known here, `targets` finds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Steps from a link to its target that are remembered at most; `targets` follows the links all the same.
const STEPS: usize = 65_536;
/// Links that lead to each other are followed no further than this.
const HOPS: usize = 40;

/// Which links lead to a path.
#[derive(Debug, Default)]
pub(in crate::origin) struct FileLinks {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    targets: BTreeMap<PathBuf, BTreeSet<Vec<u8>>>,
    steps: usize,
}

impl FileLinks {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic stops the process; until then nothing here is half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all: a scan finds them anew.
    pub(in crate::origin) fn clear(&self) {
        *self.state() = State::default();
    }

    /// Remembers where the link at `real` leads, if it is one: every path on the way. `logical` is
    /// its name in the origin. Returns them.
    pub(in crate::origin) fn add(&self, real: &Path, logical: &[u8]) -> Vec<PathBuf> {
        let mut hop = real.to_owned();
        let mut hops = Vec::new();
        for _ in 0..HOPS {
            let Ok(target) = std::fs::read_link(&hop) else {
                break;
            };
            let target = hop.parent().unwrap_or(Path::new("/")).join(target);
            hop = without_dots(&target);
            let mut state = self.state();
            if state.steps >= STEPS {
                break;
            }
            let links = state.targets.entry(hop.clone()).or_default();
            if links.insert(logical.to_vec()) {
                state.steps += 1;
            }
            hops.push(hop.clone());
        }
        hops
    }

    /// The links that lead to a path.
    pub(in crate::origin) fn to(&self, real: &Path) -> Vec<Vec<u8>> {
        let state = self.state();
        let links = state.targets.get(real).into_iter().flatten();
        links.cloned().collect()
    }
}

/// The path that events have: directories resolved where they are there.
fn without_dots(path: &Path) -> PathBuf {
    let name = path.file_name();
    if let (Some(parent), Some(name)) = (path.parent(), name)
        && let Ok(parent) = std::fs::canonicalize(parent)
    {
        return parent.join(name);
    }
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn every_path_on_the_way_leads_back_to_the_link() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("d")).unwrap();
        symlink("d/../second", root.join("first")).unwrap();
        symlink("d/file", root.join("second")).unwrap();
        symlink("round", root.join("round")).unwrap();
        let links = FileLinks::default();
        links.add(&root.join("first"), b"first");
        links.add(&root.join("round"), b"round");
        // Also while the file is not there.
        for target in ["second", "d/file"] {
            assert_eq!(links.to(&root.join(target)), [b"first".to_vec()]);
        }
        assert_eq!(links.to(&root.join("d")), Vec::<Vec<u8>>::new());
    }
}
