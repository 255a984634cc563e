//! Lists a tree directory by directory, in the order of the paths' bytes, links followed as the
//! policy says, and has each directory watched before it is listed. Holds one listing per level, and never looks at a file.

use std::cmp::Ordering;
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, StatxFlags};

use super::fingerprint::Stat;
use super::ignore::Ignore;
use super::links_bound::{Landing, Lead, Way};
use super::paths::join;
use super::resolver::{Resolver, nothing_there};
use crate::origin::settings::FollowSymlinks;

/// What comes next in a tree.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::origin) enum Item {
    /// A name that may be a file. `stat`: as the listing found it, where it is a file itself and no
    /// link to one. `open`: others may enter the directories above.
    File {
        path: Vec<u8>,
        stat: Option<Stat>,
        open: bool,
    },
    /// A directory that was listed, and whether others may enter it. What is in it comes next.
    Directory { path: Vec<u8>, open: bool },
    /// A directory that cannot be listed; what is below is not known.
    Unreadable { path: Vec<u8> },
}

#[derive(Debug)]
struct Child {
    name: Vec<u8>,
    what: What,
}

#[derive(Debug)]
enum What {
    File(Option<Stat>),
    Directory(Option<PathBuf>),
}

impl Child {
    /// By the bytes of the paths below: a directory sorts as its children do, behind `name` comes
    /// a slash.
    fn order(&self, other: &Self) -> Ordering {
        let length = self.name.len().min(other.name.len());
        let next = |child: &Self| {
            let slash = matches!(child.what, What::Directory(_)).then_some(b'/');
            child.name.get(length).copied().or(slash)
        };
        self.name[..length]
            .cmp(&other.name[..length])
            .then_with(|| next(self).cmp(&next(other)))
            .then_with(|| self.name.len().cmp(&other.name.len()))
    }
}

#[derive(Debug)]
struct Frame {
    path: Vec<u8>,
    /// Where it is, with no link on the way.
    real: PathBuf,
    children: std::vec::IntoIter<Child>,
    open: bool,
    id: (u64, u64),
    /// The last link on its way.
    landing: Option<Arc<Landing>>,
}

/// A directory that is about to be listed.
#[derive(Debug)]
struct Entrance {
    path: Vec<u8>,
    real: PathBuf,
    /// Where the link is, if it is one.
    link: Option<PathBuf>,
    /// The last link above it; of a start, it itself if it is one.
    landing: Option<Arc<Landing>>,
}

/// The next step of a walk.
#[derive(Debug)]
pub(in crate::origin) enum Step {
    /// Something was found.
    Item(Item),
    /// A directory right below the start, which a walk of its own is to enter.
    Below(Walk),
}

/// Gets each directory of a walk before the walk lists it, so that it can be watched by then.
pub(in crate::origin) trait DirectoryObserver:
    std::fmt::Debug + Send + Sync
{
    /// A directory that is about to be listed: `real` is where it is, with no link on the way.
    fn directory(&self, real: &Path, logical: &[u8], is_link: bool);

    /// A directory on another filesystem than the one above it.
    fn crossed(&self, real: &Path, logical: &[u8]);
}

/// A walk through a tree.
#[derive(Debug)]
pub(in crate::origin) struct Walk {
    resolver: Arc<Resolver>,
    ignore: Arc<Ignore>,
    observer: Option<Arc<dyn DirectoryObserver>>,
    stack: Vec<Frame>,
    start: Option<Entrance>,
    /// What lies above the start.
    above: Vec<(u64, u64)>,
    open_above: bool,
}

impl Walk {
    /// A walk through the directory `start` and everything below it. `observer` gets each
    /// directory before it is listed.
    pub(in crate::origin) fn new(
        resolver: Arc<Resolver>,
        ignore: Arc<Ignore>,
        observer: Option<Arc<dyn DirectoryObserver>>,
        start: &[u8],
    ) -> Self {
        let way = Way::to(&resolver, start);
        let real = resolver.real(start);
        let entrance = Entrance {
            path: start.to_vec(),
            link: None,
            landing: way.landing,
            // What is not there is found to be so when it is entered.
            real: std::fs::canonicalize(&real).unwrap_or(real),
        };
        Self {
            resolver,
            ignore,
            observer,
            stack: Vec::new(),
            start: way.ends.is_none().then_some(entrance),
            above: way.above,
            open_above: way.open,
        }
    }

    /// What comes next; `None` at the end.
    pub(in crate::origin) fn next(&mut self) -> Option<Item> {
        match self.step(usize::MAX)? {
            Step::Item(item) => Some(item),
            // None is that deep.
            Step::Below(_) => None,
        }
    }

