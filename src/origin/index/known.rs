//! What is known of a file's bytes, and what a look at it means. Pure: no disk, no clock.
//!
//! | known | of the bytes | leaves by | a change is |
//! |---|---|---|---|
//! | `Surely` | the hash, as long as the stat is the same | a look that finds another stat | another hash |
//! | `Racy` | the hash, but a later write may hide behind the same times | a look after those times | another hash |
//! | `HashOnly` | the hash of what was purged for (after a crash); or the stat says nothing | a look that has read the file | another hash |
//! | `Unread` | nothing, only the stat: a first scan reads no file, and a large file that surely changed is read later | reading it | another size, time, inode or device, or an event that ends a write |
//!
//! A file that is being written, and one that is too large to be read at once, keep what was known of
//! them: the look is put off (`Outcome::Later`, `Outcome::Large`), and its hint stays. Without a hash, no
//! comparison of bytes can find a file unchanged: any sign of a write is a change.
//!
//! - **Being written.** The kernel reports data too (`IN_MODIFY`), so a file that is kept open, or is
//!   truncated by its path, is noticed. The worker looks at it when it is closed, or `write_wait` after
//!   the first event, again and again while writes go on.
//! - **Half-written.** Before a change is committed, the watch hands over every event that is queued in
//!   the kernel (`Watch::take_in`). If one names that very path, the look is dropped and made again. A
//!   file that was waited for longer than `write_wait` is believed all the same.
//! - **Another filesystem.** Images have fixed times and numbers, so the device is part of a stat. Files
//!   of a filesystem that was mounted over the origin, or in place of another one, are read; at a start,
//!   so are all files of a filesystem that can't be written. A device that has another number only
//!   because of a reboot is recognised (`origin/tree/surroundings.rs`).
//!
//! `status` counts and names the files that are unread, being read or being written; `wait` waits for
//! them.

use super::Entry;
use crate::core::change::{ContentHash, Kind};
use crate::origin::tree::fingerprint::Stat;

/// How far a row can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::origin) enum Confidence {
    /// As long as the stat is the same, so are the bytes.
    Surely,
    /// It was hashed so soon after its last change that another one may hide behind the same
    /// times.
    Racy,
    /// Only the hash is known: it comes from the queue, after a crash, or another filesystem may have
    /// taken the place of the file's.
    HashOnly,
    /// Only the stat is known: the first scan does not read files, and a large one that surely changed
    /// is read later.
    Unread,
}

impl Confidence {
    pub(in crate::origin) const fn code(self) -> i64 {
        match self {
            Self::Surely => 0,
            Self::Racy => 1,
            Self::HashOnly => 2,
            Self::Unread => 3,
        }
    }

    pub(in crate::origin) const fn parse(code: i64) -> Self {
        match code {
            0 => Self::Surely,
            1 => Self::Racy,
            3 => Self::Unread,
            _ => Self::HashOnly,
        }
    }
}

/// What points to a change beside the stat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::origin) struct Signs {
    /// An event says that the file was written or replaced.
    pub(in crate::origin) event: bool,
    /// Another filesystem may have taken the place of the file's.
    pub(in crate::origin) doubt: bool,
}

/// A file as a look found it.
#[derive(Clone, Copy, Debug)]
pub(in crate::origin) struct Observed {
    pub(in crate::origin) stat: Stat,
    pub(in crate::origin) readable: bool,
    /// The hash of its bytes, where they were read.
    pub(in crate::origin) hash: Option<ContentHash>,
    /// What is known of it from now on.
    pub(in crate::origin) known: Confidence,
}

/// A file that is not as remembered.
#[derive(Debug)]
pub(in crate::origin) struct Found {
    /// What is to be remembered.
    pub(in crate::origin) entry: Entry,
    /// What it means to a cache; `None` when the bytes are the same.
    pub(in crate::origin) kind: Option<Kind>,
    /// It had another stat and the same bytes.
    pub(in crate::origin) unchanged: bool,
}

impl Entry {
    /// Whether its stat alone tells that the file was not written since: it was read, or nothing points
    /// to a write.
    pub(in crate::origin) fn is_settled_by_stat(&self, signs: Signs) -> bool {
        match self.known {
            Confidence::Surely => !signs.doubt && (self.hash.is_some() || !signs.event),
            Confidence::Unread => signs == Signs::default(),
            Confidence::Racy | Confidence::HashOnly => false,
        }
    }

    /// Whether the file holds other bytes for sure, whatever they are: it need not be read to know that.
    pub(in crate::origin) fn surely_differs(&self, stat: &Stat) -> bool {
        self.hash.is_none() || (self.known != Confidence::HashOnly && self.stat.size != stat.size)
    }
}

