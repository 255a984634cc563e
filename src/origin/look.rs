//! A look: one path, as it is on disk now, compared with what is remembered of it. Reads the file
//! where the stat differs; never writes anything and never decides what to do about the answer.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::fingerprint::{Content, Stat, content};
use super::index::Entry;
use super::known::{Found, Known, Observed, Signs, judge};
use super::large::LARGE;
use super::links_bound::{Links, Way};
use super::settings::{Compare, FollowSymlinks, RACY, RACY_FINE, SETTLED};
use crate::core::time::Time;

/// A file that moves while it is read is read again after this.
const MOVING: Duration = Duration::from_millis(250);

/// What a look came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// As remembered.
    Same,
    /// A directory: what counts lies below it.
    Directory,
    /// No file: nothing there, or something no web server serves.
    Absent,
    /// Nobody can tell now; what is remembered stays.
    Unknown(io::Error),
    /// It is in writing; look again then.
    Later(Time),
    /// It is as remembered, but only a look after this time can be sure.
    Recheck(Time),
    /// A file that is not as remembered.
    Found(Found),
    /// Its bytes have to be compared, and are too many to be read now.
    Large(Observed),
}

/// How sure the caller is that nobody is writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Nothing is known: young files are waited for.
    Wait,
    /// An event said that it is complete.
    Complete,
    /// It was waited for long enough.
    Over,
    /// It was there before anybody watched: its stat is enough for now.
    Unread,
}

/// What was found under a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
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
pub(super) struct Sight {
    /// The name itself is a link.
    pub(super) is_link: bool,
    /// What it leads to.
    pub(super) found: io::Result<Option<Seen>>,
}

/// How to look at one origin.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    /// The root as configured: always the tree that is served now.
    pub(super) root: PathBuf,
    /// The root with every link resolved.
    pub(super) resolved: PathBuf,
    pub(super) compare: Compare,
    pub(super) follow: FollowSymlinks,
    /// The web server's group, whose right to read counts where a file is of it.
    pub(super) group: Option<u32>,
    /// Which names behind links are followed.
    pub(super) links: Arc<Links>,
}

impl Resolver {
    pub(super) fn real(&self, path: &[u8]) -> PathBuf {
        if path.is_empty() {
            self.root.clone()
        } else {
            self.root.join(OsStr::from_bytes(path))
        }
    }

    /// Whether the policy lets a link be followed.
    pub(super) fn may_follow(&self, link: &Path) -> bool {
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
    pub(super) fn see(&self, path: &[u8]) -> io::Result<Option<Seen>> {
        self.sight(path).found
    }

    /// The same, and whether the name is a link.
    pub(super) fn sight(&self, path: &[u8]) -> Sight {
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
    pub(super) fn is_cut_off(&self, path: &[u8]) -> bool {
        let ends = |path: &[u8]| Way::to(self, path).ends.is_some();
        if self.links.bound().is_none_or(|bound| bound.cut.is_none()) {
            return false;
        }
        let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.links.remember_end(&path[..end], ends) || (self.real(path).is_symlink() && ends(path))
    }

    /// Whether the web server may enter a directory.
    pub(super) fn lets_in(&self, mode: u32, gid: u32) -> bool {
        self.allowed(mode, gid) & 0o1 != 0
    }

    /// Whether the web server may read a file; `open`: it may enter the directories above.
    pub(super) fn readable(&self, stat: &Stat, open: bool) -> bool {
        open && self.allowed(stat.mode, stat.gid) & 0o4 != 0
    }

    /// What the web server may do: as one of its group where that is the file's, else as everybody. The
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

    /// Looks at one path. `open`: others may enter the directories above it.
    pub(super) fn look(
        &self,
        path: &[u8],
        row: Option<&Entry>,
        open: bool,
        patience: Patience,
        now: Time,
    ) -> Outcome {
        let found = self.see(path);
        self.look_at(found, path, row, open, patience, Signs::default(), now)
    }

    /// The same, with what was found there a moment ago.
    #[expect(
        clippy::too_many_arguments,
        reason = "what was known, what was found, and how to take it"
    )]
    pub(super) fn look_at(
        &self,
        found: io::Result<Option<Seen>>,
        path: &[u8],
        row: Option<&Entry>,
        open: bool,
        patience: Patience,
        signs: Signs,
        now: Time,
    ) -> Outcome {
        let stat = match found {
            Ok(Some(Seen::File(stat))) => stat,
            Ok(Some(Seen::Directory)) => return Outcome::Directory,
            Ok(Some(Seen::Other) | None) => return Outcome::Absent,
            Err(error) => return Outcome::Unknown(error),
        };
        let mut seen = Observed {
            stat,
            readable: self.readable(&stat, open),
            hash: None,
            known: Known::Unread,
        };
        if let Some(row) = row
            && row.stat.same(&stat)
            && row.readable == seen.readable
            && row.absent.is_none()
        {
            if row.is_settled_by_stat(signs) {
                return Outcome::Same;
            }
            if row.known == Known::Racy
                && let Some(time) = racy_until(&stat, now)
            {
                return Outcome::Recheck(time);
            }
        }
        if patience == Patience::Wait
            && let Some(time) = in_writing_until(&stat, now)
        {
            return Outcome::Later(time);
        }
        match self.compare {
            Compare::Metadata => {
                seen.known = Known::Surely;
                Outcome::Found(judge(row, seen, signs))
            }
            Compare::Content if patience == Patience::Unread => {
                Outcome::Found(judge(row, seen, signs))
            }
            Compare::Content if stat.size <= LARGE => {
                let content = content(&self.real(path), &stat, &mut |_, read| Ok(read <= LARGE));
                read_as(content, row, seen, patience, signs, now)
            }
            Compare::Content if row.is_none_or(|row| row.surely_differs(&stat)) => {
                Outcome::Found(judge(row, seen, signs))
            }
            Compare::Content => Outcome::Large(seen),
        }
    }

