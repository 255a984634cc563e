//! Lists a tree directory by directory, in the order of the paths' bytes, links followed as the
//! policy says. Holds one listing per level, and never looks at a file.

use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::ignore::Ignore;
use super::inbox::join;
use super::look::{Eyes, nothing_there};

/// Links are not followed any deeper than this.
const DEPTH: usize = 64;

/// What comes next in a tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A name that may be a file. `open`: others may enter the directories above.
    File { path: Vec<u8>, open: bool },
    /// A directory; it is listed at the next call. `target`: where a link to it leads.
    Enter {
        path: Vec<u8>,
        target: Option<PathBuf>,
    },
    /// The directory just entered, and whether others may enter it.
    Entered { path: Vec<u8>, open: bool },
    /// The directory just entered cannot be listed; nobody knows what is below.
    Unreadable { path: Vec<u8> },
}

#[derive(Debug)]
enum Child {
    File(Vec<u8>),
    Directory(Vec<u8>, Option<PathBuf>),
}

impl Child {
    /// A directory sorts as its children do: behind `name` comes a slash.
    fn key(&self) -> Vec<u8> {
        match self {
            Self::File(name) => name.clone(),
            Self::Directory(name, _) => [name.as_slice(), b"/"].concat(),
        }
    }
}

#[derive(Debug)]
struct Frame {
    path: Vec<u8>,
    children: std::vec::IntoIter<Child>,
    open: bool,
    id: (u64, u64),
}

/// A walk through a tree.
#[derive(Debug)]
pub(super) struct Walk {
    eyes: Eyes,
    stack: Vec<Frame>,
    entering: Option<(Vec<u8>, bool)>,
    /// What lies above the start.
    above: Vec<(u64, u64)>,
    open_above: bool,
}

impl Walk {
    /// A walk through the directory `start` and everything below it.
    pub(super) fn new(eyes: Eyes, start: &[u8]) -> Self {
        let (above, open_above) = ancestors(&eyes, start);
        Self {
            eyes,
            stack: Vec::new(),
            entering: Some((start.to_vec(), false)),
            above,
            open_above,
        }
    }

    /// What comes next; `None` at the end.
    pub(super) fn next(&mut self, ignore: &Ignore) -> Option<Item> {
        if let Some((path, is_link)) = self.entering.take()
            && let Some(item) = self.enter(path, is_link, ignore)
        {
            return Some(item);
        }
        loop {
            let frame = self.stack.last_mut()?;
            match frame.children.next() {
                None => {
                    self.stack.pop();
                }
                Some(Child::File(name)) => {
                    return Some(Item::File {
                        path: join(&frame.path, &name),
                        open: frame.open,
                    });
                }
                Some(Child::Directory(name, target)) => {
                    let path = join(&frame.path, &name);
                    self.entering = Some((path.clone(), target.is_some()));
                    return Some(Item::Enter { path, target });
                }
            }
        }
    }

    /// Lists a directory. `None` when there is nothing to say: it is not there any more, or it is
    /// one of its own ancestors.
    fn enter(&mut self, path: Vec<u8>, is_link: bool, ignore: &Ignore) -> Option<Item> {
        let metadata = match std::fs::metadata(self.eyes.real(&path)) {
            Ok(metadata) if metadata.is_dir() => metadata,
            Ok(_) => return None,
            Err(error) if nothing_there(&error) => return None,
            Err(_) => return Some(Item::Unreadable { path }),
        };
        let id = (metadata.dev(), metadata.ino());
        if is_link {
            let own_ancestor =
                self.above.contains(&id) || self.stack.iter().any(|frame| frame.id == id);
            if own_ancestor || self.stack.len() >= DEPTH {
                return None;
            }
        }
        let open_above = self
            .stack
            .last()
            .map_or(self.open_above, |frame| frame.open);
        let open = open_above && metadata.mode() & 0o001 != 0;
        let children = match self.list(&path, ignore) {
            Ok(children) => children,
            Err(error) if nothing_there(&error) => return None,
            Err(_) => return Some(Item::Unreadable { path }),
        };
        self.stack.push(Frame {
            path: path.clone(),
            children: children.into_iter(),
            open,
            id,
        });
        Some(Item::Entered { path, open })
    }

