//! A path of an origin, as it is on disk now: where it is, what is there, links followed as far as the
//! settings allow, and whether the web server may read it. Reads no file.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fingerprint::Stat;
use super::links_bound::{Links, Way};
use crate::origin::settings::{Compare, FollowSymlinks};

/// What was found under a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::origin) enum Seen {
    /// A regular file.
    File(Stat),
    Directory,
    /// Something that no web server serves.
    Other,
}

impl From<&Metadata> for Seen {
    fn from(metadata: &Metadata) -> Self {
        if metadata.is_file() {
            Self::File(Stat::from(metadata))
        } else if metadata.is_dir() {
            Self::Directory
        } else {
            Self::Other
        }
    }
}

/// What is under a path.
#[derive(Debug)]
pub(in crate::origin) struct Sight {
    /// The name itself is a link.
    pub(in crate::origin) is_link: bool,
    /// What it leads to.
    pub(in crate::origin) found: io::Result<Option<Seen>>,
}

/// How to look at one origin.
#[derive(Clone, Debug)]
pub(in crate::origin) struct Resolver {
    /// The root as configured: always the tree that is served now.
    pub(in crate::origin) root: PathBuf,
    /// The root with every link resolved.
    pub(in crate::origin) resolved: PathBuf,
    pub(in crate::origin) compare: Compare,
    pub(in crate::origin) follow: FollowSymlinks,
    /// The web server's group, whose right to read counts where a file is of it.
    pub(in crate::origin) group: Option<u32>,
    /// Which names behind links are followed.
    pub(in crate::origin) links: Arc<Links>,
}

impl Resolver {
    pub(in crate::origin) fn real(&self, path: &[u8]) -> PathBuf {
        if path.is_empty() {
            self.root.clone()
        } else {
            self.root.join(OsStr::from_bytes(path))
        }
    }

    /// Whether the policy lets a link be followed.
    pub(in crate::origin) fn may_follow(&self, link: &Path) -> bool {
        match self.follow {
            FollowSymlinks::Any => true,
            FollowSymlinks::No => false,
            FollowSymlinks::Root => {
                std::fs::canonicalize(link).is_ok_and(|target| target.starts_with(&self.resolved))
            }
        }
    }

    /// What a web server would serve under this path: links followed as far as the policy allows.
    /// `None` when there is nothing.
    pub(in crate::origin) fn see(&self, path: &[u8]) -> io::Result<Option<Seen>> {
        self.sight(path).found
    }

    /// The same, and whether the name is a link.
    pub(in crate::origin) fn sight(&self, path: &[u8]) -> Sight {
        let real = self.real(path);
        if self.is_cut_off(path)
            || (self.follow != FollowSymlinks::Any && !self.parent_allowed(&real, path))
        {
            return Sight {
                is_link: false,
                found: Ok(None),
            };
        }
        let named = std::fs::symlink_metadata(&real);
        let is_link = named.as_ref().is_ok_and(Metadata::is_symlink);
        let metadata = match named {
            Ok(_) if is_link && !path.is_empty() && !self.may_follow(&real) => {
                return Sight {
                    is_link,
                    found: Ok(None),
                };
            }
            Ok(_) if is_link => std::fs::metadata(&real),
            other => other,
        };
        let found = match metadata {
            Ok(metadata) => Ok(Some(Seen::from(&metadata))),
            Err(error) if nothing_there(&error) => Ok(None),
            Err(error) => Err(error),
        };
        Sight { is_link, found }
    }

    /// Whether a path lies behind a link that is not followed, since its target has too many names.
    pub(in crate::origin) fn is_cut_off(&self, path: &[u8]) -> bool {
        let ends = |path: &[u8]| Way::to(self, path).ends.is_some();
        if self.links.bound().is_none_or(|bound| bound.cut.is_none()) {
            return false;
        }
        let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.links.remember_end(&path[..end], ends) || (self.real(path).is_symlink() && ends(path))
    }

    /// Whether the web server may enter a directory.
    pub(in crate::origin) fn lets_in(&self, mode: u32, gid: u32) -> bool {
        self.allowed(mode, gid) & 0o1 != 0
    }

    /// Whether the web server may read a file; `open`: it may enter the directories above.
    pub(in crate::origin) fn readable(&self, stat: &Stat, open: bool) -> bool {
        open && self.allowed(stat.mode, stat.gid) & 0o4 != 0
    }

    /// What the web server may do: as one of its group where that is the file's, else as one of the others. The
    /// kernel asks for the group alone, where it is the file's.
    fn allowed(&self, mode: u32, gid: u32) -> u32 {
        if self.group == Some(gid) {
            mode >> 3
        } else {
            mode
        }
    }

    /// A directory above may have become a link that must not be followed.
    fn parent_allowed(&self, real: &Path, path: &[u8]) -> bool {
        if !path.contains(&b'/') {
            return true;
        }
        let Some(parent) = real
            .parent()
            .and_then(|dir| std::fs::canonicalize(dir).ok())
        else {
            // Whatever is wrong with it, the stat that follows finds out.
            return true;
        };
        match self.follow {
            FollowSymlinks::Any => true,
            FollowSymlinks::Root => parent.starts_with(&self.resolved),
            FollowSymlinks::No => {
                let above = path.rsplitn(2, |byte| *byte == b'/').nth(1).unwrap_or(b"");
                parent == self.resolved.join(OsStr::from_bytes(above))
            }
        }
    }
}

/// Whether there is certainly nothing under this name.
pub(in crate::origin) fn nothing_there(error: &io::Error) -> bool {
    let looping = rustix::io::Errno::LOOP.raw_os_error();
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    ) || error.raw_os_error() == Some(looping)
}