    /// Reads a file whose stat alone is remembered; `None` when it is not as remembered any more.
    pub(super) fn read(&self, path: &[u8], entry: &Entry, now: Time) -> Option<Entry> {
        let content = content(&self.real(path), &entry.stat, &mut |_, _| Ok(true));
        known_as(&content, entry, now)
    }
}

/// A file whose stat alone was remembered, now that it was read; `None` when it is not as remembered
/// any more.
pub(super) fn known_as(content: &io::Result<Content>, entry: &Entry, now: Time) -> Option<Entry> {
    let (hash, stat) = match content {
        Ok(Content::Hash(hash, stat)) if stat.same(&entry.stat) => (Some(*hash), *stat),
        Ok(Content::Unreadable) => (None, entry.stat),
        _ => return None,
    };
    let racy = hash.is_some() && racy_until(&stat, now).is_some();
    Some(Entry {
        known: if racy { Known::Racy } else { Known::Surely },
        stat,
        hash,
        ..entry.clone()
    })
}

/// What it means that a file was read with this result.
pub(super) fn read_as(
    content: io::Result<Content>,
    row: Option<&Entry>,
    mut seen: Observed,
    patience: Patience,
    signs: Signs,
    now: Time,
) -> Outcome {
    let mut moving = false;
    match content {
        Ok(Content::Hash(hash, stat)) => (seen.hash, seen.stat) = (Some(hash), stat),
        Ok(Content::Moving(hash, stat)) if patience == Patience::Over => {
            (seen.hash, seen.stat) = (Some(hash), stat);
            moving = true;
        }
        // It was waited for long enough: that it moves is a change.
        Ok(Content::GivenUp) if patience == Patience::Over => {
            let signs = Signs {
                event: true,
                ..signs
            };
            return Outcome::Found(judge(row, seen, signs));
        }
        Ok(Content::Moving(..) | Content::Replaced | Content::GivenUp) => {
            return Outcome::Later(now.after(MOVING));
        }
        Ok(Content::Unreadable) => {}
        Err(error) => return Outcome::Unknown(error),
    }
    seen.known = if seen.hash.is_some() && (moving || racy_until(&seen.stat, now).is_some()) {
        Known::Racy
    } else {
        Known::Surely
    };
    Outcome::Found(judge(row, seen, signs))
}

/// Whether there is certainly nothing under this name.
pub(super) fn nothing_there(error: &io::Error) -> bool {
    let looping = rustix::io::Errno::LOOP.raw_os_error();
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    ) || error.raw_os_error() == Some(looping)
}

/// Until when another write could hide behind the same times. A time in the future is another
/// clock's, and says nothing.
pub(super) fn racy_until(stat: &Stat, now: Time) -> Option<Time> {
    let changed = stat.changed_at();
    let whole_seconds = stat.ctime_ns % 1_000_000_000 == 0;
    let until = changed.after(if whole_seconds { RACY } else { RACY_FINE });
    (now < until && changed <= now.after(RACY)).then_some(until)
}

/// Until when a file that is no longer written may still look so.
fn in_writing_until(stat: &Stat, now: Time) -> Option<Time> {
    let written = stat.written_at();
    let whole_seconds = stat.mtime_ns % 1_000_000_000 == 0;
    let wait = SETTLED.saturating_mul(1 + u32::from(whole_seconds));
    let until = written.after(wait);
    (now < until && written <= now.after(wait)).then_some(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_another_clock_do_not_make_a_file_young_for_ever() {
        let now = Time::from_millis(10_000);
        let at = |millis: i64| Stat {
            mtime_ns: millis * 1_000_000 + 1,
            ctime_ns: millis * 1_000_000 + 1,
            ..Stat::default()
        };
        assert!(in_writing_until(&at(9_500), now).is_some());
        assert!(in_writing_until(&at(8_000), now).is_none());
        assert!(in_writing_until(&at(99_000), now).is_none());
        assert!(racy_until(&at(9_980), now).is_some());
        assert!(racy_until(&at(9_900), now).is_none());
        let whole = Stat {
            ctime_ns: 9_000_000_000,
            ..Stat::default()
        };
        assert!(racy_until(&whole, now).is_some());
        assert!(racy_until(&at(99_000), now).is_none());
    }
}