/// What it means that a file is as it is now, and was as the row says.
pub(in crate::origin) fn judge(row: Option<&Entry>, now: Observed, signs: Signs) -> Found {
    let mut entry = Entry {
        known: now.known,
        stat: now.stat,
        readable: now.readable,
        hash: now.hash,
        former: None,
        absent: None,
    };
    let Some(row) = row else {
        return Found {
            entry,
            kind: Some(Kind::New),
            unchanged: false,
        };
    };
    let stat_known = row.known != Confidence::HashOnly;
    let other_bytes = if let (Some(old), Some(new)) = (row.hash, now.hash) {
        old != new
    } else {
        // No call can set the ctime: it changes also with a write that kept size and times. It also
        // changes with another owner or mode: without bytes to compare, that is the same.
        let unread = row.known == Confidence::Unread;
        (stat_known && row.stat.rewritten(&now.stat)) || signs.event || (signs.doubt && unread)
    };
    let other_readers = stat_known && row.readable != now.readable;
    entry.hash = now.hash.or(row.hash.filter(|_| !other_bytes));
    entry.former = if other_bytes {
        row.hash.or(row.former)
    } else {
        row.former
    };
    let changed = other_bytes || other_readers;
    Found {
        entry,
        kind: changed.then_some(Kind::Changed),
        unchanged: !changed && stat_known && !row.stat.same(&now.stat),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: ContentHash = [1; 32];
    const NEW: ContentHash = [2; 32];

    fn stat(size: u64, mtime_ns: i64, ctime_ns: i64, inode: u64) -> Stat {
        Stat {
            size,
            mtime_ns,
            ctime_ns,
            inode,
            ..Stat::default()
        }
    }

    fn row(known: Confidence, hash: Option<ContentHash>) -> Entry {
        Entry {
            known,
            stat: stat(1, 1, 1, 1),
            readable: true,
            hash,
            former: None,
            absent: None,
        }
    }

    fn seen(stat: Stat, hash: Option<ContentHash>) -> Observed {
        Observed {
            stat,
            readable: true,
            hash,
            known: Confidence::Surely,
        }
    }

    const EVENT: Signs = Signs {
        event: true,
        doubt: false,
    };
    const DOUBT: Signs = Signs {
        event: false,
        doubt: true,
    };
    const NO_SIGN: Signs = Signs {
        event: false,
        doubt: false,
    };

    #[test]
    fn same_bytes_are_no_change_and_other_bytes_keep_the_former_hash() {
        for known in [Confidence::Surely, Confidence::Racy, Confidence::HashOnly] {
            for signs in [NO_SIGN, EVENT, DOUBT] {
                let old = row(known, Some(OLD));
                let now = stat(1, 2, 3, 3);
                let same = judge(Some(&old), seen(now, Some(OLD)), signs);
                assert_eq!(same.kind, None, "{known:?} {signs:?}");
                let other = judge(Some(&old), seen(now, Some(NEW)), signs);
                assert_eq!(other.kind, Some(Kind::Changed), "{known:?} {signs:?}");
                assert_eq!(other.entry.former, Some(OLD));
            }
        }
    }

    #[test]
    fn who_may_read_is_part_of_a_file() {
        let old = row(Confidence::Surely, Some(OLD));
        let closed = Observed {
            readable: false,
            ..seen(old.stat, Some(OLD))
        };
        assert_eq!(judge(Some(&old), closed, NO_SIGN).kind, Some(Kind::Changed));
    }

    #[test]
    fn without_a_hash_any_sign_of_a_write_is_a_change() {
        let others = [
            stat(2, 1, 1, 1),
            stat(1, 0, 1, 1),
            stat(1, 1, 2, 1),
            stat(1, 1, 1, 2),
            Stat {
                dev: 7,
                ..stat(1, 1, 1, 1)
            },
        ];
        for known in [Confidence::Unread, Confidence::Surely] {
            for hash in [None, Some(NEW)] {
                let old = row(known, None);
                let kind = |stat, signs| judge(Some(&old), seen(stat, hash), signs).kind;
                for other in others {
                    assert_eq!(kind(other, NO_SIGN), Some(Kind::Changed), "{other:?}");
                }
                assert_eq!(kind(old.stat, EVENT), Some(Kind::Changed));
                assert_eq!(kind(old.stat, NO_SIGN), None);
            }
        }
        let unread = row(Confidence::Unread, None);
        let doubted = judge(Some(&unread), seen(unread.stat, Some(NEW)), DOUBT);
        assert_eq!(doubted.kind, Some(Kind::Changed));
    }

    #[test]
    fn a_stat_settles_only_what_nothing_points_to() {
        let settled = |known, hash, signs| row(known, hash).is_settled_by_stat(signs);
        assert!(settled(Confidence::Surely, Some(OLD), NO_SIGN));
        assert!(settled(Confidence::Surely, Some(OLD), EVENT));
        assert!(!settled(Confidence::Surely, Some(OLD), DOUBT));
        // Metadata only, or unreadable.
        assert!(settled(Confidence::Surely, None, NO_SIGN));
        assert!(!settled(Confidence::Surely, None, EVENT));
        assert!(settled(Confidence::Unread, None, NO_SIGN));
        assert!(!settled(Confidence::Unread, None, EVENT));
        assert!(!settled(Confidence::Unread, None, DOUBT));
        assert!(!settled(Confidence::Racy, Some(OLD), NO_SIGN));
        assert!(!settled(Confidence::HashOnly, Some(OLD), NO_SIGN));
    }

    #[test]
    fn a_large_file_of_another_size_need_not_be_read_to_differ() {
        let other_size = stat(2, 1, 1, 1);
        let same_size = stat(1, 2, 2, 1);
        assert!(row(Confidence::Surely, Some(OLD)).surely_differs(&other_size));
        assert!(!row(Confidence::Surely, Some(OLD)).surely_differs(&same_size));
        assert!(!row(Confidence::HashOnly, Some(OLD)).surely_differs(&other_size));
        assert!(row(Confidence::Unread, None).surely_differs(&same_size));
    }
}
