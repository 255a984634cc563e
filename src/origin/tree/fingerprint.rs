//! What tells one state of a file from another: its stat, and the hash of its bytes. Opens regular
//! files only, and never blocks on anything else.

use std::cell::RefCell;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::core::change::ContentHash;
use crate::core::time::Time;

/// Bytes read at once; BLAKE3 is at its fastest with no more.
const BUFFER_SIZE: usize = 64 * 1024;

/// The part of a stat that changes when a file does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::origin) struct Stat {
    pub(in crate::origin) size: u64,
    pub(in crate::origin) mtime_ns: i64,
    pub(in crate::origin) ctime_ns: i64,
    pub(in crate::origin) inode: u64,
    pub(in crate::origin) dev: u64,
    pub(in crate::origin) mode: u32,
    /// Its group; not remembered, since who may read it is.
    pub(in crate::origin) gid: u32,
    /// How many names it has. Not part of what tells a change.
    pub(in crate::origin) links: u32,
}

impl From<&Metadata> for Stat {
    fn from(metadata: &Metadata) -> Self {
        let nanos =
            |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        Self {
            size: metadata.size(),
            mtime_ns: nanos(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: nanos(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            dev: metadata.dev(),
            mode: metadata.mode(),
            gid: metadata.gid(),
            links: u32::try_from(metadata.nlink()).unwrap_or(u32::MAX),
        }
    }
}

impl From<&rustix::fs::Statx> for Stat {
    fn from(found: &rustix::fs::Statx) -> Self {
        let nanos = |time: &rustix::fs::StatxTimestamp| {
            time.tv_sec
                .saturating_mul(1_000_000_000)
                .saturating_add(i64::from(time.tv_nsec))
        };
        Self {
            size: found.stx_size,
            mtime_ns: nanos(&found.stx_mtime),
            ctime_ns: nanos(&found.stx_ctime),
            inode: found.stx_ino,
            dev: rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor),
            mode: u32::from(found.stx_mode),
            gid: found.stx_gid,
            links: found.stx_nlink,
        }
    }
}

impl Stat {
    /// Whether nothing happened to the file. Times are compared for inequality only: a file may be
    /// replaced by an older one. On another device it is another file, whatever its number there.
    pub(in crate::origin) fn same(&self, other: &Self) -> bool {
        (
            self.size,
            self.mtime_ns,
            self.ctime_ns,
            self.inode,
            self.dev,
            self.mode,
        ) == (
            other.size,
            other.mtime_ns,
            other.ctime_ns,
            other.inode,
            other.dev,
            other.mode,
        )
    }

    /// Whether a write may lie between the two. That the mode differs says nothing of it; nor does
    /// the ctime where the number of names differs too, as for each file of a tree that is copied as
    /// hard links.
    pub(in crate::origin) fn rewritten(&self, other: &Self) -> bool {
        let linked = self.links != other.links;
        let like_other = Self {
            mode: other.mode,
            ctime_ns: if linked {
                other.ctime_ns
            } else {
                self.ctime_ns
            },
            ..*self
        };
        !like_other.same(other)
    }

    /// When its metadata last changed; no call can set that.
    pub(in crate::origin) fn changed_at(&self) -> Time {
        time(self.ctime_ns)
    }

    /// When it was last written; its owner can set that.
    pub(in crate::origin) fn written_at(&self) -> Time {
        time(self.mtime_ns)
    }
}

fn time(nanos: i64) -> Time {
    Time::from_millis(u64::try_from(nanos / 1_000_000).unwrap_or(0))
}

/// What reading a file came to.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::origin) enum Content {
    /// The hash, and the stat that the file had before and after.
    Hash(ContentHash, Stat),
    /// It changed while it was read; the hash is of something that may never have been there.
    Moving(ContentHash, Stat),
    /// It is another file than the one that was looked at, or no regular file, or no longer there.
    Replaced,
    /// This process may not read it.
    Unreadable,
    /// The reading was ended before it was done.
    GivenUp,
}

/// Whether this process may read the file at `path`.
pub(in crate::origin) fn may_read(path: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::open(path, flags, Mode::empty()).is_ok()
}

/// Is asked after each [`SLICE`] with the file and the bytes read so far, whether to go on.
pub(in crate::origin) type GoOn<'a> = dyn FnMut(&File, u64) -> io::Result<bool> + 'a;

/// Bytes between two such questions.
const SLICE: u64 = 16 * 1024 * 1024;

/// Reads and hashes the file at `path`, which had this stat a moment ago.
pub(in crate::origin) fn content(
    path: &Path,
    expected: &Stat,
    go_on: &mut GoOn<'_>,
) -> io::Result<Content> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(error) => {
            return match io::Error::from(error) {
                error if error.kind() == io::ErrorKind::PermissionDenied => Ok(Content::Unreadable),
                error
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) =>
                {
                    Ok(Content::Replaced)
                }
                error => Err(error),
            };
        }
    };
    let metadata = file.metadata()?;
    let before = Stat::from(&metadata);
    if !metadata.is_file() || (before.inode, before.dev) != (expected.inode, expected.dev) {
        return Ok(Content::Replaced);
    }
    let Some(hash) = hash(&file, before.size, go_on)? else {
        return Ok(Content::GivenUp);
    };
    let hash = *hash.as_bytes();
    let after = Stat::from(&file.metadata()?);
    Ok(if before.same(&after) {
        Content::Hash(hash, after)
    } else {
        Content::Moving(hash, after)
    })
}

/// Hashes a file to its end. One that has the size that it is said to have is not asked whether more
/// is to come: a stat that is the same afterwards says so too. `None` when it was not to go on.
fn hash(mut file: &File, size: u64, go_on: &mut GoOn<'_>) -> io::Result<Option<blake3::Hash>> {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER_SIZE]);
    }
    let mut hasher = blake3::Hasher::new();
    let mut asked = 0;
    BUFFER.with_borrow_mut(|buffer| {
        while hasher.count() == 0 || hasher.count() != size {
            match file.read(buffer) {
                Ok(0) => break,
                Ok(read) => drop(hasher.update(&buffer[..read])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if hasher.count() - asked >= SLICE {
                asked = hasher.count();
                if !go_on(file, asked)? {
                    return Ok(None);
                }
            }
        }
        Ok(Some(hasher.finalize()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(path: &Path) -> Stat {
        Stat::from(&std::fs::metadata(path).unwrap())
    }

    fn content(path: &Path, expected: &Stat) -> io::Result<Content> {
        super::content(path, expected, &mut |_, _| Ok(true))
    }

    #[test]
    fn a_file_has_the_blake3_hash_of_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "hello").unwrap();
        let found = content(&path, &stat(&path)).unwrap();
        assert_eq!(
            found,
            Content::Hash(*blake3::hash(b"hello").as_bytes(), stat(&path))
        );
    }

    #[test]
    fn a_fifo_is_not_waited_for_and_another_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "hello").unwrap();
        let before = stat(&path);
        std::fs::write(dir.path().join("b"), "hello").unwrap();
        std::fs::rename(dir.path().join("b"), &path).unwrap();
        assert_eq!(content(&path, &before).unwrap(), Content::Replaced);

        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert_eq!(content(&fifo, &stat(&fifo)).unwrap(), Content::Replaced);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(content(&path, &before).unwrap(), Content::Replaced);
    }
}