    /// What comes next; directories right below the start are left to walks of their own.
    pub(in crate::origin) fn shallow(&mut self) -> Option<Step> {
        self.step(1)
    }

    /// `deep`: a directory at that depth is left to a walk of its own.
    fn step(&mut self, deep: usize) -> Option<Step> {
        if let Some(start) = self.start.take()
            && let Some(item) = self.enter(start)
        {
            return Some(Step::Item(item));
        }
        loop {
            let depth = self.stack.len();
            let frame = self.stack.last_mut()?;
            let Some(Child { name, what }) = frame.children.next() else {
                self.stack.pop();
                continue;
            };
            let path = join(&frame.path, &name);
            match what {
                What::File(stat) => {
                    let open = frame.open;
                    return Some(Step::Item(Item::File { path, stat, open }));
                }
                What::Directory(target) => {
                    let at = frame.real.join(OsStr::from_bytes(&name));
                    let (real, link) = match target {
                        Some(target) => (target, Some(at)),
                        None => (at, None),
                    };
                    let entrance = Entrance {
                        path,
                        real,
                        link,
                        landing: frame.landing.clone(),
                    };
                    if depth >= deep {
                        return Some(Step::Below(self.below(entrance)));
                    }
                    if let Some(item) = self.enter(entrance) {
                        return Some(Step::Item(item));
                    }
                }
            }
        }
    }

    /// A walk of its own through a directory below the last one that was entered.
    fn below(&self, entrance: Entrance) -> Self {
        let frame = self.stack.last();
        let ids = self.stack.iter().map(|frame| frame.id);
        Self {
            resolver: Arc::clone(&self.resolver),
            ignore: Arc::clone(&self.ignore),
            observer: self.observer.clone(),
            stack: Vec::new(),
            start: Some(entrance),
            above: self.above.iter().copied().chain(ids).collect(),
            open_above: frame.map_or(self.open_above, |frame| frame.open),
        }
    }

    /// Lists a directory. `None` when there is nothing to say: it is not there any more, or not
    /// followed.
    fn enter(&mut self, entrance: Entrance) -> Option<Item> {
        let Entrance {
            path,
            real,
            link,
            landing,
        } = entrance;
        let landing = match &link {
            Some(at) => Some(self.land(&path, at, &real, landing.is_some())?),
            None => landing,
        };
        if let Some(observer) = &self.observer {
            let is_link = landing.as_ref().is_some_and(|landing| landing.name == path);
            observer.directory(&real, &path, is_link);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = rustix::fs::open(&real, flags, Mode::empty())
            .and_then(|handle| Ok((rustix::fs::fstat(&handle)?, handle)));
        let (found, handle) = match opened.map_err(io::Error::from) {
            Ok(opened) => opened,
            Err(error) if nothing_there(&error) => return None,
            Err(_) => return Some(Item::Unreadable { path }),
        };
        let id = (found.st_dev, found.st_ino);
        let above = self.stack.last().map(|frame| frame.id);
        let above = above.or(self.above.last().copied());
        if let Some(observer) = &self.observer
            && above.is_some_and(|(device, _)| device != id.0)
        {
            observer.crossed(&real, &path);
        }
        let open_above = self
            .stack
            .last()
            .map_or(self.open_above, |frame| frame.open);
        let open = open_above && self.resolver.lets_in(found.st_mode, found.st_gid);
        let children = match self.list(&handle, &path, &real, landing.as_deref()) {
            Ok(children) => children,
            Err(error) if nothing_there(&error) => return None,
            Err(_) => return Some(Item::Unreadable { path }),
        };
        self.stack.push(Frame {
            path: path.clone(),
            real,
            children: children.into_iter(),
            open,
            id,
            landing,
        });
        Some(Item::Directory { path, open })
    }

    /// Goes through the link at `at`, which lies `behind` another one or not. `None` when it leads to a
    /// directory that it lies in, and that is not followed.
    fn land(&self, name: &[u8], at: &Path, real: &Path, behind: bool) -> Option<Arc<Landing>> {
        let id = std::fs::metadata(real).map(|found| (found.dev(), found.ino()));
        let leads_back = id.is_ok_and(|id| {
            self.above.contains(&id) || self.stack.iter().any(|frame| frame.id == id)
        });
        let lead = Lead {
            name,
            at,
            above: None,
        };
        // With a link before it, it leads round and round.
        if leads_back && (behind || !self.resolver.links.follows(&self.resolver, &lead)) {
            return None;
        }
        Some(Arc::new(Landing {
            name: name.to_vec(),
            real: real.to_owned(),
        }))
    }

    fn list(
        &self,
        handle: &OwnedFd,
        dir: &[u8],
        real: &Path,
        landing: Option<&Landing>,
    ) -> io::Result<Vec<Child>> {
        let mut listing = Dir::read_from(handle)?;
        let mut children = Vec::new();
        let mut path = join(dir, b"x");
        let above = path.len() - 1;
        while let Some(entry) = listing.read() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            path.truncate(above);
            path.extend_from_slice(name.to_bytes());
            let at = (handle, real, landing);
            if let Some(what) = self.child(at, name, entry.file_type(), &path)? {
                let name = name.to_bytes().to_vec();
                children.push(Child { name, what });
            }
        }
        children.sort_unstable_by(Child::order);
        Ok(children)
    }

