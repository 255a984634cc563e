//! A look: one path, as it is on disk now, compared with what is remembered of it. Reads the file
//! where the stat differs; never writes anything and never decides what to do about the answer.

use std::io;
use std::time::Duration;

use super::Entry;
use super::known::{Confidence, Found, Observed, Signs, judge};
use crate::core::time::Time;
use crate::origin::settings::{Compare, RACY, RACY_FINE, SETTLED};
use crate::origin::tree::fingerprint::{Content, Stat, content};
use crate::origin::tree::resolver::{Resolver, Seen};

/// Files above this many bytes are not read between two looks; 16 MiB take some 10 ms from memory.
pub(in crate::origin) const LARGE: u64 = 16 * 1024 * 1024;
/// A file that moves while it is read is read again after this.
const MOVING: Duration = Duration::from_millis(250);

/// What a look came to.
#[derive(Debug)]
pub(in crate::origin) enum Outcome {
    /// As remembered.
    Same,
    /// A directory: what counts lies below it.
    Directory,
    /// No file: nothing there, or something no web server serves.
    Absent,
    /// It can't be known now; what is remembered stays.
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

/// How sure the caller is that the file is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::origin) enum Patience {
    /// Nothing is known: young files are waited for.
    Wait,
    /// An event said that it is complete.
    Complete,
    /// It was waited for long enough.
    Over,
    /// It was there before the watch: its stat is enough for now.
    Unread,
}

impl Resolver {
    /// Looks at one path. `open`: others may enter the directories above it.
    pub(in crate::origin) fn look(
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
    pub(in crate::origin) fn look_at(
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
            known: Confidence::Unread,
        };
        if let Some(row) = row
            && row.stat.same(&stat)
            && row.readable == seen.readable
            && row.absent.is_none()
        {
            if row.is_settled_by_stat(signs) {
                return Outcome::Same;
            }
            if row.known == Confidence::Racy
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
                seen.known = Confidence::Surely;
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
    pub(in crate::origin) fn read(&self, path: &[u8], entry: &Entry, now: Time) -> Option<Entry> {
        let content = content(&self.real(path), &entry.stat, &mut |_, _| Ok(true));
        known_as(&content, entry, now)
    }
}

/// A file whose stat alone was remembered, now that it was read; `None` when it is not as remembered
/// any more.
pub(in crate::origin) fn known_as(
    content: &io::Result<Content>,
    entry: &Entry,
    now: Time,
) -> Option<Entry> {
    let (hash, stat) = match content {
        Ok(Content::Hash(hash, stat)) if stat.same(&entry.stat) => (Some(*hash), *stat),
        Ok(Content::Unreadable) => (None, entry.stat),
        _ => return None,
    };
    let racy = hash.is_some() && racy_until(&stat, now).is_some();
    Some(Entry {
        known: if racy {
            Confidence::Racy
        } else {
            Confidence::Surely
        },
        stat,
        hash,
        ..entry.clone()
    })
}

/// What it means that a file was read with this result.
pub(in crate::origin) fn read_as(
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
        Confidence::Racy
    } else {
        Confidence::Surely
    };
    Outcome::Found(judge(row, seen, signs))
}

/// Until when another write could hide behind the same times. A time in the future is another
/// clock's, and says nothing.
pub(in crate::origin) fn racy_until(stat: &Stat, now: Time) -> Option<Time> {
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
