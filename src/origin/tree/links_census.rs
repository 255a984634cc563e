//! Where the links to directories are, and where they lead. Every real directory is listed once,
//! however many names it has, so that this ends and stays cheap in any web of links. Looks at no file.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::io;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags};

use super::ignore::Ignore;
use super::paths::join;
use super::resolver::Resolver;
use crate::origin::settings::FollowSymlinks;

/// Links to directories that are kept at most.
const LINKS: usize = 262_144;

/// Links to directories, and their targets.
pub(in crate::origin) struct Census<'a> {
    resolver: &'a Resolver,
    ignore: &'a Ignore,
    go_on: &'a dyn Fn() -> bool,
    /// Where each link is, and where it leads: both without a link on the way.
    pub(in crate::origin) links: BTreeMap<PathBuf, PathBuf>,
    /// Names seen in the directories that were listed.
    pub(in crate::origin) entries: usize,
    /// It came to everything.
    pub(in crate::origin) complete: bool,
    /// Directories that were listed with all below them.
    tops: BTreeSet<PathBuf>,
    /// What was left out of that, since it is ignored under the name it was listed by.
    pruned: BTreeSet<PathBuf>,
}

/// A directory that is being listed.
struct Frame {
    real: PathBuf,
    name: Vec<u8>,
    children: std::vec::IntoIter<Vec<u8>>,
}

impl<'a> Census<'a> {
    /// Takes the census of an origin. `go_on`: asked now and then; `false` ends it.
    pub(in crate::origin) fn take(
        resolver: &'a Resolver,
        ignore: &'a Ignore,
        go_on: &'a dyn Fn() -> bool,
    ) -> Self {
        let mut census = Self {
            resolver,
            ignore,
            go_on,
            links: BTreeMap::new(),
            entries: 0,
            complete: true,
            tops: BTreeSet::new(),
            pruned: BTreeSet::new(),
        };
        census.reach(&resolver.resolved, b"");
        let mut waiting = VecDeque::from([(resolver.resolved.clone(), Vec::new())]);
        let (mut taken, mut landed) = (BTreeSet::new(), BTreeSet::new());
        while let Some((top, name)) = waiting.pop_front() {
            let links: Vec<_> = below(&census.links, &top)
                .filter(|(link, _)| taken.insert((*link).clone()))
                .map(|(link, target)| (logical(&name, &top, link), target.clone()))
                .collect();
            for (name, target) in links {
                // Once more under each name: what is ignored under one may count under another.
                if census.reach(&target, &name) | landed.insert(target.clone()) {
                    waiting.push_back((target, name));
                }
            }
        }
        census
    }

    /// Lists a directory and all below it, as far as that was not done before. Returns whether there
    /// was something to do.
    fn reach(&mut self, real: &Path, name: &[u8]) -> bool {
        let listed = |above: &&Path| self.tops.contains(*above) || self.pruned.contains(*above);
        let within = real.ancestors().find(listed);
        if within.is_none_or(|above| !self.tops.contains(above)) {
            self.list(real.to_owned(), name.to_vec());
            self.tops.insert(real.to_owned());
            return true;
        }
        let pruned = self
            .pruned
            .range::<Path, _>((Bound::Included(real), Bound::Unbounded));
        let pruned: Vec<_> = pruned
            .take_while(|path| path.starts_with(real))
            .map(|path| (path.clone(), logical(name, real, path)))
            .filter(|(_, name)| !self.is_ignored(name))
            .collect();
        for (path, name) in &pruned {
            self.pruned.remove(path);
            if path.is_symlink() {
                self.link(path.clone(), name);
            } else {
                self.list(path.clone(), name.clone());
            }
        }
        !pruned.is_empty()
    }

    fn is_ignored(&self, name: &[u8]) -> bool {
        self.ignore.matches(name, true) || self.ignore.matches(name, false)
    }

    fn list(&mut self, real: PathBuf, name: Vec<u8>) {
        let mut stack = Vec::new();
        stack.extend(self.enter(real, name));
        while let Some(frame) = stack.last_mut() {
            let Some(child) = frame.children.next() else {
                stack.pop();
                continue;
            };
            let real = frame.real.join(OsStr::from_bytes(&child));
            let name = join(&frame.name, &child);
            stack.extend(self.enter(real, name));
        }
    }

    /// Takes the links of one directory in. `None` when it can't be listed.
    fn enter(&mut self, real: PathBuf, name: Vec<u8>) -> Option<Frame> {
        let full = self.links.len() + self.pruned.len() >= LINKS;
        self.complete &= !full && (self.go_on)();
        if !self.complete {
            return None;
        }
        let mut children = Vec::new();
        for (child, kind) in names(&real).ok()? {
            self.entries += 1;
            let path = real.join(OsStr::from_bytes(&child));
            let kind = match kind {
                FileType::Unknown => std::fs::symlink_metadata(&path).map_or(kind, |found| {
                    use std::os::unix::fs::MetadataExt as _;
                    FileType::from_raw_mode(found.mode())
                }),
                kind => kind,
            };
            let name = join(&name, &child);
            match kind {
                FileType::Directory if self.is_ignored(&name) => drop(self.pruned.insert(path)),
                FileType::Directory => children.push(child),
                FileType::Symlink => self.link(path, &name),
                _ => {}
            }
        }
        let children = children.into_iter();
        Some(Frame {
            real,
            name,
            children,
        })
    }

    fn link(&mut self, path: PathBuf, name: &[u8]) {
        let leads = std::fs::metadata(&path).is_ok_and(|found| found.is_dir());
        let target = leads.then(|| std::fs::canonicalize(&path).ok()).flatten();
        let Some(target) = target.filter(|target| match self.resolver.follow {
            FollowSymlinks::Any => true,
            FollowSymlinks::Root => target.starts_with(&self.resolver.resolved),
            FollowSymlinks::No => false,
        }) else {
            return;
        };
        if self.is_ignored(name) {
            self.pruned.insert(path);
        } else {
            self.links.insert(path, target);
        }
    }
}

/// What is in a directory. The order is the disk's, and says nothing.
fn names(directory: &Path) -> io::Result<Vec<(Vec<u8>, FileType)>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let handle = rustix::fs::open(directory, flags, Mode::empty())?;
    let mut found = Vec::new();
    for entry in Dir::new(handle)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            found.push((name.to_vec(), entry.file_type()));
        }
    }
    Ok(found)
}

/// What a map has for a directory and below it: paths are ordered by their parts.
fn below<'m, T>(
    map: &'m BTreeMap<PathBuf, T>,
    directory: &'m Path,
) -> impl Iterator<Item = (&'m PathBuf, &'m T)> {
    map.range::<Path, _>((Bound::Included(directory), Bound::Unbounded))
        .take_while(move |(path, _)| path.starts_with(directory))
}

/// What a path at or below the directory `top` is called, where that is called `name`.
pub(in crate::origin) fn logical(name: &[u8], top: &Path, path: &Path) -> Vec<u8> {
    let rest = path.strip_prefix(top).unwrap_or(path);
    join(name, rest.as_os_str().as_bytes())
}