    /// What a name in a directory stands for; `None` when it does not count.
    fn child(
        &self,
        (dir, real, landing): (&OwnedFd, &Path, Option<&Landing>),
        name: &CStr,
        kind: FileType,
        path: &[u8],
    ) -> io::Result<Option<What>> {
        let mut kind = kind;
        let mut seen = None;
        if kind == FileType::RegularFile || kind == FileType::Unknown {
            if self.ignore.matches(path, false) && kind == FileType::RegularFile {
                return Ok(None);
            }
            match stat_at(dir, name) {
                Ok(stat) => {
                    kind = FileType::from_raw_mode(stat.mode);
                    seen = Some(stat);
                }
                Err(error) if nothing_there(&error) => return Ok(None),
                // What is wrong with it, the look finds out.
                Err(_) if kind == FileType::RegularFile => {}
                Err(error) => return Err(error),
            }
        }
        let what = match kind {
            FileType::RegularFile => What::File(seen),
            FileType::Directory => What::Directory(None),
            FileType::Symlink => {
                let link = real.join(OsStr::from_bytes(name.to_bytes()));
                match self.behind(&link, path, landing) {
                    Some(what) => what,
                    None => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        let is_dir = matches!(what, What::Directory(_));
        Ok((!self.ignore.matches(path, is_dir)).then_some(what))
    }

    /// What a link stands for; `None` when it does not count.
    fn behind(&self, link: &Path, path: &[u8], landing: Option<&Landing>) -> Option<What> {
        let lead = landing.map(|landing| Lead {
            name: path,
            at: link,
            above: Some(landing),
        });
        if lead.is_some_and(|lead| self.resolver.links.leaves(&lead))
            || self.ignore.matches(path, false)
        {
            return None;
        }
        let found = std::fs::metadata(link);
        // Where one that leads nowhere may lead one day, is not known yet.
        let open = self.resolver.follow == FollowSymlinks::Root
            && found.as_ref().is_err_and(nothing_there);
        if !(open || self.resolver.may_follow(link)) {
            return None;
        }
        if !found.is_ok_and(|metadata| metadata.is_dir()) {
            return Some(What::File(None));
        }
        if lead.is_some_and(|lead| !self.resolver.links.follows(&self.resolver, &lead)) {
            return None;
        }
        // One that is gone by now is found to be so at the next look.
        std::fs::canonicalize(link)
            .ok()
            .map(|target| What::Directory(Some(target)))
    }
}

/// The stat of a name in an open directory, links not followed.
fn stat_at(dir: &OwnedFd, name: &CStr) -> io::Result<Stat> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let found = rustix::fs::statx(dir, name, flags, StatxFlags::BASIC_STATS)?;
    Ok(Stat::from(&found))
}

/// Whether others may enter every directory above `path`.
pub(in crate::origin) fn open_above(resolver: &Resolver, path: &[u8]) -> bool {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let root = (!path.is_empty()).then_some(0);
    root.into_iter().chain(ends.map(|(end, _)| end)).all(|end| {
        let found = std::fs::metadata(resolver.real(&path[..end]));
        found.map_or(true, |found| resolver.lets_in(found.mode(), found.gid()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::settings::Compare;
    use crate::origin::tree::links_bound::Links;
    use std::os::unix::fs::symlink;

    fn files(root: &Path, follow: FollowSymlinks, start: &[u8]) -> Vec<String> {
        let ignore = Arc::new(Ignore::new(&[]).unwrap());
        let resolver = Resolver {
            root: root.to_owned(),
            resolved: root.canonicalize().unwrap(),
            compare: Compare::Content,
            follow,
            group: None,
            links: Links::new(Arc::clone(&ignore), None),
        };
        let mut walk = Walk::new(Arc::new(resolver), ignore, None, start);
        let mut files = Vec::new();
        while let Some(item) = walk.next() {
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