    fn list(&self, dir: &[u8], ignore: &Ignore) -> io::Result<Vec<Child>> {
        let mut children = Vec::new();
        for child in std::fs::read_dir(self.eyes.real(dir))? {
            let child = child?;
            let name = child.file_name().into_vec();
            let path = join(dir, &name);
            let kind = match child.file_type() {
                Ok(kind) => kind,
                Err(error) if nothing_there(&error) => continue,
                Err(error) => return Err(error),
            };
            let mut target = None;
            let mut is_dir = kind.is_dir();
            if kind.is_symlink() {
                let link = child.path();
                if ignore.matches(&path, false) || !self.eyes.may_follow(&link) {
                    continue;
                }
                if std::fs::metadata(&link).is_ok_and(|metadata| metadata.is_dir()) {
                    is_dir = true;
                    target = std::fs::canonicalize(&link).ok();
                }
            } else if !is_dir && !kind.is_file() {
                continue;
            }
            if ignore.matches(&path, is_dir) {
                continue;
            }
            children.push(if is_dir {
                Child::Directory(name, target)
            } else {
                Child::File(name)
            });
        }
        children.sort_by_cached_key(Child::key);
        Ok(children)
    }
}

/// The identities of the directories above `path`, and whether others may enter all of them.
fn ancestors(eyes: &Eyes, path: &[u8]) -> (Vec<(u64, u64)>, bool) {
    let mut ids = Vec::new();
    let mut open = true;
    let ends = path
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .map(|(end, _)| end);
    let root = (!path.is_empty()).then_some(0);
    for end in root.into_iter().chain(ends) {
        let dir = eyes.root.join(std::ffi::OsStr::from_bytes(&path[..end]));
        if let Ok(metadata) = std::fs::metadata(dir) {
            ids.push((metadata.dev(), metadata.ino()));
            open &= metadata.mode() & 0o001 != 0;
        }
    }
    (ids, open)
}

/// Whether others may enter every directory above `path`.
pub(super) fn open_above(eyes: &Eyes, path: &[u8]) -> bool {
    ancestors(eyes, path).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::settings::{Compare, FollowSymlinks};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn files(root: &Path, follow: FollowSymlinks, start: &[u8]) -> Vec<String> {
        let eyes = Eyes {
            root: root.to_owned(),
            resolved: root.canonicalize().unwrap(),
            compare: Compare::Content,
            follow,
        };
        let ignore = Ignore::new(&[]).unwrap();
        let mut walk = Walk::new(eyes, start);
        let mut files = Vec::new();
        while let Some(item) = walk.next(&ignore) {
            if let Item::File { path, .. } = item {
                files.push(String::from_utf8(path).unwrap());
            }
        }
        files
    }

    #[test]
    fn files_come_in_the_order_of_their_paths() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a/z", "a.html", "a/b/c", "a0", ".git/x", "b", "a-b/x"] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = files(dir.path(), FollowSymlinks::Any, b"");
        assert_eq!(found, ["a-b/x", "a.html", "a/b/c", "a/z", "a0", "b"]);
        let mut sorted = found.clone();
        sorted.sort_unstable();
        assert_eq!(found, sorted);
        assert_eq!(
            files(dir.path(), FollowSymlinks::Any, b"a"),
            ["a/b/c", "a/z"]
        );
    }

    #[test]
    fn links_are_followed_as_told_and_loops_end() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("o"), "").unwrap();
        let root = dir.path();
        std::fs::create_dir(root.join("d")).unwrap();
        std::fs::write(root.join("d/f"), "").unwrap();
        symlink("d", root.join("in")).unwrap();
        symlink(outside.path(), root.join("out")).unwrap();
        symlink("..", root.join("d/loop")).unwrap();
        symlink("nowhere", root.join("broken")).unwrap();
        let any = files(root, FollowSymlinks::Any, b"");
        assert!(
            any.contains(&"in/f".to_owned()) && any.contains(&"out/o".to_owned()),
            "{any:?}"
        );
        let inside = files(root, FollowSymlinks::Root, b"");
        assert!(inside.contains(&"in/f".to_owned()), "{inside:?}");
        assert!(
            !inside.iter().any(|path| path.contains("out/")),
            "{inside:?}"
        );
        assert_eq!(files(root, FollowSymlinks::No, b""), ["d/f"]);
    }
}
